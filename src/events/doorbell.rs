//! Wakes readers after appends, and tells workers where work waits.
//!
//! Every append publishes to a Redis channel. The doorbell only saves time: a message can be lost, so every listener also polls
//! every [`POLL_INTERVAL`]. Blocking reads would need a connection for each reader, and would take entries beyond a worker's
//! free slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Stage;
use super::connection::Address;
use super::keys::Keys;
use super::lane::Lane;

/// Interval of polling, and so the longest delay after a missed ring.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Pause before subscribing again after a lost connection.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(200);

/// Cheap to clone.
#[derive(Clone)]
pub struct Doorbell {
    partitions: Vec<watch::Receiver<()>>,
    stages: Vec<StageBell>,
}

/// The partitions and lanes in which work of one stage may wait. For one reader.
#[derive(Clone)]
pub struct StageBell {
    /// Bits of lanes, for each partition.
    waiting: Arc<[AtomicU8]>,
    rung: watch::Receiver<()>,
}

struct Bells {
    partitions: Vec<watch::Sender<()>>,
    stages: Vec<(Arc<[AtomicU8]>, watch::Sender<()>)>,
}

impl StageBell {
    /// Returns the next partition where work of the lane may wait, from `first` on, with wraparound.
    pub fn waiting(&self, lane: Lane, first: u16) -> Option<u16> {
        let count = self.waiting.len() as u16;
        (0..count).map(|offset| (first + offset) % count).find(|partition| self.may_wait(*partition, lane))
    }

    /// Returns `true` when work of the lane may wait in the partition.
    pub fn may_wait(&self, partition: u16, lane: Lane) -> bool {
        self.waiting[usize::from(partition)].load(Ordering::Acquire) & bit(lane) != 0
    }

    /// Returns all partitions where work of the lane may wait.
    pub fn all_waiting(&self, lane: Lane) -> Vec<u16> {
        (0..self.waiting.len() as u16).filter(|partition| self.may_wait(*partition, lane)).collect()
    }

    /// Sets whether work waits. A reader must clear it before it asks the server, so that a ring during the call counts.
    pub fn note(&self, partition: u16, lane: Lane, waits: bool) {
        let mask = &self.waiting[usize::from(partition)];
        match waits {
            true => mask.fetch_or(bit(lane), Ordering::AcqRel),
            false => mask.fetch_and(!bit(lane), Ordering::AcqRel),
        };
    }

    /// Resets the bell. Must be called before polling.
    pub fn reset(&mut self) {
        self.rung.borrow_and_update();
    }

    /// Waits for a ring. `false` when it is time to poll.
    pub async fn rung(&mut self) -> bool {
        rung(&mut self.rung).await
    }
}

fn bit(lane: Lane) -> u8 {
    1 << lane as u8
}

impl Doorbell {
    /// Subscribes, and resubscribes until `stop`.
    pub fn listen(address: Address, keys: &Keys, stop: CancellationToken) -> Self {
        let (partition_bells, partitions) = keys.partitions().map(|_| watch::channel(())).unzip();
        let nothing = || keys.partitions().map(|_| AtomicU8::new(0)).collect::<Arc<[AtomicU8]>>();
        let (stage_bells, stages) = Stage::ALL
            .iter()
            .map(|_| {
                let (waiting, (sender, rung)) = (nothing(), watch::channel(()));
                ((waiting.clone(), sender), StageBell { waiting, rung })
            })
            .unzip();
        let bells = Bells { partitions: partition_bells, stages: stage_bells };
        let channel = keys.doorbell();
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                tokio::select! {
                    () = stop.cancelled() => break,
                    outcome = forward(&address, &channel, &bells) => {
                        if let Err(error) = outcome {
                            tracing::warn!(%error, "lost the doorbell, subscribing again");
                        }
                        tokio::time::sleep(RESUBSCRIBE_AFTER).await;
                    }
                }
            }
        });
        Self { partitions, stages }
    }

    /// Returns a receiver that rings when events are appended to the partition.
    pub fn partition(&self, partition: u16) -> watch::Receiver<()> {
        self.partitions[usize::from(partition)].clone()
    }

    /// Returns a bell that rings when work of the stage is queued.
    pub fn stage(&self, stage: Stage) -> StageBell {
        self.stages[stage as usize].clone()
    }
}

/// Waits for a ring. `false` when it is time to poll.
pub async fn rung(bell: &mut watch::Receiver<()>) -> bool {
    match tokio::time::timeout(POLL_INTERVAL, bell.changed()).await {
        Ok(Ok(())) => true,
        // The process is stopping: this paces the last polls.
        Ok(Err(_closed)) => {
            tokio::time::sleep(POLL_INTERVAL).await;
            false
        }
        Err(_late) => false,
    }
}

async fn forward(address: &Address, channel: &str, bells: &Bells) -> redis::RedisResult<()> {
    let mut subscription = address.subscriber().await?;
    subscription.subscribe(channel).await?;
    // Covers everything appended while the connection was down.
    bells.ring_all();
    let mut messages = subscription.on_message();
    while let Some(message) = messages.next().await {
        let text: String = message.get_payload()?;
        bells.ring(&text);
    }
    Ok(())
}

impl Bells {
    /// Handles a message `<partition> <stage>:<lane>,…`, in which stages may be absent.
    fn ring(&self, message: &str) {
        let (partition, work) = message.split_once(' ').unwrap_or((message, ""));
        let Some(partition) = partition.parse().ok().filter(|index: &usize| *index < self.partitions.len())
        else {
            return;
        };
        self.partitions[partition].send_replace(());
        for piece in work.split(',') {
            let Some((stage, lane)) = piece.split_once(':') else { continue };
            let Some((stage, lane)) = Stage::parse(stage).zip(Lane::parse(lane)) else {
                continue;
            };
            let (waiting, bell) = &self.stages[stage as usize];
            waiting[partition].fetch_or(bit(lane), Ordering::AcqRel);
            bell.send_replace(());
        }
    }

    fn ring_all(&self) {
        for bell in &self.partitions {
            bell.send_replace(());
        }
        for (waiting, bell) in &self.stages {
            for mask in waiting.iter() {
                mask.store(u8::MAX, Ordering::Release);
            }
            bell.send_replace(());
        }
    }
}
