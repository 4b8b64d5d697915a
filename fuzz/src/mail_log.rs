//! Lines of Postfix's log, from files and from journalctl, on their way to the engine.

use super::{
    bytes::Bytes,
    site::{self, START, Shared},
};
use connguard::{
    connector::Identities,
    engine::{Engine, Session},
    feedback::fuzz::{Log, lines},
    maillog::{self, Calendar, Event, Line, Stamp, Tag},
    message::{Fate, Message, Outcome, Recipient, Sender},
    pending::Feedback,
    refusal,
    timestamp::Timestamp,
};
use std::{cell::RefCell, sync::Arc, time::Duration};

thread_local! {
    static WORLD: RefCell<Shared<World>> = const { RefCell::new(Shared::new(World::new)) };
    static CALENDAR: Calendar = Calendar::new(START);
}

/// Where lines begin: a line whose first byte is below their number has one of these
/// in its stead.
const BEGINNINGS: [&str; 9] = [
    "",
    "Nov 22 06:25:01 mx postfix/smtp[714]: 4F4F4F4F: to=<u@y.test>, relay=mx.y.test[198.51.100.7]:25, delay=1, delays=0/0/0/1, dsn=5.1.1, status=bounced (host mx.y.test[198.51.100.7] said: 550 5.1.1 ",
    "2026-11-22T06:25:01.123456+00:00 mx postfix/smtp[714]: 4F4F4F4F: to=<u@y.test>, orig_to=<",
    "Nov 22 06:25:01 mx postfix/submission/smtpd[7]: 4F4F4F4F: client=a.test[192.0.2.1], sasl_method=PLAIN, sasl_username=",
    "Nov 22 06:25:01 mx postfix/qmgr[7]: 4F4F4F4F: ",
    "Nov 22 06:25:01 mx postfix/smtpd[7]: NOQUEUE: reject: RCPT from a.test[192.0.2.1]: 554 5.7.1 <u@y.test>: ",
    "Nov 22 06:25:01 mx postfix/cleanup[7]: 4F4F4F4F: ",
    // No line feed may stand in these.
    "Nov 22 06:25:01 mx postfix/smtpd[7]: ",
    "Nov 22 06:25:01 mx postfix/",
];

struct World {
    engine: Arc<Engine>,
    log: Log,
    now: Timestamp,
    lines: u64,
}

impl World {
    fn new() -> Self {
        let engine = site::engine();
        engine.set_feedback(Feedback::Coming);
        let log = Log::new(Arc::clone(&engine), START);
        Self { engine, log, now: START, lines: 0 }
    }
}

/// Lines of a log.
pub fn run(data: &[u8]) {
    WORLD.with_borrow_mut(|shared| shared.run(data, |world| input(world, data)));
}

fn input(world: &mut World, data: &[u8]) {
    let mut bytes = Bytes(data);
    let (way, cut) = (bytes.byte(), usize::from(bytes.byte()));
    let text = expanded(bytes.0);
    framed(&text, cut);
    world.now = world.now.plus(Duration::from_secs(u64::from(way / 4)));
    if way & 1 == 1 {
        world.pass();
    }
    let before = world.engine.table().len();
    for line in text.split(|byte| *byte == b'\n') {
        let line_text = String::from_utf8_lossy(line);
        if let Ok(parsed) = maillog::parse(&line_text) {
            sound(&line_text, &parsed);
        }
        world.lines += 1;
        world.log.line(line, world.now);
        if way & 2 == 2 && world.log.entry(line, world.now) {
            world.lines += 1;
        }
    }
    let [count, skipped, panics] = world.log.counts();
    assert_eq!(panics, 0, "a line broke the reader");
    assert_eq!(count, world.lines);
    assert!(skipped <= count);
    // One message with one recipient is no reason to restrict anybody.
    assert_eq!(world.engine.table().len(), before, "a log line restricted somebody");
}

