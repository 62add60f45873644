//! Settings of the HTTP API: where it listens, whom it trusts, and what it takes from one client.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::{Environment, Error, number};

#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// `REEL_BIND`: address and port, `127.0.0.1:8080` by default; port 0 takes a free one.
    pub bind: SocketAddr,
    /// `ALLOWED_ORIGINS`: the web pages that browsers let call the API, such as `https://app.example.com`, separated by
    /// commas; none by default.
    pub allowed_origins: Vec<String>,
    /// `TRUSTED_PROXIES`: how many proxies stand in front of the API, each of which adds to `X-Forwarded-For`; 0 by
    /// default, and then that header is not looked at.
    pub trusted_proxies: usize,
    pub connections: ConnectionLimits,
}

/// What one connection may take of the API process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// `HTTP_HEADER_SECONDS`: within this time a request's head must be complete, 10 by default. A connection that waits
    /// for its next request is closed after the same time.
    pub header: Duration,
    /// `HTTP_BODY_SECONDS`: for this long at most may a body stand still, 30 by default.
    pub body: Duration,
    /// `HTTP_IDLE_SECONDS`: for this long at most may nothing be read or written, 120 by default.
    pub idle: Duration,
    /// `HTTP_MAX_CONNECTIONS`: connections at a time, 10,000 by default. Others wait until one is closed.
    pub max_connections: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(120),
            max_connections: 10_000,
        }
    }
}

impl ApiConfig {
    /// With the defaults of everything but the address.
    pub fn new(bind: SocketAddr) -> Self {
        let connections = ConnectionLimits::default();
        Self { bind, allowed_origins: vec![], trusted_proxies: 0, connections }
    }

    pub fn from_environment(env: Environment) -> Result<Self, Error> {
        let bind = env("REEL_BIND").unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let expected = "an address and a port, such as 127.0.0.1:8080";
        let Ok(address) = bind.parse() else {
            return Err(Error::Invalid { name: "REEL_BIND", value: bind, expected });
        };
        let proxies = number(env, "TRUSTED_PROXIES", 0, 16, "a whole number from 0 to 16")?;
        Ok(Self {
            allowed_origins: allowed_origins(env)?,
            trusted_proxies: proxies.unwrap_or(0) as usize,
            connections: ConnectionLimits::from_environment(env)?,
            ..Self::new(address)
        })
    }
}

impl ConnectionLimits {
    fn from_environment(env: Environment) -> Result<Self, Error> {
        let seconds = |name, default: Duration| {
            let seconds = number(env, name, 1, 3600, "a whole number of seconds from 1 to 3600")?;
            Ok::<_, Error>(seconds.map_or(default, |seconds| Duration::from_secs(seconds.into())))
        };
        let default = Self::default();
        let expected = "a whole number from 1 to 1000000";
        let connections = number(env, "HTTP_MAX_CONNECTIONS", 1, 1_000_000, expected)?;
        Ok(Self {
            header: seconds("HTTP_HEADER_SECONDS", default.header)?,
            body: seconds("HTTP_BODY_SECONDS", default.body)?,
            idle: seconds("HTTP_IDLE_SECONDS", default.idle)?,
            max_connections: connections.map_or(default.max_connections, |most| most as usize),
        })
    }
}

/// An origin is compared as it is written, so one that no browser sends is refused.
fn allowed_origins(env: Environment) -> Result<Vec<String>, Error> {
    let text = env("ALLOWED_ORIGINS").unwrap_or_default();
    // The Python backend takes a list in JSON, too.
    let listed = serde_json::from_str::<Vec<String>>(&text).map(|origins| origins.join(","));
    let text = listed.unwrap_or(text);
    let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    let checked = origins.map(|origin| {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let is_host = |host: &str| {
            !host.is_empty() && host.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b':' | b'[' | b']'))
        };
        match host.is_some_and(is_host) {
            true => Ok(origin.to_owned()),
            false => Err(Error::Invalid {
                name: "ALLOWED_ORIGINS",
                value: origin.to_owned(),
                expected: "origins as browsers send them, such as https://app.example.com, in lower case and without a path",
            }),
        }
    });
    checked.collect()
}

/// So many requests at once, and one more after each interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub burst: NonZeroU32,
    pub interval: Duration,
}

