//! What is sent: ordinary mail, varied, in which nothing is suspicious.
//!
//! - A *client* is 10.0.0.1 and up. Sessions take the clients in an order in
//!   which each has its turn before one comes again, and neighbours are far
//!   apart: caches see what they see of a busy site.
//! - A client has 4 *senders* in a domain below `example.org` and writes to its
//!   own [`KNOWN`] *recipients* out of 2,000 domains; one message of 64 goes to
//!   somebody new.
//! - Queue ids and Message-IDs are never used twice in a run of the bench.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Recipients that a client writes to again and again.
pub(crate) const KNOWN: u64 = 12;
/// One message of so many goes to somebody new.
const NEW_EVERY: u64 = 64;
/// Coprime to any number of clients that has no factor but 2 and 5.
const STRIDE: u64 = 61_803_399;
const SENDERS: u64 = 4;
const DOMAINS: u64 = 2_000;

/// Where the numbers of sessions and messages stand; shared by all connections
/// to one server, and kept from one slice to the next.
#[derive(Debug)]
pub(crate) struct Mail {
    clients: u64,
    sessions: AtomicU64,
    messages: AtomicU64,
    /// Part of every id, so that two servers see different ones.
    mark: u64,
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter {
    pub(crate) client: u64,
    pub(crate) number: u64,
    mark: u64,
}

impl Mail {
    /// Mail of so many clients, at most 16 million.
    pub(crate) fn new(clients: u64, mark: u8) -> Self {
        let (sessions, messages) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { clients, sessions, messages, mark: mark.into() }
    }

    /// The client of the next session.
    pub(crate) fn client(&self) -> u64 {
        self.sessions.fetch_add(1, Relaxed).wrapping_mul(STRIDE) % self.clients.max(1)
    }

    /// The next message of a client.
    pub(crate) fn letter(&self, client: u64) -> Letter {
        let number = self.messages.fetch_add(1, Relaxed);
        Letter { client, number, mark: self.mark }
    }

    /// How many clients there are.
    pub(crate) fn clients(&self) -> u64 {
        self.clients
    }
}

/// The address of a client.
pub(crate) fn address(client: u64) -> Ipv4Addr {
    let number = u32::try_from(client % 0xff_fffe).unwrap_or(0);
    Ipv4Addr::from(0x0a00_0001 + number)
}

/// The domain that a client sends from; `example.org` is registered.
pub(crate) fn sender_domain(out: &mut Vec<u8>, client: u64) {
    out.extend_from_slice(b"dept");
    number(out, client % 997);
    out.extend_from_slice(b".example.org");
}

/// The domain of the nth recipient of a message.
pub(crate) fn recipient_domain(out: &mut Vec<u8>, letter: Letter, nth: u64) {
    out.extend_from_slice(b"partner");
    number(out, letter.person(nth) % DOMAINS);
    out.extend_from_slice(b".example.net");
}

impl Letter {
    /// `user@domain` of the sender.
    pub(crate) fn sender(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"user");
        number(out, self.number % SENDERS);
        out.push(b'@');
        sender_domain(out, self.client);
    }

    /// `user@domain` of the nth recipient.
    pub(crate) fn recipient(self, out: &mut Vec<u8>, nth: u64) {
        out.extend_from_slice(b"person");
        number(out, self.person(nth));
        out.push(b'@');
        recipient_domain(out, self, nth);
    }

    /// The queue id of Postfix, 11 hexadecimal digits.
    pub(crate) fn queue_id(self, out: &mut Vec<u8>) {
        let id = self.mark << 40 | self.number;
        for shift in (0..11).rev() {
            let digit = (id >> (shift * 4)) & 15;
            out.push(
                b"0123456789ABCDEF"
                    .get(usize::try_from(digit).unwrap_or(0))
                    .copied()
                    .unwrap_or(b'0'),
            );
        }
    }

    fn person(self, nth: u64) -> u64 {
        if nth == 0 && self.number % NEW_EVERY == NEW_EVERY - 1 {
            return self.number | 1 << 40;
        }
        let known = (self.number + nth) % KNOWN;
        self.client * KNOWN + known
    }
}

/// Appends a number in decimal digits. (`write!` costs three times as much.)
pub(crate) fn number(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        let digit = u8::try_from(number % 10).unwrap_or(0);
        out.push(b'0' + digit);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}
