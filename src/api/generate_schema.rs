//! The JSON Schema of the bodies of `POST /videos/generate` and of `/configurations`, made of the bounds that their parser
//! keeps to.

use serde_json::{Map, Value, json};

use super::batch_request::{BATCH_NAME_CHARACTERS, MAX_BATCH_BYTES};
use super::generate_request::{
    CONTEXT_CHARACTERS, DESCRIPTION_CHARACTERS, DURATION_SECONDS, FONT_CHARACTERS, FRAME_RATES,
    MAX_OBJECT_BYTES, MAX_QUALITY_LEVELS, MAX_SCENES_BYTES, MAX_STYLE_DEPTH, MAX_TAGS, MAX_UPLOAD_IDS,
    MODEL_CHARACTERS, NAME_CHARACTERS, PIPELINE_VERSIONS, PLAIN_NAME_CHARACTERS, RETRY_ATTEMPTS,
    SCRIPT_CHARACTERS, SETTINGS, TAG_CHARACTERS, TITLE_CHARACTERS, TOPIC_CHARACTERS,
};
use crate::config::voice_names;
use crate::domain::batch::MAX_JOBS;
use crate::events::{OutputFormat, Priority, Quality};
use crate::webhooks::target::MAX_URL_CHARACTERS;
use reel_scene::check;
use reel_scene::description;
use reel_scene::look::{Aspect, Theme};

/// Where the parts of bodies are that have names of their own.
const COMPONENTS: &str = "#/components/schemas";
/// Characters that are no text, as in a class of a regular expression. Line breaks and tabs are text.
const CONTROL: &str = r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f";

/// The JSON Schema (draft 2020-12) of a body, and its parts by their names: those of the scene description, which it refers
/// to at `definitions_path`, and those that generated clients should have a type for.
pub fn schema(definitions_path: &str) -> (Value, Map<String, Value>) {
    let (scene, mut definitions) = description::scene_schema(definitions_path);
    let mut flat = flat_schema(&scene);
    name_property(&mut flat, "style_preferences", "StylePreferences", &mut definitions);
    name_property(&mut flat, "custom_config", "CustomConfig", &mut definitions);
    let wrapped = json!({
        "type": "object",
        "description": "The fields in `configuration`, and the priority beside it.",
        "properties": { "configuration": reference("VideoFields"), "priority": flat["properties"]["priority"] },
        "required": ["configuration"],
        "additionalProperties": false,
    });
    definitions.insert("VideoFields".to_owned(), flat);
    definitions.insert("WrappedVideoFields".to_owned(), wrapped);
    (json!({ "anyOf": [reference("VideoFields"), reference("WrappedVideoFields")] }), definitions)
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{COMPONENTS}/{name}") })
}

/// Moves the schema of an object that may be null to a name of its own.
fn name_property(of: &mut Value, property: &str, name: &str, definitions: &mut Map<String, Value>) {
    let mut schema = of["properties"][property].take();
    schema["type"] = "object".into();
    let mut null_or = json!({ "anyOf": [reference(name), { "type": "null" }] });
    if let Some(about) = schema.get("description") {
        null_or["description"] = about.clone();
    }
    of["properties"][property] = null_or;
    definitions.insert(name.to_owned(), schema);
}

/// The JSON Schema of a text within `(least, most)` characters after trimming, none of them a control character.
fn text_schema((least, most): (usize, usize), about: &str) -> Value {
    let (text, ink) = (format!("[^{CONTROL}]"), format!(r"[^\s{CONTROL}]"));
    let inside = match least {
        0 | 1 => ink,
        2 => format!("{ink}{ink}"),
        _ => format!("{ink}{text}{{{},}}{ink}", least - 2),
    };
    let mut schema = json!({ "type": "string", "minLength": least, "maxLength": most, "pattern": format!("^{text}*{inside}{text}*$") });
    if !about.is_empty() {
        schema["description"] = about.into();
    }
    schema
}

/// The JSON Schema of the body of `POST /videos/batch`, with that of one job at `job`.
pub fn batch_schema(job: &str) -> Value {
    let priorities: Vec<Value> =
        Priority::ALL.map(Priority::name).into_iter().map(Value::from).chain([Value::Null]).collect();
    let mut batch_name = text_schema(BATCH_NAME_CHARACTERS, "What the batch is called.");
    batch_name["type"] = json!(["string", "null"]);
    json!({
        "type": "object",
        "properties": {
            "jobs": {
                "type": "array", "items": { "$ref": job }, "minItems": 1, "maxItems": MAX_JOBS,
                "description": format!("The videos to make; at most {MAX_BATCH_BYTES} bytes of JSON, as they are recorded."),
            },
            "batch_priority": { "type": ["string", "null"], "enum": priorities, "description": "The priority of those jobs that name none; `normal` unless it is given." },
            "batch_name": batch_name,
        },
        "required": ["jobs"],
        "additionalProperties": false,
    })
}

