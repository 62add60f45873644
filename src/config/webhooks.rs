//! Settings of the messages that tell who asked for it that a job has ended.

use std::time::Duration;

use super::{Environment, Error, flag, number};
use crate::webhooks::{Secret, TargetPolicy};

#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// `WEBHOOK_SECRET`: `whsec_` and 24 to 64 bytes in Base64, with which messages are signed. Without it, requests with a
    /// `callback_url` are refused.
    pub secret: Option<Secret>,
    /// `WEBHOOK_ALLOW_PRIVATE`: `true` lets messages go to this machine and its network; `false` by default.
    pub policy: TargetPolicy,
    /// `WEBHOOK_ATTEMPTS`: how often a message is sent before it is given up, 8 by default.
    pub max_attempts: u32,
    /// `WEBHOOK_RETRY_SECONDS`: between the first attempt and the second, 5 by default; four times as long each time.
    pub first_delay: Duration,
    /// `PUBLIC_URL`: where clients reach the API, such as `https://api.example.com`; links in messages begin with it. By
    /// default they begin with `/api/v1`.
    pub public_url: Option<String>,
}

impl WebhookConfig {
    /// With the defaults of everything but the secret.
    pub fn new(secret: Option<Secret>) -> Self {
        let policy = TargetPolicy { allows_private: false };
        Self { secret, policy, max_attempts: 8, first_delay: Duration::from_secs(5), public_url: None }
    }

    pub(super) fn from_environment(env: Environment) -> Result<Self, Error> {
        let name = "WEBHOOK_SECRET";
        let secret = env(name).map(|text| {
            let expected = "whsec_ and 24 to 64 bytes in Base64".to_owned();
            Secret::parse(&text).ok_or(Error::Secret { name, expected })
        });
        let default = Self::new(secret.transpose()?);
        let attempts = number(env, "WEBHOOK_ATTEMPTS", 1, 20, "a whole number from 1 to 20")?;
        let seconds =
            number(env, "WEBHOOK_RETRY_SECONDS", 1, 3600, "a whole number of seconds from 1 to 3600")?;
        Ok(Self {
            policy: TargetPolicy { allows_private: flag(env, "WEBHOOK_ALLOW_PRIVATE")? },
            max_attempts: attempts.unwrap_or(default.max_attempts),
            first_delay: seconds.map_or(default.first_delay, |seconds| Duration::from_secs(seconds.into())),
            public_url: env("PUBLIC_URL").map(|url| url.trim_end_matches('/').to_owned()),
            ..default
        })
    }
}
