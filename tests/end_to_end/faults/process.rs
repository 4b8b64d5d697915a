//! The daemon as a process: it is down, a part of it ends, it hangs, it is stopped.

use std::thread;
use std::time::Duration;

use super::super::harness::SOON;
use super::super::harness::site::{OURS, REMOTE, Site};
use super::{BAD, ENTITY, GOOD, Lead, assert_protects, has_note, restricted, wait_status};

/// | connguard is down | passes (`default_action=accept`) | not enforced until it is back,
/// then from the first command of the first new session on; sessions that Postfix had open
/// meanwhile are watched again once they end | Postfix logs `connect to Milter service ...` |
#[test]
fn mail_passes_while_it_is_down_and_is_watched_from_the_first_command_on() {
    let mut site = Site::with(|_, settings| settings.milter_fails_to("accept"));
    site.send(BAD, OURS, REMOTE).assert_accepted();
    site.block(ENTITY);
    let mut open = site.client(BAD);
    open.expect(&format!("MAIL FROM:<{OURS}>"), 250);
    site.daemon.kill9();
    site.send(BAD, OURS, REMOTE).assert_accepted();
    site.postfix.wait_log(&["connect to Milter service"], SOON);
    site.daemon.start_again();
    // A session that was open goes on without us, and the next one with us.
    open.expect(&format!("RCPT TO:<{REMOTE}>"), 250);
    assert!(open.data(OURS, REMOTE).agrees());
    drop(open);
    assert_protects(&site);
}

/// Parts, and what leads to each of them.
const PARTS: [(&str, Lead); 9] = [
    ("milter thread", |site| drop(site.send(GOOD, OURS, REMOTE))),
    ("milter acceptor", |site| drop(site.send(GOOD, OURS, REMOTE))),
    ("control socket", |site| drop(site.daemon.cli(&["status"]))),
    ("housekeeping", |_| ()),
    ("notify thread", |_| ()),
    ("feedback thread", |_| ()),
    ("alert thread", |_| ()),
    ("reload half done", |site| drop(site.daemon.cli(&["reload"]))),
    ("journal thread", |site| {
        site.daemon.cli(&["trust", GOOD, "--for", "1h", "--reason", "planned"]);
    }),
];

/// | a part of the daemon ends by itself | as when it is down, until systemd starts it again
/// | kept | log line, exit code 1 |
#[test]
fn a_part_that_ends_ends_the_daemon_for_a_new_start() {
    let mut site = Site::with(|_, settings| settings.milter_fails_to("accept"));
    site.send(BAD, OURS, REMOTE).assert_accepted();
    site.block(ENTITY);
    for (part, lead_there) in PARTS {
        assert_protects(&site);
        site.daemon.fail(part, "panic once");
        lead_there(&site);
        let status = site.daemon.wait_exit(SOON);
        assert_eq!(status.code(), Some(1), "{part}: {status}");
        assert!(!site.daemon.files().fault(part).exists(), "{part} was not reached");
        site.daemon.wait_log("ended by itself", SOON);
        std::fs::write(site.daemon.files().log(), "").expect("an empty log");
        site.send(GOOD, OURS, REMOTE).assert_accepted();
        // As systemd does it.
        site.daemon.start_again();
    }
    assert_protects(&site);
}

/// | the daemon hangs | passes, judged as long as the milter's own threads go on | enforced
/// so long, and kept | systemd misses its watchdog after 30 s and starts it again |
#[test]
fn a_daemon_that_hangs_tells_no_watchdog() {
    let mut site = restricted();
    site.daemon.wait_notify("WATCHDOG=1", SOON);
    site.daemon.fail("housekeeping", "hang");
    // Longer than the second in which it tells that it is alive.
    site.daemon.wait_silence(Duration::from_secs(3));
    site.send(GOOD, OURS, REMOTE).assert_accepted();
    site.send(BAD, OURS, REMOTE).assert_tempfail();
    // As systemd does it then.
    site.daemon.kill9();
    site.daemon.mend("housekeeping");
    site.daemon.start_again();
    assert_protects(&site);
}

/// | the disk does not answer | passes, judged | enforced from memory; commands say after 10
/// s that the change is not on disk, and those that read files give up after 50 s | `status`:
/// journal NOT HEALTHY; a stop gives up after 25 s at the most and logs what is lost |
#[test]
fn a_disk_that_does_not_answer_is_told_and_holds_up_neither_mail_nor_a_stop() {
    let mut site = restricted();
    site.daemon.fail("disk takes", "1");
    site.daemon.fail("journal write", "hang");
    let answer = site.daemon.cli(&["unblock", ENTITY, "--reason", "cleaned"]).done();
    assert!(answer.stderr.contains("lifted now, not on disk"), "{answer:#?}");
    assert!(answer.stderr.contains("does not answer"), "{answer:#?}");
    let status = wait_status(&site, "a disk that hangs", |it| it["journal"]["healthy"] == false);
    assert!(has_note(&status, &["does not answer"]), "{status:#}");
    site.send(BAD, OURS, REMOTE).assert_accepted();
    site.block("client:127.0.0.9");
    site.send("127.0.0.9", OURS, REMOTE).assert_tempfail();
    site.send(GOOD, OURS, REMOTE).assert_accepted();
    // Who asks for what is on disk only is told so, and keeps nobody else waiting.
    site.daemon.fail("disk read", "hang");
    thread::scope(|scope| {
        let ask = || site.daemon.cli(&["history"]);
        let asked: Vec<_> = (0..12).map(|_| scope.spawn(ask)).collect();
        for answer in asked.into_iter().map(|asked| asked.join().unwrap()) {
            assert_ne!(answer.code, 0, "{answer:#?}");
            assert!(answer.stderr.contains("the disk does not answer"), "{answer:#?}");
        }
    });
    assert_eq!(site.daemon.json(&["status"])["journal"]["healthy"], false);
    // A stop has an end, too, and says what it costs.
    site.daemon.fail("cases", "hang");
    site.daemon.fail("stop", "1");
    assert!(site.daemon.terminate().success());
    site.daemon.wait_log("changes are lost by this stop", SOON);
    site.daemon.wait_log("cases learned last is lost by this stop", SOON);
    site.daemon.mend("journal write");
    site.daemon.mend("cases");
    site.daemon.start_again();
    site.send(BAD, OURS, REMOTE).assert_tempfail();
}

/// | its own log can't be written | passes, judged | enforced | lines are missing; `status`
/// is as ever |
#[test]
fn a_log_that_can_not_be_written_stops_nothing() {
    let mut site = Site::with(|config, _| config.log_to = Some("/dev/full".into()));
    site.take_over(BAD).outcome.assert_tempfail();
    assert_protects(&site);
    site.daemon.hup();
    let status = site.daemon.json(&["status"]);
    assert_eq!(status["panics"]["count"], 0, "{status:#}");
    site.daemon.restart();
    assert_protects(&site);
}
