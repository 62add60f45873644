//! The command line: what can be asked of `reel`, and the commands that are clients of the API.

mod archive;
mod audit;
mod backup;
mod client;
mod demo;
mod erase;
mod import;
mod inspect;
mod mcp;
mod operations;
mod operator;
mod plan;
mod preview;
mod probe;
mod projections;
mod rag;
mod render;
mod storage;
mod token;
mod voices;
mod watch;

use std::path::PathBuf;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};

use crate::app::{self, App, Role};
use crate::config::{self, Config, Profile, process_environment};
use crate::ids::JobId;
use crate::telemetry;
use client::Client;

/// Turns a script into a narrated video, and keeps every step as an event.
#[derive(Parser)]
#[command(name = "reel", version, about, long_about = None, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a video from a script, with servers of its own, and show how it goes
    Demo {
        /// Markdown or plain text [default: a script about event sourcing that comes with reel]
        file: Option<PathBuf>,
        /// Where the servers keep their data and the video is stored
        #[arg(long, value_name = "DIR", default_value = ".reel/demo")]
        data: PathBuf,
    },
    /// Run everything for development: servers, API, workers, projector, and a token to try them
    Dev {
        /// Keep the data here, between runs too [default: a folder that is removed at the end]
        #[arg(long, value_name = "DIR", env = "REEL_DATA")]
        data: Option<PathBuf>,
        /// The API's port on loopback; 0 takes a free one
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
    /// Print a session token of the issuer that `reel dev` runs, for any user and role
    Token(token::Token),
    /// Serve the HTTP API; settings come from the environment and streams.toml
    Serve,
    /// Run the pipeline's stages
    Work,
    /// Keep the read models up to date
    Project,
    /// Say whether a role is ready, by the exit status: for health checks; reads the settings of that role
    Probe { role: probe::Probed },
    /// Ask for a video of a script
    Generate {
        /// Markdown or plain text; `-` reads standard input
        file: PathBuf,
        /// What the video is about [default: the file's first heading, or its name]
        #[arg(long)]
        topic: Option<String>,
        /// low, medium, high or ultra
        #[arg(long)]
        quality: Option<String>,
        /// low, normal, high or urgent
        #[arg(long)]
        priority: Option<String>,
        /// Show the progress until the video is ready
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        api: ApiArguments,
    },
    /// Show the status of a job, as JSON
    Status {
        job_id: JobId,
        #[command(flatten)]
        api: ApiArguments,
    },
    /// Show the events of a job, one JSON object a line
    Events {
        job_id: JobId,
        #[command(flatten)]
        api: ApiArguments,
    },
    /// Cancel a job
    Cancel {
        job_id: JobId,
        #[command(flatten)]
        api: ApiArguments,
    },
    /// Jobs that failed and wait for an operator; reads REDIS_URL, not the API
    DeadLetters {
        #[command(subcommand)]
        command: operator::DeadLetters,
    },
    /// The queues of work beside the log; reads REDIS_URL, not the API
    Queues {
        #[command(subcommand)]
        command: operator::Queues,
    },
    /// Decide about the running system: pause a stage, drain, change a limit, grow the log; reads REDIS_URL, not the API
    Operations {
        #[command(subcommand)]
        command: operations::Operations,
    },
    /// Read models: how far they are, rebuild and verify them; reads REDIS_URL, DATABASE_URL and REEL_MASTER_KEY
    Projections {
        #[command(subcommand)]
        command: projections::Projections,
    },
    /// Prove what happened to a job, or to all; reads REDIS_URL, DATABASE_URL and the keys
    Audit {
        #[command(subcommand)]
        command: audit::Audit,
    },
    /// Segments of the log that need not stay in Redis; reads REDIS_URL, DATABASE_URL, ARCHIVE_ROOT and the keys
    Archive {
        #[command(subcommand)]
        command: archive::Archive,
    },
    /// Copy everything that cannot be made again to a folder or a bucket, while everything runs; reads REDIS_URL, DATABASE_URL,
    /// ARCHIVE_ROOT, MEDIA_ROOT, S3's settings and the keys
    Backup(backup::Backup),
    /// Verify a backup and restore it to empty servers, or what one of them has lost; reads the same. Stop all roles first
    Restore(backup::Restore),
    /// Stored files on the disk and in S3: sizes, checks, cleaning; reads REDIS_URL, DATABASE_URL, MEDIA_ROOT, S3's settings and the keys
    Storage {
        #[command(subcommand)]
        command: storage::StorageCommand,
    },
    /// Write the analytics views as files; reads DATABASE_URL
    Export {
        /// The folder of the Parquet files, one for each view
        #[arg(long, value_name = "DIR")]
        parquet: PathBuf,
        /// Rows from this time on, such as 2026-11-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        from: Option<DateTime<Utc>>,
        /// Rows before this time
        #[arg(long, value_name = "TIME")]
        to: Option<DateTime<Utc>>,
    },
    /// Make a user's content unreadable, for good; reads REDIS_URL, DATABASE_URL, MEDIA_ROOT and the keys
    Erase {
        #[command(subcommand)]
        command: erase::Erase,
    },
    /// Take over the jobs of the Python backend, with their videos; reads REDIS_URL, DATABASE_URL, MEDIA_ROOT, S3's settings and the
    /// keys
    Import(import::Import),
    /// Show how a script is divided over pages, and with --why, the reasons
    Plan(plan::PlanScript),
    /// Make a video from a scene description or a script, without servers
    Render(render::Render),
    /// Measure the pages of a description or a script, or the streams of a video, and list the faults; exit status 1 when there
    /// are some
    Inspect(inspect::Inspect),
    /// Show the video of a script or a scene description on a page of this machine, and follow each save
    Preview(preview::Preview),
    /// Serve agents over the Model Context Protocol: tools that make, follow and change videos through the API
    Mcp(mcp::Mcp),
    /// List the voices, and write a sample of each with --samples
    Voices(voices::Voices),
    /// The index that planning looks things up in: build it, search it, measure it; reads RAG_INDEX, RAG_ROOT and MANIM_ROOT
    Rag {
        #[command(subcommand)]
        command: rag::Rag,
    },
    /// Print the JSON Schema of scene descriptions
    Schema,
    /// Print the OpenAPI document
    Openapi,
    /// Print all error codes, with what to do about each, as Markdown
    Errors,
}

