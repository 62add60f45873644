//! `storage`: reads the finished files back, compares them with the plan, and stores them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use uuid::Uuid;

use super::error::{StageError, missing};
use super::sidecars::{TextFile, warning_code};
use super::task::{StageHandler, Task, blocking};
use super::upload::{self, cannot_store};
use super::{callbacks, catch_up, combining, sidecars};
use crate::config::SidecarSettings;
use crate::domain::job::{Job, Outcome, Stream, UploadNote};
use crate::error_codes::ErrorCode;
use crate::events::job::{
    Failure, FileRole, SceneStream, Sidecar, SidecarFailed, StorageTarget, StoredFile, StreamPart, Technical,
    TechnicalFormat, TechnicalStream, VideoFacts,
};
use crate::events::{Rendition, Stage};
use crate::ids::JobId;
use crate::storage::{Content, Error, Key, Prefix, Storage as Objects, StorageMode, Stored, Stores};
use crate::telemetry::chain;
use reel_studio::encode::encoder::KEY_FRAME_INTERVAL_S;
use reel_studio::inspect::gate::{self, Allowed};
use reel_studio::inspect::probe::{self, ExpectedFacts};
use reel_studio::inspect::streams::{self, Description};

pub struct Storage {
    pub stores: Stores,
    pub media_root: PathBuf,
    pub sidecars: SidecarSettings,
}

#[async_trait]
impl StageHandler for Storage {
    fn stage(&self) -> Stage {
        Stage::Storage
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        if !is_combined_here(task) {
            // Another machine did: joining once more is faster than a copy from there.
            combining::combine(task).await?;
        }
        let checked = task.clone();
        let (video, (sources, missing)) = blocking(move || {
            let renditions = video_files(&checked)?;
            let video = read_back(&checked, &renditions)?;
            Ok((video, sources(&checked, &renditions)?))
        })
        .await?;
        let (target, files, failed) = self.store(task, sources, missing).await?;
        self.remove_beginning(task).await;
        let failed = failed.into_iter().map(|(sidecar, error)| self.to_retry(sidecar, error)).collect();
        Ok(Outcome::Stored { video_id: video_id(task.job_id), target, files, video, failed })
    }
}

/// Whether the video and its thumbnails are in this machine's workspace.
fn is_combined_here(task: &Task) -> bool {
    let Some(clip) = &task.job.combined else { return false };
    let files = std::iter::once((&clip.file, clip.bytes));
    let files = files.chain(clip.renditions.iter().map(|other| (&other.file, other.bytes)));
    let mut files =
        files.chain(task.job.thumbnails.iter().map(|thumbnail| (&thumbnail.file, thumbnail.bytes)));
    files.all(|(file, bytes)| {
        std::fs::metadata(task.workspace.path(file)).is_ok_and(|metadata| metadata.len() == bytes)
    })
}

/// A file of the video, in the workspace.
struct VideoFile {
    rendition: Rendition,
    file: String,
}

/// Lists all files of the video, the main one first.
fn video_files(task: &Task) -> Result<Vec<VideoFile>, StageError> {
    let clip = task.job.combined.as_ref().ok_or_else(|| missing("VideoCombined"))?;
    let main = VideoFile { rendition: task.request()?.main_rendition(), file: clip.file.clone() };
    let others = clip.renditions.iter();
    let others = others.map(|other| VideoFile { rendition: other.rendition, file: other.file.clone() });
    Ok(std::iter::once(main).chain(others).collect())
}

/// Derives the video's id, which is the same for every attempt.
fn video_id(job: JobId) -> Uuid {
    Uuid::new_v5(&job.0, b"video")
}

