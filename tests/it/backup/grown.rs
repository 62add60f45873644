//! A log that got more partitions comes back with them.

use std::time::Duration;

use reelstream::events::archive::{Archive, write_segments};
use reelstream::ids::{AggregateId, JobId};

use super::{API_AND_PROJECTOR, Scene, assert_same};
use crate::harness::short_request;

// 16.9, 16.10
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_has_grown_is_restored_from_a_backup_of_before_and_from_one_of_after() {
    let mut scene = Scene::new().await;
    let before = scene.backup("before");
    scene.system.stop_roles().await;
    scene.system.config.streams.partitions = 6;
    scene.system.start_roles(&API_AND_PROJECTOR).await;
    let log = scene.system.log().await;
    log.grow_within(Duration::from_millis(5)).await.unwrap();
    // Each process looks every two seconds, and at the latest when it appends.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let mut is_beyond = false;
    for _ in 0..12 {
        let job: JobId = scene.system.generate(&short_request()).await.parse().unwrap();
        is_beyond |= log.keys().partition_of(AggregateId(job.0)) >= 2;
    }
    assert!(is_beyond, "one of twelve jobs is in a new partition");
    let after = scene.backup("after");
    let was = scene.record().await;
    scene.system.stop_roles().await;
    let layout = log.keys().layout();

    scene.lose_redis().await;
    scene.lose_postgres().await;
    scene.system.config.streams.partitions = 5;
    let (ok, said) = scene.reel(&["restore", &after]);
    assert!(!ok && said.contains("a log with 6 partitions, and streams.toml says 5"), "{said}");
    scene.system.config.streams.partitions = 6;
    scene.lose_redis().await;
    let (ok, said) = scene.reel(&["restore", &after]);
    assert!(ok, "{said}");
    assert_same(&scene.record_stopped().await, &was);
    assert_eq!(scene.system.log().await.keys().layout(), layout);

    // The archive goes on after the older backup, and knows of the growth.
    let (restored, key) = (scene.system.log().await, &scene.system.config.keys.signing);
    let archive = Archive::new(&scene.system.config.archive.root, scene.system.config.keys.public_keys());
    for partition in restored.keys().partitions() {
        write_segments(&restored, &archive, partition, 1000, true, key).await.unwrap();
    }
    archive.write_layout(&layout).await.unwrap();
    scene.lose_redis().await;
    scene.lose_postgres().await;
    let (ok, said) = scene.reel(&["restore", &before]);
    assert!(ok, "{said}");
    let is = scene.record_stopped().await;
    assert_eq!(is.log, was.log);
    assert_eq!(scene.system.log().await.keys().layout(), layout);
    scene.goes_on().await;
}
