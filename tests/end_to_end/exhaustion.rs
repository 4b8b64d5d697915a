//! A thousand clients at the control socket that send nothing, never end their line or
//! never read: an operator's command gets through, mail is answered, and they take no
//! more of the daemon than there is room for.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use connguard::command::Command;
use connguard::control::ask;

use super::harness::site::{OURS, REMOTE, Site};
use super::harness::{SOON, wait_for};

/// Clients of each kind, of four: one sends nothing, two never end their line, one never
/// reads.
const EACH: usize = 250;
/// What the daemon opens for clients of the control socket at the most, with those that
/// were told to go.
const ROOM: usize = 256 + 64;
/// Octets that it may take for them.
const MEMORY: u64 = 128 << 20;

const LIST: &[u8] = b"{\"v\":1,\"do\":{\"list\":{\"all\":true}}}\n";

fn entity(number: usize) -> String {
    format!("login:user{number}@example.org")
}

/// So many restrictions that a list of them does not fit into what the system keeps for
/// a client that does not read.
fn restrict_many(site: &Site) {
    let socket = site.daemon.files().control_socket();
    thread::scope(|scope| {
        for thread in 0..8 {
            let socket = &socket;
            scope.spawn(move || {
                for number in (thread..800).step_by(8) {
                    let reason = "x".repeat(400);
                    let entity = entity(number);
                    let block = Command::Block { entity, reason, span_s: None, action: None };
                    ask(socket, block, |_| Ok(())).expect("a block");
                }
            });
        }
    });
}

fn connect(site: &Site, kind: usize) -> UnixStream {
    let mut stream = UnixStream::connect(site.daemon.files().control_socket()).expect("a client");
    stream.set_write_timeout(Some(SOON)).expect("a timeout");
    // Who is turned away at once can't write any more.
    let _ = match kind {
        0 => Ok(()),
        1 | 2 => stream.write_all(&[b'x'; 60_000]),
        _ => stream.write_all(LIST),
    };
    stream
}

fn of_process(site: &Site, what: &str) -> u64 {
    let path = format!("/proc/{}/{what}", site.daemon.pid());
    if what == "fd" {
        return fs::read_dir(path).expect("its descriptors").count() as u64;
    }
    let status = fs::read_to_string(path).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn a_thousand_control_clients_that_hang_keep_nobody_waiting() {
    let site = Site::start();
    let mut mail = site.client("127.0.0.7");
    mail.send(OURS, REMOTE).assert_accepted();
    restrict_many(&site);
    let (files, memory) = (of_process(&site, "fd"), of_process(&site, "status"));

    let mut clients = Vec::new();
    for number in 0..EACH {
        for kind in 0..4 {
            clients.push(connect(&site, kind));
        }
        if number % 50 == 0 {
            mail.send(OURS, REMOTE).assert_accepted();
        }
    }
    // Each of these is done, or the CLI would say that it was turned away.
    for number in 0..5 {
        site.daemon.cli(&["unblock", &entity(number), "--reason", "cleaned"]).done();
        site.daemon.cli(&["status"]).done();
        mail.send(OURS, REMOTE).assert_accepted();
    }
    let opened = of_process(&site, "fd").saturating_sub(files);
    assert!(opened <= ROOM as u64, "{opened} descriptors");
    let grown = of_process(&site, "status").saturating_sub(memory);
    assert!(grown <= MEMORY, "{grown} octets");
    let told = site.daemon.log();
    assert!(told.contains("clients were turned away"), "{told}");

    // All of them are gone by themselves.
    wait_for(
        "the clients to be dropped",
        Duration::from_secs(60),
        || site.daemon.log(),
        || Some(()).filter(|()| of_process(&site, "fd") <= files + 5),
    );
    assert!(site.daemon.listed(&entity(4)).is_none() && site.daemon.listed(&entity(5)).is_some());
    // Who sent nothing was told why.
    let mut answer = String::new();
    clients[0].read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("too many use the control socket"), "{answer}");
}

#[test]
fn a_line_without_end_is_answered_and_ended() {
    let site = Site::start();
    let mut stream = connect(&site, 1);
    // Until the daemon closes: it never reads more than a request may have.
    let ended = (0..10_000).any(|_| stream.write_all(&[b'x'; 60_000]).is_err());
    assert!(ended, "600 MB were read");
    let mut mail = site.client("127.0.0.7");
    mail.send(OURS, REMOTE).assert_accepted();
}
