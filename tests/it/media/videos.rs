//! Each shipped script, through HTTP to a finished video, watched the whole way.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, System, eventually, files_under};

const STAGES: [&str; 7] =
    ["initializing", "planning", "scenario_creation", "code_generation", "rendering", "combining", "storage"];

#[tokio::test]
async fn event_sourcing_becomes_a_video() {
    check("event-sourcing.md", "Event sourcing").await;
}

#[tokio::test]
async fn pythagoras_becomes_a_video() {
    check("pythagoras.txt", "The Pythagorean theorem").await;
}

#[tokio::test]
async fn the_battery_becomes_a_video() {
    check("reference-180s.md", "How a lithium-ion battery works").await;
}

// 000-1 to 000-4, 001-1, 001-2, 002-1 to 002-3, 004 FR-001 to FR-007 and FR-009
async fn check(file: &str, topic: &str) {
    let system = System::start(&ALL_ROLES).await;
    let script = std::fs::read_to_string(Path::new("tests/fixtures/scripts").join(file)).unwrap();
    let job_id = system.generate(&json!({ "topic": topic, "script": script })).await;
    let statuses = system.statuses_until_ended(&job_id, Duration::from_secs(400)).await;
    let last = statuses.last().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    check_polled_progress(&statuses);

    let events = system.events(&job_id).await;
    check_history(&events);
    let narration_seconds = narration_seconds(&events);

    let path = system.servers.folder.path().join("downloaded.mp4");
    let download = system.get(&format!("/api/v1/videos/jobs/{job_id}/download")).await;
    assert_eq!(download.status(), 200);
    std::fs::write(&path, download.bytes().await.unwrap()).unwrap();
    check_file(&path, narration_seconds);
    check_metadata(&system, &job_id, &path, narration_seconds).await;
    check_thumbnails(&system, &job_id).await;
    check_captions(&system, &job_id, &path).await;
    check_streams(&system, &job_id, narration_seconds).await;

    let names = || -> Vec<String> {
        let files = files_under(system.media()).into_iter().filter(|file| !file.starts_with("cache"));
        files.filter_map(|file| Some(file.file_name()?.to_str()?.to_owned())).collect()
    };
    eventually("the parts of the stream are only inside the videos", async || {
        names().iter().all(|name| !name.ends_with(".m4s"))
    })
    .await;
    assert_eq!(
        names(),
        [
            "1080p-vod.m3u8",
            "1080p.m3u8",
            "1080p.mp4",
            "720p-vod.m3u8",
            "720p.m3u8",
            "720p.mp4",
            "captions.srt",
            "captions.vtt",
            "master.m3u8",
            "thumbnail-large.jpg",
            "thumbnail-medium.jpg",
            "thumbnail-small.jpg",
        ]
    );
    system.running.stop().await;
}

/// HLS as a player reads it: from the master playlist to ranges of segments.
async fn check_streams(system: &System, job_id: &str, narration_seconds: f64) {
    let base = format!("/api/v1/videos/jobs/{job_id}");
    let range = system.get(&format!("{base}/stream?quality=auto")).await;
    assert_eq!(
        (range.status().as_u16(), &range.headers()["accept-ranges"]),
        (200, &"bytes".parse().unwrap())
    );
    assert_eq!(system.get(&format!("{base}/stream?quality=4k")).await.status(), 422);
    let master = system.get(&format!("{base}/hls/master.m3u8")).await;
    assert_eq!(master.headers()["content-type"], "application/vnd.apple.mpegurl");
    let master = master.text().await.unwrap();
    let lines: Vec<&str> = master.lines().collect();
    let folder = tempfile::tempdir().unwrap();
    let mut segments = vec![];
    for (level, size) in [("1080p", "1920x1080"), ("720p", "1280x720")] {
        let at = lines.iter().position(|line| *line == format!("{level}-vod.m3u8")).unwrap();
        assert!(lines[at - 1].contains(&format!("RESOLUTION={size},FRAME-RATE=30.000")), "{master}");
        assert!(lines[at - 1].contains("CODECS=\"avc1.6400"), "{master}");
        let path = folder.path().join(format!("{level}-vod.m3u8"));
        let playlist = system.get(&format!("{base}/hls/{level}-vod.m3u8")).await.text().await.unwrap();
        assert!(playlist.lines().all(|line| line.starts_with('#') || line == format!("{level}.mp4")));
        std::fs::write(&path, &playlist).unwrap();
        assert!(playlist.contains("#EXT-X-PLAYLIST-TYPE:VOD") && playlist.ends_with("#EXT-X-ENDLIST\n"));
        for name in playlist.lines().filter(|line| !line.starts_with('#')).collect::<BTreeSet<_>>() {
            let file = system.get(&format!("{base}/hls/{name}")).await.bytes().await.unwrap();
            std::fs::write(folder.path().join(name), file).unwrap();
        }
        let lengths = playlist
            .lines()
            .filter_map(|line| line.strip_prefix("#EXTINF:")?.trim_end_matches(',').parse::<f64>().ok());
        let lengths: Vec<f64> = lengths.collect();
        let seconds: f64 = lengths.iter().sum();
        assert!((seconds - narration_seconds).abs() < 0.3, "{seconds} of {narration_seconds}");
        segments.push(lengths);
        assert_eq!(run("ffmpeg", &["-v", "error", "-i", path.to_str().unwrap(), "-f", "null", "-"]), "");
    }
    // Players change between renditions where segments begin: the same places in all.
    assert_eq!(segments[0], segments[1]);
}

