//! Reads how a video is to be made: the fields that a stored configuration may have, too.

use serde_json::{Map, Value};

use super::faults::echo;
use super::fields::{
    CUSTOM_KEYS, DURATION_SECONDS, FONT_CHARACTERS, FRAME_RATES, MAX_OBJECT_BYTES, MAX_QUALITY_LEVELS,
    MAX_STYLE_DEPTH, MAX_TAGS, MODEL_CHARACTERS, PIPELINE_VERSIONS, PLAIN_NAME_CHARACTERS, RETRY_ATTEMPTS,
    SECRET_WORDS, SETTINGS, TAG_CHARACTERS,
};
use super::reader::Reader;
use crate::config::voice_names;
use crate::events::configuration::Settings;
use crate::events::request::{PipelineVersion, StylePreferences};
use crate::events::{OutputFormat, Priority, Quality};
use reel_scene::check::control_character;
use reel_scene::look::{Aspect, Theme};

/// Settings in `custom_config`.
pub struct Custom {
    pub fps: u32,
    pub duration_seconds: Option<u32>,
    pub pipeline_version: Option<PipelineVersion>,
    pub retry_attempts: Option<u32>,
    pub enable_streaming: bool,
    pub strict: bool,
    pub thumbnail_generation: bool,
    pub cleanup_local_files: bool,
    pub s3_upload_enabled: Option<bool>,
    pub voice: Option<String>,
}

impl Default for Custom {
    fn default() -> Self {
        Self {
            fps: 30,
            duration_seconds: None,
            pipeline_version: None,
            retry_attempts: None,
            enable_streaming: true,
            strict: false,
            thumbnail_generation: true,
            cleanup_local_files: true,
            s3_upload_enabled: None,
            voice: None,
        }
    }
}

