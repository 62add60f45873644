//! A read model, as an aggregate: what operators decided about it. Its rows are no business of this.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use super::{Aggregate, Id};
use crate::events::{ProjectionEvent, Recorded};
use crate::ids::{AggregateId, ProjectionId};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Projection {
    /// Sequence numbers of the events that the projection leaves out, by partition.
    pub skipped: BTreeMap<u16, BTreeSet<u64>>,
    /// The aggregates that the projection passes over.
    pub quarantined: BTreeMap<AggregateId, Quarantined>,
}

/// An aggregate that a projection passes over, from one event on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    pub partition: u16,
    /// The kind of the aggregate.
    pub aggregate: String,
    /// Sequence number of the first event that is passed over, and its version.
    pub seq: u64,
    pub version: u64,
    pub error: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Leave out one event for good.
    Skip { projection: String, partition: u16, seq: u64, reason: String },
    /// Pass over an aggregate.
    Quarantine { projection: String, aggregate_id: AggregateId, quarantined: Quarantined },
    /// Take up an aggregate again.
    Release { projection: String, partition: u16, aggregate_id: AggregateId, reason: String },
}

impl Command {
    /// The name of the projection that is decided about.
    pub fn projection(&self) -> &str {
        match self {
            Command::Skip { projection, .. }
            | Command::Quarantine { projection, .. }
            | Command::Release { projection, .. } => projection,
        }
    }
}

impl Id for ProjectionId {
    type Aggregate = Projection;
}

impl Aggregate for Projection {
    type Event = ProjectionEvent;
    type Command = Command;
    type Rejection = Infallible;

    /// What is so already is not decided again.
    fn decide(&self, command: Command) -> Result<Vec<ProjectionEvent>, Infallible> {
        let (news, event) = match command {
            Command::Skip { projection, partition, seq, reason } => (
                !self.skips(partition, seq),
                ProjectionEvent::EventSkipped { projection, partition, seq, reason },
            ),
            Command::Quarantine { projection, aggregate_id, quarantined } => {
                let is_new = self.quarantined.get(&aggregate_id) != Some(&quarantined);
                let Quarantined { partition, aggregate, seq, version, error } = quarantined;
                let event = ProjectionEvent::AggregateQuarantined {
                    projection,
                    partition,
                    aggregate,
                    aggregate_id,
                    seq,
                    version,
                    error,
                };
                (is_new, event)
            }
            Command::Release { projection, partition, aggregate_id, reason } => (
                self.quarantined.contains_key(&aggregate_id),
                ProjectionEvent::AggregateReleased { projection, partition, aggregate_id, reason },
            ),
        };
        Ok(if news { vec![event] } else { vec![] })
    }

    fn evolve(mut self, recorded: &Recorded<ProjectionEvent>) -> Self {
        match recorded.event.clone() {
            ProjectionEvent::EventSkipped { partition, seq, .. } => {
                self.skipped.entry(partition).or_default().insert(seq);
            }
            ProjectionEvent::AggregateQuarantined {
                partition,
                aggregate,
                aggregate_id,
                seq,
                version,
                error,
                ..
            } => {
                let quarantined = Quarantined { partition, aggregate, seq, version, error };
                self.quarantined.insert(aggregate_id, quarantined);
            }
            ProjectionEvent::AggregateReleased { aggregate_id, .. } => {
                self.quarantined.remove(&aggregate_id);
            }
        }
        self
    }
}

impl Projection {
    fn skips(&self, partition: u16, seq: u64) -> bool {
        self.skipped.get(&partition).is_some_and(|skipped| skipped.contains(&seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is decided, and the state after it.
    fn decide(projection: Projection, command: Command) -> (usize, Projection) {
        let events = projection.decide(command).unwrap();
        let recorded = events.iter().map(|event| Recorded {
            version: 1,
            recorded_at: chrono::DateTime::UNIX_EPOCH,
            event: event.clone(),
        });
        (events.len(), recorded.fold(projection, |projection, recorded| projection.evolve(&recorded)))
    }

    fn skip(partition: u16, seq: u64) -> Command {
        Command::Skip { projection: "catalog".into(), partition, seq, reason: "damaged".into() }
    }

    #[test]
    fn an_event_is_skipped_once() {
        let (count, projection) = decide(Projection::default(), skip(1, 7));
        assert_eq!(count, 1);
        let (count, projection) = decide(projection, skip(1, 7));
        assert_eq!(count, 0);
        let (count, projection) = decide(projection, skip(2, 7));
        assert_eq!(count, 1);
        assert_eq!(projection.skipped[&1], BTreeSet::from([7]));
    }

    #[test]
    fn an_aggregate_is_quarantined_until_it_is_released() {
        let aggregate_id = crate::ids::JobId::new().aggregate();
        let quarantined = Quarantined {
            partition: 1,
            aggregate: "job".into(),
            seq: 7,
            version: 2,
            error: "cannot be decoded".into(),
        };
        let quarantine = || Command::Quarantine {
            projection: "catalog".into(),
            aggregate_id,
            quarantined: quarantined.clone(),
        };
        let release = || Command::Release {
            projection: "catalog".into(),
            partition: 1,
            aggregate_id,
            reason: "mended".into(),
        };
        let (count, projection) = decide(Projection::default(), release());
        assert_eq!(count, 0, "nothing to release");
        let (count, projection) = decide(projection, quarantine());
        assert_eq!((count, projection.quarantined.get(&aggregate_id)), (1, Some(&quarantined)));
        let (count, projection) = decide(projection, quarantine());
        assert_eq!(count, 0);
        let (count, projection) = decide(projection, release());
        assert_eq!((count, projection.quarantined.len()), (1, 0));
    }
}
