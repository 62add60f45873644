//! The results of tools, made of the API's answers.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::api::Session;
use crate::resources;

/// The state of a video.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VideoAnswer {
    pub job_id: String,
    /// `queued`, `processing`, `completed`, `failed` or `cancelled`; the last three are ends.
    pub status: String,
    pub has_ended: bool,
    /// 0 to 100.
    pub percentage: f64,
    /// The current step, in words.
    pub stage: String,
    pub topic: Option<String>,
    pub title: Option<String>,
    pub created_at: Option<String>,
    /// A guess while it runs.
    pub estimated_completion: Option<String>,
    pub scenes_total: Option<u64>,
    pub scenes_done: Option<u64>,
    /// Present when it is completed.
    pub video: Option<FinishedVideo>,
    /// Present when it failed.
    pub error: Option<VideoError>,
    /// Warnings: parts of the video that the user may have meant otherwise.
    pub warnings: Vec<String>,
}

/// A completed video.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FinishedVideo {
    pub duration_seconds: Option<f64>,
    pub width: Option<u64>,
    pub height: Option<u64>,
    pub size_bytes: Option<u64>,
    /// The MP4, for whoever sends the user's token in the `Authorization` header.
    pub download_url: String,
    /// Resources of this server, to read with `resources/read`.
    pub resource: String,
    pub captions_resource: String,
    pub scenes_resource: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct VideoError {
    pub code: String,
    pub message: String,
    pub stage: Option<String>,
    pub what_to_do: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct VideosAnswer {
    pub videos: Vec<ListedVideo>,
    pub total_count: u64,
    /// Gives the next page, as `cursor`; null on the last one.
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ListedVideo {
    pub job_id: String,
    pub status: String,
    pub percentage: f64,
    pub topic: Option<String>,
    pub title: Option<String>,
    pub quality: Option<String>,
    pub created_at: Option<String>,
    pub completed_at: Option<String>,
    pub error_code: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ScenesAnswer {
    pub job_id: String,
    /// The video's status, not the scenes'.
    pub status: String,
    pub total_scenes: usize,
    pub scenes: Vec<SceneAnswer>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct SceneAnswer {
    /// From 0.
    pub scene: usize,
    /// `planned`, `narrated`, `coded` or `rendered`; null while that is not known yet.
    pub status: Option<String>,
    pub duration_seconds: Option<f64>,
    /// The scene as change_scene takes it.
    pub description: Map<String, Value>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct CheckAnswer {
    pub is_valid: bool,
    /// The place of each fault, what was found, and what is allowed.
    pub faults: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct CancelAnswer {
    pub job_id: String,
    pub previous_status: String,
    pub status: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct GuideAnswer {
    /// Markdown.
    pub guide: String,
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

pub fn has_ended(status: &Value) -> bool {
    matches!(status["status"].as_str(), Some("completed" | "failed" | "cancelled"))
}

impl VideoAnswer {
    /// Reads a status, or the shorter summary that answers a request.
    pub fn of(session: &Session<'_>, status: &Value) -> Self {
        let progress = &status["progress"];
        let job_id = status["job_id"].as_str().unwrap_or_default().to_owned();
        let is_completed = status["status"] == "completed";
        let warnings = status["warnings"].as_array().into_iter().flatten();
        Self {
            status: text(&status["status"]).unwrap_or_default(),
            has_ended: has_ended(status),
            percentage: progress["percentage"].as_f64().unwrap_or_default(),
            stage: text(&progress["stage_description"]).unwrap_or_default(),
            topic: text(&status["topic"]),
            title: text(&status["title"]),
            created_at: text(&status["created_at"]),
            estimated_completion: text(&status["estimated_completion"]),
            scenes_total: progress["scenes_total"].as_u64(),
            scenes_done: progress["scenes_done"].as_u64(),
            video: is_completed.then(|| FinishedVideo::of(session, &job_id, &status["video"])),
            error: VideoError::of(&status["error"]),
            warnings: warnings.filter_map(|warning| text(&warning["message"])).collect(),
            job_id,
        }
    }
}

impl FinishedVideo {
    fn of(session: &Session<'_>, job_id: &str, video: &Value) -> Self {
        Self {
            duration_seconds: video["duration"].as_f64(),
            width: video["width"].as_u64(),
            height: video["height"].as_u64(),
            size_bytes: video["file_size"].as_u64(),
            download_url: session.url(&format!("/videos/jobs/{job_id}/download")),
            resource: resources::video_uri(job_id),
            captions_resource: resources::captions_uri(job_id),
            scenes_resource: resources::scenes_uri(job_id),
        }
    }
}

impl VideoError {
    fn of(error: &Value) -> Option<Self> {
        error.as_object()?;
        Some(Self {
            code: text(&error["error_code"]).unwrap_or_default(),
            message: text(&error["error_message"]).unwrap_or_default(),
            stage: text(&error["error_stage"]),
            what_to_do: text(&error["recovery_suggestion"]),
        })
    }
}

impl VideosAnswer {
    pub fn of(answer: &Value) -> Self {
        let jobs = answer["jobs"].as_array().into_iter().flatten();
        Self {
            videos: jobs.map(ListedVideo::of).collect(),
            total_count: answer["total_count"].as_u64().unwrap_or_default(),
            next_cursor: text(&answer["next_cursor"]),
        }
    }
}

impl ListedVideo {
    fn of(job: &Value) -> Self {
        Self {
            job_id: text(&job["job_id"]).unwrap_or_default(),
            status: text(&job["status"]).unwrap_or_default(),
            percentage: job["progress"]["percentage"].as_f64().unwrap_or_default(),
            topic: text(&job["topic"]),
            title: text(&job["title"]),
            quality: text(&job["quality"]),
            created_at: text(&job["created_at"]),
            completed_at: text(&job["completed_at"]),
            error_code: text(&job["error_code"]),
        }
    }
}

impl CancelAnswer {
    pub fn of(answer: &Value) -> Self {
        Self {
            job_id: text(&answer["job_id"]).unwrap_or_default(),
            previous_status: text(&answer["previous_status"]).unwrap_or_default(),
            status: text(&answer["new_status"]).unwrap_or_default(),
        }
    }
}
