//! Stored configurations: named, validated, versioned, and what a request makes of them.

use reelstream::app::Role;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{System, error_of};

static API: [Role; 1] = [Role::Api];
static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

const CONFIGURATIONS: &str = "/api/v1/configurations";

fn path(configuration: &Value) -> String {
    format!("{CONFIGURATIONS}/{}", configuration["configuration_id"].as_str().unwrap())
}

async fn created(system: &System, body: &Value) -> Value {
    let answer = system.post(CONFIGURATIONS, body).await;
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["etag"], "\"v1\"");
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(location, path(&body));
    body
}

async fn put(system: &System, path: &str, if_match: Option<&str>, body: &Value) -> Response {
    let mut request = system.request(Method::PUT, path).json(body);
    if let Some(tag) = if_match {
        request = request.header("If-Match", tag);
    }
    request.send().await.unwrap()
}

async fn code_of(answer: Response) -> (u16, String) {
    let (status, error) = error_of(answer).await;
    (status, error["error_code"].as_str().unwrap().to_owned())
}

fn answer(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_configuration_is_stored_read_replaced_and_deleted() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let settings = json!({ "quality": "low", "tags": [" A ", "a"], "custom_config": { "fps": 60 } });
    let first = created(&system, &json!({ "name": " Lectures ", "settings": settings })).await;
    assert_eq!((&first["name"], &first["version"]), (&json!("Lectures"), &json!(1)));
    assert_eq!(first["settings"], json!({ "quality": "low", "tags": ["a"], "custom_config": { "fps": 60 } }));
    let flat = created(&system, &json!({ "name": "Flat", "output_format": "webm", "use_rag": null })).await;
    assert_eq!(flat["settings"], json!({ "output_format": "webm" }));

    let read = system.get(&path(&first)).await;
    assert_eq!(read.headers()["etag"], "\"v1\"");
    assert_eq!(read.json::<Value>().await.unwrap(), first);
    let unchanged = system.request(Method::GET, &path(&first)).header("If-None-Match", "W/\"v1\"");
    assert_eq!(unchanged.send().await.unwrap().status(), 304);

    let replaced =
        put(&system, &path(&first), Some("\"v1\""), &json!({ "name": "Talks", "quality": "ultra" })).await;
    assert_eq!((replaced.status().as_u16(), replaced.headers()["etag"].to_str().unwrap()), (200, "\"v2\""));
    let replaced: Value = replaced.json().await.unwrap();
    assert_eq!((&replaced["settings"], &replaced["version"]), (&json!({ "quality": "ultra" }), &json!(2)));
    assert_eq!(replaced["created_at"], first["created_at"]);
    assert_eq!(system.get(&path(&first)).await.json::<Value>().await.unwrap(), replaced, "read at once");
    for stale in ["\"v1\"", "\"v3\"", "W/\"v2\"", "\"x\""] {
        let refused = put(&system, &path(&first), Some(stale), &json!({ "name": "Talks" })).await;
        assert_eq!(code_of(refused).await, answer(412, "PRECONDITION_FAILED"), "{stale}");
    }
    for fresh in ["\"v1\", \"v2\"", "*"] {
        let again = put(&system, &path(&first), Some(fresh), &json!({ "name": "Talks" })).await;
        assert_eq!(again.status(), 200, "{fresh}");
    }

    let models = system.read_models().await;
    models.caught_up().await;
    let listed: Value = system.get(&format!("{CONFIGURATIONS}?items_per_page=1")).await.json().await.unwrap();
    assert_eq!(listed["configurations"], json!([flat]), "newest first");
    assert_eq!((&listed["total_count"], &listed["has_next"]), (&json!(2), &json!(true)));
    models.verify().await;

    let stale = system.request(Method::DELETE, &path(&first)).header("If-Match", "\"v1\"");
    assert_eq!(code_of(stale.send().await.unwrap()).await, answer(412, "PRECONDITION_FAILED"));
    let delete = async || system.request(Method::DELETE, &path(&first)).send().await.unwrap();
    assert_eq!(delete().await.status(), 204);
    assert_eq!(code_of(delete().await).await, answer(404, "NOT_FOUND"));
    assert_eq!(code_of(system.get(&path(&first)).await).await, answer(404, "NOT_FOUND"));
    // The history of all of it is kept.
    models.caught_up().await;
    let types: Vec<String> = models
        .rows_of("trail.events")
        .await
        .iter()
        .filter(|row| row["aggregate"] == "configurations")
        .map(|row| row["type"].as_str().unwrap().replace("Configuration", ""))
        .collect();
    let count = |name: &str| types.iter().filter(|of| *of == name).count();
    assert_eq!((count("Created"), count("Replaced"), count("Deleted")), (2, 3, 1));
    models.verify().await;
    system.running.stop().await;
}

#[tokio::test]
async fn names_are_unique_and_configurations_their_user_s() {
    let system = System::start(&API).await;
    let one = created(&system, &json!({ "name": "One" })).await;
    let two = created(&system, &json!({ "name": "Two" })).await;
    let taken = system.post(CONFIGURATIONS, &json!({ "name": "One" })).await;
    let (status, error) = error_of(taken).await;
    assert_eq!((status, &error["details"]["configuration_id"]), (409, &one["configuration_id"]));
    let taken = put(&system, &path(&two), None, &json!({ "name": "One" })).await;
    assert_eq!(code_of(taken).await, answer(409, "CONFLICT"));
    // Twenty at once: one of them is first.
    let sends =
        (0..20).map(|_| async { system.post(CONFIGURATIONS, &json!({ "name": "Same" })).await.status() });
    let statuses = futures_util::future::join_all(sends).await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");

    let as_other = |method: Method, path: &str| {
        system
            .anonymous(method, path)
            .bearer_auth(system.token("user_2", "user"))
            .json(&json!({ "name": "One" }))
    };
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        for path in
            [&path(&one), &format!("{CONFIGURATIONS}/x"), &format!("{CONFIGURATIONS}/{}", uuid::Uuid::nil())]
        {
            let (status, error) = error_of(as_other(method.clone(), path).send().await.unwrap()).await;
            assert_eq!(
                (status, &error["message"]),
                (404, &json!("there is no such configuration")),
                "{method} {path}"
            );
        }
    }
    assert_eq!(as_other(Method::POST, CONFIGURATIONS).send().await.unwrap().status(), 201, "their own name");
    for number in 3..100 {
        created(&system, &json!({ "name": format!("{number}") })).await;
    }
    let (status, error) = error_of(system.post(CONFIGURATIONS, &json!({ "name": "one more" })).await).await;
    assert_eq!((status, &error["details"]["max"]), (409, &json!(100)));
    system.running.stop().await;
}

