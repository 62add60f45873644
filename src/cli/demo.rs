//! `reel demo` and `reel dev`: everything in one process, on servers of its own.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::client::{self, Client};
use super::say;
use super::watch;
use crate::app::{self, App, Role};
use crate::config::{
    ApiConfig, ArchiveConfig, AuthConfig, ClerkConfig, Config, KeysConfig, MediaConfig, ModelsConfig,
    PostgresConfig, RagConfig, RedisConfig, Streams, UploadsConfig, WebhookConfig, process_environment,
};
use crate::dev::{Issuer, KEPT_ISSUER, PrivatePostgres, PrivateRedis, TokenSigner};
use crate::ids::JobId;
use crate::signing::SigningKey;
use crate::storage::{Prefix, StorageSettings};
use crate::telemetry::traces;
use crate::vault::MasterKey;
use crate::webhooks::{Secret, TargetPolicy};
use reel_scene::format::{Quality, Rendition};

const SHIPPED_SCRIPT: &str = include_str!("../../examples/event-sourcing.md");
const DEV_USER: &str = "user_dev";
/// Files of a data folder.
const MASTER_KEY: &str = "master-key";
const SIGNING_KEY: &str = "signing-key";
const WEBHOOK_SECRET: &str = "webhook-secret";
/// Signs session tokens, in this run and the next; `reel token` reads it.
pub const ISSUER_KEY: &str = "issuer-key";
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The servers of a data folder. Fields are dropped in this order.
struct Stack {
    config: Config,
    issuer: Issuer,
    _redis: PrivateRedis,
    _postgres: PrivatePostgres,
    /// Locked while the servers run: two of them in one folder would destroy it.
    _lock: std::fs::File,
}

impl Stack {
    async fn start(data: &Path, bind: SocketAddr, stop: &CancellationToken) -> anyhow::Result<Self> {
        std::fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
        let data = data.canonicalize()?;
        let lock = lock(&data)?;
        let redis = PrivateRedis::start(&data.join("redis"))?;
        let postgres = PrivatePostgres::start(&data.join("postgres"))?;
        let issuer_key = kept_key(&data.join(ISSUER_KEY), || Ok(TokenSigner::generate_key()?))?;
        let issuer = Issuer::start_with(&issuer_key, Some(KEPT_ISSUER), stop.clone());
        let issuer =
            issuer.await.with_context(|| format!("cannot use {}", data.join(ISSUER_KEY).display()))?;
        let make_key = || Ok(MasterKey::generate()?);
        let make_secret = || Secret::generate().context("the system gives no random bytes");
        let env = |name: &str| process_environment(name).filter(|_| name != "MEDIA_ROOT");
        let media = MediaConfig { root: data.join("media"), ..MediaConfig::from_environment(&env)? };
        let config = Config {
            redis: RedisConfig { url: redis.url(), prefix: "reel".to_owned() },
            postgres: PostgresConfig { url: postgres.url("postgres") },
            api: ApiConfig::new(bind),
            auth: AuthConfig {
                jwks_url: format!("{}/.well-known/jwks.json", issuer.url()),
                issuer: issuer.name().to_owned(),
                authorized_parties: vec![],
            },
            clerk: ClerkConfig::default(),
            media,
            storage: StorageSettings::from_environment(&env)?,
            uploads: UploadsConfig::from_environment(&env)?,
            keys: KeysConfig {
                master: MasterKey::parse(&kept_key(&data.join(MASTER_KEY), make_key)?)?,
                signing: SigningKey::parse(&kept_key(&data.join(SIGNING_KEY), make_key)?)?,
                trusted: vec![],
            },
            archive: ArchiveConfig::new(data.join("archive")),
            webhooks: WebhookConfig {
                // Whoever develops a receiver runs it here.
                policy: TargetPolicy { allows_private: true },
                ..WebhookConfig::new(Secret::parse(&kept_key(&data.join(WEBHOOK_SECRET), make_secret)?))
            },
            models: ModelsConfig::from_environment(&env)?,
            rag: RagConfig::from_environment(&env)?,
            streams: Streams::from_environment(&env)?,
        };
        Ok(Self { config, issuer, _redis: redis, _postgres: postgres, _lock: lock })
    }

