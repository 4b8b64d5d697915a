//! A small SMTP client that says exactly what a test tells it to, from the
//! loopback address that the test names. No TLS: see [`super::swaks`].

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::TcpSocket;

/// What a server answered: its code and its text, one line per line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) text: String,
}

impl Reply {
    /// Whether the server agreed (2xx, or 354 at DATA).
    pub(crate) fn agrees(&self) -> bool {
        self.code < 400
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

/// Where a message met its last reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Mail,
    Rcpt,
    End,
}

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) stage: Stage,
    pub(crate) reply: Reply,
}

impl Outcome {
    pub(crate) fn accepted(&self) -> bool {
        self.reply.agrees()
    }

    #[track_caller]
    pub(crate) fn assert_accepted(&self) {
        assert!(self.accepted(), "refused: {self:?}");
    }

    /// Refused by connguard with its default tempfail and a case id.
    #[track_caller]
    pub(crate) fn assert_tempfail(&self) {
        self.assert_refused(451, "4.7.1");
    }

    #[track_caller]
    pub(crate) fn assert_refused(&self, code: u16, enhanced: &str) {
        assert_eq!(self.reply.code, code, "{self:?}");
        let text = &self.reply.text;
        assert!(text.starts_with(enhanced), "{self:?}");
        assert!(case_in(text).is_some(), "no case id in {self:?}");
    }
}

/// The case id (`C-000001`) in a text, if there is one.
pub(crate) fn case_in(text: &str) -> Option<String> {
    let at = text.find("C-")?;
    let digits: String = text[at + 2..].chars().take_while(char::is_ascii_digit).collect();
    (digits.len() >= 6).then(|| format!("C-{digits}"))
}

/// A message as a test describes it.
#[derive(Debug, Clone)]
pub(crate) struct Letter<'a> {
    /// The envelope.
    pub(crate) from: &'a str,
    pub(crate) to: Vec<&'a str>,
    /// The address in the From header.
    pub(crate) author: &'a str,
    /// More header lines, each with its line end.
    pub(crate) header: &'a str,
}

impl<'a> Letter<'a> {
    /// From its author to one recipient.
    pub(crate) fn new(from: &'a str, to: &'a str) -> Self {
        Self { from, to: vec![to], author: from, header: "" }
    }
}

/// One SMTP session.
pub(crate) struct SmtpClient {
    stream: BufReader<TcpStream>,
}

impl SmtpClient {
    /// Connects from `from` to 127.0.0.1:`port`, reads the greeting and says
    /// EHLO.
    pub(crate) fn open(from: &str, port: u16) -> Self {
        Self::open_as(from, port, b"client.test")
    }

    /// As [`Self::open`], and calls itself this.
    pub(crate) fn open_as(from: &str, port: u16, name: &[u8]) -> Self {
        let mut client = Self::connect(from, port).unwrap_or_else(|e| panic!("{from}: {e}"));
        let reply = client.read().expect("a greeting");
        assert_eq!(reply.code, 220, "greeting: {reply}");
        let reply = client.try_say_raw(&[b"EHLO ", name].concat()).expect("an answer to EHLO");
        assert_eq!(reply.code, 250, "EHLO: {reply}");
        client
    }

    /// Only connects. The greeting is still to be read.
    pub(crate) fn connect(from: &str, port: u16) -> std::io::Result<Self> {
        let from: Ipv4Addr = from.parse().expect("a loopback address");
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // std cannot bind before it connects; tokio can.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let stream = runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from((from, 0)))?;
            socket.connect(to).await?.into_std()
        })?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Says one line and reads the reply to it.
    pub(crate) fn say(&mut self, line: &str) -> Reply {
        self.try_say(line).unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    /// As [`Self::say`], for sessions that the server may end.
    pub(crate) fn try_say(&mut self, line: &str) -> std::io::Result<Reply> {
        self.try_say_raw(line.as_bytes())
    }

    /// As [`Self::try_say`], for octets that are no text.
    pub(crate) fn try_say_raw(&mut self, line: &[u8]) -> std::io::Result<Reply> {
        self.stream.get_mut().write_all(&[line, b"\r\n"].concat())?;
        self.read()
    }

    /// Says one line; the reply must have this code.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str, code: u16) -> Reply {
        let reply = self.say(line);
        assert_eq!(reply.code, code, "{line}: {reply}");
        reply
    }

    pub(crate) fn mail(&mut self, from: &str) -> Reply {
        self.say(&format!("MAIL FROM:<{from}>"))
    }

    pub(crate) fn rcpt(&mut self, to: &str) -> Reply {
        self.say(&format!("RCPT TO:<{to}>"))
    }

    /// DATA, a small message with these addresses and a Message-ID of its
    /// own, and its end.
    pub(crate) fn data(&mut self, from: &str, to: &str) -> Reply {
        self.content(&Letter::new(from, to))
    }

    /// As [`Self::data`], with the header that the letter describes.
    pub(crate) fn content(&mut self, letter: &Letter<'_>) -> Reply {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let reply = self.say("DATA");
        if reply.code != 354 {
            return reply;
        }
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let Letter { author, to, header, .. } = letter;
        let to = to.join(">, <");
        self.say(&format!(
            "Message-ID: <{serial}@client.test>\r\nFrom: <{author}>\r\nTo: <{to}>\r\n\
             Subject: test\r\n{header}\r\nHello.\r\n."
        ))
    }

    /// One whole message in this session, to one recipient. Stops at the
    /// first refusal, with RSET so that the session can go on.
    pub(crate) fn send(&mut self, from: &str, to: &str) -> Outcome {
        self.post(&Letter::new(from, to))
    }

    /// As [`Self::send`], for any letter: all of its recipients must be
    /// accepted.
    pub(crate) fn post(&mut self, letter: &Letter<'_>) -> Outcome {
        let mut outcome = Outcome { stage: Stage::Mail, reply: self.mail(letter.from) };
        for to in &letter.to {
            if outcome.accepted() {
                outcome = Outcome { stage: Stage::Rcpt, reply: self.rcpt(to) };
            }
        }
        if outcome.accepted() {
            return Outcome { stage: Stage::End, reply: self.content(letter) };
        }
        if outcome.reply.code != 421 {
            self.expect("RSET", 250);
        }
        outcome
    }

    /// Makes this session look like one from another client (`ADDR=…`) or
    /// with a login (`LOGIN=…`), and greets again.
    pub(crate) fn xclient(&mut self, attributes: &str) {
        self.expect(&format!("XCLIENT {attributes}"), 220);
        self.expect("EHLO client.test", 250);
    }

    /// Reads one reply; an error where the server closes the connection.
    pub(crate) fn read(&mut self) -> std::io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            let (code, rest) = line.split_at_checked(3).expect("a reply line");
            lines.push(rest.get(1..).unwrap_or("").to_owned());
            if !rest.starts_with('-') {
                return Ok(Reply {
                    code: code.parse().expect("a reply code"),
                    text: lines.join("\n"),
                });
            }
        }
    }
}

impl Drop for SmtpClient {
    fn drop(&mut self) {
        // Politeness only: the session may be over already.
        let _ = self.stream.get_mut().write_all(b"QUIT\r\n");
    }
}
