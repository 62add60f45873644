//! Settings: one struct per concern, the environment variable in the field's doc, all of them read
//! and cross-checked before anything starts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

mod api;
mod clerk;
mod former;
mod models;
mod profile;
mod rag;
mod storage;
mod tunable;
mod voices;
mod webhooks;

pub use api::{ApiConfig, ConnectionLimits, Rate, RateLimits};
use api::{RateFile, RateLimitsFile};
pub use clerk::{ClerkConfig, ClerkKey};
pub use models::ModelsConfig;
pub use profile::Profile;
pub use rag::RagConfig;
pub use tunable::{Tunable, needs_restart};
pub use voices::{KOKORO_PYTHON, PIPER_PYTHON, SpeechKey, VoiceConfig, kokoro_voice, voice_names};
pub use webhooks::{AlertReceiver, WebhookConfig};

use crate::events::{Quality, Stage};
use crate::signing::SigningKey;
use crate::storage::StorageSettings;
use crate::uploads::ClamavAddress;
use crate::vault::MasterKey;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{name} is not set; it is {what}")]
    Missing { name: &'static str, what: &'static str },
    #[error("{name} is `{value}`, but must be {expected}")]
    Invalid { name: &'static str, value: String, expected: &'static str },
    /// Secret: the value is never displayed.
    #[error("{name} must be {expected}")]
    Secret { name: &'static str, expected: String },
    #[error("cannot read {path}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{origin}: {message}")]
    Toml { origin: String, message: String },
    #[error("{origin}: {key} is {value}, but must be {expected}")]
    Range { origin: String, key: String, value: String, expected: &'static str },
}

/// All settings of a process.
#[derive(Debug, Clone)]
pub struct Config {
    pub redis: RedisConfig,
    pub postgres: PostgresConfig,
    pub api: ApiConfig,
    pub auth: AuthConfig,
    pub clerk: ClerkConfig,
    pub media: MediaConfig,
    pub storage: StorageSettings,
    pub uploads: UploadsConfig,
    pub keys: KeysConfig,
    pub archive: ArchiveConfig,
    pub webhooks: WebhookConfig,
    pub models: ModelsConfig,
    pub rag: RagConfig,
    pub streams: Streams,
}

#[derive(Clone)]
pub struct RedisConfig {
    /// `REDIS_URL`: `redis://host:port`, `redis://host:port,host:port` for servers of which one is the
    /// primary, or `redis+cluster://host:port,host:port`.
    pub url: String,
    /// `REEL_PREFIX`: the prefix of all keys, `reel` by default.
    pub prefix: String,
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, prefix } = self;
        f.debug_struct("RedisConfig").field("url", &without_credentials(url)).field("prefix", prefix).finish()
    }
}

#[derive(Clone)]
pub struct PostgresConfig {
    /// `DATABASE_URL`, such as `postgres://reel@127.0.0.1/reel`.
    pub url: String,
}

impl std::fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresConfig").field("url", &without_credentials(&self.url)).finish()
    }
}

/// Removes user, password and parameters from an address, since each may be secret.
///
/// It removes everything before the last `@`, because a password may hold any character.
pub fn without_credentials(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let hosts = rest.rsplit('@').next().unwrap_or_default();
    let hosts = hosts.split(['?', '#']).next().unwrap_or_default();
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{hosts}")
}

#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// `CLERK_ISSUER`: the required `iss`, such as `https://clerk.example.com`.
    pub issuer: String,
    /// `CLERK_JWKS_URL`: the URL of the keys; `<issuer>/.well-known/jwks.json` by default.
    pub jwks_url: String,
    /// `CLERK_AUTHORIZED_PARTIES`: the accepted values of `azp`, separated by commas; empty accepts any.
    pub authorized_parties: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// `MEDIA_ROOT`: finished videos are under `videos/`, work in progress under `work/`; `media` by
    /// default. API and workers must see the same folder.
    pub root: PathBuf,
    /// `DEFAULT_QUALITY`: `low`, `medium`, `high` (the default) or `ultra` (001-6.5).
    pub default_quality: Quality,
    /// `MAX_CONCURRENT_RENDERS`: scenes that the worker processes of one machine render at a time, together (001-6.4).
    pub max_concurrent_renders: usize,
    /// `RENDER_SLOTS_ROOT`: the folder by which worker processes of one machine know of each other, `render-slots` in
    /// `MEDIA_ROOT` by default. Processes with different `MEDIA_ROOT`s need it to share the limit.
    pub render_slots: Option<PathBuf>,
    /// `MAX_SCENE_CONCURRENCY`: scenes of one job that are worked on at a time, 16 by default (001-6.3).
    pub max_scene_concurrency: u32,
    /// `USE_GPU_ACCELERATION`: `true` lets a graphics processor encode where there is one; `false` by default (001-6.6).
    pub use_gpu: bool,
    /// `REEL_VOICE`: `espeak-ng` (the default), `piper`, `kokoro`, `kokoro:NAME` or `openai`.
    pub voice: VoiceConfig,
    /// `REEL_VOICES`: the other voices that a request may name in `custom_config.voice`, such as `espeak-ng,kokoro`; none by
    /// default.
    pub other_voices: Vec<VoiceConfig>,
    /// `MUSIC_ROOT`: a folder with the pieces that `style_preferences.music` may name; none by default.
    pub music: Option<PathBuf>,
    /// `LOGO_ROOT`: a folder with the logos that `style_preferences.logo` may name; none by default.
    pub logos: Option<PathBuf>,
    /// `ESPEAK_PROGRAM`: the speech synthesiser, `espeak-ng` by default.
    pub espeak_program: PathBuf,
    /// `MANIM_ROOT`: a virtual environment with Manim, `.reel/manim` by default. Without one, pages stand for animations.
    pub manim: PathBuf,
    /// `MAX_RETRIES`: how often the code of an animation that fails is corrected, from 0 to 10; 5 by default.
    pub max_corrections: u32,
}

