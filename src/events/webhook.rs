//! The events of a webhook: one message to one receiver, and the attempts at delivering it.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use super::event::Event;
use super::event::StandIn::Text as SealedText;
use super::event::Text::{self, Personal, Public};
use crate::ids::{JobId, WebhookId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type", content = "data")]
pub enum WebhookEvent {
    WebhookRequested(WebhookRequested),
    /// The receiver did not take the message.
    WebhookAttemptFailed {
        /// From 1.
        attempt: u32,
        failure: DeliveryFailure,
        /// Until the next attempt; `None` after the last one.
        retry_in_ms: Option<u64>,
    },
    /// The receiver has taken the message.
    WebhookDelivered {
        attempt: u32,
        http_status: u16,
    },
    /// Nothing more is tried.
    WebhookAbandoned {
        attempts: u32,
        reason: Abandonment,
    },
}

/// A message is to be sent: that a job has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookRequested {
    pub user_id: String,
    pub job_id: JobId,
    /// The job's version when it ended: the message tells its state up to there.
    pub job_version: u64,
    pub notice: Notice,
    pub url: String,
}

/// What a message is about; its `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
pub enum Notice {
    #[serde(rename = "job.completed")]
    #[strum(serialize = "job.completed")]
    JobCompleted,
    #[serde(rename = "job.failed")]
    #[strum(serialize = "job.failed")]
    JobFailed,
    #[serde(rename = "job.cancelled")]
    #[strum(serialize = "job.cancelled")]
    JobCancelled,
}

impl Notice {
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Why an attempt failed. Never holds words of the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryFailure {
    pub code: FailureCode,
    /// Of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The answer's status is not 2xx.
    Refused,
    /// 410: the receiver wants no more of these.
    Gone,
    Timeout,
    Unreachable,
    /// The URL, or what its name stands for, is not a public address.
    PrivateAddress,
    InvalidUrl,
}

impl FailureCode {
    /// Whether another attempt may succeed.
    pub fn is_retryable(self) -> bool {
        match self {
            FailureCode::Refused | FailureCode::Timeout | FailureCode::Unreachable => true,
            FailureCode::Gone | FailureCode::PrivateAddress | FailureCode::InvalidUrl => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Abandonment {
    /// The last attempt has failed, or one that no other can better.
    Failed,
    /// The user's content was erased, and the receiver's URL with it.
    Erased,
}

impl Event for WebhookEvent {
    type Id = WebhookId;

    const TYPES: &'static [&'static str] = Self::VARIANTS;

    fn type_name(&self) -> &'static str {
        self.into()
    }

    fn texts(&self) -> &'static [Text] {
        match self {
            WebhookEvent::WebhookRequested(_) => {
                &[Public("/user_id"), Public("/job_id"), Public("/notice"), Personal("/url", SealedText)]
            }
            WebhookEvent::WebhookAttemptFailed { .. } => &[Public("/failure/code")],
            WebhookEvent::WebhookDelivered { .. } => &[],
            WebhookEvent::WebhookAbandoned { .. } => &[Public("/reason")],
        }
    }
}
