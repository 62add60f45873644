//! Tells who wants to know that a job has ended: a webhook for each end of a job with a `callback_url`.
//!
//! [`JobEnds`] requests the webhook, whose id follows from the event, and [`Deliveries`] sends it until the receiver
//! takes it or the attempts are used up. The message is folded from the job's history up to its end, so it is the same at
//! every attempt.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use uuid::Uuid;

use super::outbox::{Carried, Due, Effect, NotCarriedOut};
use super::process_manager::{Happened, Order, ProcessManager};
use crate::config::WebhookConfig;
use crate::domain::job::{Job, Status};
use crate::domain::webhook::{self, Command, Rejection, Webhook};
use crate::events::webhook::{DeliveryFailure, FailureCode, Notice, WebhookRequested};
use crate::events::{Actor, JobEvent, Recorded, WebhookEvent, time_field};
use crate::execute::{self, Executor, Loaded, Origin};
use crate::ids::{AttemptToken, CommandId, JobId, WebhookId};
use crate::telemetry::chain;
use crate::webhooks::Sender;
use crate::webhooks::sender::{Error as SendError, Message};

/// Between two attempts, at most.
const MAX_DELAY: Duration = Duration::from_hours(6);
/// How much longer each delay is than the one before.
const FACTOR: u32 = 4;
const GONE: u16 = 410;

/// Requests a webhook for each end of a job that names a receiver.
pub struct JobEnds;

impl ProcessManager for JobEnds {
    type Source = JobId;

    const NAME: &'static str = "job-ends";

    fn reacts_to(&self, event_type: &str) -> bool {
        ["JobCompleted", "JobFailed", "JobCancelled"].contains(&event_type)
    }

    fn react(&self, happened: &Happened<JobId>) -> Vec<Order> {
        let notice = match &happened.event {
            JobEvent::JobCompleted { .. } => Notice::JobCompleted,
            JobEvent::JobFailed { .. } => Notice::JobFailed,
            JobEvent::JobCancelled { .. } => Notice::JobCancelled,
            _ => return vec![],
        };
        let job = happened.state.as_ref();
        // Gone with its user's key, if that was destroyed.
        let Some(url) = job.request.as_ref().and_then(|request| request.callback_url.clone()) else {
            return vec![];
        };
        let user_id = job.user_id.clone();
        let requested =
            WebhookRequested { user_id, job_id: happened.id, job_version: job.version, notice, url };
        vec![Order::new(WebhookId::of_event(happened.event_id), Command::Request(requested))]
    }
}

/// Sends webhooks.
pub struct Deliveries {
    executor: Executor,
    sender: Sender,
    config: WebhookConfig,
}

impl Deliveries {
    /// Once a secret is configured.
    pub fn new(executor: Executor, config: &WebhookConfig) -> Option<Result<Self, reqwest::Error>> {
        let sender = Sender::new(config.secret.clone()?, config.policy);
        Some(sender.map(|sender| Self { executor, sender, config: config.clone() }))
    }

