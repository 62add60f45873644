//! Chooses the work that a stage takes next: the most urgent first, without starving the rest, from all partitions in turn.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::events::doorbell::StageBell;
use crate::events::queue::Consumer;
use crate::events::work::TakenWork;
use crate::events::{Error, Lane, WorkQueue};

/// One in this many pieces prefers a later lane, each of them in turn. So under endless urgent work, every other priority
/// still gets one in three times as many pieces.
const LIFT_EVERY: usize = 8;
const LIFTED: [Lane; 3] = [Lane::Low, Lane::Normal, Lane::High];

/// Requesters whose turns are remembered; past it, all begin again.
const MAX_TURNS: usize = 1024;

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
    turns: Turns,
    /// Partitions where a call for work has an unknown outcome: it may have taken some.
    uncertain: BTreeSet<u16>,
}

impl Intake {
    pub fn new(queue: WorkQueue, consumer: Consumer, bell: StageBell, held: Held) -> Self {
        let (turns, uncertain) = (Turns::default(), BTreeSet::new());
        Self { queue, consumer, bell, held, turn: 0, first_partition: 0, turns, uncertain }
    }

    /// Takes at most `free` pieces from partitions where work may wait; none when nothing waits.
    pub async fn take(&mut self, free: usize) -> Result<Vec<TakenWork>, Error> {
        self.bell.reset();
        let mut taken = self.find_lost(free).await?;
        while taken.len() < free {
            let Some((lane, most)) = self.next_lane(free - taken.len()) else { break };
            let Some(partition) = self.bell.waiting(lane, self.first_partition) else { break };
            match self.take_from(partition, lane, most).await {
                Ok(found) => taken.extend(found),
                // Work taken before must be done all the same.
                Err(error) => return if taken.is_empty() { Err(error) } else { Ok(taken) },
            }
        }
        Ok(taken)
    }

    /// Takes one piece: of the requesters of all partitions, who take turns here too, and of one requester that of the oldest
    /// job.
    pub async fn take_oldest(&mut self) -> Result<Vec<TakenWork>, Error> {
        self.bell.reset();
        let lost = self.find_lost(1).await?;
        if !lost.is_empty() {
            return Ok(lost);
        }
        while let Some((lane, _)) = self.next_lane(1) {
            let Some(partition) = self.find_oldest(lane).await? else { continue };
            let found = self.take_from(partition, lane, 1).await?;
            if let Some(work) = found.first() {
                self.turns.serve(&work.requester);
                return Ok(found);
            }
        }
        Ok(vec![])
    }

    async fn take_from(&mut self, partition: u16, lane: Lane, most: usize) -> Result<Vec<TakenWork>, Error> {
        self.bell.note(partition, lane, false);
        match self.queue.take(partition, lane, &self.consumer, most).await {
            Ok(found) => {
                if found.left > 0 {
                    self.bell.note(partition, lane, true);
                }
                self.first_partition = partition + 1;
                self.turn += found.work.len();
                Ok(found.work.into_iter().filter(|work| self.held.insert(work)).collect())
            }
            Err(error) => {
                self.bell.note(partition, lane, true);
                self.uncertain.insert(partition);
                Err(error)
            }
        }
    }

    /// Returns the partition with the piece to take; `None` when nothing waits in the lane.
    async fn find_oldest(&self, lane: Lane) -> Result<Option<u16>, Error> {
        let partitions = self.bell.all_waiting(lane);
        if let [partition] = partitions[..] {
            return Ok(Some(partition));
        }
        let looks = partitions.into_iter().map(|partition| self.peek(partition, lane));
        let found = futures_util::future::try_join_all(looks).await?;
        let first = found.into_iter().flatten().min_by(|a, b| {
            let rank =
                |(_, requester, order): &(u16, String, String)| (self.turns.of(requester), order.clone());
            rank(a).cmp(&rank(b))
        });
        Ok(first.map(|(partition, ..)| partition))
    }

    async fn peek(&self, partition: u16, lane: Lane) -> Result<Option<(u16, String, String)>, Error> {
        self.bell.note(partition, lane, false);
        let found = self.queue.peek(partition, self.consumer.stage, lane).await;
        if !matches!(found, Ok(None)) {
            self.bell.note(partition, lane, true);
        }
        Ok(found?.map(|(requester, order)| (partition, requester, order)))
    }

