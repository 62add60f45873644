//! Where projections have halted: notes in Redis, for health, metrics and operators.
//!
//! A projection halts at what is wrong with the log or the database itself, and not with one aggregate (`quarantine`).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::events::EventLog;

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
