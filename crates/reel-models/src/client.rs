//! Calls models, within bounds.
//!
//! A call has a time-out, an answer a maximum size. What a retry may fix is tried again, [`MAX_TRIES`] times in all; a
//! provider that says how long to wait is obeyed up to [`MAX_WAIT`]. Redirects are not followed, because they would take the
//! key along.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;

use crate::budget::{LimitReached, Spend};
use crate::name::{ModelName, Provider};
use crate::prices::{Prices, Usage};
use crate::protocol::{self, Prompt, Unusable};

/// Times that a call is made at most.
pub const MAX_TRIES: u32 = 3;
/// Longest wait between two tries. A provider that asks for a longer one is not asked again.
pub const MAX_WAIT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of text for a token, where nobody has counted: fewer than usual, so that an estimate is too high.
const BYTES_PER_TOKEN: u64 = 3;
/// Tokens of a call that an estimate does not see, such as the marks of messages.
const EXTRA_TOKENS: u64 = 50;
/// Tokens of a picture of 1280 x 720 pixels: more than any of the providers counts.
const PICTURE_TOKENS: u64 = 2000;

/// Secret: never logged or displayed.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(pub String);

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

/// Where a provider is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Without a slash at its end.
    pub url: String,
    pub key: Option<ApiKey>,
}

/// The settings of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// A provider without an endpoint is asked at its usual URL, without a key.
    pub endpoints: BTreeMap<Provider, Endpoint>,
    /// For one call, from connecting to the last byte.
    pub timeout: Duration,
    pub max_answer_bytes: usize,
    pub prices: Prices,
    /// The wait before the second try; each further one is twice as long.
    pub first_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoints: BTreeMap::new(),
            timeout: Duration::from_secs(60),
            max_answer_bytes: 1 << 20,
            prices: Prices::default(),
            first_wait: Duration::from_secs(1),
        }
    }
}

/// The task that a model is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Divides a video into scenes.
    Planner,
    /// Describes a scene.
    Scene,
    /// Corrects a description.
    Helper,
    /// Looks at the picture of a scene.
    Reviewer,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Planner => "planner",
            Self::Scene => "scene",
            Self::Helper => "helper",
            Self::Reviewer => "reviewer",
        }
    }
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    Answered,
    Refused,
    Truncated,
    Malformed,
    TooLarge,
    TimedOut,
    RateLimited,
    Unauthorized,
    /// The provider does not take the request, such as for a model that it does not have.
    Rejected,
    Unavailable,
}

impl CallOutcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::TimedOut => "timed_out",
            Self::RateLimited => "rate_limited",
            Self::Unauthorized => "unauthorized",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
        }
    }

    /// Returns `true` when the same call may be answered later.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::TimedOut | Self::RateLimited | Self::Unavailable | Self::Malformed)
    }
}

/// One try, as it is recorded: without keys, prompts and answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    pub model: ModelName,
    pub role: Role,
    /// From 1.
    pub attempt: u32,
    pub usage: Usage,
    pub micro_dollars: u64,
    pub duration_ms: u64,
    pub outcome: CallOutcome,
}

impl CallRecord {
    pub fn spend(&self) -> Spend {
        Spend { tokens: self.usage.tokens(), micro_dollars: self.micro_dollars }
    }
}

/// Decides on calls before they are made, and records them.
pub trait Ledger: Sync {
    /// Reserves the most that a call can use.
    fn reserve(&self, most: Spend) -> impl Future<Output = Result<(), LimitReached>> + Send;

    /// Records a call, and replaces what was reserved for it by what it used.
    fn record(&self, reserved: Spend, call: CallRecord) -> impl Future<Output = ()> + Send;
}

/// The reason why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    LimitReached(#[from] LimitReached),
    #[error("{model} has not answered: {} after {tries} of at most {MAX_TRIES} tries", words(*.outcome))]
    NoAnswer { model: ModelName, outcome: CallOutcome, tries: u32 },
}

impl CallError {
    /// Returns `true` when the same call may be answered later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::LimitReached(_) => false,
            Self::NoAnswer { outcome, .. } => outcome.is_retryable(),
        }
    }
}

fn words(outcome: CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Answered => "it answered",
        CallOutcome::Refused => "it refused",
        CallOutcome::Truncated => "its answer ended too early",
        CallOutcome::Malformed => "its answer could not be read",
        CallOutcome::TooLarge => "its answer was too large",
        CallOutcome::TimedOut => "it took too long",
        CallOutcome::RateLimited => "it was called too often",
        CallOutcome::Unauthorized => "its key was not accepted",
        CallOutcome::Rejected => "it did not take the request",
        CallOutcome::Unavailable => "it could not be reached",
    }
}

#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    settings: Settings,
}

/// A try that failed.
struct Failed {
    outcome: CallOutcome,
    usage: Option<Usage>,
    /// The wait that the provider asks for.
    wait: Option<Duration>,
    /// Set when the provider may have worked, and so may charge for it.
    has_begun: bool,
}

impl Failed {
    fn before(outcome: CallOutcome) -> Self {
        Self { outcome, usage: None, wait: None, has_begun: false }
    }

    fn after(outcome: CallOutcome, usage: Option<Usage>) -> Self {
        Self { outcome, usage, wait: None, has_begun: true }
    }
}