    /// Returns the first lane in which work may wait; `None` when nothing is known to wait.
    pub fn first_waiting(&self) -> Option<Lane> {
        let may_wait = |lane: &Lane| !self.uncertain.is_empty() || self.bell.waiting(*lane, 0).is_some();
        Lane::ALL.into_iter().find(may_wait)
    }

    /// Waits until there may be work: for a ring, or for the next poll.
    pub async fn wait(&mut self) -> Result<(), Error> {
        if self.bell.rung().await {
            return Ok(());
        }
        for partition in self.queue.keys().partitions() {
            if self.queue.anything_waits(partition, self.consumer.stage).await? {
                for lane in Lane::ALL {
                    self.bell.note(partition, lane, true);
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

    /// Returns the lane to take from next, and the most pieces to take; `None` when nothing is known to wait.
    fn next_lane(&self, free: usize) -> Option<(Lane, usize)> {
        let waiting = |lane: &Lane| self.bell.waiting(*lane, 0).is_some();
        let lanes = Lane::ALL.iter().filter(|lane| waiting(lane)).count();
        let (order, until_lift) = order(self.turn);
        let most = if lanes == 1 { free } else { free.min(until_lift) };
        order.into_iter().find(waiting).map(|lane| (lane, most))
    }
}

/// Returns the order of lanes for piece number `turn`, and the number of pieces to take in that order.
fn order(turn: usize) -> ([Lane; 5], usize) {
    let until_lift = LIFT_EVERY - 1 - turn % LIFT_EVERY;
    if until_lift > 0 {
        return (Lane::ALL, until_lift);
    }
    let lifted = LIFTED[turn / LIFT_EVERY % LIFTED.len()];
    let mut order = Lane::ALL;
    order.sort_by_key(|lane| (*lane != lifted, *lane));
    (order, 1)
}

/// The turns of requesters, over all partitions (start-time fair queueing, as in each partition's queue).
#[derive(Default)]
struct Turns {
    now: u64,
    next: HashMap<String, u64>,
}

impl Turns {
    fn of(&self, requester: &str) -> u64 {
        self.next.get(requester).map_or(self.now, |next| self.now.max(*next))
    }

    fn serve(&mut self, requester: &str) {
        self.now = self.of(requester);
        self.next.insert(requester.to_owned(), self.now + 1);
        if self.next.len() > MAX_TURNS {
            // No next turn is further away than this.
            self.now += 1;
            let now = self.now;
            self.next.retain(|_, next| *next > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_goes_first_and_every_priority_gets_its_share() {
        let first: Vec<Lane> = (0..24).map(|turn| order(turn).0[0]).collect();
        let count = |wanted| first.iter().filter(|lane| **lane == wanted).count();
        assert_eq!(count(Lane::Urgent), 21);
        for other in LIFTED {
            assert_eq!(count(other), 1, "{other:?}");
        }
        assert_eq!(order(0), (Lane::ALL, 7));
        assert_eq!(order(6).1, 1);
        assert_eq!(order(7), ([Lane::Low, Lane::Urgent, Lane::FirstScene, Lane::High, Lane::Normal], 1));
    }

    #[test]
    fn requesters_take_turns_over_all_partitions() {
        let mut turns = Turns::default();
        let mut served = vec![];
        for _ in 0..6 {
            let next = ["a", "b"].into_iter().min_by_key(|requester| turns.of(requester)).unwrap();
            turns.serve(next);
            served.push(next);
        }
        assert_eq!(served, ["a", "b", "a", "b", "a", "b"]);
        // Who comes late has no claim to what was before.
        let mut served = vec![];
        for _ in 0..4 {
            let next = ["a", "late"].into_iter().min_by_key(|requester| turns.of(requester)).unwrap();
            turns.serve(next);
            served.push(next);
        }
        assert_eq!(served.iter().filter(|requester| **requester == "late").count(), 2, "{served:?}");
    }

    #[test]
    fn few_turns_are_remembered() {
        let mut turns = Turns::default();
        for number in 0..10_000 {
            turns.serve(&number.to_string());
        }
        assert!(turns.next.len() <= MAX_TURNS + 1, "{}", turns.next.len());
    }
}
