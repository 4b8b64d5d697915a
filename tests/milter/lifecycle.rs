//! From the first connection to the shutdown.

use crate::harness::{Daemon, PATIENCE};
use connguard::socket::Listen;
use indymilter_test::{Status, TestConnection};
use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::UnixStream, time::timeout};

#[tokio::test]
async fn several_sockets_of_both_kinds() {
    let tcp = "inet:127.0.0.1:0".parse().unwrap();
    let daemon = Daemon::start_with(|params| params.listen.push(tcp), PATIENCE);
    let listen = daemon.handle.status().listen;
    assert_eq!(listen[0], format!("unix:{}", daemon.socket().display()));
    let Listen::Inet(address) = listen[1].parse().unwrap() else {
        panic!("{listen:?}");
    };
    assert_ne!(address.port(), 0, "the port that was given");
    let mut mta = TestConnection::open(address).await.unwrap();
    mta.connect("client", [127, 0, 0, 8]).await.unwrap();
    mta.mail(["<a@example.org>"]).await.unwrap();
    assert_eq!(mta.rcpt(["<b@example.net>"]).await.unwrap(), Status::Continue);
    assert_eq!(mta.eom().await.unwrap().1, Status::Continue);
    let mut mta = daemon.client("127.0.0.8").await;
    mta.send("a@example.org", "b@example.net").await;
    assert_eq!(daemon.totals("client:127.0.0.8").messages, 2);
}

#[tokio::test]
async fn a_shutdown_lets_messages_in_hand_finish() {
    let mut daemon = Daemon::start();
    let mut busy = daemon.client("127.0.0.7").await;
    let mut idle = daemon.client("127.0.0.8").await;
    idle.send("a@example.org", "b@example.net").await;
    busy.mail("a@example.org", "").await;
    busy.rcpt("b@example.net").await;
    daemon.stop.take().unwrap().send(()).unwrap();

    daemon.until("the idle one is closed", |daemon| daemon.handle.status().connections == 1).await;
    assert!(!daemon.socket().exists());
    assert!(UnixStream::connect(daemon.socket()).await.is_err());
    busy.header("From", "a@example.org").await;
    assert_eq!(busy.end_without_abort().await.1, Status::Continue);
    timeout(PATIENCE, &mut daemon.running).await.unwrap().unwrap().unwrap();
    assert_eq!(daemon.totals("client:127.0.0.7").messages, 1);
    assert_eq!(daemon.handle.status().connections, 0);
}

#[tokio::test]
async fn a_message_that_never_ends_is_cut_off_at_the_deadline() {
    let mut daemon = Daemon::start_with(|_| {}, Duration::from_millis(50));
    let mut busy = daemon.client("127.0.0.7").await;
    busy.mail("a@example.org", "").await;
    busy.rcpt("b@example.net").await;
    daemon.stop.take().unwrap().send(()).unwrap();
    timeout(PATIENCE, &mut daemon.running).await.unwrap().unwrap().unwrap();
    assert_eq!(daemon.totals("client:127.0.0.7").messages, 0);
}

/// A frame that says it has ten octets, and three of them.
const HALF: &[u8] = &[0, 0, 0, 10, b'M', b'<', b'a'];

#[tokio::test]
async fn half_a_frame_does_not_hold_up_a_shutdown() {
    // The deadline is an hour: none of these may be waited for until then.
    let mut daemon = Daemon::start_with(|_| {}, Duration::from_secs(3600));
    let mut halves = Vec::new();
    for length in [2, 5, HALF.len()] {
        let mut half = UnixStream::connect(daemon.socket()).await.unwrap();
        half.write_all(&HALF[..length]).await.unwrap();
        halves.push(half);
    }
    daemon.until("they are in", |daemon| daemon.handle.status().connections == 3).await;
    daemon.stop.take().unwrap().send(()).unwrap();
    timeout(PATIENCE, &mut daemon.running).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn who_takes_no_answers_does_not_hold_up_a_shutdown() {
    let mut daemon = Daemon::start_with(|_| {}, Duration::from_secs(3600));
    let mut deaf = UnixStream::connect(daemon.socket()).await.unwrap();
    let frame = |letter: u8, data: &[u8]| {
        let length = u32::try_from(data.len() + 1).unwrap().to_be_bytes();
        [&length[..], &[letter], data].concat()
    };
    // Version 6, all that can be offered.
    deaf.write_all(&frame(b'O', &[0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff])).await.unwrap();
    deaf.write_all(&frame(b'M', b"<a@example.org>\0")).await.unwrap();
    let recipients = frame(b'R', b"<b@example.net>\0").repeat(100);
    // Until nothing more is taken, because the answers are not.
    let full = async { while deaf.write_all(&recipients).await.is_ok() {} };
    let _ = timeout(Duration::from_secs(1), full).await;
    daemon.stop.take().unwrap().send(()).unwrap();
    timeout(PATIENCE, &mut daemon.running).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_shutdown_without_connections_is_immediate() {
    let mut daemon = Daemon::start();
    daemon.stop.take().unwrap().send(()).unwrap();
    timeout(PATIENCE / 2, &mut daemon.running).await.unwrap().unwrap().unwrap();
    assert!(!daemon.socket().exists());
}
