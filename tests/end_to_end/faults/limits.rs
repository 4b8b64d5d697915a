//! What runs out, and who does not play by the rules.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use super::super::harness::site::{OURS, REMOTE, Site};
use super::super::harness::{SOON, run_ok, wait_for};
use super::{BAD, ENTITY, GOOD, assert_protects, messages, restricted, wait_status};

/// Takes all descriptors that are left: until several connections in a row are closed at
/// once.
fn exhaust(site: &Site) -> Vec<UnixStream> {
    let mut taken = Vec::new();
    let mut closed = 0;
    while closed < 5 {
        let mut stream = idle(site, 1).pop().expect("a connection");
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        match stream.read_to_end(&mut Vec::new()) {
            Ok(_) => closed += 1,
            Err(_) => {
                closed = 0;
                taken.push(stream);
                assert!(taken.len() < 100, "connections wait instead of being closed");
            }
        }
    }
    taken
}

fn idle(site: &Site, count: usize) -> Vec<UnixStream> {
    let path = site.daemon.files().milter_socket();
    (0..count).map(|_| UnixStream::connect(&path).expect("a connection")).collect()
}

/// | out of file descriptors | beyond: passes (closed at once); it goes on by itself | kept,
/// not enforced on those | log line; `status`, once it can be asked: connections turned away
/// |
#[test]
fn out_of_descriptors_mail_is_turned_away_at_once_and_all_comes_back() {
    let site = Site::with(|_, settings| settings.milter_fails_to("accept"));
    site.send(BAD, OURS, REMOTE).assert_accepted();
    site.block(ENTITY);
    let pid = site.daemon.pid().to_string();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count();
    // A few more than it has.
    let limit = format!("--nofile={}:4096", open + 10);
    run_ok(Command::new("prlimit").args(["--pid", &pid, &limit]));
    let idle = exhaust(&site);
    site.daemon.wait_log("no file descriptor is left", SOON);
    // Nobody waits for a timeout of 30 s, and nobody judges.
    site.send(GOOD, OURS, REMOTE).assert_accepted();
    site.send(BAD, OURS, REMOTE).assert_accepted();
    drop(idle);
    let status = wait_status(&site, "free descriptors", |it| it["milter"]["connections"] == 0);
    assert!(status["milter"]["refused_connections"].as_u64() >= Some(2), "{status:#}");
    assert_protects(&site);
}

/// | 5,000 idle connections | passes, judged, as long as `max_connections` has room |
/// enforced | `status`: connections in use |
#[test]
fn five_thousand_idle_connections_are_no_trouble() {
    let mut site = Site::with(|config, _| {
        config.milter.push_str("max_connections = 5100\n");
    });
    site.send(BAD, OURS, REMOTE).assert_accepted();
    site.block(ENTITY);
    let idle = idle(&site, 5000);
    wait_status(&site, "5,000 connections", |it| {
        it["milter"]["connections"].as_u64() >= Some(5000)
    });
    assert_protects(&site);
    // They hold up no stop.
    assert!(site.daemon.terminate().success());
    drop(idle);
    site.daemon.start_again();
    assert_protects(&site);
}

/// A frame of the milter protocol.
fn frame(letter: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 1).unwrap().to_be_bytes();
    [&length[..], &[letter], data].concat()
}

/// | an MTA stops reading | of others: passes, judged; a stop does not wait for it | enforced
/// | `status`: its connections in use |
#[test]
fn an_mta_that_stops_reading_holds_up_nobody() {
    let mut site = restricted();
    let mut deaf = Vec::new();
    for stream in idle(&site, 20) {
        let mut stream = stream;
        stream.set_write_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let agreed = frame(b'O', &[0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff]);
        stream.write_all(&agreed).expect("a negotiation");
        stream.write_all(&frame(b'M', b"<a@example.org>\0")).expect("MAIL");
        // Until nothing more is taken, because the answers are not.
        let recipients = frame(b'R', b"<b@example.net>\0").repeat(200);
        while stream.write_all(&recipients).is_ok() {}
        deaf.push(stream);
    }
    wait_status(&site, "their connections", |it| it["milter"]["connections"].as_u64() >= Some(20));
    assert_protects(&site);
    site.daemon.fail("stop", "60");
    assert!(site.daemon.terminate().success());
    assert!(!site.daemon.log().contains("are cut off"), "it waited for them until the deadline");
    site.daemon.start_again();
    drop(deaf);
    assert_protects(&site);
}

/// | files may not grow (`LimitFSIZE=`) | as above | as above | as above |
#[test]
fn files_that_may_not_grow_end_nothing() {
    let mut site = Site::with(|config, settings| {
        // Its own log is a file, too, and has to tell.
        config.log_to = Some(settings.dir().join("log.fifo"));
        run_ok(Command::new("mkfifo").arg(settings.dir().join("log.fifo")));
        let log = settings.dir().join("connguard.log");
        let fifo = settings.dir().join("log.fifo");
        std::thread::spawn(move || {
            let mut from = std::fs::OpenOptions::new().read(true).write(true).open(fifo).unwrap();
            let mut to = std::fs::File::create(log).unwrap();
            let _ = std::io::copy(&mut from, &mut to);
        });
    });
    site.send(BAD, OURS, REMOTE).assert_accepted();
    site.block(ENTITY);
    let limit = |limit: &str| {
        let pid = site.daemon.pid().to_string();
        run_ok(Command::new("prlimit").args([
            "--pid",
            &pid,
            &format!("--fsize={limit}:unlimited"),
        ]));
    };
    limit("100");
    let answer = site.daemon.cli(&["unblock", ENTITY, "--reason", "cleaned"]).done();
    assert!(answer.stderr.contains("lifted now, not on disk"), "{answer:#?}");
    assert!(answer.stderr.contains("returns at restart"), "{answer:#?}");
    site.send(BAD, OURS, REMOTE).assert_accepted();
    site.block("client:127.0.0.9");
    site.send("127.0.0.9", OURS, REMOTE).assert_tempfail();
    site.send(GOOD, OURS, REMOTE).assert_accepted();
    wait_status(&site, "a journal that is not well", |it| it["journal"]["healthy"] == false);
    site.daemon.wait_log("the journal can't be written", SOON);
    limit("unlimited");
    wait_status(&site, "a journal that is well", |it| it["journal"]["healthy"] == true);
    site.daemon.kill9();
    site.daemon.start_again();
    site.send("127.0.0.9", OURS, REMOTE).assert_tempfail();
    site.send(BAD, OURS, REMOTE).assert_accepted();
    let before = messages(&site);
    wait_for("a message that is judged", SOON, String::new, || {
        site.send(GOOD, OURS, REMOTE).assert_accepted();
        (messages(&site) > before).then_some(())
    });
}
