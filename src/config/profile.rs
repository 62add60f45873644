//! The defaults of an environment: development, staging or production.
//!
//! A profile changes defaults and nothing else: a variable, or a value in the file that `REEL_STREAMS` names, is stronger.

use super::{Environment, Error};

/// `REEL_PROFILE`: `development`, `staging` or `production`. Without it, defaults are those of `config`, with nothing
/// assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    Development,
    Staging,
    Production,
}

/// A key that everybody can read here, for development alone: 32 bytes in Base64.
pub const PUBLIC_KEY: &str = "cmVlbHN0cmVhbSBkZXZlbG9wbWVudCwgcHVibGljISE=";

const DEVELOPMENT: &[(&str, &str)] = &[
    ("ALLOWED_ORIGINS", "http://localhost:3000,http://localhost:5173"),
    ("REEL_MASTER_KEY", PUBLIC_KEY),
    ("REEL_SIGNING_KEY", PUBLIC_KEY),
    ("WEBHOOK_ALLOW_PRIVATE", "true"),
];

/// Several machines, behind something that ends TLS.
const SERVERS: &[(&str, &str)] =
    &[("REEL_BIND", "0.0.0.0:8080"), ("REEL_LOG_FORMAT", "json"), ("VIDEO_STORAGE_MODE", "s3")];

const STREAMS_OF_DEVELOPMENT: &str = "
[rate_limits]
address = { per_second = 0, burst = 0 }
read = { per_second = 0, burst = 0 }
write = { per_second = 0, burst = 0 }
generate = { per_second = 0, burst = 0 }
live = { per_second = 0, burst = 0 }
";

impl Profile {
    const ALL: [Profile; 3] = [Profile::Development, Profile::Staging, Profile::Production];

    pub fn from_environment(env: Environment) -> Result<Option<Self>, Error> {
        let Some(value) = env("REEL_PROFILE") else { return Ok(None) };
        match Self::named(&value) {
            Some(profile) => Ok(Some(profile)),
            None => {
                let expected = "development, staging or production; if it is not set, ENVIRONMENT is read";
                Err(Error::Invalid { name: "REEL_PROFILE", value, expected })
            }
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Profile::Development => "development",
            Profile::Staging => "staging",
            Profile::Production => "production",
        }
    }

    /// Returns the default of a variable; `None` where the profile has none.
    pub fn default_of(self, name: &str) -> Option<&'static str> {
        let defaults = match self {
            Profile::Development => DEVELOPMENT,
            Profile::Staging | Profile::Production => SERVERS,
        };
        defaults.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// Returns the filter of a role's log lines.
    pub fn log_filter(self) -> &'static str {
        match self {
            Profile::Development | Profile::Staging => "info,reelstream=debug",
            Profile::Production => "info",
        }
    }

    /// Returns `true` when processes serve other machines.
    pub fn is_for_servers(self) -> bool {
        self != Profile::Development
    }

    /// Returns what stands in the place of the shipped `streams.toml`, as TOML.
    pub fn streams(self) -> &'static str {
        match self {
            Profile::Development => STREAMS_OF_DEVELOPMENT,
            Profile::Staging | Profile::Production => "",
        }
    }
}