async fn save(system: &System, path: &str) -> (reqwest::header::HeaderMap, Value, tempfile::TempDir) {
    let answer = system.get(path).await;
    assert_eq!(answer.status(), 200, "{path}");
    let headers = answer.headers().clone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("video");
    std::fs::write(&file, answer.bytes().await.unwrap()).unwrap();
    (headers, probe(&file), folder)
}

// 003-3
#[tokio::test]
async fn renditions_come_in_every_quality_and_in_the_format_that_was_asked_for() {
    let system = System::start(&ALL_ROLES).await;
    let body = json!({
        "topic": "Ions", "script": "Ions move through the electrolyte. They come back when the cell is charged.",
        "quality": "low", "quality_levels": ["480p", "720p"], "output_format": "webm",
    });
    let job_id = system.generate(&body).await;
    let statuses = system.statuses_until_ended(&job_id, Duration::from_secs(200)).await;
    assert_eq!(statuses.last().unwrap()["status"], "completed", "{:?}", statuses.last());
    let base = format!("/api/v1/videos/jobs/{job_id}");
    for (path, media_type, ending, codec, height) in [
        ("download", "video/webm", "webm", "vp9", 480),
        ("download?quality=720p", "video/webm", "webm", "vp9", 720),
        ("download?quality=auto", "video/webm", "webm", "vp9", 720),
        ("stream", "video/mp4", "mp4", "h264", 720),
        ("stream?quality=low", "video/mp4", "mp4", "h264", 480),
    ] {
        let (headers, probed, _folder) = save(&system, &format!("{base}/{path}")).await;
        assert_eq!(headers["content-type"], media_type, "{path}");
        let disposition = headers["content-disposition"].to_str().unwrap();
        assert!(disposition.ends_with(&format!("filename=\"Ions.{ending}\"")), "{path}: {disposition}");
        let picture = &probed["streams"][0];
        assert_eq!((&picture["codec_name"], &picture["height"]), (&json!(codec), &json!(height)), "{path}");
    }
    let missing = system.get(&format!("{base}/stream?quality=1080p")).await;
    assert_eq!(missing.status(), 404);
    let told: Value = missing.json().await.unwrap();
    assert!(told.to_string().contains("only 480p, 720p"), "{told}");
    let metadata: Value = system.get(&format!("{base}/metadata")).await.json().await.unwrap();
    let urls = metadata["video_urls"].as_object().unwrap();
    assert_eq!(urls.keys().collect::<Vec<_>>(), ["480p", "720p"]);
    assert_eq!(urls["720p"], format!("{base}/download?quality=720p"));
    assert_eq!((&metadata["video"]["format"], &metadata["video"]["height"]), (&json!("webm"), &json!(480)));
    let renditions = metadata["streaming_info"]["renditions"].as_array().unwrap();
    let levels: Vec<_> = renditions.iter().map(|made| made["quality"].as_str().unwrap()).collect();
    assert_eq!(levels, ["720p", "480p"]);
    system.running.stop().await;
}

