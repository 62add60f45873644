//! `reel import`: takes over the jobs of the Python backend.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::operator::{self, Operator};
use super::say;
use crate::config::{self, MediaConfig, process_environment, without_credentials};
use crate::import::{Importer, Options, Report, Source, SourceFiles};
use crate::postgres;
use crate::storage::S3Settings;
use crate::telemetry::chain;

/// The scheme of a bucket in `--files`.
const S3_SCHEME: &str = "s3://";

#[derive(Args)]
pub struct Import {
    /// The Redis of the Python backend, such as redis://127.0.0.1:6379/0
    #[arg(long, value_name = "URL", env = "REEL_IMPORT_FROM", hide_env_values = true)]
    from: String,
    /// Where its files are: a folder, or s3://BUCKET/PREFIX. Without it, completed jobs are skipped
    #[arg(long, value_name = "DIR|URL")]
    files: Option<String>,
    /// The folder with which the absolute paths in its jobs begin, if its files were in another folder there
    #[arg(long, value_name = "DIR")]
    source_root: Option<PathBuf>,
    /// Only say what would be imported
    #[arg(long)]
    dry_run: bool,
    /// Write what became of each job to a file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Submit the jobs that had not ended again, under their ids, instead of importing them as failed
    #[arg(long)]
    resubmit: bool,
}

pub async fn import(arguments: Import) -> anyhow::Result<()> {
    let Import { from, files, source_root, dry_run, report, resubmit } = arguments;
    let options = Options { is_dry_run: dry_run, resubmits: resubmit };
    // Before anything is changed, both ends must answer.
    let source = Source::connect(&from).await;
    let source = source.with_context(|| {
        format!("the source at {} does not answer as a Redis", without_credentials(&from))
    })?;
    let files = match files {
        Some(files) => Some(open_files(&files, source_root).await?),
        None => None,
    };
    let executor = match dry_run {
        true => Operator::connect().await?.executor,
        false => {
            // The first import may come before the first start of a role.
            postgres::migrate(&operator::connect_postgres().await?).await?;
            Operator::with_postgres().await?.0.executor
        }
    };
    config::warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    let stores = operator::stores().await?;
    let say_line = Box::new(|line: &str| say(line).map_err(std::io::Error::other));
    let mut report = Report::begin(dry_run, report.as_deref(), say_line)
        .context("the file of --report cannot be written")?;
    let mut importer = Importer { executor, stores, source, files, options };
    let ended = importer.run(&mut report).await;
    report.end(ended.is_ok()).context("the report cannot be written")?;
    if let Err(error) = ended {
        bail!("the import was interrupted, and the same command resumes it: {}", chain(&error));
    }
    Ok(())
}

async fn open_files(files: &str, source_root: Option<PathBuf>) -> anyhow::Result<SourceFiles> {
    let Some(bucket) = files.strip_prefix(S3_SCHEME) else {
        return SourceFiles::folder(files.as_ref(), source_root)
            .with_context(|| format!("--files {files} is no folder that can be read"));
    };
    if source_root.is_some() {
        bail!("--source-root goes with a folder in --files, not with a bucket");
    }
    let (bucket, prefix) = bucket.split_once('/').unwrap_or((bucket, ""));
    let prefix = Some(prefix.trim_matches('/').to_owned()).filter(|prefix| !prefix.is_empty());
    let settings = S3Settings::of_bucket(&process_environment, bucket)?;
    let temporary = MediaConfig::from_environment(&process_environment)?.root.join("incoming");
    Ok(SourceFiles::bucket(&settings, prefix, temporary).await)
}
