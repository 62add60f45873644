//! Errors that need a person, as an operator without Prometheus is told of them.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::Utc;
use reelstream::alerts::Code;
use reelstream::config::{AlertReceiver, Config};
use reelstream::consumers::{StageError, StageHandler, Task};
use reelstream::domain::job::Outcome;
use reelstream::events::Stage;
use reelstream::webhooks::{Secret, TargetPolicy};
use salvo::conn::Acceptor;
use salvo::http::StatusCode;
use salvo::prelude::*;
use serde_json::Value;
use strum::VariantArray;

use crate::harness::{ALL_ROLES, Running, System, WEBHOOK_SECRET, eventually, short_request};

/// What came of a message: its id, and its body, if its signature is right.
type Received = (String, Value);

/// Refuses the first message.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<Received>>>);

#[async_trait]
impl Handler for Receiver {
    async fn handle(&self, req: &mut Request, _depot: &mut Depot, res: &mut Response, _ctrl: &mut FlowCtrl) {
        let header = |name: &str| req.header::<String>(name).unwrap();
        let [id, timestamp, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(header);
        let body = req.payload().await.unwrap().clone();
        let secret = Secret::parse(WEBHOOK_SECRET).unwrap();
        secret.verify(&id, &timestamp, &signature, &body, Utc::now().timestamp()).unwrap();
        let mut received = self.0.lock().unwrap();
        received.push((id, serde_json::from_slice(&body).unwrap()));
        let is_first = received.len() == 1;
        res.status_code(if is_first { StatusCode::BAD_GATEWAY } else { StatusCode::NO_CONTENT });
    }
}

impl Receiver {
    /// Returns the receiver, and its settings.
    async fn start() -> (Self, AlertReceiver) {
        let receiver = Self::default();
        let acceptor = TcpListener::new("127.0.0.1:0").bind().await;
        let address = acceptor.holdings()[0].local_addr.clone().into_std().unwrap();
        let router = Router::with_path("alerts").post(receiver.clone());
        tokio::spawn(async move { Server::new(acceptor).serve(router).await });
        let policy = TargetPolicy { allows_private: true };
        (receiver, AlertReceiver { url: format!("http://{address}/alerts"), policy })
    }

    fn received(&self) -> Vec<Received> {
        self.0.lock().unwrap().clone()
    }
}

/// A stage of a faulty version.
pub struct Panics;

#[async_trait]
impl StageHandler for Panics {
    fn stage(&self) -> Stage {
        Stage::Initializing
    }

    async fn run(&self, _task: &Task) -> Result<Outcome, StageError> {
        panic!("as a fault of the program does")
    }
}

async fn count(system: &System, series: &str) -> f64 {
    let text = system.get("/metrics").await.text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

// 002-8.5, 000-6.3
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_told_once_a_minute_of_jobs_that_fail_by_a_fault_of_the_program() {
    let (receiver, alerts) = Receiver::start().await;
    let mut system = System::start_with(&[reelstream::app::Role::Api], |_| {}).await;
    let config = Config {
        webhooks: reelstream::config::WebhookConfig {
            alerts: Some(alerts),
            ..system.config.webhooks.clone()
        },
        ..system.config.clone()
    };
    let running = Running::start_with(config, &ALL_ROLES, vec![Arc::new(Panics)]).await;
    std::mem::replace(&mut system.running, running).stop().await;
    for _ in 0..3 {
        system.generate(&short_request()).await;
    }
    eventually("the jobs that failed are counted", async || {
        count(&system, "reel_critical_errors_total{code=\"JOB_FAILED_INTERNALLY\"}").await == 3.0
    })
    .await;
    assert_eq!(count(&system, "reel_jobs_ended_total{status=\"failed\"}").await, 3.0);
    eventually("the message is sent again", async || receiver.received().len() >= 2).await;
    let received = receiver.received();
    assert_eq!(received.len(), 2, "one message a minute: {received:?}");
    assert_eq!(received[0], received[1], "the same message again");
    let (id, message) = &received[0];
    assert!(id.starts_with("alert_"));
    assert_eq!(message["type"], "system.alert");
    let data = &message["data"];
    assert_eq!((data["code"].as_str(), data["left_out"].as_u64()), (Some("JOB_FAILED_INTERNALLY"), Some(0)));
    assert_eq!(data["details"]["stage"], "initializing");
    assert!(data["runbook"].as_str().unwrap().starts_with("docs/RUNBOOK.md#"));
    let said = message.to_string();
    assert!(!said.contains("Ions"), "no words of users: {said}");
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_told_that_the_archive_cannot_be_written() {
    let (receiver, alerts) = Receiver::start().await;
    let system = System::start_with(&ALL_ROLES, |config| {
        config.webhooks.alerts = Some(alerts);
        config.streams.audit.seal_every = std::time::Duration::from_millis(200);
        config.streams.audit.segment_events = 4;
    })
    .await;
    let archive = &system.config.archive.root;
    let _nothing_was_written = std::fs::remove_dir_all(archive);
    std::fs::write(archive, "no folder").unwrap();
    system.generate(&short_request()).await;
    eventually("an alert comes", async || receiver.received().len() >= 2).await;
    let (_, message) = receiver.received().swap_remove(0);
    assert_eq!(message["data"]["code"], "ARCHIVE_NOT_WRITTEN");
    assert!(message["data"]["details"]["partition"].is_string(), "{message}");
    eventually("it is counted", async || {
        count(&system, "reel_critical_errors_total{code=\"ARCHIVE_NOT_WRITTEN\"}").await > 0.0
    })
    .await;
    system.running.stop().await;
}

#[test]
fn the_runbook_and_the_operations_guide_name_every_alert() {
    let read =
        |path: &str| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (runbook, operations) = (read("docs/RUNBOOK.md"), read("docs/OPERATIONS.md"));
    for code in Code::VARIANTS {
        let (file, anchor) = code.runbook().split_once('#').unwrap();
        assert_eq!(file, "docs/RUNBOOK.md");
        let has_anchor = runbook.lines().any(|line| line.to_lowercase() == format!("## {anchor}"));
        assert!(has_anchor, "docs/RUNBOOK.md has no section {anchor}");
        assert!(operations.contains(&format!("`{}`", code.name())), "{} is not explained", code.name());
    }
}
