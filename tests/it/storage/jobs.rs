//! Whole jobs with S3: where their files go, and what becomes of them while S3 is away.

use std::time::Duration;

use reelstream::app::Role;
use reelstream::config::Config;
use reelstream::storage::{Delivery, StorageMode};
use reqwest::Method;
use serde_json::{Value, json};

use super::s3_server::{Fault, S3Server};
use crate::harness::{ALL_ROLES, System, eventually, short_request};

async fn system(server: &S3Server, mode: StorageMode) -> System {
    system_with(server, mode, |_| {}).await
}

async fn system_with(server: &S3Server, mode: StorageMode, change: impl FnOnce(&mut Config)) -> System {
    System::start_with(&ALL_ROLES, |config| {
        config.storage = server.settings(mode);
        change(config);
    })
    .await
}

async fn metadata(system: &System, job_id: &str) -> Value {
    system.get(&format!("/api/v1/videos/jobs/{job_id}/metadata")).await.json().await.unwrap()
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == name).collect()
}

/// The keys of a job, once what its stages handed on is gone.
async fn only_keys_of(server: &S3Server, folder: &str) -> Vec<String> {
    eventually("what stages hand on is gone", async || {
        server.keys().iter().all(|key| key.starts_with(folder) && !key.ends_with(".m4s"))
    })
    .await;
    server.keys()
}

/// A client that does not follow redirects.
fn plain() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

