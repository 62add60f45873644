//! Parses the body of `POST /videos/generate` into a typed request. All faults are reported, not the first.
//!
//! Everything is bounded before it is read: a list by its length, a text by its characters, a free value by its bytes.
//! Parsing takes time and memory in proportion to the body, and belongs on a thread that may block.

use std::collections::BTreeMap;
use std::io;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::problem::{FieldError, Problem};
use crate::events::request::{MAX_REQUEST_BYTES, PipelineVersion, StylePreferences, Template};
use crate::events::{OutputFormat, Priority, Quality, VideoRequest};
use crate::webhooks::target;
use reel_scene::Scene;
use reel_scene::check::control_character;
use reel_scene::description;
use reel_scene::look::{Aspect, Theme};

pub const TOPIC_CHARACTERS: (usize, usize) = (3, 500);
pub const CONTEXT_CHARACTERS: (usize, usize) = (10, 2000);
pub const SCRIPT_CHARACTERS: (usize, usize) = (1, 200_000);
pub const TITLE_CHARACTERS: (usize, usize) = (1, 200);
pub const DESCRIPTION_CHARACTERS: (usize, usize) = (1, 1000);
pub const MODEL_CHARACTERS: (usize, usize) = (1, 100);
pub const FONT_CHARACTERS: (usize, usize) = (1, 100);
pub const TAG_CHARACTERS: (usize, usize) = (1, 50);
/// Letters, digits, `-` and `_` of the name of a logo or of a piece of music.
pub const PLAIN_NAME_CHARACTERS: (usize, usize) = (1, 60);
pub const MAX_TAGS: usize = 10;
/// Twice as many as there are names of qualities.
pub const MAX_QUALITY_LEVELS: usize = 16;
pub const FRAME_RATES: [u32; 5] = [24, 25, 30, 50, 60];
pub const DURATION_SECONDS: (u32, u32) = (30, 600);
/// Bytes of JSON, as they are sent, of `style_preferences` and of `custom_config`.
pub const MAX_OBJECT_BYTES: usize = 8 * 1024;
/// Objects and lists inside each other, `style_preferences` itself included.
pub const MAX_STYLE_DEPTH: usize = 4;
/// Bytes of JSON, as they are sent.
pub const MAX_SCENES_BYTES: usize = 512 * 1024;
/// Faults that one answer lists; one more entry says how many are not listed.
const MAX_FAULTS: usize = 100;
/// Characters of a name or a value in the body that a fault repeats.
const MAX_ECHO_CHARACTERS: usize = 100;
const MAX_MESSAGE_CHARACTERS: usize = 500;

/// Every field that a body may have.
pub const FIELDS: [&str; 19] = [
    "topic",
    "context",
    "script",
    "scenes",
    "model",
    "use_rag",
    "template_id",
    "style_preferences",
    "custom_config",
    "quality",
    "priority",
    "output_format",
    "enable_subtitles",
    "enable_thumbnails",
    "quality_levels",
    "title",
    "description",
    "tags",
    "callback_url",
];
/// Fields of the contract that this version cannot honour; refusing them is better than ignoring them.
const NOT_AVAILABLE: [&str; 2] = ["configuration_id", "upload_ids"];
const CUSTOM_KEYS: [&str; 8] = [
    "fps",
    "duration_seconds",
    "pipeline_version",
    "retry_attempts",
    "enable_streaming",
    "thumbnail_generation",
    "cleanup_local_files",
    "s3_upload_enabled",
];
/// Names of the one pipeline in requests.
pub const PIPELINE_VERSIONS: [&str; 3] = ["2.0", "2", "v2"];
pub const RETRY_ATTEMPTS: (u32, u32) = (0, 10);
/// Keys whose values would stay in the log for ever.
const SECRET_WORDS: [&str; 4] = ["password", "secret", "token", "api_key"];

/// The fields of an object, each as its JSON.
pub(super) type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// What stands for fields that are not given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    pub quality: Quality,
    pub priority: Priority,
}

