//! Turns at something that only one caller can use at a time: the most urgent comes next, and of equals the first to come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::threads::Urgency;

/// The callers that wait, the most urgent first, and of equals the first to come.
type Waiting = BTreeMap<(Urgency, u64), oneshot::Sender<Turn>>;

#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_taken: bool,
    waiting: Waiting,
    came: u64,
}

/// A turn, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Option<Arc<Turns>>);

impl Turns {
    /// Waits for a turn. A caller that stops waiting takes no turn from the others.
    pub async fn take(self: &Arc<Self>, urgency: Urgency) -> Turn {
        loop {
            let waiting = {
                let mut state = self.state();
                if !state.is_taken {
                    state.is_taken = true;
                    return Turn(Some(self.clone()));
                }
                let (sender, receiver) = oneshot::channel();
                state.came += 1;
                let came = state.came;
                state.waiting.insert((urgency, came), sender);
                receiver
            };
            // Senders are only dropped with `self`.
            if let Ok(turn) = waiting.await {
                return turn;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out who is next, or frees what the turns are at.
    fn next(&self) -> Option<oneshot::Sender<Turn>> {
        let mut state = self.state();
        let next = state.waiting.pop_first().map(|(_, sender)| sender);
        state.is_taken = next.is_some();
        next
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        while let Some(next) = turns.next() {
            match next.send(Turn(Some(turns.clone()))) {
                Ok(()) => return,
                // Nobody waits there any more, so the turn goes to the next one here, and not when it is dropped.
                Err(mut refused) => refused.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(scene: u32) -> Urgency {
        Urgency { scene, niceness: 0 }
    }

    #[tokio::test]
    async fn the_most_urgent_comes_next_and_of_equals_who_came_first() {
        let turns = Arc::new(Turns::default());
        let first = turns.take(scene(9)).await;
        let order = Arc::new(Mutex::new(vec![]));
        let mut all = tokio::task::JoinSet::new();
        for (name, number) in [("a", 3), ("b", 1), ("c", 3), ("d", 0)] {
            let (turns, order) = (turns.clone(), order.clone());
            all.spawn(async move {
                let _turn = turns.take(scene(number)).await;
                order.lock().unwrap().push(name);
            });
            tokio::task::yield_now().await;
        }
        drop(first);
        all.join_all().await;
        assert_eq!(*order.lock().unwrap(), ["d", "b", "a", "c"]);
        assert!(!turns.state().is_taken);
    }

    #[tokio::test]
    async fn a_turn_is_not_lost_with_who_stopped_waiting() {
        let turns = Arc::new(Turns::default());
        let first = turns.take(scene(0)).await;
        let mut gone = Box::pin(turns.take(scene(0)));
        let mut given = Box::pin(turns.take(scene(1)));
        assert!(futures_util::poll!(&mut gone).is_pending());
        assert!(futures_util::poll!(&mut given).is_pending());
        drop(gone);
        drop(first);
        // The second has its turn, although it does not know yet.
        drop(given);
        let waited = tokio::time::timeout(std::time::Duration::from_secs(5), turns.take(scene(2)));
        assert!(waited.await.is_ok());
        assert!(!turns.state().is_taken, "freed at the end");
    }
}