/// Returns the facts of the main file, or an error when any file differs from the plan.
fn read_back(task: &Task, renditions: &[VideoFile]) -> Result<VideoFacts, StageError> {
    let request = task.request()?;
    let duration_ms = task.job.narrated_scenes().map(|(_, timeline)| timeline.duration_ms()).sum();
    let mut read = Vec::with_capacity(renditions.len());
    for VideoFile { rendition, file } in renditions {
        let facts = probe::probe(&task.workspace.path(file)).map_err(|error| {
            StageError::retryable(ErrorCode::VideoUnreadable, "the finished video cannot be read back")
                .because(error)
        })?;
        let (width, height) = request.dimensions(rendition.quality);
        let expected =
            ExpectedFacts { format: rendition.format, duration_ms, width, height, fps: request.fps };
        let mut mismatches = probe::find_mismatches(&facts, &expected);
        mismatches.extend(inspect_quality(task, file)?);
        if !mismatches.is_empty() {
            let message =
                format!("{} is not what was planned: {}", rendition.file_name(), mismatches.join("; "));
            return Err(StageError::retryable(ErrorCode::VideoMismatch, message));
        }
        read.push(facts);
    }
    let facts = read.into_iter().next().ok_or_else(|| missing("VideoCombined"))?;
    Ok(VideoFacts {
        duration_ms: facts.duration_ms,
        width: facts.width,
        height: facts.height,
        fps: facts.fps,
        frames: facts.frames,
        video_codec: facts.video_codec,
        audio_codec: facts.audio_codec,
        bitrate: facts.bitrate,
        file_size: facts.file_size,
        technical: renditions.first().and_then(|main| describe(task, &main.file)),
    })
}

/// Describes the file as `ffprobe` does. A video that plays is worth more than its description, so an error is only logged.
fn describe(task: &Task, file: &str) -> Option<Box<Technical>> {
    match streams::describe(&task.workspace.path(file)) {
        Ok(described) => Some(Box::new(technical(described))),
        Err(error) => {
            tracing::warn!(error = chain(&error), "the finished video cannot be described");
            None
        }
    }
}

/// Records what FFmpeg says of a file.
pub(crate) fn technical(described: Description) -> Technical {
    let streams = described.streams.into_iter().map(|stream| TechnicalStream {
        index: stream.index,
        codec_type: stream.codec_type.to_owned(),
        codec_name: stream.codec_name,
        profile: stream.profile,
        width: stream.width,
        height: stream.height,
        pix_fmt: stream.pix_fmt,
        sample_rate: stream.sample_rate,
        channels: stream.channels,
        r_frame_rate: stream.r_frame_rate,
        avg_frame_rate: stream.avg_frame_rate,
        time_base: stream.time_base,
        duration: stream.duration,
        bit_rate: stream.bit_rate,
        nb_frames: stream.nb_frames,
    });
    let streams: Vec<TechnicalStream> = streams.collect();
    Technical {
        format: TechnicalFormat {
            format_name: described.format_name,
            format_long_name: described.format_long_name,
            nb_streams: streams.len() as u32,
            duration: described.duration,
            size: described.size,
            bit_rate: described.bit_rate,
        },
        streams,
    }
}

/// Runs the quality gate on a file, and returns its faults.
fn inspect_quality(task: &Task, file: &str) -> Result<Vec<String>, StageError> {
    let timelines = || task.job.narrated_scenes().map(|(_, timeline)| timeline);
    let allowed = Allowed {
        pictures: timelines().map(|timeline| u64::from(timeline.frames)).sum(),
        longest_hold_s: gate::longest_hold_s(task.job.narrated_scenes()),
        key_frame_interval_s: f64::from(KEY_FRAME_INTERVAL_S),
        longest_animation_s: gate::longest_animation_s(task.job.narrated_scenes()),
    };
    let found = gate::inspect(&task.workspace.path(file)).map_err(|error| {
        StageError::retryable(ErrorCode::VideoUnreadable, "the finished video cannot be decoded")
            .because(error)
    })?;
    Ok(gate::find_faults(&found, &allowed))
}

