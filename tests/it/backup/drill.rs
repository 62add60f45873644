//! The drill of docs/OPERATIONS.md: each store is lost in turn, then all of them but the archive.

use reelstream::audit::SealLog;

use super::{API_AND_PROJECTOR, Scene, assert_same};
use crate::harness::{files_under, short_request};

/// 000-5.5: events, command ids and read models are the same, and what was under way goes on. What came after the backup is lost; it was
/// sealed, so that it is named, and not given up without a word from the operator.
#[tokio::test(flavor = "multi_thread")]
async fn redis_is_lost() {
    let mut scene = Scene::new().await;
    let backup = scene.backup("backup");
    let was = scene.record().await;
    let lost = scene.system.generate(&short_request()).await;
    scene.system.read_models().await.caught_up().await;
    // A second backup seals what is new, as the notary does each minute.
    scene.backup("later");
    scene.system.stop_roles().await;
    scene.lose_redis().await;

    let (ok, said) = scene.reel(&["restore", &backup, "--dry-run"]);
    assert!(
        !ok && said.contains("3 events that were sealed are neither") && said.contains("--accept-loss"),
        "{said}"
    );
    let (ok, said) = scene.reel(&["restore", &backup]);
    assert!(!ok && said.contains("--accept-loss"), "{said}");
    assert_eq!(scene.system.log().await.head(0).await.unwrap(), 0, "nothing was written");
    let (ok, said) = scene.reel(&["restore", &backup, "--accept-loss"]);
    assert!(!ok && said.contains("filled anew: catalog, library, trail"), "{said}");
    assert!(said.contains("2 open jobs with 2 pieces of work queued"), "{said}");
    assert!(
        said.contains("keep it as the proof"),
        "what is left to do is said, and the exit status tells: {said}"
    );

    assert_same(&scene.record_stopped().await, &was);
    let aside = files_under(&scene.system.config.archive.root);
    let aside = aside.iter().find(|file| file.to_string_lossy().contains("seals.log.before-")).unwrap();
    let aside = SealLog::new(&scene.system.config.archive.root.join(aside));
    let sealed = [aside.last(0).await.unwrap(), aside.last(1).await.unwrap()];
    let sealed: u64 = sealed.into_iter().flatten().map(|seal| seal.seq).sum();
    assert_eq!(sealed, was.log.values().map(|events| events.len() as u64).sum::<u64>() + 3);
    scene.goes_on().await;
    scene.system.start_roles(&API_AND_PROJECTOR).await;
    let gone = scene.system.get(&format!("/api/v1/videos/jobs/{lost}/status")).await;
    assert_eq!(gone.status(), 404);
    scene.system.stop_roles().await;
}

/// Keys and seals come back from the backup, and everything else in PostgreSQL from the log.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_lost() {
    let mut scene = Scene::new().await;
    let backup = scene.backup("backup");
    scene.system.generate(&short_request()).await;
    let was = scene.record().await;
    scene.system.stop_roles().await;
    scene.lose_postgres().await;
    let (ok, said) = scene.reel(&["restore", &backup]);
    assert!(!ok && said.contains("a log that is not empty is never overwritten"), "{said}");
    let (ok, said) = scene.reel(&["restore", &backup, "--only", "keys"]);
    assert!(ok && said.contains("1 keys of users' content"), "{said}");
    scene.system.start_roles(&API_AND_PROJECTOR).await;
    assert_same(&scene.record().await, &was);
    scene.system.stop_roles().await;
    scene.goes_on().await;
}

/// Files come back byte for byte; one that is newer than the backup is named.
#[tokio::test(flavor = "multi_thread")]
async fn the_files_are_lost() {
    let mut scene = Scene::new().await;
    let backup = scene.backup("backup");
    let was = scene.record().await;
    scene.system.stop_roles().await;
    scene.lose_files();
    let (ok, said) = scene.reel(&["restore", &backup, "--only", "files"]);
    assert!(
        ok && said.contains(&format!("{} stored files restored, 0 were there", was.files.len())),
        "{said}"
    );
    assert_same(&scene.record_stopped().await, &was);

    // One is damaged, and another that only the log knows is gone.
    let video = was.files.keys().find(|file| file.extension().is_some_and(|end| end == "mp4")).unwrap();
    let video = scene.system.media().join(video);
    let mut bytes = std::fs::read(&video).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&video, bytes).unwrap();
    let (ok, said) = scene.reel(&["restore", &backup, "--only", "files"]);
    assert!(ok && said.contains("1 stored files restored"), "{said}");
    assert_same(&scene.record_stopped().await, &was);
    scene.goes_on().await;
    scene.lose_files();
    let (ok, said) = scene.reel(&["restore", &backup, "--only", "files"]);
    let newer = format!("users/user_1/jobs/{}", scene.waiting);
    assert!(!ok && said.contains(&newer) && said.contains("missing"), "{said}");
    assert!(!said.contains(&format!("missing   users/user_1/jobs/{}", scene.done)), "{said}");
}

/// The archive goes on where the backup ends: nothing that was sealed into it is lost.
#[tokio::test(flavor = "multi_thread")]
async fn everything_but_the_archive_is_lost() {
    let mut scene = Scene::new().await;
    let backup = scene.backup("backup");
    scene.system.generate(&short_request()).await;
    let was = scene.record().await;
    let (ok, said) = scene.reel(&["archive", "seal", "--all"]);
    assert!(ok, "{said}");
    scene.system.stop_roles().await;
    scene.lose_redis().await;
    scene.lose_postgres().await;
    scene.lose_files();
    let (ok, said) = scene.reel(&["restore", &backup, "--dry-run"]);
    assert!(ok && said.contains("nothing was changed"), "{said}");
    assert_eq!(scene.system.log().await.head(0).await.unwrap(), 0);
    let (ok, said) = scene.reel(&["restore", &backup]);
    assert!(ok && said.contains("3 newer ones of the archive") && said.contains("s in all"), "{said}");
    assert!(said.contains("every one of") && said.contains("start the roles"), "{said}");
    assert_same(&scene.record_stopped().await, &was);
    scene.goes_on().await;
}
