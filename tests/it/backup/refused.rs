//! What a backup and a restore refuse, before they write anything.

use std::path::Path;

use super::Scene;
use crate::harness::{System, files_under};

fn change(path: &Path) -> Vec<u8> {
    let kept = std::fs::read(path).unwrap();
    let mut bytes = kept.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
    kept
}

/// Each file of a backup is changed by one bit, and is missing: both are found before the first write.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_not_as_it_was_made_is_refused() {
    let mut scene = Scene::new().await;
    let backup = scene.backup("backup");
    scene.system.stop_roles().await;
    scene.lose_redis().await;
    let root = Path::new(&backup);
    let files = files_under(root);
    for name in ["backup.json", "keys.jsonl", "seals.jsonl", "expiring.jsonl", "files.jsonl"] {
        assert!(files.iter().any(|file| file.as_os_str() == name), "{name}: {files:?}");
    }
    // One of each kind of stored file is enough: each run of the program takes a moment.
    let is_probed = |file: &&std::path::PathBuf| {
        !file.starts_with("files") || file.extension().is_some_and(|end| end == "mp4" || end == "vtt")
    };
    for file in files.iter().filter(is_probed) {
        let path = root.join(file);
        let kept = change(&path);
        let (ok, said) = scene.reel(&["restore", &backup]);
        assert!(!ok, "{} was changed: {said}", file.display());
        std::fs::remove_file(&path).unwrap();
        let (ok, said) = scene.reel(&["restore", &backup]);
        assert!(!ok, "{} is missing: {said}", file.display());
        std::fs::write(&path, kept).unwrap();
    }
    assert_eq!(scene.system.log().await.head(0).await.unwrap(), 0, "nothing was written");
    let (ok, said) = scene.reel(&["restore", &backup]);
    assert!(ok, "{said}");
    let (ok, said) = scene.reel(&["restore", &backup]);
    assert!(!ok && said.contains("a log that is not empty is never overwritten"), "{said}");
    let (ok, said) = scene.reel(&["restore", &backup, "--resume"]);
    assert!(ok && said.contains("0 events of the backup"), "{said}");
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_to_an_empty_place_and_a_restore_to_its_own_log() {
    let scene = Scene::new().await;
    let backup = scene.backup("backup");
    let (ok, said) = scene.reel(&["backup", &backup]);
    assert!(!ok && said.contains("holds a backup already; name an empty folder"), "{said}");
    std::fs::remove_file(Path::new(&backup).join("backup.json")).unwrap();
    let (ok, said) = scene.reel(&["backup", &backup]);
    assert!(!ok && said.contains("what an interrupted backup has left"), "{said}");
    let (ok, said) = scene.reel(&["restore", &backup]);
    assert!(!ok && said.contains("has no backup.json"), "{said}");

    // Another system has another log.
    let backup = scene.backup("second");
    let other = System::start_with(&super::API_AND_PROJECTOR, |config| config.streams.partitions = 2).await;
    for only in ["keys", "files"] {
        let (ok, said) = super::reel(&other, &["restore", &backup, "--only", only]);
        assert!(!ok && said.contains("it is not the same log"), "{said}");
    }
    let one = System::start_with(&super::API_AND_PROJECTOR, |config| config.streams.partitions = 1).await;
    let (ok, said) = super::reel(&one, &["restore", &backup]);
    assert!(!ok && said.contains("a log with 2 partitions, and streams.toml says 1"), "{said}");
    for system in [scene.system, other, one] {
        system.running.stop().await;
    }
}

/// Without --files, the list is compared with what is stored, and faults are told.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_says_which_stored_files_are_missing_or_damaged() {
    let scene = Scene::new().await;
    let (ok, said) = scene.reel(&["backup", &scene.place("good")]);
    assert!(ok && said.contains("compared with the log, not copied"), "{said}");
    let folder = scene.system.media().join("users/user_1/jobs").join(&scene.done);
    change(&folder.join("captions.vtt"));
    std::fs::remove_file(folder.join("captions.srt")).unwrap();
    for (place, arguments) in [("listed", &[][..]), ("copied", &["--files"])] {
        let place = scene.place(place);
        let (ok, said) = scene.reel(&[&["backup", &place], arguments].concat());
        assert!(!ok && said.contains("complete but for 2 files"), "{said}");
        for fault in ["damaged", "missing"] {
            assert!(
                said.contains(&format!("{fault:<10}users/user_1/jobs/{}/captions", scene.done)),
                "{said}"
            );
        }
        assert!(Path::new(&place).join("backup.json").is_file());
    }
    scene.system.running.stop().await;
}
