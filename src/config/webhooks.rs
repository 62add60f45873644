//! Settings of the messages that tell who asked for it that a job has ended.

use std::time::Duration;

use super::{Environment, Error, flag, number};
use crate::webhooks::{Secret, TargetPolicy, target};

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
    /// Where an operator is told of errors that need a person; `None` without `ALERT_WEBHOOK_URL`.
    pub alerts: Option<AlertReceiver>,
}

/// The receiver of alerts.
#[derive(Debug, Clone)]
pub struct AlertReceiver {
    /// `ALERT_WEBHOOK_URL`: the URL that alerts are posted to, signed with `WEBHOOK_SECRET`.
    pub url: String,
    /// `ALERT_WEBHOOK_ALLOW_PRIVATE`: `true` lets alerts go to this machine and its network, whatever `WEBHOOK_ALLOW_PRIVATE`
    /// says about the URLs of users; `false` by default.
    pub policy: TargetPolicy,
}

impl AlertReceiver {
    fn from_environment(env: Environment, secret: Option<&Secret>) -> Result<Option<Self>, Error> {
        let policy = TargetPolicy { allows_private: flag(env, "ALERT_WEBHOOK_ALLOW_PRIVATE")? };
        let name = "ALERT_WEBHOOK_URL";
        let Some(url) = env(name).filter(|url| !url.is_empty()) else { return Ok(None) };
        let expected = "an absolute http or https URL without a user name or a password";
        let Ok(parsed) = target::parse(&url) else {
            // It may hold a secret of the receiver.
            return Err(Error::Secret { name, expected: expected.to_owned() });
        };
        if policy.check(&parsed).is_err() {
            let expected = "a public address, unless ALERT_WEBHOOK_ALLOW_PRIVATE is `true`".to_owned();
            return Err(Error::Secret { name, expected });
        }
        if secret.is_none() {
            let what = "what alerts for ALERT_WEBHOOK_URL are signed with";
            return Err(Error::Missing { name: "WEBHOOK_SECRET", what });
        }
        Ok(Some(Self { url, policy }))
    }
}

impl WebhookConfig {
    /// With the defaults of everything but the secret.
    pub fn new(secret: Option<Secret>) -> Self {
        let policy = TargetPolicy { allows_private: false };
        let first_delay = Duration::from_secs(5);
        Self { secret, policy, max_attempts: 8, first_delay, public_url: None, alerts: None }
    }

    pub(super) fn from_environment(env: Environment) -> Result<Self, Error> {
        let name = "WEBHOOK_SECRET";
        let secret = env(name).map(|text| {
            let expected = "whsec_ and 24 to 64 bytes in Base64".to_owned();
            Secret::parse(&text).ok_or(Error::Secret { name, expected })
        });
        let default = Self::new(secret.transpose()?);
        let alerts = AlertReceiver::from_environment(env, default.secret.as_ref())?;
        let attempts = number(env, "WEBHOOK_ATTEMPTS", 1, 20, "a whole number from 1 to 20")?;
        let seconds =
            number(env, "WEBHOOK_RETRY_SECONDS", 1, 3600, "a whole number of seconds from 1 to 3600")?;
        Ok(Self {
            policy: TargetPolicy { allows_private: flag(env, "WEBHOOK_ALLOW_PRIVATE")? },
            max_attempts: attempts.unwrap_or(default.max_attempts),
            first_delay: seconds.map_or(default.first_delay, |seconds| Duration::from_secs(seconds.into())),
            public_url: env("PUBLIC_URL").map(|url| url.trim_end_matches('/').to_owned()),
            alerts,
            ..default
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(settings: &[(&str, &str)]) -> Result<WebhookConfig, String> {
        let secret = ("WEBHOOK_SECRET", "whsec_cmVlbHN0cmVhbSB0ZXN0cywgMzIgYnl0ZXMgb2Yga2U=");
        let settings = [&[secret], settings].concat();
        let env = |name: &str| {
            let found = settings.iter().rev().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned()).filter(|value| !value.is_empty())
        };
        WebhookConfig::from_environment(&env).map_err(|error| error.to_string())
    }

    #[test]
    fn alerts_go_to_private_addresses_only_when_their_own_setting_says_so() {
        assert!(parse(&[]).unwrap().alerts.is_none());
        let public = ("ALERT_WEBHOOK_URL", "https://alerts.example.com/reel");
        let private = ("ALERT_WEBHOOK_URL", "http://127.0.0.1:9093/reel");
        assert_eq!(parse(&[public]).unwrap().alerts.unwrap().url, public.1);
        for settings in [vec![private], vec![private, ("WEBHOOK_ALLOW_PRIVATE", "true")]] {
            let refused = parse(&settings).unwrap_err();
            assert!(refused.starts_with("ALERT_WEBHOOK_URL must be a public address"), "{refused}");
        }
        let config = parse(&[private, ("ALERT_WEBHOOK_ALLOW_PRIVATE", "true")]).unwrap();
        assert!(config.alerts.unwrap().policy.allows_private && !config.policy.allows_private);
        assert!(parse(&[("ALERT_WEBHOOK_URL", "ftp://example.com")]).is_err());
        let unsigned = parse(&[public, ("WEBHOOK_SECRET", "")]).unwrap_err();
        assert!(unsigned.starts_with("WEBHOOK_SECRET is not set"), "{unsigned}");
    }
}
