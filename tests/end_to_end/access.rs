//! Who gets in: the accounts that reach the sockets, and what others find in the
//! files.

use std::os::unix::fs::MetadataExt;

use super::harness::site::{OURS, REMOTE, Site};
use super::harness::{SOON, set_mode, wait_for};

/// An account without any rights, which runs the daemon here.
const DAEMON: &str = "nobody";
/// Another one.
const STRANGER: &str = "daemon";

fn gid(group: &str) -> Option<u32> {
    nix::unistd::Group::from_name(group).unwrap().map(|group| group.gid.as_raw())
}

#[test]
fn without_root_it_does_all_that_it_has_to() {
    let mut site = Site::with(|config, _| config.account = Some(DAEMON));
    site.take_over("127.0.0.8").outcome.assert_tempfail();
    let listed = site.daemon.listed("client:127.0.0.8").expect("a restriction");
    let case = listed["case"].as_str().unwrap().to_owned();
    site.daemon.restart();
    assert!(site.daemon.listed("client:127.0.0.8").is_some(), "kept over a restart");
    // Root, and its own account.
    site.daemon.cli_as(DAEMON, &[], &["unblock", &case, "--reason", "it is clean"]).done();
    site.send("127.0.0.8", OURS, REMOTE).assert_accepted();
    let socket = std::fs::metadata(site.daemon.files().milter_socket()).unwrap();
    assert_eq!(socket.mode() & 0o777, 0o660);
    assert_eq!(Some(socket.gid()), gid("postfix"), "given by its directory");
}

#[test]
fn postfix_does_not_reach_the_control_socket() {
    let site = Site::with(|config, _| config.account = Some(DAEMON));
    let socket = site.daemon.files().control_socket();
    let found = std::fs::metadata(&socket).unwrap();
    assert_ne!(Some(found.gid()), gid("postfix"));
    assert_eq!(found.mode() & 0o007, 0, "{:o}", found.mode());
    for account in ["postfix", STRANGER] {
        let answer = site.daemon.cli_as(account, &[], &["status"]);
        assert_ne!(answer.code, 0, "{account}: {answer:#?}");
        assert!(answer.stderr.contains("be root or a member of the group connguard-admin"));
    }
    // Not even when somebody opens the file to everybody, and puts the account
    // into every group: the daemon looks at who asks.
    set_mode(&socket, 0o666);
    let groups: Vec<u32> =
        [Some(found.gid()), gid("connguard-admin")].into_iter().flatten().collect();
    for args in [&["status"][..], &["unblock", "client:127.0.0.8", "--reason", "let me in"]] {
        let answer = site.daemon.cli_as("postfix", &groups, args);
        assert_ne!(answer.code, 0, "{answer:#?}");
        assert!(answer.stderr.contains("the account postfix never may"), "{answer:#?}");
        assert_eq!(answer.stdout, "");
    }
    let answer = site.daemon.cli_as(STRANGER, &[], &["status"]);
    assert_ne!(answer.code, 0, "{answer:#?}");
}

#[test]
fn others_read_nothing_of_what_it_keeps() {
    let mut site = Site::with(|config, _| config.account = Some(DAEMON));
    site.take_over("127.0.0.8");
    site.daemon.restart();
    for entry in std::fs::read_dir(site.daemon.files().state()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().mode() & 0o777;
        let expected = if entry.metadata().unwrap().is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{}: {mode:o}", entry.path().display());
    }
}

#[test]
fn a_run_as_root_is_told() {
    let site = Site::start();
    assert!(site.daemon.log().contains("running as root"), "{}", site.daemon.log());
}

#[test]
fn secrets_are_shown_nowhere() {
    const SECRET: &str = "correct-horse-battery";
    const TOKEN: &str = "T0KEN-of-the-path";
    const KEY: &str = "K3Y-of-the-query";
    let site = Site::with(|config, settings| {
        let file = settings.dir().join("webhook.secret");
        std::fs::write(&file, format!("{SECRET}\n")).unwrap();
        set_mode(&file, 0o600);
        // Nobody listens there: the failure is told.
        config.alert = format!(
            "webhook = \"http://127.0.0.1:1/{TOKEN}?key={KEY}\"\nwebhook_secret_file = {file:?}\n"
        );
        config.sections.push_str("\n[log]\nlevel = \"debug\"\n");
    });
    site.take_over("127.0.0.8").outcome.assert_tempfail();
    let failed = |status: &serde_json::Value| status["alerts"].to_string().contains("127.0.0.1:1");
    wait_for(
        "the failure of the webhook",
        SOON,
        || site.daemon.log(),
        || Some(site.daemon.json(&["status"])).filter(failed),
    );
    let mut told = vec![site.daemon.log()];
    let entity = "client:127.0.0.8";
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["check"],
        &["alerts"],
        &["alerts", "--json"],
        &["alerts", "test"],
        &["show", entity],
        &["history"],
        &["reload"],
    ] {
        let answer = site.daemon.cli(args);
        told.push(format!("{args:?}: {}{}", answer.stdout, answer.stderr));
    }
    told.push(site.daemon.log());
    for entry in std::fs::read_dir(site.daemon.files().state()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            told.push(format!("{}: {}", path.display(), String::from_utf8_lossy(&bytes)));
        }
    }
    assert!(told.len() > 13, "{}", told.len());
    for text in &told {
        for secret in [SECRET, TOKEN, KEY] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}
