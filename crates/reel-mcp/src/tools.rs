//! The table of tools, and what each does.

use rmcp::model::{CallToolResult, JsonObject, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::answers::{
    CancelAnswer, CheckAnswer, GuideAnswer, SceneAnswer, ScenesAnswer, VideoAnswer, VideosAnswer,
};
use crate::api::{Failure, Session};
use crate::arguments::{
    ChangeScene, CheckScenes, CreateVideo, GetScenes, ListVideos, NoArguments, Video, WaitForVideo,
};
use crate::resources::GUIDE;
use crate::scenes;
use crate::watch::{Listener, wait_until_ended};

/// More than the API takes, so that its own refusal is what an agent reads.
const MAX_ARGUMENT_BYTES: usize = 4 << 20;
/// Begins the idempotency keys of requests that name none.
const KEY_PREFIX: &str = "reel-mcp-";

/// How a tool changes what there is.
enum Effect {
    Reads,
    Adds,
    Destroys,
}

fn tool<A: JsonSchema + 'static, R: JsonSchema + 'static>(
    name: &'static str,
    title: &'static str,
    effect: Effect,
    description: &'static str,
) -> Tool {
    let hints = ToolAnnotations::with_title(title).open_world(false);
    let hints = match effect {
        Effect::Reads => hints.read_only(true),
        Effect::Adds => hints.read_only(false).destructive(false).idempotent(false),
        Effect::Destroys => hints.read_only(false).destructive(true).idempotent(true),
    };
    Tool::new(name, description, JsonObject::new())
        .with_title(title)
        .with_input_schema::<A>()
        .with_output_schema::<R>()
        .with_annotations(hints)
}

/// Returns all tools.
pub fn list() -> Vec<Tool> {
    vec![
        tool::<CreateVideo, VideoAnswer>(
            "create_video",
            "Make a video",
            Effect::Adds,
            "Makes a narrated video of a script (Markdown or plain text), or of scenes that you describe. Returns at once with a job_id; \
             the video takes from seconds to minutes. Follow it with wait_for_video. It counts against the user's limits.",
        ),
        tool::<WaitForVideo, VideoAnswer>(
            "wait_for_video",
            "Wait for a video",
            Effect::Reads,
            "Waits until a video has ended, with progress notifications, or until wait_seconds are over. Returns its state. When \
             has_ended is false, call it again. Stopping this call does not stop the video.",
        ),
        tool::<Video, VideoAnswer>(
            "get_video",
            "Read the state of a video",
            Effect::Reads,
            "Returns how far a video is; its duration, size and URLs when it is completed; what went wrong when it failed.",
        ),
        tool::<ListVideos, VideosAnswer>(
            "list_videos",
            "List the user's videos",
            Effect::Reads,
            "Lists the user's videos, the newest first: those that are made, and those that have ended.",
        ),
        tool::<GetScenes, ScenesAnswer>(
            "get_scenes",
            "Read the scenes of a video",
            Effect::Reads,
            "Returns the scenes of a video as they were planned: what is shown, what is said, and how long each takes. Change one, and \
             give it to change_scene.",
        ),
        tool::<ChangeScene, VideoAnswer>(
            "change_scene",
            "Change one scene and make the video again",
            Effect::Adds,
            "Makes a new video that differs from an earlier one in one scene; the earlier one stays. Scenes that did not change are \
             taken from a cache where they are still there, so this is faster than the first time. Returns the new video's job_id. \
             The scene's faults are listed when it has some; nothing is made then.",
        ),
        tool::<Video, CancelAnswer>(
            "cancel_video",
            "Cancel a video",
            Effect::Destroys,
            "Stops a video that is queued or being made, for good. A video that has ended cannot be cancelled.",
        ),
        tool::<CheckScenes, CheckAnswer>(
            "check_scenes",
            "Check scenes",
            Effect::Reads,
            "Checks scenes that you describe, and lists all faults with their places. Makes nothing and counts against no limit.",
        ),
        tool::<NoArguments, GuideAnswer>(
            "get_scene_guide",
            "Read how scenes are described",
            Effect::Reads,
            "Returns a guide in Markdown: how to write scripts and scenes, with all kinds of blocks and examples. Read it once before \
             you write scenes.",
        ),
    ]
}

/// Calls a tool. `None` when there is no tool of this name.
pub async fn call(
    session: &Session<'_>,
    listener: &Listener,
    name: &str,
    arguments: JsonObject,
) -> Option<CallToolResult> {
    let arguments = Value::Object(arguments);
    let answered = match name {
        "create_video" => answer(create_video(session, listener, arguments).await),
        "wait_for_video" => answer(wait_for_video(session, listener, arguments).await),
        "get_video" => answer(get_video(session, arguments).await),
        "list_videos" => answer(list_videos(session, arguments).await),
        "get_scenes" => answer(get_scenes(session, arguments).await),
        "change_scene" => answer(change_scene(session, listener, arguments).await),
        "cancel_video" => answer(cancel_video(session, arguments).await),
        "check_scenes" => answer(check_scenes(arguments)),
        "get_scene_guide" => {
            answer(read::<NoArguments>(arguments).map(|_none| GuideAnswer { guide: GUIDE.to_owned() }))
        }
        _ => return None,
    };
    Some(answered)
}

fn answer<R: Serialize>(result: Result<R, Failure>) -> CallToolResult {
    let failed = |text: String| CallToolResult::error(vec![rmcp::model::ContentBlock::text(text)]);
    match result.map(|answer| serde_json::to_value(answer)) {
        Ok(Ok(value)) => CallToolResult::structured(value),
        Ok(Err(error)) => failed(format!("INTERNAL_ERROR: the result is no JSON: {error}")),
        Err(failure) => failed(failure.to_string()),
    }
}

/// Reads arguments; an error names the one that does not fit.
fn read<A: DeserializeOwned>(arguments: Value) -> Result<A, Failure> {
    let size_bytes = arguments.to_string().len();
    if size_bytes > MAX_ARGUMENT_BYTES {
        let fault = format!("they have {size_bytes} bytes, but may have at most {MAX_ARGUMENT_BYTES}");
        return Err(Failure::of_arguments("the arguments are too large", vec![fault]));
    }
    serde_path_to_error::deserialize(arguments).map_err(|error| {
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        let fault = if path == "." { message } else { format!("{path}: {message}") };
        Failure::of_arguments("the arguments do not fit", vec![fault])
    })
}

async fn create_video(
    session: &Session<'_>,
    listener: &Listener,
    arguments: Value,
) -> Result<VideoAnswer, Failure> {
    let video: CreateVideo = read(arguments)?;
    if let Some(scenes) = &video.scenes {
        scenes::check(scenes).map_err(|faults| Failure::of_arguments("the scenes have faults", faults))?;
    }
    let (key, wait_seconds) = (video.idempotency_key.clone(), video.wait_seconds);
    request(session, listener, &body_of(video), key, wait_seconds).await
}

fn body_of(video: CreateVideo) -> Value {
    let style = video.aspect_ratio.map(|aspect| json!({ "aspect_ratio": aspect }));
    let custom = video.duration_seconds.map(|seconds| json!({ "duration_seconds": seconds }));
    let mut body = json!({
        "topic": video.topic,
        "script": video.script,
        "scenes": video.scenes,
        "context": video.context,
        "title": video.title,
        "quality": video.quality,
        "template_id": video.theme,
        "style_preferences": style,
        "custom_config": custom,
        "upload_ids": video.upload_ids,
        "use_rag": video.use_rag,
    });
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    body
}

/// Requests a video under a key, so that a request whose answer was lost can be repeated once.
async fn request(
    session: &Session<'_>,
    listener: &Listener,
    body: &Value,
    key: Option<String>,
    wait_seconds: u64,
) -> Result<VideoAnswer, Failure> {
    let key = key.unwrap_or_else(|| format!("{KEY_PREFIX}{}", uuid::Uuid::now_v7()));
    let summary = session.post("/videos/generate", Some(body), Some(&key)).await?;
    if wait_seconds == 0 {
        return Ok(VideoAnswer::of(session, &summary));
    }
    let job_id = summary["job_id"].as_str().unwrap_or_default();
    let status = wait_until_ended(session, listener, job_id, wait_seconds).await?;
    Ok(VideoAnswer::of(session, &status))
}

async fn wait_for_video(
    session: &Session<'_>,
    listener: &Listener,
    arguments: Value,
) -> Result<VideoAnswer, Failure> {
    let WaitForVideo { job_id, wait_seconds } = read(arguments)?;
    let status = wait_until_ended(session, listener, &job_id.to_string(), wait_seconds).await?;
    Ok(VideoAnswer::of(session, &status))
}

async fn get_video(session: &Session<'_>, arguments: Value) -> Result<VideoAnswer, Failure> {
    let Video { job_id } = read(arguments)?;
    let status = session.get(&format!("/videos/jobs/{job_id}/status")).await?;
    Ok(VideoAnswer::of(session, &status))
}

async fn list_videos(session: &Session<'_>, arguments: Value) -> Result<VideosAnswer, Failure> {
    let ListVideos { status, query, limit, cursor } = read(arguments)?;
    let mut path = format!("/jobs?items_per_page={}", limit.clamp(1, 50));
    for (name, value) in [("status", status), ("q", query), ("cursor", cursor)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encode(&value)));
        }
    }
    Ok(VideosAnswer::of(&session.get(&path).await?))
}

