//! Named crash points: places between taking work, appending and acknowledging where the crash suite kills the
//! process. Without the feature `chaos` they are nothing.

/// Kills the process here when `REEL_CRASH_AT` is `name:n` and this is the `n`th time it passes.
#[cfg(feature = "chaos")]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static ARMED: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("REEL_CRASH_AT").ok()?;
        let (name, count) = text.split_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    if let Some((at, count)) = armed
        && at == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        eprintln!("crash point {name}");
        // No destructor, no flush, no farewell: what a power cut leaves.
        let _unreachable =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::thread::park();
    }
}

#[cfg(not(feature = "chaos"))]
#[inline(always)]
pub fn point(_name: &str) {}

/// Those that the suite chooses from. `batch.accepted`, `import.stored`, `import.recorded`, `upload.before`, `upload.after` and
/// `sidecars.stored` have tests of their own.
pub const POINTS: [&str; 12] = [
    "append.before",
    "append.after",
    "take.before",
    "take.after",
    "attempt.started",
    "attempt.done",
    "attempt.recorded",
    "takeover.claimed",
    "release.found",
    "projection.before",
    "projection.after",
    "generate.accepted",
];
