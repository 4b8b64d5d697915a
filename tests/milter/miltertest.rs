//! The scripts in tests/miltertest, run by the independent `miltertest`.

use crate::harness::{Daemon, PATIENCE};
use connguard::verdict::Action;
use std::{path::Path, process::Command};

async fn run(daemon: &Daemon, script: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/miltertest");
    let socket = format!("socket=unix:{}", daemon.socket().display());
    let mut command = Command::new("miltertest");
    // What it says is shown only where it fails, and then it had better talk.
    command.args(["-v", "-v"]);
    command.arg("-D").arg(socket).arg("-s").arg(folder.join(script));
    let running = tokio::task::spawn_blocking(move || command.output());
    let output = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    let output = output.expect("miltertest must be installed: apt-get install miltertest");
    assert!(
        output.status.success(),
        "{script}: {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_pass() {
    let daemon = Daemon::start();
    run(&daemon, "pass.lua").await;
    assert_eq!(daemon.totals("client:127.0.0.7").messages, 2);
    assert_eq!(daemon.totals("login:alice@example.org").messages, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_refused() {
    let daemon = Daemon::start();
    daemon.block("client:127.0.0.9", Action::Reject);
    run(&daemon, "refuse.lua").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_held() {
    let daemon = Daemon::start();
    daemon.block("client:127.0.0.8", Action::Hold);
    run(&daemon, "hold.lua").await;
}
