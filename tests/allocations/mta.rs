//! The MTA's side, which allocates nothing while it sends: frames are built
//! before, replies are read into an array.
//!
//! Macros and stages are those that Postfix sends to a milter which negotiates
//! as connguard does. A message with the ABORT that follows it in Postfix.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// Longest time without a reply.
const PATIENCE: Duration = Duration::from_secs(60);
/// The reply "continue": a length of one, and a letter.
const CONTINUE: [u8; 5] = *b"\0\0\0\x01c";
const HOST: &[u8] = b"mx.example.org";

/// The part of a message up to where the MTA waits for a reply.
type Step = Vec<u8>;

/// A message as it goes over the wire.
pub(crate) struct Mail(Vec<Step>);

impl Mail {
    /// Message `number`, to so many recipients.
    pub(crate) fn new(number: usize, recipients: usize) -> Self {
        let sender = format!("user{}@example.org", number % 4);
        let argument = format!("<{sender}>");
        let mut next = macros(b'M', &[("{mail_addr}", &sender)]);
        next.extend(frame(b'M', &[argument.as_bytes(), b"SIZE=4321", b"BODY=8BITMIME"]));
        let mut steps = Vec::new();
        for count in 0..recipients {
            let host = ["remote.test", "other.test", "third.test"][count % 3];
            let recipient = format!("somebody{}@{host}", number % 50 + count);
            let resolved =
                [("{rcpt_mailer}", "smtp"), ("{rcpt_host}", host), ("{rcpt_addr}", &recipient)];
            next.extend(macros(b'R', &resolved));
            next.extend(frame(b'R', &[format!("<{recipient}>").as_bytes(), b"NOTIFY=FAILURE"]));
            steps.push(std::mem::take(&mut next));
        }
        for (name, value) in headers(number, &sender) {
            next.extend(frame(b'L', &[name.as_bytes(), value.as_bytes()]));
        }
        next.extend(macros(b'E', &[("i", &format!("4bXq{number:08}"))]));
        next.extend(frame(b'E', &[]));
        steps.push(next);
        Self(steps)
    }
}

/// Ordinary headers, with a From in each of the usual forms in turn.
fn headers(number: usize, sender: &str) -> [(&'static str, String); 11] {
    let from = match number % 4 {
        0 => format!(" {sender}"),
        1 => format!(" Jane Q. Doe <{sender}>"),
        2 => format!(" \"Doe, Jane\" <{sender}>"),
        _ => format!(" =?utf-8?Q?J=C3=A4ne?=\r\n =?utf-8?Q?_Doe?= <{sender}>"),
    };
    let content_type = match number % 4 {
        0 => " text/plain; charset=\"utf-8\"",
        1 => " multipart/alternative;\r\n boundary=\"=_b;1\"",
        2 => " multipart/report; boundary=\"=_b;1\";\r\n report-type=\"feedback-report\"",
        _ => " multipart/mixed; boundary=b1",
    };
    let status = " No, score=-1.1 required=5.0 tests=ALL_TRUSTED,\r\n\tDKIM_SIGNED autolearn=ham";
    [
        ("Received", " from client.example (client.example [192.0.2.7])\r\n\tby mx".into()),
        ("From", from),
        ("To", " Somebody <somebody@remote.test>".into()),
        ("Subject", " What was agreed on Tuesday".into()),
        ("Date", " Sun, 22 Nov 2026 10:00:00 +0000".into()),
        ("Message-ID", format!(" <{number}.1795@client.example.org>")),
        ("MIME-Version", " 1.0".into()),
        ("Content-Type", content_type.into()),
        ("X-Mailer", " Mailer 1.0".into()),
        ("X-Spam-Flag", " NO".into()),
        ("X-Spam-Status", status.into()),
    ]
}

/// One connection of the MTA.
pub(crate) struct Mta {
    stream: UnixStream,
}

impl Mta {
    /// Connects and negotiates; gives the milter's side of that too.
    pub(crate) fn open(socket: &Path) -> (Self, Vec<u8>) {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut mta = Self { stream };
        let everything = [6_u32, 0x1ff, 0x1f_ffff].map(u32::to_be_bytes).concat();
        mta.write(&[&length(&everything)[..], b"O", &everything].concat());
        let mut head = [0; 4];
        mta.stream.read_exact(&mut head).unwrap();
        let mut offer = vec![0; usize::try_from(u32::from_be_bytes(head)).unwrap()];
        mta.stream.read_exact(&mut offer).unwrap();
        (mta, offer)
    }

    /// Begins the session of the SMTP client at this address.
    pub(crate) fn connect(&mut self, address: &str) {
        let service =
            [("{daemon_addr}", "127.0.0.1"), ("{daemon_port}", "25"), ("{client_addr}", address)];
        self.write(&macros(b'C', &service));
        let port = 40_025_u16.to_be_bytes();
        let socket = [&b"client.example\x004"[..], &port, address.as_bytes(), b"\0"].concat();
        self.write(&[&length(&socket)[..], b"C", &socket].concat());
        self.write(&[macros(b'H', &[]), frame(b'H', &[b"client.example"])].concat());
    }

    /// Sends a message, which must pass.
    pub(crate) fn send(&mut self, mail: &Mail) {
        for step in &mail.0 {
            self.write(step);
            let mut reply = [0; CONTINUE.len()];
            self.stream.read_exact(&mut reply).unwrap();
            assert_eq!(reply, CONTINUE);
        }
        self.write(b"\0\0\0\x01A");
    }

    fn write(&mut self, frames: &[u8]) {
        self.stream.write_all(frames).unwrap();
    }
}

/// Length of a frame with this data: the letter counts too.
fn length(data: &[u8]) -> [u8; 4] {
    u32::try_from(data.len() + 1).unwrap().to_be_bytes()
}

/// A frame whose data are texts, each with its end.
fn frame(letter: u8, texts: &[&[u8]]) -> Vec<u8> {
    let data: Vec<u8> = texts.iter().flat_map(|text| [text, &b"\0"[..]].concat()).collect();
    [&length(&data)[..], &[letter], &data].concat()
}

/// The macros of a stage. This host's name is always among them.
fn macros(stage: u8, given: &[(&str, &str)]) -> Vec<u8> {
    let mut data = [&[stage, b'j', 0], HOST, b"\0"].concat();
    for (name, value) in given {
        data.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    [&length(&data)[..], b"D", &data].concat()
}
