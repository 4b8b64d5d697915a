//! A client that hands in numbered messages and keeps the ledger.

use std::sync::Arc;
use std::time::Instant;

use super::super::harness::smtp::{Letter, Reply, SmtpClient};
use super::Ledger;
use super::ledger::HEADER;

/// What became of one message.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// For one recipient at least; with the reply, which names the queue id.
    Accepted(Reply),
    /// With the last reply; after 421 the session is over.
    Refused(Reply),
}

impl Fate {
    pub(crate) fn accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }

    pub(crate) fn reply(&self) -> &Reply {
        match self {
            Self::Accepted(reply) | Self::Refused(reply) => reply,
        }
    }
}

/// A client at an address.
#[derive(Debug, Clone)]
pub(crate) struct Mailer {
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) ledger: Arc<Ledger>,
}

impl Mailer {
    pub(crate) fn new(address: &str, port: u16, ledger: &Arc<Ledger>) -> Self {
        Self { address: address.to_owned(), port, ledger: Arc::clone(ledger) }
    }

    pub(crate) fn open(&self) -> SmtpClient {
        SmtpClient::open(&self.address, self.port)
    }

    /// One message in a session of its own.
    pub(crate) fn send(&self, from: &str, to: &[&str]) -> Fate {
        self.send_in(&mut self.open(), from, to)
    }

    /// One message in this session: to whom it is accepted for of these recipients.
    pub(crate) fn send_in(&self, session: &mut SmtpClient, from: &str, to: &[&str]) -> Fate {
        let number = self.ledger.number();
        let begun = Instant::now();
        let fate = self.hand_in(session, number, from, to);
        self.ledger.took(begun.elapsed());
        if !fate.accepted() {
            self.ledger.refused(number, to);
            if fate.reply().code != 421 {
                session.expect("RSET", 250);
            }
        }
        fate
    }

    fn hand_in(&self, session: &mut SmtpClient, number: u64, from: &str, to: &[&str]) -> Fate {
        let reply = session.mail(from);
        if !reply.agrees() {
            return Fate::Refused(reply);
        }
        let (mut taken, mut refused, mut last) = (Vec::new(), Vec::new(), reply);
        for rcpt in to {
            last = session.rcpt(rcpt);
            match last.agrees() {
                true => taken.push(*rcpt),
                false => refused.push(*rcpt),
            }
            if last.code == 421 {
                return Fate::Refused(last);
            }
        }
        if taken.is_empty() {
            return Fate::Refused(last);
        }
        let header = format!("{HEADER}: {number}\r\n");
        let letter = Letter { header: &header, ..Letter::new(from, taken[0]) };
        let reply = session.content(&letter);
        if !reply.agrees() {
            return Fate::Refused(reply);
        }
        self.ledger.accepted(number, &taken, &refused);
        Fate::Accepted(reply)
    }
}
