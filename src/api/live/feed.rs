//! What one client is to be told, in order: a snapshot or the events that it missed, then the tail of the log.

use std::collections::VecDeque;
use std::sync::Arc;

use tungstenite::Utf8Bytes;

use super::hub::{Hub, Subscription};
use super::message::LiveEvent;
use super::queue::Queued;
use crate::ids::JobId;
use crate::projections::Error;
use crate::projections::status::StatusView;

/// Events of a history that are read at a time.
const PAGE: u64 = 16;

/// Where a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// It knows nothing, and is told the status first.
    WithSnapshot,
    /// It has all events up to this version.
    After(u64),
}

/// The next thing to tell a client.
#[derive(Debug)]
pub enum Item {
    Snapshot(Utf8Bytes),
    Event(Arc<LiveEvent>),
    /// The job has ended, and everything was told.
    End,
}

#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error("the process is stopping")]
    Stopping,
    #[error("an event of the job, or one before it in the log, cannot be read")]
    Unreadable,
    #[error(transparent)]
    Read(#[from] Error),
}

impl FeedError {
    pub fn is_retryable(&self) -> bool {
        match self {
            FeedError::Stopping => true,
            FeedError::Unreadable => false,
            FeedError::Read(error) => error.is_retryable(),
        }
    }
}

/// How events come to the client at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The next item is a snapshot.
    Snapshot,
    /// From the history of the job, until that has no more.
    Log,
    /// From the tail.
    Tail,
}

/// Every event after the client's position, once and in order.
pub struct Feed {
    hub: Hub,
    subscription: Subscription,
    job_id: JobId,
    source: Source,
    /// Where to go on after events were dropped from the queue.
    after_overflow: Source,
    /// Version of the last event that the client has.
    position: u64,
    has_ended: bool,
    /// Read from the history, and not told yet.
    read: VecDeque<Arc<LiveEvent>>,
    /// The status after what was read.
    view: Option<StatusView>,
}

impl Feed {
    /// Subscribes before anything is read, so that no event falls between. `view` is the job's status a moment ago.
    pub async fn open(hub: &Hub, view: &StatusView, begin: Begin) -> Result<Self, FeedError> {
        let subscription = hub.subscribe(view.job_id).await.ok_or(FeedError::Stopping)?;
        let (source, after_overflow, position) = match begin {
            Begin::WithSnapshot => (Source::Snapshot, Source::Snapshot, 0),
            Begin::After(version) => (Source::Log, Source::Log, version),
        };
        Ok(Self {
            hub: hub.clone(),
            subscription,
            job_id: view.job_id,
            source,
            after_overflow,
            position,
            has_ended: view.ended_at.is_some(),
            read: VecDeque::new(),
            view: None,
        })
    }

    /// The same, with a snapshot whenever the client was too slow.
    pub fn with_snapshots(self) -> Self {
        Self { after_overflow: Source::Snapshot, ..self }
    }

    /// Version of the last event that the client has.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Waits for the next item. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Item, FeedError> {
        loop {
            match self.source {
                Source::Snapshot => {
                    if let Some(snapshot) = self.take_snapshot().await? {
                        return Ok(snapshot);
                    }
                }
                Source::Log => {
                    if let Some(event) = self.read.pop_front() {
                        return Ok(self.tell(event));
                    }
                    self.read_page().await?;
                    if self.read.is_empty() && self.has_ended {
                        return Ok(Item::End);
                    }
                    if self.read.is_empty() {
                        self.source = Source::Tail;
                    }
                }
                Source::Tail => match self.subscription.next().await {
                    Queued::Event(event) if event.version <= self.position => {}
                    Queued::Event(event) if event.version == self.position + 1 => {
                        if event.has_ended {
                            // Whether this is the last event, the history says.
                            self.source = Source::Log;
                        }
                        return Ok(self.tell(event));
                    }
                    Queued::Event(_after_a_gap) => self.source = Source::Log,
                    Queued::Overflowed => self.source = self.after_overflow,
                    Queued::Closed => return Err(FeedError::Unreadable),
                },
            }
        }
    }

    fn tell(&mut self, event: Arc<LiveEvent>) -> Item {
        self.position = event.version;
        self.has_ended = event.has_ended;
        Item::Event(event)
    }

    /// The status as it is now; `None` when the client has it, so that only events were dropped that it had.
    async fn take_snapshot(&mut self) -> Result<Option<Item>, FeedError> {
        let view = self.hub.renderer().statuses().get(self.job_id).await?.ok_or(FeedError::Unreadable)?;
        let snapshot = match view.version == self.position {
            true => None,
            false => Some(Item::Snapshot(self.hub.renderer().snapshot(&view)?)),
        };
        self.position = view.version;
        self.has_ended = view.ended_at.is_some();
        self.source = if self.has_ended { Source::Log } else { Source::Tail };
        Ok(snapshot)
    }

    /// Reads the next part of the history; nothing when there is no more.
    async fn read_page(&mut self) -> Result<(), FeedError> {
        let history = self.hub.log().history_page(self.job_id.aggregate(), self.position, PAGE).await;
        let mut view = self.view.take();
        let mut read = VecDeque::new();
        for envelope in history.map_err(Error::from)? {
            let (event, after) = self.hub.renderer().event(self.job_id, view.take(), envelope).await?;
            view = Some(after);
            read.push_back(Arc::new(event));
        }
        (self.read, self.view) = (read, view);
        Ok(())
    }
}
