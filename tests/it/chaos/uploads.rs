//! Workers that are killed while they store files in S3.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use reelstream::app::Role;
use reelstream::events::Stage;
use reelstream::storage::StorageMode;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{System, eventually, folder, short_request};
use crate::storage::s3_server::{Fault, S3Server};

/// Ended when it is dropped. Has a folder of its own, as a machine has.
struct Worker {
    process: Child,
    folder: TempDir,
}

impl Worker {
    fn start(system: &System, server: &S3Server, crash_at: Option<&str>) -> Self {
        let folder = folder();
        let leases = Stage::ALL.iter().map(|stage| format!("[stages.{stage}]\nlease_seconds = 2\n"));
        let partitions = system.config.streams.partitions;
        let leases: String = leases.collect();
        let streams = format!("partitions = {partitions}\n[sidecars]\nfirst_delay_seconds = 1\n{leases}");
        std::fs::write(folder.path().join("streams.toml"), streams).unwrap();
        let mut command = system.command();
        command
            .arg("work")
            .envs(server.environment("s3"))
            .env("CLERK_ISSUER", &system.config.auth.issuer)
            .env("ARCHIVE_ROOT", folder.path().join("archive"))
            .env("MEDIA_ROOT", folder.path().join("media"))
            .env("REEL_STREAMS", folder.path().join("streams.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::from(std::fs::File::create(folder.path().join("log")).unwrap()));
        if let Some(crash_at) = crash_at {
            command.env("REEL_CRASH_AT", crash_at);
        }
        Self { process: command.spawn().unwrap(), folder }
    }

    /// Waits until it has died at its crash point.
    async fn killed(mut self) {
        eventually("the worker is killed", async || self.process.try_wait().unwrap().is_some()).await;
        let signal = self.process.wait().unwrap().signal();
        let said = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        assert_eq!(signal, Some(Signal::KILL.as_raw()), "{said}");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _waited = self.process.wait();
    }
}

// No file is lost, and none is left over, wherever a worker dies.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_between_files_loses_none_and_leaves_none() {
    let server = S3Server::start().await;
    let system = System::start_with(&[Role::Api, Role::Projector], |config| {
        config.storage = server.settings(StorageMode::S3);
    })
    .await;
    server.fail("PUT", "/thumbnail-small.jpg", Fault::Answer(403, "AccessDenied"), 1);
    // The first file is the scene's part of the stream, the second the video.
    let first = Worker::start(&system, &server, Some("upload.after:2"));
    let job_id = system.generate(&short_request()).await;
    first.killed().await;
    // Another machine joins the scenes again, and stores the video and some more.
    Worker::start(&system, &server, Some("upload.before:4")).killed().await;
    // The third completes the job, and dies when it has made the thumbnails later.
    Worker::start(&system, &server, Some("sidecars.stored:1")).killed().await;
    assert_eq!(system.status(&job_id).await["status"], "completed");
    let _last = Worker::start(&system, &server, None);
    eventually("nothing is missing", async || {
        system.status(&job_id).await["warnings"].as_array().unwrap().is_empty()
    })
    .await;
    let events = system.events(&job_id).await;
    let count = |name: &str| events.iter().filter(|event| event["type"] == name).count();
    assert_eq!((count("UploadCompleted"), count("JobCompleted"), count("SidecarStored")), (1, 1, 1));
    eventually("what stages hand on is gone", async || {
        server.keys().iter().all(|key| key.starts_with("users/"))
    })
    .await;
    system.read_models().await.caught_up().await;
    let verified = system.reel_with(&["storage", "verify"], &server.environment("s3"));
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    assert_eq!(server.unfinished().iter().filter(|name| name.contains("part-")).count(), 0);
    system.running.stop().await;
}
