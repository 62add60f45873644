//! The issuer's published keys (RFC 7517), cached.
//!
//! A read of a known key does not wait for a fetch: a set that is half as old as [`MAX_AGE`] is fetched anew in the
//! background, and replaced whole. A set older than that is not used before the issuer was asked again, which only
//! the first read after an idle while meets. While the issuer does not answer, the stale set is used. An unknown
//! `kid` fetches at once, at most every [`REFETCH_INTERVAL`], whatever clients send and whether or not they wait.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use serde::Deserialize;
use tokio::time::Instant;

use super::single_flight::SingleFlight;
use crate::telemetry::chain;

/// A key that the issuer no longer publishes is refused after this time at the latest, while the issuer answers.
pub const MAX_AGE: Duration = Duration::from_secs(600);
const REFETCH_INTERVAL: Duration = Duration::from_secs(2);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// More than any issuer publishes.
const MAX_SET_BYTES: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the issuer's keys cannot be fetched")]
    Fetch(#[from] reqwest::Error),
    #[error("the issuer's key set is not JSON with an array `keys`")]
    Parse(#[from] serde_json::Error),
    #[error("the issuer's key set is larger than {MAX_SET_BYTES} bytes")]
    TooLarge,
    #[error("the task that fetches the issuer's keys stopped unexpectedly")]
    Stopped,
}

/// By `kid`.
type Keys = HashMap<String, Arc<DecodingKey>>;

/// Cheap to clone; clones share the keys.
#[derive(Clone)]
pub struct KeySet {
    shared: Arc<Shared>,
}

struct Shared {
    http: reqwest::Client,
    url: String,
    max_age: Duration,
    cached: RwLock<Cached>,
    fetches: SingleFlight<Result<(), Arc<Error>>>,
}

/// A key that the issuer publishes, or did when it was asked last.
#[derive(Clone)]
pub struct PublishedKey {
    pub key: Arc<DecodingKey>,
    /// When the set was fetched that it is from. Two keys of one name and time are the same key.
    pub fetched: Instant,
}

#[derive(Clone, Default)]
struct Cached {
    keys: Arc<Keys>,
    fetched: Option<Instant>,
    /// Whether the latest fetch failed; the keys are then those of an earlier one.
    is_stale: bool,
}

impl Cached {
    fn find(&self, kid: &str) -> Option<PublishedKey> {
        Some(PublishedKey { key: self.keys.get(kid)?.clone(), fetched: self.fetched? })
    }
}

impl KeySet {
    /// Fetches nothing yet.
    pub fn new(url: String) -> Result<Self, reqwest::Error> {
        Self::with_ages(url, MAX_AGE, REFETCH_INTERVAL)
    }

    /// With other times than [`MAX_AGE`], and between two fetches.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn with_ages(url: String, max_age: Duration, refetch: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(FETCH_TIMEOUT).build()?;
        let fetches = SingleFlight::new(refetch);
        let shared = Shared { http, url, max_age, cached: RwLock::default(), fetches };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns the key, or `None` when the issuer does not publish it.
    ///
    /// # Errors
    /// When the key is not known and the set cannot be fetched.
    pub async fn find(&self, kid: &str) -> Result<Option<PublishedKey>, Arc<Error>> {
        let shared = &self.shared;
        let cached = shared.read();
        let age = cached.fetched.map_or(Duration::MAX, |at| at.elapsed());
        if let Some(key) = cached.find(kid)
            && (age < shared.max_age || cached.is_stale)
        {
            if age > shared.max_age / 2 {
                shared.fetches.start(|| shared.clone().refresh());
            }
            return Ok(Some(key));
        }
        let outcome = shared.fetches.get(|| shared.clone().refresh()).await;
        match (shared.read().find(kid), outcome) {
            (Some(key), _) => Ok(Some(key)),
            (None, Some(Ok(()))) => Ok(None),
            (None, Some(Err(error))) => Err(error),
            (None, None) => Err(Arc::new(Error::Stopped)),
        }
    }
}

impl Shared {
    /// The lock is held for the copy of a pointer.
    fn read(&self) -> Cached {
        self.cached.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn refresh(self: Arc<Self>) -> Result<(), Arc<Error>> {
        let fetched = self.fetch().await;
        let mut cached = self.cached.write().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(keys) => {
                *cached = Cached { keys: Arc::new(keys), fetched: Some(Instant::now()), is_stale: false };
                Ok(())
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the issuer's keys cannot be fetched; known keys stay in use");
                cached.is_stale = true;
                Err(Arc::new(error))
            }
        }
    }

    async fn fetch(&self) -> Result<Keys, Error> {
        let mut answer = self.http.get(&self.url).send().await?.error_for_status()?;
        let mut body = vec![];
        while let Some(chunk) = answer.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_SET_BYTES {
                return Err(Error::TooLarge);
            }
        }
        Ok(usable_keys(serde_json::from_slice(&body)?))
    }
}

