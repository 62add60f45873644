//! A backup that is taken while jobs run is one moment of the log.

use std::time::Duration;

use reelstream::consumers::rehearsal::{self, Rehearsal};

use super::{ALL_ROLES, reel};
use crate::harness::{Running, Servers, System, short_request};

/// The restored log is the beginning of the other one, event by event, and leads to the same end.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_go_on_while_a_backup_is_taken_and_are_finished_after_its_restore() {
    const JOBS: usize = 30;
    let mut system = System::start_with(&ALL_ROLES, |config| {
        config.streams.partitions = 3;
        config.streams.audit.seal_every = Duration::from_secs(3600);
    })
    .await;
    system.stop_roles().await;
    let pretended = Rehearsal { scenes: 3, longest: Duration::from_millis(500), ..Rehearsal::default() };
    let start = async |system: &System| {
        Running::start_with(system.config.clone(), &ALL_ROLES, rehearsal::handlers(pretended)).await
    };
    system.running = start(&system).await;
    let mut jobs = vec![];
    for _ in 0..JOBS {
        jobs.push(system.generate(&short_request()).await);
    }
    let place = system.servers.folder.path().join("backup").display().to_string();
    let (ok, said) = reel(&system, &["backup", &place]);
    assert!(ok, "{said}");
    for job_id in &jobs {
        system.statuses_until_ended(job_id, Duration::from_secs(100)).await;
    }
    let was = system.log().await;
    let ended_at = heads(&was).await;
    system.stop_roles().await;

    let spare = Servers::shared().await;
    system.config.redis.prefix.clone_from(&spare.prefix);
    system.config.postgres.url.clone_from(&spare.database_url);
    let (ok, said) = reel(&system, &["restore", &place]);
    assert!(ok, "{said}");
    let restored = system.log().await;
    let mut events = 0;
    for partition in restored.keys().partitions() {
        let head = restored.head(partition).await.unwrap();
        let (is, was) =
            (restored.read(partition, 0, 10_000).await, was.read(partition, 0, head as usize).await);
        assert_eq!(is.unwrap(), was.unwrap());
        events += head;
    }
    assert!(events > 0 && events < ended_at, "the backup was taken in between: {events} of {ended_at}");
    system.running = start(&system).await;
    let models = system.read_models().await;
    for job_id in &jobs {
        let last = system.statuses_until_ended(job_id, Duration::from_secs(100)).await.pop().unwrap();
        assert_eq!(last["status"], "completed", "{last}");
    }
    models.caught_up().await;
    models.verify().await;
    system.stop_roles().await;
}

async fn heads(log: &reelstream::events::EventLog) -> u64 {
    let mut sum = 0;
    for partition in log.keys().partitions() {
        sum += log.head(partition).await.unwrap();
    }
    sum
}
