//! What one user may have open, and what all may.

use reelstream::app::Role;
use reelstream::events::queue::OpenLoad;
use reelstream::events::{WorkQueue, work};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{System, error_of};

static API: [Role; 1] = [Role::Api];

const GENERATE: &str = "/api/v1/videos/generate";

fn body(priority: &str) -> Value {
    json!({ "topic": "Ions", "script": "Ions move.", "quality": "low", "priority": priority })
}

async fn post(system: &System, user: &str, role: &str, body: &Value) -> Response {
    let request = system.anonymous(Method::POST, GENERATE).bearer_auth(system.token(user, role));
    request.json(body).send().await.unwrap()
}

async fn accepted(system: &System, user: &str, role: &str, body: &Value) -> String {
    let answer = post(system, user, role, body).await;
    assert_eq!(answer.status(), 201);
    answer.json::<Value>().await.unwrap()["job_id"].as_str().unwrap().to_owned()
}

/// The status, the code and the details of a refusal, which says when to ask again.
async fn refused(system: &System, user: &str, role: &str, body: &Value) -> (u16, String, Value, String) {
    let answer = post(system, user, role, body).await;
    let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(retry_after.as_deref(), Some("30"));
    let (status, error) = error_of(answer).await;
    let text = |name: &str| error[name].as_str().unwrap().to_owned();
    (status, text("error_code"), error["details"].clone(), text("message"))
}

async fn load(system: &System, user: &str) -> (OpenLoad, OpenLoad) {
    WorkQueue::new(&system.log().await).open_load(&work::requester(user)).await.unwrap()
}

// H5
#[tokio::test]
async fn a_user_who_has_enough_open_is_refused_and_others_are_not() {
    let system = System::start_with(&API, |config| config.streams.limits.open_jobs_per_user = 2).await;
    let first = accepted(&system, "user_1", "user", &body("normal")).await;
    accepted(&system, "user_1", "user", &body("low")).await;
    let (status, code, details, message) = refused(&system, "user_1", "user", &body("normal")).await;
    assert_eq!((status, code.as_str()), (429, "RATE_LIMIT_EXCEEDED"));
    assert_eq!(details, json!({ "limit": "limits.open_jobs_per_user", "open": 2, "max": 2 }));
    assert_eq!(
        message,
        "you have too much open: 2 of at most 2 jobs are open (limits.open_jobs_per_user); \
         wait until one of yours has ended, or cancel one, and try again in 30 s"
    );
    accepted(&system, "user_2", "user", &body("normal")).await;

    let cancel = system.request(Method::POST, &format!("/api/v1/jobs/{first}/cancel"));
    assert_eq!(cancel.send().await.unwrap().status(), 200);
    accepted(&system, "user_1", "user", &body("normal")).await;
    refused(&system, "user_1", "user", &body("normal")).await;
    system.running.stop().await;
}

// H5
#[tokio::test]
async fn requests_at_the_same_time_do_not_pass_a_limit_together() {
    let system = System::start_with(&API, |config| config.streams.limits.open_jobs_per_user = 3).await;
    let body = body("normal");
    let posts = (0..20).map(|_| post(&system, "user_1", "user", &body));
    let answers = futures_util::future::join_all(posts).await;
    let accepted = answers.iter().filter(|answer| answer.status() == 201).count();
    assert!((1..=3).contains(&accepted), "{accepted}");
    assert!(answers.iter().all(|answer| [201, 429].contains(&answer.status().as_u16())));
    assert_eq!(load(&system, "user_1").await.1.jobs, accepted as u64);
    system.running.stop().await;
}

// L6
#[tokio::test]
async fn urgent_jobs_are_limited_for_everybody_but_admins() {
    let system = System::start_with(&API, |config| config.streams.limits.open_urgent_jobs_per_user = 1).await;
    accepted(&system, "user_1", "user", &body("urgent")).await;
    let (status, _, details, message) = refused(&system, "user_1", "user", &body("urgent")).await;
    assert_eq!((status, &details["limit"]), (429, &json!("limits.open_urgent_jobs_per_user")));
    assert!(message.contains("choose another priority"), "{message}");
    accepted(&system, "user_1", "user", &body("high")).await;
    for _ in 0..2 {
        accepted(&system, "boss", "admin", &body("urgent")).await;
    }
    system.running.stop().await;
}

// H5
#[tokio::test]
async fn bytes_of_open_requests_are_limited_and_counted_again_from_the_log() {
    let system = System::start_with(&API, |config| {
        config.streams.limits.open_request_bytes_per_user = 100_000;
        config.streams.limits.open_request_bytes = 150_000;
    })
    .await;
    let long = json!({ "topic": "Ions", "script": "Ions move. ".repeat(4000) });
    accepted(&system, "user_1", "user", &long).await;
    let (status, _, details, _) = refused(&system, "user_1", "user", &long).await;
    assert_eq!((status, &details["limit"]), (429, &json!("limits.open_requests_mib_per_user")));
    accepted(&system, "user_2", "user", &long).await;
    let (status, code, details, _) = refused(&system, "user_3", "user", &long).await;
    assert_eq!((status, code.as_str()), (503, "OVERLOADED"));
    assert_eq!(details["limit"], "limits.open_requests_mib");
    accepted(&system, "user_1", "user", &body("urgent")).await;

    let counted = load(&system, "user_1").await;
    assert_eq!((counted.0.jobs, counted.1.jobs, counted.1.urgent_jobs), (3, 2, 1));
    assert!((44_000..70_000).contains(&counted.1.request_bytes), "{counted:?}");
    let rebuilt = system.reel(&["queues", "rebuild"]);
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    assert_eq!(load(&system, "user_1").await, counted);
    system.running.stop().await;
}