impl Rate {
    /// `None`, which is no limit, when either number is 0.
    pub fn new(burst: u32, per: Duration, requests: u32) -> Option<Self> {
        let burst = NonZeroU32::new(burst)?;
        let interval = per.checked_div(requests)?.max(Duration::from_nanos(1));
        Some(Self { burst, interval })
    }

    pub fn per_second(requests: u32, burst: u32) -> Option<Self> {
        Self::new(burst, Duration::from_secs(1), requests)
    }
}

/// How many requests one API process takes; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Of one address, whoever asks, and before that is known.
    pub address: Option<Rate>,
    /// Of one user, for each class of routes.
    pub read: Option<Rate>,
    pub write: Option<Rate>,
    pub generate: Option<Rate>,
    pub live: Option<Rate>,
}

impl RateLimits {
    pub const NONE: Self = Self { address: None, read: None, write: None, generate: None, live: None };

    /// `RATE_LIMIT_REQUESTS` and `RATE_LIMIT_PER_USER` in `RATE_LIMIT_WINDOW` (60 s), as earlier versions named them, win
    /// over `streams.toml`: of one address, and of one user in each class.
    pub(super) fn overridden(self, env: Environment) -> Result<Self, Error> {
        let expected = "a whole number from 0 to 1000000; 0 is no limit";
        let of_address = number(env, "RATE_LIMIT_REQUESTS", 0, 1_000_000, expected)?;
        let of_user = number(env, "RATE_LIMIT_PER_USER", 0, 1_000_000, expected)?;
        let expected = "a whole number of seconds from 1 to 86400";
        let window = number(env, "RATE_LIMIT_WINDOW", 1, 86_400, expected)?.unwrap_or(60);
        let in_window = |requests| Rate::new(requests, Duration::from_secs(window.into()), requests);
        let mut limits = self;
        if let Some(requests) = of_address {
            limits.address = in_window(requests);
        }
        if let Some(requests) = of_user {
            let rate = in_window(requests);
            limits = Self { read: rate, write: rate, generate: rate, live: rate, ..limits };
        }
        Ok(limits)
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimitsFile {
    pub address: Option<RateFile>,
    pub read: Option<RateFile>,
    pub write: Option<RateFile>,
    pub generate: Option<RateFile>,
    pub live: Option<RateFile>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
pub(super) struct RateFile {
    pub per_second: i64,
    pub burst: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn nothing_is_trusted_and_no_origin_allowed_unless_it_is_configured() {
        let config = ApiConfig::from_environment(&|_| None).unwrap();
        assert_eq!((config.trusted_proxies, config.allowed_origins.len()), (0, 0));
        assert_eq!(config.connections, ConnectionLimits::default());
    }

    #[test]
    fn an_origin_that_no_browser_sends_is_refused() {
        let good = with(&[("ALLOWED_ORIGINS", "https://app.example.com, http://localhost:3000,")]);
        let config = ApiConfig::from_environment(&good).unwrap();
        assert_eq!(config.allowed_origins, ["https://app.example.com", "http://localhost:3000"]);
        let listed = with(&[("ALLOWED_ORIGINS", r#"["https://app.example.com", "http://localhost:3000"]"#)]);
        assert_eq!(ApiConfig::from_environment(&listed).unwrap().allowed_origins, config.allowed_origins);
        for origin in [
            "*",
            "null",
            "app.example.com",
            "https://app.example.com/",
            "https://App.example.com",
            "https://",
        ] {
            let bad = [("ALLOWED_ORIGINS", origin)];
            let error = ApiConfig::from_environment(&with(&bad)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("ALLOWED_ORIGINS is `{origin}`")), "{error}");
        }
    }

    #[test]
    fn the_names_of_earlier_versions_win_over_the_file() {
        let file = RateLimits { live: Rate::per_second(1, 1), ..RateLimits::NONE };
        assert_eq!(file.overridden(&|_| None).unwrap(), file);
        let old = [("RATE_LIMIT_REQUESTS", "100"), ("RATE_LIMIT_PER_USER", "0"), ("RATE_LIMIT_WINDOW", "50")];
        let limits = file.overridden(&with(&old)).unwrap();
        let address = limits.address.unwrap();
        assert_eq!((address.burst.get(), address.interval), (100, Duration::from_millis(500)));
        assert_eq!((limits.read, limits.live), (None, None));
        let error = file.overridden(&with(&[("RATE_LIMIT_WINDOW", "0")])).unwrap_err().to_string();
        assert!(error.starts_with("RATE_LIMIT_WINDOW is `0`"), "{error}");
    }
}
