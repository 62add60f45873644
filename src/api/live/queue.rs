//! The events that wait for one client: a bounded number of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::message::LiveEvent;

/// What the events of one queue may weigh. They are shared by all clients of a job, so this bounds what slow clients of
/// different jobs hold.
const MAX_BYTES: usize = 1 << 20;

/// For one client, who takes events out, and the hub, which puts them in.
pub struct Queue {
    max_events: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    events: VecDeque<Arc<LiveEvent>>,
    size_bytes: usize,
    has_overflowed: bool,
    is_closed: bool,
}

/// What a queue has for its client.
#[derive(Debug)]
pub enum Queued {
    Event(Arc<LiveEvent>),
    /// Events were dropped. Those that come after this was taken are queued again.
    Overflowed,
    /// No more events come: they cannot be read.
    Closed,
}

impl Queue {
    pub fn new(max_events: usize) -> Self {
        Self { max_events, state: Mutex::default(), changed: Notify::new() }
    }

    /// Queues an event. One that does not fit drops all, itself included, and so do those that follow until the client
    /// has taken notice.
    pub fn push(&self, event: Arc<LiveEvent>) {
        let mut state = self.lock();
        if state.has_overflowed || state.is_closed {
            return;
        }
        let size_bytes = state.size_bytes + event.size_bytes();
        let is_full =
            state.events.len() == self.max_events || (size_bytes > MAX_BYTES && !state.events.is_empty());
        if is_full {
            *state = State { has_overflowed: true, ..State::default() };
        } else {
            state.size_bytes = size_bytes;
            state.events.push_back(event);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Says that no more events come. Those that are queued are still given.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Waits for the next event. Nothing is lost when the future is dropped.
    pub async fn pop(&self) -> Queued {
        loop {
            if let Some(queued) = self.take() {
                return queued;
            }
            self.changed.notified().await;
        }
    }

    fn take(&self) -> Option<Queued> {
        let mut state = self.lock();
        if std::mem::take(&mut state.has_overflowed) {
            return Some(Queued::Overflowed);
        }
        match state.events.pop_front() {
            Some(event) => {
                state.size_bytes -= event.size_bytes();
                Some(Queued::Event(event))
            }
            None => state.is_closed.then_some(Queued::Closed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn event(version: u64, size_bytes: usize) -> Arc<LiveEvent> {
        Arc::new(LiveEvent::sample(version, size_bytes))
    }

    async fn versions(queue: &Queue, count: usize) -> Vec<u64> {
        let mut versions = vec![];
        for _ in 0..count {
            match queue.pop().await {
                Queued::Event(event) => versions.push(event.version),
                other => panic!("{other:?}"),
            }
        }
        versions
    }

    #[tokio::test]
    async fn events_come_out_in_their_order() {
        let queue = Queue::new(3);
        (1..=3).for_each(|version| queue.push(event(version, 10)));
        assert_eq!(versions(&queue, 2).await, [1, 2]);
        queue.push(event(4, 10));
        assert_eq!(versions(&queue, 2).await, [3, 4]);
        assert_eq!(queue.lock().size_bytes, 0);
    }

    #[tokio::test]
    async fn a_full_queue_drops_everything_until_its_client_has_noticed() {
        let queue = Queue::new(3);
        (1..=10).for_each(|version| queue.push(event(version, 10)));
        assert!(queue.lock().events.is_empty(), "nothing is held for a client that does not read");
        assert!(matches!(queue.pop().await, Queued::Overflowed));
        queue.push(event(11, 10));
        assert_eq!(versions(&queue, 1).await, [11]);
    }

    #[tokio::test]
    async fn a_queue_is_bounded_in_bytes_and_one_large_event_fits() {
        let queue = Queue::new(100);
        queue.push(event(1, 2 * MAX_BYTES));
        assert_eq!(versions(&queue, 1).await, [1]);
        queue.push(event(2, MAX_BYTES / 2));
        queue.push(event(3, MAX_BYTES / 2));
        assert!(matches!(queue.pop().await, Queued::Overflowed), "with their overhead, they are too much");
    }

    #[tokio::test]
    async fn a_closed_queue_gives_what_it_has_and_then_says_so() {
        let queue = Queue::new(3);
        queue.push(event(1, 10));
        queue.close();
        queue.push(event(2, 10));
        assert_eq!(versions(&queue, 1).await, [1]);
        assert!(matches!(queue.pop().await, Queued::Closed));
    }

    #[tokio::test]
    async fn a_client_that_waits_is_woken_and_one_that_leaves_loses_nothing() {
        let queue = Arc::new(Queue::new(3));
        let left = tokio::time::timeout(Duration::from_millis(10), queue.pop()).await;
        assert!(left.is_err());
        let pushed = queue.clone();
        let waiting = tokio::spawn(async move { versions(&pushed, 1).await });
        queue.push(event(1, 10));
        assert_eq!(waiting.await.unwrap(), [1]);
    }
}
