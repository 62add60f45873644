//! One job, and deleting it: gone for its user, kept for auditors, its files removed after a while.

use std::time::Duration;

use reelstream::app::Role;
use reelstream::clock::Clock;
use reelstream::execute::Executor;
use reelstream::retention::Retention;
use reelstream::storage::Stores;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, System, error_of, files_under, short_request};

static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

async fn send(system: &System, method: Method, user: &str, role: &str, path: &str) -> Response {
    system.anonymous(method, path).bearer_auth(system.token(user, role)).send().await.unwrap()
}

async fn delete(system: &System, user: &str, role: &str, job_id: &str) -> Response {
    send(system, Method::DELETE, user, role, &format!("/api/v1/jobs/{job_id}")).await
}

async fn cancel(system: &System, job_id: &str) {
    let answer = system.post(&format!("/api/v1/jobs/{job_id}/cancel"), &json!({})).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_job_is_shown_by_itself_with_all_that_its_request_said() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let mut body = short_request();
    body["title"] = json!("On ions");
    body["description"] = json!("How they move.");
    body["tags"] = json!([" Physics ", "ions"]);
    let job_id = system.generate(&body).await;
    let path = format!("/api/v1/jobs/{job_id}");
    let answer = system.get(&path).await;
    let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let shown: Value = answer.json().await.unwrap();
    // A forecast changes with time, in the job and in its progress.
    let without_forecast = |told: &Value| {
        let mut told = told.clone();
        told.as_object_mut().unwrap().remove("estimated_completion");
        if let Some(progress) = told["progress"].as_object_mut() {
            progress.remove("estimated_completion");
        }
        told
    };
    let status = system.status(&job_id).await;
    assert_eq!(without_forecast(&shown), without_forecast(&status), "the same as its status");
    assert_eq!((&shown["title"], &shown["description"]), (&json!("On ions"), &json!("How they move.")));
    assert_eq!((&shown["tags"], &shown["batch_id"]), (&json!(["physics", "ions"]), &Value::Null));
    let known = system.request(Method::GET, &path).header("If-None-Match", etag).send().await.unwrap();
    assert_eq!(known.status(), 304);
    system.read_models().await.caught_up().await;
    let list: Value = system.get("/api/v1/jobs").await.json().await.unwrap();
    for field in ["title", "description", "tags", "batch_id"] {
        assert_eq!(list["jobs"][0][field], shown[field], "{field}");
    }
    assert_eq!(without_forecast(&list["jobs"][0]["progress"]), without_forecast(&shown["progress"]));
    let other = send(&system, Method::GET, "user_2", "user", &path).await;
    assert_eq!(error_of(other).await.0, 404);
    system.running.stop().await;
}

