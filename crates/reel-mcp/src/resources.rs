//! Finished videos, their captions and scenes as resources, and how scenes are described.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rmcp::ErrorData;
use rmcp::model::{ListResourcesResult, ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answers::VideoAnswer;
use crate::api::{Failure, Session};
use crate::tools::{encode, read_scenes};

/// The guide to scenes, which is also a skill for agents.
pub const GUIDE: &str = include_str!("../../../skills/reelstream/SKILL.md");

const GUIDE_URI: &str = "reelstream://guide";
const SCHEMA_URI: &str = "reelstream://schema";
const VIDEOS_URI: &str = "reelstream://videos/";
/// Videos on a page of the list.
const PAGE_VIDEOS: u32 = 25;

pub fn video_uri(job_id: &str) -> String {
    format!("{VIDEOS_URI}{job_id}")
}

pub fn captions_uri(job_id: &str) -> String {
    format!("{VIDEOS_URI}{job_id}/captions.vtt")
}

pub fn scenes_uri(job_id: &str) -> String {
    format!("{VIDEOS_URI}{job_id}/scenes")
}

/// Returns the addresses of resources, for any video.
pub fn templates() -> Vec<ResourceTemplate> {
    let of = |name: &str, path: &str, kind: &str, title: &str, description: &str| {
        ResourceTemplate::new(format!("{VIDEOS_URI}{{job_id}}{path}"), name)
            .with_title(title)
            .with_description(description)
            .with_mime_type(kind)
    };
    vec![
        of("video", "", "application/json", "A video", "State, duration, chapters and URLs of a video."),
        of(
            "captions",
            "/captions.vtt",
            "text/vtt",
            "Captions",
            "All that is said in a finished video, with times (WebVTT).",
        ),
        of("captions_srt", "/captions.srt", "application/x-subrip", "Captions (SRT)", "The same as SubRip."),
        of(
            "scenes",
            "/scenes",
            "application/json",
            "Scenes",
            "The scenes of a planned video, as change_scene takes them.",
        ),
        of("thumbnail", "/thumbnail", "image/jpeg", "A picture", "A picture out of a finished video."),
    ]
}

/// Lists the user's finished videos, a page at a time, behind the guide and the schema.
pub async fn list(session: &Session<'_>, cursor: Option<&str>) -> Result<ListResourcesResult, ErrorData> {
    let mut path = format!("/jobs?status=completed&items_per_page={PAGE_VIDEOS}");
    if let Some(cursor) = cursor {
        path.push_str(&format!("&cursor={}", encode(cursor)));
    }
    let answer = session.get(&path).await.map_err(|failure| error(&failure, None))?;
    let mut resources = if cursor.is_none() { documents() } else { vec![] };
    for job in answer["jobs"].as_array().into_iter().flatten() {
        let job_id = job["job_id"].as_str().unwrap_or_default();
        let title = job["title"].as_str().or(job["topic"].as_str()).unwrap_or("A video");
        resources.push(
            Resource::new(video_uri(job_id), format!("video {job_id}"))
                .with_title(title)
                .with_description("State, duration, chapters and URLs.")
                .with_mime_type("application/json"),
        );
        resources.push(
            Resource::new(captions_uri(job_id), format!("captions {job_id}"))
                .with_title(format!("{title}: captions"))
                .with_description("All that is said, with times.")
                .with_mime_type("text/vtt"),
        );
    }
    let mut listed = ListResourcesResult::with_all_items(resources);
    listed.next_cursor = answer["next_cursor"].as_str().map(Into::into);
    Ok(listed)
}

fn documents() -> Vec<Resource> {
    vec![
        Resource::new(GUIDE_URI, "guide")
            .with_title("How to write scripts and scenes")
            .with_mime_type("text/markdown"),
        Resource::new(SCHEMA_URI, "schema")
            .with_title("JSON Schema of scene descriptions")
            .with_mime_type("application/schema+json"),
    ]
}

/// Reads a resource.
pub async fn read(session: &Session<'_>, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let text = |text: String, kind: &str| ResourceContents::text(text, uri).with_mime_type(kind);
    let contents = match uri {
        GUIDE_URI => text(GUIDE.to_owned(), "text/markdown"),
        SCHEMA_URI => text(reel_scene::description::schema().to_string(), "application/schema+json"),
        _ => {
            let (job_id, part) = parse(uri).ok_or_else(|| unknown(uri))?;
            let read = read_part(session, &job_id.to_string(), part).await;
            match read.map_err(|failure| error(&failure, Some(uri)))? {
                (Part::Text(of), kind) => text(of, kind),
                (Part::Bytes(bytes), kind) => {
                    ResourceContents::blob(STANDARD.encode(bytes), uri).with_mime_type(kind)
                }
            }
        }
    };
    Ok(ReadResourceResult::new(vec![contents]))
}

enum Part {
    Text(String),
    Bytes(Vec<u8>),
}

/// Divides the URI of a video's resource into the job and the part of it.
fn parse(uri: &str) -> Option<(Uuid, &str)> {
    let rest = uri.strip_prefix(VIDEOS_URI)?;
    let (job_id, part) = rest.split_once('/').unwrap_or((rest, ""));
    let is_known = ["", "captions.vtt", "captions.srt", "scenes", "thumbnail"].contains(&part);
    is_known.then_some((Uuid::try_parse(job_id).ok()?, part))
}

async fn read_part(session: &Session<'_>, job_id: &str, part: &str) -> Result<(Part, &'static str), Failure> {
    let path = |part: &str| format!("/videos/jobs/{job_id}/{part}");
    Ok(match part {
        "captions.vtt" => (file_text(session, &path(part)).await?, "text/vtt"),
        "captions.srt" => (file_text(session, &path(part)).await?, "application/x-subrip"),
        "thumbnail" => (Part::Bytes(session.file(&path("thumbnail?size=medium")).await?), "image/jpeg"),
        "scenes" => (Part::Text(json!(read_scenes(session, job_id).await?).to_string()), "application/json"),
        _ => (Part::Text(describe(session, job_id).await?.to_string()), "application/json"),
    })
}

async fn file_text(session: &Session<'_>, path: &str) -> Result<Part, Failure> {
    let bytes = session.file(path).await?;
    Ok(Part::Text(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Describes a video: its state, and when it is completed, its chapters.
async fn describe(session: &Session<'_>, job_id: &str) -> Result<Value, Failure> {
    let status = session.get(&format!("/videos/jobs/{job_id}/status")).await?;
    let mut description = json!(VideoAnswer::of(session, &status));
    if status["status"] == "completed" {
        let mut metadata = session.get(&format!("/videos/jobs/{job_id}/metadata")).await?;
        description["chapters"] = metadata["chapters"].take();
    }
    Ok(description)
}

fn unknown(uri: &str) -> ErrorData {
    let shown: String = uri.chars().take(200).collect();
    let message = format!(
        "{shown:?} is no resource; known are {GUIDE_URI}, {SCHEMA_URI}, and for the job_id of a video {VIDEOS_URI}{{job_id}}, and \
         below it captions.vtt, captions.srt, scenes and thumbnail"
    );
    ErrorData::resource_not_found(message, None)
}

fn error(failure: &Failure, uri: Option<&str>) -> ErrorData {
    let data = uri.map(|uri| json!({ "uri": uri }));
    match failure.is_not_found() {
        true => ErrorData::resource_not_found(failure.to_string(), data),
        false => ErrorData::internal_error(failure.to_string(), data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the guide are what agents copy.
    #[test]
    fn the_examples_of_the_guide_are_sound() {
        let examples: Vec<&str> =
            GUIDE.split("```json").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert_eq!(examples.len(), 2);
        let scenes: Vec<serde_json::Map<String, Value>> = serde_json::from_str(examples[0]).expect("scenes");
        assert_eq!(crate::scenes::check(&scenes), Ok(()));
        let blocks: Vec<Value> = serde_json::from_str(examples[1]).expect("blocks");
        assert!(blocks.len() > 25);
        for block in blocks {
            let scene = json!({ "title": "T", "blocks": [block], "steps": [{ "narration": "Say." }] });
            let scene = scene.as_object().cloned().unwrap_or_default();
            assert_eq!(crate::scenes::check(&[scene]), Ok(()), "{block}");
        }
    }

    #[test]
    fn only_addresses_of_videos_are_read() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(parse(&captions_uri(id)).map(|(_, part)| part), Some("captions.vtt"));
        assert_eq!(parse(&video_uri(id)).map(|(_, part)| part), Some(""));
        for uri in ["reelstream://videos/../system/health", "reelstream://videos/x", "file:///etc/passwd"] {
            assert!(parse(uri).is_none(), "{uri}");
        }
        assert!(parse(&format!("{}/events", video_uri(id))).is_none());
    }
}