/// The JSON Schema of a stored configuration, settings beside its name or in `settings`; and its parts by their names, but
/// for those that [`schema`] gives.
pub fn configuration_schema() -> (Value, Map<String, Value>) {
    let mut definitions = Map::new();
    let mut settings = settings_schema();
    // The bodies of requests have the same.
    name_property(&mut settings, "style_preferences", "StylePreferences", &mut Map::new());
    name_property(&mut settings, "custom_config", "CustomConfig", &mut Map::new());
    let name = text_schema(NAME_CHARACTERS, "Unique among the caller's. Lengths are counted after trimming.");
    let mut flat = settings.clone();
    flat["properties"]["name"] = name.clone();
    flat["required"] = json!(["name"]);
    let settings_or_null = json!({ "anyOf": [reference("Settings"), { "type": "null" }] });
    let wrapped = json!({
        "type": "object",
        "properties": { "name": name, "settings": settings_or_null },
        "required": ["name", "settings"],
        "additionalProperties": false,
    });
    definitions.insert("Settings".to_owned(), settings);
    definitions.insert("ConfigurationFields".to_owned(), flat);
    definitions.insert("WrappedConfigurationFields".to_owned(), wrapped);
    (
        json!({ "anyOf": [reference("ConfigurationFields"), reference("WrappedConfigurationFields")] }),
        definitions,
    )
}

fn settings_schema() -> Value {
    let fields = flat_schema(&Value::Null);
    let settings: Map<String, Value> =
        SETTINGS.iter().map(|name| ((*name).to_owned(), fields["properties"][name].clone())).collect();
    json!({ "type": "object", "properties": settings, "additionalProperties": false })
}

