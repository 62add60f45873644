//! One tail of the log for all clients of a process.
//!
//! Each partition in which a job is watched has a follower: a task that reads the partition from its head on, and puts
//! the events of watched jobs into the queues of their clients. It ends when nobody watches any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::message::{LiveEvent, Renderer};
use super::queue::{Queue, Queued};
use crate::events::doorbell::{self, Doorbell};
use crate::events::{Envelope, EventLog};
use crate::ids::JobId;
use crate::projections::Error;
use crate::projections::status::StatusView;
use crate::telemetry::chain;

/// Most events read at a time.
const BATCH: usize = 500;
/// Pause before a server that was away is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    log: EventLog,
    renderer: Renderer,
    doorbell: Doorbell,
    max_queued_events: usize,
    stop: CancellationToken,
    partitions: Vec<Mutex<Partition>>,
}

#[derive(Default)]
struct Partition {
    /// The clients of each watched job; none without clients.
    watched: HashMap<JobId, Vec<Arc<Queue>>>,
    /// Turns `true` once the follower knows where it begins; closed when it has ended.
    follower: Option<watch::Receiver<bool>>,
}

/// One client's part of the tail. Ends when it is dropped.
pub struct Subscription {
    hub: Hub,
    job_id: JobId,
    queue: Arc<Queue>,
}

impl Subscription {
    /// Waits for the next event. Nothing is lost when the future is dropped.
    pub async fn next(&self) -> Queued {
        self.queue.pop().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut partition = self.hub.shared.lock(self.hub.partition_of(self.job_id));
        if let Some(queues) = partition.watched.get_mut(&self.job_id) {
            queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
            if queues.is_empty() {
                partition.watched.remove(&self.job_id);
            }
        }
    }
}

impl Hub {
    pub fn new(
        log: EventLog,
        renderer: Renderer,
        doorbell: Doorbell,
        max_queued_events: usize,
        stop: CancellationToken,
    ) -> Self {
        let partitions = log.keys().partitions().map(|_| Mutex::default()).collect();
        let shared = Shared { log, renderer, doorbell, max_queued_events, stop, partitions };
        Self { shared: Arc::new(shared) }
    }

    pub fn log(&self) -> &EventLog {
        &self.shared.log
    }

    pub fn renderer(&self) -> &Renderer {
        &self.shared.renderer
    }

    /// Begins to queue the events of a job. Every event that is appended after this has returned will be queued; some
    /// that were appended before may be, too. `None` when the process is stopping, or the log cannot be read.
    pub async fn subscribe(&self, job_id: JobId) -> Option<Subscription> {
        let partition = self.partition_of(job_id);
        let queue = Arc::new(Queue::new(self.shared.max_queued_events));
        let subscription = Subscription { hub: self.clone(), job_id, queue: queue.clone() };
        let mut follower = {
            let mut state = self.shared.lock(partition);
            state.watched.entry(job_id).or_default().push(queue);
            let running = state.follower.take().filter(|follower| follower.has_changed().is_ok());
            let follower = running.unwrap_or_else(|| self.start_follower(partition));
            state.follower.insert(follower).clone()
        };
        follower.wait_for(|has_begun| *has_begun).await.ok()?;
        Some(subscription)
    }

    fn partition_of(&self, job_id: JobId) -> u16 {
        self.shared.log.keys().partition_of(job_id.aggregate())
    }

    fn start_follower(&self, partition: u16) -> watch::Receiver<bool> {
        let (has_begun, follower) = watch::channel(false);
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let follower = Follower { shared, partition, views: HashMap::new() };
            follower.run(has_begun).await;
        });
        follower
    }
}