const NO_TOKEN: &str = "no token: give --token or set REEL_TOKEN (`reel dev` writes one to a file)";

#[derive(Args)]
struct ApiArguments {
    /// Where the API is
    #[arg(long = "api", value_name = "URL", env = "REEL_API_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A session token
    #[arg(long, env = "REEL_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl ApiArguments {
    fn client(&self) -> anyhow::Result<Client> {
        let token = self.token.as_deref().context(NO_TOKEN)?;
        Client::new(&self.url, token)
    }
}

impl Arguments {
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Demo { file, data } => demo::demo(file.as_deref(), &data).await,
            Command::Dev { data, port } => demo::dev(data.as_deref(), port).await,
            Command::Token(arguments) => token::token(&arguments),
            Command::Serve => serve(Role::Api).await,
            Command::Work => serve(Role::Worker).await,
            Command::Project => serve(Role::Projector).await,
            Command::Probe { role } => probe::probe(role).await,
            Command::Generate { file, topic, quality, priority, watch, api } => {
                let client = api.client()?;
                let script = client::read_script(&file)?;
                let topic = topic.unwrap_or_else(|| client::topic_of(&script, &file));
                let body = client::request(&topic, &script, quality.as_deref(), priority.as_deref());
                let job_id = client.generate(&body).await?;
                say(job_id)?;
                if watch { watch::until_ended(&client, job_id).await.map(|_status| ()) } else { Ok(()) }
            }
            Command::Status { job_id, api } => {
                let status = api.client()?.status(job_id).await?;
                say(serde_json::to_string_pretty(&status)?)
            }
            Command::Events { job_id, api } => {
                api.client()?.events(job_id).await?.into_iter().try_for_each(say)
            }
            Command::Cancel { job_id, api } => {
                let answer = api.client()?.cancel(job_id).await?;
                say(serde_json::to_string_pretty(&answer)?)
            }
            Command::DeadLetters { command } => operator::dead_letters(command).await,
            Command::Queues { command } => operator::queues(command).await,
            Command::Operations { command } => operations::operations(command).await,
            Command::Projections { command } => projections::projections(command).await,
            Command::Audit { command } => audit::audit(command).await,
            Command::Archive { command } => archive::archive(command).await,
            Command::Backup(arguments) => backup::backup(arguments).await,
            Command::Restore(arguments) => backup::restore(arguments).await,
            Command::Storage { command } => storage::storage(command).await,
            Command::Erase { command } => erase::erase(command).await,
            Command::Import(arguments) => import::import(arguments).await,
            Command::Export { parquet, from, to } => export(&parquet, from, to).await,
            Command::Plan(arguments) => plan::plan(&arguments),
            Command::Render(arguments) => render::render(arguments).await,
            Command::Inspect(arguments) => inspect::inspect(&arguments),
            Command::Preview(arguments) => preview::preview(arguments).await,
            Command::Mcp(arguments) => mcp::mcp(arguments).await,
            Command::Voices(arguments) => voices::voices(arguments).await,
            Command::Rag { command } => rag::rag(command),
            Command::Schema => say(serde_json::to_string_pretty(&reel_scene::description::schema())?),
            Command::Openapi => say(serde_json::to_string_pretty(&crate::api::openapi())?),
            Command::Errors => say(crate::error_codes::markdown().trim_end()),
        }
    }
}

