//! Pointers to work. A pointer names the event that describes the work (an aggregate and a version), its requester, and the token
//! of its current attempt. The work itself is described only in the log.

use uuid::Uuid;

use super::event::TypedId;
use super::job::WorkItem;
use super::lane::Lane;
use super::{Priority, Stage};
use crate::ids::{AggregateId, AttemptToken, JobId};

/// Work that an append queues together with its scheduling event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledWork {
    pub item: WorkItem,
    pub priority: Priority,
    pub token: AttemptToken,
    /// Version of the scheduling event.
    pub version: u64,
    /// 0 for work that may start at once.
    pub delay_ms: u64,
    /// The requester whose turn it takes; see [`requester`].
    pub requester: String,
    /// The job's age, in ms since 1970: when it began, or was requested while it has not begun. The oldest job goes first.
    pub began_ms: i64,
    /// When somebody who watches needs its result, in ms since 1970.
    pub deadline_ms: Option<i64>,
}

/// So long before its deadline a piece goes ahead of others. A scene takes about a second through all stages on an idle machine.
const HEAD_START_MS: i64 = 4000;

impl ScheduledWork {
    pub(super) fn lane(&self) -> Lane {
        Lane::of(self.item, self.priority)
    }

    /// When it goes ahead of others, in ms since 1970, as text; empty where it never does.
    pub(super) fn hastened_at(&self) -> String {
        let at = self.deadline_ms.and_then(|deadline_ms| hastened_at_ms(self.lane(), deadline_ms));
        at.map(|at| at.to_string()).unwrap_or_default()
    }

    /// The place among the work of one requester, as text that sorts.
    pub(super) fn order(&self, id: AggregateId) -> String {
        order(id, self.began_ms, self.item)
    }
}

/// When a piece goes ahead of others that has a deadline, in ms since 1970; `None` where it does already.
pub fn hastened_at_ms(lane: Lane, deadline_ms: i64) -> Option<i64> {
    (lane > Lane::NextScene).then(|| (deadline_ms - HEAD_START_MS).max(0))
}

/// The job's rank, and the scene.
fn order(id: AggregateId, began_ms: i64, item: WorkItem) -> String {
    format!("{}{:06}", job_rank(id, began_ms), item.scene.unwrap_or(0))
}

/// Characters of a rank. The queue's scripts expect as many (`RANK_LENGTH`).
const RANK_LENGTH: usize = 26;

/// The place of a job among those of its requester, as text that sorts: its age, and the part of its id that counts the jobs
/// of a millisecond, or of a batch (bits 48 to 95 of a UUIDv7).
pub fn job_rank(id: AggregateId, began_ms: i64) -> String {
    let count = (id.0.as_u128() >> 32) & 0xffff_ffff_ffff;
    format!("{:014}{count:012x}", began_ms.max(0))
}

/// The job whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextJob {
    pub requester: String,
    /// The place of its next piece among the work of the requester, as text that sorts.
    pub order: String,
}

impl NextJob {
    /// See [`job_rank`].
    pub fn rank(&self) -> &str {
        self.order.get(..RANK_LENGTH).unwrap_or(&self.order)
    }
}

/// Work taken from a stage's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenWork {
    pub aggregate_id: AggregateId,
    pub item: WorkItem,
    pub priority: Priority,
    /// Version of the scheduling event: the worker must have loaded the aggregate up to here.
    pub version: u64,
    pub requester: String,
    pub began_ms: i64,
    pub receipt: Receipt,
}

impl TakenWork {
    /// Returns the job; other aggregates have no work.
    pub fn job_id(&self) -> JobId {
        JobId::of(self.aggregate_id)
    }

    pub(super) fn lane(&self) -> Lane {
        Lane::of(self.item, self.priority)
    }

    pub(super) fn order(&self) -> String {
        order(self.aggregate_id, self.began_ms, self.item)
    }

    /// The rank of its job; see [`job_rank`].
    pub fn rank(&self) -> String {
        job_rank(self.aggregate_id, self.began_ms)
    }

    /// The scene, as all stages' queues name it.
    pub fn scene_order(&self) -> SceneOrder {
        SceneOrder(format!("{} {}", self.requester, self.order()))
    }
}

/// A scene of a job, as `requester order`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SceneOrder(String);

impl SceneOrder {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Acknowledges a piece of work within the append of its result, once. If another attempt has taken the work over, its entry is
/// gone, and the append is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub stream: String,
    pub group: String,
    pub entry_id: String,
    pub token: AttemptToken,
}

/// Returns a short name for a user. Queues store one for each piece of work.
pub fn requester(user_id: &str) -> String {
    blake3::hash(user_id.as_bytes()).to_hex()[..16].to_owned()
}

/// Formats a pointer: `stage priority aggregate version scene attempt token requester began_ms`, where the scene of a whole
/// stage is `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer {
    pub aggregate_id: AggregateId,
    pub work: ScheduledWork,
}

impl Pointer {
    pub fn text(id: AggregateId, work: &ScheduledWork) -> String {
        let ScheduledWork { item, priority, token, version, requester, began_ms, .. } = work;
        let (stage, attempt) = (item.stage, item.attempt);
        let scene = item.scene.map_or_else(|| "-".to_owned(), |scene| scene.to_string());
        format!("{stage} {} {id} {version} {scene} {attempt} {token} {requester} {began_ms}", priority.name())
    }

    /// Parses a pointer; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let stage = Stage::parse(parts.next()?)?;
        let priority = Priority::parse(parts.next()?)?;
        let aggregate_id = AggregateId(Uuid::parse_str(parts.next()?).ok()?);
        let version = parts.next()?.parse().ok()?;
        let scene = match parts.next()? {
            "-" => None,
            number => Some(number.parse().ok()?),
        };
        let attempt = parts.next()?.parse().ok()?;
        let token = AttemptToken(Uuid::parse_str(parts.next()?).ok()?);
        let requester = parts.next()?.to_owned();
        let began_ms = parts.next()?.parse().ok()?;
        let item = WorkItem { stage, scene, attempt };
        let work = ScheduledWork {
            item,
            priority,
            token,
            version,
            delay_ms: 0,
            requester,
            began_ms,
            deadline_ms: None,
        };
        parts.next().is_none().then_some(Self { aggregate_id, work })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_reads_back_as_it_was_written() {
        for scene in [None, Some(7)] {
            let pointer = Pointer {
                aggregate_id: AggregateId(Uuid::now_v7()),
                work: ScheduledWork {
                    item: WorkItem { stage: Stage::Rendering, scene, attempt: 2 },
                    priority: Priority::Urgent,
                    token: AttemptToken(Uuid::now_v7()),
                    version: 31,
                    delay_ms: 0,
                    requester: requester("user 1"),
                    began_ms: 1_800_000_000_000,
                    deadline_ms: None,
                },
            };
            assert_eq!(Pointer::parse(&Pointer::text(pointer.aggregate_id, &pointer.work)), Some(pointer));
        }
        assert_eq!(Pointer::parse("rendering normal nonsense"), None);
        assert_eq!(Pointer::parse(""), None);
    }
}
