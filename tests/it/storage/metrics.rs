//! Figures of what is done with stored objects, in `/metrics`.

use reelstream::storage::{Delivery, StorageMode};

use super::s3_server::{Fault, S3Server};
use crate::harness::{ALL_ROLES, System, eventually, short_request};

async fn metrics(system: &System) -> String {
    system.get("/metrics").await.text().await.unwrap()
}

/// The value of a series, by its name and labels as they are served; 0 where there is none.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

fn count(metrics: &str, operation: &str, outcome: &str) -> f64 {
    let labels = format!("operation=\"{operation}\",store=\"s3\",outcome=\"{outcome}\"");
    value(metrics, &format!("reel_storage_operation_duration_seconds_count{{{labels}}}"))
}

// 000-3, 003: figures of uploads and downloads
#[tokio::test(flavor = "multi_thread")]
async fn uploads_retries_and_downloads_are_counted_and_timed() {
    let server = S3Server::start().await;
    let system = System::start_with(&ALL_ROLES, |config| {
        config.storage = server.settings(StorageMode::S3);
        config.storage.delivery = Delivery::PassThrough;
    })
    .await;
    server.fail("PUT", "/480p.mp4", Fault::Answer(503, "SlowDown"), 2);
    let job_id = system.completed(&short_request()).await;
    let size =
        std::fs::metadata(server.object(&format!("users/user_1/jobs/{job_id}/480p.mp4"))).unwrap().len();
    let path = format!("/api/v1/videos/jobs/{job_id}/download");
    let whole = system.get(&path).await.bytes().await.unwrap();
    assert_eq!(whole.len() as u64, size);
    let part = system.request(reqwest::Method::GET, &path).header("range", "bytes=0-9").send().await.unwrap();
    assert_eq!(part.bytes().await.unwrap().len(), 10);
    eventually("both downloads are counted", async || {
        value(&metrics(&system).await, "reel_delivered_files_total{kind=\"video\",by=\"api\"}") == 2.0
    })
    .await;
    let metrics = metrics(&system).await;
    assert_eq!(count(&metrics, "download", "succeeded"), 2.0, "{metrics}");
    let of = |metric: &str, operation: &str| {
        value(&metrics, &format!("{metric}{{operation=\"{operation}\",store=\"s3\"}}"))
    };
    assert_eq!(of("reel_storage_bytes_total", "download"), (size + 10) as f64);
    assert_eq!(of("reel_storage_retries_total", "upload"), 2.0);
    // Each attempt to write is a put, whether it succeeds or not.
    assert_eq!(count(&metrics, "put", "failed"), 2.0);
    assert!(count(&metrics, "put", "succeeded") >= count(&metrics, "upload", "succeeded"));
    let uploaded = of("reel_storage_bytes_total", "upload");
    assert!(uploaded > size as f64, "with what stages hand on: {uploaded} of {size}");
    for operation in ["get", "head", "list", "delete"] {
        assert!(count(&metrics, operation, "succeeded") > 0.0, "{operation}: {metrics}");
    }
    assert!(metrics.contains("outcome=\"succeeded\",le=\"+Inf\""), "{metrics}");
    assert!(!metrics.contains(&job_id) && !metrics.contains("user_1"), "labels are bounded");
    system.running.stop().await;
}
