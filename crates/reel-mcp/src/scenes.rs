//! The scenes of a video as they were described, and requests for the same video with another scene.

use serde_json::{Map, Value, json};

use crate::api::{Failure, Session};

/// Parts of a history that are read at most; a job has some hundred events.
const MAX_PARTS: usize = 10;

/// A video as it was asked for and planned.
pub struct Plan {
    /// As recorded.
    request: Value,
    pub scenes: Vec<Map<String, Value>>,
}

/// Reads a job's request and plan from its history.
pub async fn read_plan(session: &Session<'_>, job_id: &str) -> Result<Plan, Failure> {
    let mut plan = Plan { request: Value::Null, scenes: vec![] };
    let mut from = Some(1);
    for _ in 0..MAX_PARTS {
        let Some(version) = from else { break };
        let mut part = session.get(&format!("/jobs/{job_id}/events?from_version={version}")).await?;
        if let Value::Array(events) = part["events"].take() {
            events.into_iter().for_each(|event| plan.apply(event));
        }
        from = part["next_version"].as_u64();
    }
    match plan.scenes.is_empty() {
        false => Ok(plan),
        true => Err(Failure::not_yet(
            "the video has no scenes yet: it is not planned",
            "call wait_for_video, then get_scenes again; a video that failed before it was planned has none",
        )),
    }
}

impl Plan {
    fn apply(&mut self, mut event: Value) {
        match event["type"].as_str() {
            Some("JobRequested") => self.request = event["data"]["request"].take(),
            Some("ScenePlanned") => {
                // A job that began again was planned anew.
                if event["data"]["scene"] == 0 {
                    self.scenes.clear();
                }
                if let Value::Object(scene) = event["data"]["description"].take() {
                    self.scenes.push(scene);
                }
            }
            _ => {}
        }
    }

    /// Returns the body of a request for the same video with `description` in the place of a scene.
    pub fn with_scene(mut self, scene: usize, description: Map<String, Value>) -> Result<Value, Failure> {
        let count = self.scenes.len();
        let Some(place) = self.scenes.get_mut(scene) else {
            let fault = format!("scene is {scene}, but the video has {count} scenes, counted from 0");
            return Err(Failure::of_arguments("there is no such scene", vec![fault]));
        };
        *place = description;
        check(&self.scenes).map_err(|faults| Failure::of_arguments("the scene has faults", faults))?;
        Ok(request_body(&self.request, &self.scenes))
    }
}

/// Fields of a recorded request that a body has under the same name.
const SAME_FIELDS: [&str; 14] = [
    "topic",
    "title",
    "description",
    "tags",
    "quality",
    "quality_levels",
    "priority",
    "output_format",
    "enable_subtitles",
    "enable_thumbnails",
    "model",
    "template_id",
    "style_preferences",
    "callback_url",
];

/// Fields of a recorded request that a body has in `custom_config`.
const CUSTOM_FIELDS: [&str; 9] = [
    "fps",
    "duration_seconds",
    "pipeline_version",
    "retry_attempts",
    "enable_streaming",
    "strict",
    "cleanup_local_files",
    "s3_upload_enabled",
    "voice",
];

fn request_body(request: &Value, scenes: &[Map<String, Value>]) -> Value {
    let mut body = copy(request, &SAME_FIELDS);
    let custom = copy(request, &CUSTOM_FIELDS);
    if !custom.is_empty() {
        body.insert("custom_config".to_owned(), custom.into());
    }
    let uploads: Vec<&Value> =
        request["uploads"].as_array().into_iter().flatten().map(|upload| &upload["upload_id"]).collect();
    if !uploads.is_empty() {
        body.insert("upload_ids".to_owned(), json!(uploads));
    }
    body.insert("scenes".to_owned(), json!(scenes));
    body.into()
}

fn copy(request: &Value, names: &[&str]) -> Map<String, Value> {
    let given = names.iter().filter(|name| !request[**name].is_null());
    given.map(|name| ((*name).to_owned(), request[*name].clone())).collect()
}

/// Returns the faults of scenes. Which uploads pictures may show is left to the API.
pub fn check(scenes: &[Map<String, Value>]) -> Result<(), Vec<String>> {
    let texts: Vec<String> = scenes.iter().map(|scene| json!(scene).to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let read = reel_scene::description::read_scenes(&texts, &|_| Ok(()));
    read.map(|_scenes| ()).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let mut plan = Plan { request: Value::Null, scenes: vec![] };
        let scene = |title: &str| json!({ "title": title, "steps": [{ "narration": "Say." }] });
        plan.apply(json!({ "type": "JobRequested", "data": { "request": {
            "topic": "Ions", "script": "Ions move.", "quality": "low", "fps": 25, "strict": true,
            "quality_levels": ["480p"], "uploads": [{ "upload_id": "a", "file_name": "b" }],
        }}}));
        for (number, title) in [(0, "Old"), (0, "One"), (1, "Two")] {
            plan.apply(
                json!({ "type": "ScenePlanned", "data": { "scene": number, "description": scene(title) }}),
            );
        }
        plan
    }

    fn scene(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_changed_scene_is_requested_with_all_else_as_it_was() {
        let new = json!({ "title": "New", "steps": [{ "narration": "Say it." }] });
        let body = plan().with_scene(1, scene(new.clone())).expect("the scene is sound");
        assert_eq!(body["scenes"].as_array().map(Vec::len), Some(2), "the job was planned twice: {body}");
        assert_eq!((&body["scenes"][0]["title"], &body["scenes"][1]), (&json!("One"), &new));
        assert_eq!(body["custom_config"], json!({ "fps": 25, "strict": true }));
        assert_eq!((&body["upload_ids"], &body["quality_levels"]), (&json!(["a"]), &json!(["480p"])));
        assert!(body.get("script").is_none() && body.get("uploads").is_none(), "{body}");
    }

    #[test]
    fn a_scene_that_does_not_exist_or_has_faults_is_refused() {
        let beyond = plan().with_scene(2, Map::new()).expect_err("there are two").to_string();
        assert!(beyond.contains("scene is 2, but the video has 2 scenes"), "{beyond}");
        let faulty = plan().with_scene(0, scene(json!({ "title": "x", "steps": [] }))).expect_err("no steps");
        assert!(faulty.to_string().contains("scenes.0.steps"), "{faulty}");
    }
}
