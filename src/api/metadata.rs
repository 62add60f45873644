//! `GET /videos/jobs/{job_id}/metadata`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;
use uuid::Uuid;

use super::files::require_completed;
use super::jobs::LogLineAnswer;
use super::problem::Problem;
use super::status::WarningAnswer;
use super::{ApiState, catalog_of, signed_urls, user, visible_job};
use crate::domain::job::Job;
use crate::events::job::{
    FileRole, StorageTarget, StoredFile, TechnicalFormat, TechnicalStream, ThumbnailSize, VideoFacts,
};
use crate::events::{OutputFormat, Quality, Rendition};
use crate::ids::JobId;
use crate::projections::catalog::{LogLine, StageRow, VideoRow};
use crate::projections::status::StatusView;
use reel_studio::join::captions::{self, Chapter};

#[derive(Debug, Serialize, ToSchema)]
pub struct MetadataAnswer {
    pub job_id: Uuid,
    pub batch_id: Option<Uuid>,
    pub title: Option<String>,
    pub description: Option<String>,
    pub tags: Vec<String>,
    pub video: VideoDetails,
    /// Quality, such as `720p`, -> URL. The URL of a file in S3 is signed, and needs no token while it is valid.
    pub video_urls: BTreeMap<String, String>,
    pub thumbnail_urls: Vec<String>,
    pub download_url: String,
    pub streaming_url: String,
    pub streaming_info: StreamingInfo,
    /// The files' keys in the bucket. Empty while the video is stored locally.
    pub s3_keys: Vec<String>,
    pub storage: StorageDetails,
    pub technical_metadata: TechnicalMetadata,
    pub chapters: Vec<ChapterDetails>,
    /// Where the captions are, by format; empty for a job without subtitles.
    pub captions: BTreeMap<String, String>,
    /// What is not as you may have meant it, such as thumbnails that are still missing.
    pub warnings: Vec<WarningAnswer>,
    pub processing: ProcessingDetails,
}

/// Where the video's files are.
#[derive(Debug, Serialize, ToSchema)]
pub struct StorageDetails {
    /// `local`, `s3` or `local_and_s3`.
    pub target: String,
    /// Set while the files wait for S3 on the disk of a worker, because S3 did not take them.
    pub has_fallen_back: bool,
}

/// Log lines that an answer holds, at most.
const LOG_LINES: u64 = 1000;

#[derive(Debug, Serialize, ToSchema)]
pub struct VideoDetails {
    pub video_id: Uuid,
    pub filename: String,
    /// Bytes.
    pub file_size: u64,
    /// Seconds.
    pub duration: f64,
    pub width: u32,
    pub height: u32,
    pub fps: f64,
    pub format: String,
    pub video_codec: String,
    pub audio_codec: String,
    /// Bits per second.
    pub bitrate: u64,
    pub created_at: DateTime<Utc>,
}

