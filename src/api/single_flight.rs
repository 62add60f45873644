//! One computation for all who ask at the same time, at a bounded rate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// A value that is computed at most once in `interval`, and shared by all callers.
///
/// The computation is a task of its own: a caller that goes away neither stops it nor makes it start again.
pub struct SingleFlight<T> {
    interval: Duration,
    latest: Mutex<Option<Flight<T>>>,
}

struct Flight<T> {
    started: Instant,
    result: watch::Receiver<Option<T>>,
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    pub fn new(interval: Duration) -> Self {
        Self { interval, latest: Mutex::new(None) }
    }

    /// Returns the latest value, or starts `compute` when that is older than the interval. Waits for a computation
    /// that is under way. `None` when it panicked.
    pub async fn get<F>(&self, compute: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut result = self.join(compute);
        let value = result.wait_for(Option::is_some).await.ok()?;
        value.clone()
    }

    /// Starts `compute` unless it is under way or ended too recently; waits for nothing.
    pub fn start<F>(&self, compute: impl FnOnce() -> F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        drop(self.join(compute));
    }

    fn join<F>(&self, compute: impl FnOnce() -> F) -> watch::Receiver<Option<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = latest.as_ref().filter(|flight| flight.is_usable(self.interval)) {
            return flight.result.clone();
        }
        let (sender, result) = watch::channel(None);
        *latest = Some(Flight { started: Instant::now(), result: result.clone() });
        let computation = compute();
        tokio::spawn(async move { sender.send_replace(Some(computation.await)) });
        result
    }
}

impl<T> Flight<T> {
    fn is_usable(&self, interval: Duration) -> bool {
        let is_under_way = self.result.borrow().is_none() && self.result.has_changed().is_ok();
        is_under_way || self.started.elapsed() < interval
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn callers_share_one_computation_and_leaving_does_not_repeat_it() {
        let flight = SingleFlight::new(INTERVAL);
        let count = Arc::new(AtomicU32::new(0));
        let (finish, finished) = watch::channel(false);
        let compute = || {
            let (count, mut finished) = (count.clone(), finished.clone());
            async move {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                finished.wait_for(|is_finished| *is_finished).await.unwrap();
                number
            }
        };
        for _ in 0..3 {
            let left = tokio::time::timeout(INTERVAL, flight.get(compute)).await;
            assert!(left.is_err(), "it takes longer");
        }
        let (first, second, ()) = tokio::join!(flight.get(compute), flight.get(compute), async {
            finish.send_replace(true);
        });
        assert_eq!((first, second), (Some(1), Some(1)));
        assert_eq!(flight.get(compute).await, Some(2), "the first value is older than the interval");
    }

    #[tokio::test]
    async fn a_panic_is_told_and_the_next_caller_after_the_interval_begins_anew() {
        let flight: SingleFlight<u32> = SingleFlight::new(INTERVAL);
        let began = Instant::now();
        assert_eq!(flight.get(|| async { panic!("on purpose") }).await, None);
        while flight.get(|| async { 1 }).await.is_none() {
            assert!(began.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(began.elapsed() >= INTERVAL, "not before");
    }
}
