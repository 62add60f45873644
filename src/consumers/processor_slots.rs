//! The processor slots of a worker, which all of its stages share.
//!
//! A free slot goes to the latest stage that waits for one, so that what is begun is finished before more is begun: of many
//! jobs that come at once, the first is complete long before the last, instead of all of them at the end. Urgent work goes
//! before all other, then first scenes, then scenes that a viewer will soon need, but for every [`LIFT_EVERY`]th slot.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::events::{Lane, Stage};

/// One slot in so many goes by stage alone, so that urgent work without end starves nothing.
const LIFT_EVERY: u64 = 8;

/// Cheap to clone; clones share the slots.
#[derive(Clone)]
pub struct ProcessorSlots(Arc<Mutex<State>>);

struct State {
    free: usize,
    waiting: Ranks<oneshot::Sender<Slot>>,
}

/// Those who wait for a slot, by rank.
pub(super) struct Ranks<T> {
    granted: u64,
    /// The highest is served first.
    waiting: BTreeMap<Rank, VecDeque<T>>,
}

/// Urgent or not, how soon a viewer needs it, and the stage.
type Rank = (bool, Viewer, Stage);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Viewer {
    IsNotWaiting,
    NeedsNextScene,
    NeedsFirstScene,
}

/// A slot, until it is dropped.
pub struct Slot(ProcessorSlots);

impl ProcessorSlots {
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: count.max(1), waiting: Ranks::default() })))
    }

    /// Waits for a slot for work of a stage. One that is granted while the future is dropped goes to the next.
    pub async fn acquire(&self, stage: Stage, lane: Lane) -> Slot {
        let granted = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                state.waiting.granted += 1;
                return Slot(self.clone());
            }
            let (sender, granted) = oneshot::channel();
            state.waiting.push(stage, lane, sender);
            granted
        };
        granted.await.expect("whoever waits is served or dropped with all slots")
    }

    fn release(&self) {
        let next = {
            // One lock for both: whoever comes in between would wait for a slot that is free.
            let mut state = self.state();
            let next = state.waiting.next(|sender| !sender.is_closed());
            if next.is_none() {
                state.free += 1;
            }
            next
        };
        if let Some(waiting) = next {
            // Dropped meanwhile: its slot comes back here.
            drop(waiting.send(Slot(self.clone())));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Ranks<T> {
    fn default() -> Self {
        Self { granted: 0, waiting: BTreeMap::new() }
    }
}

impl<T> Ranks<T> {
    pub fn push(&mut self, stage: Stage, lane: Lane, waiting: T) {
        // A job that may begin is about its first scene, too. Only so many begin at a time.
        let viewer = match (lane, stage) {
            (Lane::FirstScene, _) | (_, Stage::Initializing) => Viewer::NeedsFirstScene,
            (Lane::NextScene, _) => Viewer::NeedsNextScene,
            _ => Viewer::IsNotWaiting,
        };
        self.waiting.entry((lane == Lane::Urgent, viewer, stage)).or_default().push_back(waiting);
    }

    /// Returns who gets the next slot, of those who still wait.
    pub fn next(&mut self, waits: impl Fn(&T) -> bool) -> Option<T> {
        self.granted += 1;
        let goes_by_stage = self.granted.is_multiple_of(LIFT_EVERY);
        loop {
            let rank = match goes_by_stage {
                true => self.waiting.keys().max_by_key(|(_, _, stage)| *stage).copied(),
                false => self.waiting.keys().next_back().copied(),
            }?;
            let queue = self.waiting.get_mut(&rank)?;
            let next = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&rank);
            }
            if let Some(next) = next.filter(&waits) {
                return Some(next);
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which those who wait are served, when one slot is handed from each to the next.
    async fn served(waiting: &[(Stage, Lane)]) -> Vec<(Stage, Lane)> {
        let slots = ProcessorSlots::new(1);
        let held = slots.acquire(Stage::Planning, Lane::Normal).await;
        let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
        for (stage, lane) in waiting.iter().copied() {
            let (slots, sender) = (slots.clone(), sender.clone());
            tokio::spawn(async move {
                let _slot = slots.acquire(stage, lane).await;
                sender.send((stage, lane)).unwrap();
            });
            tokio::task::yield_now().await;
        }
        drop((held, sender));
        let mut found = vec![];
        while let Some(next) = order.recv().await {
            found.push(next);
        }
        found
    }

    #[tokio::test]
    async fn what_is_begun_is_finished_first() {
        let waiting = [Stage::Planning, Stage::Rendering, Stage::Storage, Stage::ScenarioCreation];
        let order = served(&waiting.map(|stage| (stage, Lane::Normal))).await;
        let expected = [Stage::Storage, Stage::Rendering, Stage::ScenarioCreation, Stage::Planning];
        assert_eq!(order, expected.map(|stage| (stage, Lane::Normal)));
    }

    #[tokio::test]
    async fn urgent_work_goes_before_all_other_and_first_scenes_before_later_ones() {
        let order = served(&[
            (Stage::Rendering, Lane::Normal),
            (Stage::CodeGeneration, Lane::NextScene),
            (Stage::Planning, Lane::Urgent),
            (Stage::Initializing, Lane::Normal),
            (Stage::ScenarioCreation, Lane::FirstScene),
            (Stage::Storage, Lane::High),
        ])
        .await;
        let expected = [
            (Stage::Planning, Lane::Urgent),
            (Stage::ScenarioCreation, Lane::FirstScene),
            (Stage::Initializing, Lane::Normal),
            (Stage::CodeGeneration, Lane::NextScene),
            (Stage::Storage, Lane::High),
            (Stage::Rendering, Lane::Normal),
        ];
        assert_eq!(order, expected);
    }

    #[tokio::test]
    async fn urgent_work_without_end_starves_nothing() {
        let mut waiting = vec![(Stage::Planning, Lane::Urgent); 20];
        waiting.push((Stage::Rendering, Lane::Normal));
        let order = served(&waiting).await;
        let place = order.iter().position(|(_, lane)| *lane == Lane::Normal).unwrap() as u64;
        assert!(place < LIFT_EVERY, "served as number {place}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nobody_waits_for_a_slot_that_is_free() {
        let slots = ProcessorSlots::new(1);
        let workers = (0..4).map(|_| {
            let slots = slots.clone();
            tokio::spawn(async move {
                for _ in 0..20_000 {
                    drop(slots.acquire(Stage::Rendering, Lane::Normal).await);
                }
            })
        });
        let all = futures_util::future::try_join_all(workers.collect::<Vec<_>>());
        tokio::time::timeout(std::time::Duration::from_secs(60), all).await.expect("nobody is left").unwrap();
        assert_eq!(slots.state().free, 1);
    }

    #[tokio::test]
    async fn a_slot_for_somebody_who_left_goes_to_the_next() {
        let slots = ProcessorSlots::new(1);
        let held = slots.acquire(Stage::Planning, Lane::Normal).await;
        let left = tokio::spawn({
            let slots = slots.clone();
            async move { drop(slots.acquire(Stage::Storage, Lane::Normal).await) }
        });
        tokio::task::yield_now().await;
        left.abort();
        assert!(left.await.unwrap_err().is_cancelled());
        drop(held);
        let again = tokio::time::timeout(
            std::time::Duration::from_secs(5),
            slots.acquire(Stage::Planning, Lane::Normal),
        );
        assert!(again.await.is_ok());
        assert_eq!(slots.state().free, 1);
    }
}