    /// Writes a file for the shell with the settings of all commands: the API's address, a token, servers, keys.
    fn write_environment(&self, folder: &Path, url: &str, token: &str) -> anyhow::Result<PathBuf> {
        let folder = folder.canonicalize()?;
        let key = |name: &str| std::fs::read_to_string(folder.join(name));
        let shown = |path: &Path| path.display().to_string();
        let settings = [
            ("REEL_API_URL", url.to_owned()),
            ("REEL_TOKEN", token.to_owned()),
            ("REEL_DATA", shown(&folder)),
            ("REDIS_URL", self.config.redis.url.clone()),
            ("DATABASE_URL", self.config.postgres.url.clone()),
            ("REEL_MASTER_KEY", key(MASTER_KEY)?),
            ("REEL_SIGNING_KEY", key(SIGNING_KEY)?),
            ("WEBHOOK_SECRET", key(WEBHOOK_SECRET)?),
            ("ARCHIVE_ROOT", shown(&self.config.archive.root)),
            ("MEDIA_ROOT", shown(&self.config.media.root)),
        ];
        let lines: String =
            settings.iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
        let path = folder.join("env");
        private(&path, true).and_then(|mut file| file.write_all(lines.as_bytes()))?;
        Ok(path)
    }

    fn token(&self) -> anyhow::Result<String> {
        Ok(self.issuer.sign(&self.issuer.claims(DEV_USER, "user", TOKEN_LIFETIME))?)
    }
}

/// A key of a data folder, made when it is new.
fn kept_key(path: &Path, make: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => return Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    let key = make()?;
    private(path, false)
        .and_then(|mut file| file.write_all(key.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(key)
}

/// A new file for its owner's eyes.
fn private(path: &Path, may_replace: bool) -> std::io::Result<std::fs::File> {
    if may_replace && path.exists() {
        std::fs::remove_file(path)?;
    }
    std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)
}

fn lock(data: &Path) -> anyhow::Result<std::fs::File> {
    let path = data.join("lock");
    let file = std::fs::File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => {
            anyhow::bail!("another reel is running on {}; stop it, or give another --data", data.display())
        }
    }
}

/// Runs all roles on the stack while `body` does its work, then stops everything.
async fn with_roles<T>(
    stack: &Stack,
    stop: CancellationToken,
    body: impl AsyncFnOnce(String) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let roles = [Role::Api, Role::Worker, Role::Projector];
    let app = App::connect(stack.config.clone(), stop.clone()).await?;
    let (tell, bound) = oneshot::channel();
    let running = {
        let stop = stop.clone();
        tokio::spawn(async move {
            let told = app
                .run(&roles, stop.clone(), |address| {
                    let _nobody_waits = tell.send(address);
                })
                .await;
            stop.cancel();
            told
        })
    };
    let outcome = match bound.await {
        Ok(address) => tokio::select! {
            outcome = body(format!("http://{address}")) => outcome,
            () = stop.cancelled() => Err(anyhow::anyhow!("stopped")),
        },
        // The roles ended before the API listened; why, they say themselves.
        Err(_) => Err(anyhow::anyhow!("the API did not start")),
    };
    stop.cancel();
    running.await??;
    traces::finish().await;
    outcome
}

