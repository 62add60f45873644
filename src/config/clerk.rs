//! Settings of what is asked of Clerk, and what Clerk tells, beside the keys of its tokens.

use super::{Environment, Error, flag};
use crate::webhooks::Secret;

const API_URL: &str = "https://api.clerk.com";

#[derive(Debug, Clone)]
pub struct ClerkConfig {
    /// `CLERK_SECRET_KEY`: lets the Backend API be asked about users; without it, a user is what their token says.
    pub secret_key: Option<ClerkKey>,
    /// `CLERK_API_URL`: where the Backend API is, `https://api.clerk.com` by default.
    pub api_url: String,
    /// `CLERK_FETCH_ROLES`: `true` asks the Backend API for the role of a user whose token names none; `false` by default,
    /// and then such a user has the role `user`.
    pub fetches_roles: bool,
    /// `CLERK_WEBHOOK_SECRET`: `whsec_…`, with which Clerk signs its messages. Without it, none are taken.
    pub webhook_secret: Option<Secret>,
}

/// Kept out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct ClerkKey(pub String);

impl std::fmt::Debug for ClerkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClerkKey")
    }
}

impl Default for ClerkConfig {
    fn default() -> Self {
        Self { secret_key: None, api_url: API_URL.to_owned(), fetches_roles: false, webhook_secret: None }
    }
}

impl ClerkConfig {
    pub(super) fn from_environment(env: Environment) -> Result<Self, Error> {
        let name = "CLERK_WEBHOOK_SECRET";
        let webhook_secret = env(name).map(|text| {
            let expected = "whsec_ and 24 to 64 bytes in Base64, as Clerk's dashboard shows it".to_owned();
            Secret::parse(&text).ok_or(Error::Secret { name, expected })
        });
        let secret_key = env("CLERK_SECRET_KEY").map(ClerkKey);
        let fetches_roles = flag(env, "CLERK_FETCH_ROLES")?;
        if fetches_roles && secret_key.is_none() {
            let what = "needed to fetch roles (CLERK_FETCH_ROLES)";
            return Err(Error::Missing { name: "CLERK_SECRET_KEY", what });
        }
        Ok(Self {
            secret_key,
            api_url: env("CLERK_API_URL").unwrap_or_else(|| API_URL.to_owned()),
            fetches_roles,
            webhook_secret: webhook_secret.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_checked_and_not_shown() {
        let with = |pairs: &'static [(&'static str, &'static str)]| {
            ClerkConfig::from_environment(&|name: &str| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let error = with(&[("CLERK_WEBHOOK_SECRET", "whsec_short")]).unwrap_err().to_string();
        assert!(error.starts_with("CLERK_WEBHOOK_SECRET must be") && !error.contains("short"), "{error}");
        let config = with(&[("CLERK_SECRET_KEY", "sk_test_4711"), ("CLERK_FETCH_ROLES", "true")]).unwrap();
        assert!(!format!("{config:?}").contains("4711"));
        let error = with(&[("CLERK_FETCH_ROLES", "true")]).unwrap_err().to_string();
        assert!(error.starts_with("CLERK_SECRET_KEY is not set"), "{error}");
    }
}
