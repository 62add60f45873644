//! Imported jobs: through the API, they are like those that were made here.

use reelstream::app::Role;
use reelstream::storage::StorageMode;
use reqwest::Method;
use serde_json::{Value, json};

use super::source::{SourceBackend, write_picture, write_video};
use crate::harness::{ALL_ROLES, System, error_of, files_under};
use crate::storage::s3_server::S3Server;

static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

const COMPLETED: &str = "0191e0a0-0000-7000-8000-000000000001";
const FAILED: &str = "0191e0a0-0000-7000-8000-000000000002";
const CANCELLED: &str = "0191e0a0-0000-7000-8000-000000000003";
const QUEUED: &str = "0191e0a0-0000-7000-8000-000000000004";
const RUNNING: &str = "0191e0a0-0000-7000-8000-000000000005";

async fn answer(system: &System, path: &str) -> Value {
    let answer = system.get(path).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

// 003-s
#[tokio::test(flavor = "multi_thread")]
async fn an_imported_job_is_served_like_one_that_was_made_here() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let mut source = SourceBackend::start().await;
    source.completed(COMPLETED).await;
    write_picture(&source.files().join("t.jpg"));
    std::fs::write(source.files().join("s.vtt"), "WEBVTT\n\n00:00.000 --> 00:01.000\nIons\n").unwrap();
    let labels: [(&str, &[u8]); 4] = [
        ("thumbnail_path", b"/srv/out/t.jpg"),
        ("subtitle_path", b"s.vtt"),
        ("title", b"All of ions"),
        ("file_size", b"\"wrong\""),
    ];
    source.hash(&format!("videos:v-{COMPLETED}"), &labels).await;
    let error = br#"{"error_code": "RENDER_ERROR", "error_message": "it broke", "error_stage": "rendering"}"#;
    source.job(FAILED, "failed", &[("error", error)]).await;
    source.job(CANCELLED, "cancelled", &[]).await;
    source.job("job-17", "failed", &[]).await;
    let ran = source.import(&system, &["--source-root", "/srv/out"]).succeeded();
    ran.counted([4, 0, 0, 0]);
    assert_eq!(ran.summary()["files"], 5, "a video, a picture of three sizes, captions");

    let status = system.status(COMPLETED).await;
    for (field, expected) in [
        ("status", json!("completed")),
        ("user_id", json!("user_1")),
        ("priority", json!("high")),
        ("created_at", json!("2025-03-04T05:06:07.123Z")),
        ("completed_at", json!("2025-03-04T05:08:00Z")),
    ] {
        assert_eq!(status[field], expected, "{field}: {status}");
    }
    assert_eq!(status["progress"]["percentage"], 100.0);
    assert_eq!(status["video"]["width"], 320);
    let original = std::fs::read(source.files().join(format!("{COMPLETED}.mp4"))).unwrap();
    for path in ["download", "stream"] {
        let answer = system.get(&format!("/api/v1/videos/jobs/{COMPLETED}/{path}")).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"video/mp4".parse().unwrap())
        );
        assert!(answer.bytes().await.unwrap() == original, "{path}");
    }
    let metadata = answer(&system, &format!("/api/v1/videos/jobs/{COMPLETED}/metadata")).await;
    assert_eq!((&metadata["title"], &metadata["tags"]), (&json!("All of ions"), &json!(["physics"])));
    assert_eq!(metadata["video"]["file_size"], original.len());
    let duration = metadata["video"]["duration"].as_f64().unwrap();
    assert!((1.9..2.2).contains(&duration), "{duration}");
    for (path, kind) in [("thumbnail?size=large", "image/jpeg"), ("captions.vtt", "text/vtt; charset=utf-8")]
    {
        let answer = system.get(&format!("/api/v1/videos/jobs/{COMPLETED}/{path}")).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &kind.parse().unwrap())
        );
    }
    let failed = system.status(FAILED).await;
    assert_eq!(
        (&failed["status"], &failed["error"]["error_code"]),
        (&json!("failed"), &json!("RENDER_ERROR"))
    );
    assert_eq!(
        (&failed["error"]["error_message"], &failed["error"]["error_stage"]),
        (&json!("it broke"), &json!("rendering"))
    );
    assert_eq!(system.status(CANCELLED).await["status"], "cancelled");
    let derived = ran.line("job-17")["job_id"].as_str().unwrap().to_owned();
    assert_eq!(system.status(&derived).await["error"]["error_code"], "IMPORTED_FAILURE");
    assert!(ran.text().contains(&format!("job-17 as {derived}")), "{}", ran.text());

    let events = system.events(COMPLETED).await;
    assert_eq!((events.len(), &events[0]["type"]), (1, &json!("JobImported")));
    let models = system.read_models().await;
    models.caught_up().await;
    models.verify().await;
    let listed = answer(&system, "/api/v1/jobs?items_per_page=100").await;
    assert_eq!((&listed["total_count"], listed["jobs"].as_array().unwrap().len()), (&json!(4), 4));
    assert!(system.reel(&["storage", "verify"]).status.success());
    let dead = system.reel(&["dead-letters", "list"]);
    assert_eq!(String::from_utf8_lossy(&dead.stdout), "", "no failure of the source waits for an operator");
    // Another user's job is nobody's business.
    let other = system.anonymous(Method::GET, &format!("/api/v1/videos/jobs/{COMPLETED}/status"));
    let other = other.bearer_auth(system.token("user_2", "user")).send().await.unwrap();
    assert_eq!(error_of(other).await.0, 404);
    // What users wrote is not in the log.
    let log = system.log().await;
    for partition in log.keys().partitions() {
        for (_, envelope) in log.read(partition, 0, 100).await.unwrap() {
            assert!(
                !envelope.data.contains("battery") && !envelope.data.contains("it broke"),
                "{}",
                envelope.data
            );
        }
    }
    // And goes with their key.
    assert!(system.reel(&["erase", "user", "user_1", "--yes"]).status.success());
    assert_eq!(system.status(FAILED).await["error"]["error_message"], "[erased]");
    assert!(files_under(&system.media().join("users")).is_empty());
    let again = source.import(&system, &[]).succeeded();
    again.counted([0, 0, 4, 0]);
    source.job("job-18", "failed", &[]).await;
    assert_eq!(source.import(&system, &[]).line("job-18")["reason"], "user_erased");
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_had_not_ended_is_failed_or_submitted_again_as_the_operator_chooses() {
    let system = System::start(&ALL_ROLES).await;
    let mut source = SourceBackend::start().await;
    source.job(QUEUED, "queued", &[]).await;
    source.import(&system, &[]).succeeded().counted([1, 0, 0, 0]);
    let status = system.status(QUEUED).await;
    assert_eq!(
        (&status["status"], &status["error"]["error_code"]),
        (&json!("failed"), &json!("IMPORTED_UNFINISHED"))
    );
    source.job(RUNNING, "processing", &[]).await;
    let ran = source.import(&system, &["--resubmit"]).succeeded();
    ran.counted([0, 1, 1, 0]);
    let last = system.statuses_until_ended(RUNNING, std::time::Duration::from_secs(100)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    source.import(&system, &["--resubmit"]).succeeded().counted([0, 0, 2, 0]);
    // The one that counts as failed can begin again as any other.
    let path = format!("/api/v1/system/jobs/{QUEUED}/reprocess");
    let begun = system.anonymous(Method::POST, &path).bearer_auth(system.token("admin", "admin"));
    assert_eq!(begun.json(&json!({})).send().await.unwrap().status(), 200);
    let last = system.statuses_until_ended(QUEUED, std::time::Duration::from_secs(100)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    let models = system.read_models().await;
    models.caught_up().await;
    models.verify().await;
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn videos_come_from_a_bucket_and_go_to_one() {
    let server = S3Server::start().await;
    let system = System::start_with(&API_AND_PROJECTOR, |config| {
        config.storage = server.settings(StorageMode::S3);
    })
    .await;
    let mut source = SourceBackend::start().await;
    let old = server.folder.path().join("old");
    std::fs::create_dir_all(old.join("prod/v")).unwrap();
    write_video(&old.join("prod/v/a.mp4"));
    // Video keys that no job names are found by what they say of their job.
    source.job(COMPLETED, "completed", &[]).await;
    source.hash("videos:77", &[("job_id", COMPLETED.as_bytes()), ("s3_key", b"prod/v/a.mp4")]).await;
    source.job(FAILED, "completed", &[("s3_key", b"prod/v/none.mp4")]).await;
    source.job(CANCELLED, "completed", &[("s3_key", b"../videos/x")]).await;
    let env = server.environment("s3");
    let ran = source.import_with(&system, &["--files", "s3://old/prod"], &env).succeeded();
    ran.counted([1, 0, 0, 2]);
    assert_eq!(ran.line(FAILED)["reason"], "missing_file");
    assert_eq!(ran.line(CANCELLED)["reason"], "outside_files");
    assert_eq!(server.keys(), [format!("users/user_1/jobs/{COMPLETED}/480p.mp4")]);
    let metadata = answer(&system, &format!("/api/v1/videos/jobs/{COMPLETED}/metadata")).await;
    assert_eq!(metadata["storage"]["target"], "s3");
    let url = metadata["video_urls"]["480p"].as_str().unwrap();
    let bytes = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    assert!(bytes == std::fs::read(old.join("prod/v/a.mp4")).unwrap());
    assert!(files_under(&system.media().join("incoming")).is_empty(), "no copy is left");
    system.running.stop().await;
}
