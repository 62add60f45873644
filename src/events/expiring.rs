//! The keys that expire and that no event tells: the job of each `Idempotency-Key`, and the time that was promised for it. A
//! backup copies them, so that a client that repeats its request after a restore gets the same job.

use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::connection::{Address, Connection};
use super::{Error, EventLog, Keys};

/// A key with its value. Its name lacks the prefix, so that it can be restored under another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiringKey {
    pub name: String,
    pub value: String,
    /// In ms since 1970.
    pub expires_at_ms: i64,
}

/// Reads all of them. One that expires meanwhile is left out.
pub async fn read_all(address: &Address, log: &EventLog) -> Result<Vec<ExpiringKey>, Error> {
    let (keys, mut connection) = (log.keys(), log.connection());
    let mut found = vec![];
    for pattern in keys.expiring_patterns() {
        for key in address.scan(&pattern).await? {
            found.extend(read(keys, &mut connection, &key).await?);
        }
    }
    Ok(found)
}

async fn read(keys: &Keys, connection: &mut Connection, key: &str) -> Result<Option<ExpiringKey>, Error> {
    let failed = |source| Error::Redis { attempted: "read a key that expires", source };
    let mut get = redis::cmd("GET");
    let value: Option<String> = get.arg(key).query_async(connection).await.map_err(failed)?;
    let mut left = redis::cmd("PTTL");
    let left_ms: i64 = left.arg(key).query_async(connection).await.map_err(failed)?;
    let name = key.strip_prefix(keys.prefix()).and_then(|rest| rest.strip_prefix(':'));
    Ok(match (value, name) {
        (Some(value), Some(name)) if left_ms > 0 => {
            let expires_at_ms = Utc::now().timestamp_millis().saturating_add(left_ms);
            Some(ExpiringKey { name: name.to_owned(), value, expires_at_ms })
        }
        _ => None,
    })
}

/// Puts keys back, with the rest of their time. One that is there already stays as it is. Returns the number of those that were put
/// back.
pub async fn put_back(log: &EventLog, expiring: &[ExpiringKey]) -> Result<u64, Error> {
    let mut connection = log.connection();
    let (now_ms, mut restored) = (Utc::now().timestamp_millis(), 0);
    for key in expiring.iter().filter(|key| key.expires_at_ms > now_ms) {
        let mut set = redis::cmd("SET");
        set.arg(format!("{}:{}", log.keys().prefix(), key.name)).arg(&key.value);
        set.arg("NX").arg("PXAT").arg(key.expires_at_ms);
        let done: Option<String> = set
            .query_async(&mut connection)
            .await
            .map_err(|source| Error::Redis { attempted: "take a key that expires", source })?;
        restored += u64::from(done.is_some());
    }
    Ok(restored)
}