/// Parses a body: flat, or wrapped as `{"configuration": {…}, "priority": …}`.
pub fn parse(body: &[u8], default_quality: Quality) -> Result<VideoRequest, Problem> {
    let defaults = Defaults { quality: default_quality, priority: Priority::default() };
    let request = read_request(read_json(body)?, &["body"], defaults).map_err(not_json)?;
    request.map_err(Faults::into_problem)
}

/// A body as one JSON value.
pub(super) fn read_json(body: &[u8]) -> Result<&RawValue, Problem> {
    if body.is_empty() {
        return Err(Problem::bad_request("the body is empty, but must be a JSON object"));
    }
    serde_json::from_slice(body).map_err(not_json)
}

pub(super) fn not_json(error: serde_json::Error) -> Problem {
    Problem::bad_request(format!("the body is not valid JSON: {error}"))
}

/// A request that stands at a place of a body; or its faults, which name the place.
pub(super) fn read_request(
    value: &RawValue,
    place: &[&str],
    defaults: Defaults,
) -> Result<Result<VideoRequest, Faults>, serde_json::Error> {
    if Kind::of(value) != Kind::Object {
        let mut faults = Faults::default();
        faults.add(place, "must be a JSON object", "wrong_type");
        return Ok(Err(faults));
    }
    let outer: Fields = serde_json::from_str(value.get())?;
    Ok(match outer.get("configuration").filter(|value| Kind::of(value) != Kind::Null) {
        None => {
            let mut reader = Reader::new(&outer, place.to_vec());
            let request = reader.request(defaults);
            reader.refuse_unknown(&["configuration"]);
            reader.faults.into_result(request)
        }
        Some(inner) if Kind::of(inner) == Kind::Object => {
            let inner: Fields = serde_json::from_str(inner.get())?;
            read_wrapped(&outer, &inner, place, defaults)
        }
        Some(other) => {
            let mut faults = Faults::default();
            let msg = format!("must be an object, not {}", Kind::of(other).name());
            let loc: Vec<&str> = place.iter().copied().chain(["configuration"]).collect();
            faults.add(&loc, msg, "wrong_type");
            Err(faults)
        }
    })
}

/// Beside `configuration`, only `priority` is a field; it wins over the one inside.
fn read_wrapped(
    outer: &Fields<'_>,
    inner: &Fields<'_>,
    place: &[&str],
    defaults: Defaults,
) -> Result<VideoRequest, Faults> {
    let mut reader = Reader::new(inner, place.iter().copied().chain(["configuration"]).collect());
    let mut request = reader.request(defaults);
    reader.refuse_unknown(&[]);
    let mut around = Reader { fields: outer, place: place.to_vec(), faults: reader.faults };
    if let Some(priority) = around.one_of("priority", &Priority::ALL, Priority::name) {
        request.priority = priority;
    }
    for name in outer.keys().filter(|name| !["configuration", "priority"].contains(&name.as_str())) {
        let msg = "is not a field beside configuration, where only priority is; move it into configuration";
        around.fail(&[name.as_str()], msg, "unknown_field");
    }
    around.faults.into_result(request)
}

/// What is wrong with a body: the first [`MAX_FAULTS`] of it.
#[derive(Default)]
pub(super) struct Faults {
    pub listed: Vec<FieldError>,
    omitted: usize,
}

impl Faults {
    pub fn add(&mut self, loc: &[&str], msg: impl Into<String>, kind: &str) {
        if self.listed.len() == MAX_FAULTS {
            self.omitted += 1;
            return;
        }
        self.listed.push(FieldError {
            loc: loc.iter().map(|part| shortened((*part).to_owned(), MAX_ECHO_CHARACTERS)).collect(),
            msg: shortened(msg.into(), MAX_MESSAGE_CHARACTERS),
            r#type: kind.to_owned(),
        });
    }

