//! The file that Postfix logs to is renamed, emptied, removed; the daemon is
//! stopped and killed. No result is lost that `tail -F` would have seen, and
//! none counts twice.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::chown;

use super::harness::account::{Account, FIRST};
use super::harness::config::Config;
use super::harness::postfix::Settings;
use super::harness::site::{OURS, REMOTE, Site};
use super::harness::{SOON, set_mode, wait_for};

const CLIENT: &str = "127.0.0.8";

fn no_throttle(config: &mut Config, _: &mut Settings) {
    config.no_throttle();
}

/// A site, and a client that the daemon knows enough of to count its results.
fn begun() -> (Site, Account) {
    let site = Site::following(no_throttle);
    let account = Account::open(&site, CLIENT, "remote.test");
    (site, account)
}

/// | mail log rotated, emptied, or replaced | passes, judged with all delivery results that
/// `tail -F` would have seen | kept | - |
#[test]
fn results_go_on_in_the_old_file_after_a_rename_and_then_in_the_new_one() {
    let (site, mut account) = begun();
    account.pairs(&site, 3);
    site.postfix.rename_log();
    account.pairs(&site, 3);
    account.settle(&site);
    site.postfix.reopen_log();
    account.pairs(&site, 3);
    account.settle(&site);
    // And without a pause, twice.
    for _ in 0..2 {
        account.pairs(&site, 1);
        site.postfix.rename_log();
        account.pairs(&site, 1);
        site.postfix.reopen_log();
        account.pairs(&site, 1);
        // A file that had the name for a moment only would not be seen.
        account.settle(&site);
    }
    // As Postfix itself does it.
    site.postfix.logrotate();
    account.pairs(&site, 2);
    account.settle(&site);
}

#[test]
fn a_log_that_is_emptied_is_read_from_its_beginning() {
    let (site, mut account) = begun();
    account.pairs(&site, 3);
    account.settle(&site);
    site.postfix.copytruncate_log();
    account.pairs(&site, 3);
    account.settle(&site);
    // Emptied, and longer than before when the daemon looks again.
    let later = account.refused(&site, "grey-dead", 1);
    site.postfix.wait_log(&[&later, "status=deferred"], SOON);
    let size = || std::fs::metadata(site.postfix.log_file()).unwrap().len();
    let before = size();
    site.daemon.signal("STOP");
    site.postfix.copytruncate_log();
    site.postfix.wait_log(&[&later, "status=bounced"], SOON);
    let filler = "x".repeat(500);
    while size() <= before {
        site.postfix.note(&filler);
    }
    site.daemon.signal("CONT");
    account.pairs(&site, 1);
    account.settle(&site);
}

/// | the mail log can't be read, or is gone | passes; judged without delivery results | kept
/// | `status`: mail log NOT HEALTHY, why and what to do; log line; tried again by itself |
#[test]
fn a_log_that_is_removed_and_made_again_is_followed() {
    let (site, mut account) = begun();
    account.pairs(&site, 3);
    account.settle(&site);
    for _ in 0..2 {
        site.postfix.delete_log();
        site.daemon.wait_feedback("a log that is gone", |it| it["error"].is_string());
        site.send("127.0.0.7", OURS, REMOTE).assert_accepted();
        site.postfix.reopen_log();
        account.pairs(&site, 2);
        account.settle(&site);
    }
    site.daemon.wait_mail_log();
}

#[test]
fn what_came_while_the_daemon_was_down_counts_once() {
    let (mut site, mut account) = begun();
    // Every one is refused while nobody reads the log: the first two in a file
    // that is renamed then, the last in the new one.
    let same = account.refused(&site, "grey-dead", 1);
    let renamed = account.refused(&site, "grey-grey-dead", 1);
    let new = account.refused(&site, "grey-grey-grey-grey-dead", 1);
    account.delivered(&site, "grey-friend", 1);
    assert!(site.daemon.terminate().success());
    for address in [&same, &renamed] {
        site.postfix.wait_log(&[address, "status=bounced"], SOON);
    }
    site.postfix.rename_log();
    site.postfix.reopen_log();
    site.postfix.wait_log(&[&new, "status=bounced"], SOON);
    site.daemon.start_again();
    account.settle(&site);
    account.pairs(&site, 2);
    account.settle(&site);
    // Nothing is left to be told a second time.
    site.daemon.restart();
    account.assert_settled(&site);
    account.pairs(&site, 1);
    account.settle(&site);
    site.daemon.restart();
    account.assert_settled(&site);
}

