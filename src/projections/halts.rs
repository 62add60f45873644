//! Where projections have halted, and which events operators have had them skip.
//!
//! A halt is a note in Redis, for health, metrics and operators. A skip is an event of the aggregate `projection`:
//! it holds for every rebuild too, and says who decided it and why.

use std::collections::BTreeSet;
use std::convert::Infallible;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::domain::Aggregate;
use crate::domain::projection::{Command, Projection};
use crate::events::{Actor, EventLog, TypedId};
use crate::execute::{self, Executor, Origin};
use crate::ids::ProjectionId;

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
    let id = ProjectionId::of_name(projection);
    let mut decided = Projection::default();
    for envelope in log.history(id.aggregate(), 0).await? {
        decided = decided.evolve(&execute::decode(&envelope).map_err(Error::Halts)?);
    }
    Ok(decided.skipped.remove(&partition).unwrap_or_default())
}

/// Records that a projection leaves out an event for good.
pub async fn skip(
    executor: &Executor,
    halt: &Halt,
    reason: &str,
    actor: Actor,
) -> Result<u64, execute::Error<Infallible>> {
    let command = Command::Skip {
        projection: halt.projection.clone(),
        partition: halt.partition,
        seq: halt.seq,
        reason: reason.to_owned(),
    };
    let id = ProjectionId::of_name(&halt.projection);
    let executed = executor.execute(id, command, &Origin::standalone(actor), None).await?;
    Ok(executed.loaded.tip.version)
}
