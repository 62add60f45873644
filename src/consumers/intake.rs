//! Chooses the work that a stage takes next: the most urgent first, without starving the rest, from all partitions in turn.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::nearby::NearbyScenes;
use super::turns::{Turns, lane_order};
use crate::events::doorbell::StageBell;
use crate::events::queue::Consumer;
use crate::events::work::{NextJob, TakenWork};
use crate::events::{Error, Lane, WorkQueue};

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
    nearby: NearbyScenes,
    /// Pieces taken so far.
    turn: usize,
    /// Partition to ask first. It rotates, so that no partition is always served last.
    first_partition: u16,
    turns: Turns,
    /// Partitions where a call for work has an unknown outcome: it may have taken some.
    uncertain: BTreeSet<u16>,
}

impl Intake {
    pub fn new(
        queue: WorkQueue,
        consumer: Consumer,
        bell: StageBell,
        held: Held,
        nearby: NearbyScenes,
    ) -> Self {
        let (turns, uncertain) = (Turns::default(), BTreeSet::new());
        Self { queue, consumer, bell, held, nearby, turn: 0, first_partition: 0, turns, uncertain }
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

    /// Takes one piece of the job whose turn it is: requesters take turns over all partitions, too, a job at a time, and among
    /// equal turns the oldest job goes first.
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
                self.turns.serve(&work.requester, &work.rank());
                return Ok(found);
            }
        }
        Ok(vec![])
    }

    async fn take_from(&mut self, partition: u16, lane: Lane, most: usize) -> Result<Vec<TakenWork>, Error> {
        self.bell.note(partition, lane, false);
        let preferred = self.nearby.preferred(self.consumer.stage, lane);
        match self.queue.take_preferred(partition, lane, &self.consumer, most, &preferred).await {
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
        let turn = |job: &NextJob| self.turns.of(&job.requester, job.rank());
        let first = found
            .into_iter()
            .flatten()
            .min_by(|(_, a), (_, b)| turn(a).cmp(&turn(b)).then_with(|| a.order.cmp(&b.order)));
        Ok(first.map(|(partition, _)| partition))
    }

    async fn peek(&self, partition: u16, lane: Lane) -> Result<Option<(u16, NextJob)>, Error> {
        self.bell.note(partition, lane, false);
        let found = self.queue.peek(partition, self.consumer.stage, lane).await;
        if !matches!(found, Ok(None)) {
            self.bell.note(partition, lane, true);
        }
        Ok(found?.map(|job| (partition, job)))
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
        let (order, until_lift) = lane_order(self.turn);
        let most = if lanes == 1 { free } else { free.min(until_lift) };
        order.into_iter().find(waiting).map(|lane| (lane, most))
    }
}
