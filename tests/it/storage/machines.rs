//! Several machines with nothing in common but Redis, PostgreSQL and the bucket: each worker is a process with a
//! network, a folder and a view of the disk of its own.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reelstream::app::Role;
use reelstream::consumers::running_workers;
use reelstream::storage::StorageMode;
use rustix::process::{Pid, Signal, getpid, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use url::Url;

use super::cable::Cable;
use super::s3_server::S3Server;
use crate::harness::{System, eventually, folder};

/// How long a machine is without its cable.
const CUT_OFF: Duration = Duration::from_secs(20);

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

/// A worker with a network, a folder and a view of the disk of its own. It reaches Redis, PostgreSQL and the bucket through
/// its cable, and nothing else.
struct Machine {
    process: Child,
    cable: Cable,
    folder: TempDir,
}

impl Machine {
    fn start(system: &System, server: &S3Server) -> Self {
        let folder = folder();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut program = system.command();
        let mut command = in_view(system, &folder, program.arg("work"));
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command
            .envs(server.environment("s3"))
            .env("CLERK_ISSUER", &system.config.auth.issuer)
            .env("ARCHIVE_ROOT", folder.path().join("archive"))
            .env("MEDIA_ROOT", folder.path().join("media"))
            // One scene at a time, so that all machines get some.
            .env("MAX_CONCURRENT_RENDERS", "1");
        let ports = [&system.config.redis.url, &system.config.postgres.url, &server.url()]
            .map(|address| Url::parse(address).unwrap().port().unwrap());
        let (process, cable) = Cable::spawn(&mut command, &ports);
        Self { process, cable, folder }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id() as i32).unwrap()
    }

    /// The worker itself, which is a child of what gave it its view.
    fn worker(&self) -> Option<Pid> {
        let path = format!("/proc/{0}/task/{0}/children", self.process.id());
        let children = std::fs::read_to_string(path).ok()?;
        Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
    }

    /// Jobs that this machine has a folder for.
    fn has_worked(&self) -> bool {
        std::fs::read_dir(self.folder.path().join("media/work")).is_ok_and(|folders| folders.count() > 0)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _waited = self.process.wait();
        if std::thread::panicking() {
            eprintln!("a machine's log: {}", self.log());
        }
    }
}

/// A program in a view of the disk that has one writable folder. Folders of other tests and machines are not in it.
fn in_view(system: &System, folder: &TempDir, program: &Command) -> Command {
    let mut command = Command::new("bwrap");
    command.args(["--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs"]);
    command.arg(std::env::temp_dir());
    command.arg("--ro-bind").args([system.servers.folder.path(), system.servers.folder.path()]);
    command.arg("--bind").args([folder.path(), folder.path()]);
    command.arg(program.get_program()).args(program.get_args());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

fn video(server: &S3Server, job_id: &str) -> Vec<u8> {
    std::fs::read(server.object(&format!("users/user_1/jobs/{job_id}/480p.mp4"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_without_a_shared_path_make_one_video_though_one_is_killed_one_frozen_and_one_cut_off() {
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
    let mut machines: Vec<Machine> = (0..4).map(|_| Machine::start(&system, &server)).collect();
    let networks: HashSet<PathBuf> =
        machines.iter().map(|machine| network_of(machine.pid())).chain([network_of(getpid())]).collect();
    assert_eq!(networks.len(), 5, "{networks:?}");
    let log = system.log().await;
    // The first machine counts for a while after its end.
    eventually("every machine works", async || running_workers(&log).await.unwrap() == machines.len()).await;
    let job_id = system.generate(&request()).await;
    let has = async |name: &str, count: usize| {
        system.events(&job_id).await.iter().filter(|event| event["type"] == name).count() >= count
    };
    eventually("some scenes are rendered", async || has("SceneRendered", 1).await).await;
    kill_process(machines[0].pid(), Signal::KILL).unwrap();
    let frozen = machines[1].worker().unwrap();
    kill_process(frozen, Signal::STOP).unwrap();
    machines[2].cable.unplug();
    let cut_at = Instant::now();
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(100)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    println!("ended {:.1} s after the kill", cut_at.elapsed().as_secs_f64());
    assert!(video(&server, &job_id) == expected, "the video is another one");
    assert_eq!(machines[0].process.wait().unwrap().signal(), Some(Signal::KILL.as_raw()));
    // Their late results are refused.
    tokio::time::sleep_until((cut_at + CUT_OFF).into()).await;
    kill_process(frozen, Signal::CONT).unwrap();
    machines[2].cable.plug_in();
    let worked = machines.iter().filter(|machine| machine.has_worked()).count();
    assert!(worked >= 2 || has("StageRetryScheduled", 1).await, "one machine did it all");
    // The one that was cut off works on, and it alone.
    drop(machines.drain(3..));
    drop(machines.drain(..2));
    let next = system.completed(&request()).await;
    assert!(video(&server, &next) == expected, "the video is another one");
    let events = system.events(&job_id).await;
    let rendered: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "SceneRendered")
        .map(|event| &event["data"]["scene"])
        .collect();
    assert_eq!(rendered.len(), SCENES, "{rendered:?}");
    assert!(machines[0].process.try_wait().unwrap().is_none(), "{}", machines[0].log());
    // What workers do is told by the API, which takes no part in it.
    eventually("the workers' figures are there", async || {
        let metrics = system.get("/metrics").await.text().await.unwrap();
        metrics.contains("reel_storage_bytes_total{operation=\"upload\",store=\"s3\"}")
    })
    .await;
    system.running.stop().await;
}

/// The network that a process is in.
fn network_of(pid: Pid) -> PathBuf {
    std::fs::read_link(format!("/proc/{}/ns/net", pid.as_raw_nonzero())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_sees_no_folder_and_reaches_no_port_of_another() {
    let system = System::start(&[Role::Api]).await;
    let (own, _of_another) = (folder(), folder());
    let [with_cable, without] = [answering("with a cable").await, answering("without").await];
    let mut program = Command::new("bash");
    let script = format!(
        "ls {}; cat < /dev/tcp/127.0.0.1/{with_cable}; cat < /dev/tcp/127.0.0.1/{without} || echo refused",
        std::env::temp_dir().display()
    );
    let mut command = in_view(&system, &own, program.args(["-c", &script]));
    let (child, _cable) = Cable::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()), &[with_cable]);
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    let name = |folder: &TempDir| folder.path().file_name().unwrap().to_str().unwrap().to_owned();
    let mut folders = [name(&own), name(&system.servers.folder)];
    folders.sort();
    let expected = format!("{}\nwith a cable\nrefused\n", folders.join("\n"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

/// A port that says a line to whoever connects.
async fn answering(line: &'static str) -> u16 {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _gone_already = socket.write_all(format!("{line}\n").as_bytes()).await;
        }
    });
    port
}