    fn into_result(self, request: VideoRequest) -> Result<VideoRequest, Faults> {
        if self.listed.is_empty() { Ok(request) } else { Err(self) }
    }

    /// Adds those of another part of the body.
    pub fn extend(&mut self, more: Faults) {
        let room = MAX_FAULTS - self.listed.len();
        self.omitted += more.omitted + more.listed.len().saturating_sub(room);
        self.listed.extend(more.listed.into_iter().take(room));
    }

    pub fn into_problem(self) -> Problem {
        Problem::validation(self.into_list())
    }

    /// What is listed, and how many are not.
    pub fn into_list(mut self) -> Vec<FieldError> {
        if self.omitted > 0 {
            self.listed.push(FieldError {
                loc: vec!["body".to_owned()],
                msg: format!("and more: {} faults are not listed", self.omitted),
                r#type: "and_more".to_owned(),
            });
        }
        self.listed
    }
}

fn shortened(mut text: String, max_characters: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(max_characters) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A value of the body as a message repeats it.
fn echo(json: &str) -> String {
    shortened(json.to_owned(), MAX_ECHO_CHARACTERS)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// The first byte of a value tells its kind.
    pub fn of(value: &RawValue) -> Self {
        match value.get().as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Boolean => "a boolean",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        }
    }
}

/// Settings in `custom_config`.
struct Custom {
    fps: u32,
    duration_seconds: Option<u32>,
    pipeline_version: Option<PipelineVersion>,
    retry_attempts: Option<u32>,
    enable_streaming: bool,
    thumbnail_generation: bool,
    cleanup_local_files: bool,
}

impl Default for Custom {
    fn default() -> Self {
        Self {
            fps: 30,
            duration_seconds: None,
            pipeline_version: None,
            retry_attempts: None,
            enable_streaming: true,
            thumbnail_generation: true,
            cleanup_local_files: true,
        }
    }
}

/// Reads fields and collects what is wrong with them.
pub(super) struct Reader<'a> {
    fields: &'a Fields<'a>,
    place: Vec<&'a str>,
    pub faults: Faults,
}

impl<'a> Reader<'a> {
    pub fn new(fields: &'a Fields<'a>, place: Vec<&'a str>) -> Self {
        Self { fields, place, faults: Faults::default() }
    }

    fn request(&mut self, defaults: Defaults) -> VideoRequest {
        let topic = self.text("topic", TOPIC_CHARACTERS);
        if topic.is_none() && !self.is_given("topic") {
            self.fail(&["topic"], "is required", "missing");
        }
        let script = self.script();
        let context = self.text("context", CONTEXT_CHARACTERS);
        if !["context", "script", "scenes"].into_iter().any(|name| self.is_given(name)) {
            self.fail(&["context"], "is required unless script or scenes is given", "missing");
        }
        self.refuse_unavailable();
        let custom = self.custom_config();
        let quality = self.one_of("quality", &Quality::ALL, Quality::name).unwrap_or(defaults.quality);
        let request = VideoRequest {
            topic: topic.unwrap_or_default(),
            context,
            script,
            quality,
            priority: self.one_of("priority", &Priority::ALL, Priority::name).unwrap_or(defaults.priority),
            output_format: self
                .one_of("output_format", &OutputFormat::ALL, OutputFormat::name)
                .unwrap_or_default(),
            fps: custom.fps,
            duration_seconds: custom.duration_seconds,
            enable_subtitles: self.flag("enable_subtitles").unwrap_or(true),
            enable_thumbnails: self.flag("enable_thumbnails").unwrap_or(true) && custom.thumbnail_generation,
            title: self.text("title", TITLE_CHARACTERS),
            description: self.text("description", DESCRIPTION_CHARACTERS),
            tags: self.tags(),
            model: self.text("model", MODEL_CHARACTERS),
            use_rag: self.flag("use_rag"),
            template_id: self.one_of("template_id", &Theme::ALL, Theme::name).map(Template::Theme),
            style_preferences: self.style_preferences(),
            quality_levels: self.quality_levels(quality),
            scenes: self.scenes(),
            callback_url: self.callback_url(),
            pipeline_version: custom.pipeline_version,
            retry_attempts: custom.retry_attempts,
            enable_streaming: custom.enable_streaming,
            cleanup_local_files: custom.cleanup_local_files,
        };
        self.refuse_too_large(&request);
        request
    }

