//! The jobs that a worker has begun and that have not ended. Only so many are begun at a time: what is begun is finished
//! first, so that of many jobs that wait, the first is complete soon.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::ids::JobId;

/// A job that goes on for longer does not keep others from beginning.
const COUNTS_FOR: Duration = Duration::from_secs(60);

/// Cheap to clone; clones share the jobs.
#[derive(Clone)]
pub struct BegunJobs {
    jobs: Arc<Mutex<HashMap<JobId, Instant>>>,
    max: usize,
    freed: Arc<Notify>,
}

impl BegunJobs {
    pub fn new(max: usize) -> Self {
        Self { jobs: Arc::default(), max: max.max(1), freed: Arc::default() }
    }

    pub fn add(&self, job_id: JobId) {
        self.jobs().insert(job_id, Instant::now());
    }

    /// The job has ended, or waits for its next attempt.
    pub fn remove(&self, job_id: JobId) {
        if self.jobs().remove(&job_id).is_some() {
            self.freed.notify_one();
        }
    }

    /// Whether another has to wait.
    pub fn is_full(&self) -> bool {
        let mut jobs = self.jobs();
        jobs.retain(|_, begun_at| begun_at.elapsed() < COUNTS_FOR);
        jobs.len() >= self.max
    }

    pub fn list(&self) -> Vec<JobId> {
        self.jobs().keys().copied().collect()
    }

    /// Waits until a job is removed.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, Instant>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_jobs_are_begun_than_the_limit() {
        let begun = BegunJobs::new(2);
        let jobs = [JobId::new(), JobId::new()];
        begun.add(jobs[0]);
        begun.add(jobs[0]);
        assert!(!begun.is_full());
        begun.add(jobs[1]);
        assert!(begun.is_full());
        begun.remove(jobs[0]);
        assert_eq!((begun.is_full(), begun.list()), (false, vec![jobs[1]]));
        tokio::time::timeout(Duration::from_secs(5), begun.freed()).await.expect("it was told before");
    }

    #[test]
    fn a_job_that_goes_on_for_long_keeps_nobody_waiting() {
        let begun = BegunJobs::new(1);
        begun.jobs().insert(JobId::new(), Instant::now().checked_sub(COUNTS_FOR).unwrap());
        assert!(!begun.is_full());
    }
}
