//! Cancelling, refusing and reprocessing through the API, with real videos.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reelstream::app::{App, Role};
use reelstream::clock::Clock;
use reelstream::execute::Executor;
use reelstream::retention::Retention;
use reelstream::storage::Stores;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{ALL_ROLES, System, error_of, eventually, files_under, short_request};

static API: [Role; 1] = [Role::Api];

/// A speech synthesiser that is a script.
fn voice(system_folder: &Path, script: &str) -> PathBuf {
    let path = system_folder.join("voice");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

async fn until_stage(system: &System, job_id: &str, stage: &str) {
    eventually("the stage has begun", async || {
        system.status(job_id).await["progress"]["current_stage"] == stage
    })
    .await;
}

async fn cancel(system: &System, job_id: &str) -> Value {
    let answer = system.request(Method::POST, &format!("/api/v1/jobs/{job_id}/cancel")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

async fn all_files_go_within_a_second(system: &System, job_id: &str, since: Instant) {
    eventually("its files are gone", async || {
        files_under(&system.media().join("work").join(job_id)).is_empty()
    })
    .await;
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}

// 002-4.3
#[tokio::test]
async fn a_running_render_is_cancelled_within_a_second() {
    let system = System::start(&ALL_ROLES).await;
    let script = std::fs::read_to_string("tests/fixtures/scripts/event-sourcing.md").unwrap();
    let body = json!({"topic": "Event sourcing", "script": script, "quality": "high"});
    let job_id = system.generate(&body).await;
    until_stage(&system, &job_id, "rendering").await;
    eventually("a scene is being written", async || {
        files_under(&system.media().join("work").join(&job_id)).iter().any(|file| file.starts_with("scenes"))
    })
    .await;
    let cancelled_at = Instant::now();
    let answer = cancel(&system, &job_id).await;
    assert_eq!(answer["previous_status"], "processing");
    assert_eq!((&answer["new_status"], &answer["success"]), (&json!("cancelled"), &json!(true)));
    assert!(answer["cancelled_at"].as_str().unwrap().ends_with('Z'));
    all_files_go_within_a_second(&system, &job_id, cancelled_at).await;
    assert_eq!(system.status(&job_id).await["status"], "cancelled");
    let events = system.events(&job_id).await;
    assert_eq!(events.last().unwrap()["type"], "JobCancelled");

    // The machine is free again, and nothing comes after the end.
    let next = system.generate(&short_request()).await;
    system.statuses_until_ended(&next, Duration::from_secs(60)).await;
    assert_eq!(system.events(&job_id).await, events);
    assert!(!system.media().join("work").join(&job_id).exists());

    let path = format!("/api/v1/system/jobs/{job_id}/cancel");
    let (status, error) = error_of(system.request(Method::POST, &path).send().await.unwrap()).await;
    assert_eq!((status, &error["error_code"]), (409, &json!("CONFLICT")));
    assert_eq!(error["details"]["status"], "cancelled");
    let other = system.anonymous(Method::POST, &path).bearer_auth(system.token("user_2", "user"));
    assert_eq!(error_of(other.send().await.unwrap()).await.0, 404);
    system.running.stop().await;
}

/// Whether any process has this argument.
fn is_running(argument: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())
    })
}

#[tokio::test]
async fn child_processes_and_theirs_stop_with_the_job() {
    // A number that no other process sleeps for.
    let seconds = format!("{}.5", 100_000 + std::process::id());
    let system = System::start_with(&ALL_ROLES, |config| {
        config.media.espeak_program =
            voice(config.media.root.parent().unwrap(), &format!("sleep {seconds} & wait"));
    })
    .await;
    let job_id = system.generate(&short_request()).await;
    eventually("a grandchild runs", async || is_running(&seconds)).await;
    let cancelled_at = Instant::now();
    cancel(&system, &job_id).await;
    eventually("it is gone", async || !is_running(&seconds)).await;
    assert!(cancelled_at.elapsed() < Duration::from_secs(1), "{:?}", cancelled_at.elapsed());
    all_files_go_within_a_second(&system, &job_id, cancelled_at).await;
    system.running.stop().await;
}

