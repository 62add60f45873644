//! `reel probe`: what the health checks of containers and pods ask.

use std::process::Command;

use reelstream::app::Role;

use crate::harness::{System, eventually};

/// The exit and the message of a probe.
fn run(probe: &mut Command) -> (bool, String) {
    let output = probe.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn probe(system: &System, role: &str) -> Command {
    let mut command = system.command();
    let bind = system.running.url.trim_start_matches("http://");
    command.args(["probe", role]).env("REEL_BIND", bind);
    command
}

// Every role has a health check that fails when it does not run.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_ready_while_it_runs() {
    let system = System::start(&[Role::Api, Role::Worker, Role::Projector]).await;
    let [mut api, mut worker, mut projector] =
        ["api", "worker", "projector"].map(|role| probe(&system, role));
    eventually("all roles are ready", async || {
        [&mut api, &mut worker, &mut projector].into_iter().all(|probe| run(probe).0)
    })
    .await;
    system.running.stop().await;
    let (is_ready, message) = run(&mut api);
    assert!(!is_ready && message.contains("/readyz does not answer"), "{message}");
    let (is_ready, message) = run(&mut worker);
    assert!(!is_ready && message.contains("no worker of this host"), "{message}");
    projector.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    let (is_ready, message) = run(&mut projector);
    assert!(!is_ready && message.contains("postgres at DATABASE_URL does not answer"), "{message}");
}
