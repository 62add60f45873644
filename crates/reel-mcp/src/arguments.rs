//! The arguments of each tool. Their documentation is what an agent reads.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

/// Seconds that a tool may wait, at most.
pub const MAX_WAIT_SECONDS: u64 = 600;

/// A video to make. Give a script, or scenes of your own. A topic alone works only where the server has a language model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateVideo {
    /// The subject of the video, in a few words.
    #[schemars(length(min = 3, max = 500))]
    pub topic: String,
    /// The full text to tell, Markdown or plain. Headings divide it into chapters; lists, tables, numbers, formulas, code and
    /// Mermaid diagrams get pages of their own kind.
    #[schemars(length(max = 200_000))]
    pub script: Option<String>,
    /// Scenes that you describe yourself, instead of a script; each is an object with `title`, `blocks` and `steps`. Read
    /// get_scene_guide first, and try them with check_scenes.
    #[schemars(length(min = 1, max = 60))]
    pub scenes: Option<Vec<Map<String, Value>>>,
    /// Background for a language model, beside the topic. Without a model and without a script, it is narrated itself.
    #[schemars(length(min = 10, max = 2000))]
    pub context: Option<String>,
    /// Shown on the video's first page, instead of one made from the script.
    #[schemars(length(max = 200))]
    pub title: Option<String>,
    /// `low` (480p) is made fastest, then `medium` (720p), `high` (1080p), `ultra` (1440p).
    #[schemars(extend("enum" = ["low", "medium", "high", "ultra"]))]
    pub quality: Option<String>,
    #[schemars(extend("enum" = ["paper", "midnight", "chalkboard", "sunrise", "gallery", "meadow", "plum", "whiteboard"]))]
    pub theme: Option<String>,
    #[schemars(extend("enum" = ["16:9", "9:16", "1:1"]))]
    pub aspect_ratio: Option<String>,
    /// How long the video should be; without it, as long as the narration takes.
    #[schemars(range(min = 30, max = 600))]
    pub duration_seconds: Option<u32>,
    /// Ids of files that the user has uploaded, such as pictures to show.
    #[schemars(with = "Option<Vec<String>>")]
    pub upload_ids: Option<Vec<Uuid>>,
    /// `true` looks things up for the plan: in files that the user has uploaded before, and in scenes of earlier videos. It needs a
    /// server with a language model.
    pub use_rag: Option<bool>,
    /// Names this request: sent again with the same key within a day, it answers with the first one's video instead of making
    /// another.
    #[schemars(length(min = 1, max = 255))]
    pub idempotency_key: Option<String>,
    /// Wait so long for the end, with progress notifications; 0 (the default) returns at once.
    #[schemars(range(max = 600))]
    #[serde(default)]
    pub wait_seconds: u64,
}

/// One video.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Video {
    /// As create_video and list_videos give it.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub job_id: Uuid,
}

/// A video to watch until it has ended.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitForVideo {
    /// As create_video and list_videos give it.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub job_id: Uuid,
    /// The most seconds to wait. When it has not ended by then, its present state is returned: call again.
    #[serde(default = "usual_wait_seconds")]
    #[schemars(range(min = 1, max = 600))]
    pub wait_seconds: u64,
}

/// Shorter than the minute after which many clients give a call up.
fn usual_wait_seconds() -> u64 {
    50
}

/// A choice of videos, and a page of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListVideos {
    #[schemars(extend("enum" = ["queued", "processing", "completed", "failed", "cancelled"]))]
    pub status: Option<String>,
    /// Words of topics and titles.
    #[schemars(length(max = 200))]
    pub query: Option<String>,
    /// How many to list at most.
    #[serde(default = "usual_limit")]
    #[schemars(range(min = 1, max = 50))]
    pub limit: u64,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

fn usual_limit() -> u64 {
    20
}

/// Scenes of a video.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetScenes {
    /// As create_video and list_videos give it.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub job_id: Uuid,
    /// One scene alone, from 0; all without it.
    pub scene: Option<usize>,
}

/// A scene that takes another's place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeScene {
    /// The video to change; it stays as it is, and a new one is made.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub job_id: Uuid,
    /// The number of the scene, from 0, as get_scenes counts.
    pub scene: usize,
    /// The whole new scene, as get_scenes gives it and get_scene_guide explains it.
    pub description: Map<String, Value>,
    /// Names this request: sent again with the same key within a day, it answers with the first one's video instead of making
    /// another.
    #[schemars(length(min = 1, max = 255))]
    pub idempotency_key: Option<String>,
    /// Wait so long for the end, with progress notifications; 0 (the default) returns at once.
    #[schemars(range(max = 600))]
    #[serde(default)]
    pub wait_seconds: u64,
}

/// Scenes to check.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckScenes {
    #[schemars(length(min = 1, max = 60))]
    pub scenes: Vec<Map<String, Value>>,
}

/// Nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoArguments {}
