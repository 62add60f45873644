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
        videos_kept: None,
        log_lines_kept: None,
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

// 004: data retention
#[tokio::test]
async fn a_video_that_is_too_old_goes_and_its_job_says_so() {
    let system = System::start(&ALL_ROLES).await;
    let job_id = system.completed(&short_request()).await;
    let failed = system.generate(&short_request()).await;
    cancel(&system, &failed).await;
    let models = system.read_models().await;
    models.caught_up().await;
    let retention = |kept| Retention {
        executor: Executor::new(models.log.clone(), Clock::system()),
        catalog: models.catalog.clone(),
        stores: Stores::local(system.media(), system.media()),
        deleted_files_kept: Duration::ZERO,
        partial_streams_kept: Duration::from_secs(3600),
        videos_kept: kept,
        log_lines_kept: Some(Duration::ZERO),
    };
    assert_eq!(retention(None).sweep().await, 0, "no setting, no removal");
    assert_eq!(retention(Some(Duration::from_secs(3600))).sweep().await, 0, "its time has not come");
    let before = system.status(&job_id).await;
    assert_eq!((&before["expired_at"], before["download_url"].is_string()), (&Value::Null, true));
    assert_eq!(retention(Some(Duration::ZERO)).sweep().await, 1);
    assert!(files_under(&system.media().join("users/user_1/jobs").join(&job_id)).is_empty());
    models.caught_up().await;
    assert_eq!(retention(Some(Duration::ZERO)).sweep().await, 0, "once is enough");
    let after = system.status(&job_id).await;
    assert_eq!((&after["status"], &after["download_url"]), (&json!("completed"), &Value::Null));
    assert!(after["expired_at"].is_string() && after["playable_seconds"] == 0.0, "{after}");
    assert_eq!(after["video"], before["video"], "it is still known what it was");
    for path in
        ["download", "stream", "thumbnail", "captions.vtt", "hls/master.m3u8", "video-url", "metadata"]
    {
        let answer = system.get(&format!("/api/v1/videos/jobs/{job_id}/{path}")).await;
        let (status, error) = error_of(answer).await;
        assert_eq!((status, &error["error_code"]), (410, &json!("VIDEO_EXPIRED")), "{path}");
        assert_eq!(error["details"]["expired_at"], after["expired_at"]);
    }
    // Log lines go by their own setting. What is left is what a rebuild would make of the log.
    let lines = async || {
        let answer = system.get(&format!("/api/v1/jobs/{job_id}/logs?level=debug")).await;
        answer.json::<Value>().await.unwrap()["logs"].as_array().unwrap().len()
    };
    assert!(lines().await > 5);
    assert!(retention(None).prune_logs().await > 5);
    assert_eq!((lines().await, retention(None).prune_logs().await), (0, 0));
    let verified = system.reel(&["storage", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    assert_eq!(delete(&system, "user_1", "user", &job_id).await.status(), 200, "it can still be deleted");
    let log = models.rows_of("trail.events").await;
    assert_eq!(log.iter().filter(|row| row["type"] == "VideoExpired").count(), 1);
    models.caught_up().await;
    models.verify().await;
    system.running.stop().await;
}
