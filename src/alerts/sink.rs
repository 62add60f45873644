//! Sends alerts to an operator: at most one message a code a minute, with the number of those that were left out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{Alert, Code, RAISED, take_waiting};
use crate::telemetry::{chain, host_name};
use crate::webhooks::Sender;
use crate::webhooks::sender::Message;

/// Between two messages of one code.
const INTERVAL: Duration = Duration::from_secs(60);
/// Pauses between the attempts to send a message: it is given up after a minute and a half, when the next one of its code may go.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(16), Duration::from_secs(64)];

/// Sends the alerts of this process.
pub struct Sink {
    sender: Sender,
    url: String,
    interval: Duration,
    pauses: [Duration; 4],
}

/// The alerts of a code since its last message.
#[derive(Debug, Default)]
struct Window {
    sent_at: Option<Instant>,
    left_out: u64,
    last: Option<Alert>,
}

impl Window {
    /// Takes an alert in. Returns the message that may go now.
    fn note(&mut self, alert: Alert, now: Instant, interval: Duration) -> Option<(Alert, u64)> {
        if self.last.replace(alert).is_some() {
            self.left_out += 1;
        }
        self.take_due(now, interval)
    }

    /// Returns the last alert, and the number of those that it stands for, too, once the interval is over.
    fn take_due(&mut self, now: Instant, interval: Duration) -> Option<(Alert, u64)> {
        if self.sent_at.is_some_and(|at| now.duration_since(at) < interval) {
            return None;
        }
        let last = self.last.take()?;
        self.sent_at = Some(now);
        Some((last, std::mem::take(&mut self.left_out)))
    }
}

impl Sink {
    pub fn new(sender: Sender, url: String) -> Self {
        Self { sender, url, interval: INTERVAL, pauses: PAUSES }
    }

    /// Runs until `stop`. What is raised after that, or was left out until then, goes nowhere but to the log.
    pub async fn run(self, stop: CancellationToken) {
        let mut windows: HashMap<Code, Window> = HashMap::new();
        let (sink, sending) = (std::sync::Arc::new(self), TaskTracker::new());
        // How late a message about what was left out may be.
        let mut looks = tokio::time::interval((sink.interval / 12).max(Duration::from_millis(10)));
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = RAISED.notified() => {}
                _ = looks.tick() => {}
            }
            let now = Instant::now();
            let mut due = vec![];
            for alert in take_waiting() {
                due.extend(windows.entry(alert.code).or_default().note(alert, now, sink.interval));
            }
            due.extend(windows.values_mut().filter_map(|window| window.take_due(now, sink.interval)));
            for (alert, left_out) in due {
                let (sink, stop) = (sink.clone(), stop.clone());
                sending.spawn(async move { sink.send(&alert, left_out, &stop).await });
            }
        }
        sending.close();
        sending.wait().await;
    }

    /// Sends a message, several times if need be; once more at most after `stop`.
    async fn send(&self, alert: &Alert, left_out: u64, stop: &CancellationToken) {
        let id = format!("alert_{}", Uuid::now_v7().simple());
        let body = describe(alert, left_out).to_string();
        let mut pauses = self.pauses.iter();
        loop {
            let message = Message { id: id.clone(), timestamp: Utc::now().timestamp(), body: body.clone() };
            let failed = match self.sender.send(&self.url, &message).await {
                Ok(200..=299) => return,
                Ok(status) => format!("the receiver answered {status}"),
                Err(error) => chain(&error),
            };
            let pause = pauses.next().filter(|_| !stop.is_cancelled());
            let Some(pause) = pause else {
                tracing::warn!(code = alert.code.name(), error = failed, "an alert was not delivered");
                return;
            };
            tracing::debug!(code = alert.code.name(), error = failed, "an alert is sent again");
            let _stops = tokio::time::timeout(*pause, stop.cancelled()).await;
        }
    }
}

/// Returns the message for an operator.
fn describe(alert: &Alert, left_out: u64) -> Value {
    let details: Map<String, Value> =
        alert.details.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "type": "system.alert",
        "timestamp": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        "data": {
            "code": alert.code.name(),
            "message": alert.message,
            "severity": "critical",
            "details": details,
            "left_out": left_out,
            "runbook": alert.code.runbook(),
            "process": process_name(),
        },
    })
}

fn process_name() -> String {
    format!("{}:{}", host_name(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(number: u32) -> Alert {
        Alert { code: Code::StoreFull, message: format!("{number}"), details: vec![] }
    }

    #[test]
    fn one_message_a_minute_tells_how_many_were_left_out() {
        let (mut window, began) = (Window::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(window.note(alert(1), at(0), INTERVAL), Some((alert(1), 0)));
        for (number, seconds) in [(2, 1), (3, 30), (4, 59)] {
            assert_eq!(window.note(alert(number), at(seconds), INTERVAL), None);
        }
        assert_eq!(window.take_due(at(59), INTERVAL), None);
        assert_eq!(window.take_due(at(60), INTERVAL), Some((alert(4), 2)));
        assert_eq!(window.take_due(at(600), INTERVAL), None);
        assert_eq!(window.note(alert(5), at(601), INTERVAL), Some((alert(5), 0)));
    }

    #[test]
    fn a_message_says_what_happened_where_and_what_to_do() {
        let alert = Alert {
            code: Code::ReadModelHalted,
            message: "catalog stands still".to_owned(),
            details: vec![("partition", "3".to_owned())],
        };
        let message = describe(&alert, 7);
        assert_eq!(message["type"], "system.alert");
        let data = &message["data"];
        assert_eq!((&data["code"], &data["left_out"]), (&json!("READ_MODEL_HALTED"), &json!(7)));
        assert_eq!(data["details"], json!({ "partition": "3" }));
        assert_eq!(data["runbook"], "docs/RUNBOOK.md#reelstreamprojectionhalted");
    }
}