impl Shared {
    fn lock(&self, partition: u16) -> MutexGuard<'_, Partition> {
        self.partitions[usize::from(partition)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, unless it is to stop.
    async fn pause(&self) {
        let _stops = tokio::time::timeout(PAUSE, self.stop.cancelled()).await;
    }
}

/// How a follower ended.
enum End {
    /// Nobody watches any more.
    Idle,
    /// The process is stopping.
    Stopped,
}

struct Follower {
    shared: Arc<Shared>,
    partition: u16,
    /// The statuses of watched jobs, as of the last event that was read of them.
    views: HashMap<JobId, StatusView>,
}

impl Follower {
    /// Follows the partition until nobody watches, or the process stops. Holds `has_begun` for as long.
    async fn run(mut self, has_begun: watch::Sender<bool>) {
        let partition = self.partition;
        match self.follow(&has_begun).await {
            // Nobody is left, or another follower has been started since.
            Ok(End::Idle) => return,
            Ok(End::Stopped) => {}
            Err(error) => {
                tracing::error!(partition, error = %chain(&error), "live updates of a partition stopped");
            }
        }
        // Who subscribes from here on starts another follower.
        let mut state = self.shared.lock(partition);
        state.follower = None;
        state.watched.values().flatten().for_each(|queue| queue.close());
        drop(has_begun);
    }

    async fn follow(&mut self, has_begun: &watch::Sender<bool>) -> Result<End, Error> {
        let mut bell = self.shared.doorbell.partition(self.partition);
        // The head is read after the first client has subscribed, so that it misses nothing.
        let mut after = loop {
            match self.shared.log.head(self.partition).await {
                Ok(head) => break head,
                Err(error) => self.meet(error.into()).await?,
            }
            if self.shared.stop.is_cancelled() {
                return Ok(End::Stopped);
            }
        };
        has_begun.send_replace(true);
        while !self.shared.stop.is_cancelled() {
            if self.is_idle() {
                return Ok(End::Idle);
            }
            bell.borrow_and_update();
            let events = match self.shared.log.read(self.partition, after, BATCH).await {
                Ok(events) => events,
                Err(error) => {
                    self.meet(error.into()).await?;
                    continue;
                }
            };
            if events.is_empty() {
                tokio::select! {
                    () = self.shared.stop.cancelled() => {}
                    _has_rung = doorbell::rung(&mut bell) => {}
                }
            }
            for (seq, envelope) in events {
                self.hand_out(envelope).await;
                after = seq;
            }
        }
        Ok(End::Stopped)
    }

    /// Waits a moment after an error that may pass; gives back any other.
    async fn meet(&self, error: Error) -> Result<(), Error> {
        if !error.is_retryable() {
            return Err(error);
        }
        let partition = self.partition;
        tracing::warn!(partition, error = %chain(&error), "live updates wait for the event log");
        self.shared.pause().await;
        Ok(())
    }

    /// Whether nobody watches any more; then this follower has ended.
    fn is_idle(&mut self) -> bool {
        let mut state = self.shared.lock(self.partition);
        if state.watched.is_empty() {
            state.follower = None;
            return true;
        }
        self.views.retain(|job, _| state.watched.contains_key(job));
        false
    }

    /// Puts an event into the queues of the job's clients.
    async fn hand_out(&mut self, envelope: Envelope) {
        let Some(job) = envelope.id::<JobId>() else { return };
        if !self.shared.lock(self.partition).watched.contains_key(&job) {
            return;
        }
        match self.render(job, envelope).await {
            Ok(event) => self.queues_of(job).iter().for_each(|queue| queue.push(event.clone())),
            Err(error) => {
                tracing::warn!(%job, error = %chain(&error), "an event cannot be sent to those who watch its job");
                self.queues_of(job).iter().for_each(|queue| queue.close());
            }
        }
    }

    /// Tries again for as long as a server is away.
    async fn render(&mut self, job: JobId, envelope: Envelope) -> Result<Arc<LiveEvent>, Error> {
        loop {
            let before = self.views.get(&job).cloned();
            match self.shared.renderer.event(job, before, envelope.clone()).await {
                Ok((event, view)) => {
                    self.views.insert(job, view);
                    return Ok(Arc::new(event));
                }
                Err(error) if self.shared.stop.is_cancelled() => return Err(error),
                Err(error) => self.meet(error).await?,
            }
        }
    }

    fn queues_of(&self, job: JobId) -> Vec<Arc<Queue>> {
        self.shared.lock(self.partition).watched.get(&job).cloned().unwrap_or_default()
    }
}
