//! A message as octets, with the places where a reply must be waited for: all
//! that lies between two of them goes out in one write, as Postfix's buffer
//! sends it.

use super::{
    frame::{self, Negotiated, frame},
    macros::{Macros, Stage, client_address, client_name, client_port},
    mail::Letter,
};
use std::sync::Arc;

/// What a server is sent, as far as it is the same for every message.
#[derive(Debug)]
pub(crate) struct Plan {
    negotiated: Negotiated,
    macros: Macros,
    recipients: u64,
    headers: bool,
    /// The body as a frame; empty where it is not asked for.
    body: Vec<u8>,
    /// Headers that are the same in every message, as frames.
    fixed: Vec<Vec<u8>>,
}

/// The octets of one message. Kept for the next one.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) octets: Vec<u8>,
    pub(crate) stops: Vec<Stop>,
}

/// A reply is waited for when the octets before `end` are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) end: usize,
    pub(crate) at: At,
}

/// What is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum At {
    Recipient,
    End,
    /// Anything before the recipients.
    Before,
    /// Data, headers, body.
    Content,
}

impl Plan {
    /// For a server that negotiated this: messages to so many recipients, with a
    /// body of so many octets (at most 65,535, one chunk of Postfix).
    pub(crate) fn new(negotiated: Negotiated, recipients: usize, body: usize) -> Arc<Self> {
        let macros = Macros::new(&negotiated);
        let chunk = if negotiated.has(frame::NO_BODY) { 0 } else { body.min(65_535) };
        let mut octets = Vec::new();
        if chunk > 0 {
            let line =
                b"Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod.\r\n";
            frame(&mut octets, b'B', |out| out.extend(line.iter().cycle().take(chunk)));
        }
        let mut plan = Self {
            macros,
            recipients: u64::try_from(recipients).unwrap_or(1),
            headers: !negotiated.has(frame::NO_HEADERS),
            body: octets,
            fixed: Vec::new(),
            negotiated,
        };
        plan.fixed = [
            ("Date", "Mon, 23 Nov 2026 09:30:00 +0100"),
            ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=utf-8; format=flowed"),
            ("Content-Transfer-Encoding", "8bit"),
            ("User-Agent", "Mozilla Thunderbird"),
        ]
        .map(|(name, value)| {
            let mut octets = Vec::new();
            plan.header(&mut octets, name, |out| out.extend_from_slice(value.as_bytes()));
            octets
        })
        .into();
        Arc::new(plan)
    }

    /// Writes CONNECT and HELO of a session.
    pub(crate) fn begin(&self, script: &mut Script, letter: Letter) {
        self.stage(script, Stage::Connect, letter, 0, |out| {
            frame(out, b'C', |out| {
                client_name(out, letter.client);
                out.extend_from_slice(&[0, b'4']);
                out.extend_from_slice(&client_port(letter.client).to_be_bytes());
                client_address(out, letter.client);
                out.push(0);
            });
        });
        self.stage(script, Stage::Helo, letter, 0, |out| {
            frame(out, b'H', |out| {
                client_name(out, letter.client);
                out.push(0);
            });
        });
    }

    /// Writes a message, from MAIL to its end.
    pub(crate) fn message(&self, script: &mut Script, letter: Letter) {
        self.stage(script, Stage::Mail, letter, 0, |out| {
            frame(out, b'M', |out| {
                out.push(b'<');
                letter.sender(out);
                out.extend_from_slice(b">\0SIZE=4711\0BODY=8BITMIME\0");
            });
        });
        for nth in 0..self.recipients {
            self.stage(script, Stage::Rcpt, letter, nth, |out| {
                frame(out, b'R', |out| {
                    out.push(b'<');
                    letter.recipient(out, nth);
                    out.extend_from_slice(b">\0");
                });
            });
        }
        self.stage(script, Stage::Data, letter, 0, |out| frame(out, b'T', |_| {}));
        if self.headers {
            self.headers(script, letter);
        }
        self.stage(script, Stage::Eoh, letter, 0, |out| frame(out, b'N', |_| {}));
        if !self.body.is_empty() {
            script.octets.extend_from_slice(&self.body);
            self.stop(script, frame::SILENT_BODY, At::Content);
        }
        self.macros.write(&mut script.octets, Stage::Eom, letter, 0);
        frame(&mut script.octets, b'E', |_| {});
        self.stop(script, 0, At::End);
    }

