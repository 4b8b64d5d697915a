//! Our own faults, and too many connections.

use crate::harness::{Daemon, PATIENCE, refusal};
use connguard::{milter::Params, verdict::Action};
use indymilter_test::{Status, TestConnection};
use std::sync::atomic::Ordering::Relaxed;
use tokio::{io::AsyncReadExt, net::UnixStream, time::timeout};

#[tokio::test]
async fn a_callback_that_panics_keeps_restrictions_and_lets_others_pass() {
    let daemon = Daemon::start();
    daemon.block("client:127.0.0.8", Action::Reject);
    let mut good = daemon.client("127.0.0.7").await;
    let mut bad = daemon.client("127.0.0.8").await;
    good.send("a@example.org", "b@example.net").await;
    bad.mail("a@example.org", "").await;
    assert_eq!(bad.rcpt("b@inbound.example").await, Status::Continue);
    good.mail("a@example.org", "").await;
    assert_eq!(good.rcpt("b@example.net").await, Status::Continue);

    daemon.broken_clock.store(true, Relaxed);
    assert_eq!(good.rcpt("c@example.net").await, Status::Continue);
    assert_eq!(good.end().await.1, Status::Continue);
    // Never reject by our own fault.
    let refused = bad.rcpt("b@example.net").await;
    assert_eq!(refusal(refused), "451 4.7.1 100%% stopped, case C-000001");
    assert!(refusal(bad.end().await.1).starts_with("451 4.7.1 "));
    assert_eq!(daemon.handle.status().panics, 4);

    // The sessions and the daemon go on.
    daemon.broken_clock.store(false, Relaxed);
    assert_eq!(good.send("a@example.org", "b@example.net").await, Status::Continue);
    let refused = bad.send("a@example.org", "b@example.net").await;
    assert!(refusal(refused).starts_with("550 5.7.1 "));
    let mut next = daemon.client("127.0.0.7").await;
    assert_eq!(next.send("a@example.org", "b@example.net").await, Status::Continue);
}

#[tokio::test]
async fn too_many_connections_are_closed_at_once_and_told() {
    let daemon = Daemon::start_with(|params| params.max_connections = 2, PATIENCE);
    let mut first = daemon.client("127.0.0.7").await;
    let second = daemon.client("127.0.0.8").await;
    let mut third = UnixStream::connect(daemon.socket()).await.unwrap();
    let read = timeout(PATIENCE, third.read_u8()).await.expect("no hanging");
    assert!(read.is_err());
    let status = daemon.handle.status();
    assert_eq!((status.connections, status.limit, status.refused_connections), (2, 2, 1));

    // Those that are in go on; a place that gets free is given away.
    assert_eq!(first.send("a@example.org", "b@example.net").await, Status::Continue);
    second.conn.close().await.unwrap();
    daemon.until("a place", |daemon| daemon.handle.status().connections == 1).await;
    let _fourth = daemon.client("127.0.0.8").await;

    // A reload can raise the limit.
    daemon.handle.reconfigure(Params { max_connections: 3, ..daemon.params.clone() });
    let _fifth = daemon.client("127.0.0.9").await;
    assert_eq!(daemon.handle.status().limit, 3);
}

#[tokio::test]
async fn garbage_costs_only_its_own_connection() {
    let daemon = Daemon::start();
    for garbage in [&b"GET / HTTP/1.0\r\n\r\n"[..], &[0xff; 64], &[0; 64]] {
        let mut stream = UnixStream::connect(daemon.socket()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, garbage).await.unwrap();
    }
    daemon.until("they are gone", |daemon| daemon.handle.status().connections == 0).await;
    assert!(TestConnection::configure().open_unix(daemon.socket()).await.is_ok());
}

#[tokio::test]
async fn a_reload_reaches_the_next_message_of_an_open_session() {
    let daemon = Daemon::start();
    let mut mta = daemon.client("192.0.2.1").await;
    mta.mail("a@example.org", "alice").await;
    mta.rcpt("b@example.net").await;
    daemon
        .handle
        .reconfigure(Params { login_realm: Some("new.example".into()), ..daemon.params.clone() });
    mta.end().await;
    mta.mail("a@example.org", "alice").await;
    mta.rcpt("b@example.net").await;
    mta.end().await;
    assert_eq!(daemon.totals("login:alice@example.org").messages, 1);
    assert_eq!(daemon.totals("login:alice@new.example").messages, 1);
}