    /// Records what came of an attempt. A second record of the same attempt, by a process that was thought dead, changes
    /// nothing.
    async fn record(
        &self,
        id: WebhookId,
        webhook: &Loaded<Webhook>,
        command: Command,
    ) -> Result<(), NotCarriedOut> {
        let last_event = webhook.tip.event_id.ok_or("a webhook without events")?;
        let origin = Origin {
            command_id: CommandId::of_attempt(AttemptToken::of_event(last_event), "deliver"),
            ..Origin::new(Actor::System)
        };
        match self.executor.execute(id, command, &origin, None).await {
            Ok(_) | Err(execute::Error::Rejected(Rejection::NotDue { .. } | Rejection::NotPending)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The message; `None` when the job's history cannot be read.
    async fn message(
        &self,
        id: WebhookId,
        requested: &WebhookRequested,
    ) -> Result<Option<Message>, NotCarriedOut> {
        let job = match self.executor.load_until(requested.job_id, requested.job_version).await {
            Ok(loaded) => loaded,
            Err(error) if error.is_retryable() => return Err(error.into()),
            Err(error) => {
                tracing::error!(%id, error = %chain(&error), "a webhook has nothing to tell");
                return Ok(None);
            }
        };
        let body = describe(requested, &job.state, self.config.public_url.as_deref().unwrap_or_default());
        let timestamp = self.executor.clock().now().timestamp();
        Ok(Some(Message { id: id.to_string(), timestamp, body: body.to_string() }))
    }

    async fn attempt(&self, url: &str, message: &Message, attempt: u32) -> Command {
        let failure = match self.sender.send(url, message).await {
            Ok(http_status @ 200..=299) => return Command::RecordDelivery { attempt, http_status },
            Ok(http_status) => {
                let code = if http_status == GONE { FailureCode::Gone } else { FailureCode::Refused };
                DeliveryFailure { code, http_status: Some(http_status) }
            }
            Err(error) => {
                tracing::debug!(error = %chain(&error), attempt, "a webhook was not delivered");
                DeliveryFailure { code: code(&error), http_status: None }
            }
        };
        let delay_ms = delay_ms(self.config.first_delay, attempt, Uuid::new_v4().as_u128());
        Command::RecordFailure { attempt, failure, max_attempts: self.config.max_attempts, delay_ms }
    }
}

#[async_trait]
impl Effect for Deliveries {
    type Source = WebhookId;

    const NAME: &'static str = "webhooks";
    const MAX_IN_FLIGHT: usize = 16;

    fn due(&self, recorded: &Recorded<WebhookEvent>) -> Due {
        match &recorded.event {
            WebhookEvent::WebhookRequested(_) => Due::At(recorded.recorded_at),
            WebhookEvent::WebhookAttemptFailed { retry_in_ms: Some(delay_ms), .. } => {
                Due::At(webhook::after(recorded.recorded_at, *delay_ms))
            }
            WebhookEvent::WebhookAttemptFailed { retry_in_ms: None, .. }
            | WebhookEvent::WebhookDelivered { .. }
            | WebhookEvent::WebhookAbandoned { .. } => Due::Never,
        }
    }

    async fn carry_out(&self, id: WebhookId) -> Result<Carried, NotCarriedOut> {
        let loaded = match self.executor.load(id).await {
            Ok(loaded) => loaded,
            Err(error) if error.is_retryable() => return Err(error.into()),
            Err(error) => {
                tracing::error!(%id, error = %chain(&error), "a webhook that cannot be read is not sent");
                return Ok(Carried::Settled);
            }
        };
        let (Some(requested), Some(_due)) = (&loaded.state.requested, loaded.state.due_at) else {
            return Ok(Carried::Settled);
        };
        if loaded.state.is_erased() {
            self.record(id, &loaded, Command::NoteErasure).await?;
            return Ok(Carried::Recorded);
        }
        let Some(message) = self.message(id, requested).await? else { return Ok(Carried::Settled) };
        let command = self.attempt(&requested.url, &message, loaded.state.attempts + 1).await;
        self.record(id, &loaded, command).await?;
        Ok(Carried::Recorded)
    }
}

fn code(error: &SendError) -> FailureCode {
    match error {
        SendError::Url(crate::webhooks::target::Unfit::Private) | SendError::PrivateAddress => {
            FailureCode::PrivateAddress
        }
        SendError::Url(_) => FailureCode::InvalidUrl,
        SendError::Timeout => FailureCode::Timeout,
        SendError::Unreachable(_) => FailureCode::Unreachable,
    }
}

/// How long to wait after an attempt failed: four times as long each time, and between four fifths and all of it, so
/// that what failed together does not come back together.
pub(super) fn delay_ms(first: Duration, attempt: u32, random: u128) -> u64 {
    let factor = FACTOR.saturating_pow(attempt.saturating_sub(1));
    let most = first.saturating_mul(factor).min(MAX_DELAY).as_millis() as u64;
    most - (random % u128::from(most / 5 + 1)) as u64
}

/// What a receiver is told of a job that has ended.
fn describe(requested: &WebhookRequested, job: &Job, base: &str) -> Value {
    let WebhookRequested { job_id, notice, .. } = requested;
    let path = |name: &str| format!("{base}/api/v1/videos/jobs/{job_id}/{name}");
    let is_completed = job.status == Status::Completed;
    let video = |name: &str| is_completed.then(|| path(name));
    let status = match notice {
        Notice::JobCompleted => "completed",
        Notice::JobFailed => "failed",
        Notice::JobCancelled => "cancelled",
    };
    let error = job.failure.as_ref().map(|(stage, failure)| {
        json!({
            "error_code": failure.code,
            "error_message": failure.message,
            "error_stage": stage.name(),
            "recovery_suggestion": failure.suggestion,
        })
    });
    json!({
        "type": notice.name(),
        "timestamp": job.ended_at.map(time_field),
        "data": {
            "job_id": job_id,
            "status": status,
            "created_at": job.requested_at.map(time_field),
            "completed_at": job.ended_at.filter(|_| is_completed).map(time_field),
            "status_url": path("status"),
            "video_url": video("stream"),
            "download_url": video("download"),
            "thumbnail_url": video("thumbnail").filter(|_| !job.thumbnails.is_empty()),
            "video": job.video.as_ref().map(|video| json!({
                "duration": video.duration_ms as f64 / 1000.0,
                "width": video.width,
                "height": video.height,
                "file_size": video.file_size,
            })),
            "error": error,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_fourfold_up_to_a_bound_and_vary_by_a_fifth() {
        let delay = |attempt, random| delay_ms(Duration::from_secs(5), attempt, random);
        assert_eq!((delay(1, 0), delay(1, 1000), delay(1, 1001)), (5000, 4000, 5000));
        assert_eq!((delay(2, 0), delay(3, 0)), (20_000, 80_000));
        for attempt in [8, 40, u32::MAX] {
            assert_eq!(delay(attempt, 0), 6 * 3600 * 1000);
        }
    }
}
