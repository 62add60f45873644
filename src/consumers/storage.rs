//! `storage`: the finished file is read back, compared with what was promised, and stored.

use async_trait::async_trait;
use uuid::Uuid;

use super::error::{StageError, missing};
use super::task::{StageHandler, Task, blocking};
use crate::domain::job::Outcome;
use crate::events::Stage;
use crate::events::job::{FileRole, StorageTarget, VideoFacts};
use crate::ids::JobId;
use crate::media::captions;
use crate::media::encoder::KEY_FRAME_EVERY_SECONDS;
use crate::media::gate::{self, Allowed};
use crate::media::hls;
use crate::media::probe::{self, Promise};
use crate::storage::{Error, LocalStorage};

pub struct Storage {
    pub local: LocalStorage,
}

#[async_trait]
impl StageHandler for Storage {
    fn stage(&self) -> Stage {
        Stage::Storage
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        let (task, local) = (task.clone(), self.local.clone());
        blocking(move || {
            let video = read_back(&task)?;
            let files = store(&task, &local)?;
            Ok(Outcome::Stored {
                video_id: video_id(task.job_id),
                target: StorageTarget::Local,
                files,
                video,
            })
        })
        .await
    }
}

/// The same for every attempt.
fn video_id(job: JobId) -> Uuid {
    Uuid::new_v5(&job.0, b"video")
}

/// What is in the file; an error when it is not what the plan promised.
fn read_back(task: &Task) -> Result<VideoFacts, StageError> {
    let request = task.request()?;
    let clip = task.job.combined.as_ref().ok_or_else(|| missing("VideoCombined"))?;
    let duration_ms = task.job.narrated_scenes().map(|(_, timeline)| timeline.duration_ms()).sum();
    let facts = probe::probe(&task.workspace.path(&clip.file)).map_err(|error| {
        StageError::retryable("VIDEO_UNREADABLE", "the finished video cannot be read back").because(error)
    })?;
    let (width, height) = request.dimensions();
    let mut mismatches = probe::check(&facts, &Promise { duration_ms, width, height, fps: request.fps });
    mismatches.extend(look_and_listen(task, &clip.file)?);
    if !mismatches.is_empty() {
        let message = format!("the finished video is not what was planned: {}", mismatches.join("; "));
        return Err(StageError::retryable("VIDEO_MISMATCH", message));
    }
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
    })
}

/// What a viewer would notice.
fn look_and_listen(task: &Task, file: &str) -> Result<Vec<String>, StageError> {
    let timelines = || task.job.narrated_scenes().map(|(_, timeline)| timeline);
    let fps = f64::from(task.request()?.fps);
    let longest = timelines().flat_map(|timeline| &timeline.steps).map(|step| step.frames).max().unwrap_or(0);
    let allowed = Allowed {
        pictures: timelines().map(|timeline| u64::from(timeline.frames)).sum(),
        longest_hold: f64::from(longest) / fps,
        key_frame_every: f64::from(KEY_FRAME_EVERY_SECONDS),
    };
    let found = gate::inspect(&task.workspace.path(file)).map_err(|error| {
        StageError::retryable("VIDEO_UNREADABLE", "the finished video cannot be decoded").because(error)
    })?;
    Ok(gate::faults(&found, &allowed))
}

/// The video for streaming: a playlist and its segments.
fn package(task: &Task, file: &str) -> Result<[(FileRole, String); 2], StageError> {
    let [playlist, segments] = ["hls/index.m3u8", "hls/index.m4s"].map(str::to_owned);
    hls::package(&task.workspace.path(file), &task.workspace.path(&playlist)).map_err(|error| {
        if error.is_disk_full() {
            return StageError::disk_full(error);
        }
        StageError::retryable(
            "STORAGE_FAILED",
            format!("the video cannot be packaged for streaming: {error}"),
        )
        .because(error)
    })?;
    Ok([(FileRole::HlsPlaylist, playlist), (FileRole::HlsSegments, segments)])
}

/// The captions as files of their own.
fn write_captions(task: &Task) -> Result<Vec<(FileRole, String)>, StageError> {
    if !task.request()?.enable_subtitles {
        return Ok(vec![]);
    }
    let captions = captions::captions(task.job.narrated_scenes());
    let texts = [
        (FileRole::CaptionsVtt, "captions.vtt", captions::web_vtt(&captions)),
        (FileRole::CaptionsSrt, "captions.srt", captions::sub_rip(&captions)),
    ];
    texts
        .into_iter()
        .map(|(role, file, text)| {
            std::fs::write(task.workspace.path(file), text).map_err(|error| match error.kind() {
                std::io::ErrorKind::StorageFull => StageError::disk_full(error),
                _ => StageError::retryable("STORAGE_FAILED", "the captions cannot be written").because(error),
            })?;
            Ok((role, file.to_owned()))
        })
        .collect()
}

fn store(task: &Task, local: &LocalStorage) -> Result<Vec<crate::events::job::StoredFile>, StageError> {
    let clip = task.job.combined.as_ref().ok_or_else(|| missing("VideoCombined"))?;
    let thumbnails =
        task.job.thumbnails.iter().map(|thumbnail| (thumbnail.size.file_role(), thumbnail.file.clone()));
    let video = std::iter::once((FileRole::Video, clip.file.clone()));
    let sources: Vec<_> =
        video.chain(thumbnails).chain(write_captions(task)?).chain(package(task, &clip.file)?).collect();
    let total = sources.len() as u64;
    let mut stored = Vec::with_capacity(sources.len());
    for (done, (role, file)) in (1..).zip(sources) {
        stored.push(local.store(task.job_id, role, &task.workspace.path(&file)).map_err(cannot_store)?);
        task.progress.report(done, total);
    }
    Ok(stored)
}

fn cannot_store(error: Error) -> StageError {
    if error.is_disk_full() {
        return StageError::disk_full(error);
    }
    StageError::retryable("STORAGE_FAILED", format!("the video cannot be stored: {error}"))
        .suggest("check that the workers may write to MEDIA_ROOT")
        .because(error)
}