fn flat_schema(scene: &Value) -> Value {
    let text = |bounds, about: &str| {
        let mut schema = text_schema(bounds, about);
        schema["type"] = json!(["string", "null"]);
        schema
    };
    let one_of = |names: Vec<&str>, about: &str| {
        let names: Vec<Value> = names.into_iter().map(Value::from).chain([Value::Null]).collect();
        json!({ "type": ["string", "null"], "enum": names, "description": about })
    };
    let flag = |about: &str| json!({ "type": ["boolean", "null"], "description": about });
    let (name_least, name_most) = PLAIN_NAME_CHARACTERS;
    let plain_name = |about: &str| json!({ "type": ["string", "null"], "pattern": format!("^[A-Za-z0-9_-]{{{name_least},{name_most}}}$"), "description": about });
    let colour = || json!({ "type": ["string", "null"], "pattern": "^#[0-9a-fA-F]{6}$" });
    let topic = text_schema(TOPIC_CHARACTERS, "What the video is about. Lengths are counted after trimming.");
    let levels: Vec<&str> =
        Quality::ALL.iter().flat_map(|quality| [quality.name(), quality.level()]).collect();
    let (duration_least, duration_most) = DURATION_SECONDS;
    let (least_retries, most_retries) = RETRY_ATTEMPTS;
    json!({
        "type": "object",
        "properties": {
            "topic": topic,
            "context": text(CONTEXT_CHARACTERS, "What the video should say; required unless `script`, `scenes` or the `upload_ids` of a text or PDF is given, or a language model is configured."),
            "script": text(SCRIPT_CHARACTERS, "The full text, Markdown or plain; at least one letter or digit."),
            "scenes": {
                "type": ["array", "null"], "items": scene,
                "minItems": check::SCENES.start(), "maxItems": check::SCENES.end(),
                "description": format!("A scene description, in place of a script; at most {MAX_SCENES_BYTES} bytes of JSON. A picture names one of `upload_ids`, a PNG or JPEG."),
            },
            "model": text(MODEL_CHARACTERS, "The language model that plans the video, one that this installation allows; without any configured, it is recorded and has no effect."),
            "use_rag": flag("Looks things up for the language model that plans the video: in the user's own uploads and earlier scenes, in examples, and in Manim's documentation. By default as the server is set (USE_RAG)."),
            "template_id": one_of(Theme::ALL.map(Theme::name).to_vec(), "The theme."),
            "style_preferences": {
                "type": ["object", "null"],
                "description": format!("What the look is made of. Other keys are recorded and have no effect; at most {MAX_OBJECT_BYTES} bytes of JSON, {MAX_STYLE_DEPTH} levels deep."),
                "properties": {
                    "aspect_ratio": one_of(Aspect::ALL.map(Aspect::name).to_vec(), "Width to height."),
                    "accent_color": colour(),
                    "background_color": colour(),
                    "font": text(FONT_CHARACTERS, "A font's family name."),
                    "music": plain_name("The name of the piece that plays under the voice."),
                    "logo": plain_name("The name of the picture in the corner."),
                },
                "additionalProperties": true,
            },
            "custom_config": {
                "type": ["object", "null"],
                "properties": {
                    "fps": { "type": ["integer", "null"], "enum": FRAME_RATES.map(Value::from).into_iter().chain([Value::Null]).collect::<Vec<_>>(), "description": "Frames per second; 30 unless it is given." },
                    "duration_seconds": { "type": ["integer", "null"], "minimum": duration_least, "maximum": duration_most, "description": "How long the video should last." },
                    "pipeline_version": { "type": ["string", "null"], "enum": PIPELINE_VERSIONS.map(Value::from).into_iter().chain([Value::Null]).collect::<Vec<_>>(), "description": "The one pipeline there is." },
                    "retry_attempts": { "type": ["integer", "null"], "minimum": least_retries, "maximum": most_retries, "description": "How often each piece of the job's work is tried again after a failure that another try may help; as the system is set unless it is given." },
                    "enable_streaming": flag("Whether the video is packaged for HLS; `true` unless it is given."),
                    "strict": flag("Whether the job fails when its language model gives no usable plan, or when an animation cannot be drawn; otherwise it is planned by rules, or a page stands for the animation. Needs an installation with a model, or an animation."),
                    "thumbnail_generation": flag("`true` unless it is given; there are thumbnails only if `enable_thumbnails` is true, too."),
                    "cleanup_local_files": flag("Whether the files that the video was made with go as soon as it is done; `true` unless it is given. Otherwise they stay for a day, for operators to look at."),
                    "s3_upload_enabled": { "type": ["boolean", "null"], "description": "Whether the video goes to S3; as the system is set (`VIDEO_STORAGE_MODE`) unless it is given. `true` is refused where no S3 is configured, `false` where there is nothing else." },
                    "voice": { "type": ["string", "null"], "enum": voice_names().map(Value::from).chain([Value::Null]).collect::<Vec<_>>(), "description": "Who speaks. One that this installation has (`REEL_VOICES`); as it is set unless it is given." },
                },
                "additionalProperties": false,
            },
            "quality": one_of(Quality::ALL.map(Quality::name).to_vec(), "The size of the picture."),
            "priority": one_of(Priority::ALL.map(Priority::name).to_vec(), "`normal` unless it is given."),
            "output_format": one_of(OutputFormat::ALL.map(OutputFormat::name).to_vec(), "`mp4` unless it is given."),
            "enable_subtitles": flag("`true` unless it is given."),
            "enable_thumbnails": flag("`true` unless it is given."),
            "quality_levels": {
                "type": ["array", "null"], "items": { "type": "string", "enum": levels }, "maxItems": MAX_QUALITY_LEVELS,
                "description": "The renditions; the chosen quality, and 1080p and 720p below it, unless they are given.",
            },
            "title": text(TITLE_CHARACTERS, "The video's title."),
            "description": text(DESCRIPTION_CHARACTERS, "What is said about the video."),
            "callback_url": {
                "type": ["string", "null"], "format": "uri", "maxLength": MAX_URL_CHARACTERS,
                "description": "Who is told when the job has ended: an http or https URL of a public address, without credentials. It gets a signed message by the Standard Webhooks specification.",
            },
            "tags": {
                "type": ["array", "null"], "maxItems": MAX_TAGS,
                "items": text_schema(TAG_CHARACTERS, ""),
                "description": "Trimmed, in lower case, without repetitions.",
            },
            "configuration_id": {
                "type": ["string", "null"], "format": "uuid",
                "description": "A stored configuration of the caller, whose settings stand in for fields that are not given.",
            },
            "upload_ids": {
                "type": ["array", "null"], "maxItems": MAX_UPLOAD_IDS, "items": { "type": "string", "format": "uuid" },
                "description": "Uploads of the caller. Texts and PDFs are the script where there is none, and context beside one. PNG and JPEG pictures are shown by the `scenes` that name them, and without `scenes` where their file names fit.",
            },
        },
        "required": ["topic"],
        "if": { "properties": { "script": is_null(), "scenes": is_null(), "upload_ids": is_null() } },
        "then": { "properties": { "context": { "type": "string" } }, "required": ["context"] },
        "additionalProperties": false,
    })
}

fn is_null() -> Value {
    json!({ "type": "null" })
}

#[cfg(test)]
mod tests {
    use super::super::generate_request::{FIELDS, Resolved, parse_configuration, parse_with};
    use super::*;
    use crate::events::ContentType;
    use crate::events::upload::Upload;
    use crate::ids::UploadId;

