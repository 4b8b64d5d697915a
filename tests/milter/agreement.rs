//! What is agreed with the MTA at the begin of a connection.

use crate::harness::{Daemon, PATIENCE, refusal};
use connguard::verdict::Action;
use indymilter_test::{Actions, MacroStage, ProtoOpts, Status, TestConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

#[tokio::test]
async fn only_what_is_needed_is_asked_for() {
    let daemon = Daemon::start();
    let mta = daemon.open().await;
    let opts = mta.conn.negotiated_opts() - ProtoOpts::SKIP;
    assert_eq!(
        opts,
        ProtoOpts::NOREPLY_CONNECT
            | ProtoOpts::NOREPLY_HELO
            | ProtoOpts::NOREPLY_MAIL
            | ProtoOpts::NOREPLY_HEADER
            | ProtoOpts::REJECTED_RCPT
            | ProtoOpts::NO_DATA
            | ProtoOpts::NO_EOH
            | ProtoOpts::NO_BODY
            | ProtoOpts::NO_UNKNOWN
    );
    assert_eq!(mta.conn.negotiated_actions(), Actions::QUARANTINE);
    let requested = mta.conn.requested_macros();
    for (stage, names) in [
        (MacroStage::Connect, &["{daemon_addr}", "{daemon_port}"][..]),
        (MacroStage::Helo, &["{cert_subject}", "{cert_issuer}"]),
        (MacroStage::Mail, &["{mail_addr}", "{auth_authen}", "{cert_subject}", "{cert_issuer}"]),
        (MacroStage::Rcpt, &["{rcpt_mailer}", "{rcpt_host}", "{rcpt_addr}"]),
        (MacroStage::Eom, &["i"]),
    ] {
        let found: Vec<_> = requested[&stage].to_str().unwrap().split(' ').collect();
        for name in names.iter().chain(&["j"]) {
            assert!(found.contains(name), "{name} at {stage:?}: {found:?}");
        }
    }
}

#[tokio::test]
async fn an_mta_that_offers_little_is_served_too() {
    let daemon = Daemon::start();
    daemon.block("client:127.0.0.8", Action::Tempfail);
    let mut mta = TestConnection::configure()
        .read_timeout(PATIENCE)
        .available_opts(ProtoOpts::NO_BODY)
        .available_actions(Actions::ADD_HEADER)
        .open_unix(daemon.socket())
        .await
        .unwrap();
    assert!(mta.requested_macros().is_empty());
    let client = [127, 0, 0, 8];
    assert_eq!(mta.connect("client", client).await.unwrap(), Status::Continue);
    assert_eq!(mta.helo("client").await.unwrap(), Status::Continue);
    assert_eq!(mta.mail(["<a@example.org>"]).await.unwrap(), Status::Continue);
    let rcpt = mta.rcpt(["<b@inbound.example>"]).await.unwrap();
    assert_eq!(rcpt, Status::Continue);
    let rcpt = mta.rcpt(["<b@example.net>"]).await.unwrap();
    assert!(refusal(rcpt).starts_with("451 4.7.1 "));
    assert_eq!(mta.data().await.unwrap(), Status::Continue);
    assert_eq!(mta.header("From", "a@example.org").await.unwrap(), Status::Continue);
    assert_eq!(mta.eoh().await.unwrap(), Status::Continue);
    assert_eq!(mta.eom().await.unwrap().1, Status::Continue);
}

fn frame(letter: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 1).unwrap().to_be_bytes();
    [&length[..], &[letter], data].concat()
}

async fn reply(stream: &mut UnixStream) -> Vec<u8> {
    let reading = async {
        let length = stream.read_u32().await.unwrap();
        let mut reply = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut reply).await.unwrap();
        reply
    };
    timeout(PATIENCE, reading).await.unwrap()
}

/// Every option and action of protocol version 6, as Postfix offers them.
fn offer() -> Vec<u8> {
    let words = [6u32, 0x1ff, 0x1f_ffff];
    frame(b'O', &words.map(u32::to_be_bytes).concat())
}

const CONNECT: &[u8] = b"client\x004\x00\x19127.0.0.8\0";

#[tokio::test]
async fn nothing_is_written_where_no_reply_is_due() {
    let daemon = Daemon::start();
    let mut stream = UnixStream::connect(daemon.socket()).await.unwrap();
    stream.write_all(&offer()).await.unwrap();
    assert_eq!(reply(&mut stream).await[0], b'O');
    let commands = [
        frame(b'D', b"Cj\0mx.example.org\0"),
        frame(b'C', CONNECT),
        frame(b'H', b"client\0"),
        frame(b'D', b"Mj\0mx.example.org\0"),
        frame(b'M', b"<a@example.org>\0"),
        frame(b'R', b"<b@example.net>\0"),
        frame(b'L', b"From\0a@example.org\0"),
        frame(b'L', b"Subject\0x\0"),
        frame(b'E', b""),
        frame(b'A', b""),
        frame(b'Q', b""),
    ];
    stream.write_all(&commands.concat()).await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    // One reply to the recipient, one to the message.
    assert_eq!(rest, [frame(b'c', b""), frame(b'c', b"")].concat());
    assert_eq!(daemon.totals("client:127.0.0.8").messages, 1);
}

#[tokio::test]
async fn commands_out_of_order_harm_nobody() {
    let daemon = Daemon::start();
    daemon.block("client:127.0.0.8", Action::Tempfail);
    for before in [
        // Before any negotiation: refused by nobody, known to nobody.
        vec![],
        vec![offer()],
    ] {
        let mut stream = UnixStream::connect(daemon.socket()).await.unwrap();
        stream.write_all(&before.concat()).await.unwrap();
        if !before.is_empty() {
            assert_eq!(reply(&mut stream).await[0], b'O');
        }
        let commands = [
            frame(b'E', b""),
            frame(b'L', b"From\0x\0"),
            frame(b'R', b"<b@example.net>\0"),
            frame(b'A', b""),
            frame(b'R', b"<b@example.net>\0"),
            frame(b'B', b"body"),
            frame(b'Q', b""),
        ];
        stream.write_all(&commands.concat()).await.unwrap();
        let mut rest = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert_eq!(rest, b"", "all of it is left unanswered");
    }
    let mut mta = daemon.client("127.0.0.8").await;
    // Twice MAIL, and twice HELO within a transaction.
    mta.mail("a@example.org", "").await;
    mta.mail("a@example.org", "").await;
    mta.helo(None).await;
    mta.mail("a@example.org", "").await;
    assert!(refusal(mta.rcpt("b@example.net").await).starts_with("451 "));
    assert_eq!(daemon.handle.status().panics, 0);
}
