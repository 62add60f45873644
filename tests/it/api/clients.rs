//! Clients that a program of others makes of `openapi.json`. Those for TypeScript are tried by `scripts/clients`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::harness::{ALL_ROLES, System};

const GENERATOR: &str = "openapi-python-client";

/// Runs a program to its end, and returns what it said; panics when it fails.
async fn run(command: &mut Command) -> String {
    let ended = tokio::time::timeout(Duration::from_secs(120), command.kill_on_drop(true).output()).await;
    let ended = ended.expect("it ends").unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?}: {said}");
    said
}

/// The folder of the generator, which has the Python that knows what its clients need.
fn tools() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).find(|folder| folder.join(GENERATOR).is_file());
    found.expect(
        "openapi-python-client is there: ./scripts/tools installs it, and prints the folder for the PATH",
    )
}

// 002-7.3
#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_is_generated_without_warnings_and_makes_a_video() {
    let system = System::start(&ALL_ROLES).await;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = system.servers.folder.path().join("modules");
    std::fs::create_dir(&modules).unwrap();
    let tools = tools();
    run(Command::new(tools.join(GENERATOR))
        .args(["generate", "--fail-on-warning", "--meta", "none", "--path"])
        .arg(here.join("openapi.json"))
        .arg("--config")
        .arg(here.join("tests/clients/python-client.yaml"))
        .arg("--output-path")
        .arg(modules.join("reelstream_api")))
    .await;
    let python = tools.join("python3");
    run(Command::new(&python).args(["-m", "compileall", "-q"]).arg(&modules)).await;
    let said = run(Command::new(&python)
        .arg(here.join("tests/clients/flow.py"))
        .env("PYTHONPATH", &modules)
        .env("REEL_API_URL", &system.running.url)
        .env("REEL_TOKEN", system.token("user_1", "user")))
    .await;
    assert!(said.contains("bytes of video"), "{said}");
    system.running.stop().await;
}