#[derive(Debug, Clone)]
pub struct UploadsConfig {
    /// `MAX_FILE_SIZE`: bytes that an uploaded file may have, 104857600 (100 MiB) by default.
    pub max_file_bytes: u64,
    /// `CLAMAV_ADDRESS`: the daemon that scans what is uploaded, such as `127.0.0.1:3310` or `/run/clamav/clamd.ctl`; none by
    /// default. While it does not answer, nothing can be uploaded. Its `StreamMaxLength` must not be less than
    /// `MAX_FILE_SIZE`.
    pub clamav: Option<ClamavAddress>,
}

impl UploadsConfig {
    pub fn from_environment(env: Environment) -> Result<Self, Error> {
        let max_file_bytes = match env("MAX_FILE_SIZE") {
            None => MAX_FILE_BYTES,
            Some(value) => match value.parse() {
                Ok(bytes @ 1..=MOST_FILE_BYTES) => bytes,
                _ => {
                    let expected = "a whole number of bytes from 1 to 10737418240";
                    return Err(Error::Invalid { name: "MAX_FILE_SIZE", value, expected });
                }
            },
        };
        let expected = "host:port, or the path of a socket";
        let clamav = env("CLAMAV_ADDRESS").map(|value| {
            let invalid = || Error::Invalid { name: "CLAMAV_ADDRESS", value: value.clone(), expected };
            ClamavAddress::parse(&value).ok_or_else(invalid)
        });
        Ok(Self { max_file_bytes, clamav: clamav.transpose()? })
    }
}

const MAX_FILE_BYTES: u64 = 100 * 1024 * 1024;
const MOST_FILE_BYTES: u64 = 10 * 1024 * 1024 * 1024;

#[derive(Debug, Clone)]
pub struct KeysConfig {
    /// `REEL_MASTER_KEY`: 32 bytes in Base64, which wrap the keys of users' content. Losing it erases the content of all users.
    pub master: MasterKey,
    /// `REEL_SIGNING_KEY`: 32 bytes in Base64, which sign seals and archived segments.
    pub signing: SigningKey,
    /// `REEL_TRUSTED_KEYS`: further trusted public keys, in hex, such as those of earlier signing keys.
    pub trusted: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct ArchiveConfig {
    /// `ARCHIVE_ROOT`: the folder of archived segments, `archive` by default. All processes must share it.
    pub root: PathBuf,
    /// `REEL_SEALS_LOG`: the file to which the notary appends every seal, `seals.log` in `ARCHIVE_ROOT` by default. It
    /// should be where administrators of Redis and PostgreSQL cannot write.
    pub seals_log: PathBuf,
}

/// `streams.toml`; `REEL_STREAMS` names another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streams {
    pub partitions: u16,
    pub limits: Limits,
    pub rate_limits: RateLimits,
    pub retention: Retention,
    pub sidecars: SidecarSettings,
    pub audit: Audit,
    pub live: LiveSettings,
    pub stages: BTreeMap<Stage, StageSettings>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most open jobs. Beyond a limit, new jobs are refused until others end.
    pub open_jobs: u64,
    pub open_jobs_per_user: u64,
    /// Limit for users who are not admins.
    pub open_urgent_jobs_per_user: u64,
    /// Most bytes of the recorded requests of open jobs.
    pub open_request_bytes: u64,
    pub open_request_bytes_per_user: u64,
    /// Bytes of the uploads that a user keeps.
    pub upload_bytes_per_user: u64,
    /// Free bytes under `MEDIA_ROOT` below which a worker begins no scene.
    pub min_free_bytes: u64,
    /// Memory of a worker process above which it begins no scene; 0 for no limit.
    pub max_memory_bytes: u64,
}

/// Settings of seals and segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Interval of seals.
    pub seal_every: Duration,
    /// Events of an archived segment.
    pub segment_events: u64,
}

/// Live updates over WebSockets and server-sent events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSettings {
    /// Interval between two pings of a client.
    pub ping_every: Duration,
    /// Connections of one user to one API process.
    pub clients_per_user: usize,
    /// Events that wait for a client that reads slowly.
    pub queued_events: usize,
    /// How long a ticket can be used.
    pub ticket_life: Duration,
    /// Tickets that one user gets in that time.
    pub tickets_per_user: u64,
}

/// Retention of derived data, and of the log in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Lifetime of an `Idempotency-Key`.
    pub idempotency_key: Duration,
    /// Time for which the status view of an ended job stays in Redis; later it is folded on request.
    pub status_view: Duration,
    /// Time for which the files of a deleted job stay.
    pub deleted_files: Duration,
    /// Time for which the stream of a failed or cancelled job stays.
    pub partial_stream: Duration,
    /// Time for which the files of a completed job stay; `None` for as long as the job does.
    pub video: Option<Duration>,
    /// Time for which log lines of jobs stay; `None` for ever.
    pub log_line: Option<Duration>,
    /// Shortest time for which events stay in Redis; later they are read from the archive.
    pub log: Duration,
}

