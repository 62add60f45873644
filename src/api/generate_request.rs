//! Reading and checking the body of `POST /videos/generate`. All faults are reported, not the first.

use serde_json::{Map, Value};

use super::problem::{FieldError, Problem};
use crate::events::{OutputFormat, Priority, Quality, VideoRequest};
use reel_scene::Scene;
use reel_scene::description;
use reel_scene::look::{Aspect, Colour, Theme};

pub const TOPIC_CHARACTERS: (usize, usize) = (3, 500);
pub const CONTEXT_CHARACTERS: (usize, usize) = (10, 2000);
pub const SCRIPT_CHARACTERS: (usize, usize) = (1, 200_000);
const TITLE_CHARACTERS: (usize, usize) = (1, 200);
const DESCRIPTION_CHARACTERS: (usize, usize) = (1, 1000);
const SHORT_NAME_CHARACTERS: (usize, usize) = (1, 100);
const MOST_TAGS: usize = 10;
const FRAME_RATES: [u64; 5] = [24, 25, 30, 50, 60];
const CUSTOM_KEYS: [&str; 2] = ["fps", "duration_seconds"];
const DURATION_SECONDS: std::ops::RangeInclusive<u32> = 30..=600;
/// Keys whose values would end in the log for ever.
const SECRET_WORDS: [&str; 4] = ["password", "secret", "token", "api_key"];
/// Fields of the contract that this version cannot honour; refusing them is better than ignoring them.
const NOT_AVAILABLE: [&str; 3] = ["configuration_id", "upload_ids", "callback_url"];

/// Parses a body: flat, or wrapped as `{"configuration": {…}, "priority": …}`.
pub fn parse(body: &[u8], default_quality: Quality) -> Result<VideoRequest, Problem> {
    if body.is_empty() {
        return Err(Problem::bad_request("the body is empty, but must be a JSON object"));
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the body is not valid JSON: {error}")))?;
    let Value::Object(outer) = value else {
        let error = field_error(&["body"], "must be a JSON object", "wrong_type");
        return Err(Problem::validation(vec![error]));
    };
    let mut errors = vec![];
    let (fields, place) = match outer.get("configuration") {
        Some(Value::Object(inner)) => (inner, vec!["body", "configuration"]),
        Some(Value::Null) | None => (&outer, vec!["body"]),
        Some(_) => {
            errors.push(field_error(&["body", "configuration"], "must be a JSON object", "wrong_type"));
            (&outer, vec!["body"])
        }
    };
    let mut reader = Reader { fields, place, errors };
    let mut request = reader.request(default_quality);
    if outer.contains_key("configuration") {
        let mut around = Reader { fields: &outer, place: vec!["body"], errors: vec![] };
        if let Some(priority) = around.one_of("priority", &Priority::ALL, |priority| priority.name()) {
            request.priority = priority;
        }
        reader.errors.extend(around.errors);
    }
    if reader.errors.is_empty() { Ok(request) } else { Err(Problem::validation(reader.errors)) }
}

fn field_error(loc: &[&str], msg: impl Into<String>, kind: &str) -> FieldError {
    FieldError {
        loc: loc.iter().map(|part| (*part).to_owned()).collect(),
        msg: msg.into(),
        r#type: kind.to_owned(),
    }
}

/// What `custom_config` holds.
struct Custom {
    fps: u32,
    duration_seconds: Option<u32>,
}

/// Reads fields and collects what is wrong with them.
struct Reader<'a> {
    fields: &'a Map<String, Value>,
    place: Vec<&'a str>,
    errors: Vec<FieldError>,
}

impl<'a> Reader<'a> {
    fn request(&mut self, default_quality: Quality) -> VideoRequest {
        let topic = self.text("topic", TOPIC_CHARACTERS);
        if topic.is_none() && !self.present("topic") {
            self.fail(&["topic"], "is required", "missing");
        }
        let script = self.script();
        let context = self.text("context", CONTEXT_CHARACTERS);
        if !self.present("context") && !self.present("script") && !self.present("scenes") {
            self.fail(&["context"], "is required unless script or scenes is given", "missing");
        }
        self.refuse_unavailable();
        self.refuse_secrets("style_preferences");
        let custom = self.custom_config();
        let quality =
            self.one_of("quality", &Quality::ALL, |quality| quality.name()).unwrap_or(default_quality);
        VideoRequest {
            topic: topic.unwrap_or_default(),
            context,
            script,
            quality,
            priority: self.one_of("priority", &Priority::ALL, |priority| priority.name()).unwrap_or_default(),
            output_format: self
                .one_of("output_format", &OutputFormat::ALL, |format| format.name())
                .unwrap_or_default(),
            fps: custom.fps,
            duration_seconds: custom.duration_seconds,
            enable_subtitles: self.flag("enable_subtitles").unwrap_or(true),
            enable_thumbnails: self.flag("enable_thumbnails").unwrap_or(true),
            title: self.text("title", TITLE_CHARACTERS),
            description: self.text("description", DESCRIPTION_CHARACTERS),
            tags: self.tags(),
            model: self.text("model", SHORT_NAME_CHARACTERS),
            use_rag: self.flag("use_rag"),
            template_id: self
                .one_of("template_id", &Theme::ALL, |theme| theme.name())
                .map(|theme| theme.name().to_owned()),
            style_preferences: self.style_preferences(),
            quality_levels: self.quality_levels(quality),
            scenes: self.scenes(),
        }
    }

