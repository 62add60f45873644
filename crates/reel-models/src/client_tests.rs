//! The client against a scripted server.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::budget::{Budget, LimitReached, Spend};
use crate::client::{CallError, CallOutcome, CallRecord, Client, Ledger, Role, Settings};
use crate::name::Provider;
use crate::protocol::Prompt;
use crate::scripted::{Received, Reply, Server};

type Answering = fn(&Received) -> Reply;

const MODELS: [&str; 4] = ["openai/m", "anthropic/m", "gemini/m", "ollama/m"];

pub struct Book {
    budget: Budget,
    pub calls: Mutex<Vec<CallRecord>>,
}

impl Book {
    pub fn new(tokens: u64) -> Self {
        let limit = Spend { tokens, micro_dollars: u64::MAX };
        Self { budget: Budget::new(limit, Spend::default()), calls: Mutex::default() }
    }

    pub fn outcomes(&self) -> Vec<CallOutcome> {
        self.calls.lock().unwrap().iter().map(|call| call.outcome).collect()
    }
}

impl Ledger for Book {
    async fn reserve(&self, most: Spend) -> Result<(), LimitReached> {
        self.budget.reserve(most)
    }

    async fn record(&self, reserved: Spend, call: CallRecord) {
        self.budget.settle(reserved, call.spend());
        self.calls.lock().unwrap().push(call);
    }
}

pub fn settings(server: &Server) -> Settings {
    Settings {
        endpoints: Provider::ALL.into_iter().map(|provider| (provider, server.endpoint())).collect(),
        timeout: Duration::from_millis(400),
        max_answer_bytes: 100_000,
        first_wait: Duration::from_millis(1),
        ..Settings::default()
    }
}

pub fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

const PROMPT: Prompt<'static> =
    Prompt { instructions: "Plan.", material: "{\"topic\":\"Rain\"}", picture: None, max_output_tokens: 500 };

async fn call(
    model: &str,
    book: &Book,
    answer: impl Fn(&Received) -> Reply + Send + Sync + 'static,
) -> (Result<String, CallError>, Server) {
    let server = Server::start(answer).await.unwrap();
    let client = Client::new(settings(&server)).unwrap();
    let result = client.call(&model.parse().unwrap(), Role::Planner, PROMPT, deadline(), book).await;
    (result, server)
}

#[tokio::test]
async fn every_provider_answers_and_is_counted() {
    for model in MODELS {
        let book = Book::new(10_000);
        let (text, server) = call(model, &book, |_| Reply::Text("{\"a\":1}".to_owned())).await;
        assert_eq!(text.as_deref(), Ok("{\"a\":1}"), "{model}");
        let received = server.received();
        assert_eq!(received.len(), 1);
        assert!(received[0].head.contains("test-key"), "{model}");
        assert_eq!(received[0].prompt(), ("Plan.".to_owned(), serde_json::json!({ "topic": "Rain" })));
        let calls = book.calls.lock().unwrap();
        let [call] = &calls[..] else { panic!("{calls:?}") };
        assert_eq!((call.usage.input_tokens, call.usage.output_tokens, call.attempt), (100, 20, 1));
        assert_eq!(call.micro_dollars, if model.starts_with("ollama") { 0 } else { 100 * 15 + 20 * 75 });
        assert!(!format!("{call:?}{:?}", settings(&server)).contains("test-key"));
    }
}

#[tokio::test]
async fn what_a_retry_cannot_fix_is_asked_once() {
    let once: [(Answering, CallOutcome); 6] = [
        (|_| Reply::Refusal, CallOutcome::Refused),
        (|_| Reply::Cut("{".to_owned()), CallOutcome::Truncated),
        (|_| Reply::Text("x".repeat(200_000)), CallOutcome::TooLarge),
        (|_| Reply::Status(401, None), CallOutcome::Unauthorized),
        (|_| Reply::Status(400, None), CallOutcome::Rejected),
        (|_| Reply::Status(302, None), CallOutcome::Rejected),
    ];
    for model in MODELS {
        for (reply, expected) in once {
            let book = Book::new(10_000);
            let (result, server) = call(model, &book, reply).await;
            let error = result.unwrap_err();
            assert!(!error.is_retryable());
            assert_eq!((book.outcomes(), server.received().len()), (vec![expected], 1), "{model}");
        }
    }
}

#[tokio::test]
async fn what_a_retry_may_fix_is_asked_a_bounded_number_of_times() {
    let again: [(Answering, CallOutcome); 5] = [
        (|_| Reply::Bytes(vec![0; 40]), CallOutcome::Malformed),
        (|_| Reply::Broken, CallOutcome::Unavailable),
        (|_| Reply::Status(503, None), CallOutcome::Unavailable),
        (|_| Reply::Silence, CallOutcome::TimedOut),
        (|_| Reply::Status(429, None), CallOutcome::RateLimited),
    ];
    for (reply, expected) in again {
        let book = Book::new(10_000);
        let (result, server) = call("openai/m", &book, reply).await;
        assert!(result.unwrap_err().is_retryable());
        assert_eq!((book.outcomes(), server.received().len()), (vec![expected; 3], 3));
    }
}

#[tokio::test]
async fn a_provider_that_asks_for_a_pause_gets_it_unless_it_is_long() {
    let asked = std::sync::atomic::AtomicU32::new(0);
    let began = Instant::now();
    let (text, _server) = call("anthropic/m", &Book::new(10_000), move |_| {
        match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Reply::Status(429, Some(1)),
            _ => Reply::Text("{}".to_owned()),
        }
    })
    .await;
    assert_eq!(text.as_deref(), Ok("{}"));
    assert!(began.elapsed() >= Duration::from_secs(1));
    let book = Book::new(10_000);
    let (result, server) = call("anthropic/m", &book, |_| Reply::Status(429, Some(3600))).await;
    assert_eq!((result.unwrap_err().is_retryable(), server.received().len()), (true, 1));
}

#[tokio::test]
async fn a_call_that_could_exceed_the_limit_is_not_made() {
    let book = Book::new(500);
    let (result, server) = call("openai/m", &book, |_| Reply::Text("{}".to_owned())).await;
    assert!(matches!(result, Err(CallError::LimitReached(_))), "{result:?}");
    assert_eq!((server.received().len(), book.outcomes().len()), (0, 0));
}

#[tokio::test]
async fn a_failure_that_may_be_charged_counts_as_much_as_it_may_cost() {
    let book = Book::new(1300);
    let (result, server) = call("openai/m", &book, |_| Reply::Bytes(b"{}".to_vec())).await;
    // The second try fits, the third does not.
    assert!(matches!(result, Err(CallError::LimitReached(_))), "{result:?}");
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn no_try_outlasts_the_deadline() {
    let book = Book::new(10_000);
    let server = Server::start(|_| Reply::Silence).await.unwrap();
    let client = Client::new(Settings { timeout: Duration::from_secs(60), ..settings(&server) }).unwrap();
    let model = "openai/m".parse().unwrap();
    let (began, deadline) = (Instant::now(), Instant::now() + Duration::from_millis(200));
    let result = client.call(&model, Role::Scene, PROMPT, deadline, &book).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(matches!(result, Err(CallError::NoAnswer { outcome: CallOutcome::TimedOut, .. })), "{result:?}");
    assert_eq!(book.outcomes(), [CallOutcome::TimedOut]);
}