#[test]
fn a_daemon_that_starts_amid_a_rotation_misses_nothing() {
    let (mut site, mut account) = begun();
    assert!(site.daemon.terminate().success());
    // Nothing has the name yet, and Postfix goes on with the old file.
    site.postfix.rename_log();
    site.daemon.start_again();
    account.pairs(&site, 2);
    account.settle(&site);
    site.postfix.reopen_log();
    account.pairs(&site, 2);
    account.settle(&site);
}

#[test]
fn an_old_log_that_was_compressed_while_the_daemon_was_down_is_named() {
    let (mut site, mut account) = begun();
    let lost = account.sent(&site, "grey-dead", 1);
    assert!(site.daemon.terminate().success());
    site.postfix.wait_log(&[&lost, "status=bounced"], SOON);
    site.postfix.logrotate();
    site.daemon.start_again();
    site.daemon.wait_log("was rotated while nobody read it", SOON);
    account.pairs(&site, 2);
    account.settle(&site);
}

#[test]
fn a_log_that_was_emptied_while_the_daemon_was_down_is_read_from_its_beginning() {
    let (mut site, mut account) = begun();
    let lost = account.sent(&site, "grey-dead", 1);
    let seen = account.refused(&site, "grey-grey-grey-dead", 1);
    assert!(site.daemon.terminate().success());
    site.postfix.wait_log(&[&lost, "status=bounced"], SOON);
    site.postfix.copytruncate_log();
    site.postfix.wait_log(&[&seen, "status=bounced"], SOON);
    site.daemon.start_again();
    account.pairs(&site, 2);
    account.settle(&site);
}

#[test]
fn lines_that_come_again_and_rubbish_do_no_harm() {
    let (site, mut account) = begun();
    let later = account.refused(&site, "grey-grey-dead", 1);
    account.pairs(&site, 2);
    site.postfix.wait_log(&[&later, "status=deferred"], SOON);
    let append = |bytes: &[u8]| {
        let mut log = OpenOptions::new().append(true).open(site.postfix.log_file()).unwrap();
        log.write_all(bytes).expect("the log takes it");
    };
    // All of it a second time, amid results.
    append(site.postfix.log().as_bytes());
    account.settle(&site);
    append(site.postfix.log().as_bytes());
    append(&[b"\xff\x00\n\n]: to=<\x1b[2J".as_slice(), &vec![b'x'; 300_000], b"\n"].concat());
    let queue_id = site.postfix.log().lines().find_map(|line| {
        let (before, _) = line.split_once(": to=<")?;
        Some(before.rsplit(' ').next()?.to_owned())
    });
    let queue_id = queue_id.expect("a queue id");
    append(format!("Jan  1 00:00:00 mx postfix/smtp[1]: {queue_id}: to=<cut\n").as_bytes());
    account.pairs(&site, 1);
    account.settle(&site);
    let feedback = site.daemon.wait_mail_log();
    assert_eq!(feedback["panics"], 0, "{feedback}");
    assert!(feedback["skipped"].as_u64().is_some_and(|skipped| skipped > 0), "{feedback}");
}