#[tokio::test]
async fn every_fault_of_a_configuration_is_named() {
    let system = System::start(&API).await;
    let faults = async |body: Value| {
        let (status, error) = error_of(system.post(CONFIGURATIONS, &body).await).await;
        assert_eq!(status, 422, "{error}");
        let details = error["details"].as_array().unwrap().clone();
        let name = |fault: &Value| {
            let loc: Vec<&str> =
                fault["loc"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
            format!("{}: {}", loc.join("."), fault["type"].as_str().unwrap())
        };
        details.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(
        faults(json!({ "quality": "best", "topic": "Ions", "custom_config": { "fps": 29 }, "tags": [1] }))
            .await,
        [
            "body.name: missing",
            "body.quality: not_allowed",
            "body.custom_config.fps: not_allowed",
            "body.tags.0: wrong_type",
            "body.topic: unknown_field",
        ]
    );
    assert_eq!(
        faults(json!({ "name": "a\u{0}b", "settings": { "script": "x", "style_preferences": { "token": 1 } }, "x": 1 })).await,
        [
            "body.name: not_text",
            "body.x: unknown_field",
            "body.settings.style_preferences.token: secret",
            "body.settings.script: unknown_field",
        ]
    );
    assert_eq!(faults(json!({ "name": "x".repeat(101) })).await, ["body.name: too_long"]);
    assert_eq!(faults(json!({ "name": "x", "settings": 7 })).await, ["body.settings: wrong_type"]);
    assert_eq!(faults(json!([])).await, ["body: wrong_type"]);
    let raw = |body: &str, kind: &str| {
        system.request(Method::POST, CONFIGURATIONS).header("Content-Type", kind).body(body.to_owned()).send()
    };
    assert_eq!(code_of(raw("{", "application/json").await.unwrap()).await, answer(400, "BAD_REQUEST"));
    assert_eq!(code_of(raw("{}", "text/plain").await.unwrap()).await, answer(415, "UNSUPPORTED_MEDIA_TYPE"));
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(100_000));
    assert_eq!(
        code_of(raw(&long, "application/json").await.unwrap()).await,
        answer(413, "PAYLOAD_TOO_LARGE")
    );
    let half = r#"{"name": "\ud800"}"#;
    assert_eq!(code_of(raw(half, "application/json").await.unwrap()).await, answer(422, "VALIDATION_ERROR"));
    system.running.stop().await;
}

#[tokio::test]
async fn a_request_takes_what_it_does_not_say_from_its_configuration() {
    let system = System::start(&API).await;
    let settings = json!({ "quality": "low", "priority": "low", "tags": ["physics"], "custom_config": { "fps": 60 },
                           "enable_subtitles": false, "template_id": "plum" });
    let stored = created(&system, &json!({ "name": "Lectures", "settings": settings })).await;
    let id = &stored["configuration_id"];
    let requested = async |body: Value| {
        let job = system.generate(&body).await;
        system.events(&job).await[0]["data"]["request"].clone()
    };
    let request = requested(
        json!({ "topic": "Ions", "script": "x.", "configuration_id": id, "priority": "high", "tags": null }),
    )
    .await;
    assert_eq!(
        (&request["quality"], &request["priority"]),
        (&json!("low"), &json!("high")),
        "its own field wins"
    );
    assert_eq!((&request["fps"], &request["tags"]), (&json!(60), &json!(["physics"])));
    assert_eq!((&request["enable_subtitles"], &request["template_id"]), (&json!(false), &json!("plum")));
    assert_eq!(request["configuration"], json!({ "configuration_id": id, "version": 1 }));

    let replaced =
        put(&system, &path(&stored), None, &json!({ "name": "Lectures", "quality": "medium" })).await;
    assert_eq!(replaced.status(), 200);
    let wrapped = json!({ "configuration": { "topic": "Ions", "script": "x.", "configuration_id": id } });
    let request = requested(wrapped).await;
    assert_eq!((&request["quality"], &request["fps"]), (&json!("medium"), &json!(30)));
    assert_eq!(request["configuration"]["version"], 2);

    for unknown in [json!(uuid::Uuid::now_v7()), json!("Lectures"), json!(7)] {
        let body = json!({ "topic": "Ions", "script": "x.", "configuration_id": unknown });
        let (status, error) = error_of(system.post("/api/v1/videos/generate", &body).await).await;
        assert_eq!((status, &error["details"][0]["loc"]), (422, &json!(["body", "configuration_id"])));
    }
    let body = json!({ "topic": "Ions", "script": "x.", "configuration_id": id });
    let request = system.anonymous(Method::POST, "/api/v1/videos/generate").json(&body);
    let others = request.bearer_auth(system.token("user_2", "user")).send().await.unwrap();
    assert_eq!(error_of(others).await.0, 422, "another user's is not there");
    system.running.stop().await;
}
