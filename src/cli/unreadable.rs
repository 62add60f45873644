//! Jobs whose events this version cannot read: they can be ended and erased, but nothing can be decided about them.

use super::operator::Operator;
use crate::events::{Append, Cause, Envelope, Error as LogError, Event, JobEvent, Mark, Payload, upcast};
use crate::execute;
use crate::ids::{CommandId, JobId};

/// How often an append is repeated because somebody else appended first.
const MAX_TRIES: usize = 8;

/// What became of a job that was to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    Now,
    /// It had ended, or does not exist.
    Before,
    /// Its events can be read: commands decide about it.
    Readable,
}

/// Ends an open job, without a fold of its history: appends `JobCancelled`, and takes it off the list of open jobs. Also
/// appends `ContentErased` when `erase` is set, whether the job is open or not.
pub async fn close(operator: &Operator, job_id: JobId, erase: bool) -> anyhow::Result<Closed> {
    match operator.executor.load(job_id).await {
        Ok(_) => return Ok(Closed::Readable),
        Err(error @ execute::Error::Decode { .. }) if !error.is_retryable() => {}
        Err(error) => return Err(error.into()),
    }
    let is_open = operator.queue.is_open(job_id.aggregate()).await?;
    let mut events = vec![];
    if is_open {
        events.push(JobEvent::JobCancelled { stage: None });
    }
    if erase {
        events.push(JobEvent::ContentErased {});
    }
    if !events.is_empty() {
        append(operator, job_id, &events).await?;
    }
    Ok(if is_open { Closed::Now } else { Closed::Before })
}

async fn append(operator: &Operator, job_id: JobId, events: &[JobEvent]) -> anyhow::Result<()> {
    let command_id = CommandId::new();
    for attempt in 1.. {
        let last = operator.log().history(job_id.aggregate(), 0).await?.pop();
        let envelopes = envelopes(operator, job_id, last.as_ref(), events, command_id)?;
        let append = Append {
            aggregate_id: job_id.aggregate(),
            expected_version: last.map_or(0, |last| last.version),
            command_id,
            events: &envelopes,
            work: &[],
            mark: Some(Mark::Closed),
            done: None,
        };
        match operator.log().append(&append).await {
            Err(LogError::Conflict { .. }) if attempt < MAX_TRIES => {}
            appended => {
                appended?;
                break;
            }
        }
    }
    Ok(())
}

/// Neither event holds words of a user, so nothing is sealed.
fn envelopes(
    operator: &Operator,
    job_id: JobId,
    last: Option<&Envelope>,
    events: &[JobEvent],
    command_id: CommandId,
) -> anyhow::Result<Vec<Envelope>> {
    let mut tip = last.map(Envelope::tip).unwrap_or_default();
    let cause = Cause {
        recorded_at: operator.executor.clock().now(),
        command_id,
        causation_id: last.map(|last| last.event_id),
        correlation_id: command_id.to_string(),
        actor: operator.actor(),
        traceparent: String::new(),
    };
    let mut envelopes = vec![];
    for event in events {
        let event_type = event.type_name();
        let payload = Payload {
            event_type,
            schema: JobEvent::current_schema(event_type),
            data: upcast::encode(event)?.data,
        };
        let envelope = Envelope::next(&tip, job_id, payload, &cause);
        tip = envelope.tip();
        envelopes.push(envelope);
    }
    Ok(envelopes)
}