    /// The URL as it was given. Whether it may be asked depends on the configuration, and is checked by `callback.rs`.
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

    pub fn fail(&mut self, path: &[&str], msg: impl Into<String>, kind: &str) {
        let loc: Vec<&str> = self.place.iter().chain(path).copied().collect();
        self.faults.add(&loc, msg, kind);
    }

    /// `null` counts as absent.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.get(name).copied().filter(|value| Kind::of(value) != Kind::Null)
    }

    pub fn is_given(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The field, if it is given and of the kind.
    pub fn of_kind(&mut self, name: &str, kind: Kind) -> Option<&'a RawValue> {
        let value = self.get(name)?;
        let found = Kind::of(value);
        if found == kind {
            return Some(value);
        }
        self.fail(&[name], format!("must be {}, not {}", kind.name(), found.name()), "wrong_type");
        None
    }

    /// A string at a path. An escape that stands for no character (half of a surrogate pair) makes it no text.
    fn string(&mut self, path: &[&str], value: &RawValue) -> Option<String> {
        if Kind::of(value) != Kind::String {
            self.fail(path, format!("must be a string, not {}", Kind::of(value).name()), "wrong_type");
            return None;
        }
        let text = serde_json::from_str(value.get());
        if text.is_err() {
            let msg = "holds an escape that stands for no character, such as half of a surrogate pair; only text is allowed";
            self.fail(path, msg, "not_text");
        }
        text.ok()
    }

    /// A trimmed text within `(least, most)` characters.
    pub fn text(&mut self, name: &str, bounds: (usize, usize)) -> Option<String> {
        let value = self.get(name)?;
        let text = self.string(&[name], value)?;
        self.bounded(&[name], text.trim(), bounds).then(|| text.trim().to_owned())
    }

    /// Whether a text is within `(least, most)` characters, and all of them are text.
    fn bounded(&mut self, path: &[&str], text: &str, (least, most): (usize, usize)) -> bool {
        let count = text.chars().count();
        if count < least {
            let msg = format!("has {count} characters after trimming, but must have {least} to {most}");
            self.fail(path, msg, "too_short");
        } else if count > most {
            self.fail(path, format!("has {count} characters, but must have {least} to {most}"), "too_long");
        } else if let Some((at, found)) = control_character(text) {
            let code = found as u32;
            let msg =
                format!("holds the control character U+{code:04X} at character {at}; only text is allowed");
            self.fail(path, msg, "not_text");
        } else {
            return true;
        }
        false
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
        let flag = serde_json::from_str(value.get()).ok();
        if flag.is_none() {
            let msg = format!("must be true or false, not {}", Kind::of(value).name());
            self.fail(&[name], msg, "wrong_type");
        }
        flag
    }

    /// An object of at most [`MAX_OBJECT_BYTES`].
    fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        let value = self.of_kind(name, Kind::Object)?;
        if !self.is_small(name, value, MAX_OBJECT_BYTES) {
            return None;
        }
        match serde_json::from_str(value.get()) {
            Ok(object) => Some(object),
            Err(error) => {
                // Its line and column would be those of the object alone.
                let reason = error.to_string();
                let reason = reason.split(" at line ").next().unwrap_or_default();
                self.fail(&[name], format!("cannot be read: {reason}"), "not_readable");
                None
            }
        }
    }

    fn is_small(&mut self, name: &str, value: &RawValue, max_bytes: usize) -> bool {
        let bytes = value.get().len();
        if bytes > max_bytes {
            let msg = format!("has {bytes} bytes of JSON, but must have at most {max_bytes}");
            self.fail(&[name], msg, "too_long");
        }
        bytes <= max_bytes
    }

    /// The items of an array, if there are not too many of them.
    fn items(&mut self, name: &str, max_items: usize) -> Vec<&'a RawValue> {
        let Some(value) = self.of_kind(name, Kind::Array) else { return vec![] };
        let items: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
        if items.len() <= max_items {
            return items;
        }
        self.fail(
            &[name],
            format!("has {} items, but must have at most {max_items}", items.len()),
            "too_long",
        );
        vec![]
    }

    /// An array of texts, each with its index. Faults name the index.
    fn texts(&mut self, name: &str, max_items: usize) -> Vec<(String, String)> {
        let mut texts = vec![];
        for (index, item) in self.items(name, max_items).into_iter().enumerate() {
            let index = index.to_string();
            if let Some(text) = self.string(&[name, &index], item) {
                texts.push((index, text));
            }
        }
        texts
    }

    pub fn one_of<T: Copy>(
        &mut self,
        name: &str,
        all: &[T],
        name_of: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let value = self.get(name)?;
        let given: Option<String> = serde_json::from_str(value.get()).ok();
        let found = given.and_then(|text| all.iter().copied().find(|item| name_of(*item) == text));
        if found.is_none() {
            let names: Vec<_> = all.iter().map(|item| name_of(*item)).collect();
            let msg = format!("is {}, but must be one of {}", echo(value.get()), names.join(", "));
            self.fail(&[name], msg, "not_allowed");
        }
        found
    }

    fn tags(&mut self) -> Vec<String> {
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
    fn quality_levels(&mut self, quality: Quality) -> Vec<Quality> {
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

    /// What the look is made of must be readable. Other preferences are recorded as they are, within bounds.
    fn style_preferences(&mut self) -> Option<StylePreferences> {
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
            self.bounded(&["style_preferences", "font"], font, FONT_CHARACTERS);
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

    fn scenes(&mut self) -> Option<Vec<Scene>> {
        let value = self.of_kind("scenes", Kind::Array)?;
        if !self.is_small("scenes", value, MAX_SCENES_BYTES) {
            return None;
        }
        let scenes: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
        let scenes: Vec<&str> = scenes.into_iter().map(RawValue::get).collect();
        match description::read_scenes(&scenes) {
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
        let whole = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
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
        read.enable_streaming = self.custom_flag(&custom, "enable_streaming", true);
        read.thumbnail_generation = self.custom_flag(&custom, "thumbnail_generation", true);
        read.cleanup_local_files = self.custom_flag(&custom, "cleanup_local_files", true);
        if self.custom_flag(&custom, "s3_upload_enabled", false) {
            let msg = "is true, but no S3 is configured here: leave it out, or say false, and videos are stored locally";
            self.fail(&["custom_config", "s3_upload_enabled"], msg, "not_available");
        }
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

    fn refuse_unavailable(&mut self) {
        for name in NOT_AVAILABLE {
            if self.is_given(name) {
                self.fail(&[name], "is not available in this version", "not_available");
            }
        }
    }

    /// Refuses fields that nothing reads. `also` are known, too.
    fn refuse_unknown(&mut self, also: &[&str]) {
        let fields = self.fields;
        let is_known =
            |name: &str| [&FIELDS[..], &NOT_AVAILABLE[..], also].iter().any(|known| known.contains(&name));
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

/// How many bytes of JSON a request is recorded as.
pub fn recorded_bytes(request: &VideoRequest) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, request) {
        Ok(()) => counter.0,
        // What cannot be written is too large for any bound.
        Err(_) => usize::MAX,
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
            "custom_config": {"fps": 29, "duration_seconds": 601, "colour": 1, "db_password": "x"}, "callback_url": "ftp://x",
            "style_preferences": {"Token": 1}, "enable_subtitles": "yes", "quality_levels": ["4k"],
        }));
        assert_eq!(
            faults,
            [
                "body.topic: too_short",
                "body.context: wrong_type",
                "body.custom_config.colour: unknown_key",
                "body.custom_config.db_password: secret",
                "body.custom_config.fps: not_allowed",
                "body.custom_config.duration_seconds: out_of_range",
                "body.quality: not_allowed",
                "body.output_format: not_allowed",
                "body.enable_subtitles: wrong_type",
                "body.tags.1: wrong_type",
                "body.style_preferences.Token: secret",
                "body.quality_levels.0: not_allowed",
                "body.callback_url: not_a_url",
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
        assert_eq!(levels(script(json!({}))), [Quality::High, Quality::Medium]);
        assert_eq!(levels(script(json!({"quality": "low"}))), [Quality::Low]);
        let chosen = levels(script(json!({"quality_levels": ["480p", "high", "480p"]})));
        assert_eq!(chosen, [Quality::High, Quality::Low]);
    }

    #[test]
    fn tags_are_trimmed_lowered_and_unique() {
        let request = parsed(json!({"topic": "Ions", "script": "x", "tags": [" A ", "a", "B"]})).unwrap();
        assert_eq!(request.tags, ["a", "b"]);
    }

    fn scripted(field: &str, value: Value) -> Value {
        let mut body = json!({"topic": "Ions", "script": "They move."});
        body[field] = value;
        body
    }

    // H1
    #[test]
    fn style_preferences_are_bounded_in_depth_and_bytes() {
        let nested = |depth: usize| {
            let json = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            format!(r#"{{"topic": "Ions", "script": "x", "style_preferences": {{"a": {json}}}}}"#)
        };
        let read = |depth| parse(nested(depth).as_bytes(), Quality::High);
        assert!(read(3).is_ok());
        for depth in [4, 124, 125, 126, 1000, 100_000] {
            let problem = read(depth).unwrap_err();
            assert_eq!(problem.code.name(), "VALIDATION_ERROR", "{depth}");
            let message = problem.details[0]["msg"].as_str().unwrap();
            assert!(
                message.contains("nested too deeply")
                    || message.contains("bytes")
                    || message.contains("recursion"),
                "{message}"
            );
        }
        let sized =
            |bytes: usize| faults_or_none(scripted("style_preferences", json!({"a": "x".repeat(bytes - 8)})));
        assert_eq!(sized(MAX_OBJECT_BYTES), Vec::<String>::new());
        assert_eq!(sized(MAX_OBJECT_BYTES + 1), ["body.style_preferences: too_long"]);
        let unknown = parsed(scripted("style_preferences", json!({"mood": {"calm": [1, null]}}))).unwrap();
        assert!(unknown.style_preferences.unwrap().others.contains_key("mood"));
    }

    fn faults_or_none(body: Value) -> Vec<String> {
        if parsed(body.clone()).is_ok() { vec![] } else { faults(body) }
    }

    // H1, H2
    #[test]
    fn free_values_hold_text_only_and_no_secrets_at_any_depth() {
        let style = |value: Value| faults(scripted("style_preferences", value));
        assert_eq!(style(json!({"a": {"b\0": 1}})), ["body.style_preferences.a.b\0: not_text"]);
        assert_eq!(style(json!({"a": ["x\0"]})), ["body.style_preferences.a.0: not_text"]);
        assert_eq!(style(json!({"a": {"api_key": 1}})), ["body.style_preferences.a.api_key: secret"]);
        assert_eq!(style(json!({"font": "In\0ter"})), ["body.style_preferences.font: not_text"]);
        assert_eq!(
            style(json!({"font": 7, "logo": "a/b"})),
            ["body.style_preferences.font: not_allowed", "body.style_preferences.logo: not_allowed"]
        );
        assert_eq!(faults(scripted("tags", json!(["a\0"]))), ["body.tags.0: not_text"]);
        assert_eq!(faults(scripted("model", json!("a\u{1b}"))), ["body.model: not_text"]);
    }

    // H2
    #[test]
    fn half_of_a_surrogate_pair_is_no_text() {
        let field = |json: &str| {
            let problem = parse(json.as_bytes(), Quality::High).unwrap_err();
            (problem.code.name(), problem.details[0]["loc"].to_string())
        };
        let validation = |loc: &str| ("VALIDATION_ERROR", loc.to_owned());
        assert_eq!(field(r#"{"topic": "Ions \ud800", "script": "x"}"#), validation(r#"["body","topic"]"#));
        assert_eq!(field(r#"{"topic": "Ions", "script": "\udc00x"}"#), validation(r#"["body","script"]"#));
        assert_eq!(
            field(r#"{"topic": "Ions", "script": "x", "tags": ["\ud83d"]}"#),
            validation(r#"["body","tags","0"]"#)
        );
        let scenes = r#"{"topic": "Ions", "scenes": [{"title": "a\ud800", "steps": [{"narration": "b"}]}]}"#;
        assert_eq!(field(scenes), validation(r#"["body","scenes","0","title"]"#));
        assert_eq!(field(r#"{"topic": "Ions", "script": "x", "\ud800": 1}"#).0, "BAD_REQUEST");
        assert!(parsed(scripted("title", json!("\u{1f600}"))).is_ok());
    }

    // H4
    #[test]
    fn the_faults_that_are_listed_are_bounded_and_so_is_what_they_repeat() {
        let count = |body: Value| parsed(body).unwrap_err().details.as_array().unwrap().clone();
        assert_eq!(count(scripted("tags", json!(vec![1; 200_000]))).len(), 1);
        assert_eq!(count(scripted("quality_levels", json!(vec!["x"; 200_000]))).len(), 1);
        let mut many = scripted("tags", json!([]));
        for index in 0..5000 {
            many[format!("field_{index}")] = Value::Null;
        }
        let listed = count(many);
        assert_eq!(listed.len(), MAX_FAULTS + 1);
        assert_eq!(listed[MAX_FAULTS]["msg"], "and more: 4900 faults are not listed");
        assert_eq!(listed[MAX_FAULTS]["type"], "and_more");
        let long = "x".repeat(500_000);
        for body in [
            scripted("quality", json!(long)),
            scripted(&long, json!(1)),
            scripted("quality_levels", json!([long])),
        ] {
            let listed = serde_json::to_string(&count(body)).unwrap();
            assert!(listed.len() < 2000, "{}", listed.len());
        }
    }

    // 002-1.3
    #[test]
    fn unknown_fields_are_refused_by_name() {
        assert_eq!(faults(scripted("colour", json!(1))), ["body.colour: unknown_field"]);
        let wrapped =
            json!({"configuration": {"topic": "Ions", "script": "x", "colour": 1}, "tags": [], "urgency": 1});
        assert_eq!(
            faults(wrapped),
            [
                "body.configuration.colour: unknown_field",
                "body.tags: unknown_field",
                "body.urgency: unknown_field"
            ]
        );
        assert_eq!(faults(json!({"configuration": 7})), ["body.configuration: wrong_type"]);
        assert!(parsed(scripted("configuration", Value::Null)).is_ok());
    }

    // H5
    #[test]
    fn a_request_is_bounded_as_a_whole_and_the_longest_script_fits() {
        let longest = "\u{20000}".repeat(SCRIPT_CHARACTERS.1);
        let request = parsed(scripted("script", json!(longest))).unwrap();
        assert!(recorded_bytes(&request) <= MAX_REQUEST_BYTES);
        let scene = json!({"title": "T", "steps": vec![json!({"narration": "x".repeat(2000)}); 40]});
        let mut both = scripted("script", json!(longest));
        both["scenes"] = json!(vec![scene; 6]);
        assert_eq!(faults(both.clone()), ["body: too_long"]);
        both["scenes"] = json!(vec![both["scenes"][0].clone(); 7]);
        assert_eq!(faults(both), ["body.scenes: too_long"]);
    }
}