/// Attempts at the thumbnails, captions and stream of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SidecarSettings {
    /// That of the stages included.
    pub max_attempts: u32,
    /// From the first attempt to the second; each later delay is four times as long, up to six hours.
    pub first_delay: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSettings {
    /// Consumer group.
    pub group: String,
    /// Pieces of work that one process runs concurrently.
    pub concurrency: usize,
    pub timeout: Duration,
    /// Expiry of a lease; workers renew it three times as often.
    pub lease: Duration,
    /// Attempts at a piece of work before its failure fails the job.
    pub attempts: u32,
}

/// The environment as a function, so that tests need not change that of the process.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a variable of the process's environment; where it is not set, under the name that the Python backend has for it, or
/// the default of `REEL_PROFILE`.
pub fn process_environment(name: &str) -> Option<String> {
    resolve(&set_variable, name)
}

/// Does the same with another environment.
pub fn resolve(env: Environment, name: &str) -> Option<String> {
    let of_profile = || former::profile_in_effect(env)?.default_of(name).map(str::to_owned);
    env(name).or_else(|| former::value(env, name)).or_else(of_profile)
}

/// Returns a line for each variable of the process that has another name here than in the Python backend.
pub fn warnings() -> Vec<String> {
    former::warnings(&set_variable)
}

/// Reads a variable of the process's environment; empty counts as not set. `NAME_FILE` names a file with the value of
/// `NAME`, as secrets are mounted.
fn set_variable(name: &str) -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    set(name).or_else(|| read_mounted(name, &set(&format!("{name}_FILE"))?))
}

fn read_mounted(name: &str, path: &str) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()).filter(|value| !value.is_empty()),
        Err(error) => {
            // The variable is then reported as missing.
            eprintln!("{name}_FILE: cannot read {path}: {error}");
            None
        }
    }
}

impl Config {
    pub fn from_environment(env: Environment) -> Result<Self, Error> {
        Profile::from_environment(env)?;
        Ok(Self {
            redis: RedisConfig::from_environment(env)?,
            postgres: PostgresConfig::from_environment(env)?,
            api: ApiConfig::from_environment(env)?,
            auth: AuthConfig::from_environment(env)?,
            clerk: ClerkConfig::from_environment(env)?,
            media: MediaConfig::from_environment(env)?,
            storage: StorageSettings::from_environment(env)?,
            uploads: UploadsConfig::from_environment(env)?,
            keys: KeysConfig::from_environment(env)?,
            archive: ArchiveConfig::from_environment(env),
            webhooks: WebhookConfig::from_environment(env)?,
            models: ModelsConfig::from_environment(env)?,
            rag: RagConfig::from_environment(env)?,
            streams: Streams::from_environment(env)?,
        })
    }
}

fn required(env: Environment, name: &'static str, what: &'static str) -> Result<String, Error> {
    env(name).ok_or(Error::Missing { name, what })
}

impl RedisConfig {
    pub fn from_environment(env: Environment) -> Result<Self, Error> {
        let url = required(env, "REDIS_URL", "where the event log is, such as redis://127.0.0.1:6379")?;
        let prefix = env("REEL_PREFIX").unwrap_or_else(|| "reel".to_owned());
        // Braces would make another hash tag of the keys.
        if prefix.contains(['{', '}']) {
            return Err(Error::Invalid { name: "REEL_PREFIX", value: prefix, expected: "free of { and }" });
        }
        Ok(Self { url, prefix })
    }
}

impl KeysConfig {
    pub fn from_environment(env: Environment) -> Result<Self, Error> {
        let name = "REEL_MASTER_KEY";
        let what =
            "what wraps the keys of users' content; `openssl rand -base64 32` makes one, which must be kept";
        let master = MasterKey::parse(&required(env, name, what)?);
        let expected = || "32 bytes in Base64, as `openssl rand -base64 32` makes them".to_owned();
        let master = master.map_err(|_| Error::Secret { name, expected: expected() })?;
        let name = "REEL_SIGNING_KEY";
        let what =
            "what seals of the log are signed with; `openssl rand -base64 32` makes one, which must be kept";
        let signing = SigningKey::parse(&required(env, name, what)?);
        let signing = signing.map_err(|_| Error::Secret { name, expected: expected() })?;
        if Profile::from_environment(env)? != Some(Profile::Development) {
            let is_public = |name: &&str| env(name).is_some_and(|key| key.trim() == profile::PUBLIC_KEY);
            if let Some(name) = ["REEL_MASTER_KEY", "REEL_SIGNING_KEY"].into_iter().find(is_public) {
                let expected =
                    "a key of your own: this one is public, for REEL_PROFILE=development alone".to_owned();
                return Err(Error::Secret { name, expected });
            }
        }
        let trusted = env("REEL_TRUSTED_KEYS").unwrap_or_default();
        let trusted = trusted.split(',').map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned);
        Ok(Self { master, signing, trusted: trusted.collect() })
    }

    /// Returns all trusted public keys, in hex.
    pub fn public_keys(&self) -> Vec<String> {
        std::iter::once(self.signing.public_key()).chain(self.trusted.iter().cloned()).collect()
    }
}

