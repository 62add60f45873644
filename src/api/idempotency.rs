//! What an `Idempotency-Key` stands for: a Redis key of its own for each user and key, for a while.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::problem::Problem;
use crate::events::EventLog;

#[derive(Serialize, Deserialize)]
struct Reserved {
    /// Of the job or batch; the name is what keys that live were written with.
    #[serde(rename = "job_id")]
    id: Uuid,
    /// Digest of the body, after the endpoint's name where that is not empty.
    body: String,
}

/// The outcome of [`reserve`].
pub enum Reservation {
    /// The key is new, and stands for this id from now on.
    New(Uuid),
    /// The key stands for this id already, and the body is the same.
    Earlier(Uuid),
    /// The key was used with another body, or at another endpoint.
    OtherBody,
}

/// Binds a user's key to a new id for `kept_for`, unless it is bound already. `endpoint` is empty for `generate`.
pub async fn reserve(
    log: &EventLog,
    user_id: &str,
    endpoint: &str,
    key: &str,
    body: &[u8],
    kept_for: Duration,
) -> Result<Reservation, Problem> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(user_id.as_bytes()).update(&[0]).update(key.as_bytes());
    let ours = Reserved { id: Uuid::now_v7(), body: format!("{endpoint}{}", blake3::hash(body).to_hex()) };
    let text = serde_json::to_string(&ours).map_err(|_| Problem::internal())?;
    let mut set = redis::cmd("SET");
    set.arg(log.keys().idempotency(&hasher.finalize().to_hex())).arg(text);
    set.arg("NX").arg("GET").arg("EX").arg(kept_for.as_secs());
    let earlier: Option<String> = set.query_async(&mut log.connection()).await?;
    let Some(earlier) = earlier else { return Ok(Reservation::New(ours.id)) };
    let earlier: Reserved = serde_json::from_str(&earlier).map_err(|_| Problem::internal())?;
    match earlier.body == ours.body {
        true => Ok(Reservation::Earlier(earlier.id)),
        false => Ok(Reservation::OtherBody),
    }
}
