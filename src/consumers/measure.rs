//! Counts and times what workers do: attempts at pieces of work, calls of language models, and the ends of jobs.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use super::runner::Worker;
use crate::alerts;
use crate::domain::job::{Job, Status};
use crate::error_codes::ErrorCode;
use crate::events::job::Usage;
use crate::events::work::TakenWork;
use crate::events::{EventLog, Stage, TypedId};
use crate::execute::Executed;
use crate::ids::JobId;
use crate::telemetry::metrics::{Family, Kind};
use crate::telemetry::traces;
use reel_models::client::CallRecord;

const MIB: f64 = 1_048_576.0;
const STAGE_BUCKETS_S: [f64; 14] =
    [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0, 3600.0];
const WAIT_BUCKETS_S: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];
const JOB_BUCKETS_S: [f64; 13] =
    [1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0];
const CALL_BUCKETS_S: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0, 120.0];
const MEMORY_BUCKETS_BYTES: [f64; 8] = [
    128.0 * MIB,
    256.0 * MIB,
    512.0 * MIB,
    1024.0 * MIB,
    1536.0 * MIB,
    2048.0 * MIB,
    4096.0 * MIB,
    8192.0 * MIB,
];

/// How attempts end. `abandoned`: the work was cancelled, handed back, or taken over.
pub const ATTEMPT_OUTCOMES: [&str; 3] = ["succeeded", "failed", "abandoned"];
/// How jobs end.
pub const JOB_ENDS: [&str; 3] = ["completed", "failed", "cancelled"];

pub static STAGE_SECONDS: Family = Family::durations(
    "reel_stage_duration_seconds",
    "Attempts at pieces of work, by stage and how they ended.",
    &["stage", "outcome"],
    &STAGE_BUCKETS_S,
);
pub static QUEUE_WAIT_SECONDS: Family = Family::durations(
    "reel_queue_wait_seconds",
    "The time from when a piece of work is scheduled until a worker begins it, with the pause before a retry.",
    &["stage"],
    &WAIT_BUCKETS_S,
);
pub static STAGE_CPU_SECONDS: Family = Family::new(
    "reel_stage_cpu_seconds_total",
    "Processor time of attempts at pieces of work, with that of their child processes.",
    &["stage"],
    Kind::Counter,
    1e3,
);
pub static STAGE_MEMORY_BYTES: Family = Family::new(
    "reel_stage_peak_memory_bytes",
    "The most memory that the worker process had during an attempt, by the stage of the attempt.",
    &["stage"],
    Kind::Histogram { bounds: &MEMORY_BUCKETS_BYTES },
    1.0,
);
pub static JOBS_ENDED: Family =
    Family::counter("reel_jobs_ended_total", "Jobs that have ended, by how.", &["status"]);
pub static JOB_SECONDS: Family = Family::durations(
    "reel_job_duration_seconds",
    "Completed jobs, from the request to the video, by quality.",
    &["quality"],
    &JOB_BUCKETS_S,
);
pub static FIRST_SCENE_SECONDS: Family = Family::durations(
    "reel_job_first_scene_seconds",
    "Completed jobs, from the request until their first scene could be watched, by quality.",
    &["quality"],
    &JOB_BUCKETS_S,
);
pub static ESTIMATED_JOBS: Family = Family::counter(
    "reel_estimated_jobs_total",
    "Accepted jobs that were completed or failed, and whose first estimate is known.",
    &[],
);
pub static LATE_JOBS: Family = Family::counter(
    "reel_estimated_jobs_late_total",
    "Those of reel_estimated_jobs_total that failed, or took longer than twice their first estimate.",
    &[],
);
pub static MODEL_TOKENS: Family = Family::counter(
    "reel_model_tokens_total",
    "Tokens of calls of language models, by provider, and whether they were sent (input) or received (output).",
    &["provider", "direction"],
);
pub static MODEL_COST: Family = Family::new(
    "reel_model_cost_dollars_total",
    "Cost of calls of language models, by MODEL_PRICES.",
    &["provider"],
    Kind::Counter,
    1e6,
);
pub static MODEL_CALL_SECONDS: Family = Family::durations(
    "reel_model_call_duration_seconds",
    "Calls of language models, by provider and how they ended.",
    &["provider", "outcome"],
    &CALL_BUCKETS_S,
);

/// Times how long a piece of work waited for its worker.
pub fn note_wait(work: &TakenWork, traceparent: &str) {
    let Some(scheduled_at) = work.receipt.token.made_at() else { return };
    let waited = SystemTime::now().duration_since(scheduled_at).unwrap_or_default();
    let series = QUEUE_WAIT_SECONDS.with(&[work.item.stage.name()]);
    series.observe_traced(waited, || traces::trace_id(traceparent));
}

/// Times an attempt; `outcome` is one of [`ATTEMPT_OUTCOMES`].
pub fn note_attempt(stage: Stage, outcome: &'static str, took: Duration, traceparent: &str) {
    STAGE_SECONDS.with(&[stage.name(), outcome]).observe_traced(took, || traces::trace_id(traceparent));
}