#[cfg(feature = "parquet")]
async fn export(
    folder: &std::path::Path,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) -> anyhow::Result<()> {
    let pool = operator::connect_postgres().await?;
    for (path, rows) in crate::projections::export::export(&pool, folder, from, to).await? {
        say(format!("{}: {rows} rows", path.display()))?;
    }
    Ok(())
}

/// Refuses: a build for the demo leaves the libraries of Parquet out.
#[cfg(not(feature = "parquet"))]
async fn export(
    _folder: &std::path::Path,
    _from: Option<DateTime<Utc>>,
    _to: Option<DateTime<Utc>>,
) -> anyhow::Result<()> {
    anyhow::bail!("this reel was built without Parquet; `cargo build --release` builds one that exports")
}

/// Writes a line to standard output. A reader that has seen enough (`| head`) is no failure: there is
/// nobody left to tell, so the command ends in peace.
fn say(line: impl std::fmt::Display) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write};
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// `REEL_REHEARSAL=scenes,longest_ms,fails_one_in` replaces the stages by those that only pretend.
#[cfg(feature = "chaos")]
fn rehearsal() -> Option<crate::consumers::rehearsal::Rehearsal> {
    let text = process_environment("REEL_REHEARSAL")?;
    let mut numbers = text.split(',').map_while(|number| number.parse().ok());
    Some(crate::consumers::rehearsal::Rehearsal {
        scenes: numbers.next()?,
        longest: std::time::Duration::from_millis(numbers.next()?.into()),
        ms_per_second: 0,
        is_cpu_bound: false,
        fails_one_in: numbers.next()?.into(),
    })
}

/// Begins to write log lines. `REEL_LOG` sets the level or the filter, `REEL_LOG_FORMAT=json` writes one JSON object a line.
/// Spans go to the collector of `OTEL_EXPORTER_OTLP_ENDPOINT`, if one is set.
fn start_logs(default_filter: &str) -> anyhow::Result<()> {
    let filter = process_environment("REEL_LOG").unwrap_or_else(|| default_filter.to_owned());
    let is_json = process_environment("REEL_LOG_FORMAT").is_some_and(|format| format == "json");
    telemetry::init(&filter, is_json, telemetry::traces::init(&process_environment)?);
    Ok(())
}

/// One role, as a process of its own.
async fn serve(role: Role) -> anyhow::Result<()> {
    let profile = Profile::from_environment(&process_environment)?;
    start_logs(profile.map_or("info", Profile::log_filter))?;
    config::warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    let config = Config::from_environment(&process_environment)?;
    let (stop, hangups) = (app::stop_on_signals()?, app::hangups()?);
    let app = App::connect(config, stop.clone()).await?;
    #[cfg(feature = "chaos")]
    let app = match rehearsal() {
        Some(rehearsal) => app.with_handlers(crate::consumers::rehearsal::handlers(rehearsal)),
        None => app,
    };
    tracing::info!(?role, "started");
    let reloader = app.reloader();
    let reloading = tokio::spawn(reloader.on_hangup(hangups, stop.clone()));
    app.run(&[role], stop, |address| tracing::info!(%address, "listening")).await?;
    reloading.await.context("the reload of settings panicked")?;
    tracing::info!(?role, "stopped");
    telemetry::traces::finish().await;
    Ok(())
}
