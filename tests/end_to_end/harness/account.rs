//! One client and what the daemon should have heard of its mail.
//!
//! `explain` counts results for as long as something speaks against a client:
//! an account begins with [`Account::open`], a few refusals that keep its score
//! above zero whatever comes next, and far enough from a restriction. Then each
//! result is in the counts, once.

use std::sync::atomic::{AtomicU16, Ordering};

use super::site::{OURS, Site};
use super::smtp::SmtpClient;
use super::{SOON, wait_for};

/// Refusals with which an account begins: half way to a restriction.
pub(crate) const FIRST: u32 = 8;

/// Waits until the daemon has read all that is in the log by now: a client that
/// nobody has seen sends something, and its result comes last.
#[track_caller]
pub(crate) fn fence(site: &Site) {
    fence_at(site, site.postfix.port());
}

/// As [`fence`], for a site whose smtpd for this purpose is at another port.
#[track_caller]
pub(crate) fn fence_at(site: &Site, port: u16) {
    static SERIAL: AtomicU16 = AtomicU16::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let client = format!("127.5.{}.{}", serial / 250, 1 + serial % 250);
    SmtpClient::open(&client, port).send(OURS, "dead@fence.test").assert_accepted();
    let account = Account { bad: 1, of: 1, ..Account::new(&client, "fence.test") };
    account.settle(site);
}

/// A client and its results.
#[derive(Debug)]
pub(crate) struct Account {
    client: String,
    domain: String,
    serial: u32,
    /// Refusals so far, and all results.
    pub(crate) bad: u32,
    pub(crate) of: u32,
}

impl Account {
    /// A client at this address that writes to this domain; nothing was sent.
    pub(crate) fn new(client: &str, domain: &str) -> Self {
        Self { client: client.to_owned(), domain: domain.to_owned(), serial: 0, bad: 0, of: 0 }
    }

    /// A client of which the daemon has heard enough to count what follows.
    #[track_caller]
    pub(crate) fn open(site: &Site, client: &str, domain: &str) -> Self {
        let mut account = Self::new(client, domain);
        account.refused(site, "dead", FIRST);
        account.settle(site);
        account
    }

    /// The entity that the daemon takes it for.
    pub(crate) fn entity(&self) -> String {
        format!("client:{}", self.client)
    }

    /// From now on it writes to this domain.
    pub(crate) fn turn_to(&mut self, domain: &str) {
        domain.clone_into(&mut self.domain);
    }

    /// Sends so many messages to recipients that meet this, which nothing
    /// follows from (yet). Gives the last address.
    pub(crate) fn sent(&mut self, site: &Site, words: &str, n: u32) -> String {
        let mut session: SmtpClient = site.client(&self.client);
        let mut to = String::new();
        for _ in 0..n {
            to = format!("{words}-{}@{}", self.serial, self.domain);
            self.serial += 1;
            session.send(OURS, &to).assert_accepted();
        }
        to
    }

    /// Sends so many messages to recipients that meet this, which is a refusal
    /// in the end.
    pub(crate) fn refused(&mut self, site: &Site, words: &str, n: u32) -> String {
        self.bad += n;
        self.of += n;
        self.sent(site, words, n)
    }

    /// Sends so many messages that are delivered in the end.
    pub(crate) fn delivered(&mut self, site: &Site, words: &str, n: u32) -> String {
        self.of += n;
        self.sent(site, words, n)
    }

    /// A pair of a refusal and a delivery, so many times. The score hardly
    /// moves.
    pub(crate) fn pairs(&mut self, site: &Site, n: u32) {
        for _ in 0..n {
            self.refused(site, "dead", 1);
            self.delivered(site, "friend", 1);
        }
    }

    /// Waits until the daemon has heard of everything; more is a failure.
    #[track_caller]
    pub(crate) fn settle(&self, site: &Site) {
        let wanted = (self.bad, self.of);
        wait_for(
            &format!("{} refusals of {} results of {}", self.bad, self.of, self.client),
            SOON,
            || format!("{:?} are counted", self.counted(site)),
            || Some(()).filter(|()| self.counted(site) >= wanted),
        );
        self.assert_settled(site);
    }

    /// The daemon has counted what came of this account, and nothing else.
    #[track_caller]
    pub(crate) fn assert_settled(&self, site: &Site) {
        assert_eq!(self.counted(site), (self.bad, self.of), "(refused, all) of {}", self.client);
    }

    /// Refusals and all results, as `explain` tells them.
    ///
    /// Nothing is counted of a client that is not known (any more).
    #[track_caller]
    pub(crate) fn counted(&self, site: &Site) -> (u32, u32) {
        let answer = site.daemon.cli(&["explain", &self.entity(), "--json"]);
        if answer.code == 1 {
            return (0, 0);
        }
        let explained = answer.json();
        let signals = explained["signals"].as_array().expect("signals");
        let of_refusals = |signal: &&serde_json::Value| signal["signal"] == "most_refused";
        let signal = signals.iter().find(of_refusals).expect("the signal of refusals");
        let number = |field: &str| {
            let number = signal[field].as_u64().expect("a number");
            u32::try_from(number).expect("a small number")
        };
        (number("bad"), number("of"))
    }
}