/// Encodes a value of a query (RFC 3986: all but unreserved characters).
pub fn encode(value: &str) -> String {
    let encode_byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(encode_byte).collect()
}

async fn get_scenes(session: &Session<'_>, arguments: Value) -> Result<ScenesAnswer, Failure> {
    let GetScenes { job_id, scene } = read(arguments)?;
    let answer = read_scenes(session, &job_id.to_string()).await?;
    let Some(wanted) = scene else { return Ok(answer) };
    let total_scenes = answer.total_scenes;
    let scenes: Vec<SceneAnswer> = answer.scenes.into_iter().filter(|of| of.scene == wanted).collect();
    if scenes.is_empty() {
        let fault = format!("scene is {wanted}, but the video has {total_scenes} scenes, counted from 0");
        return Err(Failure::of_arguments("there is no such scene", vec![fault]));
    }
    Ok(ScenesAnswer { scenes, ..answer })
}

/// Reads the descriptions of a video's scenes, and how far each is.
pub async fn read_scenes(session: &Session<'_>, job_id: &str) -> Result<ScenesAnswer, Failure> {
    let plan = scenes::read_plan(session, job_id).await?;
    let states = session.get(&format!("/videos/jobs/{job_id}/scenes")).await?;
    let scenes = plan.scenes.into_iter().enumerate().map(|(scene, description)| {
        let state = &states["scenes"][scene];
        let status = state["status"].as_str().map(str::to_owned);
        SceneAnswer { scene, status, duration_seconds: state["duration"].as_f64(), description }
    });
    let scenes: Vec<SceneAnswer> = scenes.collect();
    Ok(ScenesAnswer {
        job_id: job_id.to_owned(),
        status: states["status"].as_str().unwrap_or_default().to_owned(),
        total_scenes: scenes.len(),
        scenes,
    })
}

