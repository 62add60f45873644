//! How soon videos can be watched: twelve jobs at once, and one alone.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::Table;
use crate::processes::Running;
use crate::report::{median, quantile};

/// About 90 seconds of video.
const SCRIPT: &str = include_str!("../../tests/fixtures/scripts/event-sourcing.md");
const REFERENCE: &str = include_str!("../../tests/fixtures/scripts/reference-180s.md");
const JOBS: usize = 12;
const ALONE: usize = 5;

/// Words of one length. With another one in each line, two scripts share nothing that could be reused.
const WORDS: [&str; JOBS] = [
    "apple", "bread", "chair", "dream", "earth", "fruit", "grape", "house", "image", "juice", "knife",
    "lemon",
];

/// Seconds after the first request.
struct Times {
    playable: f64,
    complete: f64,
    /// When the first answer told that the job would be complete.
    promised: f64,
}

/// Twelve jobs of one user, and of twelve.
pub async fn twelve_at_once(table: &mut Table) {
    let running = Running::start(&["work", "project"]).await;
    let alone = at_once(&running, &[("user_0".to_owned(), SCRIPT.to_owned())]).await;
    table.row("a video of 96 s at 1080p alone: complete", seconds(alone[0].complete), "");
    let of_one = WORDS.map(|word| ("user_1".to_owned(), varied(word)));
    let of_many = WORDS.map(|word| (format!("user_{word}"), SCRIPT.to_owned()));
    for (whose, requests) in [("one user", of_one), ("twelve users", of_many)] {
        let times = at_once(&running, &requests).await;
        let playable: Vec<f64> = times.iter().map(|times| times.playable).collect();
        let complete: Vec<f64> = times.iter().map(|times| times.complete).collect();
        let mut row = |figure: &str, value: f64, wanted| {
            table.row(&format!("twelve of them at once, of {whose}: {figure}"), seconds(value), wanted);
        };
        row("all playable", quantile(&playable, 1.0), "within 8 s");
        row("playable, median", median(playable), "");
        row("the first complete", quantile(&complete, 0.0), "within 7 s");
        row("complete, mean", complete.iter().sum::<f64>() / JOBS as f64, "within 16 s");
        let errors = times.iter().map(|times| (times.promised - times.complete).abs() / times.complete);
        let error = median(errors.collect()) * 100.0;
        row("the last complete", quantile(&complete, 1.0), "26.6 s, as before scenes went by themselves");
        table.row(
            &format!("twelve of them at once, of {whose}: median error of the first estimate"),
            format!("{error:.0} %"),
            "under 25 %",
        );
    }
}

fn seconds(value: f64) -> String {
    format!("{value:.1} s")
}

/// The script with a word more in each line that is spoken.
fn varied(word: &str) -> String {
    let mut is_code = false;
    let lines = SCRIPT.lines().map(|line| {
        is_code ^= line.starts_with("```");
        let is_spoken = line.ends_with(['.', '?']) && !is_code;
        if is_spoken { format!("{} {word}.", line.trim_end_matches(['.', '?'])) } else { line.to_owned() }
    });
    lines.collect::<Vec<_>>().join("\n").replacen("five minutes", &format!("five {word} minutes"), 1)
}

async fn at_once(running: &Running, requests: &[(String, String)]) -> Vec<Times> {
    let began = Instant::now();
    let jobs = requests.iter().map(|(user, script)| async move {
        let token = running.system.token(user, "user");
        let body = json!({ "topic": "Event sourcing", "script": script, "quality": "high" });
        let request = running.system.anonymous(Method::POST, "/api/v1/videos/generate").bearer_auth(&token);
        let answer = request.json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let accepted: Value = answer.json().await.unwrap();
        let time = |field: &str| -> DateTime<Utc> { accepted[field].as_str().unwrap().parse().unwrap() };
        let promised = (time("estimated_completion") - time("created_at")).as_seconds_f64();
        let times = watch(running, accepted["job_id"].as_str().unwrap(), &token, began).await;
        Times { promised, ..times }
    });
    join_all(jobs).await
}

/// Follows a job to its end.
async fn watch(running: &Running, job_id: &str, token: &str, began: Instant) -> Times {
    let path = format!("/api/v1/videos/jobs/{job_id}/status?wait=10");
    let (mut playable, mut etag) = (None, "\"v0\"".to_owned());
    loop {
        let request = running.system.anonymous(Method::GET, &path).bearer_auth(token);
        let answer = request.header("If-None-Match", &etag).send().await.unwrap();
        if answer.status() == 304 {
            continue;
        }
        etag = answer.headers()["etag"].to_str().unwrap().to_owned();
        let status: Value = answer.json().await.unwrap();
        let now = began.elapsed().as_secs_f64();
        if status["playable_seconds"].as_f64().unwrap() > 0.0 {
            playable.get_or_insert(now);
        }
        if status["status"] == "completed" {
            return Times { playable: playable.unwrap(), complete: now, promised: 0.0 };
        }
        assert!(["queued", "processing"].contains(&status["status"].as_str().unwrap()), "{status}");
    }
}

/// From the request to the first segment of the stream in the client's hands.
pub async fn first_segment(table: &mut Table) {
    let running = Running::start(&["work", "project"]).await;
    let first = until_first_segment(&running).await;
    let mut others = vec![];
    for _ in 0..ALONE {
        others.push(until_first_segment(&running).await);
    }
    let wanted = "under 1 s";
    let slowest = quantile(&others, 1.0);
    table.row(
        &format!("from the request to the first segment of the stream, 1080p, espeak-ng, median of {ALONE}"),
        format!("{:.2} s", median(others)),
        wanted,
    );
    table.row("the slowest of them", format!("{slowest:.2} s"), wanted);
    table.row("the same for the first job of all processes", format!("{first:.2} s"), "");
}

async fn until_first_segment(running: &Running) -> f64 {
    let system = &running.system;
    // Nothing is taken from the run before.
    let _first_run = std::fs::remove_dir_all(system.media().join("cache"));
    let body = json!({ "topic": "Reference", "script": REFERENCE, "quality": "high" });
    let began = Instant::now();
    let job_id = system.generate(&body).await;
    let base = format!("/api/v1/videos/jobs/{job_id}/hls");
    let master = loop {
        let answer = system.get(&format!("{base}/master.m3u8")).await;
        if answer.status() == 200 {
            break answer.text().await.unwrap();
        }
        assert_eq!(answer.status(), 409, "no scene is rendered yet");
        sleep(Duration::from_millis(5)).await;
    };
    let playlist = master.lines().find(|line| line.ends_with(".m3u8")).unwrap();
    let playlist = system.get(&format!("{base}/{playlist}")).await.text().await.unwrap();
    let segment = playlist.lines().find(|line| line.ends_with(".m4s")).unwrap();
    let answer = system.get(&format!("{base}/{segment}")).await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.bytes().await.unwrap().is_empty());
    let took = began.elapsed().as_secs_f64();
    let statuses = system.statuses_until_ended(&job_id, Duration::from_secs(100)).await;
    assert_eq!(statuses.last().unwrap()["status"], "completed");
    took
}