fn expanded(data: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(data.len() + 256);
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        match line.split_first() {
            Some((first, rest)) if usize::from(*first) < BEGINNINGS.len() => {
                text.extend_from_slice(BEGINNINGS[usize::from(*first)].as_bytes());
                text.extend_from_slice(rest);
            }
            _ => text.extend_from_slice(line),
        }
    }
    text
}

/// It makes no difference how bytes come.
fn framed(text: &[u8], cut: usize) {
    let (head, tail) = text.split_at(cut.min(text.len()));
    let (found, left) = lines(&[head, tail]);
    assert_eq!((&found, &left), (&lines(&[text]).0, &left), "cut after {cut}");
    let octets: usize = found.iter().map(|line| line.len() + 1).sum();
    assert!(octets + left.len() <= text.len());
}

/// What holds for every line that is understood.
fn sound(text: &str, line: &Line<'_>) {
    let Line { stamp, host, tag, event } = line;
    assert!(!host.contains(' '), "{host:?}");
    let pid = if tag.pid == 0 { String::new() } else { format!("[{}]", tag.pid) };
    // As the journal gives it, where tag and text come apart.
    let written = format!("{}/{}{pid}", tag.syslog_name, tag.program);
    assert_eq!(Tag::parse(&written).as_ref(), Some(tag), "{written:?}");
    // A time of a file is never after its last change, but for a day.
    CALENDAR.with(|calendar| {
        let at = calendar.clone().at(*stamp);
        let is_full = matches!(stamp, Stamp::Full(_));
        assert!(is_full || START.plus(Duration::from_secs(86_400)) >= at, "{stamp:?} is {at}");
    });
    match event {
        Event::Delivery(attempt) => {
            inside(text, &[attempt.queue_id, attempt.to, attempt.dsn, attempt.text]);
            let class = refusal::class(attempt);
            let outcome = refusal::outcome(attempt, class);
            assert!(
                outcome != Outcome::Delivered || attempt.status == maillog::Status::Sent,
                "{attempt:?}"
            );
            let next = attempt.queued_as().or(attempt.forwarded_as());
            assert!(next.is_none_or(|next| attempt.text.contains(next)));
            let name = attempt.relay.as_ref().and_then(maillog::provider_name);
            assert!(name.is_none_or(|name| !name.is_empty()), "{attempt:?}");
        }
        Event::Accepted(accepted) => inside(text, &[accepted.queue_id]),
        Event::Removed { queue_id } | Event::Expired { queue_id } => inside(text, &[queue_id]),
        _ => {}
    }
}

/// Queue ids and the rest are parts of the line, and the first is one word.
fn inside(text: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| text.contains(part)));
    let is_word = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
    assert!(parts.first().is_some_and(|id| is_word(id)), "{parts:?}");
}

impl World {
    /// A message that the log then tells of.
    fn pass(&mut self) {
        let mut session = Session::default();
        session
            .identify(Identities { client: Some([192, 0, 2, 1].into()), ..Identities::default() });
        let sender = Sender::Address { address: "a@example.org", qualified: true };
        let mut transaction = self.engine.begin(&mut session, &sender);
        let recipient =
            Recipient { address: "u@y.test", transport: Some("smtp"), fate: Fate::Accepted };
        self.engine.at_recipient(&mut session, &mut transaction, &recipient, self.now);
        let message = Message {
            sender,
            queue_id: Some("4F4F4F4F"),
            message_id: None,
            from: &[],
            spam: None,
            size: None,
            report: false,
            host: Some("mx.example.org"),
        };
        self.engine.at_end(&mut session, transaction, &message, self.now);
        // What was seen of it in other inputs must not add up.
        let _ = self.engine.normal(
            &"client:192.0.2.1".parse().unwrap(),
            "for the next one",
            connguard::record::Actor::Daemon,
            self.now,
        );
        drop(self.engine.table().changes().take(Duration::ZERO));
    }
}