// The system goes on while a command runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_job_is_gone_for_its_user_and_stays_in_the_audit_trail() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let (job_id, kept) = (system.generate(&short_request()).await, system.generate(&short_request()).await);
    let (status, error) = error_of(delete(&system, "user_1", "user", &job_id).await).await;
    assert_eq!((status, &error["error_code"]), (409, &json!("CONFLICT")));
    assert!(error["message"].as_str().unwrap().contains("cancel it first"), "{error}");
    assert_eq!(error["details"]["status"], "queued");
    cancel(&system, &job_id).await;
    assert_eq!(error_of(delete(&system, "user_2", "user", &job_id).await).await.0, 404, "another user's");
    let deleted: Value = delete(&system, "user_1", "user", &job_id).await.json().await.unwrap();
    assert_eq!((&deleted["success"], deleted["job_id"].as_str()), (&json!(true), Some(job_id.as_str())));
    assert!(deleted["files_kept_until"].as_str() > deleted["deleted_at"].as_str(), "{deleted}");

    let models = system.read_models().await;
    models.caught_up().await;
    for (user, role) in [("user_1", "user"), ("boss", "admin")] {
        for path in [
            "jobs/ID",
            "jobs/ID/events",
            "jobs/ID/logs",
            "videos/jobs/ID/status",
            "videos/jobs/ID/status?wait=1",
            "videos/jobs/ID/metadata",
            "videos/jobs/ID/download",
            "videos/jobs/ID/thumbnail",
            "videos/jobs/ID/captions.vtt",
            "videos/jobs/ID/hls/master.m3u8",
        ] {
            let path = format!("/api/v1/{}", path.replace("ID", &job_id));
            let (status, error) = error_of(send(&system, Method::GET, user, role, &path).await).await;
            assert_eq!((status, &error["message"]), (404, &json!("there is no such job")), "{path}");
        }
        let cancelled =
            send(&system, Method::POST, user, role, &format!("/api/v1/jobs/{job_id}/cancel")).await;
        assert_eq!(error_of(cancelled).await.0, 404);
        assert_eq!(error_of(delete(&system, user, role, &job_id).await).await.0, 404, "once is enough");
    }
    let reprocess = format!("/api/v1/system/jobs/{job_id}/reprocess");
    assert_eq!(error_of(send(&system, Method::POST, "boss", "admin", &reprocess).await).await.0, 404);
    let list: Value = system.get("/api/v1/jobs").await.json().await.unwrap();
    assert_eq!((list["jobs"].as_array().unwrap().len(), &list["total_count"]), (1, &json!(1)));
    assert_eq!(list["jobs"][0]["job_id"], kept);
    assert_eq!(
        (&list["total_by_status"]["cancelled"], &list["total_by_status"]["queued"]),
        (&json!(0), &json!(1))
    );
    let everybody =
        send(&system, Method::GET, "boss", "admin", "/api/v1/system/jobs?page=2&items_per_page=1").await;
    assert_eq!(everybody.json::<Value>().await.unwrap()["total_count"], 1);

    let recorded =
        send(&system, Method::GET, "a", "auditor", &format!("/api/v1/audit/jobs/{job_id}/events")).await;
    let recorded: Value = recorded.json().await.unwrap();
    let last = recorded["events"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["type"], &last["actor"]["id"]), (&json!("JobDeleted"), &json!("user_1")));
    let state =
        send(&system, Method::GET, "a", "auditor", &format!("/api/v1/audit/jobs/{job_id}/state")).await;
    assert!(state.json::<Value>().await.unwrap()["state"]["job"]["deleted_at"].is_string());

    cancel(&system, &kept).await;
    assert_eq!(delete(&system, "boss", "admin", &kept).await.status(), 200, "admins may delete any job");
    models.caught_up().await;
    models.verify().await;
    assert!(
        system.reel(&["erase", "user", "user_1", "--yes"]).status.success(),
        "deleted jobs are erased, too"
    );
    system.running.stop().await;
}

#[tokio::test]
async fn the_files_of_a_deleted_job_go_when_their_time_has_come() {
    let system = System::start(&ALL_ROLES).await;
    let job_id = system.completed(&short_request()).await;
    let other = system.completed(&short_request()).await;
    assert_eq!(delete(&system, "user_1", "user", &job_id).await.status(), 200);
    let models = system.read_models().await;
    models.caught_up().await;
    let retention = |kept| Retention {
        executor: Executor::new(models.log.clone(), Clock::system()),
        catalog: models.catalog.clone(),
        stores: Stores::local(system.media(), system.media()),
        deleted_files_kept: kept,
        partial_streams_kept: Duration::from_secs(3600),
    };
    let files = |job_id: &str| files_under(&system.media().join("users/user_1/jobs").join(job_id)).len();
    assert_eq!(retention(Duration::from_secs(3600)).sweep().await, 0);
    assert!(files(&job_id) > 5, "its time has not come");
    assert_eq!(retention(Duration::ZERO).sweep().await, 1);
    assert_eq!(files(&job_id), 0);
    assert!(files(&other) > 5, "only its own");
    models.caught_up().await;
    assert_eq!(retention(Duration::ZERO).sweep().await, 0, "once is enough");
    let trail = models.rows_of("trail.events").await;
    assert_eq!(trail.iter().filter(|row| row["type"] == "DeletedFilesRemoved").count(), 1);
    models.verify().await;
    system.running.stop().await;
}