impl Client {
    pub fn new(settings: Settings) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, settings })
    }

    /// Returns the text of a model's answer. Each try is recorded, and none takes longer than to the deadline.
    pub async fn call(
        &self,
        model: &ModelName,
        role: Role,
        prompt: Prompt<'_>,
        deadline: Instant,
        ledger: &impl Ledger,
    ) -> Result<String, CallError> {
        let most = Usage { input_tokens: estimate(prompt), output_tokens: prompt.max_output_tokens };
        let cost = |usage| self.settings.prices.micro_dollars(model, usage);
        let reserved = Spend { tokens: most.tokens(), micro_dollars: cost(most) };
        let mut attempt = 1;
        loop {
            let timeout = self.settings.timeout.min(time_to(deadline));
            if timeout.is_zero() {
                let (model, tries) = (model.clone(), attempt - 1);
                return Err(CallError::NoAnswer { model, outcome: CallOutcome::TimedOut, tries });
            }
            ledger.reserve(reserved).await?;
            let began = Instant::now();
            let answered = self.try_once(model, prompt, timeout).await;
            let (outcome, usage) = match &answered {
                Ok((text, usage)) => {
                    (CallOutcome::Answered, usage.unwrap_or_else(|| estimated(prompt, text)))
                }
                Err(failed) if failed.has_begun => (failed.outcome, failed.usage.unwrap_or(most)),
                Err(failed) => (failed.outcome, Usage::default()),
            };
            let duration_ms = began.elapsed().as_millis() as u64;
            let model = model.clone();
            let call = CallRecord {
                model: model.clone(),
                role,
                attempt,
                usage,
                micro_dollars: cost(usage),
                duration_ms,
                outcome,
            };
            ledger.record(reserved, call).await;
            let failed = match answered {
                Ok((text, _)) => return Ok(text),
                Err(failed) => failed,
            };
            let wait = failed.wait.unwrap_or(self.settings.first_wait * 2_u32.pow(attempt - 1));
            if !outcome.is_retryable() || attempt == MAX_TRIES || wait > MAX_WAIT.min(time_to(deadline)) {
                return Err(CallError::NoAnswer { model, outcome, tries: attempt });
            }
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn try_once(
        &self,
        model: &ModelName,
        prompt: Prompt<'_>,
        timeout: Duration,
    ) -> Result<(String, Option<Usage>), Failed> {
        let endpoint = self.settings.endpoints.get(&model.provider);
        let url = endpoint.map_or(model.provider.default_url(), |endpoint| &endpoint.url);
        let key = endpoint.and_then(|endpoint| endpoint.key.as_ref()).map(|key| key.0.as_str());
        let asked = protocol::ask(model, key, prompt);
        let mut request = self.http.post(format!("{url}/{}", asked.path)).timeout(timeout).json(&asked.body);
        for (name, value) in &asked.headers {
            request = request.header(*name, value);
        }
        let mut response = request.send().await.map_err(|error| match error.is_timeout() {
            true if !error.is_connect() => Failed::after(CallOutcome::TimedOut, None),
            true => Failed::before(CallOutcome::TimedOut),
            false if error.is_builder() => Failed::before(CallOutcome::Rejected),
            false => Failed::before(CallOutcome::Unavailable),
        })?;
        if let Some(mut failed) = status_failure(response.status()) {
            let seconds = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.trim().parse().ok());
            failed.wait = seconds.map(Duration::from_secs);
            return Err(failed);
        }
        let mut body = vec![];
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > self.settings.max_answer_bytes => {
                    return Err(Failed::after(CallOutcome::TooLarge, None));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) if error.is_timeout() => return Err(Failed::after(CallOutcome::TimedOut, None)),
                Err(_) => return Err(Failed::after(CallOutcome::Unavailable, None)),
            }
        }
        match protocol::read(model.provider, &body) {
            Ok(answer) => Ok((answer.text, answer.usage)),
            Err(Unusable::Refused(usage)) => Err(Failed::after(CallOutcome::Refused, usage)),
            Err(Unusable::Truncated(usage)) => Err(Failed::after(CallOutcome::Truncated, usage)),
            Err(Unusable::Malformed) => Err(Failed::after(CallOutcome::Malformed, None)),
        }
    }
}

fn time_to(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Returns what a status means, if it is not that of an answer.
fn status_failure(status: StatusCode) -> Option<Failed> {
    let outcome = match status.as_u16() {
        200 => return None,
        401 | 403 => CallOutcome::Unauthorized,
        429 => CallOutcome::RateLimited,
        408 | 500..=599 => CallOutcome::Unavailable,
        _ => CallOutcome::Rejected,
    };
    Some(Failed::before(outcome))
}

/// Estimates the tokens of a prompt, rather too many than too few.
fn estimate(prompt: Prompt<'_>) -> u64 {
    let picture = if prompt.picture.is_some() { PICTURE_TOKENS } else { 0 };
    tokens_of(prompt.instructions.len() + prompt.material.len()) + picture
}

fn estimated(prompt: Prompt<'_>, text: &str) -> Usage {
    Usage { input_tokens: estimate(prompt), output_tokens: tokens_of(text.len()) }
}

fn tokens_of(bytes: usize) -> u64 {
    bytes as u64 / BYTES_PER_TOKEN + EXTRA_TOKENS
}
