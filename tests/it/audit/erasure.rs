//! Destroying a user's key: history stays valid, and the content is gone everywhere.

use std::path::Path;
use std::time::Duration;

use reelstream::app::Role;
use reelstream::ids::JobId;
use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, Running, System, files_under};

const SECRET: &str = "Zanzibarite";

/// Files that hold the bytes of the secret.
fn files_with_secret(root: &Path) -> Vec<String> {
    let holds = |path: &Path| {
        std::fs::read(path)
            .is_ok_and(|bytes| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()))
    };
    files_under(root)
        .into_iter()
        .filter(|path| holds(&root.join(path)))
        .map(|path| path.display().to_string())
        .collect()
}

// The system goes on while a command runs.
#[tokio::test(flavor = "multi_thread")]
async fn an_erased_users_content_is_gone_and_history_stays_valid() {
    let system = System::start_with(&ALL_ROLES, |config| {
        config.streams.audit.segment_events = 10;
        config.streams.retention.log = Duration::ZERO;
    })
    .await;
    let body = json!({ "topic": format!("All about {SECRET}"), "script": format!("{SECRET} is a stone."), "title": SECRET, "quality": "low" });
    let job_id = system.generate(&body).await;
    let other =
        system.generate(&json!({ "topic": "Other", "script": "Others stay.", "quality": "low" })).await;
    system.statuses_until_ended(&job_id, Duration::from_secs(180)).await;
    let models = system.read_models().await;
    models.caught_up().await;
    assert!(
        models.rows().await.iter().any(|(_, row)| row.to_string().contains(SECRET)),
        "it is there before"
    );
    let reel = |arguments: &[&str]| {
        let output = system.reel(arguments);
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert!(reel(&["archive", "seal", "--all"]).0);

    // What is recorded holds none of it, even before.
    let log = models.log.clone();
    let id: JobId = job_id.parse().unwrap();
    for event in log.history(id.aggregate(), 0).await.unwrap() {
        assert!(!event.data.contains(SECRET), "{}: {}", event.event_type, event.data);
    }
    let hashes: Vec<String> =
        log.history(id.aggregate(), 0).await.unwrap().into_iter().map(|event| event.hash).collect();

    let (ok, said) = reel(&["erase", "user", "user_1"]);
    assert!(!ok && said.contains("say --yes"), "{said}");
    assert_eq!(system.status(&job_id).await["topic"], format!("All about {SECRET}"), "nothing happened yet");
    // One job is at work while it happens.
    let open = system
        .generate(&json!({ "topic": "Late", "script": "A stone. ".repeat(200), "quality": "low" }))
        .await;
    let (ok, said) = reel(&["erase", "user", "user_1", "--yes"]);
    assert!(ok && said.contains("keys destroyed, 3 jobs erased"), "{said}");
    assert_eq!(
        system.statuses_until_ended(&open, Duration::from_secs(30)).await.last().unwrap()["status"],
        "cancelled"
    );
    models.caught_up().await;

    let status = system.status(&job_id).await;
    assert_eq!((&status["topic"], &status["status"]), (&json!("[erased]"), &json!("completed")));
    for (table, row) in models.rows().await {
        assert!(!row.to_string().contains(SECRET), "{table}: {row}");
    }
    // Processes may go on with a key that they know for half a minute; a new one knows none.
    static API: [Role; 1] = [Role::Api];
    let fresh = Running::start(system.config.clone(), &API).await;
    let url = format!("{}/api/v1/jobs/{job_id}/events", fresh.url);
    let answer =
        reqwest::Client::new().get(url).bearer_auth(system.token("user_1", "user")).send().await.unwrap();
    let events: Value = answer.json().await.unwrap();
    assert!(!events.to_string().contains(SECRET));
    assert_eq!(events["events"][0]["data"]["request"]["topic"], "[sealed]");
    fresh.stop().await;
    assert!(!system.media().join(format!("videos/{job_id}")).exists(), "the video is gone");
    let cached = std::fs::read_dir(system.media().join("cache")).unwrap().count();
    assert_eq!(cached, 0, "and so is what it was made of");

    // The history goes on where it was, and proves itself.
    let after = log.history(id.aggregate(), 0).await.unwrap();
    assert_eq!(after.iter().map(|event| event.hash.clone()).take(hashes.len()).collect::<Vec<_>>(), hashes);
    assert_eq!(after.last().unwrap().event_type, "ContentErased");
    let (ok, said) = reel(&["audit", "verify"]);
    assert!(ok, "{said}");
    let trail = models.rows_of("trail.events").await;
    let erased = trail.iter().find(|row| row["type"] == "UserErased").unwrap();
    assert!(erased["actor"].as_str().unwrap().starts_with("user:operator"), "{erased}");
    // Derived from the log again, it is as gone.
    for name in ["status", "catalog", "trail"] {
        let (ok, said) = reel(&["projections", "rebuild", name]);
        assert!(ok && said.contains("0 rows had been other"), "{name}: {said}");
    }
    assert!(!models.rows().await.iter().any(|(_, row)| row.to_string().contains(SECRET)));
    assert_eq!(files_with_secret(&system.config.archive.root), Vec::<String>::new());
    assert!(!other.is_empty());
    let (ok, said) = reel(&["erase", "user", "user_1", "--yes"]);
    assert!(ok && said.contains("0 keys destroyed"), "a second time: {said}");
    system.running.stop().await;
}
