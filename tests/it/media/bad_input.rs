//! Scripts and machines that nobody wishes for.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{ALL_ROLES, System, error_of, files_under};

const HOSTILE: &str = r##"# Markup `#read("/etc/passwd")`

Text with #read("/etc/passwd") and #import "x" and $x$ and *stars* and <script>alert(1)</script>.

- "); #panic("ran")
- \u{202e} and \" and ]]

```typst
#read("/etc/passwd")
```

$$ \input{/etc/passwd} #read("/etc/passwd") $$

| a | b |
| --- | --- |
| #read("/etc/passwd") | <b>$ * _ |
"##;

#[tokio::test]
async fn markup_in_a_script_is_text() {
    let system = System::start(&ALL_ROLES).await;
    let job_id =
        system.generate(&json!({"topic": "<b>#read</b>", "script": HOSTILE, "quality": "low"})).await;
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(240)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    let events = system.events(&job_id).await;
    let codes = events.iter().filter(|event| event["type"] == "SceneCodeGenerated");
    let codes: Vec<_> = codes.map(|event| event["data"]["code"].as_str().unwrap()).collect();
    assert!(codes.iter().any(|code| code.contains("#read(")), "it is there, as text");
    for code in codes {
        check_only_literals(code);
    }
    system.running.stop().await;
}

/// Outside string literals, the only `#` are those of the import, the look and the call that make every scene.
fn check_only_literals(code: &str) {
    let mut outside = String::new();
    let (mut in_literal, mut escaped) = (false, false);
    for c in code.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_literal => escaped = true,
            '"' => in_literal = !in_literal,
            c if !in_literal => outside.push(c),
            _ => {}
        }
    }
    assert!(!in_literal, "{code}");
    assert_eq!(outside.matches('#').count(), 3, "{outside}");
    assert!(
        !outside.contains("read") && !outside.contains("panic") && !outside.contains("passwd"),
        "{outside}"
    );
}

#[tokio::test]
async fn scripts_without_text_are_refused_with_the_reason() {
    let system = System::start(&ALL_ROLES).await;
    let cases = [
        ("empty", String::new(), "must have 1 to 200000"),
        ("blank", " \n\t\r\n ".to_owned(), "must have 1 to 200000"),
        ("200 KB", "word ".repeat(40_960), "must have 1 to 200000"),
        ("binary", "\u{7f}ELF\u{1}\u{0}".to_owned(), "control character U+007F"),
        ("only signs", "*** --- ***".to_owned(), "at least one letter or digit"),
    ];
    for (what, script, reason) in cases {
        let answer =
            system.post("/api/v1/videos/generate", &json!({"topic": "Ions", "script": script})).await;
        let (status, error) = error_of(answer).await;
        let expected_status = 422;
        assert_eq!(status, expected_status, "{what}: {error}");
        assert!(error["details"][0]["msg"].as_str().unwrap().contains(reason), "{what}: {error}");
        assert_eq!(error["details"][0]["loc"], json!(["body", "script"]));
    }
    let invalid = system.request(reqwest::Method::POST, "/api/v1/videos/generate");
    let invalid = invalid
        .header("Content-Type", "application/json")
        .body(&b"{\"topic\":\"Ions\",\"script\":\"\xff\xfe\"}"[..]);
    let (status, error) = error_of(invalid.send().await.unwrap()).await;
    assert_eq!(status, 400, "{error}");
    system.running.stop().await;
}

#[tokio::test]
async fn a_single_long_line_becomes_a_video() {
    let system = System::start(&ALL_ROLES).await;
    let script = "ions move back and forth between two layers and ".repeat(12);
    let job_id = system.generate(&json!({"topic": "Ions", "script": script, "quality": "low"})).await;
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(240)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    system.running.stop().await;
}