pub fn note_usage(stage: Stage, usage: &Usage) {
    STAGE_CPU_SECONDS.with(&[stage.name()]).add(usage.cpu_ms);
    STAGE_MEMORY_BYTES.with(&[stage.name()]).observe_value(usage.peak_memory_bytes as f64);
}

pub fn note_model_call(call: &CallRecord) {
    let provider = call.model.provider.name();
    MODEL_TOKENS.with(&[provider, "input"]).add(call.usage.input_tokens);
    MODEL_TOKENS.with(&[provider, "output"]).add(call.usage.output_tokens);
    MODEL_COST.with(&[provider]).add(call.micro_dollars);
    let took = Duration::from_millis(call.duration_ms);
    MODEL_CALL_SECONDS.with(&[provider, call.outcome.name()]).observe(took);
}

/// Counts a job that a user has cancelled.
pub fn note_cancelled() {
    JOBS_ENDED.with(&["cancelled"]).add(1);
}

impl Worker {
    /// Counts and times a job that these events have ended. A job that was ended before is not counted again.
    pub(super) async fn note_end(&self, job_id: JobId, executed: &Executed<Job>) {
        let (job, traceparent) = (&executed.loaded.state, &executed.loaded.tip.traceparent);
        if executed.replayed {
            return;
        }
        match job.status {
            Status::Completed => {
                JOBS_ENDED.with(&["completed"]).add(1);
                note_completed(job, traceparent);
            }
            Status::Failed => {
                JOBS_ENDED.with(&["failed"]).add(1);
                raise_internal_failure(job_id, job);
            }
            Status::Unknown | Status::Queued | Status::Processing | Status::Cancelled => return,
        }
        // A job that was begun again has broken its promise before, and was counted then.
        if job.retired_attempts.is_empty()
            && let Some(promised) = promised_completion(self.executor.log(), job_id, job).await
        {
            ESTIMATED_JOBS.with(&[]).add(1);
            if is_late(job, promised) {
                LATE_JOBS.with(&[]).add(1);
            }
        }
    }
}

fn note_completed(job: &Job, traceparent: &str) {
    let Some(quality) = job.request.as_ref().map(|request| request.quality.name()) else { return };
    let since_request = |at: Option<DateTime<Utc>>| (at? - job.requested_at?).to_std().ok();
    for (family, at) in [(&JOB_SECONDS, job.ended_at), (&FIRST_SCENE_SECONDS, job.playable_at)] {
        if let Some(took) = since_request(at) {
            family.with(&[quality]).observe_traced(took, || traces::trace_id(traceparent));
        }
    }
}

/// A failure that says nothing to its user says something about this program.
fn raise_internal_failure(job_id: JobId, job: &Job) {
    let Some((stage, failure)) = &job.failure else { return };
    if ErrorCode::is_fault_of_ours(&failure.code) {
        let code = alerts::Code::JobFailedInternally;
        tracing::error!(alert = code.name(), %job_id, %stage, "a job failed by an error of this program");
        let details = vec![("job_id", job_id.to_string()), ("stage", stage.name().to_owned())];
        let message =
            format!("job {job_id} failed in {stage} by an error of this program; its log has the cause");
        alerts::raise(code, message, details);
    }
}

/// Whether a job failed, or took longer than twice its first estimate.
fn is_late(job: &Job, promised: DateTime<Utc>) -> bool {
    let (Some(requested_at), Some(ended_at)) = (job.requested_at, job.ended_at) else { return true };
    job.status != Status::Completed || ended_at - requested_at > (promised - requested_at) * 2
}

/// Returns when the first answer to the request said that the job, or its batch, would be done.
async fn promised_completion(log: &EventLog, job_id: JobId, job: &Job) -> Option<DateTime<Utc>> {
    let of_batch = job.batch_id.map(|batch_id| batch_id.aggregate());
    let mut asked = redis::cmd("GET");
    asked.arg(log.keys().promise(of_batch.unwrap_or(job_id.aggregate())));
    match asked.query_async::<Option<i64>>(&mut log.connection()).await {
        Ok(promised_ms) => DateTime::from_timestamp_millis(promised_ms?),
        Err(error) => {
            tracing::debug!(%job_id, %error, "the job's first estimate is not known");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    // 000-6.4
    #[test]
    fn a_job_is_late_after_twice_its_estimate_or_when_it_failed() {
        let requested_at = Utc::now();
        let promised = requested_at + TimeDelta::seconds(10);
        let ended_after = |seconds, status| Job {
            status,
            requested_at: Some(requested_at),
            ended_at: Some(requested_at + TimeDelta::seconds(seconds)),
            ..Job::default()
        };
        assert!(!is_late(&ended_after(20, Status::Completed), promised));
        assert!(is_late(&ended_after(21, Status::Completed), promised));
        assert!(is_late(&ended_after(1, Status::Failed), promised));
    }
}
