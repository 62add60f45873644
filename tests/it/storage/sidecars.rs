//! Thumbnails, captions and streams that fail: the video is complete without them, and gets them later.

use std::collections::BTreeSet;
use std::time::Duration;

use reelstream::config::SidecarSettings;
use reelstream::storage::StorageMode;
use serde_json::{Value, json};

use super::s3_server::{Fault, S3Server};
use crate::harness::{ALL_ROLES, System, eventually, folder};
use crate::media::streaming::check_times;

async fn start(server: &S3Server, max_attempts: u32, first_delay: Duration) -> System {
    System::start_with(&ALL_ROLES, |config| {
        config.storage = server.settings(StorageMode::S3);
        config.streams.sidecars = SidecarSettings { max_attempts, first_delay };
    })
    .await
}

/// A refusal is not tried again within the same attempt.
const REFUSED: Fault = Fault::Answer(403, "AccessDenied");

fn request() -> Value {
    json!({ "topic": "Ions", "script": "# Ions\n\nIons move.\n\n# Cells\n\nCells hold ions.", "quality": "low",
            "style_preferences": { "aspect_ratio": "9:16" } })
}

fn codes(answer: &Value) -> BTreeSet<&str> {
    answer["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect()
}

/// The attempts that the events of a type tell of, by sidecar.
fn attempts<'a>(events: &'a [Value], event_type: &str, sidecar: &str) -> Vec<&'a Value> {
    let of = |event: &&Value| event["type"] == event_type && event["data"]["sidecar"] == sidecar;
    events.iter().filter(of).map(|event| &event["data"]["attempt"]).collect()
}

async fn metadata(system: &System, job_id: &str) -> Value {
    system.get(&format!("/api/v1/videos/jobs/{job_id}/metadata")).await.json().await.unwrap()
}

// 003-n, 001-5.5, 000-3.3
#[tokio::test(flavor = "multi_thread")]
async fn a_video_is_complete_without_what_comes_with_it_and_gets_it_later() {
    let server = S3Server::start().await;
    let system = start(&server, 4, Duration::from_secs(1)).await;
    server.fail("PUT", "/thumbnail-small.jpg", REFUSED, 2);
    server.fail("PUT", "/captions.vtt", REFUSED, 2);
    server.fail("PUT", "/master.m3u8", REFUSED, 2);
    let job_id = system.completed(&request()).await;
    let missing = BTreeSet::from(["CAPTIONS_FAILED", "STREAM_FAILED", "THUMBNAIL_FAILED"]);
    let (status, before) = (system.status(&job_id).await, metadata(&system, &job_id).await);
    assert_eq!((codes(&status), codes(&before)), (missing.clone(), missing), "{status}");
    assert_eq!(
        (&before["streaming_info"]["hls_url"], &before["captions"]["vtt"]),
        (&json!(null), &json!(null))
    );
    let base = format!("/api/v1/videos/jobs/{job_id}");
    assert_eq!(system.get(&format!("{base}/download")).await.status(), 200, "the video is there");
    assert_eq!(system.get(&format!("{base}/thumbnail?size=small")).await.status(), 404);

    eventually("nothing is missing", async || codes(&system.status(&job_id).await).is_empty()).await;
    let events = system.events(&job_id).await;
    for sidecar in ["thumbnails", "captions", "stream"] {
        assert_eq!(attempts(&events, "SidecarFailed", sidecar), [1, 2], "{sidecar}");
        assert_eq!(attempts(&events, "SidecarStored", sidecar), [3], "{sidecar}");
    }
    assert!(events.iter().all(|event| event["type"] != "StageFailed"), "no stage is tried again for it");
    system.read_models().await.caught_up().await;
    let after = metadata(&system, &job_id).await;
    assert_eq!((codes(&after), after["thumbnail_urls"].as_array().unwrap().len()), (BTreeSet::new(), 3));
    assert!(
        after["streaming_info"]["hls_url"].is_string() && after["captions"]["vtt"].is_string(),
        "{after}"
    );
    assert_eq!(
        after["technical_metadata"]["blake3"].as_object().unwrap().len(),
        after["s3_keys"].as_array().unwrap().len()
    );
    // They have the shape of the video, which is 480x854.
    for (size, width, height) in [("small", 180, 320), ("medium", 360, 640), ("large", 719, 1280)] {
        let answer = system.get(&format!("{base}/thumbnail?size={size}")).await;
        let picture = image::load_from_memory(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (width, height));
    }
    let captions = system.get(&format!("{base}/captions.vtt")).await.text().await.unwrap();
    assert!(captions.starts_with("WEBVTT") && captions.contains("move"), "{captions}");
    assert_eq!(system.get(&format!("{base}/hls/master.m3u8")).await.status(), 200);
    let told = system.warnings(&job_id).await;
    assert!(told.contains("THUMBNAIL_FAILED: the video has no thumbnails yet: attempt 2 failed"), "{told}");
    let verified = system.reel_with(&["storage", "verify"], &server.environment("s3"));
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    system.read_models().await.verify().await;
    system.running.stop().await;
}

// 003-n: a scene that is not packaged for streaming does not fail the job
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lacks_a_scene_is_made_from_the_whole_video() {
    let server = S3Server::start().await;
    let system = start(&server, 2, Duration::from_secs(3)).await;
    server.fail("PUT", "/480p-01.m4s", REFUSED, 1);
    let job_id = system.completed(&request()).await;
    let status = system.status(&job_id).await;
    assert_eq!(codes(&status), BTreeSet::from(["STREAM_FAILED"]), "{status}");
    eventually("there is a stream", async || codes(&system.status(&job_id).await).is_empty()).await;
    system.read_models().await.caught_up().await;
    let folder = folder();
    for name in ["master.m3u8", "480p.m3u8", "480p.m4s"] {
        let file = system.get(&format!("/api/v1/videos/jobs/{job_id}/hls/{name}")).await;
        assert_eq!(file.status(), 200, "{name}");
        std::fs::write(folder.path().join(name), file.bytes().await.unwrap()).unwrap();
    }
    let playlist = std::fs::read_to_string(folder.path().join("480p.m3u8")).unwrap();
    assert!(
        playlist.contains("#EXT-X-PLAYLIST-TYPE:VOD") && playlist.ends_with("#EXT-X-ENDLIST\n"),
        "{playlist}"
    );
    check_times(&folder.path().join("480p.m3u8"), status["video"]["duration"].as_f64().unwrap());
    system.running.stop().await;
}

// 003-n: the attempts are bounded
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_again_and_again_is_given_up() {
    let server = S3Server::start().await;
    let system = start(&server, 2, Duration::from_millis(100)).await;
    server.fail("PUT", "/captions.srt", REFUSED, 100);
    let job_id = system.completed(&request()).await;
    eventually("it is given up", async || {
        system.status(&job_id).await["warnings"][0]["message"]
            .as_str()
            .is_some_and(|message| message.ends_with("no further attempt is made"))
    })
    .await;
    let events = system.events(&job_id).await;
    assert_eq!(attempts(&events, "SidecarFailed", "captions"), [1, 2]);
    let last = events.last().unwrap();
    assert_eq!((&last["type"], &last["data"]["retry_in_ms"]), (&json!("SidecarFailed"), &Value::Null));
    assert_eq!(system.status(&job_id).await["status"], "completed");
    assert!(!system.media().join("work").join(&job_id).exists(), "nothing is left on the disk");
    system.running.stop().await;
}
