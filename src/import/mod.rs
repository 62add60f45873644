//! Takes over the jobs of the Python backend: reads its Redis and its files, and appends a `JobImported` for each job.
//!
//! - [`source`] reads the keys `jobs:*` and `videos:*`, each within bounds.
//! - [`job`] makes an import of their fields, or says why it cannot.
//! - [`files`] finds files in a folder or a bucket; a path cannot lead out of it.
//! - [`media`] reads the facts of a video back from the file: what the source says of it is not believed.
//! - [`report`] counts, and says what became of each job.
//!
//! Invariants:
//! - The files of a job are stored before its event is appended, so an imported job has its files.
//! - A job has the same id and the same command in every run, so that a job is imported once, and an interrupted run is
//!   resumed by another one.
//! - One job that cannot be imported is a line of the report, and holds up no other. A server that is away ends the run.
//! - The source is never written to.
//!
//! Deliberately absent: uploads, caches, sessions and batches of the source, which its jobs do not need.

mod files;
mod job;
mod media;
mod report;
mod source;

use std::path::PathBuf;

use chrono::{DateTime, Utc};

pub use files::SourceFiles;
pub use report::{Outcome, Report, Skip, Summary};
pub use source::Source;

use crate::crash;
use crate::domain::job as domain;
use crate::events::imported::{ImportedEnding, JobImported};
use crate::events::job::{FileRole, JobRequested, StorageTarget, StoredFile};
use crate::events::request::MAX_REQUEST_BYTES;
use crate::events::{Actor, Rendition};
use crate::execute::{self, Executor, Origin};
use crate::ids::{CommandId, JobId, UserId};
use crate::storage::{self, Content, Key, Mode, Prefix, StorageMode, Stores};
use files::Fetched;
use job::{Ending, SourceJob};