    /// Macros, the command where it is asked for, and the reply where there is one.
    fn stage(
        &self,
        script: &mut Script,
        stage: Stage,
        letter: Letter,
        nth: u64,
        command: impl FnOnce(&mut Vec<u8>),
    ) {
        let (never, silent, at) = match stage {
            Stage::Connect => (frame::NO_CONNECT, frame::SILENT_CONNECT, At::Before),
            Stage::Helo => (frame::NO_HELO, frame::SILENT_HELO, At::Before),
            Stage::Mail => (frame::NO_MAIL, frame::SILENT_MAIL, At::Before),
            Stage::Rcpt => (frame::NO_RCPT, frame::SILENT_RCPT, At::Recipient),
            Stage::Data => (frame::NO_DATA, frame::SILENT_DATA, At::Content),
            Stage::Eoh => (frame::NO_EOH, frame::SILENT_EOH, At::Content),
            Stage::Eom => (0, 0, At::End),
        };
        self.macros.write(&mut script.octets, stage, letter, nth);
        if !self.negotiated.has(never) {
            command(&mut script.octets);
            self.stop(script, silent, at);
        }
    }

    fn headers(&self, script: &mut Script, letter: Letter) {
        let sender = |out: &mut Vec<u8>| letter.sender(out);
        self.varied(script, "Received", |out| {
            out.extend_from_slice(b"from [192.168.1.17] (pc.example.org [192.168.1.17])\n\tby ");
            client_name(out, letter.client);
            out.extend_from_slice(b" (Postfix) with ESMTPSA id ");
            letter.queue_id(out);
            out.extend_from_slice(b";\n\tMon, 23 Nov 2026 09:30:00 +0100 (CET)");
        });
        self.varied(script, "Message-ID", |out| {
            out.push(b'<');
            letter.queue_id(out);
            out.extend_from_slice(b".4711@dept.example.org>");
        });
        self.varied(script, "From", |out| {
            out.extend_from_slice(b"\"Doe, Jane\" <");
            sender(out);
            out.push(b'>');
        });
        self.varied(script, "To", |out| {
            for nth in 0..self.recipients {
                out.extend_from_slice(if nth == 0 { b"" } else { b",\n " });
                letter.recipient(out, nth);
            }
        });
        self.varied(script, "Subject", |out| {
            out.extend_from_slice(b"Your order ");
            letter.queue_id(out);
            out.extend_from_slice(b" has been sent");
        });
        for header in &self.fixed {
            script.octets.extend_from_slice(header);
            self.stop(script, frame::SILENT_HEADER, At::Content);
        }
    }

    fn varied(&self, script: &mut Script, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        self.header(&mut script.octets, name, value);
        self.stop(script, frame::SILENT_HEADER, At::Content);
    }

    fn header(&self, out: &mut Vec<u8>, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        frame(out, b'L', |out| {
            out.extend_from_slice(name.as_bytes());
            out.push(0);
            if self.negotiated.has(frame::LEADING_SPACE) {
                out.push(b' ');
            }
            value(out);
            out.push(0);
        });
    }

    /// A reply is waited for here, unless this option says that there is none.
    fn stop(&self, script: &mut Script, silent: u32, at: At) {
        if !self.negotiated.has(silent) {
            script.stops.push(Stop { end: script.octets.len(), at });
        }
    }
}

impl Script {
    /// For the next message. After a message Postfix sends ABORT, with the
    /// next write.
    pub(crate) fn clear(&mut self, after_message: bool) {
        self.octets.clear();
        self.stops.clear();
        if after_message {
            frame(&mut self.octets, b'A', |_| {});
        }
    }
}
