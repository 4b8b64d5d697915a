//! What becomes of mail that was accepted: delivery results, promised for a
//! later moment or told at once.

use crate::words::{Outcome, Words, parse};
use connguard::{
    engine::Engine,
    message::{Delivery, Outcome as Result, Provider},
    timestamp::{Timestamp, parse_span},
};
use std::time::Duration;

/// How long the first delivery takes, if a line does not say it.
const USUAL_DELAY: Duration = Duration::from_secs(16);

/// A result, and who gave it.
#[derive(Clone, Debug)]
struct Answer {
    outcome: Result,
    /// The refusal may be about this host.
    may_mean_us: bool,
    by: Option<String>,
}

impl Answer {
    /// `delivered|refused|deferred [by PROVIDER]`, or `policy by PROVIDER`.
    fn read(words: &mut Words<'_>) -> Outcome<Self> {
        let word = words.next("a result")?;
        let outcome = match word {
            "delivered" => Result::Delivered,
            "refused" | "policy" => Result::Refused,
            "deferred" => Result::Deferred,
            _ => return Err(format!("{word:?} is none of delivered, refused, policy, deferred")),
        };
        let by = words.skip("by").then(|| words.next("a provider").map(str::to_owned));
        let may_mean_us = word == "policy";
        if may_mean_us && by.is_none() {
            return Err("by whose policy?".into());
        }
        Ok(Self { outcome, may_mean_us, by: by.transpose()? })
    }

    /// What the same provider says of a recipient that it takes.
    fn delivered(self) -> Self {
        Self { outcome: Result::Delivered, may_mean_us: false, ..self }
    }

    /// Tells the engine; gives whether it knows the message.
    fn tell(
        &self,
        engine: &Engine,
        (queue_id, recipient): (&str, &str),
        logged: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let may_mean_us = self.may_mean_us;
        let by = self.by.as_deref().map(|name| Provider { name, may_mean_us });
        let delivery = Delivery { by, logged, ..Delivery::new(queue_id, recipient, self.outcome) };
        engine.on_delivery(&delivery, now)
    }
}

/// What is to become of the recipients of a message.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    /// So many of a hundred meet `answer`, the others are delivered.
    percent: u32,
    answer: Answer,
    delay: Duration,
}

impl Fate {
    /// `[P%] RESULT [after SPAN]`
    pub(crate) fn read(words: &mut Words<'_>) -> Outcome<Self> {
        let first = words.rest().split_whitespace().next().unwrap_or("");
        let percent = match first.strip_suffix('%') {
            Some(percent) => {
                words.next("a share")?;
                parse(percent)?
            }
            None => 100,
        };
        let answer = Answer::read(words)?;
        let delay = if words.skip("after") {
            parse_span(words.next("a span")?).map_err(|error| error.to_string())?
        } else {
            USUAL_DELAY
        };
        Ok(Self { percent, answer, delay })
    }
}

/// When it is due, the queue id and the recipient.
type Promise = (Timestamp, String, String, Answer);

/// Results to come.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    queue_ids: u64,
    /// Recipients and those of them that the share has hit, in this line.
    hit: (u32, u32),
    promised: Vec<Promise>,
}

impl Fates {
    /// Queue id of the next message that got none: `Q1`, `Q2`...
    pub(crate) fn next_queue_id(&mut self) -> String {
        self.queue_ids += 1;
        format!("Q{}", self.queue_ids)
    }

    /// A new line begins: shares are spread anew.
    pub(crate) fn begin(&mut self) {
        self.hit = (0, 0);
    }

    /// A message was accepted. Of each hundred recipients of a line the share
    /// is hit exactly, evenly spread.
    pub(crate) fn promise(
        &mut self,
        queue_id: &str,
        recipients: Vec<String>,
        fate: Fate,
        now: Timestamp,
    ) {
        for recipient in recipients {
            self.hit.0 += 1;
            let is_hit = self.hit.0 * fate.percent / 100 > self.hit.1;
            self.hit.1 += u32::from(is_hit);
            let answer = fate.answer.clone();
            let answer = if is_hit { answer } else { answer.delivered() };
            self.promised.push((now.plus(fate.delay), queue_id.to_owned(), recipient, answer));
        }
    }

    /// Tells the engine what is due until `now`, each at its time.
    pub(crate) fn tell(&mut self, engine: &Engine, now: Timestamp) {
        let is_due = |(due, ..): &mut Promise| *due <= now;
        let mut due: Vec<_> = self.promised.extract_if(.., is_due).collect();
        due.sort_by_key(|(due, ..)| *due);
        for (at, queue_id, recipient, answer) in due {
            answer.tell(engine, (&queue_id, &recipient), None, at);
        }
    }
}

/// `deliver QUEUEID RECIPIENT RESULT [logged SPAN ago] [-> known|unknown]`
pub(crate) fn deliver(
    engine: &Engine,
    words: &mut Words<'_>,
    outcome: Option<&str>,
    now: Timestamp,
) -> Outcome {
    let whose = (words.next("a queue id")?, words.next("a recipient")?);
    let answer = Answer::read(words)?;
    let mut logged = None;
    if words.skip("logged") {
        let span = parse_span(words.next("a span")?).map_err(|error| error.to_string())?;
        if !words.skip("ago") {
            return Err("logged SPAN ago".into());
        }
        let span = u64::try_from(span.as_millis()).map_err(|error| error.to_string())?;
        logged = Some(Timestamp::from_millis(now.as_millis() - span));
    }
    words.end()?;
    let known = if answer.tell(engine, whose, logged, now) { "known" } else { "unknown" };
    match outcome {
        Some(outcome) if outcome != known => Err(format!("the message is {known}")),
        _ => Ok(()),
    }
}

/// `removed QUEUEID`
pub(crate) fn removed(engine: &Engine, words: &mut Words<'_>, now: Timestamp) -> Outcome {
    let queue_id = words.next("a queue id")?;
    engine.forget_delivery(queue_id, Some(now), now);
    words.end()
}