/// An error that ends a run: it is not that of one job. Another run resumes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the source cannot be read")]
    Source(#[from] redis::RedisError),
    #[error("the source's keys cannot be listed on a cluster; name one server")]
    Cluster,
    #[error("the state of {what} cannot be read")]
    State { what: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("job {0} cannot be recorded")]
    Record(JobId, #[source] Box<execute::Error>),
    #[error("a file of the source cannot be read")]
    SourceFiles(#[source] storage::Error),
    #[error("a file cannot be stored")]
    Store(#[source] storage::Error),
    #[error("no temporary file can be made in {}", path.display())]
    Temporary { path: PathBuf, source: std::io::Error },
    #[error("the report cannot be written")]
    Report(#[source] std::io::Error),
}

/// Choices of an operator.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Only say what would be imported.
    pub is_dry_run: bool,
    /// Submit jobs that had not ended at the source again, instead of importing them as failed.
    pub resubmits: bool,
}

/// A file to store: its role and rendition, and where it is.
type Part = (FileRole, Option<Rendition>, Fetched);

/// Imports the jobs of one source.
pub struct Importer {
    pub executor: Executor,
    pub stores: Stores,
    pub source: Source,
    /// The place of the source's files; `None` imports no videos.
    pub files: Option<SourceFiles>,
    pub options: Options,
}

/// The reason why a job was not imported: one of its own, or one that ends the run.
enum Failed {
    Skip(Skip),
    End(Error),
}

impl From<Skip> for Failed {
    fn from(skip: Skip) -> Self {
        Self::Skip(skip)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::End(error)
    }
}

impl Importer {
    /// Imports every job of the source. Tells the report of each.
    pub async fn run(&mut self, report: &mut Report) -> Result<(), Error> {
        let mut cursor = 0;
        loop {
            let (next, names) = self.source.scan_jobs(cursor).await?;
            for name in names {
                let outcome = match self.import(&name).await {
                    Ok(outcome) => outcome,
                    Err(Failed::Skip(skip)) => Outcome::Skipped(skip),
                    Err(Failed::End(error)) => return Err(error),
                };
                report.note(&name, outcome).map_err(Error::Report)?;
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    async fn import(&mut self, name: &[u8]) -> Result<Outcome, Failed> {
        let (job_id, source_id) = job::job_id(name)?;
        let fields = self.source.job(name).await?;
        let mut job = job::read(&fields, Utc::now())?;
        if let Some(outcome) = self.is_there(job_id, &job).await? {
            return Ok(outcome);
        }
        let user = self.executor.load(UserId::of_name(&job.user_id)).await;
        let user = user.map_err(|error| Error::State { what: job.user_id.clone(), source: error.into() })?;
        if user.state.erasures > 0 || user.state.erasure_requested_of.is_some() {
            return Err(Skip::UserErased.into());
        }
        let request_bytes = serde_json::to_string(&job.request).map_or(usize::MAX, |text| text.len());
        if request_bytes > MAX_REQUEST_BYTES {
            return Err(Skip::TooLarge { field: "configuration".into(), max: MAX_REQUEST_BYTES }.into());
        }
        let (ending, bytes) = match &job.ending {
            Ending::Unfinished if self.options.resubmits => {
                return self.resubmit(job_id, source_id, job).await;
            }
            Ending::Completed => {
                self.take_over_video(job_id, source_id.as_deref(), &fields, &mut job).await?
            }
            Ending::Failed { error, stage } => {
                (ImportedEnding::Failed { stage: *stage, error: error.clone() }, 0)
            }
            Ending::Unfinished => {
                (ImportedEnding::Failed { stage: job.stage(), error: job::unfinished() }, 0)
            }
            Ending::Cancelled => (ImportedEnding::Cancelled { stage: job.stage }, 0),
        };
        self.record(job_id, source_id, job, ending, bytes).await
    }

    /// Says of a job that exists already whether it is the one of the source.
    async fn is_there(&self, job_id: JobId, job: &SourceJob) -> Result<Option<Outcome>, Failed> {
        let version = self.executor.log().version(job_id.aggregate()).await;
        let version =
            version.map_err(|error| Error::State { what: job_id.to_string(), source: error.into() })?;
        if version == 0 {
            return Ok(None);
        }
        match self.executor.load(job_id).await {
            Ok(loaded) if loaded.state.user_id == job.user_id => Ok(Some(Outcome::AlreadyThere)),
            Ok(_) => Err(Skip::IdTaken.into()),
            Err(error) if error.is_retryable() => Err(Error::Record(job_id, error.into()).into()),
            Err(_) => Err(Skip::IdTaken.into()),
        }
    }

    async fn resubmit(
        &self,
        job_id: JobId,
        source_id: Option<String>,
        job: SourceJob,
    ) -> Result<Outcome, Failed> {
        let (notes, user_id) = (job.notes, job.user_id);
        if !self.options.is_dry_run {
            let requested =
                JobRequested { user_id: user_id.clone(), request: job.request.into(), batch_id: None };
            self.execute(job_id, &user_id, domain::Command::Request(requested)).await?;
        }
        Ok(Outcome::Resubmitted { job_id, source_id, notes })
    }

    async fn record(
        &self,
        job_id: JobId,
        source_id: Option<String>,
        job: SourceJob,
        ending: ImportedEnding,
        bytes: u64,
    ) -> Result<Outcome, Failed> {
        let files = match &ending {
            ImportedEnding::Completed { files, .. } => files.len(),
            ImportedEnding::Failed { .. } | ImportedEnding::Cancelled { .. } => 0,
        };
        let is_unfinished = matches!(job.ending, Ending::Unfinished);
        let user_id = job.user_id.clone();
        let imported = JobImported {
            user_id: job.user_id,
            request: job.request.into(),
            source_id: source_id.clone(),
            requested_at: job.requested_at,
            started_at: job.started_at,
            ended_at: job.ended_at,
            ending,
        };
        if !self.options.is_dry_run {
            crash::point("import.stored");
            self.execute(job_id, &user_id, domain::Command::Import(imported.into())).await?;
            crash::point("import.recorded");
        }
        Ok(Outcome::Imported { job_id, source_id, notes: job.notes, is_unfinished, files, bytes })
    }

    /// Executes a command in the name of the job's user, like a request of theirs: an erasure finds it so.
    async fn execute(&self, job_id: JobId, user_id: &str, command: domain::Command) -> Result<(), Failed> {
        let origin = Origin {
            command_id: CommandId::of_import(job_id),
            ..Origin::standalone(Actor::User(user_id.to_owned()))
        };
        match self.executor.execute(job_id, command, &origin, None).await {
            Ok(_) => Ok(()),
            Err(
                error @ (execute::Error::Rejected(_)
                | execute::Error::Unreadable { .. }
                | execute::Error::Unencryptable { .. }),
            ) => Err(Skip::Refused { reason: crate::telemetry::chain(&error) }.into()),
            Err(execute::Error::Decode { source, .. }) if !source.is_retryable() => Err(Skip::IdTaken.into()),
            Err(error) => Err(Error::Record(job_id, error.into()).into()),
        }
    }

    /// Finds the files of a completed job, reads the video, and stores them. Returns the ending with the stored bytes.
    async fn take_over_video(
        &mut self,
        job_id: JobId,
        source_id: Option<&str>,
        fields: &source::Fields,
        job: &mut SourceJob,
    ) -> Result<(ImportedEnding, u64), Failed> {
        let video = self.source.video_of(job_id, source_id, fields).await?;
        job.add_labels(&video);
        let Some(files) = &self.files else { return Err(Skip::NoFiles.into()) };
        let places = job::video_places(fields, &video)?;
        let fetched = files.fetch_first(&places, files::MAX_VIDEO_BYTES).await?;
        let format = media::format_of(fetched.path())?;
        let facts = media::read(fetched.path()).await?;
        job.request.output_format = format;
        let quality = job.quality.unwrap_or_else(|| media::nearest_quality(facts.height));
        job.request.quality = quality;
        let rendition = Rendition { quality, format };
        let mut parts: Vec<Part> = vec![(FileRole::Video, Some(rendition), fetched)];
        for (role, places) in job::other_places(&video)? {
            match files.fetch_first(&places, files::MAX_OTHER_BYTES).await {
                Ok(fetched) => match media::check_other(role, fetched.path()) {
                    Ok(()) => parts.push((role, None, fetched)),
                    Err(reason) => job.notes.push(format!("{} is left out: {reason}", media::name_of(role))),
                },
                Err(Failed::Skip(skip)) => {
                    job.notes.push(format!("{} is left out: {skip}", media::name_of(role)))
                }
                Err(Failed::End(error)) => return Err(error.into()),
            }
        }
        let (stored, bytes) = self.store(job_id, &job.user_id, parts).await?;
        let video_id = job::video_id(job_id, &video);
        let ending =
            ImportedEnding::Completed { video_id, video: facts, target: self.target(), files: stored };
        Ok((ending, bytes))
    }

    fn target(&self) -> StorageTarget {
        match self.stores.mode {
            StorageMode::Local => StorageTarget::Local,
            StorageMode::S3 => StorageTarget::S3,
            StorageMode::LocalAndS3 => StorageTarget::LocalAndS3,
        }
    }

    async fn store(
        &self,
        job_id: JobId,
        user_id: &str,
        parts: Vec<Part>,
    ) -> Result<(Vec<StoredFile>, u64), Error> {
        let folder = Prefix::of_job(user_id, job_id);
        let (mut stored, mut total) = (vec![], 0);
        for (role, rendition, fetched) in parts {
            let key = folder.key(&media::file_name(role, rendition)).map_err(Error::Store)?;
            let measured = self.put(&key, &fetched).await?;
            total += measured.bytes;
            let file = |role| StoredFile {
                role,
                rendition,
                key: key.as_str().to_owned(),
                bytes: measured.bytes,
                blake3: measured.blake3.clone(),
                stream: vec![],
            };
            match role {
                // The source has one picture for all sizes.
                FileRole::ThumbnailMedium => stored.extend(
                    [FileRole::ThumbnailSmall, FileRole::ThumbnailMedium, FileRole::ThumbnailLarge].map(file),
                ),
                role => stored.push(file(role)),
            }
        }
        Ok((stored, total))
    }

    async fn put(&self, key: &Key, fetched: &Fetched) -> Result<storage::Stored, Error> {
        if self.options.is_dry_run {
            let bytes = std::fs::metadata(fetched.path()).map_or(0, |found| found.len());
            return Ok(storage::Stored { bytes, blake3: String::new() });
        }
        let content = Content::File(fetched.path().to_owned());
        self.stores.files.put(key, content, Mode::Replace).await.map_err(Error::Store)
    }
}

/// Times that a job can have.
pub(crate) fn is_plausible(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    at.timestamp() >= 946_684_800 && at <= now + chrono::TimeDelta::days(1)
}
