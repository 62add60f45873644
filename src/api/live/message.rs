//! What clients are sent: each text is written once, for all clients of a job.

use std::ops::Range;

use tungstenite::Utf8Bytes;

use super::super::forecasts::Forecasts;
use super::super::status::JobStatusAnswer;
use crate::config::Streams;
use crate::events::{self, Envelope};
use crate::execute::ContentCodec;
use crate::ids::JobId;
use crate::projections::Error;
use crate::projections::status::{StatusView, StatusViews};

const EVENT_PREFIX: &str = r#"{"type":"event","event":"#;
const SNAPSHOT_PREFIX: &str = r#"{"type":"snapshot""#;
/// What an event takes beside its texts.
const OVERHEAD_BYTES: usize = 128;

/// An event of a job, and the status after it.
#[derive(Debug)]
pub struct LiveEvent {
    pub version: u64,
    pub event_type: String,
    /// Whether the job has ended with this event or before, and was not begun again.
    pub has_ended: bool,
    /// The message of a socket: `{"type": "event", "event": {…}, …status}`.
    pub message: Utf8Bytes,
    /// Where the event stands in the message.
    entry: Range<usize>,
}

impl LiveEvent {
    /// The event as the list of a job's events has it.
    pub fn entry(&self) -> &str {
        &self.message.as_str()[self.entry.clone()]
    }

    pub fn size_bytes(&self) -> usize {
        self.message.len() + OVERHEAD_BYTES
    }

    #[cfg(test)]
    pub fn sample(version: u64, size_bytes: usize) -> Self {
        let message = Utf8Bytes::from("x".repeat(size_bytes));
        Self { version, event_type: "JobQueued".to_owned(), has_ended: false, message, entry: 0..size_bytes }
    }
}

/// Writes messages. Cheap to clone.
#[derive(Clone)]
pub struct Renderer {
    codec: ContentCodec,
    statuses: StatusViews,
    forecasts: Forecasts,
    streams: Streams,
}

impl Renderer {
    pub fn new(codec: ContentCodec, statuses: StatusViews, forecasts: Forecasts, streams: Streams) -> Self {
        Self { codec, statuses, forecasts, streams }
    }

    pub fn statuses(&self) -> &StatusViews {
        &self.statuses
    }

    /// Writes an event with the status after it, and returns that. `before` spares the look at the history, if it is the
    /// status before this event.
    pub async fn event(
        &self,
        job: JobId,
        before: Option<StatusView>,
        mut envelope: Envelope,
    ) -> Result<(LiveEvent, StatusView), Error> {
        let version = envelope.version;
        let of_event = |source| Error::Decode { job, version, source };
        if let Some(opened) = self.codec.open(&envelope).await.map_err(of_event)? {
            envelope.data = opened;
        }
        let recorded = self.codec.decode(&envelope).await.map_err(of_event)?;
        let before = match before {
            Some(view) if view.version + 1 == version => Some(view),
            _ => self.statuses.folded(job, version - 1).await?,
        };
        let view = StatusView::evolve(before, job, &recorded);
        let view = view.ok_or_else(|| not_begun(job, version))?;
        let status = self.status(&view)?;
        let entry = serde_json::to_string(&envelope)?;
        let message = join_event(&entry, &status);
        let entry = EVENT_PREFIX.len()..EVENT_PREFIX.len() + entry.len();
        let (event_type, has_ended) = (envelope.event_type, view.ended_at.is_some());
        Ok((LiveEvent { version, event_type, has_ended, message: message.into(), entry }, view))
    }

    /// Writes a status as the message that a socket begins with.
    pub fn snapshot(&self, view: &StatusView) -> Result<Utf8Bytes, Error> {
        Ok(join(SNAPSHOT_PREFIX, &self.status(view)?).into())
    }

    fn status(&self, view: &StatusView) -> Result<String, Error> {
        let mut view = view.clone();
        self.forecasts.estimate(&mut view);
        Ok(serde_json::to_string(&JobStatusAnswer::of(&view, &self.streams))?)
    }
}

/// The error for a history that does not begin with a request.
fn not_begun(job: JobId, version: u64) -> Error {
    let reason = format!("the history before version {version} does not begin with a request");
    let source = events::Error::Undecodable { stream: "the history".to_owned(), id: "1".to_owned(), reason };
    Error::History { aggregate_id: job.aggregate(), source }
}

/// `status` is a JSON object that is not empty; its fields come last.
fn join(prefix: &str, status: &str) -> String {
    format!("{prefix},{}", status.strip_prefix('{').unwrap_or(status))
}

fn join_event(entry: &str, status: &str) -> String {
    join(&format!("{EVENT_PREFIX}{entry}"), status)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn messages_are_json_with_the_status_in_them() {
        let status = r#"{"status":"queued","version":3}"#;
        let entry = r#"{"type":"JobQueued","data":{"a":"}{\","}}"#;
        let event: Value = serde_json::from_str(&join_event(entry, status)).unwrap();
        let entry: Value = serde_json::from_str(entry).unwrap();
        assert_eq!(event, json!({ "type": "event", "event": entry, "status": "queued", "version": 3 }));
        let snapshot: Value = serde_json::from_str(&join(SNAPSHOT_PREFIX, status)).unwrap();
        assert_eq!(snapshot, json!({ "type": "snapshot", "status": "queued", "version": 3 }));
    }
}
