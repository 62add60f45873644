//! `storage`: reads the finished files back, compares them with the plan, and stores them.

use async_trait::async_trait;
use uuid::Uuid;

use super::error::{StageError, missing};
use super::task::{StageHandler, Task, blocking};
use crate::domain::job::{Job, Outcome, Stream};
use crate::error_codes::ErrorCode;
use crate::events::job::{
    FileRole, SceneStream, StorageTarget, StoredFile, Technical, TechnicalFormat, TechnicalStream, VideoFacts,
};
use crate::events::{Rendition, Stage};
use crate::ids::JobId;
use crate::storage::{Content, Error, Mode, Prefix, Storage as Objects};
use crate::telemetry::chain;
use reel_studio::encode::encoder::KEY_FRAME_INTERVAL_S;
use reel_studio::inspect::gate::{self, Allowed};
use reel_studio::inspect::probe::{self, ExpectedFacts};
use reel_studio::inspect::streams::{self, Description};
use reel_studio::join::captions;

pub struct Storage {
    pub objects: Objects,
}

#[async_trait]
impl StageHandler for Storage {
    fn stage(&self) -> Stage {
        Stage::Storage
    }

    async fn run(&self, task: &Task) -> Result<Outcome, StageError> {
        let checked = task.clone();
        let (video, sources) = blocking(move || {
            let renditions = video_files(&checked)?;
            let video = read_back(&checked, &renditions)?;
            Ok((video, sources(&checked, &renditions)?))
        })
        .await?;
        Ok(Outcome::Stored {
            video_id: video_id(task.job_id),
            target: StorageTarget::Local,
            files: store(task, &self.objects, sources).await?,
            video,
        })
    }
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

fn technical(described: Description) -> Technical {
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
    };
    let found = gate::inspect(&task.workspace.path(file)).map_err(|error| {
        StageError::retryable(ErrorCode::VideoUnreadable, "the finished video cannot be decoded")
            .because(error)
    })?;
    Ok(gate::find_faults(&found, &allowed))
}

/// A file to store: its role, and its path in the workspace.
type Source = ((FileRole, Option<Rendition>), String);

/// The playlists of the video's stream. Its segments are stored already: each scene's when it was rendered.
fn write_playlists(task: &Task) -> Result<Vec<Source>, StageError> {
    let Some(stream) = task.job.stream().map(Stream::ended) else { return Ok(vec![]) };
    let write = |file: &str, text: String| {
        std::fs::write(task.workspace.path(file), text).map_err(|error| {
            StageError::failed(ErrorCode::StorageFailed, "a playlist cannot be written", error)
        })
    };
    let mut sources = vec![];
    for rendition in stream.renditions() {
        let file = format!("hls/{}.m3u8", rendition.quality.level());
        let text = stream.playlist(rendition.quality.level()).ok_or_else(|| missing("SceneRendered"))?;
        write(&file, text)?;
        sources.push(((FileRole::HlsPlaylist, Some(rendition)), file));
    }
    let master = "hls/master.m3u8".to_owned();
    write(&master, stream.master_playlist())?;
    sources.push(((FileRole::HlsMaster, None), master));
    Ok(sources)
}

/// The files of the stream's segments, which are stored already.
fn stored_segments(job: &Job) -> Vec<StoredFile> {
    let stream = job.stream();
    let files = stream.iter().flat_map(Stream::files);
    let stored = |part: &SceneStream| StoredFile {
        role: FileRole::HlsSegments,
        rendition: Some(part.rendition),
        key: part.key.clone(),
        bytes: part.bytes,
        blake3: part.blake3.clone(),
    };
    files.map(stored).collect()
}

/// Writes the captions to files.
fn write_captions(task: &Task) -> Result<Vec<Source>, StageError> {
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
            std::fs::write(task.workspace.path(file), text).map_err(|error| {
                StageError::failed(ErrorCode::StorageFailed, "the captions cannot be written", error)
            })?;
            Ok(((role, None), file.to_owned()))
        })
        .collect()
}

/// Lists everything that is stored of the video.
fn sources(task: &Task, renditions: &[VideoFile]) -> Result<Vec<Source>, StageError> {
    let mut sources: Vec<Source> = vec![];
    sources
        .extend(renditions.iter().map(|file| ((FileRole::Video, Some(file.rendition)), file.file.clone())));
    let thumbnails = task.job.thumbnails.iter();
    sources.extend(thumbnails.map(|thumbnail| ((thumbnail.size.file_role(), None), thumbnail.file.clone())));
    sources.extend(write_captions(task)?);
    sources.extend(write_playlists(task)?);
    Ok(sources)
}

async fn store(task: &Task, objects: &Objects, sources: Vec<Source>) -> Result<Vec<StoredFile>, StageError> {
    let folder = Prefix::of_video(task.job_id);
    let total = sources.len() as u64;
    let mut files = stored_segments(&task.job);
    for (done, ((role, rendition), file)) in (1..).zip(sources) {
        let key = folder.key(&file_name(role, rendition)).map_err(cannot_store)?;
        let content = Content::File(task.workspace.path(&file));
        // A reprocessed job replaces its files.
        let stored = objects.put(&key, content, Mode::Replace).await.map_err(cannot_store)?;
        let key = key.as_str().to_owned();
        files.push(StoredFile { role, rendition, key, bytes: stored.bytes, blake3: stored.blake3 });
        task.progress.report(done, total);
    }
    Ok(files)
}

/// Returns a file's name in the folder of its video.
fn file_name(role: FileRole, rendition: Option<Rendition>) -> String {
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

pub(super) fn cannot_store(error: Error) -> StageError {
    StageError::failed(ErrorCode::StorageFailed, format!("the video cannot be stored: {error}"), error)
        .suggest("check that the workers may write to MEDIA_ROOT")
}