    /// The one upload that there is.
    const UPLOAD: UploadId = UploadId(uuid::Uuid::nil());

    fn is_accepted(field: &str, value: Value) -> bool {
        let mut body = json!({"topic": "Ions", "script": "They move."});
        body[field] = value;
        let upload = Upload {
            upload_id: UPLOAD,
            file_name: "a.txt".into(),
            content_type: ContentType::Text,
            bytes: 1,
            sha256: String::new(),
            object: UPLOAD,
            scanned_by: vec![],
            is_sanitized: false,
            width: None,
            height: None,
        };
        let resolved = Resolved { uploads: [(UPLOAD, upload)].into(), ..Resolved::default() };
        parse_with(body.to_string().as_bytes(), Quality::High, &resolved).is_ok()
    }

    #[test]
    fn the_schema_of_a_configuration_is_what_the_parser_accepts() {
        let (_, definitions) = configuration_schema();
        assert!(definitions["ConfigurationFields"]["properties"]["name"].is_object());
        for (name, schema) in settings_schema()["properties"].as_object().unwrap() {
            let is_accepted = |value: Value| {
                let mut body = json!({ "name": "Lectures" });
                body[name] = value;
                parse_configuration(body.to_string().as_bytes()).is_ok()
            };
            check_bounds(name, schema, &is_accepted);
        }
        for settings in [json!({ "quality": "low" }), Value::Null] {
            let wrapped = json!({ "name": "Lectures", "settings": settings });
            assert!(parse_configuration(wrapped.to_string().as_bytes()).is_ok(), "{wrapped}");
        }
    }

    /// Every bound in the schema is the parser's: a value at it is accepted, and one past it is refused.
    #[test]
    fn the_schema_is_what_the_parser_accepts() {
        let (_, definitions) = schema("#/$defs");
        let flat = flat_schema(&Value::Null);
        assert!(definitions.contains_key("Scene"), "{:?}", definitions.keys());
        let properties = flat["properties"].as_object().unwrap();
        let names: Vec<&str> = properties.keys().map(String::as_str).collect();
        let mut fields = FIELDS.to_vec();
        fields.sort_unstable();
        assert_eq!(names, fields);
        for (name, schema) in properties {
            let is_accepted = |value: Value| is_accepted(name, value);
            check_bounds(name, schema, &is_accepted);
            let nested = schema["properties"].as_object();
            for (key, schema) in nested.into_iter().flatten() {
                check_bounds(key, schema, &|value| is_accepted(json!({ key: value })));
            }
        }
    }

    fn check_bounds(name: &str, schema: &Value, is_accepted: &dyn Fn(Value) -> bool) {
        let number = |key: &str| schema[key].as_u64();
        if let Some(names) = schema["enum"].as_array() {
            assert!(names.iter().all(|value| is_accepted(value.clone())), "{name}");
            assert!(!is_accepted(json!("nonsense")), "{name}");
        }
        if let (Some(least), Some(most)) = (number("minLength"), number("maxLength")) {
            let text = |length: u64| json!("x".repeat(length as usize));
            assert!(is_accepted(text(least)) && is_accepted(text(most)), "{name}");
            assert!(!is_accepted(text(least - 1)) && !is_accepted(text(most + 1)), "{name}");
        }
        if let (Some(least), Some(most)) = (number("minimum"), number("maximum")) {
            assert!(is_accepted(json!(least)) && is_accepted(json!(most)), "{name}");
            assert!(!is_accepted(json!(least as i64 - 1)) && !is_accepted(json!(most + 1)), "{name}");
        }
        if let Some(most) = number("maxItems") {
            let item = match schema["items"]["enum"].get(0) {
                Some(first) => first.clone(),
                None if name == "upload_ids" => json!(UPLOAD),
                None if name == "scenes" => json!({"title": "T", "steps": [{"narration": "x"}]}),
                None => json!("x"),
            };
            let items = |count: u64| Value::from(vec![item.clone(); count as usize]);
            assert!(is_accepted(items(most)) && !is_accepted(items(most + 1)), "{name}");
        }
        if schema["type"].as_array().is_some_and(|types| types.contains(&json!("boolean"))) {
            let is_true_fit = schema["not"]["const"] != true;
            assert_eq!(
                (is_accepted(json!(true)), is_accepted(json!("true"))),
                (is_true_fit, false),
                "{name}"
            );
            assert!(is_accepted(json!(false)), "{name}");
        }
        if schema["pattern"].is_string() && number("minLength").is_some() {
            let length = number("minLength").unwrap() as usize;
            let (blank, broken) = (" ".repeat(length), format!("{}\u{7}{0}", "x".repeat(length)));
            assert!(!is_accepted(json!(blank)) && !is_accepted(json!(broken)), "{name}");
        }
    }
}
