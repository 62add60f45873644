//! Measures what work takes of the machine: CPU time of its threads and child processes, and memory.
//!
//! A [`Meter`] goes with the work: through its tasks ([`Meter::count`]), onto the threads that block for it
//! ([`Meter::on_thread`]), and into the children that it waits for. What FFmpeg's own threads take is not counted: the
//! system tells it of the whole process only.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

tokio::task_local! {
    static CURRENT: Meter;
}

/// Counts what work takes. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    cpu_us: AtomicU64,
    /// The most memory that the process had meanwhile.
    process_bytes: AtomicU64,
    /// The most memory that a child had.
    child_bytes: AtomicU64,
}

impl Meter {
    /// The meter of the work that runs here.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Counts what a future takes while it is polled, and what it runs elsewhere with this meter.
    pub async fn count<F: Future>(self, work: F) -> F::Output {
        let meter = self.clone();
        let counted = async move {
            let mut work = pin!(work);
            std::future::poll_fn(|context| {
                let before_us = thread_cpu_us();
                let polled = work.as_mut().poll(context);
                meter.add_cpu_us(thread_cpu_us().saturating_sub(before_us));
                if polled.is_ready() {
                    meter.note_memory();
                }
                polled
            })
            .await
        };
        CURRENT.scope(self, counted).await
    }

    /// Counts what work takes on a thread that does nothing else meanwhile.
    pub fn on_thread<T>(self, work: impl FnOnce() -> T) -> T {
        let before_us = thread_cpu_us();
        let result = CURRENT.sync_scope(self.clone(), work);
        self.add_cpu_us(thread_cpu_us().saturating_sub(before_us));
        self.note_memory();
        result
    }

    /// CPU time so far, in milliseconds.
    pub fn cpu_ms(&self) -> u64 {
        self.0.cpu_us.load(Ordering::Relaxed) / 1000
    }

    /// The most memory that the process had whenever it was looked at, and the largest child beside it. The process may do
    /// other work at the same time, so this is what the work needed at most.
    pub fn peak_memory_bytes(&self) -> u64 {
        self.0.process_bytes.load(Ordering::Relaxed) + self.0.child_bytes.load(Ordering::Relaxed)
    }

    /// Looks at how much memory the process has now.
    pub fn note_memory(&self) {
        self.0.process_bytes.fetch_max(resident_bytes().unwrap_or(0), Ordering::Relaxed);
    }

    fn add_cpu_us(&self, us: u64) {
        self.0.cpu_us.fetch_add(us, Ordering::Relaxed);
    }

    fn add_child(&self, cpu_us: u64, peak_bytes: u64) {
        self.add_cpu_us(cpu_us);
        self.0.child_bytes.fetch_max(peak_bytes, Ordering::Relaxed);
    }
}

/// Runs work with the meter of the caller, on another thread that is about to be started.
pub(crate) fn metered<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let meter = Meter::current();
    move || match meter {
        Some(meter) => meter.on_thread(work),
        None => work(),
    }
}

/// Counts a child that is about to end, or has ended and is not waited for yet. Blocks until it has ended.
pub(crate) fn count_child(meter: &Meter, pid: u32) {
    // SAFETY: all-zero is a value of both types; the call fills them, and leaves the child to be waited for (WNOWAIT).
    let (outcome, usage) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let mut usage: libc::rusage = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOWAIT;
        let outcome = libc::syscall(libc::SYS_waitid, libc::P_PID, pid, &raw mut info, flags, &raw mut usage);
        (outcome, usage)
    };
    if outcome == 0 {
        let us = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
        // The kernel gives KiB.
        meter.add_child(us(usage.ru_utime) + us(usage.ru_stime), usage.ru_maxrss as u64 * 1024);
    }
}

/// Usage so far of a child that goes on living: CPU time in microseconds, its own and that of children it waited for, and
/// its memory. `None` when it has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChildUsage {
    cpu_us: u64,
    bytes: u64,
}

impl ChildUsage {
    pub(crate) fn of(pid: u32) -> Option<Self> {
        // proc(5): the name may hold anything but ends with the last parenthesis; utime is field 14, stime 15, those of
        // children that were waited for 16 and 17, rss 24.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<u64> =
            stat.rsplit_once(')')?.1.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        let ticks: u64 = fields.get(11..15)?.iter().sum();
        let pages = fields.get(21)?;
        Some(Self { cpu_us: ticks * 1_000_000 / ticks_per_second(), bytes: pages * page_bytes() })
    }

    /// Counts what the child took since `before`.
    pub(crate) fn count_since(self, before: Option<Self>, meter: &Meter) {
        let before_us = before.map_or(0, |before| before.cpu_us);
        meter.add_child(self.cpu_us.saturating_sub(before_us), self.bytes);
    }
}

/// CPU time of this thread, in microseconds.
fn thread_cpu_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the value that it is given. The clock is there since Linux 2.6.12, so the call does not fail.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

/// Memory of this process that is in RAM.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * page_bytes())
}

fn page_bytes() -> u64 {
    // SAFETY: reads a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

fn ticks_per_second() -> u64 {
    // SAFETY: reads a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Burns at least so much CPU time of this thread.
    fn burn(ms: u64) {
        let until_us = thread_cpu_us() + ms * 1000;
        while thread_cpu_us() < until_us {
            std::hint::black_box(blake3::hash(&[0; 1024]));
        }
    }

    #[tokio::test]
    async fn tasks_threads_and_threads_of_threads_are_counted() {
        let meter = Meter::default();
        let work = async {
            burn(20);
            tokio::task::yield_now().await;
            let meter = Meter::current().unwrap();
            let blocking = move || {
                meter.on_thread(|| {
                    burn(20);
                    let inner = metered(|| burn(20));
                    std::thread::scope(|threads| threads.spawn(inner).join()).unwrap();
                });
            };
            tokio::task::spawn_blocking(blocking).await.unwrap();
        };
        meter.clone().count(work).await;
        let cpu_ms = meter.cpu_ms();
        assert!((58..500).contains(&cpu_ms), "{cpu_ms}");
        assert!(meter.peak_memory_bytes() > 1 << 20);
        assert!(Meter::current().is_none());
    }

    #[test]
    fn waiting_costs_nothing_and_children_are_counted() {
        let meter = Meter::default();
        meter.clone().on_thread(|| std::thread::sleep(std::time::Duration::from_millis(50)));
        assert!(meter.cpu_ms() < 40, "{}", meter.cpu_ms());
        let mut child = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"])
            .spawn()
            .unwrap();
        count_child(&meter, child.id());
        assert!(child.wait().unwrap().success(), "it can still be waited for");
        assert!(meter.cpu_ms() > 40, "{}", meter.cpu_ms());
        let living = ChildUsage::of(std::process::id()).unwrap();
        assert!(living.bytes > 0);
        // It has been waited for.
        assert!(ChildUsage::of(child.id()).is_none());
        count_child(&meter, child.id());
    }
}
