//! The queues of work: waiting, delayed, and taken work.
//!
//! Work waits in a sorted set for each partition, stage and priority, in which requesters take turns, a job at a time. Taking it moves it to the
//! stage's stream, where the consumer group's pending list is its lease. Everything here derives from the log and can be
//! rebuilt.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::Utc;
use redis::{FromRedisValue, RedisResult, Script, ScriptInvocation, Value};
use uuid::Uuid;

use super::connection::Connection;
use super::keys::Keys;
use super::lane::Lane;
use super::log::{Error, EventLog};
use super::work::{NextJob, Pointer, Receipt, SceneOrder, ScheduledWork, TakenWork};
use super::{Priority, Stage};
use crate::crash;
use crate::ids::AggregateId;

/// Most pieces of work that one call takes.
const MAX_TAKEN: usize = 256;
/// How many of a job's next pieces a preferred one is looked for in. The further, the later is the scene that is first shown.
const LOOK_AHEAD: usize = 8;
/// Most entries of a stream that one call takes over.
const MAX_CLAIMED: usize = 16;
/// Most requesters of a queue whose oldest work is looked at.
const MAX_OLDEST: usize = 50;
/// How long a request for a stream stands for a viewer. Players ask every few seconds.
const VIEWER_STAYS: Duration = Duration::from_secs(30);
/// When a piece of a job that nobody watches is looked at again.
const LOOK_FOR_VIEWERS: Duration = Duration::from_secs(5);
/// Most pieces of delayed work that one call releases.
const MAX_RELEASED: usize = 100;

/// The queues of a log, on its connection. Cheap to clone.
#[derive(Clone)]
pub struct WorkQueue {
    connection: Connection,
    keys: Arc<Keys>,
    scripts: Arc<Scripts>,
}

struct Scripts {
    take: Script,
    peek: Script,
    oldest: Script,
    due: Script,
    release: Script,
    hasten: Script,
    hand_back: Script,
    renew: Script,
    drop_queues: Script,
    queue_again: Script,
    set_complete: Script,
    count_again: Script,
}

/// A consumer of a stage's group.
#[derive(Debug, Clone)]
pub struct Consumer {
    pub stage: Stage,
    pub group: String,
    /// Name, unique to this start of the process.
    pub name: String,
}

/// The result of [`WorkQueue::take`].
#[derive(Debug)]
pub struct Taken {
    pub work: Vec<TakenWork>,
    /// Pieces of work that still wait.
    pub left: usize,
}

/// The result of [`WorkQueue::release_due`]: numbers of pieces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Released {
    pub queued: u64,
    pub hastened: u64,
}

/// The size of a stage's queue, over all partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    pub waiting: u64,
    /// Pieces that are taken and not finished.
    pub taken: u64,
}

/// Open jobs of one user, or of all users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenLoad {
    pub jobs: u64,
    pub urgent_jobs: u64,
    /// Bytes of their recorded requests.
    pub request_bytes: u64,
}

impl std::ops::AddAssign for OpenLoad {
    fn add_assign(&mut self, other: Self) {
        self.jobs += other.jobs;
        self.urgent_jobs += other.urgent_jobs;
        self.request_bytes += other.request_bytes;
    }
}

impl std::ops::SubAssign for OpenLoad {
    fn sub_assign(&mut self, other: Self) {
        self.jobs = self.jobs.saturating_sub(other.jobs);
        self.urgent_jobs = self.urgent_jobs.saturating_sub(other.urgent_jobs);
        self.request_bytes = self.request_bytes.saturating_sub(other.request_bytes);
    }
}

