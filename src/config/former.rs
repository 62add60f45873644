//! Settings of the Python backend under their names there.
//!
//! Names that both systems share are not listed. Where our name and the old one are set, ours counts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Environment, Error, Profile, number};
use crate::events::Quality;

/// The use of an old name.
enum Use {
    /// It is read as one of ours. The function returns our value, `None` where the old one has none.
    Variable(&'static str, fn(Environment) -> Option<String>),
    /// It is read as a key of `streams.toml`.
    Streams(&'static str),
    /// It changes nothing, for this reason.
    Nothing(&'static str),
}

use Use::{Nothing, Streams, Variable};

const NAMES: &[(&str, Use)] = &[
    ("ENVIRONMENT", Variable("REEL_PROFILE", profile)),
    ("HOST", Variable("REEL_BIND", bind)),
    ("PORT", Variable("REEL_BIND", bind)),
    ("FRONTEND_URL", Variable("ALLOWED_ORIGINS", origin)),
    ("FILE_STORAGE_PATH", Variable("MEDIA_ROOT", folder)),
    ("VIDEO_OUTPUT_DIR", Variable("MEDIA_ROOT", folder)),
    ("VIDEO_QUALITY_DEFAULT", Variable("DEFAULT_QUALITY", quality)),
    ("LOG_LEVEL", Variable("REEL_LOG", level)),
    ("LOG_FORMAT", Variable("REEL_LOG_FORMAT", format)),
    ("JOB_QUEUE_MAX_SIZE", Streams("limits.open_jobs")),
    ("JOB_RETRY_ATTEMPTS", Streams("stages.<stage>.attempts, one more")),
    ("JOB_DEFAULT_TIMEOUT", Nothing("each stage has `timeout_seconds` in streams.toml")),
    ("UPLOAD_DIR", Nothing("uploads are in MEDIA_ROOT")),
    ("ALLOWED_FILE_TYPES", Nothing("uploads are told by their content, and the types are fixed")),
    ("LOG_CORRELATION_ID_HEADER", Nothing("the header is X-Request-Id")),
    ("VIDEO_MAX_DURATION", Nothing("a request names its duration, of 600 seconds at most")),
    ("HEALTH_CHECK_INTERVAL", Nothing("health is examined when it is asked for, once a second at most")),
];

/// Returns the value of one of our variables under its old name.
pub fn value(env: Environment, ours: &str) -> Option<String> {
    let read = NAMES.iter().find_map(|(_, used)| match used {
        Variable(name, read) if *name == ours => Some(read),
        Variable(..) | Streams(_) | Nothing(_) => None,
    })?;
    read(env)
}

/// Returns the profile, by its name here or there. `None` for an unknown one, too: that is told when all settings are read.
pub fn profile_in_effect(env: Environment) -> Option<Profile> {
    let profile = Profile::from_environment(&|name| env(name).or_else(|| value(env, name)));
    profile.ok().flatten()
}

/// Returns a line for each old name that is set, with the new one.
pub fn warnings(env: Environment) -> Vec<String> {
    let set = NAMES.iter().filter(|(name, _)| env(name).is_some());
    let line = |(name, used): &(&str, Use)| match used {
        Variable(ours, _) if env(ours).is_some() => {
            format!("{name} has no effect, because {ours} is set; remove {name}")
        }
        Variable(ours, read) => match read(env) {
            Some(value) => format!("{name} is a name of the Python backend; set {ours}={value} instead"),
            None => {
                format!("{name} has no effect, because its value has no meaning here; set {ours} instead")
            }
        },
        Streams(key) => {
            format!("{name} is a name of the Python backend; set {key} in streams.toml instead")
        }
        Nothing(reason) => format!("{name} is a name of the Python backend, and has no effect: {reason}"),
    };
    set.map(line).collect()
}

/// Values that replace those of `streams.toml`.
pub struct StreamsOverrides {
    /// `JOB_QUEUE_MAX_SIZE`.
    pub open_jobs: Option<u64>,
    /// `JOB_RETRY_ATTEMPTS`, which does not count the first attempt.
    pub attempts: Option<u32>,
}

impl StreamsOverrides {
    pub fn from_environment(env: Environment) -> Result<Self, Error> {
        let expected = "a whole number from 1 to 10000000";
        let open_jobs = number(env, "JOB_QUEUE_MAX_SIZE", 1, 10_000_000, expected)?;
        let retries = number(env, "JOB_RETRY_ATTEMPTS", 0, 99, "a whole number from 0 to 99")?;
        Ok(Self { open_jobs: open_jobs.map(u64::from), attempts: retries.map(|retries| retries + 1) })
    }
}

/// An unknown value stays as it is, and is refused under our name: a system must not take itself for another one.
fn profile(env: Environment) -> Option<String> {
    let name = env("ENVIRONMENT")?.to_lowercase();
    Some(match name.as_str() {
        "dev" | "local" => "development".to_owned(),
        "stage" => "staging".to_owned(),
        "prod" => "production".to_owned(),
        _ => name,
    })
}

/// Shells set `HOST` to the name of the machine, which is no address.
fn bind(env: Environment) -> Option<String> {
    let host = env("HOST").and_then(|host| match host.as_str() {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        host => host.parse().ok(),
    });
    let port = env("PORT").and_then(|port| port.parse().ok());
    match (host, port) {
        (None, None) => None,
        (host, port) => {
            let host = host.unwrap_or(IpAddr::V4(usual_host(env)));
            Some(SocketAddr::from((host, port.unwrap_or(8080))).to_string())
        }
    }
}

/// The address of the profile, for a port alone.
fn usual_host(env: Environment) -> Ipv4Addr {
    if profile_in_effect(env).is_some_and(Profile::is_for_servers) {
        Ipv4Addr::UNSPECIFIED
    } else {
        Ipv4Addr::LOCALHOST
    }
}

/// Browsers send the origin of a page without its path.
fn origin(env: Environment) -> Option<String> {
    let url = url::Url::parse(&env("FRONTEND_URL")?).ok()?;
    let origin = url.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

fn folder(env: Environment) -> Option<String> {
    env("FILE_STORAGE_PATH").or_else(|| env("VIDEO_OUTPUT_DIR"))
}

fn quality(env: Environment) -> Option<String> {
    let name = env("VIDEO_QUALITY_DEFAULT")?.to_lowercase();
    Quality::named(&name).map(|quality| quality.name().to_owned())
}

fn level(env: Environment) -> Option<String> {
    let level = match env("LOG_LEVEL")?.to_lowercase().as_str() {
        "trace" => "trace",
        "debug" => "debug",
        "info" => "info",
        "warn" | "warning" => "warn",
        "error" | "critical" | "fatal" => "error",
        _ => return None,
    };
    Some(level.to_owned())
}

fn format(env: Environment) -> Option<String> {
    match env("LOG_FORMAT")?.to_lowercase().as_str() {
        "json" => Some("json".to_owned()),
        "text" | "console" | "plain" => Some("text".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Streams as StreamsSettings, resolve};

    fn of<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    // 003-t
    #[test]
    fn old_names_are_read_as_ours_and_a_warning_names_the_new_one() {
        for (old, value, ours, expected) in [
            ("ENVIRONMENT", "Production", "REEL_PROFILE", "production"),
            ("ENVIRONMENT", "dev", "REEL_PROFILE", "development"),
            ("HOST", "0.0.0.0", "REEL_BIND", "0.0.0.0:8080"),
            ("HOST", "localhost", "REEL_BIND", "127.0.0.1:8080"),
            ("PORT", "8000", "REEL_BIND", "127.0.0.1:8000"),
            ("FRONTEND_URL", "https://app.example.com/start", "ALLOWED_ORIGINS", "https://app.example.com"),
            ("FRONTEND_URL", "http://localhost:3000", "ALLOWED_ORIGINS", "http://localhost:3000"),
            ("FILE_STORAGE_PATH", "/data/files", "MEDIA_ROOT", "/data/files"),
            ("VIDEO_OUTPUT_DIR", "/data/out", "MEDIA_ROOT", "/data/out"),
            ("VIDEO_QUALITY_DEFAULT", "720p", "DEFAULT_QUALITY", "medium"),
            ("LOG_LEVEL", "WARNING", "REEL_LOG", "warn"),
            ("LOG_LEVEL", "CRITICAL", "REEL_LOG", "error"),
            ("LOG_FORMAT", "json", "REEL_LOG_FORMAT", "json"),
        ] {
            let alone = [(old, value)];
            assert_eq!(resolve(&of(&alone), ours).as_deref(), Some(expected), "{old}");
            let warnings = warnings(&of(&alone));
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(
                warnings[0].starts_with(old) && warnings[0].contains(&format!("{ours}={expected}")),
                "{warnings:?}"
            );
            // Ours is stronger.
            let both = [(old, value), (ours, "own")];
            assert_eq!(resolve(&of(&both), ours).as_deref(), Some("own"));
            let warnings = super::warnings(&of(&both));
            assert!(warnings[0].contains("has no effect, because"), "{warnings:?}");
        }
        let both = [("HOST", "::1"), ("PORT", "8000")];
        assert_eq!(resolve(&of(&both), "REEL_BIND").as_deref(), Some("[::1]:8000"));
        let production = [("ENVIRONMENT", "production"), ("PORT", "8000")];
        assert_eq!(resolve(&of(&production), "REEL_BIND").as_deref(), Some("0.0.0.0:8000"));
    }

    #[test]
    fn a_value_without_meaning_changes_nothing_and_is_told() {
        for (old, value, ours) in [
            ("HOST", "my-laptop", "REEL_BIND"),
            ("PORT", "http", "REEL_BIND"),
            ("FRONTEND_URL", "app", "ALLOWED_ORIGINS"),
            ("LOG_LEVEL", "loud", "REEL_LOG"),
            ("LOG_FORMAT", "xml", "REEL_LOG_FORMAT"),
            ("VIDEO_QUALITY_DEFAULT", "best", "DEFAULT_QUALITY"),
        ] {
            let pairs = [(old, value)];
            assert_eq!(resolve(&of(&pairs), ours), None, "{old}");
            let warnings = warnings(&of(&pairs));
            assert!(warnings[0].contains("no meaning") && warnings[0].contains(ours), "{warnings:?}");
        }
        for old in ["JOB_DEFAULT_TIMEOUT", "UPLOAD_DIR", "ALLOWED_FILE_TYPES", "VIDEO_MAX_DURATION"] {
            assert!(warnings(&of(&[(old, "1")]))[0].contains("has no effect: "), "{old}");
        }
        assert_eq!(warnings(&of(&[("REDIS_URL", "redis://a"), ("MAX_FILE_SIZE", "1")])), [""; 0]);
    }

    #[test]
    fn old_names_of_what_is_in_streams_win_over_it() {
        let pairs = [("JOB_QUEUE_MAX_SIZE", "7"), ("JOB_RETRY_ATTEMPTS", "0")];
        let streams = StreamsSettings::from_environment(&of(&pairs)).unwrap();
        assert_eq!(streams.limits.open_jobs, 7);
        assert!(streams.stages.values().all(|stage| stage.attempts == 1));
        assert_eq!(warnings(&of(&pairs)).len(), 2);
        for pair in [("JOB_QUEUE_MAX_SIZE", "0"), ("JOB_RETRY_ATTEMPTS", "many")] {
            let error = StreamsSettings::from_environment(&of(&[pair])).unwrap_err().to_string();
            assert!(error.starts_with(pair.0), "{error}");
        }
    }
}
