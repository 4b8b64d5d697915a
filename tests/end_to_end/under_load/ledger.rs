//! The account of all messages: what was handed in, what became of it, and what
//! reached the sink. Every message carries its number in a header of its own.
//!
//! A recipient whose message was accepted is to arrive once; one that was refused, or
//! whose message was, never. Recipients that the sink refuses for good (`dead…`) are
//! to arrive never, and their sender gets a delivery report, which carries no number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::harness::sink::{Mail, Sink};

/// The header that carries the number.
pub(crate) const HEADER: &str = "X-Ledger";

/// All messages.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next: AtomicU64,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// Recipients by message: whether each is to arrive.
    sent: HashMap<u64, Vec<Line>>,
    /// How often each arrived.
    came: HashMap<(u64, String), u32>,
    accepted: u64,
    refused: u64,
    reports: u64,
    strangers: Vec<String>,
    slowest: Duration,
}

#[derive(Debug)]
struct Line {
    rcpt: String,
    is_due: bool,
}

/// What the account says.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    /// Messages that were accepted, and that were refused.
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    /// Recipients that are to arrive, and those of them that did.
    pub(crate) due: u64,
    pub(crate) arrived: u64,
    /// Delivery reports.
    pub(crate) reports: u64,
    /// What should not be, a line each.
    pub(crate) lost: Vec<String>,
    pub(crate) doubled: Vec<String>,
    pub(crate) uninvited: Vec<String>,
    /// The longest that a transaction took, from MAIL to the last reply.
    pub(crate) slowest: Duration,
}

impl Balance {
    /// Everything that is wrong.
    pub(crate) fn faults(&self) -> Vec<String> {
        [&self.lost, &self.doubled, &self.uninvited].into_iter().flatten().cloned().collect()
    }
}

impl Ledger {
    /// The number of the next message.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// This message was accepted for these recipients, and refused for those.
    pub(crate) fn accepted(&self, number: u64, rcpts: &[&str], refused: &[&str]) {
        let mut book = self.book();
        book.accepted += 1;
        let due = rcpts.iter().map(|rcpt| line(rcpt, !rcpt.contains("dead")));
        let lines = due.chain(refused.iter().map(|rcpt| line(rcpt, false))).collect();
        book.sent.insert(number, lines);
    }

    /// This message was refused.
    pub(crate) fn refused(&self, number: u64, rcpts: &[&str]) {
        let mut book = self.book();
        book.refused += 1;
        let lines = rcpts.iter().map(|rcpt| line(rcpt, false)).collect();
        book.sent.insert(number, lines);
    }

    /// How long a transaction took.
    pub(crate) fn took(&self, time: Duration) {
        let mut book = self.book();
        book.slowest = book.slowest.max(time);
    }

    /// Enters what has arrived at the sink since the last time.
    pub(crate) fn take_in(&self, sink: &Sink) {
        let mails = sink.take();
        let mut book = self.book();
        for mail in mails {
            book.enter(&mail);
        }
    }

    /// What the account says now.
    pub(crate) fn balance(&self) -> Balance {
        let book = self.book();
        let mut balance = Balance {
            accepted: book.accepted,
            refused: book.refused,
            reports: book.reports,
            slowest: book.slowest,
            uninvited: book.strangers.clone(),
            ..Balance::default()
        };
        let mut known = 0;
        for (number, lines) in &book.sent {
            for Line { rcpt, is_due } in lines {
                let came = book.times(*number, rcpt);
                let text = || format!("message {number} for {rcpt}: came {came} times");
                known += usize::from(came > 0);
                balance.due += u64::from(*is_due);
                balance.arrived += u64::from(*is_due && came > 0);
                match (is_due, came) {
                    (true, 0) => balance.lost.push(format!("lost: {}", text())),
                    (true, 1) | (false, 0) => (),
                    (true, _) => balance.doubled.push(format!("doubled: {}", text())),
                    (false, _) => balance.uninvited.push(format!("refused: {}", text())),
                }
            }
        }
        if known < book.came.len() {
            let more = book.came.len() - known;
            balance.uninvited.push(format!("{more} recipients of messages that nobody sent"));
        }
        balance
    }

    /// Waits until everything that is due has arrived, or the deadline is over.
    pub(crate) fn settle(&self, sink: &Sink, deadline: Duration) -> Balance {
        let end = Instant::now() + deadline;
        loop {
            self.take_in(sink);
            let balance = self.balance();
            if balance.lost.is_empty() || Instant::now() > end {
                return balance;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn enter(&mut self, mail: &Mail) {
        let Some(number) = mail.header(HEADER) else {
            if mail.from.is_empty() {
                self.reports += 1;
            } else {
                self.strangers.push(format!("a message without a number: {mail:?}"));
            }
            return;
        };
        let number = number.parse().unwrap_or(u64::MAX);
        for rcpt in &mail.rcpts {
            // It may be here before its client has read the reply.
            *self.came.entry((number, rcpt.clone())).or_default() += 1;
        }
    }

    fn times(&self, number: u64, rcpt: &str) -> u32 {
        self.came.get(&(number, rcpt.to_owned())).copied().unwrap_or_default()
    }
}

fn line(rcpt: &str, is_due: bool) -> Line {
    Line { rcpt: rcpt.to_owned(), is_due }
}
