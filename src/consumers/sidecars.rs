//! Makes the thumbnails, captions and stream that a completed video lacks, from the files that are stored.
//!
//! The storage stage completes a job without a sidecar that fails, and says in `SidecarFailed` when the next attempt is due.
//! Every attempt is an event. After `sidecars.attempts`, no further one is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::callbacks::delay_ms;
use super::combining::take_thumbnails;
use super::error::{StageError, missing};
use super::outbox::{Carried, Due, Effect, NotCarriedOut};
use super::storage::file_name;
use super::task::blocking;
use super::upload::cannot_store;
use crate::config::SidecarSettings;
use crate::domain::job::{
    Command, Job, Playlist, Rejection, SidecarAttempt, SidecarOutcome, Stream, videos_with_streams,
};
use crate::domain::webhook::after;
use crate::error_codes::ErrorCode;
use crate::events::job::{
    FileRole, SceneStream, Sidecar, StorageTarget, StoredFile, StreamSegment, Thumbnail,
};
use crate::events::{Actor, JobEvent, OutputFormat, Recorded, Rendition};
use crate::execute::{self, Executor, LoadedJob, Origin};
use crate::ids::{AttemptToken, CommandId, JobId};
use crate::storage::{Content, Key, Mode, Prefix, Storage, StorageMode, Stores, Workspaces};
use crate::telemetry::chain;
use reel_studio::join::captions::{self, sub_rip, web_vtt};
use reel_studio::join::stream::{self, Position, Segment};

/// A text file of a video, by its role and rendition.
pub(super) struct TextFile {
    pub role: FileRole,
    pub rendition: Option<Rendition>,
    pub name: String,
    pub text: String,
}

/// The code of the warning that a sidecar is missing.
pub(super) fn warning_code(sidecar: Sidecar) -> ErrorCode {
    match sidecar {
        Sidecar::Thumbnails => ErrorCode::ThumbnailFailed,
        Sidecar::Captions => ErrorCode::CaptionsFailed,
        Sidecar::Stream => ErrorCode::StreamFailed,
    }
}

/// Returns the captions of a video, in both formats.
pub(super) fn captions(job: &Job) -> impl Iterator<Item = TextFile> {
    let captions = captions::captions(job.narrated_scenes());
    let texts = [(FileRole::CaptionsVtt, web_vtt(&captions)), (FileRole::CaptionsSrt, sub_rip(&captions))];
    texts.into_iter().map(|(role, text)| TextFile {
        role,
        rendition: None,
        name: file_name(role, None),
        text,
    })
}

/// Returns the playlists of a stream; the master playlist is the last.
pub(super) fn playlists(stream: &Stream<'_>) -> impl Iterator<Item = TextFile> {
    let to_store = |Playlist { name, rendition, text }| {
        let role = if rendition.is_some() { FileRole::HlsPlaylist } else { FileRole::HlsMaster };
        TextFile { role, rendition, name, text }
    };
    stream.playlists().into_iter().map(to_store)
}

/// Makes sidecars, one at a time: clients wait for videos first.
pub struct Sidecars {
    executor: Executor,
    stores: Stores,
    workspaces: Workspaces,
    settings: SidecarSettings,
    slot: Semaphore,
}

/// What is needed to make the sidecars of one job.
struct Making<'a> {
    job: &'a Arc<Job>,
    /// The files of the job in the storage.
    prefix: Prefix,
    storage: Storage,
    /// Removed with all that is in it.
    scratch: &'a Path,
}

/// The files of a sidecar.
#[derive(Default)]
struct Made {
    files: Vec<StoredFile>,
    thumbnails: Vec<Thumbnail>,
}

impl Sidecars {
    pub fn new(
        executor: Executor,
        stores: Stores,
        workspaces: Workspaces,
        settings: SidecarSettings,
    ) -> Self {
        Self { executor, stores, workspaces, settings, slot: Semaphore::new(1) }
    }

    /// Attempts all sidecars that the video lacks.
    async fn attempt(&self, id: JobId, job: &Arc<Job>) -> Result<Vec<SidecarAttempt>, NotCarriedOut> {
        let workspace = self.workspaces.of(id);
        let scratch = workspace.scratch()?;
        let (storage, target) = self.target(job);
        let prefix = Prefix::of_job(&job.user_id, id);
        let making = Making { job, prefix, storage, scratch: scratch.path() };
        let mut attempts = vec![];
        for sidecar in job.sidecars_to_make() {
            let outcome = match making.make(sidecar).await {
                Ok(Made { files, thumbnails }) => SidecarOutcome::Stored { target, files, thumbnails },
                Err(error) => {
                    tracing::warn!(%id, sidecar = sidecar.name(), error = error.for_log(), "an attempt failed");
                    self.failed(job, sidecar, &error)
                }
            };
            attempts.push(SidecarAttempt { sidecar, outcome });
        }
        drop(scratch);
        workspace.remove_if_empty();
        Ok(attempts)
    }

