//! A video that is watched while it is made.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, System, eventually, short_request};

/// So many scenes that some are rendered while others are still made.
fn long_request() -> Value {
    let chapters: Vec<String> = (1..=6)
        .map(|number| {
            format!(
                "## Part {number}\n\nIons of kind {number} move through the electrolyte while the cell is \
                 discharged. They come back when it is charged again.\n"
            )
        })
        .collect();
    let script = format!("# Ions\n\n{}", chapters.join("\n"));
    json!({ "topic": "Ions", "script": script, "quality": "low", "quality_levels": ["480p"] })
}

fn segments(playlist: &str) -> &str {
    playlist
        .split_once("#EXT-X-MAP")
        .map_or("", |(_, segments)| segments.trim_end_matches("#EXT-X-ENDLIST\n"))
}

fn files(playlist: &str) -> impl Iterator<Item = &str> {
    playlist.lines().filter(|line| line.ends_with(".m4s"))
}

#[tokio::test]
async fn a_stream_grows_while_the_video_is_made_and_never_changes() {
    let system = System::start(&ALL_ROLES).await;
    let job_id = system.generate(&long_request()).await;
    let base = format!("/api/v1/videos/jobs/{job_id}");
    let early = system.get(&format!("{base}/hls/master.m3u8")).await;
    assert_eq!(early.status(), 409, "nothing is rendered yet");
    assert_eq!(early.json::<Value>().await.unwrap()["error"]["details"]["status"], "queued");

    let (mut playlists, mut playable, mut loaded) = (vec![String::new()], vec![0.0], BTreeMap::new());
    let deadline = Instant::now() + Duration::from_secs(200);
    loop {
        assert!(Instant::now() < deadline, "the job did not end");
        let status: Value = system.get(&format!("{base}/status")).await.json().await.unwrap();
        let answer = system.get(&format!("{base}/hls/480p.m3u8")).await;
        if answer.status() == 200 {
            let playlist = answer.text().await.unwrap();
            for name in files(&playlist) {
                if !loaded.contains_key(name) {
                    let file = system.get(&format!("{base}/hls/{name}")).await;
                    assert_eq!(file.status(), 200, "{name} is listed");
                    loaded.insert(name.to_owned(), file.bytes().await.unwrap());
                }
            }
            playlists.push(playlist);
            playable.push(status["playable_seconds"].as_f64().unwrap());
        }
        if status["status"] != "queued" && status["status"] != "processing" {
            assert_eq!(status["status"], "completed", "{status}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    for pair in playlists.windows(2) {
        assert!(segments(&pair[1]).starts_with(segments(&pair[0])), "{}\nthen\n{}", pair[0], pair[1]);
    }
    let growing = |playlist: &&String| playlist.contains("EVENT") && !playlist.contains("ENDLIST");
    let lengths: Vec<usize> = playlists.iter().filter(growing).map(|text| files(text).count()).collect();
    assert!(lengths.first() < lengths.last(), "it grew: {lengths:?}");
    assert!(playable.is_sorted(), "{playable:?}");
    let last = playlists.last().unwrap();
    assert!(last.contains("#EXT-X-PLAYLIST-TYPE:VOD") && last.ends_with("#EXT-X-ENDLIST\n"), "{last}");

    let folder = tempfile::tempdir().unwrap();
    for (name, early) in &loaded {
        let now = system.get(&format!("{base}/hls/{name}")).await.bytes().await.unwrap();
        assert!(now.starts_with(early), "{name} is byte for byte what it was while the video was made");
        assert!(now == early || name == "480p-00.m4s", "only the first is listed before it is whole");
        std::fs::write(folder.path().join(name), now).unwrap();
    }
    std::fs::write(folder.path().join("480p.m3u8"), last).unwrap();
    let status: Value = system.get(&format!("{base}/status")).await.json().await.unwrap();
    let duration = status["video"]["duration"].as_f64().unwrap();
    assert_eq!(status["playable_seconds"], status["video"]["duration"]);
    check_times(&folder.path().join("480p.m3u8"), duration);
    system.running.stop().await;
}

/// Pictures and sound of all scenes follow each other without a gap.
pub fn check_times(playlist: &Path, duration: f64) {
    for (stream, step) in [("v:0", 1.0 / 30.0), ("a:0", 1024.0 / 48_000.0)] {
        let output = Command::new("ffprobe")
            .args([
                "-v",
                "error",
                "-select_streams",
                stream,
                "-show_entries",
                "packet=pts_time",
                "-of",
                "csv=p=0",
            ])
            .arg(playlist)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let times: Vec<f64> =
            text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
        assert!(times[0].abs() < 0.001, "{stream} begins at {}", times[0]);
        for pair in times.windows(2) {
            assert!((pair[1] - pair[0] - step).abs() < 0.001, "{stream}: {} then {}", pair[0], pair[1]);
        }
        let end = times[times.len() - 1] + step;
        assert!((end - duration).abs() < 0.05, "{stream} ends at {end} of {duration}");
    }
    let output =
        Command::new("ffmpeg").args(["-v", "error", "-i"]).arg(playlist).args(["-f", "null", "-"]).output();
    assert_eq!(String::from_utf8_lossy(&output.unwrap().stderr), "");
}

#[tokio::test]
async fn a_cancelled_job_ends_its_stream() {
    let system = System::start(&ALL_ROLES).await;
    let job_id = system.generate(&long_request()).await;
    let base = format!("/api/v1/videos/jobs/{job_id}");
    let deadline = Instant::now() + Duration::from_secs(100);
    while system.get(&format!("{base}/hls/480p.m3u8")).await.status() != 200 {
        assert!(Instant::now() < deadline, "no scene was rendered");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let cancelled = system.post(&format!("/api/v1/jobs/{job_id}/cancel"), &json!({})).await;
    assert_eq!(cancelled.status(), 200, "it was still made");
    let playlist = system.get(&format!("{base}/hls/480p.m3u8")).await.text().await.unwrap();
    assert!(playlist.ends_with("#EXT-X-ENDLIST\n"), "{playlist}");
    system.running.stop().await;
}

/// 000-5.2: a viewer begins before the first scene is rendered, and the file that they begin with is gone in the end.
#[tokio::test]
async fn a_stream_begins_while_its_first_scene_is_rendered() {
    let system = System::start(&ALL_ROLES).await;
    let script = "# How ions move through the electrolyte while the cell is discharged, and how they come back\n\n\
                  Ions move to one side.\n\n## Later\n\nThey come back when it is charged again.";
    let levels = ["720p", "480p"];
    let request = json!({ "topic": "Ions", "script": script, "quality": "medium", "quality_levels": levels });
    let job_id = system.completed(&request).await;
    let events = system.events(&job_id).await;
    let place = |found: &dyn Fn(&Value) -> bool| events.iter().position(found);
    let began = place(&|event| event["type"] == "StreamBegan")
        .unwrap_or_else(|| panic!("it does not begin early: {events:#?}"));
    let rendered = place(&|event| event["type"] == "SceneRendered" && event["data"]["scene"] == 0).unwrap();
    assert!(began < rendered, "{began} of {rendered}");
    let streams = events[began]["data"]["streams"].as_array().unwrap();
    assert_eq!(events[began]["data"]["duration_ms"], 2000);
    assert_eq!(streams.len(), 2, "every rendition begins");
    let scene = &events[rendered]["data"]["clip"]["streams"];
    for (stream, whole) in streams.iter().zip(scene.as_array().unwrap()) {
        assert_eq!(stream["quality"], whole["quality"]);
        assert_eq!(stream["segments"][0], whole["segments"][0], "the same bytes as later");
        let file = system.media().join(stream["key"].as_str().unwrap());
        assert!(!file.exists(), "{} is kept twice", file.display());
    }
    system.running.stop().await;
}

/// A worker dies between the end of a job and the removal of what the video has inside.
#[tokio::test]
async fn what_a_crash_leaves_of_a_stream_is_removed() {
    let mut system = System::start(&ALL_ROLES).await;
    let job_id = system.completed(&short_request()).await;
    let folder = system.media().join("users/user_1/jobs").join(&job_id);
    let part = folder.join("480p-00.m4s");
    eventually("the part is only inside the video", async || !part.exists()).await;
    system.stop_roles().await;
    std::fs::write(&part, "left behind").unwrap();
    let work = system.media().join("work").join(&job_id);
    std::fs::create_dir_all(&work).unwrap();
    let yesterday = std::time::SystemTime::now() - Duration::from_secs(25 * 3600);
    std::fs::File::open(&work).unwrap().set_modified(yesterday).unwrap();
    system.start_roles(&ALL_ROLES).await;
    eventually("what was left is removed", async || !part.exists() && !work.exists()).await;
    let answer = system.get(&format!("/api/v1/videos/jobs/{job_id}/hls/480p-00.m4s")).await;
    assert!(answer.bytes().await.unwrap()[4..8] == *b"ftyp", "it is inside the video");
    system.running.stop().await;
}
