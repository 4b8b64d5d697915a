//! The state directory and its disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::harness::clocked::Clocked;
use super::super::harness::config::{Config, Files};
use super::super::harness::daemon::run_to_end;
use super::super::harness::mount::Mount;
use super::super::harness::pager::Pager;
use super::super::harness::site::{OURS, REMOTE, Site, Tells};
use super::super::harness::{SOON, wait_for};
use super::{BAD, ENTITY, GOOD, assert_protects, has_note, restricted, wait_status};

#[track_caller]
fn block(site: &Site<Clocked>, entity: &str) {
    site.daemon.cli(&["block", entity, "--reason", "stopped by hand"]).done();
}

/// | disk full | passes, judged | enforced from memory, new ones too; `unblock` says "lifted
/// now, not on disk: ... returns at restart" | `status`: journal NOT HEALTHY and why; log
/// line; alert; tried again every few seconds |
#[test]
fn a_full_disk_stops_neither_mail_nor_restrictions_and_is_told() {
    let mount = Mount::of_size("128k");
    let mut pager = None;
    let mut site = Site::clocked_with(|config, settings| {
        config.state_directory = Some(mount.path().to_owned());
        let made = Pager::create(settings.dir());
        config.alert.push_str(&format!("command = [{:?}]\n", made.command()));
        config.sections.push_str("\n[judgement]\nnew_connector_alert = false\n");
        pager = Some(made);
    });
    let pager = pager.expect("a pager");
    site.send(BAD, OURS, REMOTE).assert_accepted();
    block(&site, ENTITY);
    let filler = mount.fill();
    // The last page may have room for some more.
    let full = |n: u8| {
        let entity = format!("client:127.0.0.{n}");
        let block = ["block", &entity, "--reason", &"stopped ".repeat(50)];
        site.daemon.cli(&block).done().stderr.contains("is lifted by a restart")
    };
    let last = (100..120).find(|n| full(*n)).expect("a change that finds no room");
    site.send(&format!("127.0.0.{last}"), OURS, REMOTE).assert_tempfail();
    site.take_over("127.0.0.9").outcome.assert_tempfail();
    site.send("127.0.0.9", OURS, REMOTE).assert_tempfail();
    assert_protects(&site);
    let answer = site.daemon.cli(&["unblock", ENTITY, "--reason", "cleaned"]).done();
    assert!(answer.stderr.contains("lifted now, not on disk"), "{answer:#?}");
    assert!(answer.stderr.contains("No space left"), "{answer:#?}");
    assert!(answer.stderr.contains("returns at restart"), "{answer:#?}");
    site.send(BAD, OURS, REMOTE).assert_accepted();
    let status = site.daemon.json(&["status"]);
    assert_eq!(status["journal"]["healthy"], false, "{status:#}");
    assert!(has_note(&status, &["journal", "No space left"]), "{status:#}");
    let shown = site.daemon.cli(&["status"]).done().stdout;
    assert!(shown.contains("NOT HEALTHY"), "{shown}");
    wait_for(
        "an alert of it",
        SOON,
        || format!("{:#?}", pager.pages()),
        || {
            site.daemon.advance(Duration::from_secs(40));
            let tells = |page: &serde_json::Value| page.to_string().contains("No space left");
            pager.pages().iter().any(tells).then_some(())
        },
    );

    std::fs::remove_file(filler).expect("the filler");
    wait_status(&site, "a journal that is well", |it| it["journal"]["healthy"] == true);
    site.daemon.restart_after(Duration::from_secs(1));
    for client in [&format!("127.0.0.{last}"), "127.0.0.9"] {
        site.send(client, OURS, REMOTE).assert_tempfail();
    }
    site.send(BAD, OURS, REMOTE).assert_accepted();
    drop(site);
}

fn segments(site: &Site) -> Vec<PathBuf> {
    site.daemon.files().journal()
}

/// | the disk fails at a write or a sync (EIO) | passes, judged | enforced; what was to be
/// written is written as a whole into another file, and a file whose sync failed is never
/// written again; where that fails too, as with a full disk | log line; `status`: NOT HEALTHY
/// and why, as long as it lasts |
#[test]
fn what_a_disk_refused_to_write_or_to_sync_is_written_into_another_file() {
    let mut site = restricted();
    for (n, call) in ["journal write", "journal sync"].into_iter().enumerate() {
        let before = segments(&site);
        site.daemon.fail(call, "EIO once");
        // The answer waits until it is on disk: in a new segment, since nobody knows
        // what became of the old one.
        let entity = format!("client:127.0.0.{}", 30 + n);
        let block = ["block", &entity, "--reason", "stopped"];
        let answer = site.daemon.cli(&block).done();
        assert!(answer.stderr.is_empty(), "{answer:#?}");
        assert!(!site.daemon.files().fault(call).exists(), "{call} was not reached");
        let after = segments(&site);
        assert_eq!(after.len(), before.len() + 1, "{after:?}");
        site.daemon.wait_log("Input/output error", SOON);
        let old = std::fs::read(before.last().expect("a segment")).expect("the old segment");
        site.block("client:127.0.0.40");
        site.daemon.cli(&["unblock", "client:127.0.0.40", "--reason", "back"]).done();
        let later = std::fs::read(before.last().expect("a segment")).expect("the old segment");
        assert!(old == later, "it went on with a file whose {call} had failed");
    }
    site.daemon.kill9();
    site.daemon.start_again();
    for client in ["127.0.0.30", "127.0.0.31"] {
        site.send(client, OURS, REMOTE).assert_tempfail();
    }
    assert_protects(&site);

    // A disk that goes on so.
    for call in ["journal write", "journal segment", "cases write", "history"] {
        site.daemon.fail(call, "EIO");
    }
    let answer = site.daemon.cli(&["unblock", ENTITY, "--reason", "cleaned"]).done();
    assert!(answer.stderr.contains("lifted now, not on disk"), "{answer:#?}");
    site.daemon.cli(&["normal", GOOD, "--reason", "a newsletter"]).done();
    site.block("client:127.0.0.41");
    for part in ["journal", "cases", "history"] {
        let what = format!("{part}: not well");
        let status = wait_status(&site, &what, |it| it[part]["healthy"] == false);
        assert!(has_note(&status, &["Input/output error"]), "{status:#}");
    }
    site.take_over("127.0.0.9").outcome.assert_tempfail();
    site.send(BAD, OURS, REMOTE).assert_accepted();
    // By a restart it is as the disk has it.
    site.daemon.kill9();
    for call in ["journal write", "journal segment", "cases write", "history"] {
        site.daemon.mend(call);
    }
    site.daemon.start_again();
    assert_protects(&site);
}

