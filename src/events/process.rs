//! The checkpoint of each process manager in each partition, and its owner.

use std::time::Duration;

use redis::{FromRedisValue, Script, ScriptInvocation};
use uuid::Uuid;

use super::log::{Error, EventLog};

/// Expiry of an ownership that is not renewed.
const OWNED_FOR: Duration = Duration::from_secs(10);

/// KEYS  1 owner  2 checkpoint      ARGV  1 token  2 expiry in ms
/// Returns the checkpoint, or nothing when another process is the owner.
const OWN: &str = "
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return false end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return tonumber(redis.call('GET', KEYS[2]) or '0')";

/// KEYS and ARGV as above, then ARGV  3 checkpoint.      Returns 1 if it was advanced.
const ADVANCE: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
return 1";

/// KEYS and ARGV as above.
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end";

/// The checkpoints of one process manager, and this process's ownership of them.
pub struct Checkpoints {
    log: EventLog,
    name: &'static str,
    token: String,
    own: Script,
    advance: Script,
    release: Script,
}

impl Checkpoints {
    pub fn new(log: EventLog, name: &'static str) -> Self {
        let (own, advance, release) = (Script::new(OWN), Script::new(ADVANCE), Script::new(RELEASE));
        Self { log, name, token: Uuid::new_v4().to_string(), own, advance, release }
    }

    /// Takes or renews the ownership of a partition, and returns its checkpoint. `None` while another process is the owner.
    pub async fn own(&self, partition: u16) -> Result<Option<u64>, Error> {
        self.call("tell a checkpoint", &mut self.own.prepare_invoke(), partition, None).await
    }

    /// Advances the checkpoint. `false`, without effect, when another process is the owner now.
    pub async fn advance(&self, partition: u16, seq: u64) -> Result<bool, Error> {
        self.call("move a checkpoint", &mut self.advance.prepare_invoke(), partition, Some(seq)).await
    }

    /// Releases the ownership.
    pub async fn release(&self, partition: u16) -> Result<(), Error> {
        self.call("release a checkpoint", &mut self.release.prepare_invoke(), partition, None).await
    }

    async fn call<T: FromRedisValue>(
        &self,
        attempted: &'static str,
        call: &mut ScriptInvocation<'_>,
        partition: u16,
        seq: Option<u64>,
    ) -> Result<T, Error> {
        let keys = self.log.keys();
        call.key(keys.process_owner(partition, self.name));
        call.key(keys.process_checkpoint(partition, self.name));
        call.arg(&self.token).arg(OWNED_FOR.as_millis() as u64).arg(seq);
        let reply = call.invoke_async(&mut self.log.connection()).await;
        reply.map_err(|source| Error::Redis { attempted, source })
    }
}
