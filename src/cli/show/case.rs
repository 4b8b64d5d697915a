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
        let mut row = |name: &str, of: fn(&Bucket) -> u32| {
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
