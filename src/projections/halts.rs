//! Where projections have halted, and which events operators have had them skip.
//!
//! A halt is a note in Redis, for health, metrics and operators. A skip is an event of the aggregate `projection`:
//! it holds for every rebuild too, and says who decided it and why.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::events::system::named;
use crate::events::{Actor, AggregateKind, EventLog, SystemEvent};
use crate::execute::{self, Executor};
use crate::ids::AggregateId;

/// A projection that waits in front of an event that it cannot apply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Halt {
    pub projection: String,
    pub partition: u16,
    /// The event's sequence number.
    pub seq: u64,
    pub error: String,
    pub since: DateTime<Utc>,
}

impl Halt {
    fn field(projection: &str, partition: u16) -> String {
        format!("{projection}:{partition}")
    }
}

fn aggregate(projection: &str) -> AggregateId {
    named(AggregateKind::Projection, projection)
}

/// Notes a halt; a second call for the same place replaces the first.
pub async fn note(log: &EventLog, halt: &Halt) -> Result<(), Error> {
    let field = Halt::field(&halt.projection, halt.partition);
    let text = serde_json::to_string(halt)?;
    let mut command = redis::cmd("HSET");
    command.arg(log.keys().halts()).arg(field).arg(text);
    Ok(command.query_async(&mut log.connection()).await?)
}

pub async fn clear(log: &EventLog, projection: &str, partition: u16) -> Result<(), Error> {
    let mut command = redis::cmd("HDEL");
    command.arg(log.keys().halts()).arg(Halt::field(projection, partition));
    Ok(command.query_async(&mut log.connection()).await?)
}

/// All projections that are halted now.
pub async fn all(log: &EventLog) -> Result<Vec<Halt>, Error> {
    let texts: Vec<String> =
        redis::cmd("HVALS").arg(log.keys().halts()).query_async(&mut log.connection()).await?;
    let mut halts: Vec<Halt> =
        texts.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>()?;
    halts.sort_by(|a, b| (&a.projection, a.partition).cmp(&(&b.projection, b.partition)));
    Ok(halts)
}

/// The sequence numbers that a projection skips in a partition.
pub async fn skips(log: &EventLog, projection: &str, partition: u16) -> Result<BTreeSet<u64>, Error> {
    let history = log.history(aggregate(projection), 0).await?;
    let events = history.iter().map(|envelope| {
        let tagged = format!(r#"{{"type":"{}","data":{}}}"#, envelope.event_type, envelope.data);
        serde_json::from_str::<SystemEvent>(&tagged)
    });
    let mut skipped = BTreeSet::new();
    for event in events {
        if let SystemEvent::EventSkipped { partition: of, seq, .. } = event?
            && of == partition
        {
            skipped.insert(seq);
        }
    }
    Ok(skipped)
}

/// Records that a projection leaves out an event for good.
pub async fn skip(
    executor: &Executor,
    halt: &Halt,
    reason: &str,
    actor: Actor,
) -> Result<u64, execute::Error> {
    let event = SystemEvent::EventSkipped {
        projection: halt.projection.clone(),
        partition: halt.partition,
        seq: halt.seq,
        reason: reason.to_owned(),
    };
    executor.record(AggregateKind::Projection, aggregate(&halt.projection), &event, actor).await
}
