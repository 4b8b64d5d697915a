//! Messages through the milter, in one thread: both sides on one runtime, over a
//! Unix socket. The side of Postfix is bytes that were made before, so that
//! little is counted beside the milter, its library and the runtime.

use super::support::NOW;
use connguard::{
    engine::Engine,
    header::{DEFAULT_SPAM_HEADERS, SpamHeaders},
    milter::{Milter, Params},
    socket::{Inherited, Listen},
};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    runtime::{Builder, Runtime},
};

/// A session that has greeted.
pub(crate) struct Dialogue {
    runtime: Runtime,
    stream: UnixStream,
    /// Up to RCPT, and from there to the end.
    message: [Vec<u8>; 2],
    _folder: TempDir,
}

const HEADERS: [(&str, &str); 10] = [
    ("Received", "from client (client.example.org [10.0.0.7]) by mx.example.org; Sun, 22 Nov 2026"),
    ("From", "\"Alice Example\" <alice@example.org>"),
    ("To", "user0@remote.test"),
    ("Subject", "The minutes of the meeting"),
    ("Date", "Sun, 22 Nov 2026 06:25:01 +0000"),
    ("Message-ID", "<20261122062501.4711@client.example.org>"),
    ("MIME-Version", "1.0"),
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Content-Transfer-Encoding", "8bit"),
    ("User-Agent", "Mail"),
];

impl Dialogue {
    /// Client 7 at a milter with this engine.
    pub(crate) fn begin(engine: Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("milter.sock");
        let params = Params {
            listen: vec![Listen::Unix(socket.clone())],
            max_connections: 10,
            ignore_daemons: Vec::new(),
            login_realm: None,
            spam_headers: SpamHeaders::parse(&DEFAULT_SPAM_HEADERS).unwrap(),
        };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let stream = runtime.block_on(async {
            let milter =
                Milter::bind(params, Arc::new(engine), || NOW, &mut Inherited::none()).unwrap();
            tokio::spawn(milter.run(std::future::pending::<()>(), Duration::ZERO));
            let mut stream = UnixStream::connect(socket).await.unwrap();
            negotiate(&mut stream).await;
            stream.write_all(&greeting()).await.unwrap();
            stream
        });
        Self { runtime, stream, message: message(), _folder: folder }
    }

    /// One message, which passes.
    pub(crate) fn message(&mut self) {
        let Self { runtime, stream, message, .. } = self;
        runtime.block_on(async {
            for part in message {
                stream.write_all(part).await.unwrap();
                let mut reply = [0; 5];
                stream.read_exact(&mut reply).await.unwrap();
                assert_eq!(&reply, b"\0\0\0\x01c");
            }
        });
    }
}

/// Offers all that there is, as Postfix does.
async fn negotiate(stream: &mut UnixStream) {
    let mut offer = Vec::new();
    for number in [6_u32, 0x1ff, 0x001f_ffff] {
        offer.extend(number.to_be_bytes());
    }
    let mut packets = Vec::new();
    packet(&mut packets, b'O', &offer);
    stream.write_all(&packets).await.unwrap();
    let length = stream.read_u32().await.unwrap();
    let mut answer = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer.first(), Some(&b'O'));
}

fn greeting() -> Vec<u8> {
    let mut packets = Vec::new();
    let daemon = [("{daemon_addr}", "127.0.0.1"), ("{daemon_port}", "25")];
    macros(&mut packets, b'C', &[&daemon[..], &[("{client_addr}", "10.0.0.7")]].concat());
    packet(&mut packets, b'C', b"client.example.org\x004\x30\x3910.0.0.7\0");
    macros(&mut packets, b'H', &[]);
    packet(&mut packets, b'H', b"client.example.org\0");
    packets
}

fn message() -> [Vec<u8>; 2] {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    macros(&mut first, b'M', &[("{mail_addr}", "user@example.org")]);
    packet(&mut first, b'M', b"<user@example.org>\0SIZE=2314\0");
    let to = [
        ("{rcpt_mailer}", "smtp"),
        ("{rcpt_host}", "remote.test"),
        ("{rcpt_addr}", "user0@remote.test"),
    ];
    macros(&mut first, b'R', &to);
    packet(&mut first, b'R', b"<user0@remote.test>\0");
    for (name, value) in HEADERS {
        packet(&mut second, b'L', format!("{name}\0{value}\0").as_bytes());
    }
    macros(&mut second, b'E', &[("i", "4Abc7d0fzXz1xy")]);
    packet(&mut second, b'E', b"");
    [first, second]
}

/// Macros of a stage, with that which is always defined.
fn macros(packets: &mut Vec<u8>, stage: u8, values: &[(&str, &str)]) {
    let mut data = vec![stage];
    for (name, value) in [("j", "mx.example.org")].iter().chain(values) {
        data.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    }
    packet(packets, b'D', &data);
}

fn packet(packets: &mut Vec<u8>, kind: u8, data: &[u8]) {
    let length = u32::try_from(data.len() + 1).unwrap();
    packets.extend(length.to_be_bytes());
    packets.push(kind);
    packets.extend_from_slice(data);
}
