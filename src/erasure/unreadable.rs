//! Jobs whose events this version cannot read: they can be ended and erased, but nothing can be decided about them.

use crate::events::{
    self, Actor, Append, Cause, Envelope, Error as LogError, Event, JobEvent, Mark, Payload, WorkQueue,
    upcast,
};
use crate::execute::{self, Executor};
use crate::ids::{CommandId, JobId};

/// How often an append is repeated because somebody else appended first.
const MAX_TRIES: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the event log failed")]
    Log(#[from] events::Error),
    #[error("the job cannot be loaded")]
    Load(#[source] execute::Error),
    #[error("its end cannot be written")]
    Encode(#[from] upcast::Unreadable),
}

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
pub async fn close(
    executor: &Executor,
    queue: &WorkQueue,
    actor: &Actor,
    job_id: JobId,
    erase: bool,
) -> Result<Closed, Error> {
    match executor.load(job_id).await {
        Ok(_) => return Ok(Closed::Readable),
        Err(error @ execute::Error::Decode { .. }) if !error.is_retryable() => {}
        Err(error) => return Err(Error::Load(error)),
    }
    let is_open = queue.is_open(job_id.aggregate()).await?;
    let mut events = vec![];
    if is_open {
        events.push(JobEvent::JobCancelled { stage: None });
    }
    if erase {
        events.push(JobEvent::ContentErased {});
    }
    if !events.is_empty() {
        append(executor, actor, job_id, &events).await?;
    }
    Ok(if is_open { Closed::Now } else { Closed::Before })
}

async fn append(executor: &Executor, actor: &Actor, job_id: JobId, events: &[JobEvent]) -> Result<(), Error> {
    let command_id = CommandId::new();
    for attempt in 1.. {
        let last = executor.log().history(job_id.aggregate(), 0).await?.pop();
        let envelopes = envelopes(executor, actor, job_id, last.as_ref(), events, command_id)?;
        let append = Append {
            aggregate_id: job_id.aggregate(),
            expected_version: last.map_or(0, |last| last.version),
            command_id,
            events: &envelopes,
            work: &[],
            mark: Some(Mark::Closed),
            done: None,
        };
        match executor.log().append(&append).await {
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
    executor: &Executor,
    actor: &Actor,
    job_id: JobId,
    last: Option<&Envelope>,
    events: &[JobEvent],
    command_id: CommandId,
) -> Result<Vec<Envelope>, Error> {
    let mut tip = last.map(Envelope::tip).unwrap_or_default();
    let cause = Cause {
        recorded_at: executor.clock().now(),
        command_id,
        causation_id: last.map(|last| last.event_id),
        correlation_id: command_id.to_string(),
        actor: actor.clone(),
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