#[tokio::test]
async fn a_missing_synthesiser_fails_the_job_with_its_cure() {
    let system =
        System::start_with(&ALL_ROLES, |config| config.media.espeak_program = "espeak-nowhere".into()).await;
    let job_id = system.generate(&crate::harness::short_request()).await;
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(180)).await.pop().unwrap();
    let error = &last["error"];
    assert_eq!((&last["status"], &error["error_stage"]), (&json!("failed"), &json!("scenario_creation")));
    assert_eq!(error["error_code"], "NARRATION_FAILED");
    assert!(error["error_message"].as_str().unwrap().contains("espeak-nowhere was not found"), "{error}");
    assert_eq!((&error["retry_count"], &error["max_retries"]), (&json!(2), &json!(2)));
    assert!(files_under(system.media()).is_empty());
    system.running.stop().await;
}

// 001-4.4, 001-4.5
#[tokio::test]
async fn a_passing_failure_is_tried_again_later() {
    let folder = crate::harness::folder();
    let (program, mark) = (folder.path().join("espeak"), folder.path().join("failed-once"));
    let mark = mark.display();
    let script =
        format!("#!/bin/sh\nif [ -e {mark} ]; then exec espeak-ng \"$@\"; fi\ntouch {mark}\nexit 7\n");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let system = System::start_with(&ALL_ROLES, |config| config.media.espeak_program = program.clone()).await;
    let job_id = system.generate(&crate::harness::short_request()).await;
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(180)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    let events = system.events(&job_id).await;
    let find = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap();
    assert_eq!(find("StageFailed")["data"]["error"]["code"], "NARRATION_FAILED");
    let retry = &find("StageRetryScheduled");
    let scene = &retry["data"]["item"]["scene"];
    assert_eq!(retry["data"]["item"], json!({"stage": "scenario_creation", "scene": scene, "attempt": 2}));
    let delay_ms = retry["data"]["delay_ms"].as_i64().unwrap();
    let at = |event: &Value| {
        event["recorded_at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap()
    };
    assert!((500..=1000).contains(&delay_ms));
    let is_narrated =
        |event: &&Value| event["type"] == "SceneNarrated" && event["data"]["narrated"]["scene"] == *scene;
    let narrated = events.iter().find(is_narrated).unwrap();
    assert!((at(narrated) - at(retry)).num_milliseconds() >= delay_ms, "not before its time");
    system.running.stop().await;
}

/// A file system of a fixed size. It is mounted in a mount namespace of its own, which takes no root, and reached through
/// the process that holds the namespace. It goes with that process, which ends when its input does.
struct SmallDisk {
    root: PathBuf,
    holder: Child,
    _folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(megabytes: u32) -> Self {
        // Root may be kept from making user namespaces, and everybody else from doing without.
        let mounted = Self::hold("--mount", megabytes).or_else(|as_root| {
            Self::hold("-Urm", megabytes).map_err(|as_user| format!("{as_root}; {as_user}"))
        });
        mounted.unwrap_or_else(|refused| {
            panic!(
                "no small disk can be mounted for this test ({refused}). It takes root with CAP_SYS_ADMIN, or user \
                 namespaces: kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0"
            )
        })
    }

    fn hold(namespace: &str, megabytes: u32) -> Result<Self, String> {
        let folder = crate::harness::folder();
        let at = folder.path().display();
        let script = format!("mount -t tmpfs -o size={megabytes}m tmpfs {at} && echo mounted && exec cat");
        let mut holder = Command::new("unshare")
            .args([namespace, "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut said = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        if said != "mounted\n" {
            let output = holder.wait_with_output().unwrap();
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let root = PathBuf::from(format!("/proc/{}/root{at}", holder.id()));
        Ok(Self { root, holder, _folder: folder })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ended = self.holder.kill().and_then(|()| self.holder.wait());
    }
}

/// A system whose files are on a small disk, which is not full yet.
async fn system_on_small_disk(megabytes: u32) -> (SmallDisk, System) {
    let disk = SmallDisk::mount(megabytes);
    let root = disk.root.clone();
    let system = System::start_with(&ALL_ROLES, |config| {
        config.media.root = root;
        // What runs meets the full disk.
        config.streams.limits.min_free_bytes = 0;
    })
    .await;
    (disk, system)
}

#[tokio::test]
async fn no_scene_is_begun_while_the_disk_is_short() {
    let disk = SmallDisk::mount(40);
    let root = disk.root.clone();
    let system = System::start_with(&ALL_ROLES, |config| {
        config.media.root = root.clone();
        config.streams.limits.min_free_bytes = 20 << 20;
    })
    .await;
    let filler = root.join("filler");
    std::fs::write(&filler, vec![0_u8; 25 << 20]).unwrap();
    let job_id =
        system.generate(&json!({ "topic": "Short", "script": "One sentence.", "quality": "low" })).await;
    let count =
        async |name: &str| system.events(&job_id).await.iter().filter(|event| event["type"] == name).count();
    crate::harness::eventually("all else is done", async || {
        count("SceneCodeGenerated").await >= count("ScenePlanned").await.max(1)
    })
    .await;
    assert_eq!(count("SceneRendered").await, 0);
    let status = system.status(&job_id).await;
    assert_eq!(status["status"], "processing", "it waits, and does not fail: {status}");
    std::fs::remove_file(&filler).unwrap();
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(100)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    system.running.stop().await;
}

// 000-5.1
#[tokio::test]
async fn what_was_kept_of_earlier_videos_gives_way_when_the_disk_is_full() {
    let (disk, system) = system_on_small_disk(40).await;
    let root = disk.root.clone();
    let body = |script: &str| json!({"topic": "Full", "script": script});
    system.completed(&body("One sentence. Another sentence.")).await;
    // All but half a megabyte is full, for the most part of what is kept for this user.
    let kept = files_under(&root).into_iter().find(|file| file.starts_with("cache")).unwrap();
    let padding = root.join(kept).with_file_name("padding");
    std::fs::write(&padding, vec![0_u8; 20 << 20]).unwrap();
    let free = || {
        let disk = rustix::fs::statvfs(&root).unwrap();
        disk.f_bavail * disk.f_frsize
    };
    std::fs::write(root.join("filler"), vec![0_u8; free() as usize - (512 << 10)]).unwrap();
    let job_id = system.completed(&body("Something else is said. It is new, and needs room.")).await;
    let events = system.events(&job_id).await;
    let codes: Vec<&str> =
        events.iter().filter_map(|event| event["data"]["error"]["code"].as_str()).collect();
    assert!(codes.contains(&"DISK_FULL"), "{codes:?}");
    assert!(!padding.exists());
    system.running.stop().await;
}

// 000-5.1, 004 FR-008 and FR-010
#[tokio::test]
async fn a_full_disk_fails_the_job_and_leaves_nothing() {
    // Room for the narration, not for the pictures.
    let (disk, system) = system_on_small_disk(6).await;
    let root = disk.root.clone();
    let script = std::fs::read_to_string("tests/fixtures/scripts/event-sourcing.md").unwrap();
    let filler = vec![0_u8; 1 << 20];
    let job_id = system.generate(&json!({"topic": "Full", "script": script})).await;
    // Fill what is left once rendering begins.
    loop {
        let status: Value = system.status(&job_id).await;
        if status["progress"]["percentage"].as_f64() >= Some(30.0) || status["status"] == "failed" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for number in 0..16 {
        let _full_by_then = std::fs::write(root.join(format!("filler-{number}")), &filler);
    }
    let last = system.statuses_until_ended(&job_id, Duration::from_secs(240)).await.pop().unwrap();
    assert_eq!(last["status"], "failed", "{last}");
    assert_eq!(last["error"]["error_code"], "DISK_FULL", "{last}");
    assert!(last["error"]["recovery_suggestion"].as_str().unwrap().contains("free some space"));
    crate::harness::eventually("the partial files are gone", async || {
        let expected = |file: &std::path::PathBuf| {
            file.starts_with("cache") || file.to_string_lossy().starts_with("filler-")
        };
        files_under(&root).iter().all(expected)
    })
    .await;
    system.running.stop().await;
}