#[tokio::test]
async fn past_the_bound_new_jobs_are_refused_for_the_moment() {
    let system = System::start_with(&API, |config| config.streams.limits.open_jobs = 2).await;
    let with_key = |key: &'static str| {
        let request = system.request(Method::POST, "/api/v1/videos/generate");
        request.header("Idempotency-Key", key).json(&short_request()).send()
    };
    let first: Value = with_key("first").await.unwrap().json().await.unwrap();
    system.generate(&short_request()).await;
    let answer = with_key("third").await.unwrap();
    assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    let (status, error) = error_of(answer).await;
    assert_eq!((status, &error["error_code"]), (503, &json!("OVERLOADED")));
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("the system has too much open: 2 of at most 2 jobs are open"), "{message}");

    let again = with_key("first").await.unwrap();
    assert_eq!(again.status(), 201, "what was accepted stays accepted");
    assert_eq!(again.json::<Value>().await.unwrap()["job_id"], first["job_id"]);

    cancel(&system, first["job_id"].as_str().unwrap()).await;
    assert_eq!(with_key("third").await.unwrap().status(), 201, "there is room again");
    system.running.stop().await;
}

/// A job of several scenes, cancelled once its first can be watched.
async fn cancelled_while_it_plays(system: &System) -> String {
    let script = std::fs::read_to_string("tests/fixtures/scripts/event-sourcing.md").unwrap();
    let job_id =
        system.generate(&json!({"topic": "Event sourcing", "script": script, "quality": "low"})).await;
    eventually("it can be watched", async || {
        system.status(&job_id).await["playable_seconds"].as_f64().unwrap() > 0.0
    })
    .await;
    cancel(system, &job_id).await;
    job_id
}

/// The status and the text of a file of a job's stream.
async fn of_stream(system: &System, job_id: &str, name: &str) -> (u16, Vec<u8>) {
    let answer = system.get(&format!("/api/v1/videos/jobs/{job_id}/hls/{name}")).await;
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

// The system goes on while a command runs.
#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_a_cancelled_job_can_be_watched_until_its_time_has_come() {
    let system = System::start(&ALL_ROLES).await;
    let job_id = cancelled_while_it_plays(&system).await;
    let (status, playlist) = of_stream(&system, &job_id, "480p.m3u8").await;
    let playlist = String::from_utf8(playlist).unwrap();
    assert_eq!(status, 200, "{playlist}");
    assert!(playlist.trim_end().ends_with("#EXT-X-ENDLIST"), "{playlist}");
    let listed: BTreeSet<PathBuf> =
        playlist.lines().filter(|line| line.ends_with(".m4s")).map(PathBuf::from).collect();
    assert!(!listed.is_empty(), "{playlist}");
    let folder = |job_id: &str| system.media().join("users/user_1/jobs").join(job_id);
    eventually("nothing else is left", async || {
        // The beginning of a stream lies in a folder of its own, under the name of the first scene's file.
        let names = files_under(&folder(&job_id)).into_iter();
        let names: Vec<_> = names.filter_map(|file| file.file_name().map(PathBuf::from)).collect();
        names.len() == listed.len() && names.into_iter().collect::<BTreeSet<_>>() == listed
    })
    .await;
    for name in &listed {
        let (status, bytes) = of_stream(&system, &job_id, name.to_str().unwrap()).await;
        assert!(status == 200 && bytes[4..8] == *b"ftyp", "{}", name.display());
    }

    let models = system.read_models().await;
    let retention = |kept| Retention {
        executor: Executor::new(models.log.clone(), Clock::system()),
        catalog: models.catalog.clone(),
        stores: Stores::local(system.media(), system.media()),
        deleted_files_kept: Duration::from_secs(3600),
        partial_streams_kept: kept,
        videos_kept: None,
        log_lines_kept: None,
    };
    let completed = system.completed(&short_request()).await;
    models.caught_up().await;
    assert_eq!(retention(Duration::from_secs(3600)).sweep().await, 0, "its time has not come");
    assert_eq!(retention(Duration::ZERO).sweep().await, 1);
    assert_eq!(files_under(&folder(&job_id)), Vec::<PathBuf>::new());
    assert!(files_under(&folder(&completed)).len() > 5, "a video stays");
    assert_eq!(of_stream(&system, &job_id, "480p.m3u8").await.0, 409, "there is no stream any more");
    assert_eq!(system.status(&job_id).await["playable_seconds"], 0.0);
    models.caught_up().await;
    assert_eq!(retention(Duration::ZERO).sweep().await, 0, "once is enough");
    models.verify().await;

    let erased = cancelled_while_it_plays(&system).await;
    assert_eq!(of_stream(&system, &erased, "master.m3u8").await.0, 200);
    assert!(system.reel(&["erase", "user", "user_1", "--yes"]).status.success());
    assert_eq!(files_under(&folder(&erased)), Vec::<PathBuf>::new(), "erasure waits for nothing");
    system.running.stop().await;
}

