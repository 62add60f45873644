//! Videos that a scripted language model plans.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reel_models::client::MAX_TRIES;
use reel_models::scripted::{INPUT_TOKENS, OUTPUT_TOKENS, Received, Reply, Server};
use reelstream::config::{Config, ModelsConfig};
use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, System, error_of};

const PATIENCE: Duration = Duration::from_secs(120);
const KEY: &str = "sk-never-recorded";

pub(super) fn outline() -> Value {
    let scene = |heading: &str| json!({ "heading": heading, "points": ["How it begins"] });
    json!({ "title": "Why it rains", "language": "en", "opening": "This is about rain.",
        "scenes": [scene("Clouds"), scene("Drops"), scene("Rivers")], "closing": "That is rain." })
}

/// Answers as a good model does.
fn good(received: &Received) -> Reply {
    let (_, material) = received.prompt();
    let number = &material["scene_number"];
    Reply::Text(match material["task"].as_str() {
        Some("outline") => outline().to_string(),
        _ => json!({
            "title": format!("Scene {number} of the model"),
            "blocks": [{ "kind": "flow", "nodes": ["Sea", "Cloud", "Rain"], "edges": [{ "from": 0, "to": 1 }, { "from": 1, "to": 2 }] }],
            "steps": [{ "narration": format!("Water rises, part {number}."), "reveals": [{ "block": 0 }] }],
        })
        .to_string(),
    })
}

fn models(server: &Server, more: &[(&str, &str)]) -> ModelsConfig {
    let settings = [
        ("PLANNER_MODEL", "openai/planner"),
        ("SCENE_MODEL", "anthropic/scene"),
        ("OPENAI_BASE_URL", &server.url),
        ("ANTHROPIC_BASE_URL", &server.url),
        ("GEMINI_BASE_URL", &server.url),
        ("OPENAI_API_KEY", KEY),
        ("ANTHROPIC_API_KEY", KEY),
    ];
    let mut config = ModelsConfig::from_environment(&|name| {
        let given = more.iter().chain(&settings).find(|(known, _)| *known == name);
        given.map(|(_, value)| (*value).to_owned())
    })
    .unwrap();
    config.client.first_wait = Duration::from_millis(10);
    config
}

async fn start(
    more: &[(&str, &str)],
    answer: impl Fn(&Received) -> Reply + Send + Sync + 'static,
) -> (System, Server) {
    let server = Server::start(answer).await.unwrap();
    let models = models(&server, more);
    (System::start_with(&ALL_ROLES, |config: &mut Config| config.models = models).await, server)
}

async fn calls(system: &System, job_id: &str) -> Vec<Value> {
    let events = system.events(job_id).await;
    events.into_iter().filter(|event| event["type"] == "ModelCalled").collect()
}

async fn failed(system: &System, body: &Value) -> Value {
    let job_id = system.generate(body).await;
    let last = system.statuses_until_ended(&job_id, PATIENCE).await.pop().unwrap();
    assert_eq!(last["status"], "failed", "{last}");
    last["error"].clone()
}

#[tokio::test]
async fn a_topic_alone_becomes_a_video_with_the_scenes_of_the_model() {
    let (system, server) = start(&[], good).await;
    let job_id = system.completed(&json!({ "topic": "Why it rains", "quality": "low" })).await;
    let scenes: Value =
        system.get(&format!("/api/v1/videos/jobs/{job_id}/scenes")).await.json().await.unwrap();
    let titles: Vec<&str> =
        scenes["scenes"].as_array().unwrap().iter().map(|scene| scene["title"].as_str().unwrap()).collect();
    let expected = [
        "Why it rains",
        "Scene 1 of the model",
        "Scene 2 of the model",
        "Scene 3 of the model",
        "Why it rains",
    ];
    assert_eq!(titles, expected);
    assert_eq!(scenes["scenes"][1]["narration"], "Water rises, part 1.");

    let calls = calls(&system, &job_id).await;
    assert_eq!((calls.len(), server.received().len()), (4, 4), "{calls:?}");
    let planner = &calls[0]["data"];
    assert_eq!((&planner["model"], &planner["role"]), (&json!("openai/planner"), &json!("planner")));
    assert_eq!(
        (&planner["input_tokens"], &planner["output_tokens"]),
        (&json!(INPUT_TOKENS), &json!(OUTPUT_TOKENS))
    );
    assert_eq!((&planner["stage"], &planner["outcome"]), (&json!("planning"), &json!("answered")));
    let history = json!(system.events(&job_id).await).to_string();
    assert!(!history.contains(KEY) && !history.contains("You divide"), "no key and no prompt is recorded");
    assert_eq!(system.warnings(&job_id).await.matches("PLANNED_BY_RULES").count(), 0);
    system.running.stop().await;
}