#[test]
fn a_reload_names_another_log_or_none() {
    let mut site = Site::with(no_throttle);
    site.daemon.wait_feedback("no log", |it| it["state"] == "off" && it["healthy"] == true);
    let mut account = Account::new(CLIENT, "remote.test");
    account.sent(&site, "dead", 12);
    site.postfix.wait_lines(&["to=<dead-", "status=bounced"], 12);
    let log = site.postfix.log_file();
    site.daemon.configure(|config| config.mail_log = Some(log));
    site.daemon.hup();
    site.daemon.wait_mail_log();
    // Nobody waited for what was sent before.
    account.assert_settled(&site);
    let mut account = Account::open(&site, CLIENT, "remote.test");
    account.pairs(&site, 2);
    account.settle(&site);
    site.daemon.configure(|config| config.mail_log = None);
    site.daemon.hup();
    site.daemon.wait_feedback("no log", |it| it["state"] == "off");
    let before = site.postfix.log().matches("status=bounced").count();
    account.sent(&site, "dead", 10);
    site.postfix.wait_lines(&["status=bounced"], before + 10);
    account.assert_settled(&site);
}

#[test]
fn a_killed_daemon_counts_no_result_twice() {
    let (mut site, mut account) = begun();
    let later = account.refused(&site, "grey-grey-grey-dead", 1);
    // What is known up to here is kept.
    site.daemon.restart();
    site.postfix.wait_log(&[&later, "status=bounced"], SOON);
    account.pairs(&site, 2);
    account.settle(&site);
    site.daemon.kill9();
    site.daemon.start_again();
    site.daemon.wait_mail_log();
    account.bad = FIRST + 1;
    account.of = FIRST + 1;
    // The messages of the pairs were accepted after that: they are nobody's now.
    account.settle(&site);
    account.pairs(&site, 2);
    account.settle(&site);
}

#[test]
fn a_daemon_that_is_killed_amid_results_goes_on_with_those_to_come() {
    let (mut site, mut account) = begun();
    account.pairs(&site, 5);
    site.daemon.kill9();
    site.daemon.start_again();
    site.daemon.wait_mail_log();
    let (bad, of) = account.counted(&site);
    assert!(bad <= account.bad && of <= account.of, "{bad} of {of}");
    // It begins anew, and each result counts once.
    let mut account = Account::open(&site, "127.0.0.9", "remote.test");
    account.pairs(&site, 2);
    account.settle(&site);
}

#[test]
fn without_a_mail_log_mail_flows_and_the_status_says_so() {
    let site = Site::with(|config, settings| {
        config.no_throttle();
        config.obeys_permissions = true;
        config.mail_log = Some(settings.log_file().with_file_name("no-such.log"));
    });
    let log = site.postfix.log_file();
    let path = log.with_file_name("no-such.log");
    let shown = || site.daemon.cli(&["status"]).done().stdout;
    let says = |what: &'static str| {
        wait_for(what, SOON, shown, || shown().contains(what).then_some(()));
    };
    let mail_flows = || site.send("127.0.0.9", OURS, REMOTE).assert_accepted();
    let own = |user: u32| chown(&log, Some(user), None).expect("chown");
    let appear = || std::fs::hard_link(&log, &path).expect("another name of the log");

    let feedback = site.daemon.wait_feedback("no mail log", |it| it["healthy"] == false);
    assert_eq!(feedback["file"], path.display().to_string(), "{feedback}");
    assert_eq!(feedback["state"], "off", "{feedback}");
    says("no-such.log");
    says("is not there");
    mail_flows();

    // It comes, and may not be read.
    let nobody = nix::unistd::User::from_name("nobody").unwrap().expect("nobody").uid.as_raw();
    own(nobody);
    set_mode(&log, 0o600);
    appear();
    says("may not be read");
    mail_flows();

    // Somebody mends it.
    own(0);
    site.daemon.wait_mail_log();
    let mut account = Account::open(&site, CLIENT, "remote.test");

    // It is gone for a while.
    std::fs::remove_file(&path).expect("the other name");
    says("is not there");
    mail_flows();
    appear();
    site.daemon.wait_mail_log();
    account.pairs(&site, 2);
    account.settle(&site);
    site.sink.wait_for_to(REMOTE, 3, SOON);
}
