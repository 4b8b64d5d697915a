//! A case on a terminal.

use super::{Page, spark};
use crate::{
    case::{Bucket, Timeline, Top},
    cli::output,
    record::Sample,
    timestamp::{Timestamp, format_span},
    view::{CaseView, direction, step_in_words},
};
use std::time::Duration;

/// Names of one kind that are shown.
const NAMES: usize = 8;
/// The longest text of a client that is shown, in characters.
const TEXT: usize = 60;

impl Page {
    /// A case, open or over.
    pub(super) fn case(&mut self, view: &CaseView) {
        let file = &view.file;
        let end = match file.closed {
            Some(closed) => format!("{}, over; kept after its end", closed.local()),
            None => "now".to_owned(),
        };
        self.heading(&format!("Case {}, {} to {end}", file.case, file.opened.local()));
        self.item(&view.sentence);
        if let Some(first) = file.first_seen {
            self.pair("first seen", &first.local());
        }
        if let Some(last) = file.last_attempt {
            self.pair("last attempt", &last.local());
        }
        self.findings("Findings", view.findings.iter());
        if !view.changed.is_empty() {
            self.heading("What changed");
            view.changed.iter().for_each(|change| self.item(change));
        }
        self.timeline(&file.material.timeline);
        let material = &file.material;
        if material.senders.total > 0 {
            self.heading(&format!(
                "What it sent since {}: messages, and of these what spoke against it",
                material.since.local()
            ));
            self.top("senders", &material.senders);
            self.top("sender domains", &material.sender_domains);
            self.top("client addresses", &material.clients);
            self.top("HELO names", &material.helos);
            self.top("recipient domains (recipients)", &material.recipient_domains);
            self.item(&direction(file));
        }
        self.samples(view.samples());
        self.heading("What was done");
        for step in &file.steps {
            let why = match (step.reason.as_str(), step.findings.first()) {
                ("", None) => String::new(),
                ("", Some(_)) => format!(": {}", crate::view::reasons(&step.findings)),
                (reason, _) => format!(": {reason}"),
            };
            let what = step_in_words(step.what);
            let (at, by, entity) = (step.at.local(), &step.by, &step.entity);
            self.item(&format!("{at}  {entity} {what} by {by}{why}"));
        }
    }

    fn timeline(&mut self, timeline: &Timeline) {
        let utf8 = spark::is_utf8();
        let row = |name: &str, of: fn(&Bucket) -> u32| {
            let numbers: Vec<u32> = timeline.buckets.iter().map(of).collect();
            let sum: u64 = numbers.iter().copied().map(u64::from).sum();
            let most = numbers.iter().copied().max().unwrap_or(0);
            (name.to_owned(), spark::line(&numbers, utf8), sum, most)
        };
        let rows =
            [row("messages", |bucket| bucket.messages), row("refused", |bucket| bucket.refused)];
        if timeline.buckets.is_empty() {
            return;
        }
        let span = format_span(Duration::from_secs(timeline.span_s.into()));
        self.heading(&format!("Timeline, one character for {span}"));
        for (name, line, sum, most) in rows {
            self.pair(&name, &format!("{line}  {sum} in all, at most {most} in {span}"));
        }
        let count = u32::try_from(timeline.buckets.len()).unwrap_or(u32::MAX);
        self.pair("from, to", &axis(timeline.start, timeline.begin_of(count)));
    }

    fn top(&mut self, title: &str, top: &Top) {
        if top.counts.is_empty() {
            return;
        }
        self.item(&format!("{title}, {} in all", top.total));
        for count in top.counts.iter().take(NAMES) {
            let at_least = if count.over > 0 { "at least " } else { "" };
            self.item(&format!(
                "  {at_least}{:<6} {:<6} {}",
                count.at_least().max(1),
                count.bad,
                short(&count.name)
            ));
        }
        let more = top.counts.len().saturating_sub(NAMES);
        if more > 0 {
            self.item(&format!("  and {more} more, see --json"));
        }
    }

