//! What a policy request says of a session that the milter serves: the fingerprints of
//! its client's certificate, which no milter is ever told.
//!
//! Postfix asks its restrictions about a recipient before it asks the milters, so what
//! is told here waits for the milter's recipient, a moment later, and is taken by it.
//! Both sessions are one where both ends of the connection are the same. The same ends
//! can come again with the next client behind an address: so what is left over goes when
//! the milter's session ends, with the next request about the same ends, whatever that
//! says, and after [`VALID`]. (It can't go when the milter's session begins: Postfix keeps
//! back what needs no reply, so that a milter may hear of a connection only with its first
//! recipient.) While nothing waits nobody takes a lock.

use crate::{
    arrivals::{Arrivals, At},
    connector::CertificateDigests,
    timestamp::Timestamp,
};
use foldhash::fast::RandomState;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst},
    },
    time::Duration,
};

/// How long what was told waits: other restrictions may ask the network in between.
pub const VALID: Duration = Duration::from_secs(600);
/// Sessions of which something waits at once, at the most; beyond it the oldest goes.
const MOST: usize = 50_000;

/// Both ends of the connection of a client, IPv4-mapped IPv6 already as IPv4.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Ends {
    /// The client's.
    pub client: SocketAddr,
    /// Postfix's: clients behind one address may share a port where they talk to
    /// different ones.
    pub server: SocketAddr,
}

impl Ends {
    /// Of two ends in any spelling.
    pub fn new(client: SocketAddr, server: SocketAddr) -> Self {
        let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        Self { client: canonical(client), server: canonical(server) }
    }
}

/// See the head of this module.
#[derive(Debug, Default)]
pub struct Handover {
    /// Somebody tells.
    open: AtomicBool,
    /// How many wait.
    waiting: AtomicUsize,
    told: AtomicU64,
    taken: AtomicU64,
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    places: HashMap<Ends, At, RandomState>,
    entries: Arrivals<(), Entry>,
}

#[derive(Debug)]
struct Entry {
    ends: Ends,
    digests: Arc<CertificateDigests>,
    at: Timestamp,
}

impl Handover {
    /// From now on somebody tells: see [`Self::is_open`].
    pub fn open(&self) {
        self.open.store(true, Relaxed);
    }

    /// Whether somebody tells. Where nobody does, nobody has to look between which ends
    /// a session is.
    pub fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// Tells what the client of a session has shown; nothing where it has no
    /// certificate.
    pub fn tell(&self, ends: Ends, digests: Option<Arc<CertificateDigests>>, now: Timestamp) {
        if digests.is_none() && self.waiting.load(SeqCst) == 0 {
            return;
        }
        let mut sessions = self.lock();
        sessions.remove(&ends);
        if let Some(digests) = digests {
            self.told.fetch_add(1, Relaxed);
            sessions.put(Entry { ends, digests, at: now });
        }
        self.waiting.store(sessions.places.len(), SeqCst);
    }

    /// What was told of a session; it is taken by that.
    pub fn take(&self, ends: &Ends, now: Timestamp) -> Option<Arc<CertificateDigests>> {
        let entry = self.remove(ends)?;
        if now.since(entry.at) > VALID {
            return None;
        }
        self.taken.fetch_add(1, Relaxed);
        Some(entry.digests)
    }

    /// The session between these ends is over.
    pub fn forget(&self, ends: &Ends) {
        self.remove(ends);
    }

    /// How often something was told, and how often it was taken, since the start.
    pub fn counts(&self) -> (u64, u64) {
        (self.told.load(Relaxed), self.taken.load(Relaxed))
    }

    fn remove(&self, ends: &Ends) -> Option<Entry> {
        if self.waiting.load(SeqCst) == 0 {
            return None;
        }
        let mut sessions = self.lock();
        let entry = sessions.remove(ends);
        self.waiting.store(sessions.places.len(), SeqCst);
        entry
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    fn remove(&mut self, ends: &Ends) -> Option<Entry> {
        self.entries.remove(self.places.remove(ends)?)
    }

    /// Keeps it, in place of the oldest where there is no room.
    fn put(&mut self, entry: Entry) {
        if self.places.len() >= MOST
            && let Some(oldest) = self.entries.oldest().and_then(|at| self.entries.remove(at))
        {
            self.places.remove(&oldest.ends);
        }
        let ends = entry.ends;
        let at = self.entries.push((), entry);
        self.places.insert(ends, at);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::connector::CertificateDigest;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + second)
    }

    fn ends(port: u16) -> Ends {
        Ends::new(([192, 0, 2, 7], port).into(), ([192, 0, 2, 1], 25).into())
    }

    fn digests(octet: u8) -> Option<Arc<CertificateDigests>> {
        let text = format!("{octet:02X}").repeat(32);
        let certificate = CertificateDigest::of_postfix(&text).unwrap();
        Some(Arc::new(CertificateDigests { certificate, public_key: None }))
    }

    #[test]
    fn what_was_told_is_taken_once_and_by_its_session_only() {
        let handover = Handover::default();
        handover.tell(ends(1), digests(1), at(0));
        handover.tell(ends(2), digests(2), at(0));
        assert_eq!(handover.take(&ends(3), at(0)), None);
        let elsewhere = Ends::new(ends(1).client, ([192, 0, 2, 1], 587).into());
        assert_eq!(handover.take(&elsewhere, at(0)), None);
        assert_eq!(handover.take(&ends(1), at(0)), digests(1));
        assert_eq!(handover.take(&ends(1), at(0)), None);
        assert_eq!(handover.take(&ends(2), at(600)), digests(2));
        assert_eq!(handover.counts(), (2, 2));
    }

    #[test]
    fn what_is_left_over_is_not_for_the_next_session() {
        let handover = Handover::default();
        handover.tell(ends(1), digests(1), at(0));
        handover.forget(&ends(1));
        assert_eq!(handover.take(&ends(1), at(0)), None);
        handover.tell(ends(1), digests(1), at(0));
        handover.tell(ends(1), None, at(1));
        assert_eq!(handover.take(&ends(1), at(1)), None);
        handover.tell(ends(1), digests(1), at(0));
        assert_eq!(handover.take(&ends(1), at(601)), None);
        handover.tell(ends(1), digests(1), at(0));
        handover.tell(ends(1), digests(2), at(0));
        assert_eq!(handover.take(&ends(1), at(0)), digests(2));
    }

    #[test]
    fn an_ipv4_address_in_ipv6_is_the_same_end() {
        let handover = Handover::default();
        handover.tell(ends(1), digests(1), at(0));
        let mapped = Ends::new(
            "[::ffff:192.0.2.7]:1".parse().unwrap(),
            "[::ffff:192.0.2.1]:25".parse().unwrap(),
        );
        assert_eq!(handover.take(&mapped, at(0)), digests(1));
    }

    #[test]
    fn the_oldest_make_room() {
        let handover = Handover::default();
        let end = |n: usize| {
            let [_, _, high, low] = u32::try_from(n).unwrap().to_be_bytes();
            Ends::new(([192, 0, high, low], 1).into(), ([192, 0, 2, 1], 25).into())
        };
        (0..MOST + 10).for_each(|n| handover.tell(end(n), digests(1), at(0)));
        assert_eq!(handover.lock().places.len(), MOST);
        assert_eq!(handover.take(&end(9), at(0)), None);
        assert_eq!(handover.take(&end(10), at(0)), digests(1));
    }
}