#[tokio::test]
async fn a_model_that_sees_gets_each_page_as_a_picture_and_may_change_it() {
    let (system, server) = start(&[("REVIEW_MODEL", "gemini/eyes")], |received| {
        let (_, material) = received.prompt();
        let number = material["scene_number"].as_u64();
        match (material["task"].as_str(), number) {
            (Some("review"), Some(1)) => {
                let mut scene = material["scene"].clone();
                scene["title"] = "Seen and changed".into();
                Reply::Text(json!({ "verdict": "change", "scene": scene }).to_string())
            }
            (Some("review"), Some(2)) => Reply::Text("{\"verdict\": \"keep\"}".to_owned()),
            (Some("review"), _) => Reply::Text("{\"verdict\": \"change\", \"scene\": {}}".to_owned()),
            _ => good(received),
        }
    })
    .await;
    let style = json!({ "aspect_ratio": "9:16" });
    let body = json!({ "topic": "Why it rains", "quality": "low", "style_preferences": style });
    let job_id = system.completed(&body).await;
    let scenes: Value =
        system.get(&format!("/api/v1/videos/jobs/{job_id}/scenes")).await.json().await.unwrap();
    assert_eq!(scenes["scenes"][1]["title"], "Seen and changed");
    assert_eq!(scenes["scenes"][3]["title"], "Scene 3 of the model");

    let looks: Vec<Received> =
        server.received().into_iter().filter(|received| received.picture().is_some()).collect();
    assert_eq!(looks.len(), 3);
    for look in &looks {
        let png = BASE64_STANDARD.decode(look.picture().unwrap()).unwrap();
        let picture = image::load_from_memory(&png).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (720, 1280), "the picture has the video's shape");
        let background = picture.get_pixel(3, 3);
        let drawn = picture.pixels().filter(|pixel| *pixel != background).count();
        assert!(drawn > 5000, "{drawn} pixels are drawn on");
    }
    let events = system.events(&job_id).await;
    let mut reviews: Vec<(u64, &str)> = events
        .iter()
        .filter(|event| event["type"] == "SceneReviewed")
        .map(|event| (event["data"]["scene"].as_u64().unwrap(), event["data"]["verdict"].as_str().unwrap()))
        .collect();
    reviews.sort_unstable();
    assert_eq!(reviews, [(1, "changed"), (2, "kept"), (3, "unusable")]);
    let calls = calls(&system, &job_id).await;
    let models: Vec<&Value> = calls
        .iter()
        .filter(|call| call["data"]["role"] == "reviewer")
        .map(|call| &call["data"]["model"])
        .collect();
    assert_eq!(models, ["gemini/eyes"; 3]);
    let metadata: Value =
        system.get(&format!("/api/v1/videos/jobs/{job_id}/metadata")).await.json().await.unwrap();
    assert!(
        metadata["processing"]["logs"].to_string().contains("looked at the picture of the scene: changed")
    );
    system.running.stop().await;
}

#[tokio::test]
async fn without_a_usable_plan_the_rules_make_the_scenes_and_the_job_says_so() {
    let (system, server) = start(&[], |received| match received.prompt().1["task"].as_str() {
        Some("outline") => Reply::Text(outline().to_string()),
        // A file of the worker, which no model may show.
        _ => Reply::Text(
            json!({ "title": "T", "blocks": [{ "kind": "image", "file": "/etc/passwd" }],
                    "steps": [{ "narration": "See." }] })
            .to_string(),
        ),
    })
    .await;
    let script = "# Rain\n\nRain falls from clouds. Drops grow until they are heavy.";
    let body = json!({ "topic": "Rain", "script": script, "quality": "low" });
    let job_id = system.completed(&body).await;
    let warnings = system.warnings(&job_id).await;
    assert!(warnings.contains("PLANNED_BY_RULES") && warnings.contains("no usable scene"), "{warnings}");
    let metadata: Value =
        system.get(&format!("/api/v1/videos/jobs/{job_id}/metadata")).await.json().await.unwrap();
    assert!(metadata["processing"]["logs"].to_string().contains("PLANNED_BY_RULES"));
    let before = server.received().len();
    assert!(before > 2 && calls(&system, &job_id).await.len() == before);

    let strict = json!({ "topic": "Rain", "script": script, "custom_config": { "strict": true } });
    let error = failed(&system, &strict).await;
    assert_eq!(
        (&error["error_code"], &error["error_stage"]),
        (&json!("MODEL_FAILED"), &json!("planning")),
        "{error}"
    );
    let error = failed(&system, &json!({ "topic": "Nothing else is said" })).await;
    assert_eq!(error["error_code"], "MODEL_FAILED", "the rules have no text: {error}");
    system.running.stop().await;
}