impl Reader<'_> {
    pub fn quality(&mut self) -> Option<Quality> {
        self.one_of("quality", &Quality::ALL, Quality::name)
    }

    pub fn priority(&mut self) -> Option<Priority> {
        self.one_of("priority", &Priority::ALL, Priority::name)
    }

    pub fn output_format(&mut self) -> Option<OutputFormat> {
        self.one_of("output_format", &OutputFormat::ALL, OutputFormat::name)
    }

    pub fn theme(&mut self) -> Option<Theme> {
        self.one_of("template_id", &Theme::ALL, Theme::name)
    }

    pub fn model(&mut self) -> Option<String> {
        self.text("model", MODEL_CHARACTERS)
    }

    /// The settings that are given, as they are given, once all of them can be read.
    pub fn settings(&mut self) -> Settings {
        let quality = self.quality();
        self.priority();
        self.output_format();
        self.theme();
        self.model();
        for name in ["enable_subtitles", "enable_thumbnails", "use_rag"] {
            self.flag(name);
        }
        self.quality_levels(quality.unwrap_or_default());
        self.custom_config();
        self.style_preferences();
        let tags = self.tags();
        let given = SETTINGS.iter().filter_map(|name| {
            let value = serde_json::from_str(self.get(name)?.get()).ok()?;
            Some(((*name).to_owned(), value))
        });
        let mut settings: Settings = given.collect();
        if !tags.is_empty() {
            settings.insert("tags".to_owned(), Value::from(tags));
        }
        settings
    }

    pub fn tags(&mut self) -> Vec<String> {
        let mut tags: Vec<String> = vec![];
        for (index, tag) in self.texts("tags", MAX_TAGS) {
            let tag = tag.trim().to_lowercase();
            if self.bounded(&["tags", &index], &tag, TAG_CHARACTERS) && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        tags
    }

    /// The renditions, the best first. Without any, those that are usual for the quality.
    pub fn quality_levels(&mut self, quality: Quality) -> Vec<Quality> {
        let mut levels = vec![];
        for (index, name) in self.texts("quality_levels", MAX_QUALITY_LEVELS) {
            match Quality::named(&name) {
                Some(level) => levels.push(level),
                None => {
                    let names = Quality::ALL.map(Quality::level).join(", ");
                    let msg = format!("is {:?}, but must be one of {names}", echo(&name));
                    self.fail(&["quality_levels", &index], msg, "not_allowed");
                }
            }
        }
        if levels.is_empty() {
            levels = quality.usual_levels();
        }
        levels.sort_by_key(|level| std::cmp::Reverse(*level));
        levels.dedup();
        levels
    }

    /// The style preferences. What the look is made of must be readable. Other preferences are recorded as they are, within bounds.
    pub fn style_preferences(&mut self) -> Option<StylePreferences> {
        let given = self.object("style_preferences")?;
        let style = StylePreferences::from(given);
        for (key, value) in style.others.iter().filter(|(_, value)| !value.is_null()) {
            let is_colour = ["accent_color", "background_color"].contains(&key.as_str());
            let expected = match key.as_str() {
                "aspect_ratio" => format!("one of {}", Aspect::ALL.map(Aspect::name).join(", ")),
                _ if is_colour => "`#` and six hexadecimal digits, such as \"#1f5fd0\"".to_owned(),
                "font" | "music" | "logo" => "a string".to_owned(),
                _ => {
                    self.free_value(&["style_preferences", key], key, value, 2);
                    continue;
                }
            };
            let msg = format!("is {}, but must be {expected}", echo(&value.to_string()));
            self.fail(&["style_preferences", key], msg, "not_allowed");
        }
        if let Some(font) = &style.font {
            self.bounded(&["style_preferences", "font"], font.trim(), FONT_CHARACTERS);
        }
        for (key, name) in [("music", &style.music), ("logo", &style.logo)] {
            if name.as_deref().is_some_and(|name| !is_plain_name(name)) {
                let (least, most) = PLAIN_NAME_CHARACTERS;
                let msg = format!("must be a name of {least} to {most} letters, digits, `-` or `_`");
                self.fail(&["style_preferences", key], msg, "not_allowed");
            }
        }
        Some(style)
    }

    /// Checks a value that may have any shape: no secrets, only text, not too deep.
    fn free_value(&mut self, path: &[&str], key: &str, value: &Value, depth: usize) {
        if is_secret(key) {
            return self.fail(path, "secrets are not allowed here: they would be recorded", "secret");
        }
        if control_character(key).is_some() {
            return self.fail(path, "has a control character in its name; only text is allowed", "not_text");
        }
        match value {
            Value::String(text) => {
                self.bounded(path, text, (0, MAX_OBJECT_BYTES));
            }
            Value::Array(_) | Value::Object(_) if depth > MAX_STYLE_DEPTH => {
                let msg = format!("is nested too deeply: at most {MAX_STYLE_DEPTH} levels are allowed");
                self.fail(path, msg, "too_deep");
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let index = index.to_string();
                    let place: Vec<&str> = path.iter().copied().chain([index.as_str()]).collect();
                    self.free_value(&place, "", item, depth + 1);
                }
            }
            Value::Object(fields) => {
                for (key, item) in fields {
                    let place: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
                    self.free_value(&place, key, item, depth + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    pub fn custom_config(&mut self) -> Custom {
        let mut read = Custom::default();
        let Some(custom) = self.object("custom_config") else { return read };
        for key in custom.keys() {
            if is_secret(key) {
                let msg = "secrets are not allowed here: they would be recorded";
                self.fail(&["custom_config", key], msg, "secret");
            } else if !CUSTOM_KEYS.contains(&key.as_str()) {
                let msg = format!("is not a known setting; known are {}", CUSTOM_KEYS.join(", "));
                self.fail(&["custom_config", key], msg, "unknown_key");
            }
        }
        let given = |name: &str| custom.get(name).filter(|value| !value.is_null());
        // In JSON, 5.0 is a whole number, too.
        let whole = |value: &Value| {
            value
                .as_f64()
                .filter(|number| number.fract() == 0.0 && (0.0..=1e9).contains(number))
                .map(|n| n as u32)
        };
        if let Some(value) = given("fps") {
            match whole(value).filter(|fps| FRAME_RATES.contains(fps)) {
                Some(fps) => read.fps = fps,
                None => {
                    let known = FRAME_RATES.map(|fps| fps.to_string()).join(", ");
                    let msg = format!("is {}, but must be one of {known}", echo(&value.to_string()));
                    self.fail(&["custom_config", "fps"], msg, "not_allowed");
                }
            }
        }
        if let Some(value) = given("duration_seconds") {
            let (least, most) = DURATION_SECONDS;
            read.duration_seconds = whole(value).filter(|seconds| (least..=most).contains(seconds));
            if read.duration_seconds.is_none() {
                let value = echo(&value.to_string());
                let msg = format!("is {value}, but must be a whole number from {least} to {most}");
                self.fail(&["custom_config", "duration_seconds"], msg, "out_of_range");
            }
        }
        if let Some(value) = given("retry_attempts") {
            let (least, most) = RETRY_ATTEMPTS;
            read.retry_attempts = whole(value).filter(|retries| (least..=most).contains(retries));
            if read.retry_attempts.is_none() {
                let value = echo(&value.to_string());
                let msg = format!("is {value}, but must be a whole number from {least} to {most}");
                self.fail(&["custom_config", "retry_attempts"], msg, "out_of_range");
            }
        }
        if let Some(value) = given("pipeline_version") {
            let is_known = value.as_str().is_some_and(|version| PIPELINE_VERSIONS.contains(&version));
            read.pipeline_version = is_known.then_some(PipelineVersion::V2);
            if !is_known {
                let (value, known) = (echo(&value.to_string()), PIPELINE_VERSIONS.join(", "));
                let msg = format!("is {value}, but must be one of {known}");
                self.fail(&["custom_config", "pipeline_version"], msg, "not_allowed");
            }
        }
        // `available.rs` checks whether this installation has it.
        if let Some(value) = given("voice") {
            read.voice = value.as_str().and_then(|given| voice_names().find(|name| name == given));
            if read.voice.is_none() {
                let expected =
                    "espeak-ng, piper, openai, kokoro, or a voice of Kokoro's, such as kokoro:am_michael";
                let msg = format!("is {}, but must be one of {expected}", echo(&value.to_string()));
                self.fail(&["custom_config", "voice"], msg, "not_allowed");
            }
        }
        read.enable_streaming = self.custom_flag(&custom, "enable_streaming", true);
        read.strict = self.custom_flag(&custom, "strict", false);
        read.thumbnail_generation = self.custom_flag(&custom, "thumbnail_generation", true);
        read.cleanup_local_files = self.custom_flag(&custom, "cleanup_local_files", true);
        // `available.rs` checks whether this installation offers it.
        let is_said = custom.get("s3_upload_enabled").is_some_and(|value| !value.is_null());
        read.s3_upload_enabled = is_said.then(|| self.custom_flag(&custom, "s3_upload_enabled", true));
        read
    }

    fn custom_flag(&mut self, custom: &Map<String, Value>, name: &str, default: bool) -> bool {
        match custom.get(name) {
            None | Some(Value::Null) => default,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                let msg = format!("is {}, but must be true or false", echo(&other.to_string()));
                self.fail(&["custom_config", name], msg, "wrong_type");
                default
            }
        }
    }
}

fn is_plain_name(name: &str) -> bool {
    let (least, most) = PLAIN_NAME_CHARACTERS;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (least..=most).contains(&name.len()) && name.chars().all(is_plain)
}

fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}
