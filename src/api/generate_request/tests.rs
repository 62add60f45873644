//! Bodies that are read, and bodies that are refused.

use serde_json::{Value, json};

use super::faults::MAX_FAULTS;
use super::*;
use crate::events::request::MAX_REQUEST_BYTES;

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