// 000-3.1 to 000-3.5, 001-5.2, 000-4.3
#[tokio::test(flavor = "multi_thread")]
async fn a_video_goes_to_s3_and_its_clients_get_it_from_there() {
    let server = S3Server::start().await;
    let system = system(&server, StorageMode::S3).await;
    let job_id = system.completed(&short_request()).await;
    let folder = format!("users/user_1/jobs/{job_id}/");
    let keys = server.keys();
    for name in ["480p.mp4", "thumbnail-small.jpg", "captions.vtt", "master.m3u8", "480p-vod.m3u8"] {
        assert!(keys.contains(&format!("{folder}{name}")), "{name} is not among {keys:?}");
    }
    let keys = only_keys_of(&server, &folder).await;
    assert_eq!(server.unfinished().iter().filter(|name| name.contains("part-")).count(), 0);
    assert!(!system.media().join("users").exists(), "nothing is stored on the disk");
    let metadata = metadata(&system, &job_id).await;
    let mut s3_keys: Vec<&str> =
        metadata["s3_keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    s3_keys.sort_unstable();
    assert_eq!(s3_keys, keys);
    assert_eq!(metadata["storage"], json!({ "target": "s3", "has_fallen_back": false }));
    // Without a token: the URL is signed.
    let stored = std::fs::read(server.object(&format!("{folder}480p.mp4"))).unwrap();
    let answer: Value =
        system.get(&format!("/api/v1/videos/jobs/{job_id}/video-url")).await.json().await.unwrap();
    for url in [&answer["video_url"], &metadata["video_urls"]["480p"]] {
        let url = url.as_str().unwrap();
        assert!(url.starts_with(&server.url()) && url.contains("X-Amz-Expires=3600"), "{url}");
        let file = reqwest::get(url).await.unwrap();
        assert_eq!(file.headers()["content-type"], "video/mp4");
        assert!(file.bytes().await.unwrap() == stored);
    }
    let token = system.token("user_1", "user");
    let ask = |method, path: &str| {
        let url = format!("{}/api/v1/videos/jobs/{job_id}/{path}", system.running.url);
        plain().request(method, url).bearer_auth(&token)
    };
    for path in ["download", "stream", "hls/480p.mp4"] {
        let answer = ask(Method::GET, path).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["cache-control"]),
            (307, &"no-store".parse().unwrap()),
            "{path}"
        );
        let url = answer.headers()["location"].to_str().unwrap().to_owned();
        let ranged = reqwest::Client::new().get(url).header("range", "bytes=0-9").send().await.unwrap();
        assert_eq!((ranged.status().as_u16(), ranged.bytes().await.unwrap().len()), (206, 10), "{path}");
    }
    // What names other files, and what is small, comes from the API itself.
    for path in ["hls/master.m3u8", "hls/480p-vod.m3u8", "hls/480p.m3u8", "thumbnail", "captions.vtt"] {
        assert_eq!(ask(Method::GET, path).send().await.unwrap().status(), 200, "{path}");
    }
    // So does the part of a file, which S3 does not know.
    let part = ask(Method::GET, "hls/480p-00.m4s").header("range", "bytes=4-7").send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap().as_ref()), (206, &b"ftyp"[..]));
    let head = ask(Method::HEAD, "download").send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &stored.len().into()));
    let path = format!("/api/v1/videos/jobs/{job_id}/download");
    assert_eq!(system.anonymous(Method::GET, &path).send().await.unwrap().status(), 401);
    // Its progress is told in bytes.
    let events = system.events(&job_id).await;
    let started = named(&events, "UploadStarted");
    assert_eq!((started.len(), &started[0]["data"]["target"]), (1, &json!("s3")));
    let erased = system.reel_with(&["erase", "user", "user_1", "--yes"], &server.environment("s3"));
    assert!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    let mut keys = server.keys();
    // It tells a restore of an older backup who was erased since, by the user's id alone.
    keys.retain(|key| !key.starts_with("archive/erasures/"));
    assert_eq!(keys, [""; 0], "what is erased is gone from the bucket");
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_s3_pass_through_the_api_where_it_is_set_so() {
    let server = S3Server::start().await;
    let system =
        system_with(&server, StorageMode::S3, |config| config.storage.delivery = Delivery::PassThrough).await;
    let job_id = system.completed(&short_request()).await;
    let stored = std::fs::read(server.object(&format!("users/user_1/jobs/{job_id}/480p.mp4"))).unwrap();
    let path = format!("/api/v1/videos/jobs/{job_id}/download");
    let size = stored.len();
    for (range, status, expected) in [
        (None, 200, 0..size),
        (Some("bytes=0-99".to_owned()), 206, 0..100),
        (Some("bytes=-10".to_owned()), 206, size - 10..size),
        (Some(format!("bytes={}-", size - 1)), 206, size - 1..size),
        (Some("bytes=100-199".to_owned()), 206, 100..200),
    ] {
        let mut request = system.request(Method::GET, &path);
        if let Some(range) = &range {
            request = request.header("range", range);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{range:?}");
        assert!(answer.bytes().await.unwrap() == stored[expected], "{range:?}");
    }
    let past =
        system.request(Method::GET, &path).header("range", format!("bytes={size}-")).send().await.unwrap();
    assert_eq!(past.status(), 416);
    let answer: Value =
        system.get(&format!("/api/v1/videos/jobs/{job_id}/video-url")).await.json().await.unwrap();
    assert_eq!(answer["video_url"], format!("/api/v1/videos/jobs/{job_id}/stream"));
    system.running.stop().await;
}

// 000-5.4, 001-4.7
#[tokio::test(flavor = "multi_thread")]
async fn every_failed_upload_is_an_event_and_the_fourth_attempt_counts() {
    let server = S3Server::start().await;
    let system = system(&server, StorageMode::S3).await;
    server.fail("PUT", "/480p.mp4", Fault::Answer(503, "SlowDown"), 3);
    let job_id = system.completed(&short_request()).await;
    let events = system.events(&job_id).await;
    let retried = named(&events, "UploadRetried");
    let attempts: Vec<&Value> = retried.iter().map(|event| &event["data"]["attempt"]).collect();
    assert_eq!(attempts, [1, 2, 3]);
    for event in retried {
        assert!(event["data"]["key"].as_str().unwrap().ends_with("/480p.mp4"), "{event}");
        assert_eq!(event["data"]["error"]["code"], "UPLOAD_FAILED");
        assert!(event["data"]["delay_ms"].as_u64().unwrap() >= 250);
    }
    assert!(named(&events, "StageFailed").is_empty());
    assert!(system.warnings(&job_id).await.contains("Upload attempt 3"));
    system.running.stop().await;
}

// 001-4.7, 003: the file is kept for reprocessing
#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_upload_fails_can_be_taken_up_where_it_stopped() {
    let server = S3Server::start().await;
    let system = system(&server, StorageMode::S3).await;
    server.fail("PUT", "/480p.mp4", Fault::Answer(503, "SlowDown"), 4);
    let job_id = system.generate(&short_request()).await;
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(100)).await.pop().unwrap();
    assert_eq!(
        (&last["status"], &last["error"]["error_code"]),
        (&json!("failed"), &json!("UPLOAD_FAILED")),
        "{last}"
    );
    assert_eq!(server.count("PUT", "/480p.mp4"), 4, "exactly three retries");
    let renders = named(&system.events(&job_id).await, "SceneRendered").len();
    let path = format!("/api/v1/system/jobs/{job_id}/reprocess");
    let request = system.anonymous(Method::POST, &path).bearer_auth(system.token("operator", "admin"));
    let reprocessed = request.json(&json!({})).send().await.unwrap();
    let (status, answer) = (reprocessed.status(), reprocessed.text().await.unwrap());
    assert!(status == 200 && answer.contains("combining"), "{answer}");
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(100)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    assert_eq!(
        named(&system.events(&job_id).await, "SceneRendered").len(),
        renders,
        "nothing is rendered again"
    );
    let folder = format!("users/user_1/jobs/{job_id}/");
    only_keys_of(&server, &folder).await;
    system.running.stop().await;
}

