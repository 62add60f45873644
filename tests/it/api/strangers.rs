//! Schemathesis, a program that others wrote: it makes requests of `openapi.json`, right and wrong ones, and compares the
//! answers with what the document says of them.

use std::path::PathBuf;
use std::process::Stdio;

use reelstream::app::Role;

use super::belongings::Belongings;
use crate::harness::System;

static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];
const ROLES: [&str; 4] = ["user", "analyst", "auditor", "admin"];
/// How long requests are made, unless `REEL_STRANGERS_SECONDS` says otherwise.
const SECONDS: &str = "75";

// 002-7.5, 002-8.1
#[tokio::test(flavor = "multi_thread")]
async fn requests_made_of_the_document_are_answered_as_it_says() {
    let system = System::start_with(&API_AND_PROJECTOR, |config| {
        // What is asked for stays open: nobody works on it.
        let limits = &mut config.streams.limits;
        (limits.open_jobs, limits.open_jobs_per_user) = (1_000_000, 1_000_000);
        limits.open_urgent_jobs_per_user = 1_000_000;
        (limits.open_request_bytes, limits.open_request_bytes_per_user) = (1 << 40, 1 << 40);
    })
    .await;
    let belongings = Belongings::make(&system).await;
    let tokens: Vec<String> = ROLES.iter().map(|role| system.token("user_1", role)).collect();
    // Where it also keeps what it has found.
    let folder = system.servers.folder.path().join("strangers");
    std::fs::create_dir(&folder).unwrap();
    for name in ["schemathesis.toml", "hooks.py"] {
        let settings = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/strangers").join(name);
        std::fs::copy(settings, folder.join(name)).unwrap();
    }
    let seconds = std::env::var("REEL_STRANGERS_SECONDS").unwrap_or(SECONDS.to_owned());
    let url = &system.running.url;
    let program = tokio::process::Command::new("schemathesis")
        .args(["--config-file", "schemathesis.toml", "run", &format!("{url}/openapi.json"), "--url", url])
        .args(["--checks", "all", "--max-time", &seconds, "--seed", "1", "--no-color"])
        // A status may be waited for, 30 s at most.
        .args(["--max-response-time", "35", "--request-timeout", "60"])
        .env("REEL_TOKENS", serde_json::to_string(&tokens).unwrap())
        .env("REEL_IDS", serde_json::to_string(&belongings.ids).unwrap())
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("schemathesis is there: ./scripts/tools installs it, and prints the folder for the PATH");
    let said = String::from_utf8_lossy(&program.stdout);
    let erred = String::from_utf8_lossy(&program.stderr);
    assert!(program.status.success(), "{said}\n{erred}");
    assert!(said.contains("Tested: "), "{said}\n{erred}");
    system.running.stop().await;
}