/// The file as `ffprobe -show_format -show_streams` describes it, and what else was read back.
#[derive(Debug, Serialize, ToSchema)]
pub struct TechnicalMetadata {
    /// Null for a video that was made before it was recorded.
    pub format: Option<FormatDetails>,
    pub streams: Vec<StreamDetails>,
    /// Pictures.
    pub frames: u64,
    /// Key of each stored file -> BLAKE3 of its content, in hex.
    pub blake3: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct FormatDetails {
    pub format_name: String,
    pub format_long_name: String,
    pub nb_streams: u32,
    /// Seconds.
    pub duration: f64,
    /// Bytes.
    pub size: u64,
    /// Bits per second.
    pub bit_rate: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct StreamDetails {
    pub index: u32,
    /// `video`, `audio`, `subtitle` or `data`.
    pub codec_type: String,
    pub codec_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pix_fmt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
    /// Such as `30/1`.
    pub r_frame_rate: String,
    pub avg_frame_rate: String,
    /// Such as `1/15360`.
    pub time_base: String,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// Bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bit_rate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nb_frames: Option<u64>,
}

impl TechnicalMetadata {
    fn of(facts: &VideoFacts, files: &[StoredFile]) -> Self {
        let technical = facts.technical.as_deref();
        let digests = files.iter().map(|file| (file.key.clone(), file.blake3.clone()));
        Self {
            format: technical.map(|technical| FormatDetails::of(&technical.format)),
            streams: technical
                .iter()
                .flat_map(|technical| &technical.streams)
                .map(StreamDetails::of)
                .collect(),
            frames: facts.frames,
            blake3: digests.collect(),
        }
    }
}

impl FormatDetails {
    fn of(format: &TechnicalFormat) -> Self {
        let TechnicalFormat { format_name, format_long_name, nb_streams, duration, size, bit_rate } =
            format.clone();
        Self { format_name, format_long_name, nb_streams, duration, size, bit_rate }
    }
}

impl StreamDetails {
    fn of(stream: &TechnicalStream) -> Self {
        let stream = stream.clone();
        Self {
            index: stream.index,
            codec_type: stream.codec_type,
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
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct StreamingInfo {
    pub fast_start: bool,
    pub supports_ranges: bool,
    pub format: String,
    /// The master playlist.
    pub hls_url: Option<String>,
    /// What `quality` of the streaming URL may be, the best first.
    pub renditions: Vec<RenditionDetails>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RenditionDetails {
    /// Such as `720p`.
    pub quality: String,
    /// Bytes.
    pub file_size: u64,
    pub url: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ChapterDetails {
    pub title: String,
    /// Seconds from the beginning.
    pub start: f64,
    pub end: f64,
}

impl ChapterDetails {
    fn of(chapter: &Chapter) -> Self {
        let seconds = |ms: u64| ms as f64 / 1000.0;
        Self { title: chapter.title.clone(), start: seconds(chapter.start_ms), end: seconds(chapter.end_ms) }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ProcessingDetails {
    pub stages: Vec<StageDetails>,
    /// Up to 1,000 lines of level `info` or above, in order.
    pub logs: Vec<LogLineAnswer>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct StageDetails {
    pub name: String,
    pub started_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    pub duration_seconds: Option<f64>,
    pub attempts: i32,
}

/// The metadata of a finished video
///
/// What was read back from the file, where to get it, and how long each stage took. 409 before the
/// job is completed.
#[endpoint(
    tags("videos"),
    operation_id = "get_video_metadata",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job")),
    responses((status_code = 409, description = "Not completed yet", body = super::problem::ErrorBody),
              (status_code = 410, description = "Removed because of its age", body = super::problem::ErrorBody))
)]
pub async fn get_video_metadata(
    req: &mut Request,
    depot: &mut Depot,
) -> Result<Json<MetadataAnswer>, Problem> {
    let (state, view) = visible_job(req, depot).await?;
    require_completed(&view)?;
    let catalog = catalog_of(&state, &user(depot)?);
    let video =
        catalog.video(view.job_id).await?.ok_or_else(|| Problem::not_found("this job has no video"))?;
    let (_, logs) = catalog.logs(view.job_id, "info", LOG_LINES, 0).await?;
    let job = state.executor.load(view.job_id).await?.into_state();
    let chapters = captions::chapters(job.narrated_scenes());
    let technical = TechnicalMetadata::of(job.video.as_ref().unwrap_or(&video.facts), &video.files);
    let stored = Stored {
        urls: signed_urls::of_videos(&state, &videos_of(&video, &view)).await,
        s3_keys: s3_keys(&state, &job, &video.files),
        target: job.stored_in.unwrap_or(StorageTarget::Local),
        has_fallen_back: job.has_fallen_back,
    };
    Ok(Json(describe_video(&view, video, logs, &chapters, (technical, stored))))
}

/// The parts of the answer that depend on the storage.
struct Stored {
    /// Quality -> signed URL.
    urls: BTreeMap<String, String>,
    s3_keys: Vec<String>,
    target: StorageTarget,
    has_fallen_back: bool,
}

/// The renditions of a video, with their files.
pub(super) fn videos_of<'a>(row: &'a VideoRow, view: &StatusView) -> Vec<(Rendition, &'a StoredFile)> {
    let videos = row.files.iter().filter(|file| file.role == FileRole::Video);
    videos.map(|file| (file.rendition_in(view.quality), file)).collect()
}

fn s3_keys(state: &ApiState, job: &Job, files: &[StoredFile]) -> Vec<String> {
    let s3 = state.stores.s3.as_ref().filter(|_| job.stored_in.is_some_and(StorageTarget::is_in_s3));
    s3.map(|s3| files.iter().map(|file| s3.key_in_bucket(&file.key)).collect()).unwrap_or_default()
}

fn describe_video(
    view: &StatusView,
    row: VideoRow,
    logs: Vec<LogLine>,
    chapters: &[Chapter],
    (technical_metadata, stored): (TechnicalMetadata, Stored),
) -> MetadataAnswer {
    let links = Links::of(view.job_id, &row.files);
    let videos = videos_of(&row, view);
    let mut video_urls = links.downloads(&videos);
    video_urls.extend(stored.urls);
    MetadataAnswer {
        job_id: view.job_id.0,
        batch_id: view.batch_id.map(|batch| batch.0),
        title: view.title.clone(),
        description: view.description.clone(),
        tags: view.tags.clone(),
        video_urls,
        thumbnail_urls: links.thumbnails(),
        download_url: links.to("download"),
        streaming_url: links.to("stream"),
        streaming_info: StreamingInfo {
            fast_start: true,
            supports_ranges: true,
            format: "mp4".to_owned(),
            hls_url: links.has(FileRole::HlsMaster).then(|| links.to("hls/master.m3u8")),
            renditions: links.renditions(&videos),
        },
        s3_keys: stored.s3_keys,
        storage: StorageDetails {
            target: stored.target.name().to_owned(),
            has_fallen_back: stored.has_fallen_back,
        },
        technical_metadata,
        captions: links.captions(),
        warnings: WarningAnswer::all(view),
        chapters: chapters.iter().map(ChapterDetails::of).collect(),
        video: video_details(&row, delivered_format(&videos, view.quality)),
        processing: ProcessingDetails {
            stages: row.stages.into_iter().map(stage_details).collect(),
            logs: logs.into_iter().map(LogLineAnswer::of).collect(),
        },
    }
}

/// The file that a download gives is of the format that was asked for.
pub fn delivered_format(videos: &[(Rendition, &StoredFile)], quality: Quality) -> OutputFormat {
    let formats = videos.iter().filter(|(made, _)| made.quality == quality).map(|(made, _)| made.format);
    formats.max().unwrap_or_default()
}

fn video_details(row: &VideoRow, format: OutputFormat) -> VideoDetails {
    let facts = &row.facts;
    VideoDetails {
        video_id: row.video_id,
        filename: format!("video.{}", format.name()),
        file_size: facts.file_size,
        duration: facts.duration_ms as f64 / 1000.0,
        width: facts.width,
        height: facts.height,
        fps: facts.fps,
        format: format.name().to_owned(),
        video_codec: facts.video_codec.clone(),
        audio_codec: facts.audio_codec.clone(),
        bitrate: facts.bitrate,
        created_at: row.created_at,
    }
}

/// Where the files of a job are.
pub struct Links<'a> {
    base: String,
    files: &'a [StoredFile],
}

impl<'a> Links<'a> {
    pub fn of(job_id: JobId, files: &'a [StoredFile]) -> Self {
        Self { base: format!("/api/v1/videos/jobs/{job_id}"), files }
    }

    pub fn to(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    pub fn has(&self, role: FileRole) -> bool {
        self.files.iter().any(|file| file.role == role)
    }

    /// Quality -> URL.
    fn downloads(&self, videos: &[(Rendition, &StoredFile)]) -> BTreeMap<String, String> {
        let levels = videos.iter().map(|(made, _)| made.quality.level());
        levels.map(|level| (level.to_owned(), self.to(&format!("download?quality={level}")))).collect()
    }

    fn thumbnails(&self) -> Vec<String> {
        let sizes = ThumbnailSize::ALL.into_iter().filter(|size| self.has(size.file_role()));
        sizes.map(|size| self.to(&format!("thumbnail?size={}", size.name()))).collect()
    }

    /// Format -> URL.
    fn captions(&self) -> BTreeMap<String, String> {
        let formats = [(FileRole::CaptionsVtt, "vtt"), (FileRole::CaptionsSrt, "srt")];
        let formats = formats.into_iter().filter(|(role, _)| self.has(*role));
        formats.map(|(_, format)| (format.to_owned(), self.to(&format!("captions.{format}")))).collect()
    }

    /// What is streamed: MP4, the best first.
    fn renditions(&self, videos: &[(Rendition, &StoredFile)]) -> Vec<RenditionDetails> {
        let mut streamed: Vec<_> =
            videos.iter().filter(|(made, _)| made.format == OutputFormat::Mp4).collect();
        streamed.sort_by_key(|(made, _)| std::cmp::Reverse(made.quality));
        let describe = |(made, file): &(Rendition, &StoredFile)| RenditionDetails {
            quality: made.quality.level().to_owned(),
            file_size: file.bytes,
            url: self.to(&format!("stream?quality={}", made.quality.level())),
        };
        streamed.into_iter().map(describe).collect()
    }
}

fn stage_details(row: StageRow) -> StageDetails {
    let duration = row.started_at.zip(row.completed_at).map(|(from, until)| until - from);
    StageDetails {
        name: row.stage,
        started_at: row.started_at,
        completed_at: row.completed_at,
        duration_seconds: duration.map(|duration| duration.num_milliseconds() as f64 / 1000.0),
        attempts: row.attempts,
    }
}
