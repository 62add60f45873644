//! Wakes readers when something was appended.
//!
//! Every append rings a Redis channel. The bell only saves waiting: it may be missed (pub/sub keeps
//! nothing), so whoever listens also looks by itself every [`LOOK_ANYWAY`]. Blocking reads would do
//! the same with a connection for each reader, and would take entries beyond a worker's free slots.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Stage;
use super::keys::Keys;

/// The longest that a missed ring can delay anyone.
pub const LOOK_ANYWAY: Duration = Duration::from_secs(1);

/// How long to wait before subscribing again after the connection was lost.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(200);

/// Cheap to clone.
#[derive(Clone)]
pub struct Doorbell {
    partitions: Vec<watch::Receiver<()>>,
    stages: Vec<watch::Receiver<()>>,
}

struct Bells {
    partitions: Vec<watch::Sender<()>>,
    stages: Vec<watch::Sender<()>>,
}

impl Doorbell {
    /// Subscribes, and stays subscribed until `stop`.
    pub fn listen(client: redis::Client, keys: &Keys, stop: CancellationToken) -> Self {
        let (partition_bells, partitions) = keys.partitions().map(|_| watch::channel(())).unzip();
        let (stage_bells, stages) = Stage::ALL.iter().map(|_| watch::channel(())).unzip();
        let bells = Bells { partitions: partition_bells, stages: stage_bells };
        let channel = keys.doorbell();
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                tokio::select! {
                    () = stop.cancelled() => break,
                    outcome = forward(&client, &channel, &bells) => {
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

    /// Rings when events were appended to the partition.
    pub fn partition(&self, partition: u16) -> watch::Receiver<()> {
        self.partitions[usize::from(partition)].clone()
    }

    /// Rings when work of the stage was scheduled.
    pub fn stage(&self, stage: Stage) -> watch::Receiver<()> {
        self.stages[stage as usize].clone()
    }
}

/// Waits for a ring, or for as long as a missed ring may take.
pub async fn rung(bell: &mut watch::Receiver<()>) {
    // A closed bell means that the process is stopping; the timeout then paces the last looks.
    if let Ok(Err(_closed)) = tokio::time::timeout(LOOK_ANYWAY, bell.changed()).await {
        tokio::time::sleep(LOOK_ANYWAY).await;
    }
}

async fn forward(client: &redis::Client, channel: &str, bells: &Bells) -> redis::RedisResult<()> {
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe(channel).await?;
    // Whatever was appended while nobody listened.
    bells.ring_all();
    let mut messages = subscription.on_message();
    while let Some(message) = messages.next().await {
        let text: String = message.get_payload()?;
        bells.ring(&text);
    }
    Ok(())
}

impl Bells {
    /// `<partition> <stage>,<stage>…`, where the stages may be missing.
    fn ring(&self, message: &str) {
        let (partition, stages) = message.split_once(' ').unwrap_or((message, ""));
        if let Some(bell) = partition.parse().ok().and_then(|index: usize| self.partitions.get(index)) {
            bell.send_replace(());
        }
        for stage in stages.split(',').filter_map(Stage::parse) {
            self.stages[stage as usize].send_replace(());
        }
    }

    fn ring_all(&self) {
        for bell in self.partitions.iter().chain(&self.stages) {
            bell.send_replace(());
        }
    }
}
