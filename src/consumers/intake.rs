//! Chooses the work that a stage takes next: the most urgent first, without starving the rest, from all partitions in turn.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::events::doorbell::StageBell;
use crate::events::queue::Consumer;
use crate::events::work::TakenWork;
use crate::events::{Error, Priority, WorkQueue};

/// One in this many pieces prefers a lower priority, each of them in turn. So under endless urgent work, every other priority
/// still gets one in three times as many pieces.
const LIFT_EVERY: usize = 8;
const LIFTED: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];

/// Entries that this process is working on.
#[derive(Clone, Default)]
pub struct Held(Arc<Mutex<HashSet<(String, String)>>>);

impl Held {
    fn entries(&self) -> MutexGuard<'_, HashSet<(String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn contains(&self, work: &TakenWork) -> bool {
        self.entries().contains(&entry(work))
    }

    fn insert(&self, work: &TakenWork) -> bool {
        self.entries().insert(entry(work))
    }

    pub fn remove(&self, work: &TakenWork) {
        self.entries().remove(&entry(work));
    }
}

fn entry(work: &TakenWork) -> (String, String) {
    (work.receipt.stream.clone(), work.receipt.entry_id.clone())
}

/// Takes work for one stage in one process.
pub struct Intake {
    queue: WorkQueue,
    consumer: Consumer,
    bell: StageBell,
    held: Held,
    /// Pieces taken so far.
    turn: usize,
    /// Partition to ask first. It rotates, so that no partition is always served last.
    first_partition: u16,
    /// Partitions where a call for work has an unknown outcome: it may have taken some.
    uncertain: BTreeSet<u16>,
}

impl Intake {
    pub fn new(queue: WorkQueue, consumer: Consumer, bell: StageBell, held: Held) -> Self {
        Self { queue, consumer, bell, held, turn: 0, first_partition: 0, uncertain: BTreeSet::new() }
    }

    /// Takes at most `free` pieces from partitions where work may wait; none when nothing waits.
    pub async fn take(&mut self, free: usize) -> Result<Vec<TakenWork>, Error> {
        self.bell.reset();
        let mut taken = self.find_lost(free).await?;
        while taken.len() < free {
            let Some((partition, priority, most)) = self.next(free - taken.len()) else { break };
            self.bell.note(partition, priority, false);
            match self.queue.take(partition, priority, &self.consumer, most).await {
                Ok(found) => {
                    if found.left > 0 {
                        self.bell.note(partition, priority, true);
                    }
                    self.first_partition = partition + 1;
                    self.turn += found.work.len();
                    taken.extend(found.work.into_iter().filter(|work| self.held.insert(work)));
                }
                Err(error) => {
                    self.bell.note(partition, priority, true);
                    self.uncertain.insert(partition);
                    // Work taken before must be done all the same.
                    return if taken.is_empty() { Err(error) } else { Ok(taken) };
                }
            }
        }
        Ok(taken)
    }

    /// Returns the most urgent priority of which work may wait; `None` when nothing is known to wait.
    pub fn first_waiting(&self) -> Option<Priority> {
        let may_wait = |priority: &Priority| {
            !self.uncertain.is_empty() || self.bell.waiting(*priority, self.first_partition).is_some()
        };
        Priority::ALL.into_iter().find(may_wait)
    }

    /// Waits until there may be work: for a ring, or for the next poll.
    pub async fn wait(&mut self) -> Result<(), Error> {
        if self.bell.rung().await {
            return Ok(());
        }
        for partition in self.queue.keys().partitions() {
            if self.queue.anything_waits(partition, self.consumer.stage).await? {
                for priority in Priority::ALL {
                    self.bell.note(partition, priority, true);
                }
            }
        }
        Ok(())
    }

    /// Finds the work that a call with an unknown outcome has taken, in this consumer's pending list.
    async fn find_lost(&mut self, free: usize) -> Result<Vec<TakenWork>, Error> {
        while let Some(partition) = self.uncertain.first().copied() {
            let pending = self.queue.pending_of(partition, &self.consumer).await?;
            let mut lost: Vec<TakenWork> =
                pending.into_iter().filter(|work| !self.held.contains(work)).collect();
            // The rest is found again next time.
            if lost.len() < free {
                self.uncertain.remove(&partition);
            }
            lost.truncate(free);
            if !lost.is_empty() {
                for work in &lost {
                    self.held.insert(work);
                }
                return Ok(lost);
            }
        }
        Ok(vec![])
    }

    /// Returns the partition and priority to take from next, and the most pieces to take.
    fn next(&self, free: usize) -> Option<(u16, Priority, usize)> {
        let waiting = |priority| self.bell.waiting(priority, self.first_partition);
        let classes = Priority::ALL.into_iter().filter(|priority| waiting(*priority).is_some()).count();
        let (order, until_lift) = order(self.turn);
        let most = if classes == 1 { free } else { free.min(until_lift) };
        order.into_iter().find_map(|priority| Some((waiting(priority)?, priority, most)))
    }
}

/// Returns the order of priorities for piece number `turn`, and the number of pieces to take in that order.
fn order(turn: usize) -> ([Priority; 4], usize) {
    let until_lift = LIFT_EVERY - 1 - turn % LIFT_EVERY;
    if until_lift > 0 {
        return (Priority::ALL, until_lift);
    }
    let lifted = LIFTED[turn / LIFT_EVERY % LIFTED.len()];
    let mut order = Priority::ALL;
    order.sort_by_key(|priority| (*priority != lifted, *priority));
    (order, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_goes_first_and_every_priority_gets_its_share() {
        let first: Vec<Priority> = (0..24).map(|turn| order(turn).0[0]).collect();
        let count = |wanted| first.iter().filter(|priority| **priority == wanted).count();
        assert_eq!(count(Priority::Urgent), 21);
        for other in LIFTED {
            assert_eq!(count(other), 1, "{other:?}");
        }
        assert_eq!(order(0), (Priority::ALL, 7));
        assert_eq!(order(6).1, 1);
        assert_eq!(order(7), ([Priority::Low, Priority::Urgent, Priority::High, Priority::Normal], 1));
    }
}
