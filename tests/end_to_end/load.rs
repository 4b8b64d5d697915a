//! Many sessions at once: no message is lost, none is counted twice.

use std::collections::HashSet;
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::harness::site::{OURS, REMOTE, Site};
use super::harness::{run, wait_for};

const SESSIONS: usize = 500;
const MESSAGES: usize = 20_000;
const CLIENT: &str = "client:127.0.0.1";

fn number(n: usize) -> u64 {
    u64::try_from(n).unwrap()
}

/// smtp-source(1): one session a message, `SESSIONS` at a time, refusals
/// are no reason to stop.
fn smtp_source(port: u16) -> Command {
    let mut command = Command::new("smtp-source");
    command.args(["-A", "-4", "-C", "20"]);
    command.args(["-s", &SESSIONS.to_string(), "-m", &MESSAGES.to_string()]);
    command.args(["-f", OURS, "-t", REMOTE]);
    command.arg(format!("inet:127.0.0.1:{port}"));
    command
}

#[test]
fn twenty_thousand_messages_each_accepted_once_or_refused_once() {
    let site = Site::with(|config, settings| {
        // So much from a client that nobody knows is suspicious.
        config.no_throttle();
        settings.smtpd_processes(u32::try_from(SESSIONS).unwrap() + 20);
        settings.set("qmgr_clog_warn_time", "0");
        settings.set("default_destination_concurrency_limit", "100");
        settings.set("default_process_limit", "200");
        settings.set("qmgr_message_active_limit", "20000");
    });
    let mut source = smtp_source(site.postfix.port());
    let output = thread::scope(|scope| {
        let source = scope.spawn(move || run(&mut source));
        // In the midst of it the operator stops the client (smtp-source has
        // this address): the rest is refused, at whatever stage it is.
        wait_for(
            "a quarter of the messages",
            Duration::from_secs(300),
            || site.postfix.log_tail(),
            || Some(()).filter(|()| site.daemon.status("/messages") >= number(MESSAGES / 4)),
        );
        site.block(CLIENT);
        source.join().expect("smtp-source")
    });
    assert!(output.status.success(), "{output:?}");

    let log = site.postfix.log();
    let refused = log.lines().filter(|it| it.contains("milter-reject:"));
    let refused = refused.count();
    assert!(refused > 0, "the load was over before it could be refused");
    let accepted = MESSAGES - refused;
    site.sink.wait_for(accepted, Duration::from_secs(120));
    let mails = site.sink.mails();
    let ids: HashSet<_> = mails.iter().map(|it| it.header("Message-Id")).collect();
    assert_eq!(ids.len(), accepted, "a message came twice");

    assert_eq!(site.daemon.status("/messages"), number(accepted));
    assert_eq!(site.daemon.status("/recipients"), number(accepted));
    assert_eq!(site.daemon.status("/refused"), number(refused));
    let item = site.daemon.listed(CLIENT).expect("an entry");
    assert_eq!(item["refused"], number(refused));
}