/// A `JwkSet` whose members are read one by one, so that an unknown kind of key does not hide the others.
#[derive(Deserialize)]
struct PublishedSet {
    keys: Vec<serde_json::Value>,
}

fn usable_keys(set: PublishedSet) -> Keys {
    set.keys.into_iter().filter_map(usable_key).collect()
}

/// The key, if it is an RSA key for RS256 signatures.
fn usable_key(member: serde_json::Value) -> Option<(String, Arc<DecodingKey>)> {
    let jwk = match Jwk::deserialize(member) {
        Ok(jwk) => jwk,
        Err(error) => {
            tracing::debug!(%error, "a published key cannot be read, and is skipped");
            return None;
        }
    };
    let is_for_signatures = jwk.common.public_key_use.as_ref().is_none_or(|u| *u == PublicKeyUse::Signature);
    let is_rs256 = jwk.common.key_algorithm.is_none_or(|algorithm| algorithm == KeyAlgorithm::RS256);
    if !matches!(jwk.algorithm, AlgorithmParameters::RSA(_)) || !is_for_signatures || !is_rs256 {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk)
        .inspect_err(
            |error| tracing::warn!(kid = jwk.common.key_id, %error, "a published key cannot be used"),
        )
        .ok()?;
    Some((jwk.common.key_id?, Arc::new(key)))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::watch;

    use super::*;

    const AGE: Duration = Duration::from_millis(200);

    /// Serves a set of keys; `None` refuses.
    async fn serve(keys: watch::Receiver<Option<Vec<serde_json::Value>>>) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _request = stream.read(&mut [0; 4096]).await;
                let set = keys.borrow().clone();
                let status = if set.is_some() { "200 OK" } else { "500 Away" };
                let body = serde_json::json!({ "keys": set.unwrap_or_default() }).to_string();
                let head =
                    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}", body.len());
                let _answered = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await;
            }
        });
        url
    }

    fn rsa(kid: &str) -> serde_json::Value {
        serde_json::json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": "sXch", "e": "AQAB" })
    }

    async fn is_known(keys: &KeySet, kid: &str) -> bool {
        keys.find(kid).await.is_ok_and(|key| key.is_some())
    }

    async fn until(keys: &KeySet, kid: &str, expected: bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while is_known(keys, kid).await != expected {
            assert!(Instant::now() < deadline, "{kid} is not {expected} in time");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    // M3
    #[tokio::test]
    async fn a_withdrawn_key_expires_and_a_stale_set_outlives_an_outage() {
        let (kids, told) = watch::channel(Some(vec![rsa("old"), rsa("new")]));
        let keys = KeySet::with_ages(serve(told).await, AGE, Duration::from_millis(10)).unwrap();
        assert!(is_known(&keys, "old").await);
        kids.send_replace(Some(vec![rsa("new")]));
        until(&keys, "old", false).await;

        kids.send_replace(None);
        let outage = Instant::now();
        while outage.elapsed() < 3 * AGE {
            assert!(is_known(&keys, "new").await, "known keys stay in use while the issuer is away");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        kids.send_replace(Some(vec![rsa("newest")]));
        until(&keys, "new", false).await;
        assert!(is_known(&keys, "newest").await);
    }

    // M3
    #[test]
    fn only_rsa_keys_for_signatures_are_used() {
        let mut encryption = rsa("encryption");
        encryption["use"] = "enc".into();
        let keys = vec![
            rsa("good"),
            encryption,
            serde_json::json!({ "kty": "EC", "kid": "ec", "crv": "P-256", "x": "AA", "y": "AA" }),
            serde_json::json!({ "kty": "OKP", "kid": "okp", "crv": "X25519", "x": "AA" }),
            serde_json::json!({ "kty": "RSA", "kid": 7 }),
            serde_json::json!(null),
        ];
        let usable = usable_keys(PublishedSet { keys });
        assert_eq!(usable.keys().collect::<Vec<_>>(), ["good"]);
    }
}
