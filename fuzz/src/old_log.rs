//! Old logs: what replay and suggest make of them.
//!
//! The first byte says whether a lane looks on, and whether something is suggested; a
//! line that begins with a small byte has a longer beginning in its stead.

use super::{
    bytes::Bytes,
    site::{self, START, Shared},
};
use connguard::{
    config,
    replay::{self, Abandoned, Answer, Input, Lane, Mail, Params, Sink},
    suggest::{self, Known, Origin, Survey},
    timestamp::Timestamp,
};
use std::{cell::RefCell, io::Cursor, path::Path, sync::Arc};

thread_local! {
    static LANE: RefCell<Shared<Lane>> = const { RefCell::new(Shared::new(lane)) };
}

/// What a line begins with whose first byte is 1 or more, up to the number of these.
const BEGINNINGS: [&str; 11] = [
    "Nov 22 06:25:01 mx postfix/smtpd[7]: 4F4F4F4F: client=a.test[192.0.2.1], sasl_method=PLAIN, sasl_username=",
    "Nov 22 06:25:02 mx postfix/cleanup[8]: 4F4F4F4F: message-id=<",
    "Nov 22 06:25:03 mx postfix/qmgr[9]: 4F4F4F4F: from=<a@example.org>, size=1000, nrcpt=1 (queue active)",
    "Nov 22 06:25:04 mx postfix/smtp[10]: 4F4F4F4F: to=<u@y.test>, relay=mx.y.test[198.51.100.7]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 ok",
    "Nov 22 06:25:05 mx postfix/qmgr[9]: 4F4F4F4F: removed",
    "Nov 22 06:25:01 mx postfix/smtpd[7]: NOQUEUE: reject: RCPT from a.test[192.0.2.1]: 550 5.1.1 <u@y.test>: Recipient address rejected: User unknown; from=<",
    "Nov 22 06:25:01 mx postfix/smtpd[7]: connect from a.test[192.0.2.1]",
    "Nov 22 06:25:01 mx postfix/pickup[6]: 4A4A4A4A: uid=0 from=<",
    "Nov 22 06:25:04 mx postfix/lmtp[10]: 4F4F4F4F: to=<u@in.example>, relay=127.0.0.1[127.0.0.1]:10024, delay=1, dsn=2.0.0, status=sent (250 2.0.0 queued as ",
    "Nov 22 06:25:01 mx postfix/smtpd[7]: 4B4B4B4B: client=localhost[127.0.0.1], orig_queue_id=4F4F4F4F, orig_client=",
    "2026-11-23T06:25:01.5+01:00 mx postfix/submission/smtpd[7]: 4C4C4C4C: client=b.test[2001:db8::1], sasl_method=LOGIN, sasl_username=",
];

fn lane() -> Lane {
    let params = Params {
        settings: site::settings(0),
        max_connectors: site::MOST,
        login_realm: Some("example.org".into()),
        is_kept: false,
    };
    Lane::new(params, START)
}

/// Takes what is put together, and hands it on.
struct Both<'a> {
    survey: Survey,
    lane: Option<&'a mut Lane>,
    last: Timestamp,
    mails: u64,
}

impl Sink for Both<'_> {
    fn mail(&mut self, mail: &Mail) {
        assert!(mail.begun <= mail.at, "it ended before it began: {mail:?}");
        self.last = self.last.max(mail.at);
        self.mails += 1;
        self.survey.mail(mail);
        if let Some(lane) = &mut self.lane {
            lane.mail(mail);
        }
    }

    fn abandoned(&mut self, abandoned: &Abandoned) {
        self.survey.abandoned(abandoned);
        if let Some(lane) = &mut self.lane {
            lane.abandoned(abandoned);
        }
    }

    fn answer(&mut self, answer: &Answer) {
        self.survey.answer(answer);
        if let Some(lane) = &mut self.lane {
            lane.answer(answer);
        }
    }

    fn gone(&mut self, host: &Arc<str>, queue_id: &str, at: Timestamp) {
        if let Some(lane) = &mut self.lane {
            lane.gone(host, queue_id, at);
        }
    }
}

/// A log.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let choice = bytes.byte();
    let with_lane = choice & 3 == 1;
    // It takes as long as all else.
    let is_suggested = choice & 4 == 0;
    let log = expanded(bytes.0);
    LANE.with_borrow_mut(|shared| {
        if with_lane {
            shared.run(data, |lane| read(&log, Some(lane), is_suggested));
        } else {
            read(&log, None, is_suggested);
        }
    });
}

fn expanded(data: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(data.len() + 512);
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        let (first, rest) = line.split_first().map_or((0, line), |(first, rest)| (*first, rest));
        match usize::from(first).checked_sub(1).and_then(|at| BEGINNINGS.get(at)) {
            // A line feed is no beginning.
            Some(beginning) if first != b'\n' => {
                text.extend_from_slice(beginning.as_bytes());
                text.extend_from_slice(rest);
            }
            _ => text.extend_from_slice(line),
        }
    }
    text
}

fn read(log: &[u8], lane: Option<&mut Lane>, is_suggested: bool) {
    let reader = Box::new(Cursor::new(log.to_vec()));
    let Ok(mut input) = Input::from_reader("log", reader, START) else { return };
    let survey = Survey::new(Known::default());
    let mut both = Both { survey, lane, last: Timestamp::default(), mails: 0 };
    let ended = replay::read(&mut input, &mut both, |_| true);
    assert!(ended.span.is_none_or(|(from, to)| from <= to));
    assert!(!ended.stopped);
    let counts = input.counts();
    assert!(counts.all_skipped() <= counts.lines, "{counts:?}");
    assert!(both.mails <= counts.lines, "more messages than lines");
    if both.mails > 0 && is_suggested {
        suggested(&both.survey);
    }
}

/// What is suggested is a configuration, which says to observe.
fn suggested(survey: &Survey) {
    let origin = Origin { logs: vec!["log".into()], ..Origin::default() };
    let suggestion = suggest::suggest(survey, None, &origin)
        .unwrap_or_else(|faults| panic!("a suggestion that is none: {faults}"));
    let text = suggestion.text;
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    let config = config::fuzz::parse(Path::new("/suggested.toml"), text.as_bytes(), |_| None)
        .unwrap_or_else(|faults| panic!("{faults}"));
    let directory = &config.settings.directory;
    for named in directory.connectors() {
        assert_eq!(named.terms.mode, connguard::verdict::Mode::Observe, "{text}");
    }
}