/// Makes one video and says where it is.
pub async fn demo(file: Option<&Path>, data: &Path) -> anyhow::Result<()> {
    super::start_logs("error")?;
    let (script, topic) = match file {
        Some(path) => {
            let script = client::read_script(path)?;
            let topic = client::topic_of(&script, path);
            (script, topic)
        }
        None => (SHIPPED_SCRIPT.to_owned(), client::topic_of(SHIPPED_SCRIPT, Path::new("event-sourcing.md"))),
    };
    let stop = app::stop_on_signals()?;
    eprintln!("Starting a private Redis and PostgreSQL in {} …", data.display());
    let stack = Stack::start(data, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &stop).await?;
    let token = stack.token()?;
    let media = stack.config.media.root.clone();
    let (job_id, status) = with_roles(&stack, stop, async |url| {
        eprintln!("The API listens on {url}. Asking it for a video about \"{topic}\" …");
        let client = Client::new(&url, &token)?;
        let mut request = client::request(&topic, &script, None, None);
        // One file is enough to see what it is like.
        request["quality_levels"] = json!([Quality::default().level()]);
        let job_id = client.generate(&request).await?;
        Ok((job_id, watch::until_ended(&client, job_id).await?))
    })
    .await?;
    let quality = status["quality"].as_str().and_then(Quality::named).unwrap_or_default();
    let file = Rendition::main(quality).file_name();
    let stored = media.join(Prefix::of_job(DEV_USER, job_id).as_str()).join(file);
    say(describe_video(&stored, job_id, &status, data))
}

fn describe_video(path: &Path, job_id: JobId, status: &Value, data: &Path) -> String {
    let video = &status["video"];
    let number = |name: &str| video[name].as_f64().unwrap_or(0.0);
    let seconds = status["metrics"]["processing_time_seconds"].as_f64().unwrap_or(0.0);
    let (path, data) = (path.display(), data.display());
    let (duration, megabytes) = (number("duration"), number("file_size") / 1e6);
    let (width, height) = (number("width"), number("height"));
    let reel = std::env::current_exe().unwrap_or_else(|_| "reel".into());
    let reel = reel.display();
    format!(
        "
  {path}
  {duration:.1} s, {width}x{height}, {megabytes:.1} MB, made in {seconds:.1} s

What to try next:
  # watch it
  ffplay {path}
  # a video of your own Markdown or text
  ./scripts/demo my-script.md
  # the same servers, kept running; says which file has their settings
  {reel} dev --data {data}
  # then: every step of this video, as events
  {reel} events {job_id}"
    )
}

/// Runs everything until Ctrl-C.
pub async fn dev(data: Option<&Path>, port: u16) -> anyhow::Result<()> {
    super::start_logs("info")?;
    let stop = app::stop_on_signals()?;
    let temporary = match data {
        Some(_) => None,
        None => Some(temporary_folder()?),
    };
    let folder =
        data.or(temporary.as_ref().map(tempfile::TempDir::path)).context("there is no data folder")?;
    let stack = Stack::start(folder, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), &stop).await?;
    let token = stack.token()?;
    with_roles(&stack, stop.clone(), async |url| {
        let settings = stack.write_environment(folder, &url, &token)?;
        say(format!(
            "Everything runs; Ctrl-C stops it. The data is in {}.

Then try, in another terminal:
  . {}
  reel generate examples/event-sourcing.md --watch
  reel projections list
  reel audit verify
  curl $REEL_API_URL/api/v1/system/health
  curl -H \"Authorization: Bearer $REEL_TOKEN\" $REEL_API_URL/api/v1/videos/jobs/JOB_ID/status
  reel token --user admin_1 --role admin",
            folder.display(),
            settings.display()
        ))?;
        stop.cancelled().await;
        Ok(())
    })
    .await
    // Ctrl-C is how this command ends.
    .or_else(|error| if stop.is_cancelled() && error.to_string() == "stopped" { Ok(()) } else { Err(error) })
}

/// Open to the account that PostgreSQL runs as.
fn temporary_folder() -> anyhow::Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let folder =
        tempfile::Builder::new().prefix("reel-dev-").tempdir().context("cannot create a temporary folder")?;
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711))?;
    Ok(folder)
}
