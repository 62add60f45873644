//! Session tokens: RS256, checked against the issuer's published keys (`jwks.rs`), and the guards of the routes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use salvo::http::header::AUTHORIZATION;
use salvo::prelude::*;
use serde::{Deserialize, Serialize};

use super::checked_tokens::{CheckedToken, CheckedTokens};
use super::jwks::{self, KeySet};
use super::problem::Problem;
use crate::clerk;
use crate::config::AuthConfig;
use crate::telemetry::chain;

const LEEWAY_SECONDS: u64 = 5;

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub role: Role,
    /// When the session token ends; what outlives a request ends then, too.
    pub session_ends_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    #[default]
    User,
    Analyst,
    Auditor,
    Admin,
}

impl Role {
    /// Unknown roles have the rights of `user`.
    pub fn named(name: &str) -> Self {
        match name {
            "admin" => Role::Admin,
            "auditor" => Role::Auditor,
            "analyst" => Role::Analyst,
            _ => Role::User,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Analyst => "analyst",
            Role::Auditor => "auditor",
            Role::Admin => "admin",
        }
    }
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
    #[error("the session token was issued to a party that is not authorized here, or names none")]
    AuthorizedParty,
    #[error("the session token is not valid")]
    Invalid(#[source] jsonwebtoken::errors::Error),
    #[error("the session token is signed with a key that its issuer does not publish")]
    UnknownKey,
    #[error("the issuer's keys are out of reach for the moment")]
    IssuerAway(#[source] Arc<jwks::Error>),
}

/// Claims of Clerk's session tokens, v1 and v2.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    sub: String,
    /// Seconds since 1970, with or without a fraction (RFC 7519, section 2).
    exp: f64,
    /// When it was issued, in the same unit.
    iat: Option<f64>,
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

/// Cheap to clone; clones share the keys.
#[derive(Clone)]
pub struct Verifier {
    config: Arc<AuthConfig>,
    keys: KeySet,
    checked: CheckedTokens,
    /// Asked for the role of users whose tokens name none.
    roles: Option<clerk::Client>,
}

impl Verifier {
    pub fn new(config: AuthConfig) -> Result<Self, reqwest::Error> {
        let keys = KeySet::new(config.jwks_url.clone())?;
        Ok(Self { config: Arc::new(config), keys, checked: CheckedTokens::new(), roles: None })
    }

    /// Checks with other keys than those of the configuration.
    pub fn with_keys(self, keys: KeySet) -> Self {
        Self { keys, ..self }
    }

    /// Asks for the role of users whose tokens name none.
    pub fn with_roles_from(self, clerk: clerk::Client) -> Self {
        Self { roles: Some(clerk), ..self }
    }

    /// The user that the header's token stands for.
    pub async fn verify(&self, authorization: Option<&str>) -> Result<User, Error> {
        let header = authorization.ok_or(Error::Missing)?;
        let token = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return Err(Error::Scheme),
        };
        let claims = self.check(token).await?;
        let role = match (&claims.public_metadata.role, &self.roles) {
            (Some(role), _) => Role::named(role),
            (None, Some(clerk)) => fetch_role(clerk, &claims.sub).await,
            (None, None) => Role::default(),
        };
        let session_ends_at =
            DateTime::from_timestamp(claims.exp as i64, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        Ok(User { id: claims.sub.clone(), role, session_ends_at })
    }

    /// The claims of a token that is valid now.
    async fn check(&self, token: &str) -> Result<Arc<Claims>, Error> {
        let earlier = self.checked.find(token);
        let kid = match &earlier {
            Some(earlier) => earlier.kid.clone(),
            None => decode_header(token).map_err(Error::Invalid)?.kid.ok_or(Error::UnknownKey)?.into(),
        };
        let key = self.keys.find(&kid).await.map_err(Error::IssuerAway)?.ok_or(Error::UnknownKey)?;
        if let Some(earlier) = earlier
            && earlier.keys_fetched == key.fetched
            && Utc::now().timestamp() < earlier.claims.exp as i64
        {
            return Ok(earlier.claims);
        }
        let decoded = decode::<Claims>(token, &key.key, &self.validation()).map_err(invalid)?;
        check_type(decoded.header.typ.as_deref())?;
        let claims = decoded.claims;
        // `decode` does not look at these two; Clerk's own package refuses both.
        if claims.sub.is_empty() {
            return Err(invalid(ErrorKind::InvalidSubject.into()));
        }
        if claims.iat.is_some_and(|iat| iat > (Utc::now().timestamp() + LEEWAY_SECONDS as i64) as f64) {
            return Err(Error::NotYetValid);
        }
        if claims.sts.as_deref() == Some("pending") {
            return Err(Error::Pending);
        }
        if !self.is_authorized(claims.azp.as_deref()) {
            return Err(Error::AuthorizedParty);
        }
        let claims = Arc::new(claims);
        let checked = CheckedToken { claims: claims.clone(), kid, keys_fetched: key.fetched };
        self.checked.add(token, checked);
        Ok(claims)
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

    /// Without configured parties, any token of the issuer will do. With them, a token must name one, as Clerk's own
    /// `authorizedParties` has it.
    fn is_authorized(&self, azp: Option<&str>) -> bool {
        let parties = &self.config.authorized_parties;
        parties.is_empty() || azp.is_some_and(|azp| parties.iter().any(|party| party == azp))
    }
}

/// While Clerk does not answer, a user has the rights of `user`.
async fn fetch_role(clerk: &clerk::Client, user: &str) -> Role {
    match clerk.user(user).await {
        Ok(profile) => {
            profile.and_then(|profile| profile.role.as_deref().map(Role::named)).unwrap_or_default()
        }
        Err(error) => {
            tracing::warn!(error = %chain(error.as_ref()), "a user's role cannot be had, so it counts as `user`");
            Role::default()
        }
    }
}

/// Refuses what the same key signs for other purposes, such as access tokens of OAuth (`at+jwt`, RFC 9068).
fn check_type(typ: Option<&str>) -> Result<(), Error> {
    match typ {
        None | Some("JWT") => Ok(()),
        Some(_) => Err(invalid(ErrorKind::InvalidToken.into())),
    }
}

fn invalid(error: jsonwebtoken::errors::Error) -> Error {
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

/// Who may call an endpoint. The route table gives one to every route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a token.
    Public,
    /// Everybody with a valid token.
    User,
    /// Analysts and admins.
    Analyst,
    /// Auditors and admins.
    Auditor,
    /// Admins.
    Admin,
}

impl Access {
    pub fn allows(self, role: Role) -> bool {
        match self {
            Access::Public | Access::User => true,
            Access::Analyst => matches!(role, Role::Analyst | Role::Admin),
            Access::Auditor => matches!(role, Role::Auditor | Role::Admin),
            Access::Admin => role == Role::Admin,
        }
    }

    fn refusal(self) -> &'static str {
        match self {
            Access::Public | Access::User => "this endpoint is not open to your role",
            Access::Analyst => "only analysts and admins may call this endpoint",
            Access::Auditor => "only auditors and admins may call this endpoint",
            Access::Admin => "only admins may call this endpoint",
        }
    }
}

/// Lets those through whom a route is open to, and notes who they are.
#[derive(Clone)]
pub struct Guard {
    pub access: Access,
    pub verifier: Verifier,
}

impl Guard {
    /// The caller, by the session token in the header.
    pub async fn admit(&self, req: &Request) -> Result<User, Problem> {
        let header = req.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
        self.check_role(self.verifier.verify(header).await?)
    }

    /// The user, if the route is open to their role.
    pub fn check_role(&self, user: User) -> Result<User, Problem> {
        if self.access.allows(user.role) { Ok(user) } else { Err(Problem::forbidden(self.access.refusal())) }
    }
}

#[handler]
impl Guard {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        if self.access == Access::Public {
            return;
        }
        match self.admit(req).await {
            Ok(user) => {
                depot.insert_typed(user);
            }
            Err(problem) => {
                problem.render(req, depot, res);
                ctrl.skip_rest();
            }
        }
    }
}