impl WorkQueue {
    pub fn new(log: &EventLog) -> Self {
        let with_enqueue = |script: &str| Script::new(&[include_str!("lua/enqueue.lua"), script].concat());
        let scripts = Scripts {
            take: Script::new(concat!(include_str!("lua/next_piece.lua"), include_str!("lua/take.lua"))),
            peek: Script::new(concat!(include_str!("lua/next_piece.lua"), include_str!("lua/peek.lua"))),
            oldest: Script::new(include_str!("lua/oldest.lua")),
            due: Script::new(include_str!("lua/due.lua")),
            release: with_enqueue(include_str!("lua/release.lua")),
            hasten: with_enqueue(include_str!("lua/hasten.lua")),
            hand_back: with_enqueue(include_str!("lua/hand_back.lua")),
            renew: Script::new(include_str!("lua/renew.lua")),
            drop_queues: Script::new(include_str!("lua/drop_queues.lua")),
            queue_again: with_enqueue(include_str!("lua/queue_again.lua")),
            set_complete: Script::new(include_str!("lua/set_complete.lua")),
            count_again: Script::new(concat!(
                include_str!("lua/open.lua"),
                include_str!("lua/count_again.lua")
            )),
        };
        Self { connection: log.connection(), keys: Arc::new(log.keys().clone()), scripts: Arc::new(scripts) }
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    async fn call<T: FromRedisValue>(
        &self,
        attempted: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, Error> {
        let reply = call.invoke_async(&mut self.connection.clone()).await;
        reply.map_err(|source| Error::Redis { attempted, source })
    }

    async fn ask<T: FromRedisValue>(&self, attempted: &'static str, cmd: &redis::Cmd) -> Result<T, Error> {
        let reply = cmd.query_async(&mut self.connection.clone()).await;
        reply.map_err(|source| Error::Redis { attempted, source })
    }

    /// Takes at most `count` pieces of work in the order of their turns. The consumer keeps them until an append acknowledges
    /// them.
    pub async fn take(
        &self,
        partition: u16,
        lane: Lane,
        consumer: &Consumer,
        count: usize,
    ) -> Result<Taken, Error> {
        self.take_preferred(partition, lane, consumer, count, &[]).await
    }

    /// Does the same, but among the next scenes of the job whose turn it is, preferred ones go first.
    pub async fn take_preferred(
        &self,
        partition: u16,
        lane: Lane,
        consumer: &Consumer,
        count: usize,
        preferred: &[SceneOrder],
    ) -> Result<Taken, Error> {
        let stream = self.keys.work(partition, consumer.stage);
        let mut call = self.scripts.take.key(self.keys.waiting(partition, consumer.stage, lane));
        call.key(self.keys.turns(partition, consumer.stage, lane)).key(&stream);
        call.arg(&consumer.group).arg(&consumer.name).arg(count.min(MAX_TAKEN));
        call.arg(LOOK_AHEAD);
        for scene in preferred {
            call.arg(scene.as_str());
        }
        crash::point("take.before");
        let (left, entries): (usize, Vec<Value>) = self.call("hand out work", &call).await?;
        if !entries.is_empty() {
            crash::point("take.after");
        }
        Ok(Taken { work: self.read_entries(&stream, &consumer.group, entries), left })
    }

    /// Returns the job of the piece that [`Self::take`] would take; `None` when nothing waits.
    pub async fn peek(&self, partition: u16, stage: Stage, lane: Lane) -> Result<Option<NextJob>, Error> {
        let mut call = self.scripts.peek.key(self.keys.waiting(partition, stage, lane));
        call.key(self.keys.turns(partition, stage, lane));
        let next: Option<(String, String)> = self.call("look at waiting work", &call).await?;
        Ok(next.map(|(requester, order)| NextJob { requester, order }))
    }

    /// Takes over a bounded number of pieces whose lease has expired. Returns them with the position from which to continue;
    /// `0-0` at the end.
    pub async fn claim_idle(
        &self,
        partition: u16,
        consumer: &Consumer,
        lease: Duration,
        from: &str,
    ) -> Result<(String, Vec<TakenWork>), Error> {
        let stream = self.keys.work(partition, consumer.stage);
        let mut command = redis::cmd("XAUTOCLAIM");
        command.arg(&stream).arg(&consumer.group).arg(&consumer.name).arg(lease.as_millis() as u64);
        command.arg(from).arg("COUNT").arg(MAX_CLAIMED);
        let reply: RedisResult<(String, Vec<Value>, Value)> =
            command.query_async(&mut self.connection.clone()).await;
        match reply {
            Ok((next, entries, _deleted)) => Ok((next, self.read_entries(&stream, &consumer.group, entries))),
            // No work was ever taken from this queue.
            Err(error) if error.code() == Some("NOGROUP") => Ok(("0-0".to_owned(), vec![])),
            Err(source) => Err(Error::Redis { attempted: "hand over lost work", source }),
        }
    }

    /// Returns the work that a consumer has taken and not finished.
    pub async fn pending_of(&self, partition: u16, consumer: &Consumer) -> Result<Vec<TakenWork>, Error> {
        let stream = self.keys.work(partition, consumer.stage);
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(&consumer.group).arg(&consumer.name).arg("STREAMS").arg(&stream).arg(0);
        let reply: RedisResult<Vec<(String, Vec<Value>)>> =
            command.query_async(&mut self.connection.clone()).await;
        match reply {
            Ok(streams) => {
                let entries = streams.into_iter().flat_map(|(_, entries)| entries).collect();
                Ok(self.read_entries(&stream, &consumer.group, entries))
            }
            Err(error) if error.code() == Some("NOGROUP") => Ok(vec![]),
            Err(source) => Err(Error::Redis { attempted: "list taken work", source }),
        }
    }

    /// Returns `true` when any work of the stage waits in the partition.
    pub async fn anything_waits(&self, partition: u16, stage: Stage) -> Result<bool, Error> {
        let mut command = redis::cmd("EXISTS");
        for lane in Lane::ALL {
            command.arg(self.keys.waiting(partition, stage, lane));
        }
        Ok(self.ask::<u64>("look for work", &command).await? > 0)
    }

    /// Parses taken entries. An entry that cannot be parsed stays where it is, for an operator.
    fn read_entries(&self, stream: &str, group: &str, entries: Vec<Value>) -> Vec<TakenWork> {
        let read = |entry: Value| {
            let work = parse_taken(stream, group, &entry);
            if work.is_none() {
                tracing::error!(stream, ?entry, "not a pointer to work");
            }
            work
        };
        entries.into_iter().filter_map(read).collect()
    }

    /// Renews the lease on a piece of work. `false` when it is not this consumer's any more: it was cancelled, or taken over.
    pub async fn renew(&self, receipt: &Receipt, id: AggregateId, consumer: &str) -> Result<bool, Error> {
        let mut call = self.scripts.renew.key(&receipt.stream);
        call.key(self.keys.open(self.keys.partition_of(id))).arg(&receipt.group).arg(consumer);
        call.arg(&receipt.entry_id).arg(id.to_string());
        self.call("renew a lease", &call).await
    }

    /// Puts taken work back, ahead of all waiting work of its lane, if it is still this attempt's.
    pub async fn hand_back(&self, work: &TakenWork) -> Result<(), Error> {
        let (partition, stage, lane) =
            (self.keys.partition_of(work.aggregate_id), work.item.stage, work.lane());
        let mut call = self.scripts.hand_back.key(&work.receipt.stream);
        call.key(self.keys.waiting(partition, stage, lane)).key(self.keys.turns(partition, stage, lane));
        call.arg(&work.receipt.group).arg(&work.receipt.entry_id);
        call.arg(&work.requester).arg(work.order()).arg(self.keys.doorbell());
        call.arg(format!("{partition} {stage}:{}", lane.name()));
        self.call("take work back", &call).await
    }

    /// Queues a bounded number of pieces of delayed work that is due, and lets waiting work go ahead on scenes that a viewer will
    /// soon need.
    pub async fn release_due(&self, partition: u16) -> Result<Released, Error> {
        let (delayed, deadlines) = (self.keys.delayed(partition), self.keys.deadlines(partition));
        let mut due = self.scripts.due.key(&delayed);
        let due = due.key(&deadlines).arg(MAX_RELEASED);
        let (due, hastened): (Vec<String>, Vec<String>) = self.call("tell what is due", due).await?;
        Ok(Released {
            // In this order: a retried piece whose deadline has passed waits first.
            queued: self.queue_delayed(partition, &delayed, due).await?,
            hastened: self.hasten(partition, &deadlines, hastened).await?,
        })
    }

    async fn queue_delayed(&self, partition: u16, delayed: &str, due: Vec<String>) -> Result<u64, Error> {
        if due.is_empty() {
            return Ok(0);
        }
        crash::point("release.found");
        let mut call = self.scripts.release.key(delayed);
        call.arg(self.keys.doorbell()).arg(partition);
        for (Pointer { aggregate_id, work }, text) in pointers(delayed, due) {
            let (stage, lane) = (work.item.stage, work.lane());
            call.key(self.keys.waiting(partition, stage, lane));
            call.key(self.keys.turns(partition, stage, lane));
            call.arg(format!("{stage}:{}", lane.name()))
                .arg(&work.requester)
                .arg(work.order(aggregate_id))
                .arg(text);
        }
        self.call("release delayed work", &call).await
    }

    /// Notes that somebody has asked for a part of a job's stream, and so watches it.
    pub async fn note_viewer(&self, id: AggregateId) -> Result<(), Error> {
        let viewed = self.keys.viewed(self.keys.partition_of(id));
        let now_ms = Utc::now().timestamp_millis();
        let long_ago = now_ms - 2 * VIEWER_STAYS.as_millis() as i64;
        let mut pipe = redis::pipe();
        pipe.zadd(&viewed, id.to_string(), now_ms).ignore();
        pipe.zrembyscore(&viewed, 0, long_ago).ignore();
        let noted = pipe.query_async(&mut self.connection.clone()).await;
        noted.map_err(|source| Error::Redis { attempted: "note a viewer", source })
    }

    async fn hasten(&self, partition: u16, deadlines: &str, due: Vec<String>) -> Result<u64, Error> {
        if due.is_empty() {
            return Ok(0);
        }
        let mut call = self.scripts.hasten.key(deadlines);
        call.key(self.keys.viewed(partition)).arg(self.keys.doorbell()).arg(partition);
        call.arg(VIEWER_STAYS.as_millis() as u64).arg(LOOK_FOR_VIEWERS.as_millis() as u64);
        for (Pointer { aggregate_id, work }, text) in pointers(deadlines, due) {
            let stage = work.item.stage;
            call.key(self.keys.waiting(partition, stage, work.lane()));
            call.key(self.keys.waiting(partition, stage, Lane::NextScene));
            call.key(self.keys.turns(partition, stage, Lane::NextScene));
            call.arg(format!("{stage}:{}", Lane::NextScene.name()))
                .arg(aggregate_id.to_string())
                .arg(&work.requester)
                .arg(work.order(aggregate_id))
                .arg(text);
        }
        self.call("let work go ahead", &call).await
    }

    /// Returns the size of a stage's queue.
    pub async fn depth(&self, stage: Stage) -> Result<Depth, Error> {
        let (keys, partitions) = (&self.keys, || self.keys.partitions());
        let waiting =
            partitions().flat_map(|partition| Lane::ALL.map(|lane| keys.waiting(partition, stage, lane)));
        let taken = partitions().map(|partition| keys.work(partition, stage));
        Ok(Depth {
            waiting: self.sum("count waiting work", "ZCARD", waiting).await?,
            taken: self.sum("count taken work", "XLEN", taken).await?,
        })
    }

    /// Returns, for each stage with waiting work, since when the oldest piece waits: of the pieces that come first for their
    /// requesters, [`MAX_OLDEST`] of each queue at most.
    pub async fn oldest(&self) -> Result<BTreeMap<Stage, SystemTime>, Error> {
        let asked = self.keys.partitions().map(|partition| async move {
            let mut call = self.scripts.oldest.prepare_invoke();
            for stage in Stage::ALL {
                for lane in Lane::ALL {
                    call.key(self.keys.waiting(partition, stage, lane));
                }
            }
            call.arg(MAX_OLDEST);
            self.call::<Vec<String>>("tell what waits longest", &call).await
        });
        let mut oldest = BTreeMap::new();
        for text in futures_util::future::try_join_all(asked).await?.into_iter().flatten() {
            let Some(work) = Pointer::parse(&text).map(|pointer| pointer.work) else { continue };
            if let Some(since) = work.token.made_at() {
                let found = oldest.entry(work.item.stage).or_insert(since);
                *found = since.min(*found);
            }
        }
        Ok(oldest)
    }

    /// Returns the number of delayed pieces of work, over all partitions.
    pub async fn delayed(&self) -> Result<u64, Error> {
        let delayed = self.keys.partitions().map(|partition| self.keys.delayed(partition));
        self.sum("count delayed work", "ZCARD", delayed).await
    }

    /// Returns the number of open aggregates.
    pub async fn open(&self) -> Result<u64, Error> {
        let open = self.keys.partitions().map(|partition| self.keys.open(partition));
        self.sum("count open jobs", "SCARD", open).await
    }

    /// Returns the open load of all users, and of one; see [`requester`](super::work::requester).
    pub async fn open_load(&self, requester: &str) -> Result<(OpenLoad, OpenLoad), Error> {
        let counts =
            self.keys.partitions().map(|partition| {
                let mut command = redis::cmd("HMGET");
                command.arg(self.keys.open_by_user(partition)).arg("*").arg(requester);
                async move {
                    self.ask::<(Option<String>, Option<String>)>("count a user's open jobs", &command).await
                }
            });
        let (mut all, mut of_user) = (OpenLoad::default(), OpenLoad::default());
        for (of_all, of_one) in futures_util::future::try_join_all(counts).await? {
            all += of_all.as_deref().map(parse_load).unwrap_or_default();
            of_user += of_one.as_deref().map(parse_load).unwrap_or_default();
        }
        Ok((all, of_user))
    }

    /// Returns the sum of the sizes of keys, in one round trip.
    async fn sum(
        &self,
        attempted: &'static str,
        command: &str,
        keys: impl Iterator<Item = String>,
    ) -> Result<u64, Error> {
        let counts = keys.map(|key| {
            let mut count = redis::cmd(command);
            count.arg(key);
            async move { self.ask::<u64>(attempted, &count).await }
        });
        Ok(futures_util::future::try_join_all(counts).await?.into_iter().sum())
    }

    /// Returns the dead letters with the time of their failure (ms since 1970), the oldest first.
    pub async fn dead_letters(&self) -> Result<Vec<(AggregateId, u64)>, Error> {
        let mut letters = vec![];
        for partition in self.keys.partitions() {
            let mut command = redis::cmd("ZRANGE");
            command.arg(self.keys.dead_letters(partition)).arg(0).arg(-1).arg("WITHSCORES");
            letters.extend(self.ask::<Vec<(String, u64)>>("list dead letters", &command).await?);
        }
        letters.sort_by_key(|(_, at)| *at);
        let id = |(id, at): (String, u64)| Some((AggregateId(id.parse().ok()?), at));
        Ok(letters.into_iter().filter_map(id).collect())
    }

    /// Removes consumers of processes that ended long ago and have no pending work.
    pub async fn forget_consumers(
        &self,
        partition: u16,
        consumer: &Consumer,
        silent_for: Duration,
    ) -> Result<(), Error> {
        let stream = self.keys.work(partition, consumer.stage);
        let listed: RedisResult<Vec<redis::streams::StreamInfoConsumer>> = async {
            let mut command = redis::cmd("XINFO");
            command.arg("CONSUMERS").arg(&stream).arg(&consumer.group);
            let reply: Value = command.query_async(&mut self.connection.clone()).await?;
            Ok(redis::streams::StreamInfoConsumersReply::from_redis_value(reply)?.consumers)
        }
        .await;
        // Without a stream or a group there are no consumers.
        for other in listed.unwrap_or_default() {
            if other.pending == 0 && other.idle > silent_for.as_millis() as usize {
                let mut command = redis::cmd("XGROUP");
                command.arg("DELCONSUMER").arg(&stream).arg(&consumer.group).arg(other.name);
                self.ask::<u64>("forget a consumer", &command).await?;
            }
        }
        Ok(())
    }

    /// Returns `true` when the partition's queues are known to hold all open work.
    pub async fn is_complete(&self, partition: u16) -> Result<bool, Error> {
        let mut command = redis::cmd("EXISTS");
        self.ask("look at its queues", command.arg(self.keys.queues_complete(partition))).await
    }

    /// Marks the queues of an empty partition as complete.
    pub async fn set_complete(&self, partition: u16) -> Result<(), Error> {
        let mut command = redis::cmd("SET");
        command.arg(self.keys.queues_complete(partition)).arg(1);
        self.ask("note that its queues are complete", &command).await
    }

    /// Returns `true` when an aggregate is listed among the open ones.
    pub async fn is_open(&self, id: AggregateId) -> Result<bool, Error> {
        let mut command = redis::cmd("SISMEMBER");
        command.arg(self.keys.open(self.keys.partition_of(id))).arg(id.to_string());
        self.ask("look for an open job", &command).await
    }

    /// Takes the lease to rebuild a partition's queues from its log, and drops the old ones. Work in progress is refused when it
    /// finishes, and done again. `None` while another process rebuilds them.
    pub async fn begin_building(&self, partition: u16) -> Result<Option<QueueBuilder>, Error> {
        let token = Uuid::new_v4().to_string();
        let builder = self.keys.queues_builder(partition);
        let mut claim = redis::cmd("SET");
        claim.arg(&builder).arg(&token).arg("NX").arg("PX").arg(BUILDER_LEASE.as_millis() as u64);
        let claimed: Option<String> = self.ask("hand out the building of queues", &claim).await?;
        if claimed.is_none() {
            return Ok(None);
        }
        let mut call = self.scripts.drop_queues.key(&builder);
        call.key(self.keys.head(partition)).arg(&token).arg(BUILDER_LEASE.as_millis() as u64);
        call.key(self.keys.queues_complete(partition)).key(self.keys.delayed(partition));
        call.key(self.keys.deadlines(partition)).key(self.keys.viewed(partition));
        call.key(self.keys.open(partition)).key(self.keys.dead_letters(partition));
        call.key(self.keys.open_by_user(partition));
        call.key(self.keys.queues_complete_before_lanes(partition));
        for stage in Stage::ALL {
            for lane in Lane::ALL {
                call.key(self.keys.waiting(partition, stage, lane));
                call.key(self.keys.turns(partition, stage, lane));
            }
            for key in Priority::ALL.map(|old| self.keys.queue_before_lanes(partition, stage, old)).concat() {
                call.key(key);
            }
            call.key(self.keys.work(partition, stage));
        }
        let head: Option<u64> = self.call("drop queues", &call).await?;
        Ok(head.map(|dropped_at| QueueBuilder { queue: self.clone(), partition, token, dropped_at }))
    }
}

/// Expiry of a builder's lease.
const BUILDER_LEASE: Duration = Duration::from_secs(30);

/// Rebuilds a partition's queues from its log, under a lease.
pub struct QueueBuilder {
    queue: WorkQueue,
    partition: u16,
    token: String,
    /// Last sequence number of the partition when the old queues were dropped. Later events have queued their own work.
    pub dropped_at: u64,
}

/// The outcome of [`QueueBuilder::queue_again`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueuedAgain {
    Done,
    /// The aggregate has changed since it was folded.
    Changed,
    /// Another process rebuilds the queues now.
    Lost,
}

impl QueueBuilder {
    /// Counts an open aggregate for its requester.
    pub async fn count_again(
        &self,
        id: AggregateId,
        requester: &str,
        priority: Priority,
    ) -> Result<(), Error> {
        let (queue, keys) = (&self.queue, &self.queue.keys);
        let mut call = queue.scripts.count_again.key(keys.open(self.partition));
        call.key(keys.open_by_user(self.partition)).key(keys.log(self.partition));
        call.key(keys.history(id)).arg(id.to_string()).arg(requester);
        call.arg(u8::from(priority == Priority::Urgent));
        queue.call("count a job again", &call).await
    }