/// Captions as files and in the video, and chapters, say and mark the same.
async fn check_captions(system: &System, job_id: &str, video: &Path) {
    let base = format!("/api/v1/videos/jobs/{job_id}");
    let vtt = system.get(&format!("{base}/captions.vtt")).await;
    assert_eq!(vtt.headers()["content-type"], "text/vtt; charset=utf-8");
    let vtt = vtt.text().await.unwrap();
    assert!(vtt.starts_with("WEBVTT\nKind: captions\nLanguage: en\n\n00:00:00.4"), "{vtt}");
    assert!(vtt.contains(" <00:00:0"), "words have times: {vtt}");
    let srt = system.get(&format!("{base}/captions.srt")).await.text().await.unwrap();
    assert_eq!(vtt.matches(" --> ").count(), srt.matches(" --> ").count());
    let embedded =
        run("ffmpeg", &["-v", "error", "-i", video.to_str().unwrap(), "-map", "0:s:0", "-f", "srt", "-"]);
    assert_eq!(embedded.matches(" --> ").count(), srt.matches(" --> ").count(), "{embedded}");
    let metadata: Value = system.get(&format!("{base}/metadata")).await.json().await.unwrap();
    let chapters = metadata["chapters"].as_array().unwrap();
    let listed = run("ffprobe", &["-v", "error", "-show_chapters", "-of", "json", video.to_str().unwrap()]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let listed = listed["chapters"].as_array().unwrap();
    assert_eq!(listed.len(), chapters.len());
    for (told, found) in chapters.iter().zip(listed) {
        assert_eq!(told["title"], found["tags"]["title"]);
        let start: f64 = found["start_time"].as_str().unwrap().parse().unwrap();
        assert!((told["start"].as_f64().unwrap() - start).abs() < 0.01, "{told} {found}");
    }
}

fn check_polled_progress(statuses: &[Value]) {
    let percentages: Vec<f64> =
        statuses.iter().map(|status| status["progress"]["percentage"].as_f64().unwrap()).collect();
    assert!(percentages.is_sorted(), "{percentages:?}");
    assert_eq!(percentages.last(), Some(&100.0));
    assert!(percentages.len() > 10, "progress was seen on the way: {percentages:?}");
    let last = statuses.last().unwrap();
    assert_eq!(last["progress"]["current_stage"], "completed");
    assert_eq!(last["progress"]["stages_completed"], json!(STAGES));
}

fn check_history(events: &[Value]) {
    for (version, event) in (1..).zip(events) {
        assert_eq!(event["version"], version);
    }
    for pair in events.windows(2) {
        assert_eq!(pair[1]["prev_hash"], pair[0]["hash"], "the chain is whole");
    }
    for kind in ["StageStarted", "StageCompleted"] {
        let of_kind = events.iter().filter(|event| event["type"] == kind);
        let stages: Vec<_> = of_kind.map(|event| event["data"]["stage"].as_str().unwrap()).collect();
        assert_eq!(stages, STAGES, "{kind}, every stage once and in order");
    }
    let starts = events.iter().filter(|event| event["type"] == "StageStarted");
    let starts: Vec<f64> = starts.map(|event| event["data"]["percentage"].as_f64().unwrap()).collect();
    assert_eq!(starts, [5.0, 15.0, 30.0, 50.0, 80.0, 90.0, 95.0]);
    let percentages: Vec<f64> =
        events.iter().filter_map(|event| event["data"]["percentage"].as_f64()).collect();
    assert!(percentages.is_sorted(), "{percentages:?}");
    let ends = events
        .iter()
        .filter(|event| ["JobCompleted", "JobFailed"].contains(&event["type"].as_str().unwrap()));
    assert_eq!(ends.count(), 1);
    assert_eq!(events.last().unwrap()["type"], "JobCompleted");
}

/// Speech and the planned pauses, as they are recorded of each scene.
fn narration_seconds(events: &[Value]) -> f64 {
    let scenes: Vec<&Value> = events.iter().filter(|event| event["type"] == "SceneNarrated").collect();
    assert!((3..=20).contains(&scenes.len()));
    let seconds = |scene: &&Value| {
        let timeline = &scene["data"]["narrated"]["timeline"];
        timeline["frames"].as_f64().unwrap() / timeline["fps"].as_f64().unwrap()
    };
    scenes.iter().map(seconds).sum()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

pub fn probe(path: &Path) -> Value {
    let path = path.to_str().unwrap();
    let text = run("ffprobe", &["-v", "error", "-show_streams", "-show_format", "-of", "json", path]);
    serde_json::from_str(&text).unwrap()
}

fn check_file(path: &Path, narration_seconds: f64) {
    let probed = probe(path);
    let stream = |kind: &str| {
        probed["streams"]
            .as_array()
            .unwrap()
            .iter()
            .find(|stream| stream["codec_type"] == kind)
            .unwrap()
            .clone()
    };
    let (video, audio) = (stream("video"), stream("audio"));
    assert_eq!(video["codec_name"], "h264");
    assert_eq!(audio["codec_name"], "aac");
    assert_eq!((&video["width"], &video["height"]), (&json!(1920), &json!(1080)));
    assert_eq!(video["pix_fmt"], "yuv420p");
    assert_eq!(video["avg_frame_rate"], "30/1");
    for part in [&probed["format"], &video, &audio] {
        let duration: f64 = part["duration"].as_str().unwrap().parse().unwrap();
        assert!((duration - narration_seconds).abs() <= 0.3, "{duration} s, narration {narration_seconds} s");
    }
    let bytes = std::fs::read(path).unwrap();
    let place = |name: &[u8]| bytes.windows(4).position(|window| window == name).unwrap();
    assert!(place(b"moov") < place(b"mdat"), "fast start");
    check_decoded(path);
}

/// Decodes everything: no errors, no black stretch, no silence that the pauses do not explain.
fn check_decoded(path: &Path) {
    let path = path.to_str().unwrap();
    assert_eq!(run("ffmpeg", &["-v", "error", "-i", path, "-f", "null", "-"]), "");
    let filters = ["-vf", "blackdetect=d=0.2", "-af", "silencedetect=n=-45dB:d=2,volumedetect"];
    let arguments = [&["-hide_banner", "-nostats", "-i", path][..], &filters, &["-f", "null", "-"]].concat();
    let found = run("ffmpeg", &arguments);
    assert!(!found.contains("black_start"), "a black stretch: {found}");
    assert!(!found.contains("silence_start"), "a silent stretch: {found}");
    let volume =
        found.split("mean_volume: ").nth(1).unwrap().split(' ').next().unwrap().parse::<f64>().unwrap();
    assert!((-35.0..-8.0).contains(&volume), "audible and not clipped: {volume} dB");
}

// 000-3.2, 002-3.2
async fn check_metadata(system: &System, job_id: &str, path: &Path, narration_seconds: f64) {
    let answer = system.get(&format!("/api/v1/videos/jobs/{job_id}/metadata")).await;
    assert_eq!(answer.status(), 200);
    let metadata: Value = answer.json().await.unwrap();
    let video = &metadata["video"];
    assert_eq!(video["file_size"], std::fs::metadata(path).unwrap().len());
    assert!((video["duration"].as_f64().unwrap() - narration_seconds).abs() < 0.3);
    assert_eq!((&video["width"], &video["height"]), (&json!(1920), &json!(1080)));
    assert_eq!(video["video_codec"], "h264");
    let stages = metadata["processing"]["stages"].as_array().unwrap();
    let names: Vec<_> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, STAGES);
    assert!(stages.iter().all(|stage| stage["duration_seconds"].as_f64().is_some()));
}

// 000-4.4
async fn check_thumbnails(system: &System, job_id: &str) {
    for (size, width, height) in [("small", 320, 180), ("medium", 640, 360), ("large", 1280, 720)] {
        let answer = system.get(&format!("/api/v1/videos/jobs/{job_id}/thumbnail?size={size}")).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "image/jpeg");
        assert!(answer.headers().contains_key("cache-control") && answer.headers().contains_key("etag"));
        let path = system.servers.folder.path().join("thumbnail.jpg");
        std::fs::write(&path, answer.bytes().await.unwrap()).unwrap();
        let picture = &probe(&path)["streams"][0];
        assert_eq!((&picture["width"], &picture["height"]), (&json!(width), &json!(height)));
    }
}
