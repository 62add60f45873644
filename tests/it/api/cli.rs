//! The command line as its user meets it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{ALL_ROLES, System, files_under, folder};
use crate::media::videos::probe;

fn reel() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reel"));
    for name in ["REEL_API_URL", "REEL_TOKEN", "REEL_DATA", "REDIS_URL", "DATABASE_URL", "REEL_LOG"] {
        command.env_remove(name);
    }
    command
}

#[track_caller]
fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

fn one_line(text: &str) -> &str {
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    text.trim_end()
}

#[test]
fn mistakes_get_one_clear_line() {
    let folder = folder();
    let binary = folder.path().join("script.md");
    std::fs::write(&binary, b"# Title\n\xff\xfe").unwrap();
    let with_token = |arguments: &[&str]| {
        let mut command = reel();
        command.args(arguments).env("REEL_TOKEN", "x").env("REEL_API_URL", "http://127.0.0.1:9");
        refused(&mut command)
    };
    let message = with_token(&["generate", "no-such-file.md"]);
    assert!(one_line(&message).starts_with("reel: cannot read no-such-file.md"), "{message}");
    let message = with_token(&["generate", binary.to_str().unwrap()]);
    assert!(one_line(&message).ends_with("is not UTF-8 text: byte 0xff at offset 8"), "{message}");
    let message = with_token(&["status", "01890a5d-ac96-774b-bcce-b302099a8057"]);
    assert!(one_line(&message).contains("no API answers at http://127.0.0.1:9"), "{message}");
    let message = refused(reel().args(["status", "01890a5d-ac96-774b-bcce-b302099a8057"]));
    assert!(one_line(&message).contains("no token"), "{message}");
    let message = refused(reel().arg("serve"));
    assert!(one_line(&message).contains("REDIS_URL is not set"), "{message}");
    let message = refused(
        reel()
            .arg("work")
            .env("REDIS_URL", "redis://127.0.0.1:9")
            .env("DATABASE_URL", "postgres://x")
            .env("CLERK_ISSUER", "x")
            .env("REEL_MASTER_KEY", crate::harness::MASTER_KEY)
            .env("REEL_SIGNING_KEY", crate::harness::MASTER_KEY),
    );
    assert!(one_line(&message).contains("redis at redis://127.0.0.1:9 does not answer"), "{message}");
    let message = refused(reel().args(["generate", "x", "--loud"]));
    assert_eq!(one_line(&message), "reel: unexpected argument '--loud' found; see reel --help");
    let message = refused(reel().arg("generate"));
    assert!(one_line(&message).contains("not provided: <FILE>"), "{message}");
    let message = refused(reel().args(["status", "not-an-id"]));
    assert!(one_line(&message).contains("invalid value 'not-an-id' for '<JOB_ID>'"), "{message}");
    let without_key = refused(reel().args(["token", "--user", "user_1", "--data"]).arg(folder.path()));
    let expected = format!("reel: {} has no issuer key; start `reel dev` first", folder.path().display());
    assert!(one_line(&without_key).starts_with(&expected), "{without_key}");
    let message = refused(reel().args(["token", "--user", "user_1", "--expires", "1 week"]));
    assert!(
        one_line(&message).contains("expected a whole number with s, m, h or d, such as 90s or 1h"),
        "{message}"
    );
    let message = refused(reel().args(["token", "--user", "user_1", "--role", "root"]));
    assert!(one_line(&message).contains("[possible values: user, analyst, auditor, admin]"), "{message}");
    std::fs::write(folder.path().join("issuer-key"), "not a key").unwrap();
    let message = refused(reel().args(["token", "--user", "user_1", "--data"]).arg(folder.path()));
    assert!(one_line(&message).ends_with("issuer-key: it is not an RSA key in PEM (PKCS #8)"), "{message}");
    let help = reel().args(["token", "--help"]).output().unwrap();
    assert!(String::from_utf8(help.stdout).unwrap().contains("reel token --user admin_1 --role admin"));
    let help = reel().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for command in ["demo", "dev", "token", "serve", "work", "project", "generate", "status", "events"] {
        assert!(help.contains(&format!("  {command}")), "{command} is missing in: {help}");
    }
}

#[tokio::test]
async fn generate_status_and_events_speak_to_the_api() {
    let system = System::start(&ALL_ROLES).await;
    let script = system.servers.folder.path().join("ions.md");
    std::fs::write(&script, "# Ions that move\n\nIons move.").unwrap();
    let (url, token) = (system.running.url.clone(), system.token("user_1", "user"));
    let run = async |arguments: &[&str]| -> Output {
        let mut command = tokio::process::Command::from(reel());
        command.args(arguments).env("REEL_API_URL", &url).env("REEL_TOKEN", &token).output().await.unwrap()
    };
    let generated = run(&["generate", script.to_str().unwrap(), "--quality", "low", "--watch"]).await;
    let shown = String::from_utf8(generated.stderr).unwrap();
    assert!(generated.status.success(), "{shown}");
    assert!(shown.contains("100%  The video is ready"), "{shown}");
    let job_id = String::from_utf8(generated.stdout).unwrap().trim().to_owned();
    let status: Value = serde_json::from_slice(&run(&["status", &job_id]).await.stdout).unwrap();
    assert_eq!((&status["status"], &status["topic"]), (&"completed".into(), &"Ions that move".into()));
    let events = String::from_utf8(run(&["events", &job_id]).await.stdout).unwrap();
    assert_eq!(events.lines().count() as u64, status["version"].as_u64().unwrap());
    let refused = run(&["generate", script.to_str().unwrap(), "--topic", "x"]).await;
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(message.contains("422") && message.contains("body.topic has 1 characters"), "{message}");
    system.running.stop().await;
}