    /// Lists an aggregate as open, or as a dead letter since `dead_since_ms`, and queues its work if
    /// it is still at `version`.
    pub async fn queue_again(
        &self,
        id: AggregateId,
        version: u64,
        dead_since_ms: Option<i64>,
        work: &[ScheduledWork],
    ) -> Result<QueuedAgain, Error> {
        let keys = &self.queue.keys;
        let mut call = self.queue.scripts.queue_again.key(keys.queues_builder(self.partition));
        call.key(keys.history(id)).key(keys.open(self.partition)).key(keys.dead_letters(self.partition));
        call.key(keys.delayed(self.partition)).key(keys.deadlines(self.partition));
        call.arg(&self.token).arg(BUILDER_LEASE.as_millis() as u64).arg(version).arg(id.to_string());
        call.arg(if dead_since_ms.is_some() { "dead" } else { "open" }).arg(dead_since_ms.unwrap_or(0));
        for work in work {
            let (stage, lane) = (work.item.stage, work.lane());
            call.key(keys.waiting(self.partition, stage, lane));
            call.key(keys.turns(self.partition, stage, lane));
            call.arg(&work.requester).arg(work.order(id)).arg(work.delay_ms).arg(work.hastened_at());
            call.arg(Pointer::text(id, work));
        }
        match self.queue.call::<i8>("queue work again", &call).await? {
            1 => Ok(QueuedAgain::Done),
            0 => Ok(QueuedAgain::Changed),
            _ => Ok(QueuedAgain::Lost),
        }
    }