    fn samples(&mut self, samples: &[Sample]) {
        if samples.is_empty() {
            return;
        }
        self.heading("Samples");
        let text = |text: &Option<Box<str>>| text.as_deref().map_or_else(|| "-".into(), short);
        let rows = samples.iter().map(|sample| {
            vec![
                format!("  {}", sample.at.local()),
                text(&sample.queue_id),
                if sample.passed { "passed" } else { "refused" }.to_owned(),
                sample.recipients.to_string(),
                short(if sample.sender.is_empty() { "<>" } else { &sample.sender }),
                text(&sample.from),
                text(&sample.message_id),
            ]
        });
        let head = ["  TIME", "QUEUE ID", "", "RCPTS", "SENDER", "FROM", "MESSAGE-ID"];
        self.0.push_str(&output::table(&head, rows.collect()));
    }
}

fn axis(start: Timestamp, end: Timestamp) -> String {
    format!("{}, {}", start.local(), end.local())
}

/// A text that a client chose: harmless, and short enough for a line.
fn short(text: &str) -> String {
    crate::text::cut(&crate::text::clean(text), TEXT).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        case::{CaseFile, Change, Seen, Step, Trait, What},
        connector::{ConnectorKey, Entity},
        record::{Actor, CaseId, Finding, SignalName},
    };

    const AT: Timestamp = Timestamp::from_seconds(1_795_000_000);
    const EVIL: &str = "\u{1b}[2J\r\nroot %s \u{202e}";

    fn file() -> CaseFile {
        let erp = Entity::from(ConnectorKey::Named("erp".into()));
        let mut file = CaseFile::new(CaseId(17), erp.clone(), AT);
        let change = Change { what: Trait::HeloName, value: EVIL.into(), at: AT };
        let long = "x".repeat(998);
        for helo in [EVIL, &long] {
            file.material.note(
                &Seen {
                    sender: EVIL,
                    sender_domain: EVIL,
                    client: Some([192, 0, 2, 66].into()),
                    helo,
                    recipient_domains: &[(EVIL.into(), 3)],
                    relayed: 3,
                    inbound: 1,
                    bad: true,
                    changes: std::slice::from_ref(&change),
                },
                AT,
            );
        }
        file.material.keep(Sample {
            at: AT,
            queue_id: Some(EVIL.into()),
            message_id: Some(EVIL.into()),
            sender: EVIL.into(),
            from: Some(long.as_str().into()),
            recipients: 3,
            passed: false,
        });
        file.step(Step {
            at: AT,
            by: Actor::Judgement,
            what: What::Restricted,
            entity: erp.clone(),
            reason: String::new(),
            findings: vec![Finding {
                signal: SignalName::UnregisteredSender,
                score: 15.0,
                limit: 14.0,
                bad: 9,
                of: 9,
                distinct: 7,
                usual: 0.001,
                ..Finding::default()
            }],
        });
        file.step(Step {
            at: AT,
            by: Actor::Operator("anna".into()),
            what: What::Lifted,
            entity: erp,
            reason: EVIL.into(),
            findings: Vec::new(),
        });
        file.refused = 12;
        file
    }

    #[test]
    fn a_case_tells_all_and_nothing_of_it_breaks_out_of_its_line() {
        let mut page = Page::default();
        page.case(&CaseView::new(file()));
        let text = page.0;
        for part in [
            "Case C-000017",
            "12 recipients were refused since",
            "all of the last 9 messages came from 7 sender domains that are not registered",
            "HELO name never seen before, since",
            "192.0.2.66",
            "6 of 8 recipients (75 %) are elsewhere, 2 of this site",
            "connector:erp restricted by judgement: all of the last 9 messages",
            "connector:erp lifted by operator:anna: \\u{1b}[2J\\r\\nroot %s \\u{202e}",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
        assert!(text.chars().all(|c| c == '\n' || crate::text::is_harmless(c)), "{text:?}");
        assert!(!text.contains(&"x".repeat(TEXT + 1)));
    }

    #[test]
    fn a_case_survives_its_json() {
        let view = CaseView::new(file());
        let text = serde_json::to_string(&view).unwrap_or_default();
        assert_eq!(serde_json::from_str::<CaseView>(&text).ok(), Some(view));
    }
}