fn reel(system: &System, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_reel"))
        .args(arguments)
        .env("REDIS_URL", &system.config.redis.url)
        .env("REEL_PREFIX", &system.config.redis.prefix)
        .env("USER", "olga")
        .output()
        .unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn an_operator_looks_at_dead_letters_and_decides() {
    let system = System::start_with(&ALL_ROLES, |config| {
        config.media.espeak_program = voice(config.media.root.parent().unwrap(), "exit 3");
        config.streams.stages.values_mut().for_each(|stage| stage.attempts = 1);
    })
    .await;
    let mut jobs = vec![];
    for _ in 0..2 {
        let job_id = system.generate(&short_request()).await;
        let last = system.statuses_until_ended(&job_id, Duration::from_secs(60)).await.pop().unwrap();
        assert_eq!(last["status"], "failed", "{last}");
        jobs.push(job_id);
    }
    let (_, list) = reel(&system, &["dead-letters", "list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 2, "{list}");
    assert!(lines[0].contains(&jobs[0]) && lines[0].contains("scenario_creation"), "{list}");
    let (_, shown) = reel(&system, &["dead-letters", "show", &jobs[0]]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["stage"], &shown["user_id"]), (&json!("scenario_creation"), &json!("user_1")));
    assert_eq!(shown["events"].as_array().unwrap().last().unwrap()["type"], "JobFailed");

    let (done, said) = reel(&system, &["dead-letters", "discard", &jobs[1], "--reason", "a typo"]);
    assert!(done, "{said}");
    let (done, said) = reel(&system, &["dead-letters", "discard", &jobs[1]]);
    assert!(!done && said.contains("no failure that waits for an operator"), "{said}");
    let last = system.events(&jobs[1]).await.pop().unwrap();
    assert_eq!((&last["type"], &last["data"]["reason"]), (&json!("DeadLetterDiscarded"), &json!("a typo")));
    assert_eq!(last["actor"], json!({"kind": "user", "id": "operator olga"}));

    // The cause is mended, and the job begins again.
    voice(system.servers.folder.path(), "exec espeak-ng \"$@\"");
    let (done, said) = reel(&system, &["dead-letters", "replay", &jobs[0], "--from", "rendering"]);
    assert!(!done && said.contains("scenario_creation is the latest"), "{said}");
    let (done, said) = reel(&system, &["dead-letters", "replay", &jobs[0]]);
    assert!(done && said.contains("begins again at scenario_creation"), "{said}");
    let last = system.statuses_until_ended(&jobs[0], Duration::from_secs(60)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    assert_eq!(reel(&system, &["dead-letters", "list"]), (true, String::new()));
    let (_, queues) = reel(&system, &["queues", "show"]);
    assert!(queues.contains("open jobs: 0") && queues.contains("dead letters: 0"), "{queues}");
    let (done, said) = reel(&system, &["queues", "rebuild"]);
    assert!(done && said.lines().count() == 8, "{said}");
    system.running.stop().await;
}

#[tokio::test]
async fn an_admin_lets_a_cancelled_job_begin_again() {
    let system = System::start(&ALL_ROLES).await;
    let job_id = system.generate(&short_request()).await;
    cancel(&system, &job_id).await;
    let path = format!("/api/v1/system/jobs/{job_id}/reprocess");
    let as_user = system.request(Method::POST, &path).send().await.unwrap();
    assert_eq!(error_of(as_user).await.0, 403);
    let admin = || system.anonymous(Method::POST, &path).bearer_auth(system.token("boss", "admin"));
    let (status, error) =
        error_of(admin().json(&json!({"from_stage": "painting"})).send().await.unwrap()).await;
    assert_eq!(status, 422, "{error}");
    assert!(error["details"][0]["msg"].as_str().unwrap().contains("must be one of initializing"), "{error}");
    let answer: Value = admin().send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["status"], "queued", "{answer}");
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(60)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    assert_eq!(error_of(admin().send().await.unwrap()).await.0, 409);
    system.running.stop().await;
}

#[tokio::test]
async fn the_partitions_of_a_log_with_data_cannot_become_fewer() {
    let system = System::start(&API).await;
    let mut config = system.config.clone();
    config.streams.partitions = 4;
    let connect = async |config| App::connect(config, CancellationToken::new()).await.err();
    assert!(connect(config.clone()).await.is_none(), "an empty log takes any number");
    config.streams.partitions = 8;
    assert!(connect(config.clone()).await.is_none());
    system.generate(&short_request()).await;
    config.streams.partitions = 4;
    let error = format!("{:#}", connect(config.clone()).await.unwrap());
    assert!(error.contains("partitions is 4") && error.contains("Set partitions to 8 or more"), "{error}");
    config.streams.partitions = 16;
    assert!(connect(config).await.is_none(), "what is more stays empty until the log grows");
    system.running.stop().await;
}