    fn failed(&self, job: &Job, sidecar: Sidecar, error: &StageError) -> SidecarOutcome {
        let attempts = job.missing_sidecars.get(&sidecar).map_or(0, |missing| missing.attempts);
        let SidecarSettings { max_attempts, first_delay } = self.settings;
        let delay_ms = delay_ms(first_delay, attempts + 1, Uuid::new_v4().as_u128());
        // Whatever refuses it today may be mended by the next attempt.
        let error = crate::events::job::Failure { retryable: true, ..error.to_failure() };
        SidecarOutcome::Failed { code: warning_code(sidecar).to_string(), error, max_attempts, delay_ms }
    }

    /// Where the files of the job are, and so its sidecars go.
    fn target(&self, job: &Job) -> (Storage, StorageTarget) {
        let target = job.stored_in.unwrap_or(StorageTarget::Local);
        match self.stores.mode {
            StorageMode::LocalAndS3 if target == StorageTarget::Local => (self.stores.local.clone(), target),
            StorageMode::Local | StorageMode::S3 | StorageMode::LocalAndS3 => {
                (self.stores.files.clone(), target)
            }
        }
    }

    /// Records the attempts. A second record of the same attempts, by a process that was thought dead, changes nothing.
    async fn record(
        &self,
        id: JobId,
        loaded: &LoadedJob,
        attempts: Vec<SidecarAttempt>,
    ) -> Result<Carried, NotCarriedOut> {
        let last_event = loaded.tip.event_id.ok_or("a job without events")?;
        let origin = Origin {
            command_id: CommandId::of_attempt(AttemptToken::of_event(last_event), "sidecars"),
            ..Origin::new(Actor::System)
        };
        let command = Command::NoteSidecars(attempts.clone());
        match self.executor.execute(id, command, &origin, None).await {
            Ok(_) => Ok(Carried::Recorded),
            Err(execute::Error::Rejected(
                Rejection::Deleted | Rejection::Erased | Rejection::NoSidecarMissing,
            )) => {
                self.remove_unwanted(id, &attempts).await?;
                Ok(Carried::Settled)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what was stored after the job had lost its files.
    async fn remove_unwanted(&self, id: JobId, attempts: &[SidecarAttempt]) -> Result<(), NotCarriedOut> {
        let job = self.executor.load(id).await?.state;
        if !job.is_erased && !job.are_files_removed {
            return Ok(());
        }
        for SidecarAttempt { outcome, .. } in attempts {
            let SidecarOutcome::Stored { files, .. } = outcome else { continue };
            for file in files {
                self.stores.files.delete(&Key::parse(file.key.as_str())?).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Effect for Sidecars {
    type Source = JobId;

    const NAME: &'static str = "sidecars";
    const MAX_IN_FLIGHT: usize = 1;

    fn reacts_to(&self, event_type: &str) -> bool {
        ["SidecarFailed", "SidecarStored", "JobDeleted", "ContentErased", "VideoExpired"]
            .contains(&event_type)
    }

    fn due(&self, recorded: &Recorded<JobEvent>) -> Due {
        match &recorded.event {
            JobEvent::SidecarFailed(failed) => match failed.retry_in_ms {
                Some(delay_ms) => Due::At(after(recorded.recorded_at, delay_ms)),
                None => Due::Never,
            },
            JobEvent::SidecarStored(_)
            | JobEvent::JobDeleted {}
            | JobEvent::ContentErased {}
            | JobEvent::VideoExpired { .. } => Due::Never,
            _ => Due::Unchanged,
        }
    }

    async fn carry_out(&self, id: JobId) -> Result<Carried, NotCarriedOut> {
        let _slot = self.slot.acquire().await?;
        let loaded = match self.executor.load(id).await {
            Ok(loaded) => loaded,
            Err(error) if error.is_retryable() => return Err(error.into()),
            Err(error) => {
                tracing::error!(%id, error = %chain(&error), "a job that cannot be read keeps its gaps");
                return Ok(Carried::Settled);
            }
        };
        if loaded.state.sidecars_to_make().is_empty() {
            return Ok(Carried::Settled);
        }
        let attempts = self.attempt(id, &loaded.state).await?;
        crate::crash::point("sidecars.stored");
        self.record(id, &loaded, attempts).await
    }
}

impl Making<'_> {
    async fn make(&self, sidecar: Sidecar) -> Result<Made, StageError> {
        match sidecar {
            Sidecar::Thumbnails => self.make_thumbnails().await,
            Sidecar::Captions => {
                Ok(Made { files: self.put_texts(captions(self.job)).await?, ..Made::default() })
            }
            Sidecar::Stream => self.make_stream().await,
        }
    }

    async fn make_thumbnails(&self) -> Result<Made, StageError> {
        let (_, best) = self.videos().next().ok_or_else(|| missing("UploadCompleted"))?;
        let (video, folder) = (self.fetch(best).await?, self.scratch.to_owned());
        let thumbnails = blocking(move || {
            let cannot_take = |error: &dyn std::error::Error| {
                StageError::retryable(
                    warning_code(Sidecar::Thumbnails),
                    format!("no thumbnail can be taken: {error}"),
                )
            };
            std::fs::create_dir_all(folder.join("thumbnails"))
                .map_err(|error| cannot_take(&error).because(error))?;
            take_thumbnails(&video, &folder).map_err(|error| cannot_take(&error).because(error))
        })
        .await?;
        let mut files = vec![];
        for Thumbnail { size, file, .. } in &thumbnails {
            let content = Content::File(self.scratch.join(file));
            let role = size.file_role();
            files.push(self.put(role, None, &file_name(role, None), content).await?);
        }
        Ok(Made { files, thumbnails })
    }

    /// Where all scenes have their segments, only the playlists are missing. Else the whole video is packaged anew.
    async fn make_stream(&self) -> Result<Made, StageError> {
        if let Some(stream) = self.job.stream().filter(Stream::is_whole) {
            let videos = videos_with_streams(&self.job.stored);
            let files = self.put_texts(playlists(&stream.ended_in(&videos))).await?;
            return Ok(Made { files, ..Made::default() });
        }
        let (mut files, mut parts) = (vec![], vec![]);
        for (rendition, video) in self.videos() {
            let (file, part) = self.package(rendition, video).await?;
            files.push(file);
            parts.push(part);
        }
        let stream = Stream::of_whole_files(self.job, &parts).ok_or_else(|| missing("UploadCompleted"))?;
        files.extend(self.put_texts(playlists(&stream)).await?);
        Ok(Made { files, ..Made::default() })
    }

    /// Stores all segments of a rendition in one file.
    async fn package(
        &self,
        rendition: Rendition,
        video: &StoredFile,
    ) -> Result<(StoredFile, SceneStream), StageError> {
        let video = self.fetch(video).await?;
        let name = file_name(FileRole::HlsSegments, Some(rendition));
        let path = self.scratch.join(&name);
        let out = path.clone();
        let part = blocking(move || {
            stream::write(&video, Position { first_frame: 0, is_last: true }, &out).map_err(|error| {
                let message = format!("the video cannot be packaged for streaming: {error}");
                StageError::failed(warning_code(Sidecar::Stream), message, error)
            })
        })
        .await?;
        let file = self.put(FileRole::HlsSegments, Some(rendition), &name, Content::File(path)).await?;
        let segment = |Segment { frames, bytes }| StreamSegment { frames, bytes };
        let part = SceneStream {
            rendition,
            key: file.key.clone(),
            bytes: file.bytes,
            blake3: file.blake3.clone(),
            codecs: part.codecs,
            setup_bytes: part.setup_bytes,
            segments: part.segments.into_iter().map(segment).collect(),
        };
        Ok((file, part))
    }

    /// The MP4 files of the video, the best first.
    fn videos(&self) -> impl Iterator<Item = (Rendition, &StoredFile)> {
        let quality = self.job.request.as_ref().map(|request| request.quality).unwrap_or_default();
        let videos = self.job.stored.iter().filter(|file| file.role == FileRole::Video);
        let videos = videos.map(move |file| (file.rendition_in(quality), file));
        let mut videos: Vec<_> =
            videos.filter(|(rendition, _)| rendition.format == OutputFormat::Mp4).collect();
        videos.sort_by_key(|(rendition, _)| std::cmp::Reverse(rendition.quality));
        videos.into_iter()
    }

    /// Copies a stored file to this machine.
    async fn fetch(&self, file: &StoredFile) -> Result<PathBuf, StageError> {
        let key = Key::parse(file.key.as_str()).map_err(cannot_store)?;
        let path = self.scratch.join(key.as_str().rsplit('/').next().unwrap_or("video"));
        match self.storage.copy_to(&key, &path).await {
            Ok(true) => Ok(path),
            Ok(false) => {
                let message = format!("{key} is not where this worker looks for it");
                Err(StageError::retryable(ErrorCode::StorageFailed, message))
            }
            Err(error) => {
                let message = format!("{key} cannot be read");
                Err(StageError::failed(ErrorCode::StorageFailed, message, error))
            }
        }
    }

    async fn put_texts(&self, texts: impl Iterator<Item = TextFile>) -> Result<Vec<StoredFile>, StageError> {
        let mut files = vec![];
        for TextFile { role, rendition, name, text } in texts {
            files.push(self.put(role, rendition, &name, Content::Bytes(text.into_bytes())).await?);
        }
        Ok(files)
    }

    async fn put(
        &self,
        role: FileRole,
        rendition: Option<Rendition>,
        name: &str,
        content: Content,
    ) -> Result<StoredFile, StageError> {
        let key = self.prefix.key(name).map_err(cannot_store)?;
        let stored = self.storage.put(&key, content, Mode::Replace).await.map_err(cannot_store)?;
        let key = key.as_str().to_owned();
        Ok(StoredFile { role, rendition, key, bytes: stored.bytes, blake3: stored.blake3, stream: vec![] })
    }
}
