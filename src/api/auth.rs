//! Session tokens: RS256, checked against the issuer's published keys.
//!
//! Keys are cached by `kid`. An unknown `kid` fetches them again, at a bounded rate; while the issuer
//! is away, the keys that are known go on working.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use salvo::http::header::AUTHORIZATION;
use salvo::prelude::*;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::problem::Problem;
use crate::config::AuthConfig;
use crate::telemetry::chain;

const LEEWAY_SECONDS: u64 = 5;
/// The issuer is not asked more often than this, whatever clients send.
const REFETCH_AT_MOST_EVERY: Duration = Duration::from_secs(2);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    #[default]
    User,
    Analyst,
    Auditor,
    Admin,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a session token is needed: Authorization: Bearer …")]
    Missing,
    #[error("the Authorization header must be: Bearer <token>")]
    Scheme,
    #[error("the session token has expired")]
    Expired,
    #[error("the session token is not valid yet")]
    NotYetValid,
    #[error("the session is pending: finish signing in")]
    Pending,
    #[error("the session token was issued to a party that is not authorized here")]
    AuthorizedParty,
    #[error("the session token is not valid")]
    Invalid(#[source] jsonwebtoken::errors::Error),
    #[error("the session token is signed with a key that its issuer does not publish")]
    UnknownKey,
    #[error("the issuer's keys are out of reach for the moment")]
    IssuerAway(#[source] Arc<reqwest::Error>),
}

/// Claims of Clerk's session tokens, v1 and v2.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    azp: Option<String>,
    /// Session status; `pending` before a required task is done.
    sts: Option<String>,
    #[serde(default)]
    public_metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    /// Unknown roles have the rights of `user`.
    role: Option<String>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    n: String,
    e: String,
}

/// Cheap to clone; clones share the keys.
#[derive(Clone)]
pub struct Verifier {
    config: Arc<AuthConfig>,
    http: reqwest::Client,
    keys: Arc<Mutex<KnownKeys>>,
}

#[derive(Default)]
struct KnownKeys {
    by_kid: HashMap<String, DecodingKey>,
    /// When the issuer was asked last, and why it did not answer, if it did not.
    asked: Option<(Instant, Result<(), Arc<reqwest::Error>>)>,
}

impl Verifier {
    pub fn new(config: AuthConfig) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(FETCH_TIMEOUT).build()?;
        Ok(Self { config: Arc::new(config), http, keys: Arc::default() })
    }

    /// The user that the header's token stands for.
    pub async fn verify(&self, authorization: Option<&str>) -> Result<User, Error> {
        let header = authorization.ok_or(Error::Missing)?;
        let token = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return Err(Error::Scheme),
        };
        let kid = decode_header(token).map_err(Error::Invalid)?.kid.ok_or(Error::UnknownKey)?;
        let key = self.key(&kid).await?;
        let claims = decode::<Claims>(token, &key, &self.validation()).map_err(invalid)?.claims;
        if claims.sts.as_deref() == Some("pending") {
            return Err(Error::Pending);
        }
        let parties = &self.config.authorized_parties;
        if let Some(azp) = &claims.azp
            && !parties.is_empty()
            && !parties.contains(azp)
        {
            return Err(Error::AuthorizedParty);
        }
        let role = match claims.public_metadata.role.as_deref() {
            Some("admin") => Role::Admin,
            Some("auditor") => Role::Auditor,
            Some("analyst") => Role::Analyst,
            _ => Role::User,
        };
        Ok(User { id: claims.sub, role })
    }

    fn validation(&self) -> Validation {
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[&self.config.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        // Session tokens name no audience; `azp` says whom they are for.
        validation.validate_aud = false;
        validation
    }

    async fn key(&self, kid: &str) -> Result<DecodingKey, Error> {
        let mut keys = self.keys.lock().await;
        if let Some(key) = keys.by_kid.get(kid) {
            return Ok(key.clone());
        }
        match &keys.asked {
            Some((at, answer)) if at.elapsed() < REFETCH_AT_MOST_EVERY => {
                answer.clone().map_err(Error::IssuerAway)?;
            }
            // A request that is dropped while it waits here has asked nothing.
            _ => {
                let fetched = self.fetch().await.map_err(Arc::new);
                keys.asked = Some((Instant::now(), fetched.as_ref().map(|_| ()).map_err(Arc::clone)));
                keys.by_kid = fetched.map_err(Error::IssuerAway)?;
            }
        }
        keys.by_kid.get(kid).cloned().ok_or(Error::UnknownKey)
    }

    async fn fetch(&self) -> Result<HashMap<String, DecodingKey>, reqwest::Error> {
        let jwks: Jwks =
            self.http.get(&self.config.jwks_url).send().await?.error_for_status()?.json().await?;
        let decoded =
            jwks.keys.into_iter().filter_map(|jwk| match DecodingKey::from_rsa_components(&jwk.n, &jwk.e) {
                Ok(key) => Some((jwk.kid, key)),
                Err(error) => {
                    tracing::warn!(kid = jwk.kid, %error, "a published key cannot be read");
                    None
                }
            });
        Ok(decoded.collect())
    }
}

fn invalid(error: jsonwebtoken::errors::Error) -> Error {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::ExpiredSignature => Error::Expired,
        ErrorKind::ImmatureSignature => Error::NotYetValid,
        _ => Error::Invalid(error),
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        tracing::debug!(error = %chain(&error), "a request was refused");
        match error {
            Error::IssuerAway(_) => Problem::unavailable(error.to_string()),
            _ => Problem::unauthorized(error.to_string()),
        }
    }
}

/// Lets only requests with a valid token through, and notes whose they are.
#[handler]
impl Verifier {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        let header =
            req.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap_or_default().to_owned());
        match self.verify(header.as_deref()).await {
            Ok(user) => {
                depot.insert_typed(user);
            }
            Err(error) => {
                Problem::from(error).render(req, depot, res);
                ctrl.skip_rest();
            }
        }
    }
}
