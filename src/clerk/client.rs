//! Clerk's Backend API: details of users.
//!
//! Invariants: a user is asked for once for all who wait, and again after [`FRESH_FOR`]; at most [`MAX_USERS`] are kept. A
//! failure is remembered for [`FAILED_FOR`]. When Clerk asks to wait (`Retry-After`), or fails several times in a row,
//! nobody is asked for until that time is over.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde::Deserialize;
use serde_json::Value;

use crate::config::ClerkKey;

const FRESH_FOR: Duration = Duration::from_mins(5);
const FAILED_FOR: Duration = Duration::from_secs(2);
const MAX_USERS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
const TIMEOUT: Duration = Duration::from_secs(5);
/// More than Clerk says of anybody.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Failures in a row after which Clerk is left alone for [`REST`].
const MAX_FAILURES: u32 = 5;
const REST: Duration = Duration::from_secs(30);
const MAX_WAIT: Duration = Duration::from_mins(5);
/// Bytes of a user's id that can be asked for.
const MAX_ID_BYTES: usize = 128;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("clerk's API cannot be reached")]
    Request(#[from] reqwest::Error),
    #[error("clerk's API answered {status}")]
    Status { status: StatusCode },
    #[error("clerk's answer is larger than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
    #[error("clerk's answer is not what its documentation says")]
    Parse(#[from] serde_json::Error),
    #[error("clerk is left alone for {} s more, after failures or because it asked for it", wait.as_secs() + 1)]
    Resting { wait: Duration },
}

/// What Clerk says of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    pub name: Option<String>,
    pub email: Option<String>,
    pub image_url: Option<String>,
    /// `public_metadata.role`.
    pub role: Option<String>,
}

/// `None`: there is no such user.
type Outcome = Result<Option<Arc<Profile>>, Arc<Error>>;

/// Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    http: reqwest::Client,
    url: String,
    key: ClerkKey,
    fresh_for: Duration,
    /// Each behind a lock of its own, which whoever asks Clerk holds.
    users: Mutex<LruCache<String, Arc<tokio::sync::Mutex<Option<Known>>>>>,
    breaker: Mutex<Breaker>,
}

#[derive(Clone)]
struct Known {
    at: Instant,
    outcome: Outcome,
}

#[derive(Default)]
struct Breaker {
    failures: u32,
    closed_until: Option<Instant>,
}

impl Client {
    /// Asks nothing yet.
    pub fn new(url: &str, key: ClerkKey) -> Result<Self, reqwest::Error> {
        Self::with_freshness(url, key, FRESH_FOR)
    }

    /// Keeps what it knows for another time.
    pub fn with_freshness(url: &str, key: ClerkKey, fresh_for: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            // The key must not follow a redirect to somebody else.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let shared = Shared {
            http,
            url: url.trim_end_matches('/').to_owned(),
            key,
            fresh_for,
            users: Mutex::new(LruCache::new(MAX_USERS)),
            breaker: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The user's details; `None` when Clerk knows no such user.
    pub async fn user(&self, id: &str) -> Outcome {
        if !is_id(id) {
            return Ok(None);
        }
        let slot = {
            let mut users = self.shared.users.lock().unwrap_or_else(PoisonError::into_inner);
            users.get_or_insert(id.to_owned(), Default::default).clone()
        };
        let mut known = slot.lock().await;
        if let Some(Known { at, outcome }) = known.as_ref() {
            let age = if outcome.is_ok() { self.shared.fresh_for } else { FAILED_FOR };
            if at.elapsed() < age {
                return outcome.clone();
            }
        }
        let outcome = self.shared.fetch(id).await.map_err(Arc::new);
        *known = Some(Known { at: Instant::now(), outcome: outcome.clone() });
        outcome
    }

    /// Forgets a user, whose details have changed.
    pub fn forget(&self, id: &str) {
        self.shared.users.lock().unwrap_or_else(PoisonError::into_inner).pop(id);
    }
}

/// An id becomes a part of a path, and must be nothing else.
fn is_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

impl Shared {
    async fn fetch(&self, id: &str) -> Result<Option<Arc<Profile>>, Error> {
        if let Some(wait) = self.breaker().wait(Instant::now()) {
            return Err(Error::Resting { wait });
        }
        let fetched = self.ask(id).await;
        let mut breaker = self.breaker();
        match &fetched {
            Ok(_) => *breaker = Breaker::default(),
            Err((_, wait)) => breaker.note_failure(Instant::now(), *wait),
        }
        fetched.map_err(|(error, _)| error)
    }