    /// Renews the lease; `false` when another process rebuilds the queues now.
    pub async fn renew(&self) -> Result<bool, Error> {
        let mut command = redis::cmd("GET");
        let builder = self.queue.keys.queues_builder(self.partition);
        let token: Option<String> =
            self.queue.ask("look at who builds its queues", command.arg(&builder)).await?;
        if token.as_ref() != Some(&self.token) {
            return Ok(false);
        }
        let mut command = redis::cmd("PEXPIRE");
        command.arg(&builder).arg(BUILDER_LEASE.as_millis() as u64);
        self.queue.ask("hand out the building of queues", &command).await
    }

    /// Marks the queues as complete; `false` when another process rebuilds them now.
    pub async fn finish(self) -> Result<bool, Error> {
        let keys = &self.queue.keys;
        let mut call = self.queue.scripts.set_complete.key(keys.queues_builder(self.partition));
        call.key(keys.queues_complete(self.partition)).arg(&self.token);
        self.queue.call("note that its queues are complete", &call).await
    }
}

/// Parses `<jobs> <urgent jobs> <bytes>`.
fn parse_load(text: &str) -> OpenLoad {
    let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    OpenLoad { jobs: next(), urgent_jobs: next(), request_bytes: next() }
}

/// Parses the members of a sorted set, and passes over those that are no pointers, for an operator.
fn pointers(set: &str, texts: Vec<String>) -> impl Iterator<Item = (Pointer, String)> {
    texts.into_iter().filter_map(move |text| {
        let pointer = Pointer::parse(&text);
        if pointer.is_none() {
            tracing::error!(set, text, "not a pointer to work");
        }
        Some((pointer?, text))
    })
}

fn parse_taken(stream: &str, group: &str, entry: &Value) -> Option<TakenWork> {
    let (entry_id, fields): (String, Vec<String>) = redis::from_redis_value_ref(entry).ok()?;
    let Pointer { aggregate_id, work } = Pointer::parse(fields.get(1)?)?;
    let receipt = Receipt { stream: stream.to_owned(), group: group.to_owned(), entry_id, token: work.token };
    let ScheduledWork { item, priority, version, requester, began_ms, .. } = work;
    Some(TakenWork { aggregate_id, item, priority, version, requester, began_ms, receipt })
}