/// A file to store.
struct Source {
    role: FileRole,
    rendition: Option<Rendition>,
    name: String,
    content: Content,
    bytes: u64,
    /// Of a video: the parts of its stream that it has inside.
    stream: Vec<StreamPart>,
}

impl Source {
    fn of_file(task: &Task, role: FileRole, rendition: Option<Rendition>, file: &str) -> Self {
        let path = task.workspace.path(file);
        let bytes = std::fs::metadata(&path).map_or(0, |found| found.len());
        let name = file_name(role, rendition);
        Self { role, rendition, name, content: Content::File(path), bytes, stream: vec![] }
    }

    fn of_text(file: TextFile) -> Self {
        let TextFile { role, rendition, name, text } = file;
        let bytes = text.len() as u64;
        Self { role, rendition, name, content: Content::Bytes(text.into_bytes()), bytes, stream: vec![] }
    }
}

/// The sidecars that earlier stages did not make, each with its failure.
type Missing = BTreeMap<Sidecar, Failure>;

/// The files of the stream's segments, which are stored already, and stay where no video has them inside.
fn stored_segments(job: &Job, sources: &[Source]) -> Vec<StoredFile> {
    let stream = job.stream();
    let is_inside = |part: &SceneStream| {
        let is_video =
            |source: &Source| source.rendition == Some(part.rendition) && !source.stream.is_empty();
        sources.iter().any(is_video)
    };
    let files = stream.iter().flat_map(Stream::files).filter(|part| !is_inside(part));
    files.map(SceneStream::to_stored_file).collect()
}

/// Finds the parts of the stream at the end of the videos that have them inside, byte for byte as they were streamed.
fn find_streams(task: &Task, renditions: &[VideoFile]) -> io::Result<Vec<(Rendition, Vec<StreamPart>)>> {
    let Some(stream) = task.job.stream().filter(Stream::is_whole) else { return Ok(vec![]) };
    let mut videos = vec![];
    for VideoFile { rendition, file } in renditions {
        let parts: Vec<&SceneStream> = stream.parts(*rendition).collect();
        if let Some(found) = find_parts(&task.workspace.path(file), &parts)? {
            videos.push((*rendition, found));
        }
    }
    Ok(videos)
}

