//! Follows a video, and tells the agent how far it is.

use std::time::{Duration, Instant};

use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::{Peer, RoleServer};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::answers::has_ended;
use crate::api::{Failure, Session};
use crate::arguments::MAX_WAIT_SECONDS;

/// The most that one request to the API waits.
const MAX_POLL_SECONDS: u64 = 10;

/// Whom progress is told, and when to stop.
pub struct Listener {
    pub peer: Peer<RoleServer>,
    /// Without one, the agent does not want to be told.
    pub token: Option<ProgressToken>,
    pub stop: CancellationToken,
}

/// Returns the status once the job has ended, or as it is after `wait_seconds`, or when the agent stops the call.
pub async fn wait_until_ended(
    session: &Session<'_>,
    listener: &Listener,
    job_id: &str,
    wait_seconds: u64,
) -> Result<Value, Failure> {
    let deadline = Instant::now() + Duration::from_secs(wait_seconds.min(MAX_WAIT_SECONDS));
    let mut status = session.get(&format!("/videos/jobs/{job_id}/status")).await?;
    let mut told = None;
    loop {
        told = listener.tell(&status, told).await;
        let left_seconds = deadline.saturating_duration_since(Instant::now()).as_secs();
        if has_ended(&status) || left_seconds == 0 {
            return Ok(status);
        }
        let version = status["version"].as_u64().unwrap_or_default();
        let changed = session.changed_status(job_id, version, left_seconds.min(MAX_POLL_SECONDS));
        tokio::select! {
            () = listener.stop.cancelled() => return Ok(status),
            changed = changed => match changed? {
                Some(changed) => status = changed,
                None => continue,
            },
        }
    }
}

impl Listener {
    /// Tells progress that is more than what was `told`, as the protocol asks, and returns what is told now.
    async fn tell(&self, status: &Value, told: Option<f64>) -> Option<f64> {
        let percentage = status["progress"]["percentage"].as_f64().unwrap_or_default();
        let Some(token) = &self.token else { return told };
        if told.is_some_and(|told| percentage <= told) {
            return told;
        }
        let stage = status["progress"]["stage_description"].as_str().unwrap_or_default();
        let progress =
            ProgressNotificationParam::new(token.clone(), percentage).with_total(100.0).with_message(stage);
        // An agent that is gone ends the call by itself.
        let _gone = self.peer.notify_progress(progress).await;
        Some(percentage)
    }
}