// 000-5.4 and 003: the fallback to local storage
#[tokio::test(flavor = "multi_thread")]
async fn what_s3_does_not_take_stays_on_the_disk_and_follows_later() {
    let mut server = S3Server::start().await;
    let system = system(&server, StorageMode::LocalAndS3).await;
    server.fail("PUT", "/thumbnail-small.jpg", Fault::Answer(500, "InternalError"), 4);
    let job_id = system.completed(&short_request()).await;
    let events = system.events(&job_id).await;
    let fallen = named(&events, "StorageFellBack");
    assert_eq!(fallen.len(), 1);
    assert_eq!(
        (&fallen[0]["data"]["from"], &fallen[0]["data"]["to"]),
        (&json!("local_and_s3"), &json!("local"))
    );
    let path = format!("/api/v1/videos/jobs/{job_id}/thumbnail?size=small");
    assert_eq!(system.get(&path).await.status(), 200, "it is served from the disk");
    server.mend();
    server.stop().await;
    server.start_again().await;
    eventually("the files are in S3", async || {
        !named(&system.events(&job_id).await, "StorageCaughtUp").is_empty()
    })
    .await;
    let metadata = metadata(&system, &job_id).await;
    assert_eq!(metadata["storage"], json!({ "target": "local_and_s3", "has_fallen_back": false }));
    for key in metadata["s3_keys"].as_array().unwrap() {
        let key = key.as_str().unwrap();
        let (there, here) = (std::fs::read(server.object(key)), std::fs::read(system.media().join(key)));
        assert!(there.unwrap() == here.unwrap(), "{key}");
    }
    let waiting = std::fs::read_dir(system.media().join("catch-up")).unwrap().count();
    assert_eq!(waiting, 0, "nothing is to be done any more");
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_through_all_stages_while_s3_is_away() {
    let mut server = S3Server::start().await;
    let system = system(&server, StorageMode::LocalAndS3).await;
    server.stop().await;
    // A note that cannot be read as a job's must not keep others waiting.
    std::fs::create_dir_all(system.media().join("catch-up")).unwrap();
    for name in ["nonsense", "01890a5d-ac96-774b-bcce-b302099a8057"] {
        std::fs::write(system.media().join("catch-up").join(name), "").unwrap();
    }
    let job_id = system.completed(&short_request()).await;
    assert_eq!(named(&system.events(&job_id).await, "StorageFellBack").len(), 1);
    for path in ["download", "hls/480p-00.m4s", "hls/480p.mp4"] {
        let answer = system.get(&format!("/api/v1/videos/jobs/{job_id}/{path}")).await;
        assert_eq!(answer.status(), 200, "{path} comes from the disk");
    }
    server.start_again().await;
    eventually("the files are in S3", async || {
        !named(&system.events(&job_id).await, "StorageCaughtUp").is_empty()
    })
    .await;
    assert!(server.keys().contains(&format!("users/user_1/jobs/{job_id}/480p.mp4")));
    system.running.stop().await;
}

// 003: s3_upload_enabled
#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_keep_its_video_out_of_s3() {
    let server = S3Server::start().await;
    let system = system(&server, StorageMode::LocalAndS3).await;
    let mut body = short_request();
    body["custom_config"] = json!({ "s3_upload_enabled": false, "enable_streaming": false });
    let job_id = system.completed(&body).await;
    assert_eq!(metadata(&system, &job_id).await["s3_keys"], json!([]));
    assert_eq!(server.keys(), [""; 0]);
    system.running.stop().await;
    let alone = System::start_with(&[Role::Api], |config| {
        config.storage = server.settings(StorageMode::S3);
    })
    .await;
    let answer = alone.post("/api/v1/videos/generate", &body).await;
    assert_eq!(answer.status(), 422, "there is nothing but S3");
    alone.running.stop().await;
}

/// Health names the bucket, and operators still see what failed.
#[tokio::test(flavor = "multi_thread")]
async fn health_says_when_the_bucket_is_away() {
    let mut server = S3Server::start().await;
    let system = system(&server, StorageMode::S3).await;
    let health = async || -> Value { system.get("/api/v1/system/health").await.json().await.unwrap() };
    assert_eq!(health().await["components"]["storage"]["status"], "healthy", "{}", health().await);
    server.stop().await;
    let listed = system.reel_with(&["dead-letters", "list"], &server.environment("s3"));
    assert!(listed.status.success(), "operators look at failures while S3 is away");
    eventually("health says so", async || health().await["components"]["storage"]["status"] == "unhealthy")
        .await;
    system.running.stop().await;
}