/// | state directory read-only | passes, judged | enforced from memory; the journal goes on
/// for as long as its file is open | `status`: what can't be written and why; a start is
/// refused and says why |
#[test]
fn in_a_directory_that_is_read_only_it_goes_on_and_starts_no_more() {
    let mut site = restricted();
    assert_protects(&site);
    let mount = Mount::read_only(&site.daemon.files().state());
    site.daemon.cli(&["normal", GOOD, "--reason", "a newsletter"]).done();
    // The journal's file is open; if that fails, too, there is no other.
    site.block("client:127.0.0.9");
    site.daemon.fail("journal write", "EIO once");
    let answer = site.daemon.cli(&["unblock", ENTITY, "--reason", "cleaned"]).done();
    assert!(answer.stderr.contains("not on disk"), "{answer:#?}");
    for part in ["journal", "cases", "history"] {
        let what = format!("{part}: not well");
        let status = wait_status(&site, &what, |it| it[part]["healthy"] == false);
        assert!(has_note(&status, &["Read-only"]), "{status:#}");
    }
    site.send(BAD, OURS, REMOTE).assert_accepted();
    site.send("127.0.0.9", OURS, REMOTE).assert_tempfail();
    site.send(GOOD, OURS, REMOTE).assert_accepted();
    site.daemon.kill9();
    let files = Files::create(&site.dir().join("second"));
    let config = Config { state_directory: Some(mount.path().to_owned()), ..Config::default() };
    let answer = run_to_end(&files, &config);
    assert_eq!(answer.code, 1, "{answer:#?}");
    assert!(answer.stderr.contains("Read-only file system"), "{answer:#?}");
    assert!(answer.stderr.contains(mount.path().to_str().expect("a path")), "{answer:#?}");
    drop(mount);
    site.daemon.start_again();
    assert_protects(&site);
    site.send("127.0.0.9", OURS, REMOTE).assert_tempfail();
}

/// | state directory, or the journal in it, removed while running | passes, judged | kept:
/// written again as a whole within seconds; files of cases that change no more are gone | log
/// line |
#[test]
fn a_state_directory_that_is_removed_is_made_again() {
    let mut site = restricted();
    let state = site.daemon.files().state();
    // A file that is written meanwhile makes it begin anew.
    let removed = || std::fs::remove_dir_all(&state).ok();
    wait_for("an empty state directory", SOON, String::new, removed);
    assert_protects(&site);
    let made = |name: &Path| state.join(name).exists();
    // It would be found out within five seconds without that.
    site.block("client:127.0.0.9");
    site.daemon.wait_log("somebody removed its file", SOON);
    assert!(!site.daemon.files().journal().is_empty());
    site.daemon.cli(&["normal", GOOD, "--reason", "a newsletter"]).done();
    for name in ["history", "alerts", "cases"] {
        let what = format!("the file {name}");
        wait_for(&what, SOON, || site.daemon.log(), || made(Path::new(name)).then_some(()));
    }
    wait_status(&site, "all well", |it| {
        ["journal", "history", "cases"].into_iter().all(|part| it[part]["healthy"] == true)
    });
    site.daemon.kill9();
    site.daemon.start_again();
    assert_protects(&site);
    site.send("127.0.0.9", OURS, REMOTE).assert_tempfail();
}

/// | `history` damaged, or of another version | passes | kept | log line; what is whole is
/// used, the rest is learned anew, set aside as `history.damaged` or `history.old`; `status`
/// says what is silent until when |
#[test]
fn a_damaged_history_is_used_as_far_as_it_is_whole() {
    let mut site = restricted();
    site.daemon.terminate();
    let history = site.daemon.files().state().join("history");
    let mut octets = std::fs::read(&history).expect("the history");
    let middle = octets.len() / 2;
    octets[middle] ^= 0x10;
    std::fs::write(&history, &octets).expect("the history");
    site.daemon.start_again();
    site.daemon.wait_log("history.damaged", SOON);
    assert!(history.with_extension("damaged").exists());
    assert_protects(&site);
    // What is missing is told.
    let shown = site.daemon.cli(&["status"]).done().stdout;
    assert!(shown.contains("nothing is concluded from new recipients"), "{shown}");

    // Of another version: all of it.
    site.daemon.terminate();
    let mut octets = std::fs::read(&history).expect("the history");
    octets[8] = 99;
    std::fs::write(&history, &octets).expect("the history");
    site.daemon.start_again();
    assert_protects(&site);
    assert!(site.daemon.log().contains("history"));
}
