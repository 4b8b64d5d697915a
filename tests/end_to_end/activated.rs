//! A socket that the service manager holds: a restart refuses nobody.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use super::harness::SOON;
use super::harness::site::{OURS, REMOTE, Site};
use super::harness::smtp::SmtpClient;

/// What an MTA says first: its version of the protocol, actions and steps it knows.
const NEGOTIATE: &[u8] = b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff";

/// | restart with a socket that the service manager holds | passes, judged | whoever asks
/// meanwhile waits and is served | nothing in Postfix's log |
#[test]
fn who_asks_during_a_restart_is_served() {
    let mut site = Site::with(|config, _| config.activated = true);
    site.block("client:127.0.0.8");
    site.send("127.0.0.8", OURS, REMOTE).assert_tempfail();
    assert!(site.daemon.terminate().success());

    // Nobody runs, and yet nobody is refused.
    let mut waiting = UnixStream::connect(site.daemon.files().milter_socket()).unwrap();
    waiting.write_all(NEGOTIATE).unwrap();
    let port = site.postfix.port();
    let sessions = ["127.0.0.7", "127.0.0.8"]
        .map(|from| thread::spawn(move || SmtpClient::open(from, port).send(OURS, REMOTE)));
    site.daemon.start_again();

    waiting.set_read_timeout(Some(SOON)).unwrap();
    let mut answer = [0; 5];
    waiting.read_exact(&mut answer).unwrap();
    assert_eq!(answer[4], b'O', "{answer:?}");
    let [free, blocked] = sessions.map(|session| session.join().unwrap());
    free.assert_accepted();
    blocked.assert_tempfail();
    let log = site.postfix.log();
    assert!(!log.contains("connect to Milter service"), "{log}");
}

#[test]
fn a_socket_that_no_place_names_is_told_and_the_others_are_bound() {
    let site = Site::with(|config, _| {
        config.activated = true;
        config.elsewhere = true;
    });
    let line = site.daemon.wait_log("the service manager listens on unix:", SOON);
    assert!(line.contains("handed.sock"), "{line}");
    assert!(line.contains("systemctl disable --now connguard.socket"), "{line}");
    site.block("client:127.0.0.8");
    site.send("127.0.0.8", OURS, REMOTE).assert_tempfail();
}