impl ArchiveConfig {
    pub fn from_environment(env: Environment) -> Self {
        let config = Self::new(env("ARCHIVE_ROOT").unwrap_or_else(|| "archive".to_owned()));
        match env("REEL_SEALS_LOG") {
            Some(path) => Self { seals_log: path.into(), ..config },
            None => config,
        }
    }

    /// Builds settings with everything in one folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { seals_log: root.join("seals.log"), root }
    }
}

impl PostgresConfig {
    pub fn from_environment(env: Environment) -> Result<Self, Error> {
        let url = required(
            env,
            "DATABASE_URL",
            "where the read models are, such as postgres://reel@127.0.0.1/reel",
        )?;
        Ok(Self { url })
    }
}

impl AuthConfig {
    fn from_environment(env: Environment) -> Result<Self, Error> {
        let issuer =
            required(env, "CLERK_ISSUER", "the issuer of session tokens, such as https://clerk.example.com")?;
        let issuer = issuer.trim_end_matches('/').to_owned();
        let jwks_url = env("CLERK_JWKS_URL").unwrap_or_else(|| format!("{issuer}/.well-known/jwks.json"));
        let parties = env("CLERK_AUTHORIZED_PARTIES").unwrap_or_default();
        let authorized_parties =
            parties.split(',').map(str::trim).filter(|party| !party.is_empty()).map(str::to_owned).collect();
        Ok(Self { issuer, jwks_url, authorized_parties })
    }
}

impl MediaConfig {
    /// The voices that a request may name, the usual one first.
    pub fn voices(&self) -> impl Iterator<Item = &VoiceConfig> {
        std::iter::once(&self.voice).chain(&self.other_voices)
    }

    pub fn from_environment(env: Environment) -> Result<Self, Error> {
        let quality = env("DEFAULT_QUALITY").unwrap_or_else(|| "high".to_owned());
        let expected = "low, medium, high or ultra";
        let default_quality = Quality::ALL
            .into_iter()
            .find(|known| known.name() == quality)
            .ok_or(Error::Invalid { name: "DEFAULT_QUALITY", value: quality, expected })?;
        Ok(Self {
            root: env("MEDIA_ROOT").unwrap_or_else(|| "media".to_owned()).into(),
            default_quality,
            max_concurrent_renders: count(env, "MAX_CONCURRENT_RENDERS", 256)?.unwrap_or_else(processors),
            render_slots: env("RENDER_SLOTS_ROOT").map(PathBuf::from),
            max_scene_concurrency: count(env, "MAX_SCENE_CONCURRENCY", 256)?.unwrap_or(SCENES_AT_A_TIME),
            use_gpu: flag(env, "USE_GPU_ACCELERATION")?,
            voice: VoiceConfig::from_environment(env)?,
            other_voices: VoiceConfig::others_from_environment(env)?,
            music: env("MUSIC_ROOT").map(PathBuf::from),
            logos: env("LOGO_ROOT").map(PathBuf::from),
            espeak_program: env("ESPEAK_PROGRAM").unwrap_or_else(|| "espeak-ng".to_owned()).into(),
            manim: env("MANIM_ROOT").unwrap_or_else(|| MANIM_ROOT.to_owned()).into(),
            max_corrections: corrections(env)?,
        })
    }
}

const SCENES_AT_A_TIME: u32 = 16;
/// The path to which scripts/setup-manim installs it.
pub const MANIM_ROOT: &str = ".reel/manim";
const MAX_CORRECTIONS: u32 = 10;
pub const DEFAULT_CORRECTIONS: u32 = 5;

fn corrections(env: Environment) -> Result<u32, Error> {
    let Some(value) = env("MAX_RETRIES") else { return Ok(DEFAULT_CORRECTIONS) };
    let parsed = value.parse().ok().filter(|count| *count <= MAX_CORRECTIONS);
    parsed.ok_or(Error::Invalid { name: "MAX_RETRIES", value, expected: "a whole number from 0 to 10" })
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads a flag; `false` when the variable is not set.
fn flag(env: Environment, name: &'static str) -> Result<bool, Error> {
    flag_or(env, name, false)
}

fn flag_or(env: Environment, name: &'static str, default: bool) -> Result<bool, Error> {
    let Some(value) = env(name) else { return Ok(default) };
    match value.to_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" | "" => Ok(false),
        _ => Err(Error::Invalid { name, value, expected: "true or false" }),
    }
}

/// Reads a whole number from `low` to `high`; `None` when the variable is not set.
fn number(
    env: Environment,
    name: &'static str,
    low: u32,
    high: u32,
    expected: &'static str,
) -> Result<Option<u32>, Error> {
    let Some(value) = env(name) else { return Ok(None) };
    match value.parse().ok().filter(|number| (low..=high).contains(number)) {
        Some(number) => Ok(Some(number)),
        None => Err(Error::Invalid { name, value, expected }),
    }
}

