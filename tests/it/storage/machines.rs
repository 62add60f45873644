//! Several machines with nothing in common but Redis, PostgreSQL and the bucket: each worker is a process with a folder of
//! its own.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use reelstream::app::Role;
use reelstream::storage::StorageMode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::s3_server::S3Server;
use crate::harness::{System, eventually, folder};

const SCENES: usize = 6;

/// A script with a page for each scene.
fn request() -> Value {
    let page = |number: usize| {
        format!(
            "# Page {number}\n\nThis is what page {number} of the machine is about. It says a second thing, too.\n\n"
        )
    };
    let script: String = (1..=SCENES).map(page).collect();
    json!({ "topic": "Machines", "script": script, "quality": "low" })
}

struct Machine {
    process: Child,
    folder: TempDir,
}

impl Machine {
    fn start(system: &System, server: &S3Server) -> Self {
        let folder = folder();
        let process = system
            .command()
            .arg("work")
            .envs(server.environment("s3"))
            .env("CLERK_ISSUER", &system.config.auth.issuer)
            .env("ARCHIVE_ROOT", folder.path().join("archive"))
            .env("MEDIA_ROOT", folder.path().join("media"))
            // One scene at a time, so that all machines get some.
            .env("MAX_CONCURRENT_RENDERS", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::from(std::fs::File::create(folder.path().join("log")).unwrap()))
            .spawn()
            .unwrap();
        Self { process, folder }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Jobs that this machine has a folder for.
    fn has_worked(&self) -> bool {
        std::fs::read_dir(self.folder.path().join("media/work")).is_ok_and(|folders| folders.count() > 0)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _waited = self.process.wait();
    }
}

fn video(server: &S3Server, job_id: &str) -> Vec<u8> {
    std::fs::read(server.object(&format!("users/user_1/jobs/{job_id}/480p.mp4"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_without_a_shared_disk_make_one_video_though_one_is_killed_and_one_frozen() {
    let server = S3Server::start().await;
    let system = System::start_with(&[Role::Api, Role::Projector], |config| {
        config.storage = server.settings(StorageMode::S3);
    })
    .await;
    let expected = {
        let _alone = Machine::start(&system, &server);
        let job_id = system.completed(&request()).await;
        video(&server, &job_id)
    };
    let mut machines: Vec<Machine> = (0..3).map(|_| Machine::start(&system, &server)).collect();
    let job_id = system.generate(&request()).await;
    let has = async |name: &str, count: usize| {
        system.events(&job_id).await.iter().filter(|event| event["type"] == name).count() >= count
    };
    eventually("some scenes are rendered", async || has("SceneRendered", 1).await).await;
    machines[0].signal(Signal::KILL);
    machines[1].signal(Signal::STOP);
    let killed_at = Instant::now();
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(100)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    println!("ended {:.1} s after the kill", killed_at.elapsed().as_secs_f64());
    assert!(video(&server, &job_id) == expected, "the video is another one");
    machines[1].signal(Signal::CONT);
    assert_eq!(machines[0].process.wait().unwrap().signal(), Some(Signal::KILL.as_raw()));
    let worked = machines.iter().filter(|machine| machine.has_worked()).count();
    assert!(worked >= 2 || has("StageRetryScheduled", 1).await, "one machine did it all");
    // What workers do is told by the API, which takes no part in it.
    eventually("the workers' figures are there", async || {
        let metrics = system.get("/metrics").await.text().await.unwrap();
        metrics.contains("reel_storage_bytes_total{operation=\"upload\",store=\"s3\"}")
    })
    .await;
    system.running.stop().await;
}