    /// An error comes with how long Clerk wants to be left alone.
    async fn ask(&self, id: &str) -> Result<Option<Arc<Profile>>, (Error, Option<Duration>)> {
        let request = self.http.get(format!("{}/v1/users/{id}", self.url)).bearer_auth(&self.key.0);
        let mut answer = request.send().await.map_err(failed)?;
        match answer.status() {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::OK => {}
            status => return Err((Error::Status { status }, retry_after(&answer))),
        }
        let mut body = vec![];
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER_BYTES {
                return Err((Error::TooLarge, None));
            }
        }
        let user: User = serde_json::from_slice(&body).map_err(failed)?;
        Ok(Some(Arc::new(user.into())))
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Breaker {
    /// How long nobody may be asked for.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let wait = self.closed_until?.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    fn note_failure(&mut self, now: Instant, asked_to_wait: Option<Duration>) {
        self.failures += 1;
        let rest = (self.failures >= MAX_FAILURES).then_some(REST);
        if let Some(wait) = asked_to_wait.max(rest) {
            self.closed_until = Some(now + wait.min(MAX_WAIT));
            // The first answer after the rest decides.
            self.failures = self.failures.min(MAX_FAILURES - 1);
        }
    }
}

/// Says nothing of how long to wait.
fn failed(error: impl Into<Error>) -> (Error, Option<Duration>) {
    (error.into(), None)
}

/// In seconds, which is the form that Clerk uses.
fn retry_after(answer: &reqwest::Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A user as the Backend API shows one; other fields are left out.
#[derive(Deserialize)]
struct User {
    first_name: Option<String>,
    last_name: Option<String>,
    image_url: Option<String>,
    primary_email_address_id: Option<String>,
    #[serde(default)]
    email_addresses: Vec<EmailAddress>,
    #[serde(default)]
    public_metadata: Value,
}

#[derive(Deserialize)]
struct EmailAddress {
    id: String,
    email_address: String,
}

impl From<User> for Profile {
    fn from(user: User) -> Self {
        let names = [user.first_name, user.last_name];
        let names: Vec<String> = names.into_iter().flatten().filter(|name| !name.is_empty()).collect();
        let primary = user.primary_email_address_id;
        let email = user.email_addresses.into_iter().find(|email| Some(&email.id) == primary.as_ref());
        Self {
            name: (!names.is_empty()).then(|| names.join(" ")),
            email: email.map(|email| email.email_address),
            image_url: user.image_url,
            role: user.public_metadata["role"].as_str().map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_is_read_as_the_backend_api_shows_one() {
        let user = json!({
            "id": "user_1", "first_name": "Ada", "last_name": null, "primary_email_address_id": "idn_2", "banned": false,
            "email_addresses": [{ "id": "idn_1", "email_address": "old@example.com" }, { "id": "idn_2", "email_address": "ada@example.com" }],
            "public_metadata": { "role": "analyst" }, "private_metadata": { "secret": 1 },
        });
        let profile: Profile = serde_json::from_value::<User>(user).unwrap().into();
        assert_eq!(
            (profile.name.as_deref(), profile.email.as_deref()),
            (Some("Ada"), Some("ada@example.com"))
        );
        assert_eq!(profile.role.as_deref(), Some("analyst"));
        let bare: Profile =
            serde_json::from_value::<User>(json!({ "public_metadata": { "role": 7 } })).unwrap().into();
        assert_eq!(bare, Profile::default());
    }

    #[test]
    fn an_id_is_nothing_but_a_part_of_a_path() {
        assert!(is_id("user_2abcDEF-3"));
        for id in ["", "..", "user/1", "user?x", "user%2f", "user 1", "usér", &"x".repeat(129)] {
            assert!(!is_id(id), "{id}");
        }
    }

    #[test]
    fn failures_in_a_row_and_a_wish_to_wait_close_the_way_for_a_while() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..MAX_FAILURES - 1 {
            breaker.note_failure(now, None);
            assert_eq!(breaker.wait(now), None);
        }
        breaker.note_failure(now, None);
        assert_eq!((breaker.wait(now), breaker.wait(now + REST)), (Some(REST), None));
        breaker.note_failure(now + REST, None);
        assert_eq!(breaker.wait(now + REST), Some(REST), "one failure after the rest is enough");
        let mut breaker = Breaker::default();
        breaker.note_failure(now, Some(Duration::from_secs(7)));
        assert_eq!(breaker.wait(now), Some(Duration::from_secs(7)));
        breaker.note_failure(now, Some(Duration::MAX));
        assert_eq!(breaker.wait(now), Some(MAX_WAIT));
    }
}