/// Reads a whole number from 1 to `most`; `None` when the variable is not set.
fn count<T: TryFrom<u32>>(env: Environment, name: &'static str, most: u32) -> Result<Option<T>, Error> {
    let Some(value) = env(name) else { return Ok(None) };
    let number = value.parse().ok().filter(|number| (1..=most).contains(number));
    match number.and_then(|number| T::try_from(number).ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(Error::Invalid { name, value, expected: "a whole number from 1 to 256" }),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamsFile {
    partitions: Option<i64>,
    #[serde(default)]
    limits: LimitsFile,
    #[serde(default)]
    rate_limits: RateLimitsFile,
    #[serde(default)]
    retention: RetentionFile,
    #[serde(default)]
    sidecars: SidecarsFile,
    #[serde(default)]
    audit: AuditFile,
    #[serde(default)]
    live: LiveFile,
    #[serde(default)]
    stages: BTreeMap<Stage, StageFile>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LimitsFile {
    open_jobs: Option<i64>,
    open_jobs_per_user: Option<i64>,
    open_urgent_jobs_per_user: Option<i64>,
    open_requests_mib: Option<i64>,
    open_requests_mib_per_user: Option<i64>,
    upload_mib_per_user: Option<i64>,
    min_free_mb: Option<i64>,
    max_memory_mb: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RetentionFile {
    idempotency_key_hours: Option<i64>,
    status_view_hours: Option<i64>,
    deleted_files_hours: Option<i64>,
    partial_stream_hours: Option<i64>,
    video_hours: Option<i64>,
    log_line_hours: Option<i64>,
    log_hours: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct SidecarsFile {
    attempts: Option<i64>,
    first_delay_seconds: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct AuditFile {
    seal_seconds: Option<i64>,
    segment_events: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LiveFile {
    ping_seconds: Option<i64>,
    clients_per_user: Option<i64>,
    queued_events: Option<i64>,
    ticket_seconds: Option<i64>,
    tickets_per_user: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StageFile {
    group: Option<String>,
    concurrency: Option<i64>,
    timeout_seconds: Option<i64>,
    lease_seconds: Option<i64>,
    attempts: Option<i64>,
}

/// The ranges of limits and rates, in streams.toml and while processes run.
const MAX_JOBS: u64 = 10_000_000;
const JOBS: &str = "from 1 to 10000000";
const MAX_MIB: u64 = 1_048_576;
const MIB_OR_MORE: &str = "from 1 to 1048576";
const MIB_OR_NONE: &str = "from 0 to 1048576";
const MAX_REQUESTS: u32 = 1_000_000;

const SHIPPED_STREAMS: &str = include_str!("../streams.toml");

impl Streams {
    pub fn from_environment(env: Environment) -> Result<Self, Error> {
        let mut streams = Self::from_files(env)?;
        let former::StreamsOverrides { open_jobs, attempts } =
            former::StreamsOverrides::from_environment(env)?;
        streams.limits.open_jobs = open_jobs.unwrap_or(streams.limits.open_jobs);
        if let Some(attempts) = attempts {
            streams.stages.values_mut().for_each(|stage| stage.attempts = attempts);
        }
        Ok(Self { rate_limits: streams.rate_limits.overridden(env)?, ..streams })
    }

    fn from_files(env: Environment) -> Result<Self, Error> {
        let shipped = shipped(Profile::from_environment(env)?)?;
        let Some(path) = env("REEL_STREAMS").map(PathBuf::from) else {
            return Self::layered("the shipped streams.toml", &shipped, &shipped);
        };
        let text =
            std::fs::read_to_string(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        let origin = path.display().to_string();
        let own = read_toml(&origin, &text)?;
        Self::layered(&origin, &own, &shipped)
    }

    /// Returns the settings of a stage; every stage has some.
    pub fn stage(&self, stage: Stage) -> &StageSettings {
        &self.stages[&stage]
    }

    fn layered(origin: &str, own: &StreamsFile, shipped: &StreamsFile) -> Result<Self, Error> {
        let range = |key: String, value: i64, low: i64, high: i64, expected| {
            if (low..=high).contains(&value) {
                Ok(value)
            } else {
                Err(Error::Range { origin: origin.to_owned(), key, value: value.to_string(), expected })
            }
        };
        let missing =
            |key: String| Error::Toml { origin: origin.to_owned(), message: format!("{key} is missing") };
        let partitions = own.partitions.or(shipped.partitions).ok_or_else(|| missing("partitions".into()))?;
        let partitions = range("partitions".into(), partitions, 1, 256, "from 1 to 256")? as u16;
        let whole = |key: &str, pick: fn(&StreamsFile) -> Option<i64>, high, expected| {
            let value = pick(own).or(pick(shipped)).ok_or_else(|| missing(key.to_owned()))?;
            range(key.to_owned(), value, 1, high, expected)
        };
        let jobs = |key, pick| whole(key, pick, MAX_JOBS as i64, JOBS).map(|jobs| jobs as u64);
        let bytes =
            |key, pick| whole(key, pick, MAX_MIB as i64, MIB_OR_MORE).map(|mib| mib as u64 * 1024 * 1024);
        let bytes_or_none = |key: &str, pick: fn(&StreamsFile) -> Option<i64>| {
            let value = pick(own).or(pick(shipped)).ok_or_else(|| missing(key.to_owned()))?;
            let mib = range(key.to_owned(), value, 0, MAX_MIB as i64, MIB_OR_NONE)?;
            Ok::<_, Error>(mib as u64 * 1024 * 1024)
        };
        let limits = Limits {
            open_jobs: jobs("limits.open_jobs", |file| file.limits.open_jobs)?,
            open_jobs_per_user: jobs("limits.open_jobs_per_user", |file| file.limits.open_jobs_per_user)?,
            open_urgent_jobs_per_user: jobs("limits.open_urgent_jobs_per_user", |file| {
                file.limits.open_urgent_jobs_per_user
            })?,
            open_request_bytes: bytes("limits.open_requests_mib", |file| file.limits.open_requests_mib)?,
            open_request_bytes_per_user: bytes("limits.open_requests_mib_per_user", |file| {
                file.limits.open_requests_mib_per_user
            })?,
            upload_bytes_per_user: bytes("limits.upload_mib_per_user", |file| {
                file.limits.upload_mib_per_user
            })?,
            min_free_bytes: bytes_or_none("limits.min_free_mb", |file| file.limits.min_free_mb)?,
            max_memory_bytes: bytes_or_none("limits.max_memory_mb", |file| file.limits.max_memory_mb)?,
        };
        let rate = |class: &str, pick: fn(&RateLimitsFile) -> Option<RateFile>| {
            let file = pick(&own.rate_limits).or(pick(&shipped.rate_limits));
            let RateFile { per_second, burst } =
                file.ok_or_else(|| missing(format!("rate_limits.{class}")))?;
            let number = |name: &str, value| {
                range(
                    format!("rate_limits.{class}.{name}"),
                    value,
                    0,
                    MAX_REQUESTS.into(),
                    "from 0 to 1000000",
                )
            };
            let (per_second, burst) = (number("per_second", per_second)?, number("burst", burst)?);
            Ok::<_, Error>(Rate::per_second(per_second as u32, burst as u32))
        };
        let rate_limits = RateLimits {
            address: rate("address", |file| file.address)?,
            read: rate("read", |file| file.read)?,
            write: rate("write", |file| file.write)?,
            generate: rate("generate", |file| file.generate)?,
            live: rate("live", |file| file.live)?,
        };
        let hours = |key, pick| whole(key, pick, 8760, "from 1 to 8760").map(|hours| hours as u64 * 3600);
        let hours_or_ever = |key: &str, pick: fn(&StreamsFile) -> Option<i64>| {
            let value = pick(own).or(pick(shipped)).ok_or_else(|| missing(key.to_owned()))?;
            let hours = range(key.to_owned(), value, 0, 876_000, "from 0 to 876000")?;
            Ok::<_, Error>((hours > 0).then(|| Duration::from_secs(hours as u64 * 3600)))
        };
        let retention = Retention {
            idempotency_key: Duration::from_secs(hours("retention.idempotency_key_hours", |file| {
                file.retention.idempotency_key_hours
            })?),
            status_view: Duration::from_secs(hours("retention.status_view_hours", |file| {
                file.retention.status_view_hours
            })?),
            deleted_files: Duration::from_secs(hours("retention.deleted_files_hours", |file| {
                file.retention.deleted_files_hours
            })?),
            partial_stream: Duration::from_secs(hours("retention.partial_stream_hours", |file| {
                file.retention.partial_stream_hours
            })?),
            video: hours_or_ever("retention.video_hours", |file| file.retention.video_hours)?,
            log_line: hours_or_ever("retention.log_line_hours", |file| file.retention.log_line_hours)?,
            log: Duration::from_secs(hours("retention.log_hours", |file| file.retention.log_hours)?),
        };
        let attempts = whole("sidecars.attempts", |file| file.sidecars.attempts, 20, "from 1 to 20")?;
        let first_delay = whole(
            "sidecars.first_delay_seconds",
            |file| file.sidecars.first_delay_seconds,
            3600,
            "from 1 to 3600",
        )?;
        let sidecars = SidecarSettings {
            max_attempts: attempts as u32,
            first_delay: Duration::from_secs(first_delay as u64),
        };
        let seal_seconds =
            whole("audit.seal_seconds", |file| file.audit.seal_seconds, 86_400, "from 1 to 86400")?;
        let segment_events =
            whole("audit.segment_events", |file| file.audit.segment_events, 100_000, "from 1 to 100000")?;
        let audit = Audit {
            seal_every: Duration::from_secs(seal_seconds as u64),
            segment_events: segment_events as u64,
        };
        let seconds =
            |key, pick| whole(key, pick, 3600, "from 1 to 3600").map(|s| Duration::from_secs(s as u64));
        let count = |key, pick| whole(key, pick, 1_000_000, "from 1 to 1000000");
        let live = LiveSettings {
            ping_every: seconds("live.ping_seconds", |file| file.live.ping_seconds)?,
            clients_per_user: count("live.clients_per_user", |file| file.live.clients_per_user)? as usize,
            queued_events: count("live.queued_events", |file| file.live.queued_events)? as usize,
            ticket_life: seconds("live.ticket_seconds", |file| file.live.ticket_seconds)?,
            tickets_per_user: count("live.tickets_per_user", |file| file.live.tickets_per_user)? as u64,
        };
        let mut stages = BTreeMap::new();
        for stage in Stage::ALL {
            let layers = || [own, shipped].into_iter().filter_map(|file| file.stages.get(&stage));
            let key = |name: &str| format!("stages.{stage}.{name}");
            let group =
                layers().find_map(|layer| layer.group.clone()).ok_or_else(|| missing(key("group")))?;
            if group.is_empty() || group.contains(char::is_whitespace) {
                let expected = "a name without spaces";
                return Err(Error::Range {
                    origin: origin.to_owned(),
                    key: key("group"),
                    value: format!("`{group}`"),
                    expected,
                });
            }
            let number = |name: &str, pick: fn(&StageFile) -> Option<i64>, low, high, expected| {
                let value = layers().find_map(pick).ok_or_else(|| missing(key(name)))?;
                range(key(name), value, low, high, expected)
            };
            let concurrency = number("concurrency", |file| file.concurrency, 1, 1024, "from 1 to 1024")?;
            let timeout =
                number("timeout_seconds", |file| file.timeout_seconds, 1, 86_400, "from 1 to 86400")?;
            let lease = number("lease_seconds", |file| file.lease_seconds, 2, 3600, "from 2 to 3600")?;
            let attempts = number("attempts", |file| file.attempts, 1, 100, "from 1 to 100")?;
            let settings = StageSettings {
                group,
                concurrency: concurrency as usize,
                timeout: Duration::from_secs(timeout as u64),
                lease: Duration::from_secs(lease as u64),
                attempts: attempts as u32,
            };
            stages.insert(stage, settings);
        }
        Ok(Self { partitions, limits, rate_limits, retention, sidecars, audit, live, stages })
    }
}

/// Returns the shipped file, with the values of the profile in their places.
fn shipped(profile: Option<Profile>) -> Result<StreamsFile, Error> {
    let origin = "the shipped streams.toml";
    let of_profile: toml::Table = read_toml(origin, profile.map_or("", Profile::streams))?;
    let mut shipped: toml::Table = read_toml(origin, SHIPPED_STREAMS)?;
    for (section, values) in of_profile {
        match (shipped.get_mut(&section), values) {
            (Some(toml::Value::Table(known)), toml::Value::Table(values)) => known.extend(values),
            (_, values) => drop(shipped.insert(section, values)),
        }
    }
    shipped.try_into().map_err(|error: toml::de::Error| toml_error(origin, &error))
}

fn toml_error(origin: &str, error: &toml::de::Error) -> Error {
    Error::Toml { origin: origin.to_owned(), message: error.to_string().trim().to_owned() }
}

fn read_toml<T: serde::de::DeserializeOwned>(origin: &str, text: &str) -> Result<T, Error> {
    toml::from_str(text).map_err(|error| toml_error(origin, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layered(text: &str) -> Result<Streams, Error> {
        let shipped = read_toml("shipped", SHIPPED_STREAMS)?;
        Streams::layered("streams.toml", &read_toml("streams.toml", text)?, &shipped)
    }

    #[test]
    fn the_shipped_file_is_complete() {
        let streams = layered("").unwrap();
        assert_eq!(streams.partitions, 8);
        assert_eq!(streams.stages.len(), Stage::ALL.len());
    }

    // A killed worker's work begins again within 5 s.
    #[test]
    fn lost_work_is_taken_over_soon() {
        let between_checks = Duration::from_secs(1);
        for (stage, settings) in layered("").unwrap().stages {
            assert!(settings.lease + between_checks <= Duration::from_secs(5), "{stage}");
        }
    }

    #[test]
    fn an_own_file_overrides_what_it_names() {
        let streams = layered("partitions = 3\n[stages.rendering]\nconcurrency = 1").unwrap();
        assert_eq!(streams.partitions, 3);
        assert_eq!(streams.stage(Stage::Rendering).concurrency, 1);
        assert_eq!(streams.stage(Stage::Rendering).group, "rendering");
    }

    #[test]
    fn errors_name_key_value_and_range() {
        let message = |text| layered(text).unwrap_err().to_string();
        assert_eq!(message("partitions = 0"), "streams.toml: partitions is 0, but must be from 1 to 256");
        assert_eq!(
            message("[stages.storage]\ntimeout_seconds = -1"),
            "streams.toml: stages.storage.timeout_seconds is -1, but must be from 1 to 86400"
        );
        assert_eq!(
            message("[limits]\nopen_jobs = 0"),
            "streams.toml: limits.open_jobs is 0, but must be from 1 to 10000000"
        );
        assert_eq!(
            message("[retention]\nstatus_view_hours = 9000"),
            "streams.toml: retention.status_view_hours is 9000, but must be from 1 to 8760"
        );
        assert_eq!(
            message("[rate_limits]\nread = { per_second = -1, burst = 5 }"),
            "streams.toml: rate_limits.read.per_second is -1, but must be from 0 to 1000000"
        );
        assert_eq!(
            message("[retention]\nvideo_hours = -1"),
            "streams.toml: retention.video_hours is -1, but must be from 0 to 876000"
        );
        assert_eq!(
            message("[sidecars]\nattempts = 21"),
            "streams.toml: sidecars.attempts is 21, but must be from 1 to 20"
        );
        assert!(message("[retention]\nlog_days = 3").contains("unknown field `log_days`"));
        assert!(message("[stages.painting]\nconcurrency = 1").contains("painting"));
        assert!(message("partition = 8").contains("unknown field `partition`"));
    }

    // 001-6.7
    #[test]
    fn defaults_are_sensible() {
        let media = MediaConfig::from_environment(&|_| None).unwrap();
        assert_eq!(media.default_quality, Quality::High);
        assert!(media.max_concurrent_renders >= 1);
    }

    #[test]
    fn uploads_are_bounded_and_scanned_as_the_environment_says() {
        let of = |name: &'static str, value: &'static str| {
            UploadsConfig::from_environment(&|asked| (asked == name).then(|| value.to_owned()))
        };
        assert_eq!(of("X", "").unwrap().max_file_bytes, 100 << 20);
        assert_eq!(of("MAX_FILE_SIZE", "1048576").unwrap().max_file_bytes, 1 << 20);
        assert!(of("CLAMAV_ADDRESS", "127.0.0.1:3310").unwrap().clamav.is_some());
        let message = |name, value| of(name, value).unwrap_err().to_string();
        assert!(message("MAX_FILE_SIZE", "0").starts_with("MAX_FILE_SIZE is `0`, but must be"));
        assert!(message("CLAMAV_ADDRESS", "clamd").ends_with("host:port, or the path of a socket"));
    }

    #[test]
    fn a_bad_variable_is_named_with_its_value() {
        let env = |name: &str| (name == "MAX_CONCURRENT_RENDERS").then(|| "many".to_owned());
        assert_eq!(
            MediaConfig::from_environment(&env).unwrap_err().to_string(),
            "MAX_CONCURRENT_RENDERS is `many`, but must be a whole number from 1 to 256"
        );
        let error = Config::from_environment(&|_| None).unwrap_err();
        assert!(error.to_string().starts_with("REDIS_URL is not set"), "{error}");
    }

    fn of<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    // 003-t
    #[test]
    fn a_profile_sets_defaults_and_each_can_be_overridden() {
        for (profile, name, default) in [
            ("development", "ALLOWED_ORIGINS", Some("http://localhost:3000,http://localhost:5173")),
            ("development", "WEBHOOK_ALLOW_PRIVATE", Some("true")),
            ("development", "REEL_MASTER_KEY", Some(profile::PUBLIC_KEY)),
            ("development", "REEL_SIGNING_KEY", Some(profile::PUBLIC_KEY)),
            ("development", "VIDEO_STORAGE_MODE", None),
            ("staging", "VIDEO_STORAGE_MODE", Some("s3")),
            ("production", "REEL_LOG_FORMAT", Some("json")),
            ("production", "REEL_BIND", Some("0.0.0.0:8080")),
            ("production", "REEL_MASTER_KEY", None),
            ("production", "ALLOWED_ORIGINS", None),
        ] {
            let pairs = [("REEL_PROFILE", profile)];
            assert_eq!(resolve(&of(&pairs), name).as_deref(), default, "{profile} {name}");
            let pairs = [("REEL_PROFILE", profile), (name, "own")];
            assert_eq!(resolve(&of(&pairs), name).as_deref(), Some("own"), "{profile} {name}");
        }
        // The old name of the profile does the same.
        let old = [("ENVIRONMENT", "prod")];
        assert_eq!(resolve(&of(&old), "REEL_LOG_FORMAT").as_deref(), Some("json"));
    }

    #[test]
    fn a_profile_lies_under_the_own_streams_file() {
        let with = |profile: &str| Streams::from_environment(&of(&[("REEL_PROFILE", profile)])).unwrap();
        assert_eq!(with("development").rate_limits, RateLimits::NONE);
        assert_eq!(with("production").rate_limits, layered("").unwrap().rate_limits);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("streams.toml");
        std::fs::write(&path, "[rate_limits]\nread = { per_second = 1, burst = 1 }").unwrap();
        let pairs = [("REEL_PROFILE", "development"), ("REEL_STREAMS", path.to_str().unwrap())];
        let limits = Streams::from_environment(&of(&pairs)).unwrap().rate_limits;
        assert_eq!((limits.read, limits.write), (Rate::per_second(1, 1), None));
    }

    #[test]
    fn an_unknown_profile_is_refused_and_so_is_the_public_key_outside_of_development() {
        let message = |pairs: &[(&str, &str)]| {
            let env = of(pairs);
            Config::from_environment(&|name| resolve(&env, name)).unwrap_err().to_string()
        };
        for (name, value) in [("REEL_PROFILE", "qa"), ("ENVIRONMENT", "QA")] {
            let expected = "REEL_PROFILE is `qa`, but must be development, staging or production; if it is not set, \
                            ENVIRONMENT is read";
            assert_eq!(message(&[(name, value)]), expected);
        }
        let keys = [("REEL_MASTER_KEY", profile::PUBLIC_KEY), ("REEL_SIGNING_KEY", profile::PUBLIC_KEY)];
        assert!(
            KeysConfig::from_environment(&of(&[("REEL_PROFILE", "development"), keys[0], keys[1]])).is_ok()
        );
        for profile in ["staging", "production"] {
            let error = KeysConfig::from_environment(&of(&[("REEL_PROFILE", profile), keys[0], keys[1]]));
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with("REEL_MASTER_KEY must be a key of your own"), "{error}");
        }
        assert!(KeysConfig::from_environment(&of(&keys)).is_err());
    }

    // L3
    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://u:s3cret@a:1,b:2", "redis://a:1,b:2"),
            ("redis://u:s3,cr?et@a:1", "redis://a:1"),
            ("redis+cluster://u:s3cret@a:1,u:s3cret@b:2", "redis+cluster://b:2"),
            ("postgres://u:s3cret@h/reel?password=s3cret", "postgres://h/reel"),
            ("postgres://h/reel?password=s3cret@x", "postgres://x"),
            ("u:s3cret@a", "a"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
        let redis = RedisConfig { url: "redis://u:s3cret@a".into(), prefix: "reel".into() };
        let postgres = PostgresConfig { url: "postgres://u:s3cret@a".into() };
        assert!(!format!("{redis:?} {postgres:?}").contains("s3cret"));
    }
}
