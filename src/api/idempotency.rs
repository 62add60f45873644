//! What an `Idempotency-Key` stands for: a Redis key of its own for each user and key, for a while.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::events::EventLog;
use crate::ids::JobId;

#[derive(Serialize, Deserialize)]
struct Reserved {
    job_id: JobId,
    /// Digest of the body.
    body: String,
}

/// The outcome of [`reserve`].
pub enum Reservation {
    /// The key is new, and stands for this job from now on.
    New(JobId),
    /// The key stands for this job already, and the body is the same.
    Earlier(JobId),
    /// The key was used with another body.
    OtherBody,
}

/// Binds a user's key to a new job for `kept_for`, unless it is bound already.
pub async fn reserve(
    log: &EventLog,
    user_id: &str,
    key: &str,
    body: &[u8],
    kept_for: Duration,
) -> Result<Reservation, Problem> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(user_id.as_bytes()).update(&[0]).update(key.as_bytes());
    let ours = Reserved { job_id: JobId::new(), body: blake3::hash(body).to_hex().to_string() };
    let text = serde_json::to_string(&ours).map_err(|_| Problem::internal())?;
    let mut set = redis::cmd("SET");
    set.arg(log.keys().idempotency(&hasher.finalize().to_hex())).arg(text);
    set.arg("NX").arg("GET").arg("EX").arg(kept_for.as_secs());
    let earlier: Option<String> = set.query_async(&mut log.connection()).await?;
    let Some(earlier) = earlier else { return Ok(Reservation::New(ours.job_id)) };
    let earlier: Reserved = serde_json::from_str(&earlier).map_err(|_| Problem::internal())?;
    match earlier.body == ours.body {
        true => Ok(Reservation::Earlier(earlier.job_id)),
        false => Ok(Reservation::OtherBody),
    }
}