async fn change_scene(
    session: &Session<'_>,
    listener: &Listener,
    arguments: Value,
) -> Result<VideoAnswer, Failure> {
    let ChangeScene { job_id, scene, description, idempotency_key, wait_seconds } = read(arguments)?;
    let plan = scenes::read_plan(session, &job_id.to_string()).await?;
    let body = plan.with_scene(scene, description)?;
    request(session, listener, &body, idempotency_key, wait_seconds).await
}

async fn cancel_video(session: &Session<'_>, arguments: Value) -> Result<CancelAnswer, Failure> {
    let Video { job_id } = read(arguments)?;
    Ok(CancelAnswer::of(&session.post(&format!("/jobs/{job_id}/cancel"), None, None).await?))
}

fn check_scenes(arguments: Value) -> Result<CheckAnswer, Failure> {
    let CheckScenes { scenes } = read(arguments)?;
    let faults = scenes::check(&scenes).err().unwrap_or_default();
    Ok(CheckAnswer { is_valid: faults.is_empty(), faults })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_says_what_it_takes_gives_and_changes() {
        let tools = list();
        for tool in &tools {
            let hints = tool.annotations.as_ref().expect("annotations");
            assert!(hints.read_only_hint.is_some() && hints.title.is_some(), "{}", tool.name);
            assert!(tool.description.as_ref().is_some_and(|text| text.len() > 40), "{}", tool.name);
            assert_eq!(tool.input_schema["type"], "object", "{}", tool.name);
            assert_eq!(tool.input_schema["additionalProperties"], false, "{}", tool.name);
            assert!(tool.output_schema.is_some(), "{}", tool.name);
        }
        let destructive: Vec<&str> = tools
            .iter()
            .filter(|tool| tool.annotations.as_ref().and_then(|hints| hints.destructive_hint) == Some(true))
            .map(|tool| tool.name.as_ref())
            .collect();
        assert_eq!(destructive, ["cancel_video"]);
        // An agent pays for the list in every conversation.
        let size_bytes = serde_json::to_string(&tools).expect("tools are JSON").len();
        assert!(size_bytes < 24_000, "{size_bytes}");
    }

    #[test]
    fn arguments_that_do_not_fit_are_named() {
        let fault = |value: Value| read::<CreateVideo>(value).expect_err("it does not fit").to_string();
        assert!(
            fault(json!({ "topic": 7 })).contains("topic: invalid type"),
            "{}",
            fault(json!({ "topic": 7 }))
        );
        assert!(fault(json!({ "script": "x" })).contains("missing field `topic`"));
        assert!(fault(json!({ "topic": "Ions", "colour": "red" })).contains("unknown field `colour`"));
        let large = fault(json!({ "topic": "x".repeat(MAX_ARGUMENT_BYTES) }));
        assert!(large.contains("too large") && large.len() < 400, "{large}");
        let id = read::<Video>(json!({ "job_id": "../../system/jobs" })).expect_err("it is no UUID");
        assert!(id.to_string().contains("job_id"), "{id}");
    }

    #[test]
    fn a_body_has_only_what_was_given() {
        let video =
            read(json!({ "topic": "Ions", "aspect_ratio": "9:16", "duration_seconds": 30, "theme": "plum" }));
        let body = body_of(video.expect("it fits"));
        let expected = json!({ "topic": "Ions", "style_preferences": { "aspect_ratio": "9:16" },
            "custom_config": { "duration_seconds": 30 }, "template_id": "plum" });
        assert_eq!(body, expected);
        assert_eq!(encode("a b&ü"), "a%20b%26%C3%BC");
    }
}
