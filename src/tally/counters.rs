//! Totals of one connector since the daemon began to count it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Totals since the daemon began to count this connector.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// Relayed messages that passed.
    pub messages: u64,
    /// Their relayed recipients.
    pub recipients: u64,
    /// Of the messages, those with the null sender.
    pub null_senders: u64,
    /// Of the messages, those with an unregistered sender.
    pub unregistered: u64,
    /// Recipients that Postfix refused as unknown.
    pub unknown_recipients: u64,
    /// Recipients that we refused.
    pub refused: u64,
    /// Recipients that we would have refused in enforce mode.
    pub would_refuse: u64,
}

/// The counters behind [`Totals`].
#[derive(Debug, Default)]
pub struct Counters {
    /// See [`Totals::messages`].
    pub messages: AtomicU64,
    /// See [`Totals::recipients`].
    pub recipients: AtomicU64,
    /// See [`Totals::null_senders`].
    pub null_senders: AtomicU64,
    /// See [`Totals::unregistered`].
    pub unregistered: AtomicU64,
    /// See [`Totals::unknown_recipients`].
    pub unknown_recipients: AtomicU64,
    /// See [`Totals::refused`].
    pub refused: AtomicU64,
    /// See [`Totals::would_refuse`].
    pub would_refuse: AtomicU64,
    /// How often its evidence started again from zero. What comes late of mail
    /// from before says nothing new.
    pub resets: AtomicU32,
}

impl Counters {
    /// The counts now.
    pub fn totals(&self) -> Totals {
        Totals {
            messages: self.messages.load(Relaxed),
            recipients: self.recipients.load(Relaxed),
            null_senders: self.null_senders.load(Relaxed),
            unregistered: self.unregistered.load(Relaxed),
            unknown_recipients: self.unknown_recipients.load(Relaxed),
            refused: self.refused.load(Relaxed),
            would_refuse: self.would_refuse.load(Relaxed),
        }
    }
}
