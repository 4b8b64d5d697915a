//! Macros beside each command, as Postfix 3.7 sends them: those that the server
//! asked for, else those of Postfix's own lists; empty ones are left out. Those
//! of stages that are not sent are sent all the same.

use super::{
    frame::{Negotiated, STAGES, frame},
    mail::{Letter, address, number, recipient_domain, sender_domain},
};
use std::io::Write;

/// Stages, by the number that the negotiation has for them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    Connect = 0,
    Helo = 1,
    Mail = 2,
    Rcpt = 3,
    Data = 4,
    Eom = 5,
    Eoh = 6,
}

const DEFAULTS: [&str; STAGES] = [
    "j {daemon_name} {daemon_addr} v _",
    "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}",
    "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}",
    "i {rcpt_addr} {rcpt_host} {rcpt_mailer}",
    "i",
    "i",
    "i",
];
const KINDS: [u8; STAGES] = *b"CHMRTEN";

/// Macros of every stage, ready to be written.
#[derive(Debug)]
pub(crate) struct Macros([Vec<Macro>; STAGES]);

#[derive(Debug)]
struct Macro {
    /// With its NUL.
    name: Vec<u8>,
    value: Value,
}

#[derive(Clone, Copy, Debug)]
enum Value {
    /// The same in every message.
    Fixed(&'static str),
    ClientAddress,
    /// Name and address in brackets.
    Client,
    ClientName,
    ClientPort,
    SenderAddress,
    SenderDomain,
    RecipientAddress,
    RecipientDomain,
    QueueId,
}

impl Value {
    /// None: Postfix has no value for it in mail of this kind.
    fn of(name: &str) -> Option<Self> {
        Some(match name.trim_matches(['{', '}']) {
            "j" => Self::Fixed("mx.example.org"),
            "v" => Self::Fixed("Postfix 3.7.11"),
            "daemon_name" => Self::Fixed("mx.example.org"),
            "daemon_addr" => Self::Fixed("10.255.255.254"),
            "daemon_port" => Self::Fixed("25"),
            "client_connections" => Self::Fixed("1"),
            "mail_mailer" | "rcpt_mailer" => Self::Fixed("smtp"),
            "client_addr" => Self::ClientAddress,
            "client_name" | "client_ptr" => Self::ClientName,
            "client_port" => Self::ClientPort,
            "_" => Self::Client,
            "mail_addr" => Self::SenderAddress,
            "mail_host" => Self::SenderDomain,
            "rcpt_addr" => Self::RecipientAddress,
            "rcpt_host" => Self::RecipientDomain,
            "i" => Self::QueueId,
            _ => return None,
        })
    }

    fn write(self, out: &mut Vec<u8>, letter: Letter, nth: u64) {
        match self {
            Self::Fixed(text) => out.extend_from_slice(text.as_bytes()),
            Self::ClientAddress => client_address(out, letter.client),
            Self::ClientName => client_name(out, letter.client),
            Self::ClientPort => number(out, client_port(letter.client).into()),
            Self::Client => {
                client_name(out, letter.client);
                out.extend_from_slice(b" [");
                client_address(out, letter.client);
                out.push(b']');
            }
            Self::SenderAddress => letter.sender(out),
            Self::SenderDomain => sender_domain(out, letter.client),
            Self::RecipientAddress => letter.recipient(out, nth),
            Self::RecipientDomain => recipient_domain(out, letter, nth),
            Self::QueueId => letter.queue_id(out),
        }
    }
}

impl Macros {
    /// What is sent to a server that negotiated this.
    pub(crate) fn new(negotiated: &Negotiated) -> Self {
        let mut lists = DEFAULTS;
        for (list, asked) in lists.iter_mut().zip(&negotiated.macros) {
            *list = asked.as_deref().unwrap_or(list);
        }
        Self(lists.map(|names| {
            let known = names.split_whitespace().filter_map(|name| Some((name, Value::of(name)?)));
            known
                .map(|(name, value)| Macro { name: [name.as_bytes(), &[0]].concat(), value })
                .collect()
        }))
    }

    /// Appends the macros of a stage; `nth` is the recipient, from 0.
    pub(crate) fn write(&self, out: &mut Vec<u8>, stage: Stage, letter: Letter, nth: u64) {
        let at = stage as usize;
        let (Some(macros), Some(kind)) = (self.0.get(at), KINDS.get(at)) else { return };
        // Postfix has a queue id from the first accepted recipient on.
        let no_id = matches!(stage, Stage::Connect | Stage::Helo | Stage::Mail)
            || matches!(stage, Stage::Rcpt) && nth == 0;
        frame(out, b'D', |out| {
            out.push(*kind);
            for item in macros {
                if no_id && matches!(item.value, Value::QueueId) {
                    continue;
                }
                out.extend_from_slice(&item.name);
                item.value.write(out, letter, nth);
                out.push(0);
            }
        });
    }
}

/// The address of a client, in digits.
pub(crate) fn client_address(out: &mut Vec<u8>, client: u64) {
    let mut before = None;
    for octet in address(client).octets() {
        out.extend(before.replace(b'.'));
        number(out, octet.into());
    }
}

/// Its host name.
pub(crate) fn client_name(out: &mut Vec<u8>, client: u64) {
    let _ = write!(out, "host{client}.example.org");
}

/// The port that it connects from.
pub(crate) fn client_port(client: u64) -> u16 {
    u16::try_from(client % 28_000).unwrap_or(0) + 32_768
}
