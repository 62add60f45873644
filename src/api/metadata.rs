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
use super::visible_job;
use crate::events::job::{FileRole, StoredFile};
use crate::events::{OutputFormat, Quality, Rendition};
use crate::projections::catalog::{LogLine, StageRow, VideoRow};
use crate::projections::status::StatusView;
use reel_studio::join::captions::{self, Chapter};

#[derive(Debug, Serialize, ToSchema)]
pub struct MetadataAnswer {
    pub job_id: Uuid,
    pub video: VideoDetails,
    /// Quality, such as `720p`, -> URL.
    pub video_urls: BTreeMap<String, String>,
    pub thumbnail_urls: Vec<String>,
    pub download_url: String,
    pub streaming_url: String,
    pub streaming_info: StreamingInfo,
    /// Empty while videos are stored locally.
    pub s3_keys: Vec<String>,
    pub technical_metadata: serde_json::Value,
    pub chapters: Vec<ChapterDetails>,
    /// Where the captions are, by format; empty for a job without subtitles.
    pub captions: BTreeMap<String, String>,
    pub processing: ProcessingDetails,
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
    responses((status_code = 409, description = "Not completed yet", body = super::problem::ErrorBody))
)]
pub async fn get_video_metadata(
    req: &mut Request,
    depot: &mut Depot,
) -> Result<Json<MetadataAnswer>, Problem> {
    let (state, view) = visible_job(req, depot).await?;
    require_completed(&view)?;
    let video =
        state.catalog.video(view.job_id).await?.ok_or_else(|| Problem::not_found("this job has no video"))?;
    let (_, logs) = state.catalog.logs(view.job_id, "info", LOG_LINES, 0).await?;
    let job = state.executor.load(view.job_id).await?.into_state();
    let chapters = captions::chapters(job.narrated_scenes());
    Ok(Json(answer(&view, video, logs, &chapters)))
}

fn answer(view: &StatusView, row: VideoRow, logs: Vec<LogLine>, chapters: &[Chapter]) -> MetadataAnswer {
    let base = format!("/api/v1/videos/jobs/{}", view.job_id);
    let download_url = format!("{base}/download");
    let streaming_url = format!("{base}/stream");
    let has = |role| row.files.iter().any(|file| file.role == role);
    let thumbnails = [
        (FileRole::ThumbnailSmall, "small"),
        (FileRole::ThumbnailMedium, "medium"),
        (FileRole::ThumbnailLarge, "large"),
    ];
    let thumbnail_urls = thumbnails
        .into_iter()
        .filter(|(role, _)| has(*role))
        .map(|(_, size)| format!("{base}/thumbnail?size={size}"))
        .collect();
    let videos = || row.files.iter().filter(|file| file.role == FileRole::Video);
    let videos = || videos().map(|file| (file.rendition_in(view.quality), file));
    let url = |quality: Quality| format!("{download_url}?quality={}", quality.level());
    let video_urls = videos().map(|(made, _)| (made.quality.level().to_owned(), url(made.quality))).collect();
    let mut renditions: Vec<(Rendition, &StoredFile)> =
        videos().filter(|(made, _)| made.format == OutputFormat::Mp4).collect();
    renditions.sort_by_key(|(made, _)| std::cmp::Reverse(made.quality));
    let renditions = renditions.into_iter().map(|(made, file)| RenditionDetails {
        quality: made.quality.level().to_owned(),
        file_size: file.bytes,
        url: format!("{streaming_url}?quality={}", made.quality.level()),
    });
    let renditions = renditions.collect();
    // The file that a download gives is of the format that was asked for.
    let delivered = videos().filter(|(made, _)| made.quality == view.quality);
    let delivered = delivered.map(|(made, _)| made.format).max().unwrap_or_default();
    let formats = [(FileRole::CaptionsVtt, "vtt"), (FileRole::CaptionsSrt, "srt")];
    let captions = formats
        .into_iter()
        .filter(|(role, _)| has(*role))
        .map(|(_, format)| (format.to_owned(), format!("{base}/captions.{format}")))
        .collect();
    let digests: BTreeMap<String, &str> =
        row.files.iter().map(|file| (file.key.clone(), file.blake3.as_str())).collect();
    let technical_metadata = serde_json::json!({ "frames": row.facts.frames, "blake3": digests });
    MetadataAnswer {
        job_id: view.job_id.0,
        video: VideoDetails {
            video_id: row.video_id,
            filename: format!("video.{}", delivered.name()),
            file_size: row.facts.file_size,
            duration: row.facts.duration_ms as f64 / 1000.0,
            width: row.facts.width,
            height: row.facts.height,
            fps: row.facts.fps,
            format: delivered.name().to_owned(),
            video_codec: row.facts.video_codec,
            audio_codec: row.facts.audio_codec,
            bitrate: row.facts.bitrate,
            created_at: row.created_at,
        },
        video_urls,
        thumbnail_urls,
        download_url,
        streaming_url,
        streaming_info: StreamingInfo {
            fast_start: true,
            supports_ranges: true,
            format: "mp4".to_owned(),
            hls_url: has(FileRole::HlsMaster).then(|| format!("{base}/hls/master.m3u8")),
            renditions,
        },
        s3_keys: vec![],
        technical_metadata,
        captions,
        chapters: chapters.iter().map(ChapterDetails::of).collect(),
        processing: ProcessingDetails {
            stages: row.stages.into_iter().map(details).collect(),
            logs: logs.into_iter().map(LogLineAnswer::of).collect(),
        },
    }
}

fn details(row: StageRow) -> StageDetails {
    let duration = row.started_at.zip(row.completed_at).map(|(from, until)| until - from);
    StageDetails {
        name: row.stage,
        started_at: row.started_at,
        completed_at: row.completed_at,
        duration_seconds: duration.map(|duration| duration.num_milliseconds() as f64 / 1000.0),
        attempts: row.attempts,
    }
}
