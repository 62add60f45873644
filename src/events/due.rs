//! When effects outside of the log are due: a sorted set for each partition and effect, which follows from the log.
//!
//! One process at a time follows a partition (`process.rs`), and is the only one that writes its sets. A set can be dropped
//! together with the checkpoint of its follower, and is filled again from the log.

use chrono::{DateTime, Utc};
use redis::{FromRedisValue, Script};

use super::log::{Error, EventLog};
use crate::ids::AggregateId;

/// KEYS  1 due      ARGV  1 aggregate, 2 its time as it was read, in ms.      Removes it if that is still its time.
const SETTLE: &str = "
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('ZREM', KEYS[1], ARGV[1]) end
return 0";

/// The due set of one effect.
pub struct DueSet {
    log: EventLog,
    effect: &'static str,
    settle: Script,
}

impl DueSet {
    pub fn new(log: EventLog, effect: &'static str) -> Self {
        Self { log, effect, settle: Script::new(SETTLE) }
    }

    /// Notes when the effect is due for an aggregate.
    pub async fn put(&self, partition: u16, id: AggregateId, at: DateTime<Utc>) -> Result<(), Error> {
        let mut command = redis::cmd("ZADD");
        command.arg(self.key(partition)).arg(at.timestamp_millis()).arg(id.to_string());
        self.ask("note what is due", &command).await
    }

    /// Puts off an aggregate that is still there.
    pub async fn put_off(&self, partition: u16, id: AggregateId, until: DateTime<Utc>) -> Result<(), Error> {
        let mut command = redis::cmd("ZADD");
        command.arg(self.key(partition)).arg("XX").arg(until.timestamp_millis()).arg(id.to_string());
        self.ask("put off what is due", &command).await
    }

    pub async fn remove(&self, partition: u16, id: AggregateId) -> Result<(), Error> {
        let mut command = redis::cmd("ZREM");
        command.arg(self.key(partition)).arg(id.to_string());
        self.ask("note what is not due any more", &command).await
    }

    /// Removes an aggregate, unless another time was noted for it since `at_ms` was read.
    pub async fn settle(&self, partition: u16, id: AggregateId, at_ms: i64) -> Result<(), Error> {
        let mut call = self.settle.key(self.key(partition));
        call.arg(id.to_string()).arg(at_ms.to_string());
        let reply = call.invoke_async(&mut self.log.connection()).await;
        reply.map_err(|source| Error::Redis { attempted: "note what is not due any more", source })
    }

    /// The aggregates that come next, at most `count`, each with its time in ms since 1970.
    pub async fn first(&self, partition: u16, count: usize) -> Result<Vec<(AggregateId, i64)>, Error> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.key(partition)).arg(0).arg(count.saturating_sub(1)).arg("WITHSCORES");
        let listed: Vec<(String, f64)> = self.ask("tell what is due", &command).await?;
        let parsed =
            listed.into_iter().filter_map(|(id, at)| Some((AggregateId(id.parse().ok()?), at as i64)));
        Ok(parsed.collect())
    }

    fn key(&self, partition: u16) -> String {
        self.log.keys().due(partition, self.effect)
    }

    async fn ask<T: FromRedisValue>(
        &self,
        attempted: &'static str,
        command: &redis::Cmd,
    ) -> Result<T, Error> {
        let reply = command.query_async(&mut self.log.connection()).await;
        reply.map_err(|source| Error::Redis { attempted, source })
    }
}