    fn fail(&mut self, path: &[&str], msg: impl Into<String>, kind: &str) {
        let loc: Vec<&str> = self.place.iter().chain(path).copied().collect();
        self.errors.push(field_error(&loc, msg, kind));
    }

    /// `null` counts as absent.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn present(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A trimmed text within `(least, most)` characters.
    fn text(&mut self, name: &str, (least, most): (usize, usize)) -> Option<String> {
        let value = self.get(name)?;
        let Some(text) = value.as_str() else {
            self.fail(&[name], format!("must be a string, not {}", kind_of(value)), "wrong_type");
            return None;
        };
        let text = text.trim();
        let count = text.chars().count();
        if count < least {
            self.fail(
                &[name],
                format!("has {count} characters after trimming, but must have {least} to {most}"),
                "too_short",
            );
        } else if count > most {
            self.fail(
                &[name],
                format!("has {count} characters, but must have {least} to {most}"),
                "too_long",
            );
        } else if let Some((at, found)) = control_character(text) {
            let msg = format!(
                "holds the control character U+{:04X} at character {at}; only text is allowed",
                found as u32
            );
            self.fail(&[name], msg, "not_text");
        } else {
            return Some(text.to_owned());
        }
        None
    }

    fn script(&mut self) -> Option<String> {
        let script = self.text("script", SCRIPT_CHARACTERS)?;
        if script.chars().any(char::is_alphanumeric) {
            return Some(script);
        }
        self.fail(&["script"], "has nothing to say: it must hold at least one letter or digit", "blank");
        None
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.get(name)?;
        if value.as_bool().is_none() {
            self.fail(&[name], format!("must be true or false, not {}", kind_of(value)), "wrong_type");
        }
        value.as_bool()
    }

