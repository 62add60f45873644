//! Hostile sources: each hostile job is a line of the report, and nothing else.

use reelstream::app::Role;
use serde_json::json;

use super::source::{SourceBackend, write_video};
use crate::harness::{System, files_under};

static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

type Fields<'a> = &'a [(&'a str, &'a [u8])];

#[tokio::test(flavor = "multi_thread")]
async fn each_hostile_job_is_a_line_of_the_report_and_the_read_models_go_on() {
    let system = System::start(&API_AND_PROJECTOR).await;
    let mut source = SourceBackend::start().await;
    let files = source.files();
    write_video(&files.join("good.mp4"));
    std::fs::write(source.folder.path().join("secret.mp4"), b"\0\0\0 ftypisom outside").unwrap();
    std::os::unix::fs::symlink(source.folder.path().join("secret.mp4"), files.join("link.mp4")).unwrap();
    std::fs::write(files.join("text.mp4"), "#EXTM3U\n/etc/passwd\n").unwrap();
    std::fs::write(files.join("broken.mp4"), b"\0\0\0 ftypisom\0\0\0\0 and no more than that").unwrap();
    std::fs::write(files.join("empty.mp4"), b"").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        files.join("pipe.mp4"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let (huge, long) = (vec![b'x'; 3 << 20], format!(r#"{{"topic": "{}"}}"#, "x".repeat(501)));
    let deep = format!(r#"{{"topic": "a", "x": {}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let cases: [(&str, &str, Fields, &str); 30] = [
        ("a", "completed", &[("file_path", b"../secret.mp4")], "outside_files"),
        ("b", "completed", &[("file_path", b"/etc/passwd")], "outside_files"),
        ("c", "completed", &[("file_path", b"link.mp4")], "outside_files"),
        ("d", "completed", &[("file_path", b"x\0y")], "outside_files"),
        ("e", "completed", &[("file_path", b"none.mp4")], "missing_file"),
        ("f", "completed", &[("file_path", b"pipe.mp4")], "missing_file"),
        ("g", "completed", &[("file_path", b"empty.mp4")], "missing_file"),
        ("h", "completed", &[("file_path", b"text.mp4")], "unreadable_video"),
        ("i", "completed", &[("file_path", b"broken.mp4")], "unreadable_video"),
        ("j", "completed", &[], "wrong_type"),
        ("zc", "completed", &[], "no_video"),
        ("k", "failed", &[("configuration", b"{\"topic\": ")], "unreadable_json"),
        ("l", "failed", &[("configuration", b"{\"topic\": \"\\ud800\"}")], "unreadable_json"),
        ("m", "failed", &[("configuration", deep.as_bytes())], "unreadable_json"),
        ("n", "failed", &[("configuration", b"\xff\xfe\x00")], "not_text"),
        ("o", "failed", &[("configuration", b"[1]")], "wrong_type"),
        ("p", "failed", &[("configuration", b"{\"topic\": {}}")], "wrong_type"),
        ("q", "failed", &[("configuration", long.as_bytes())], "too_large"),
        ("r", "failed", &[("configuration", &huge)], "too_large"),
        ("s", "failed", &[("user_id", b"")], "unknown_user"),
        ("t", "failed", &[("user_id", b"a\0b")], "unknown_user"),
        ("u", "failed", &[("user_id", &[b'u'; 500])], "unknown_user"),
        ("v", "exploded", &[], "unknown_status"),
        ("w", "failed", &[("created_at", b"99999-01-01T00:00:00")], "unreadable_time"),
        ("x", "failed", &[("completed_at", b"-262143-01-01T00:00:00Z")], "unreadable_time"),
        ("y", "failed", &[("is_deleted", b"true")], "deleted"),
        ("z", "failed", &[("progress", b"\"x\"")], "wrong_type"),
        ("a\nb", "failed", &[], "bad_name"),
        ("za", "failed", &[("error", b"{\"error_code\": ")], "unreadable_json"),
        ("zb", "failed", &[("tags", b"{}"), ("configuration", b"{\"topic\": \"abc\"}")], "wrong_type"),
    ];
    for (id, status, fields, _) in &cases {
        source.job(id, status, fields).await;
    }
    for (key, kind) in [("jobs:list", "RPUSH"), ("jobs:set", "SADD")] {
        source.run(redis::cmd(kind).arg(key).arg("x")).await;
    }
    source.run(redis::cmd("SET").arg("jobs:text").arg("{}")).await;
    source.run(redis::cmd("SET").arg("videos:j").arg("x")).await;
    source.run(redis::cmd("HSET").arg("jobs:empty").arg("x").arg("y")).await;
    source.run(redis::cmd("HSET").arg(b"jobs:\xff\x1b[2J").arg("x").arg("y")).await;
    // Odd, and imported all the same.
    let odd =
        json!({ "topic": "Io\u{0}ns \u{1b}[2J \u{202e}", "context": "a\u{0}b and so on", "priority": 7 });
    source
        .job(
            "odd",
            "failed",
            &[
                (
                    "configuration",
                    json!({ "topic": odd["topic"], "context": odd["context"] }).to_string().as_bytes(),
                ),
                ("error", "no \0 text".as_bytes()),
                ("priority", b"first"),
            ],
        )
        .await;
    source.job("clock", "cancelled", &[("completed_at", b"2025-03-04T05:00:00")]).await;
    let parts: [(&str, &[u8]); 3] =
        [("file_path", b"good.mp4"), ("thumbnail_path", b"../secret.mp4"), ("subtitle_path", b"text.mp4")];
    source.job("good", "completed", &[("video_id", b"good")]).await;
    source.hash("videos:good", &parts).await;
    // The same id in two spellings is one job.
    for id in ["0191e0a0-0000-7000-8000-00000000000a", "0191E0A0-0000-7000-8000-00000000000A"] {
        source.job(id, "cancelled", &[]).await;
    }

    let ran = source.import(&system, &[]).succeeded();
    for (id, _, _, reason) in &cases {
        let name = id.replace('\n', "\\n");
        let line = ran.line(&name);
        assert_eq!(line["reason"], *reason, "{line}");
    }
    for (name, reason) in
        [("list", "wrong_type"), ("set", "wrong_type"), ("text", "wrong_type"), ("empty", "unknown_user")]
    {
        assert_eq!(ran.line(name)["reason"], reason, "{name}");
    }
    ran.counted([4, 0, 1, cases.len() as u64 + 5]);
    assert!(!ran.text().contains('\u{1b}') && !ran.text().contains('\0'), "{:?}", ran.text());
    assert_eq!(ran.line("odd")["notes"].as_array().unwrap().len(), 2);
    assert_eq!(ran.line("good")["notes"].as_array().unwrap().len(), 2, "picture and captions are left out");
    let stored = files_under(&system.media().join("users"));
    assert_eq!(stored.len(), 1, "only the good video is stored: {stored:?}");

    let models = system.read_models().await;
    models.caught_up().await;
    models.verify().await;
    for model in models.models() {
        for partition in models.log.keys().partitions() {
            assert!(model.quarantined(partition).await.unwrap().is_empty(), "{}", model.name());
        }
    }
    let odd = ran.line("odd")["job_id"].as_str().unwrap().to_owned();
    let status = system.status(&odd).await;
    assert_eq!((&status["status"], &status["priority"]), (&json!("failed"), &json!("normal")));
    let listed = system.get("/api/v1/jobs").await.json::<serde_json::Value>().await.unwrap();
    assert_eq!(listed["total_count"], 4);
    system.running.stop().await;
}
