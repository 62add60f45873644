//! Backups into a bucket, of a system whose files are in a bucket.

use std::time::Duration;

use reelstream::storage::StorageMode;

use crate::harness::{ALL_ROLES, Servers, System, files_under, short_request};
use crate::storage::s3_server::S3Server;

/// The bucket's videos, Redis and PostgreSQL are lost; the backup is under another prefix of the bucket, as it could be in another bucket.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_in_a_bucket_restores_what_a_bucket_has_lost() {
    let server = S3Server::start().await;
    let mut system = System::start_with(&ALL_ROLES, |config| {
        config.streams.partitions = 2;
        config.streams.audit.seal_every = Duration::from_secs(3600);
        config.storage = server.settings(StorageMode::S3);
    })
    .await;
    let job_id = system.completed(&short_request()).await;
    system.read_models().await.caught_up().await;
    let reel = |system: &System, arguments: &[&str]| {
        let output = system.reel_with(arguments, &server.environment("s3"));
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let place = "s3://videos/backups/first";
    let (ok, said) = reel(&system, &["backup", place, "--files"]);
    assert!(ok && said.contains(&format!("is in {place}")), "{said}");
    let (ok, said) = reel(&system, &["backup", place]);
    assert!(!ok && said.contains("holds a backup already"), "{said}");
    system.stop_roles().await;

    let users = server.object("users");
    let stored = files_under(&users);
    assert!(stored.len() > 5, "{stored:?}");
    let of = |name: &std::path::PathBuf| std::fs::read(users.join(name)).unwrap();
    let was: Vec<Vec<u8>> = stored.iter().map(of).collect();
    std::fs::remove_dir_all(&users).unwrap();
    let spare = Servers::shared().await;
    system.config.redis.prefix.clone_from(&spare.prefix);
    system.config.postgres.url.clone_from(&spare.database_url);
    let (ok, said) = reel(&system, &["restore", place]);
    assert!(ok && said.contains("0 were there, 0 are in neither"), "{said}");
    assert_eq!(files_under(&users), stored);
    assert!(stored.iter().map(of).collect::<Vec<_>>() == was, "byte for byte");
    system.start_roles(&ALL_ROLES).await;
    let metadata = system.get(&format!("/api/v1/videos/jobs/{job_id}/metadata")).await;
    assert_eq!(metadata.status(), 200);
    system.stop_roles().await;
}
