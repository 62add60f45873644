//! Reads a whole request.

use serde_json::value::RawValue;

use super::fields::{
    CONTEXT_CHARACTERS, DESCRIPTION_CHARACTERS, FIELDS, MAX_SCENES_BYTES, MAX_UPLOAD_IDS, SCRIPT_CHARACTERS,
    TITLE_CHARACTERS, TOPIC_CHARACTERS,
};
use super::reader::{Kind, Reader};
use super::resolved::Resolved;
use super::{Defaults, recorded_bytes};
use crate::events::VideoRequest;
use crate::events::request::{MAX_REQUEST_BYTES, Template, UsedConfiguration};
use crate::events::upload::Upload;
use crate::ids::UploadId;
use crate::webhooks::target;
use reel_scene::Scene;
use reel_scene::description;

impl Reader<'_> {
    pub fn request(&mut self, defaults: Defaults, resolved: &Resolved) -> VideoRequest {
        let topic = self.text("topic", TOPIC_CHARACTERS);
        if topic.is_none() && !self.is_given("topic") {
            self.fail(&["topic"], "is required", "missing");
        }
        let script = self.script();
        let context = self.text("context", CONTEXT_CHARACTERS);
        let configuration = self.configuration(resolved);
        let uploads = self.uploads(resolved);
        let has_text = uploads.iter().any(|upload| upload.content_type.is_text());
        let is_topic_alone =
            !has_text && !["context", "script", "scenes"].into_iter().any(|name| self.is_given(name));
        if is_topic_alone && !resolved.plans_topics {
            let msg = "is required unless script, scenes, or the upload_ids of a text or PDF is given: a topic alone needs a language model, and none is configured here (PLANNER_MODEL)";
            self.fail(&["context"], msg, "missing");
        }
        let custom = self.custom_config();
        let quality = self.quality().unwrap_or(defaults.quality);
        let request = VideoRequest {
            topic: topic.unwrap_or_default(),
            context,
            script,
            quality,
            priority: self.priority().unwrap_or(defaults.priority),
            output_format: self.output_format().unwrap_or_default(),
            fps: custom.fps,
            duration_seconds: custom.duration_seconds,
            enable_subtitles: self.flag("enable_subtitles").unwrap_or(true),
            enable_thumbnails: self.flag("enable_thumbnails").unwrap_or(true) && custom.thumbnail_generation,
            title: self.text("title", TITLE_CHARACTERS),
            description: self.text("description", DESCRIPTION_CHARACTERS),
            tags: self.tags(),
            model: self.model(),
            use_rag: self.flag("use_rag"),
            template_id: self.theme().map(Template::Theme),
            style_preferences: self.style_preferences(),
            quality_levels: self.quality_levels(quality),
            scenes: self.scenes(&uploads),
            configuration,
            uploads,
            callback_url: self.callback_url(),
            pipeline_version: custom.pipeline_version,
            retry_attempts: custom.retry_attempts,
            enable_streaming: custom.enable_streaming,
            strict: custom.strict,
            cleanup_local_files: custom.cleanup_local_files,
            s3_upload_enabled: custom.s3_upload_enabled,
            voice: custom.voice,
        };
        self.refuse_too_large(&request);
        request
    }

    /// The URL as it was given. Whether it may be asked depends on the settings, and is checked by `callback.rs`.
    fn callback_url(&mut self) -> Option<String> {
        let value = self.get("callback_url")?;
        let text = self.string(&["callback_url"], value)?;
        match target::parse(&text) {
            Ok(_) => Some(text),
            Err(unfit) => {
                self.fail(&["callback_url"], unfit.to_string(), unfit.kind());
                None
            }
        }
    }

    /// The stored configuration whose settings stand in for fields that are not given.
    fn configuration(&mut self, resolved: &Resolved) -> Option<UsedConfiguration> {
        let value = self.of_kind("configuration_id", Kind::String)?;
        let given = serde_json::from_str::<String>(value.get()).ok().and_then(|id| id.parse().ok());
        match &resolved.configuration {
            Some(stored) if given == Some(stored.configuration_id) => {
                Some(UsedConfiguration { configuration_id: stored.configuration_id, version: stored.version })
            }
            _ => {
                self.fail(&["configuration_id"], "there is no such configuration", "unknown");
                None
            }
        }
    }

    /// The uploads that are given, each once.
    fn uploads(&mut self, resolved: &Resolved) -> Vec<Upload> {
        let mut uploads: Vec<Upload> = vec![];
        for (index, id) in self.texts("upload_ids", MAX_UPLOAD_IDS) {
            let found = id.parse().ok().and_then(|id: UploadId| resolved.uploads.get(&id));
            match found {
                Some(upload) if uploads.iter().any(|known| known.upload_id == upload.upload_id) => {}
                Some(upload) => uploads.push(upload.clone()),
                None => self.fail(&["upload_ids", &index], "there is no such upload", "unknown"),
            }
        }
        uploads
    }

    fn script(&mut self) -> Option<String> {
        let script = self.text("script", SCRIPT_CHARACTERS)?;
        if script.chars().any(char::is_alphanumeric) {
            return Some(script);
        }
        self.fail(&["script"], "has nothing to say: it must hold at least one letter or digit", "blank");
        None
    }

    fn scenes(&mut self, uploads: &[Upload]) -> Option<Vec<Scene>> {
        let value = self.of_kind("scenes", Kind::Array)?;
        if !self.is_small("scenes", value, MAX_SCENES_BYTES) {
            return None;
        }
        let scenes: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
        let scenes: Vec<&str> = scenes.into_iter().map(RawValue::get).collect();
        match description::read_scenes(&scenes, &|name| check_picture(name, uploads)) {
            Ok(scenes) => Some(scenes),
            Err(faults) => {
                for fault in faults {
                    let path: Vec<&str> = fault.path.iter().map(String::as_str).collect();
                    self.fail(&path, fault.message, "not_allowed");
                }
                None
            }
        }
    }

    /// Refuses fields that nothing reads. `also` are known, too.
    pub fn refuse_unknown_but(&mut self, also: &[&str]) {
        let fields = self.fields;
        let is_known = |name: &str| FIELDS.contains(&name) || also.contains(&name);
        for name in fields.keys().filter(|name| !is_known(name)) {
            let msg = format!("is not a field; known are {}", FIELDS.join(", "));
            self.fail(&[name.as_str()], msg, "unknown_field");
        }
    }

    /// Refuses a request that would take too much room in the log. The bounds of the fields alone allow a long script
    /// beside long scenes.
    fn refuse_too_large(&mut self, request: &VideoRequest) {
        let bytes = recorded_bytes(request);
        if bytes > MAX_REQUEST_BYTES {
            let msg = format!(
                "would be recorded as {bytes} bytes of JSON, but must have at most {MAX_REQUEST_BYTES}; shorten the script or the scenes"
            );
            self.fail(&[], msg, "too_long");
        }
    }
}

/// Checks that a picture that a scene shows is one of the request's.
fn check_picture(name: &str, uploads: &[Upload]) -> Result<(), String> {
    let found = name.parse().ok().and_then(|id| uploads.iter().find(|upload| upload.upload_id == id));
    match found {
        None => Err("names no upload of upload_ids, as a picture must".to_owned()),
        Some(upload) if upload.content_type.is_picture() => Ok(()),
        Some(upload) => {
            Err(format!("is {}, but a scene can show PNG and JPEG only", upload.content_type.name()))
        }
    }
}