#[tokio::test]
async fn another_attempt_does_not_pay_for_an_answer_again() {
    // The scenes are not answered in the first attempt, with all its tries, and are in the second.
    let refused = AtomicU32::new(0);
    let (system, server) = start(&[], move |received| {
        let is_scene = received.prompt().1["task"] == "scene";
        match is_scene && refused.fetch_add(1, Ordering::Relaxed) < 3 * MAX_TRIES {
            true => Reply::Status(503, None),
            false => good(received),
        }
    })
    .await;
    let body = json!({ "topic": "Why it rains", "quality": "low", "custom_config": { "strict": true } });
    let job_id = system.completed(&body).await;
    let tasks = server.received().into_iter().map(|received| received.prompt().1["task"].clone());
    assert_eq!(tasks.filter(|task| task == "outline").count(), 1, "its answer was kept");
    let calls = calls(&system, &job_id).await;
    let by = |attempt: u32, outcome: &str| {
        calls
            .iter()
            .filter(|call| call["data"]["attempt"] == attempt && call["data"]["outcome"] == outcome)
            .count()
    };
    assert_eq!((by(1, "answered"), by(1, "unavailable"), by(2, "answered")), (1, 9, 3), "{calls:?}");
    system.running.stop().await;
}

#[tokio::test]
async fn limits_hold_for_a_job_and_for_the_day_of_a_user() {
    // Enough for the first call of a scene, and not for many.
    let (system, server) = start(&[("MODEL_DAY_TOKENS", "9000")], good).await;
    let strict = |topic: &str| json!({ "topic": topic, "custom_config": { "strict": true } });
    let error = failed(&system, &strict("Why it rains")).await;
    assert_eq!(error["error_code"], "MODEL_LIMIT_REACHED", "{error}");
    assert!(error["error_message"].as_str().unwrap().contains("the user's day"), "{error}");
    assert!(server.received().len() <= 3);
    system.running.stop().await;

    let (system, server) = start(&[("MODEL_JOB_CENTS", "0")], good).await;
    let script = json!({ "topic": "Rain", "script": "Rain falls from clouds.", "quality": "low" });
    let job_id = system.completed(&script).await;
    assert!(system.warnings(&job_id).await.contains("PLANNED_BY_RULES"));
    assert_eq!(server.received().len(), 0);
    system.running.stop().await;
}

#[tokio::test]
async fn what_no_model_can_serve_is_refused_with_what_to_configure() {
    let (system, _server) = start(&[("MODEL_ALLOWED", "openai/planner, gemini/other")], good).await;
    let body = json!({ "topic": "Rain", "model": "anthropic/dear" });
    let answer = system.post("/api/v1/videos/generate", &body).await;
    let (status, error) = error_of(answer).await;
    assert_eq!((status, &error["details"][0]["loc"]), (422, &json!(["body", "model"])), "{error}");
    let body = json!({ "topic": "Rain falls", "model": "gemini/other", "quality": "low" });
    let job_id = system.completed(&body).await;
    let calls = calls(&system, &job_id).await;
    assert!(calls.iter().all(|call| call["data"]["model"] == "gemini/other"), "{calls:?}");
    system.running.stop().await;

    let system = System::start(&ALL_ROLES).await;
    let answer = system.post("/api/v1/videos/generate", &json!({ "topic": "Rain" })).await;
    let (status, error) = error_of(answer).await;
    assert_eq!(status, 422);
    assert!(error["details"][0]["msg"].as_str().unwrap().contains("PLANNER_MODEL"), "{error}");
    let body = json!({ "topic": "Rain", "script": "Rain falls.", "custom_config": { "strict": true } });
    let answer = system.post("/api/v1/videos/generate", &body).await;
    let (status, error) = error_of(answer).await;
    assert_eq!((status, &error["details"][0]["loc"]), (422, &json!(["body", "custom_config", "strict"])));
    // As clients of earlier versions send it.
    system
        .generate(&json!({ "topic": "Rain", "script": "Rain falls.", "model": "gpt-4", "quality": "low" }))
        .await;
    system.running.stop().await;
}