    fn object(&mut self, name: &str) -> Option<&'a Map<String, Value>> {
        let value = self.get(name)?;
        if value.as_object().is_none() {
            self.fail(&[name], format!("must be an object, not {}", kind_of(value)), "wrong_type");
        }
        value.as_object()
    }

    /// An array of texts; faults name their index.
    fn texts(&mut self, name: &str) -> Vec<&'a str> {
        let Some(value) = self.get(name) else { return vec![] };
        let Some(items) = value.as_array() else {
            self.fail(&[name], format!("must be an array, not {}", kind_of(value)), "wrong_type");
            return vec![];
        };
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item.as_str() {
                Some(text) => texts.push(text),
                None => {
                    let msg = format!("must be a string, not {}", kind_of(item));
                    self.fail(&[name, &index.to_string()], msg, "wrong_type");
                }
            }
        }
        texts
    }

    fn one_of<T: Copy>(&mut self, name: &str, all: &[T], name_of: impl Fn(T) -> &'static str) -> Option<T> {
        let value = self.get(name)?;
        let found = value.as_str().and_then(|text| all.iter().copied().find(|item| name_of(*item) == text));
        if found.is_none() {
            let names: Vec<_> = all.iter().map(|item| name_of(*item)).collect();
            self.fail(&[name], format!("is {value}, but must be one of {}", names.join(", ")), "not_allowed");
        }
        found
    }

    fn tags(&mut self) -> Vec<String> {
        let given = self.texts("tags");
        if given.len() > MOST_TAGS {
            self.fail(
                &["tags"],
                format!("has {} items, but must have at most {MOST_TAGS}", given.len()),
                "too_long",
            );
        }
        let mut tags: Vec<String> = vec![];
        for (index, tag) in given.iter().enumerate() {
            let tag = tag.trim().to_lowercase();
            let count = tag.chars().count();
            if count == 0 || count > 50 {
                let msg = format!("has {count} characters after trimming, but must have 1 to 50");
                self.fail(&["tags", &index.to_string()], msg, "too_long");
            } else if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        tags
    }

    /// The renditions, the best first. Without any, those that are usual for the quality.
    fn quality_levels(&mut self, quality: Quality) -> Vec<String> {
        let mut levels = vec![];
        for (index, name) in self.texts("quality_levels").into_iter().enumerate() {
            match Quality::named(name) {
                Some(level) => levels.push(level),
                None => {
                    let names = Quality::ALL.map(Quality::level).join(", ");
                    let msg = format!("is \"{name}\", but must be one of {names}");
                    self.fail(&["quality_levels", &index.to_string()], msg, "not_allowed");
                }
            }
        }
        if levels.is_empty() {
            levels = quality.usual_levels();
        }
        levels.sort_by_key(|level| std::cmp::Reverse(*level));
        levels.dedup();
        levels.into_iter().map(|level| level.level().to_owned()).collect()
    }

    /// What the look is made of must be readable; other preferences are recorded as they are.
    fn style_preferences(&mut self) -> Option<Map<String, Value>> {
        let preferences = self.object("style_preferences")?;
        let given = |name: &str| preferences.get(name).filter(|value| !value.is_null());
        for name in ["accent_color", "background_color"] {
            let Some(value) = given(name) else { continue };
            if value.as_str().is_none_or(|text| Colour::try_from(text.to_owned()).is_err()) {
                let msg =
                    format!("is {value}, but must be `#` and six hexadecimal digits, such as \"#1f5fd0\"");
                self.fail(&["style_preferences", name], msg, "not_allowed");
            }
        }
        if let Some(value) = given("aspect_ratio")
            && value.as_str().and_then(Aspect::named).is_none()
        {
            let msg = format!("is {value}, but must be one of {}", Aspect::ALL.map(Aspect::name).join(", "));
            self.fail(&["style_preferences", "aspect_ratio"], msg, "not_allowed");
        }
        if let Some(value) = given("font")
            && value.as_str().is_none_or(|name| !(1..=100).contains(&name.chars().count()))
        {
            let msg = "must be a font's family name of 1 to 100 characters";
            self.fail(&["style_preferences", "font"], msg, "not_allowed");
        }
        for name in ["music", "logo"] {
            if given(name).is_some_and(|value| !value.as_str().is_some_and(is_plain_name)) {
                let msg = "must be a name of 1 to 60 letters, digits, `-` or `_`";
                self.fail(&["style_preferences", name], msg, "not_allowed");
            }
        }
        Some(preferences.clone())
    }

    fn scenes(&mut self) -> Option<Vec<Scene>> {
        let value = self.get("scenes")?;
        match description::read_scenes(value) {
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

    fn custom_config(&mut self) -> Custom {
        let mut read = Custom { fps: 30, duration_seconds: None };
        let Some(custom) = self.object("custom_config") else { return read };
        for key in custom.keys() {
            if is_secret(key) {
                self.fail(
                    &["custom_config", key],
                    "secrets are not allowed here: they would be recorded",
                    "secret",
                );
            } else if !CUSTOM_KEYS.contains(&key.as_str()) {
                let msg = format!("is not a known setting; known are {}", CUSTOM_KEYS.join(", "));
                self.fail(&["custom_config", key], msg, "unknown_key");
            }
        }
        let given = |name: &str| custom.get(name).filter(|value| !value.is_null());
        if let Some(value) = given("fps") {
            match value.as_u64().filter(|fps| FRAME_RATES.contains(fps)) {
                Some(fps) => read.fps = fps as u32,
                None => {
                    let msg = format!("is {value}, but must be one of 24, 25, 30, 50, 60");
                    self.fail(&["custom_config", "fps"], msg, "not_allowed");
                }
            }
        }
        if let Some(value) = given("duration_seconds") {
            read.duration_seconds = value.as_u64().and_then(|seconds| u32::try_from(seconds).ok());
            if read.duration_seconds.is_none_or(|seconds| !DURATION_SECONDS.contains(&seconds)) {
                let (least, most) = DURATION_SECONDS.into_inner();
                let msg = format!("is {value}, but must be a whole number from {least} to {most}");
                self.fail(&["custom_config", "duration_seconds"], msg, "out_of_range");
            }
        }
        read
    }

    fn refuse_unavailable(&mut self) {
        for name in NOT_AVAILABLE {
            if self.present(name) {
                self.fail(&[name], "is not available in this version", "not_available");
            }
        }
    }

    fn refuse_secrets(&mut self, name: &str) {
        let Some(Value::Object(map)) = self.get(name) else { return };
        for key in map.keys().filter(|key| is_secret(key)) {
            self.fail(&[name, key], "secrets are not allowed here: they would be recorded", "secret");
        }
    }
}

fn is_plain_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=60).contains(&name.len()) && name.chars().all(is_plain)
}

fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The first character that no text holds, with its place; tabs and line ends are text.
fn control_character(text: &str) -> Option<(usize, char)> {
    text.chars().enumerate().find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(body: Value) -> Result<VideoRequest, Problem> {
        parse(body.to_string().as_bytes(), Quality::High)
    }

    /// `field: type` of every fault.
    fn faults(body: Value) -> Vec<String> {
        let problem = parsed(body).unwrap_err();
        assert_eq!(problem.code.name(), "VALIDATION_ERROR");
        let describe = |fault: &Value| {
            let loc: Vec<_> =
                fault["loc"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
            format!("{}: {}", loc.join("."), fault["type"].as_str().unwrap())
        };
        problem.details.as_array().unwrap().iter().map(describe).collect()
    }

    #[test]
    fn both_shapes_give_the_same_request() {
        let flat = parsed(json!({"topic": " Ions ", "script": "They move.", "priority": "high"})).unwrap();
        let wrapped =
            parsed(json!({"configuration": {"topic": "Ions", "script": "They move."}, "priority": "high"}))
                .unwrap();
        assert_eq!(flat, wrapped);
        assert_eq!(flat.topic, "Ions");
        assert_eq!(flat.quality, Quality::High);
    }

    // 002-1.3, 002-8.3
    #[test]
    fn every_fault_is_reported_with_its_place() {
        let faults = faults(json!({
            "topic": "x", "context": 7, "quality": "best", "tags": ["ok", 3], "output_format": "gif",
            "custom_config": {"fps": 29, "duration_seconds": 601, "colour": 1, "db_password": "x"}, "callback_url": "http://x",
            "style_preferences": {"Token": 1}, "enable_subtitles": "yes", "quality_levels": ["4k"],
        }));
        assert_eq!(
            faults,
            [
                "body.topic: too_short",
                "body.context: wrong_type",
                "body.callback_url: not_available",
                "body.style_preferences.Token: secret",
                "body.custom_config.colour: unknown_key",
                "body.custom_config.db_password: secret",
                "body.custom_config.fps: not_allowed",
                "body.custom_config.duration_seconds: out_of_range",
                "body.quality: not_allowed",
                "body.output_format: not_allowed",
                "body.enable_subtitles: wrong_type",
                "body.tags.1: wrong_type",
                "body.quality_levels.0: not_allowed",
            ]
        );
    }

    #[test]
    fn places_inside_the_wrapper_are_named() {
        let body = json!({"configuration": {"topic": "ab"}, "priority": "now"});
        assert_eq!(
            faults(body),
            [
                "body.configuration.topic: too_short",
                "body.configuration.context: missing",
                "body.priority: not_allowed"
            ]
        );
    }

    #[test]
    fn a_topic_needs_a_context_or_a_script() {
        assert_eq!(faults(json!({"topic": "Ions"})), ["body.context: missing"]);
        assert_eq!(faults(json!({"script": "They move."})), ["body.topic: missing"]);
    }

    #[test]
    fn scripts_without_text_are_refused() {
        let script = |text: &str| faults(json!({"topic": "Ions", "script": text}));
        assert_eq!(script(""), ["body.script: too_short"]);
        assert_eq!(script(" \n\t "), ["body.script: too_short"]);
        assert_eq!(script("-- !! --"), ["body.script: blank"]);
        assert_eq!(script(&"a".repeat(204_800)), ["body.script: too_long"]);
        assert_eq!(script("PNG\u{0}\u{1}"), ["body.script: not_text"]);
    }

    #[test]
    fn what_is_no_json_is_a_bad_request_that_says_where() {
        let problem = |body: &[u8]| parse(body, Quality::High).unwrap_err();
        assert_eq!(problem(b"").code.name(), "BAD_REQUEST");
        assert!(problem(b"{\"topic\": }").message.contains("line 1 column 11"));
        assert_eq!(problem(b"{\"topic\": \"\xff\xfe\"}").code.name(), "BAD_REQUEST");
        assert_eq!(problem(b"[1]").code.name(), "VALIDATION_ERROR");
    }

    #[test]
    fn renditions_are_those_asked_for_or_those_below() {
        let levels = |body: Value| parsed(body).unwrap().quality_levels;
        let script = |more: Value| {
            let mut body = json!({"topic": "Ions", "script": "x"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        assert_eq!(levels(script(json!({}))), ["1080p", "720p"]);
        assert_eq!(levels(script(json!({"quality": "low"}))), ["480p"]);
        assert_eq!(levels(script(json!({"quality_levels": ["480p", "high", "480p"]}))), ["1080p", "480p"]);
    }

    #[test]
    fn tags_are_trimmed_lowered_and_unique() {
        let request = parsed(json!({"topic": "Ions", "script": "x", "tags": [" A ", "a", "B"]})).unwrap();
        assert_eq!(request.tags, ["a", "b"]);
    }
}
