//! Threads for work that computes, or blocks on files: each ends with its work, and is as urgent as whoever waits for it.
//!
//! Threads of the runtime's pool would wait for more work and keep what the allocator gave them; they would also compete as
//! equals with those that answer requests.

use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::usage::metered;

tokio::task_local! {
    static URGENCY: Urgency;
}

/// How soon work is needed. The smallest comes first where work takes turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Urgency {
    /// The number of the scene that it is for.
    pub scene: u32,
    /// How much less of a busy processor its threads get, as `nice(2)` counts it.
    pub niceness: i32,
}

#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    #[error("no thread can be started")]
    NotStarted(#[source] std::io::Error),
    #[error("work on a thread of its own stopped unexpectedly")]
    Panicked,
}

/// Runs a future whose work in [`run`] and at voices is as urgent as this.
pub async fn with_urgency<T>(urgency: Urgency, work: impl Future<Output = T>) -> T {
    URGENCY.scope(urgency, work).await
}

/// The urgency of work that is run here; `None` outside of [`with_urgency`].
pub fn urgency() -> Option<Urgency> {
    URGENCY.try_with(|urgency| *urgency).ok()
}

/// Runs work on a thread of its own, with the caller's urgency and meter. The thread may wait for futures of the runtime.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stopped> {
    let (sender, outcome) = oneshot::channel();
    let (runtime, niceness) = (Handle::current(), urgency().unwrap_or_default().niceness);
    let work = metered(work);
    let body = move || {
        let _runtime = runtime.enter();
        // Where it is refused, the work has the priority of all others.
        let _as_urgent_as_all = (niceness > 0).then(|| rustix::process::nice(niceness));
        // The caller may have been dropped meanwhile.
        let _nobody_waits = sender.send(work());
    };
    thread::Builder::new().name("work".into()).spawn(body).map_err(Stopped::NotStarted)?;
    outcome.await.map_err(|_| Stopped::Panicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_niceness() -> i32 {
        rustix::process::nice(0).unwrap()
    }

    #[tokio::test]
    async fn work_has_the_niceness_of_its_caller() {
        let urgency = Urgency { scene: 1, niceness: 7 };
        let usual = own_niceness();
        assert_eq!(run(own_niceness).await.unwrap(), usual);
        assert_eq!(with_urgency(urgency, run(own_niceness)).await.unwrap(), usual + 7);
        assert_eq!(own_niceness(), usual, "the runtime's threads stay as they are");
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let stopped = run(|| panic!("on purpose")).await;
        assert!(matches!(stopped, Err::<(), _>(Stopped::Panicked)), "{stopped:?}");
    }
}
