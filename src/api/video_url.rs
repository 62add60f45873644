//! `GET /videos/jobs/{job_id}/video-url`.

use chrono::{DateTime, Utc};
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::*;
use serde::Serialize;
use uuid::Uuid;

use super::files::require_completed;
use super::metadata::{Links, delivered_format, videos_of};
use super::problem::Problem;
use super::{catalog_of, signed_urls, user, visible_job};
use crate::events::OutputFormat;
use crate::events::job::ThumbnailSize;
use crate::projections::catalog::VideoRow;
use crate::projections::status::StatusView;

#[derive(Debug, Serialize, ToSchema)]
pub struct VideoUrlAnswer {
    pub job_id: Uuid,
    /// `completed`: before, the answer is 409.
    pub status: String,
    /// Plays in a browser: a fast-start MP4 with ranges. Of a file in S3, it is signed, and needs no token while it is
    /// valid.
    pub video_url: String,
    /// Saves the file in the format that was asked for.
    pub download_url: String,
    /// A still of 640x360; null for a job without thumbnails.
    pub thumbnail_url: Option<String>,
    pub metadata: VideoUrlMetadata,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct VideoUrlMetadata {
    /// Seconds.
    pub duration: f64,
    pub quality: String,
    /// `mp4`, `mov`, `webm` or `avi`: what the download is.
    pub format: String,
    /// Bytes of the MP4 in the quality that was asked for.
    pub file_size: u64,
    /// Always false: every video is made of what its request says.
    pub demo: bool,
    /// When the video was finished.
    pub created_at: DateTime<Utc>,
}

/// The URLs of a finished video
///
/// URLs that need the same token as this request. 409 before the job is completed, with how far it is.
#[endpoint(
    tags("videos"),
    operation_id = "get_video_url",
    security(["bearer" = []]),
    parameters(("job_id" = Uuid, Path, description = "The job")),
    responses((status_code = 200, description = "Where the video is", body = VideoUrlAnswer),
              (status_code = 409, description = "Not completed yet", body = super::problem::ErrorBody),
              (status_code = 410, description = "Removed because of its age", body = super::problem::ErrorBody))
)]
pub async fn get_video_url(req: &mut Request, depot: &mut Depot) -> Result<Json<VideoUrlAnswer>, Problem> {
    let (state, view) = visible_job(req, depot).await?;
    require_completed(&view)?;
    let video = catalog_of(&state, &user(depot)?).video(view.job_id).await?;
    let video = video.ok_or_else(|| Problem::not_found("this job has no video"))?;
    let renditions = videos_of(&video, &view).into_iter();
    let streamed = renditions.filter(|(rendition, _)| rendition.format == OutputFormat::Mp4);
    let best = streamed.max_by_key(|(rendition, _)| rendition.quality);
    let signed = signed_urls::of_videos(&state, best.as_slice()).await.into_values().next();
    Ok(Json(locate(&view, &video, signed)))
}

fn locate(view: &StatusView, video: &VideoRow, signed: Option<String>) -> VideoUrlAnswer {
    let links = Links::of(view.job_id, &video.files);
    let medium = ThumbnailSize::Medium;
    VideoUrlAnswer {
        job_id: view.job_id.0,
        status: view.status.name().to_owned(),
        video_url: signed.unwrap_or_else(|| links.to("stream")),
        download_url: links.to("download"),
        thumbnail_url: links
            .has(medium.file_role())
            .then(|| links.to(&format!("thumbnail?size={}", medium.name()))),
        metadata: describe(video, view),
    }
}

fn describe(video: &VideoRow, view: &StatusView) -> VideoUrlMetadata {
    VideoUrlMetadata {
        duration: video.facts.duration_ms as f64 / 1000.0,
        quality: view.quality.name().to_owned(),
        format: delivered_format(&videos_of(video, view), view.quality).name().to_owned(),
        file_size: video.facts.file_size,
        demo: false,
        created_at: video.created_at,
    }
}
