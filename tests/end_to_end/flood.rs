//! Refusing costs Postfix little: clients that retry all the time, and more
//! sessions than the daemon takes.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::harness::site::{OURS, REMOTE, Site};
use super::harness::smtp::SmtpClient;
use super::harness::{SOON, wait_for};

/// What a retrying client saw: how many sessions ended in each way.
type Seen = BTreeMap<&'static str, usize>;

/// Retries until told to stop: one session after another, in each one
/// recipient after another until the server hangs up.
fn retry(client: &str, port: u16, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::new();
    while !stop.load(Ordering::Relaxed) {
        let end = match session(client, port) {
            Ok(end) => end,
            // The listen queue is full: as for any client, try again.
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => "refused",
            Err(e) => panic!("{client}: {e}"),
        };
        *seen.entry(end).or_default() += 1;
        // As fast as no real queue would, but the machine has other work.
        thread::sleep(Duration::from_millis(100));
    }
    seen
}

fn session(client: &str, port: u16) -> std::io::Result<&'static str> {
    let mut smtp = SmtpClient::connect(client, port)?;
    smtp.read()?;
    smtp.try_say("EHLO client.test")?;
    smtp.try_say(&format!("MAIL FROM:<{OURS}>"))?;
    for _ in 0..12 {
        match smtp.try_say(&format!("RCPT TO:<{REMOTE}>"))?.code {
            451 => (),
            421 => return Ok("421"),
            code => panic!("{client}: {code} at RCPT"),
        }
    }
    Ok("kept")
}

#[test]
fn a_hundred_retrying_clients_leave_another_clients_mail_flowing() {
    let site = Site::with(|config, settings| {
        config.connector("farm", "clients = [\"127.1.0.0/16\"]");
        // Fewer processes than clients: one that is kept is missed.
        settings.smtpd_processes(40);
    });
    site.block("connector:farm");
    let port = site.postfix.port();
    let stop = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let flood: Vec<_> = (1..=100)
            .map(|n| {
                let stop = &stop;
                scope.spawn(move || retry(&format!("127.1.0.{n}"), port, stop))
            })
            .collect();
        let slowest = send_while_flooded(&site, 20);
        stop.store(true, Ordering::Relaxed);
        assert!(slowest < Duration::from_secs(10), "{slowest:?}");
        let seen = flood.into_iter().map(|it| it.join().expect("a client"));
        seen.collect::<Vec<_>>()
    });
    site.sink.wait_for(20, SOON);
    let sum = |end: &str| -> usize { seen.iter().filter_map(|it| it.get(end)).sum() };
    assert!(sum("421") >= 100, "{seen:?}");
    assert_eq!(sum("kept"), 0, "{seen:?}");
    let item = site.daemon.listed("connector:farm").expect("an entry");
    assert!(item["refused"].as_u64() >= Some(800), "{item}");
    // No smtpd waits for a client: as soon as they are gone, all is free.
    wait_for(
        "the end of the milter's sessions",
        SOON,
        || format!("{}", site.daemon.status("/milter/connections")),
        || Some(()).filter(|()| site.daemon.status("/milter/connections") == 0),
    );
}

/// Sends `n` messages from another client; returns how long the slowest
/// took from connecting to its last reply.
fn send_while_flooded(site: &Site, n: usize) -> Duration {
    let one = |_| {
        let start = Instant::now();
        site.send("127.0.0.7", OURS, REMOTE).assert_accepted();
        start.elapsed()
    };
    (0..n).map(one).max().unwrap_or_default()
}

#[test]
fn one_accepted_recipient_keeps_a_session_open() {
    let site = Site::start();
    site.block("client:127.0.0.8");
    let mut client = site.client("127.0.0.8");
    client.expect(&format!("MAIL FROM:<{OURS}>"), 250);
    client.expect("RCPT TO:<bob@example.org>", 250);
    for _ in 0..9 {
        client.expect(&format!("RCPT TO:<{REMOTE}>"), 451);
    }
    assert!(client.data(OURS, REMOTE).agrees());
}

/// | more than `max_connections` | beyond: passes (closed at once) | not enforced on those |
/// `status`: connections turned away; log line |
#[test]
fn sessions_beyond_the_limit_do_not_hang() {
    let site = Site::with(|config, settings| {
        config.milter.push_str("max_connections = 2\n");
        settings.milter_fails_to("accept");
    });
    let mut first = site.client("127.0.0.7");
    let mut second = site.client("127.0.0.7");
    for client in [&mut first, &mut second] {
        client.expect(&format!("MAIL FROM:<{OURS}>"), 250);
    }
    // Postfix does with the third what its configuration says, at once.
    let start = Instant::now();
    site.send("127.0.0.7", OURS, REMOTE).assert_accepted();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(site.daemon.status("/milter/connections"), 2);
    assert_eq!(site.daemon.status("/milter/limit"), 2);
    assert_eq!(site.daemon.status("/messages"), 0);
    assert_eq!(site.daemon.status("/milter/refused_connections"), 1);
    site.daemon.wait_log("too many milter connections", SOON);
    drop((first, second));
    wait_for(
        "room for another session",
        SOON,
        || site.daemon.log(),
        || {
            site.send("127.0.0.7", OURS, REMOTE).assert_accepted();
            Some(()).filter(|()| site.daemon.status("/messages") > 0)
        },
    );
}