/// Processes whose command line names the folder.
fn processes_in(folder: &Path) -> Vec<String> {
    let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(folder.to_str().unwrap())).collect()
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::INT).unwrap();
}

fn ends_within(child: &mut Child, patience: Duration) -> std::process::ExitStatus {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it did not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_demo_makes_a_video_and_leaves_no_process() {
    let folder = folder();
    let script = folder.path().join("short.txt");
    std::fs::write(&script, "Ions move. They come back.").unwrap();
    let data = folder.path().join("data");
    let output = reel().arg("demo").arg(&script).arg("--data").arg(&data).output().unwrap();
    let (shown, said) =
        (String::from_utf8(output.stderr).unwrap(), String::from_utf8(output.stdout).unwrap());
    assert!(output.status.success(), "{shown}");
    let path = said.lines().map(str::trim).find(|line| line.ends_with("1080p.mp4")).unwrap();
    let streams = probe(Path::new(path))["streams"].clone();
    let kinds: Vec<&str> =
        streams.as_array().unwrap().iter().map(|stream| stream["codec_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["video", "audio", "subtitle", "data"], "chapters are a track, too");
    assert!(said.contains("1920x1080") && said.contains("What to try next"), "{said}");
    assert!(shown.contains("100%"), "{shown}");
    assert_eq!(processes_in(&data), Vec::<String>::new());
}

#[test]
fn ctrl_c_in_the_middle_of_a_demo_stops_everything() {
    let folder = folder();
    let data = folder.path().join("data");
    let mut child = reel()
        .arg("demo")
        .arg("--data")
        .arg(&data)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        if line.contains("Rendering scenes") {
            break;
        }
    }
    assert!(processes_in(&data).len() >= 2, "servers are running");
    interrupt(&child);
    assert!(!ends_within(&mut child, Duration::from_secs(15)).success());
    assert_eq!(processes_in(&data), Vec::<String>::new());
    let partial: Vec<_> = files_under(&data.join("media"))
        .into_iter()
        .filter(|file| file.extension() == Some("part".as_ref()))
        .collect();
    assert!(partial.is_empty(), "{partial:?}");
}

#[test]
fn dev_goes_on_with_the_work_of_its_last_run() {
    let folder = folder();
    let data = folder.path().join("data");
    let start = || {
        let mut child = reel()
            .args(["dev", "--port", "0", "--data"])
            .arg(&data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The file that it names once everything runs.
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let file = said.find_map(|line| Some(line.trim().strip_prefix(". ")?.to_owned())).unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let export = |line: &str| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('\'').to_owned()))
        };
        let exports: Vec<(String, String)> = text.lines().filter_map(export).collect();
        (child, exports)
    };
    /// The status of a request to list all users' jobs, which only admins may.
    fn list_all(exports: &[(String, String)], token: &str) -> u16 {
        let (_, url) = exports.iter().find(|(name, _)| name == "REEL_API_URL").unwrap();
        let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
        write!(
            stream,
            "GET /api/v1/system/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
    let token_of = |exports: &[(String, String)], role: &str| {
        let exports = exports.iter().cloned();
        let output =
            reel().args(["token", "--user", "user_1", "--role", role]).envs(exports).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };

    let (mut first, exports) = start();
    let admin = token_of(&exports, "admin");
    assert_eq!(list_all(&exports, &admin), 200);
    for role in ["user", "analyst", "auditor"] {
        assert_eq!(list_all(&exports, &token_of(&exports, role)), 403, "{role}");
    }
    let mode = std::fs::metadata(data.join("issuer-key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let generated =
        reel().args(["generate", "examples/event-sourcing.md"]).envs(exports.clone()).output().unwrap();
    let job_id = String::from_utf8(generated.stdout).unwrap().trim().to_owned();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = reel().args(["status", &job_id]).envs(exports.clone()).output().unwrap();
        let status: Value = serde_json::from_slice(&status.stdout).unwrap();
        if status["progress"]["current_stage"] == "rendering" {
            break;
        }
        assert!(Instant::now() < deadline, "{status}");
    }
    interrupt(&first);
    assert!(ends_within(&mut first, Duration::from_secs(20)).success());
    assert_eq!(processes_in(&data), Vec::<String>::new());

    let (mut second, exports) = start();
    assert_eq!(list_all(&exports, &admin), 200, "tokens outlive a restart");
    let deadline = Instant::now() + Duration::from_secs(240);
    loop {
        let status = reel().args(["status", &job_id]).envs(exports.clone()).output().unwrap();
        let status: Value = serde_json::from_slice(&status.stdout).unwrap();
        match status["status"].as_str() {
            Some("completed") => break,
            Some("processing") => assert!(Instant::now() < deadline, "{status}"),
            _ => panic!("{status}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    interrupt(&second);
    assert!(ends_within(&mut second, Duration::from_secs(20)).success());
}