/// `None` where the file ends otherwise.
fn find_parts(file: &Path, parts: &[&SceneStream]) -> io::Result<Option<Vec<StreamPart>>> {
    let mut file = File::open(file)?;
    let bytes = parts.iter().map(|part| part.bytes).sum();
    let Some(mut offset) = file.metadata()?.len().checked_sub(bytes).filter(|_| bytes > 0) else {
        return Ok(None);
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut found = Vec::with_capacity(parts.len());
    for part in parts {
        let mut hash = blake3::Hasher::new();
        hash.update_reader((&mut file).take(part.bytes))?;
        if hash.finalize().to_hex().as_str() != part.blake3 {
            return Ok(None);
        }
        let name = part.name().to_owned();
        found.push(StreamPart { name, offset, bytes: part.bytes, blake3: part.blake3.clone() });
        offset += part.bytes;
    }
    Ok(Some(found))
}

/// Lists everything that is to be stored of the video, and the sidecars that cannot be.
fn sources(task: &Task, renditions: &[VideoFile]) -> Result<(Vec<Source>, Missing), StageError> {
    let (request, job) = (task.request()?, &task.job);
    let (mut sources, mut missing): (Vec<Source>, Missing) = (vec![], BTreeMap::new());
    let with_streams = find_streams(task, renditions).map_err(|error| {
        StageError::retryable(ErrorCode::VideoUnreadable, "the finished video cannot be read back")
            .because(error)
    })?;
    let inside = |rendition| with_streams.iter().find(|(other, _)| *other == rendition);
    sources.extend(renditions.iter().map(|VideoFile { rendition, file }| Source {
        stream: inside(*rendition).map(|(_, parts)| parts.clone()).unwrap_or_default(),
        ..Source::of_file(task, FileRole::Video, Some(*rendition), file)
    }));
    let thumbnails = job.thumbnails.iter();
    sources.extend(thumbnails.map(|taken| Source::of_file(task, taken.size.file_role(), None, &taken.file)));
    if request.enable_thumbnails && job.thumbnails.is_empty() {
        let error = StageError::retryable(warning_code(Sidecar::Thumbnails), "no thumbnail was taken");
        missing.insert(Sidecar::Thumbnails, error.to_failure());
    }
    if request.enable_subtitles {
        sources.extend(sidecars::captions(job).map(Source::of_text));
    }
    if request.enable_streaming {
        // Its segments are stored already: each scene's when it was rendered.
        match job.stream().filter(Stream::is_whole) {
            Some(stream) => {
                let stream = stream.ended_in(&with_streams);
                sources.extend(sidecars::playlists(&stream).map(Source::of_text));
            }
            None => {
                let error =
                    StageError::retryable(warning_code(Sidecar::Stream), "scenes are not in the stream");
                missing.insert(Sidecar::Stream, error.to_failure());
            }
        }
    }
    Ok((sources, missing))
}

impl Storage {
    /// Stores all files of the video. Where S3 does not take them and the disk may hold them, they stay there. A sidecar that
    /// is not stored is added to those that are missing, and the video is complete without it.
    async fn store(
        &self,
        task: &Task,
        sources: Vec<Source>,
        mut missing: Missing,
    ) -> Result<(StorageTarget, Vec<StoredFile>, Missing), StageError> {
        let (mut objects, mut target) = self.target(task)?;
        let folder = Prefix::of_job(&task.job.user_id, task.job_id);
        let mut files = stored_segments(&task.job, &sources);
        let total: u64 = sources.iter().map(|source| source.bytes).sum();
        let started =
            UploadNote::Started { target, files: (files.len() + sources.len()) as u32, bytes: total };
        task.journal.note(started).await;
        if target == StorageTarget::LocalAndS3
            && let Err(error) = self.complete_segments(task, &files).await
        {
            (objects, target) = self.fall_back(task, target, error).await?;
        }
        let mut done = 0;
        for Source { role, rendition, name, content, bytes, stream } in sources {
            let key = folder.key(&name).map_err(cannot_store)?;
            let sent = AtomicU64::new(0);
            let on_bytes = |bytes| {
                let sent = sent.fetch_add(bytes, Ordering::Relaxed) + bytes;
                task.progress.report((done + sent).min(total), total);
            };
            // The rest of a sidecar waits for the next attempt, too.
            if role.sidecar().is_none_or(|sidecar| !missing.contains_key(&sidecar)) {
                let stored = match upload::store(task, &objects, &key, content.clone(), &on_bytes).await {
                    Err(error) if error.is_remote() && target == StorageTarget::LocalAndS3 => {
                        (objects, target) = self.fall_back(task, target, error).await?;
                        upload::store(task, &objects, &key, content, &|_| {}).await
                    }
                    stored => stored,
                };
                match (stored.map_err(cannot_store), role.sidecar()) {
                    (Ok(Stored { bytes, blake3 }), _) => {
                        let key = key.as_str().to_owned();
                        files.push(StoredFile { role, rendition, key, bytes, blake3, stream });
                    }
                    (Err(error), None) => return Err(error),
                    (Err(error), Some(sidecar)) => {
                        tracing::warn!(%key, error = error.for_log(), "the video is stored without a file");
                        missing.insert(sidecar, error.to_failure());
                    }
                }
            }
            done += bytes;
            task.progress.report(done, total);
        }
        Ok((target, files, missing))
    }

    /// Removes the first segment, which the file of the first scene has as well.
    async fn remove_beginning(&self, task: &Task) {
        for part in &task.job.beginning {
            let removed = match Key::parse(part.key.as_str()) {
                Ok(key) => self.stores.files.delete(&key).await,
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                tracing::warn!(error = chain(&error), key = part.key, "the first segment is kept twice");
            }
        }
    }

    /// The first failure of a sidecar, with the time of the next attempt.
    fn to_retry(&self, sidecar: Sidecar, error: Failure) -> SidecarFailed {
        let SidecarSettings { max_attempts, first_delay } = self.sidecars;
        let delay_ms = callbacks::delay_ms(first_delay, 1, Uuid::new_v4().as_u128());
        let retry_in_ms = (max_attempts > 1).then_some(delay_ms);
        let (code, error) = (warning_code(sidecar).to_string(), Failure { retryable: true, ..error });
        SidecarFailed { sidecar, code, attempt: 1, error, retry_in_ms }
    }

    /// Where the files of a job go: as the settings say, unless its request wants no S3.
    fn target(&self, task: &Task) -> Result<(Objects, StorageTarget), StageError> {
        let Stores { files, local, .. } = self.stores.clone();
        Ok(match self.stores.mode {
            StorageMode::Local => (files, StorageTarget::Local),
            StorageMode::S3 => (files, StorageTarget::S3),
            StorageMode::LocalAndS3 if task.request()?.s3_upload_enabled != Some(false) => {
                (files, StorageTarget::LocalAndS3)
            }
            StorageMode::LocalAndS3 => (local, StorageTarget::Local),
        })
    }

    /// Uploads parts of the stream that S3 did not take when their scenes were rendered.
    async fn complete_segments(&self, task: &Task, segments: &[StoredFile]) -> Result<(), Error> {
        let Some(s3) = self.stores.s3.clone().map(Objects::new) else { return Ok(()) };
        for segment in segments {
            let key = Key::parse(segment.key.as_str())?;
            if s3.head(&key).await?.is_some_and(|head| head.bytes == segment.bytes) {
                continue;
            }
            let copy = task.workspace.path("segment.m4s");
            if self.stores.local.copy_to(&key, &copy).await? {
                upload::store(task, &s3, &key, Content::File(copy), &|_| {}).await?;
            }
        }
        Ok(())
    }

    /// Records that S3 does not take the files, and returns where they go instead.
    async fn fall_back(
        &self,
        task: &Task,
        from: StorageTarget,
        error: Error,
    ) -> Result<(Objects, StorageTarget), StageError> {
        tracing::error!(error = chain(&error), "S3 does not take the video: it stays on this machine's disk");
        let to = StorageTarget::Local;
        let (media_root, job_id) = (self.media_root.clone(), task.job_id);
        blocking(move || {
            catch_up::remember(&media_root, job_id).map_err(|error| {
                let message = "it cannot be noted that S3 lacks the video";
                StageError::failed(ErrorCode::StorageFailed, message, error)
            })
        })
        .await?;
        task.journal.note(UploadNote::FellBack { from, to, error: cannot_store(error).to_failure() }).await;
        Ok((self.stores.local.clone(), to))
    }
}

/// Returns a file's name in the folder of its video.
pub(crate) fn file_name(role: FileRole, rendition: Option<Rendition>) -> String {
    let level = rendition.map_or("all", |rendition| rendition.quality.level());
    match role {
        FileRole::Video => rendition.map_or_else(|| "video.mp4".to_owned(), Rendition::file_name),
        FileRole::ThumbnailSmall => "thumbnail-small.jpg".to_owned(),
        FileRole::ThumbnailMedium => "thumbnail-medium.jpg".to_owned(),
        FileRole::ThumbnailLarge => "thumbnail-large.jpg".to_owned(),
        FileRole::CaptionsVtt => "captions.vtt".to_owned(),
        FileRole::CaptionsSrt => "captions.srt".to_owned(),
        FileRole::HlsMaster => "master.m3u8".to_owned(),
        FileRole::HlsPlaylist => format!("{level}.m3u8"),
        FileRole::HlsSegments => format!("{level}.m4s"),
    }
}
