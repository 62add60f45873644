//! All Redis keys of the system. No other module builds one.
//!
//! All keys of one partition share the hash tag `{pN}`, so that one script may touch them on Redis
//! Cluster too. The prefix separates installations, and tests, that share one server.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::lane::Lane;
use super::layout::Layout;
use super::{Priority, Stage};
use crate::ids::{AggregateId, JobId};

/// Clones share the layout.
#[derive(Debug, Clone)]
pub struct Keys {
    prefix: String,
    served: u16,
    layout: Arc<ArcSwap<Layout>>,
}

impl Keys {
    /// Returns the keys of a log that was begun with so many partitions, until [`Self::set_layout`] says otherwise.
    pub fn new(prefix: impl Into<String>, partitions: u16) -> Self {
        assert!(partitions > 0, "a log has at least one partition");
        let layout = Arc::new(ArcSwap::from_pointee(Layout::of(partitions)));
        Self { prefix: prefix.into(), served: partitions, layout }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns all partitions that this process serves. The last ones are empty until the log grows.
    pub fn partitions(&self) -> impl Iterator<Item = u16> + use<> {
        0..self.served
    }

    pub fn served(&self) -> u16 {
        self.served
    }

    /// Returns an aggregate's partition, which never changes.
    pub fn partition_of(&self, id: AggregateId) -> u16 {
        self.layout.load().partition_of(id)
    }

    pub fn layout(&self) -> Arc<Layout> {
        self.layout.load_full()
    }

    /// The layout must not have more partitions than are served.
    pub(super) fn set_layout(&self, layout: Layout) {
        self.layout.store(Arc::new(layout));
    }

    /// Stream of whole events, ids `<seq>-0`.
    pub fn log(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:log", self.prefix)
    }

    /// The partition's last sequence number.
    pub fn head(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:head", self.prefix)
    }

    /// List of an aggregate's sequence numbers; its length is the aggregate's version.
    pub fn history(&self, id: AggregateId) -> String {
        format!("{}:{{p{}}}:history:{id}", self.prefix, self.partition_of(id))
    }

    /// Hash: command id -> version of the last event that the command appended.
    pub fn commands(&self, id: AggregateId) -> String {
        format!("{}:{{p{}}}:commands:{id}", self.prefix, self.partition_of(id))
    }

    /// Sorted set of a stage's work that waits for a worker in a lane, sorted by its text (see `enqueue.lua`).
    pub fn waiting(&self, partition: u16, stage: Stage, lane: Lane) -> String {
        format!("{}:{{p{partition}}}:lane:{stage}:{}", self.prefix, lane.name())
    }

    /// Sorted set beside [`Self::waiting`], while that is not empty: the requesters; score = their turn.
    pub fn turns(&self, partition: u16, stage: Stage, lane: Lane) -> String {
        format!("{}:{{p{partition}}}:lane-turns:{stage}:{}", self.prefix, lane.name())
    }

    /// The two keys that a queue of a stage had in their place up to version 0.1.
    pub fn queue_before_lanes(&self, partition: u16, stage: Stage, priority: Priority) -> [String; 2] {
        ["waiting", "turns"]
            .map(|kind| format!("{}:{{p{partition}}}:{kind}:{stage}:{}", self.prefix, priority.name()))
    }

    /// Stream of work that workers have taken and not ended yet; the stage's consumer group reads it.
    pub fn work(&self, partition: u16, stage: Stage) -> String {
        format!("{}:{{p{partition}}}:work:{stage}", self.prefix)
    }

    /// Sorted set of work that is not due yet; score = time in ms, by the server's clock.
    /// Waiting work that a viewer will need, by the time when it goes ahead of others.
    pub fn deadlines(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:deadlines", self.prefix)
    }

    /// Jobs that somebody watches while they are made; score = time of the last request for their stream, in ms.
    pub fn viewed(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:viewed", self.prefix)
    }

    pub fn delayed(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:delayed", self.prefix)
    }

    /// Set of the aggregates that have not ended.
    pub fn open(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:open", self.prefix)
    }

    /// Hash: what is open of each user, and of all; see `open.lua`.
    pub fn open_by_user(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:open-by-user", self.prefix)
    }

    /// Sorted set of the aggregates that failed and wait for an operator; score = time in ms.
    pub fn dead_letters(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:dead-letters", self.prefix)
    }

    /// Exists while a partition's queues are known to hold all open work.
    pub fn queues_complete(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:lanes-complete", self.prefix)
    }

    /// The same for the queues up to version 0.1.
    pub fn queues_complete_before_lanes(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:queues-complete", self.prefix)
    }

    /// The layout of the log; while it has not grown, its number of partitions.
    pub fn layout_key(&self) -> String {
        format!("{}:partitions", self.prefix)
    }

    /// The oldest generation of the layout with which a partition takes appends.
    pub fn layout_fence(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:layout-fence", self.prefix)
    }

    /// Hash of the processes that serve the log: host and process id -> time in ms and number of partitions.
    pub fn serving(&self) -> String {
        format!("{}:serving", self.prefix)
    }

    /// Channel on which every append rings: `<partition> <stage>:<lane>,<stage>:<lane>…`.
    pub fn doorbell(&self) -> String {
        format!("{}:doorbell", self.prefix)
    }

    /// The status view of one job.
    pub fn status_view(&self, job: JobId) -> String {
        format!("{}:{{p{}}}:view:status:{job}", self.prefix, self.partition_of(job.aggregate()))
    }

    /// Checkpoint of one edition of the status views in one partition.
    pub fn status_checkpoint(&self, partition: u16, edition: u64) -> String {
        format!("{}:{{p{partition}}}:checkpoint:status:{edition}", self.prefix)
    }

    /// Served edition of the status views; 1 without the key.
    pub fn status_served(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:view:status:served", self.prefix)
    }

    /// Edition of the status views that a rebuild fills.
    pub fn status_next(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:view:status:next", self.prefix)
    }

    /// Owner of an edition of the status views; expires unless renewed.
    pub fn status_owner(&self, partition: u16, edition: u64) -> String {
        format!("{}:{{p{partition}}}:owner:status:{edition}", self.prefix)
    }

    /// Checkpoint of a process manager in a partition.
    pub fn process_checkpoint(&self, partition: u16, name: &str) -> String {
        format!("{}:{{p{partition}}}:checkpoint:process:{name}", self.prefix)
    }

    /// Sorted set of the aggregates for which an effect outside of the log is due; score = time in ms.
    pub fn due(&self, partition: u16, effect: &str) -> String {
        format!("{}:{{p{partition}}}:due:{effect}", self.prefix)
    }

    /// Owner of that checkpoint; expires unless renewed.
    pub fn process_owner(&self, partition: u16, name: &str) -> String {
        format!("{}:{{p{partition}}}:owner:process:{name}", self.prefix)
    }

    /// Lease on the archive of a partition; expires unless renewed.
    pub fn archive_owner(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:owner:archive", self.prefix)
    }

    /// Hash of the projections that are halted: `<projection>:<partition>` -> why, as JSON.
    pub fn halts(&self) -> String {
        format!("{}:halts", self.prefix)
    }

    /// Hash of the aggregates that projections pass over: `<projection>:<partition>` -> a list, as JSON.
    pub fn quarantines(&self) -> String {
        format!("{}:quarantines", self.prefix)
    }

    /// Hash of the aggregates that one edition of the status views passes over: id -> why, as JSON.
    pub fn status_quarantined(&self, partition: u16, edition: u64) -> String {
        format!("{}:{{p{partition}}}:quarantined:status:{edition}", self.prefix)
    }

    /// Builder of a partition's queues; expires unless renewed.
    pub fn queues_builder(&self, partition: u16) -> String {
        format!("{}:{{p{partition}}}:queues-builder", self.prefix)
    }

    /// Job of a user's `Idempotency-Key`, for 24 hours.
    pub fn idempotency(&self, digest: &str) -> String {
        format!("{}:idempotency:{digest}", self.prefix)
    }

    /// Whom a ticket stands for, under the ticket's digest; goes when the ticket is used or too old.
    pub fn ticket(&self, digest: &str) -> String {
        format!("{}:ticket:{digest}", self.prefix)
    }

    /// How many tickets a user got lately, under the digest of the user's id.
    pub fn ticket_count(&self, digest: &str) -> String {
        format!("{}:ticket-count:{digest}", self.prefix)
    }

    /// Key of the tokens and the cost of a user's calls of language models in a day, by the digest of the user's id.
    pub fn model_spend(&self, digest: &str, day: &str) -> String {
        format!("{}:model-spend:{digest}:{day}", self.prefix)
    }

    /// When a job or batch was first said to be done, for whoever repeats its request.
    pub fn promise(&self, id: AggregateId) -> String {
        format!("{}:promised:{id}", self.prefix)
    }

    /// Returns the patterns, for `SCAN`, of the keys that expire and that no event tells: [`Self::idempotency`] and
    /// [`Self::promise`].
    pub fn expiring_patterns(&self) -> [String; 2] {
        let is_special = |c: char| matches!(c, '*' | '?' | '[' | ']' | '\\');
        let mut prefix = String::new();
        for c in self.prefix.chars() {
            if is_special(c) {
                prefix.push('\\');
            }
            prefix.push(c);
        }
        ["idempotency", "promised"].map(|kind| format!("{prefix}:{kind}:*"))
    }

    /// Hash of counters: what all processes have done, for metrics.
    pub fn counters(&self) -> String {
        format!("{}:counters", self.prefix)
    }

    /// Hash of traces of slow observations: the counter of the bucket -> the trace, the value and the time.
    pub fn exemplars(&self) -> String {
        format!("{}:exemplars", self.prefix)
    }

    /// Heartbeats of the running processes: field = consumer name, value = time in ms.
    pub fn workers(&self) -> String {
        format!("{}:workers", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_an_aggregate_share_its_partitions_hash_tag() {
        let keys = Keys::new("reel", 8);
        let job = JobId::new();
        let id = job.aggregate();
        let partition = keys.partition_of(id);
        let tag = format!("{{p{partition}}}");
        for key in [
            keys.log(partition),
            keys.head(partition),
            keys.history(id),
            keys.commands(id),
            keys.waiting(partition, Stage::Rendering, Lane::Urgent),
            keys.turns(partition, Stage::Rendering, Lane::Urgent),
            keys.work(partition, Stage::Rendering),
            keys.delayed(partition),
            keys.deadlines(partition),
            keys.viewed(partition),
            keys.open(partition),
            keys.open_by_user(partition),
            keys.dead_letters(partition),
            keys.queues_complete(partition),
            keys.status_view(job),
            keys.status_checkpoint(partition, 1),
            keys.status_served(partition),
            keys.status_next(partition),
            keys.status_owner(partition, 1),
            keys.process_checkpoint(partition, "batch"),
            keys.process_owner(partition, "batch"),
            keys.status_quarantined(partition, 1),
            keys.queues_builder(partition),
            keys.archive_owner(partition),
            keys.layout_fence(partition),
        ] {
            assert!(key.contains(&tag), "{key} lacks {tag}");
        }
    }

    #[test]
    fn a_prefix_in_a_pattern_stands_for_itself() {
        assert_eq!(Keys::new("reel", 1).expiring_patterns(), ["reel:idempotency:*", "reel:promised:*"]);
        assert_eq!(Keys::new("a*[b]", 1).expiring_patterns()[0], "a\\*\\[b\\]:idempotency:*");
    }

    #[test]
    fn ids_spread_over_the_partitions() {
        let keys = Keys::new("reel", 8);
        let mut counts = [0; 8];
        for _ in 0..8000 {
            counts[usize::from(keys.partition_of(JobId::new().aggregate()))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}
