//! `reel storage`, as an operator uses it.

use std::fs::File;
use std::time::{Duration, SystemTime};

use reelstream::storage::StorageMode;

use super::s3_server::S3Server;
use crate::harness::{ALL_ROLES, System, short_request};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_damaged_or_needed_by_nobody_is_found_and_removed() {
    let server = S3Server::start().await;
    let system = System::start_with(&ALL_ROLES, |config| {
        config.storage = server.settings(StorageMode::S3);
    })
    .await;
    let job_id = system.completed(&short_request()).await;
    system.read_models().await.caught_up().await;
    let storage = |arguments: &[&str]| {
        let arguments = [&["storage"], arguments].concat();
        let output = system.reel_with(&arguments, &server.environment("s3"));
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let (ok, said) = storage(&["verify"]);
    assert!(ok && said.contains("is what was stored"), "{said}");
    let (ok, said) = storage(&["status"]);
    assert!(ok && said.contains("the bucket is videos"), "{said}");

    let folder = format!("users/user_1/jobs/{job_id}");
    let captions = server.object(&format!("{folder}/captions.vtt"));
    let kept = std::fs::read(&captions).unwrap();
    let mut damaged = kept.clone();
    damaged[3] ^= 1;
    std::fs::write(&captions, damaged).unwrap();
    let (ok, said) = storage(&["verify"]);
    assert!(!ok && said.contains(&format!("damaged   bucket    {folder}/captions.vtt")), "{said}");
    assert!(storage(&["verify", "--quick"]).0, "its size is as it was");
    std::fs::remove_file(&captions).unwrap();
    let (ok, said) = storage(&["verify", "--quick"]);
    assert!(!ok && said.contains(&format!("missing   bucket    {folder}/captions.vtt")), "{said}");
    std::fs::write(&captions, kept).unwrap();

    // What is young may be of something that is not recorded yet; what is of another log is nobody's business here.
    let foreign = format!("users/user_1/jobs/{}/480p.mp4", uuid::Uuid::now_v7());
    for (name, age) in [
        (format!("{folder}/old.mp4"), 7200),
        (format!("{folder}/young.mp4"), 60),
        (format!("work/{job_id}/abc"), 7200),
        (foreign.clone(), 7200),
    ] {
        let path = server.object(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "x").unwrap();
        let modified = SystemTime::now() - Duration::from_secs(age);
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    }
    let (ok, said) = storage(&["verify", "--quick"]);
    assert!(!ok && said.contains("old.mp4") && said.contains("2 faults"), "{said}");
    let before = server.keys();
    let (ok, said) = storage(&["clean", "--dry-run"]);
    assert!(ok && said.contains("would remove 2 objects, 2 bytes"), "{said}");
    assert_eq!(server.keys(), before);
    let (ok, said) = storage(&["clean"]);
    assert!(ok && said.contains("removed 2 objects") && said.contains(&format!("kept: {foreign}")), "{said}");
    assert_eq!(server.keys().len(), before.len() - 2);
    assert!(storage(&["verify"]).0);
    system.running.stop().await;
}
