//! A webhook, as an aggregate: one message to one receiver, delivered or abandoned once.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Aggregate, Id};
use crate::events::content::ENCRYPTED;
use crate::events::webhook::{Abandonment, DeliveryFailure, WebhookRequested};
use crate::events::{Recorded, WebhookEvent};
use crate::ids::WebhookId;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Webhook {
    pub requested: Option<WebhookRequested>,
    pub attempts: u32,
    /// When the next attempt is due; `None` when there is none to come.
    pub due_at: Option<DateTime<Utc>>,
    pub is_delivered: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Request(WebhookRequested),
    RecordDelivery {
        attempt: u32,
        http_status: u16,
    },
    /// Another attempt follows after `delay_ms` while there were fewer than `max_attempts`, if one may succeed.
    RecordFailure {
        attempt: u32,
        failure: DeliveryFailure,
        max_attempts: u32,
        delay_ms: u64,
    },
    /// Give up a message whose receiver nobody knows any more.
    NoteErasure,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the webhook exists already")]
    AlreadyRequested,
    #[error("the webhook was delivered or abandoned, or never requested")]
    NotPending,
    #[error("attempt {attempt} is not the one that is due, which is {due}")]
    NotDue { attempt: u32, due: u32 },
}

impl Id for WebhookId {
    type Aggregate = Webhook;
}

impl Webhook {
    /// Whether the receiver's URL is gone with its user's key.
    pub fn is_erased(&self) -> bool {
        self.requested.as_ref().is_some_and(|requested| requested.url == ENCRYPTED)
    }

    /// Whether this is the attempt that comes next.
    fn expect(&self, attempt: u32) -> Result<(), Rejection> {
        let due = self.attempts + 1;
        match self.due_at {
            None => Err(Rejection::NotPending),
            Some(_) if attempt != due => Err(Rejection::NotDue { attempt, due }),
            Some(_) => Ok(()),
        }
    }
}

impl Aggregate for Webhook {
    type Event = WebhookEvent;
    type Command = Command;
    type Rejection = Rejection;

    fn decide(&self, command: Command) -> Result<Vec<WebhookEvent>, Rejection> {
        match command {
            Command::Request(_) if self.requested.is_some() => Err(Rejection::AlreadyRequested),
            Command::Request(requested) => Ok(vec![WebhookEvent::WebhookRequested(requested)]),
            Command::RecordDelivery { attempt, http_status } => {
                self.expect(attempt)?;
                Ok(vec![WebhookEvent::WebhookDelivered { attempt, http_status }])
            }
            Command::RecordFailure { attempt, failure, max_attempts, delay_ms } => {
                self.expect(attempt)?;
                let is_tried_again = attempt < max_attempts && failure.code.is_retryable();
                let retry_in_ms = is_tried_again.then_some(delay_ms);
                let mut events = vec![WebhookEvent::WebhookAttemptFailed { attempt, failure, retry_in_ms }];
                if !is_tried_again {
                    let reason = Abandonment::Failed;
                    events.push(WebhookEvent::WebhookAbandoned { attempts: attempt, reason });
                }
                Ok(events)
            }
            Command::NoteErasure if self.due_at.is_none() => Err(Rejection::NotPending),
            Command::NoteErasure => {
                let reason = Abandonment::Erased;
                Ok(vec![WebhookEvent::WebhookAbandoned { attempts: self.attempts, reason }])
            }
        }
    }

    fn evolve(mut self, recorded: &Recorded<WebhookEvent>) -> Self {
        match &recorded.event {
            WebhookEvent::WebhookRequested(requested) => {
                self.requested = Some(requested.clone());
                self.due_at = Some(recorded.recorded_at);
            }
            WebhookEvent::WebhookAttemptFailed { attempt, retry_in_ms, .. } => {
                self.attempts = *attempt;
                self.due_at = retry_in_ms.map(|delay_ms| after(recorded.recorded_at, delay_ms));
            }
            WebhookEvent::WebhookDelivered { attempt, .. } => {
                self.attempts = *attempt;
                self.due_at = None;
                self.is_delivered = true;
            }
            WebhookEvent::WebhookAbandoned { .. } => self.due_at = None,
        }
        self
    }

