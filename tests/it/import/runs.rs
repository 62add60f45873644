//! Runs: dry, repeated, killed, and with servers away.

use reelstream::app::Role;
use reelstream::events::EventLog;
use serde_json::json;

use super::source::SourceBackend;
use crate::harness::{System, files_under};

static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

fn id(number: u32) -> String {
    format!("0191e0a0-0000-7000-8000-{number:012}")
}

async fn filled() -> SourceBackend {
    let mut source = SourceBackend::start().await;
    for number in 0..3 {
        source.completed(&id(number)).await;
    }
    source.job(&id(3), "failed", &[]).await;
    source.job(&id(4), "queued", &[]).await;
    source
}

/// Heads of all partitions.
async fn heads(log: &EventLog) -> Vec<u64> {
    let mut heads = vec![];
    for partition in log.keys().partitions() {
        heads.push(log.head(partition).await.unwrap());
    }
    heads
}

async fn keys(source: &mut SourceBackend) -> Vec<String> {
    let mut keys: Vec<String> =
        redis::cmd("KEYS").arg("*").query_async(&mut source.connection).await.unwrap();
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_the_same_and_changes_nothing_and_neither_does_a_second_run() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let mut source = filled().await;
    let (log, before) = (system.log().await, keys(&mut source).await);
    let empty = heads(&log).await;
    let files = files_under(system.media());
    let dry = source.import(&system, &["--dry-run"]).succeeded();
    dry.counted([5, 0, 0, 0]);
    assert_eq!(dry.summary()["is_dry_run"], true);
    assert!(dry.text().contains("5 would be imported"), "{}", dry.text());
    assert_eq!((heads(&log).await, files_under(system.media())), (empty, files));
    let models = system.read_models().await;
    let users: i64 =
        sqlx::query_scalar("select count(*) from user_keys").fetch_one(&models.pool).await.unwrap();
    assert_eq!(users, 0, "no key is made");

    let first = source.import(&system, &[]).succeeded();
    for figure in ["imported", "files", "bytes"] {
        assert_eq!(first.summary()[figure], dry.summary()[figure], "{figure}");
    }
    let (after, files) = (heads(&log).await, files_under(system.media()));
    assert_eq!(after.iter().sum::<u64>(), 5);
    models.caught_up().await;
    let rows = models.rows().await;
    source.import(&system, &[]).succeeded().counted([0, 0, 5, 0]);
    source.import(&system, &["--resubmit"]).succeeded().counted([0, 0, 5, 0]);
    assert_eq!((heads(&log).await, files_under(system.media())), (after, files));
    assert_eq!(models.rows().await, rows);
    assert_eq!(keys(&mut source).await, before, "the source is never written to");
    system.running.stop().await;
}

#[cfg(feature = "chaos")]
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_is_resumed_by_another() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let source = filled().await;
    let files = source.files().display().to_string();
    let mut recorded = 0;
    for (point, appended) in [("import.stored:1", 0), ("import.recorded:2", 2), ("import.stored:2", 1)] {
        let crash = [("REEL_CRASH_AT", point.to_owned())];
        let killed = source.import_with(&system, &["--files", &files], &crash);
        assert!(!killed.output.status.success());
        recorded += appended;
        let total: u64 = heads(&system.log().await).await.iter().sum();
        assert_eq!(total, recorded, "{point}");
    }
    let resumed = source.import(&system, &[]).succeeded();
    resumed.counted([2, 0, 3, 0]);
    for number in 0..3 {
        let id = id(number);
        assert_eq!(system.events(&id).await.len(), 1);
        let download = system.get(&format!("/api/v1/videos/jobs/{id}/download")).await;
        assert_eq!(
            download.bytes().await.unwrap(),
            std::fs::read(source.files().join(format!("{id}.mp4"))).unwrap()
        );
    }
    let models = system.read_models().await;
    models.caught_up().await;
    models.verify().await;
    assert!(system.reel(&["storage", "verify"]).status.success());
    system.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_go_on_says_so() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let source = filled().await;
    let none = system.reel(&["import", "--from", "redis://127.0.0.1:1"]);
    let text = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(!none.status.success() && text.contains("127.0.0.1:1 does not answer"), "{text}");
    let secret = system.reel(&["import", "--from", "redis://u:s3cret@127.0.0.1:1"]);
    assert!(!String::from_utf8_lossy(&secret.stderr).contains("s3cret"));
    let no_folder = source.import_with(&system, &["--files", "/none"], &[]);
    assert!(no_folder.text().contains("--files /none is no folder"), "{}", no_folder.text());
    // A key of Redis that takes no connection: the report says what was done until then.
    let away = source.import_with(
        &system,
        &["--files", "s3://old"],
        &[
            ("S3_ENDPOINT", "http://127.0.0.1:1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "a".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "b".to_owned()),
        ],
    );
    assert!(away.text().contains("the same command resumes it"), "{}", away.text());
    assert_eq!(away.lines.last().unwrap()["is_complete"], json!(false));
    let without = source.import_with(&system, &[], &[]).succeeded();
    assert_eq!(without.summary()["skipped_by_reason"]["no_files"], 3);
    system.running.stop().await;
}