    fn is_beginning(command: &Command) -> bool {
        matches!(command, Command::Request(_))
    }

    fn user<'a>(&'a self, event: &'a WebhookEvent) -> Option<&'a str> {
        match event {
            WebhookEvent::WebhookRequested(requested) => Some(&requested.user_id),
            _ => self.requested.as_ref().map(|requested| requested.user_id.as_str()),
        }
    }

    fn is_settled(&self) -> bool {
        self.due_at.is_none()
    }
}

/// A time that many milliseconds later.
pub fn after(at: DateTime<Utc>, delay_ms: u64) -> DateTime<Utc> {
    let delay = i64::try_from(delay_ms).ok().and_then(TimeDelta::try_milliseconds);
    delay.and_then(|delay| at.checked_add_signed(delay)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::webhook::{FailureCode, Notice};
    use crate::ids::JobId;

    fn request() -> Command {
        Command::Request(WebhookRequested {
            user_id: "user_1".into(),
            job_id: JobId::new(),
            job_version: 9,
            notice: Notice::JobCompleted,
            url: "https://example.com/".into(),
        })
    }

    fn failed(attempt: u32, code: FailureCode) -> Command {
        let failure = DeliveryFailure { code, http_status: None };
        Command::RecordFailure { attempt, failure, max_attempts: 3, delay_ms: 5000 }
    }

    /// The state after commands that are accepted, at the epoch.
    fn given(commands: impl IntoIterator<Item = Command>) -> Webhook {
        commands.into_iter().fold(Webhook::default(), |webhook, command| {
            let events = webhook.decide(command).unwrap();
            events.into_iter().fold(webhook, |webhook, event| {
                webhook.evolve(&Recorded { version: 1, recorded_at: DateTime::UNIX_EPOCH, event })
            })
        })
    }

    #[test]
    fn a_message_is_due_at_once_and_after_each_failure_until_the_last() {
        let webhook = given([request()]);
        assert_eq!(webhook.due_at, Some(DateTime::UNIX_EPOCH));
        let webhook = given([request(), failed(1, FailureCode::Timeout), failed(2, FailureCode::Refused)]);
        assert_eq!((webhook.attempts, webhook.due_at), (2, Some(after(DateTime::UNIX_EPOCH, 5000))));
        let events = webhook.decide(failed(3, FailureCode::Refused)).unwrap();
        assert!(matches!(
            events[..],
            [
                WebhookEvent::WebhookAttemptFailed { attempt: 3, retry_in_ms: None, .. },
                WebhookEvent::WebhookAbandoned { attempts: 3, reason: Abandonment::Failed }
            ]
        ));
    }

    #[test]
    fn a_failure_that_stays_is_not_tried_again() {
        for code in [FailureCode::Gone, FailureCode::PrivateAddress, FailureCode::InvalidUrl] {
            let webhook = given([request(), failed(1, code)]);
            assert_eq!((webhook.due_at, webhook.is_delivered), (None, false));
        }
    }

    #[test]
    fn what_has_ended_or_is_not_due_leads_to_nothing() {
        let delivered = given([request(), Command::RecordDelivery { attempt: 1, http_status: 200 }]);
        assert!(delivered.is_delivered);
        for command in [failed(2, FailureCode::Timeout), Command::NoteErasure] {
            assert_eq!(delivered.decide(command), Err(Rejection::NotPending));
        }
        assert_eq!(delivered.decide(request()), Err(Rejection::AlreadyRequested));
        assert_eq!(Webhook::default().decide(Command::NoteErasure), Err(Rejection::NotPending));
        let tried = given([request(), failed(1, FailureCode::Timeout)]);
        let late = Command::RecordDelivery { attempt: 1, http_status: 200 };
        assert_eq!(tried.decide(late), Err(Rejection::NotDue { attempt: 1, due: 2 }));
        assert_eq!(after(DateTime::UNIX_EPOCH, u64::MAX), DateTime::<Utc>::MAX_UTC);
    }
}
