//! What becomes of mail that was accepted: delivery results, promised for a
//! later moment or told at once.

use crate::words::{Outcome, Words, parse};
use connguard::{
    engine::Engine,
    message::{Delivery, Outcome as Result},
    timestamp::{Timestamp, parse_span},
};
use std::time::Duration;

/// How long the first delivery takes, if a line does not say it.
const USUAL_DELAY: Duration = Duration::from_secs(16);

/// What is to become of the recipients of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    /// So many of a hundred meet `outcome`, the others are delivered.
    percent: u32,
    outcome: Result,
    delay: Duration,
}

impl Fate {
    /// `[P%] delivered|refused|deferred [after SPAN]`
    pub(crate) fn read(words: &mut Words<'_>) -> Outcome<Self> {
        let first = words.next("a share or a result")?;
        let (percent, word) = match first.strip_suffix('%') {
            Some(percent) => (parse(percent)?, words.next("a result")?),
            None => (100, first),
        };
        let delay = if words.skip("after") {
            parse_span(words.next("a span")?).map_err(|error| error.to_string())?
        } else {
            USUAL_DELAY
        };
        Ok(Self { percent, outcome: outcome(word)?, delay })
    }
}

/// Results to come.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    queue_ids: u64,
    /// Recipients and those of them that the share has hit, in this line.
    hit: (u32, u32),
    promised: Vec<(Timestamp, String, String, Result)>,
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
            let outcome = if is_hit { fate.outcome } else { Result::Delivered };
            self.promised.push((now.plus(fate.delay), queue_id.to_owned(), recipient, outcome));
        }
    }

    /// Tells the engine what is due until `now`, each at its time.
    pub(crate) fn tell(&mut self, engine: &Engine, now: Timestamp) {
        let is_due = |(due, ..): &mut (Timestamp, String, String, Result)| *due <= now;
        let mut due: Vec<_> = self.promised.extract_if(.., is_due).collect();
        due.sort_by_key(|(due, ..)| *due);
        for (at, queue_id, recipient, outcome) in due {
            let delivery = Delivery::new(&queue_id, &recipient, outcome);
            engine.on_delivery(&delivery, at);
        }
    }
}

/// `deliver QUEUEID RECIPIENT delivered|refused|deferred`
pub(crate) fn deliver(engine: &Engine, words: &mut Words<'_>, now: Timestamp) -> Outcome {
    let (queue_id, recipient) = (words.next("a queue id")?, words.next("a recipient")?);
    let outcome = outcome(words.next("a result")?)?;
    words.end()?;
    engine.on_delivery(&Delivery::new(queue_id, recipient, outcome), now);
    Ok(())
}

fn outcome(word: &str) -> Outcome<Result> {
    match word {
        "delivered" => Ok(Result::Delivered),
        "refused" => Ok(Result::Refused),
        "deferred" => Ok(Result::Deferred),
        _ => Err(format!("{word:?} is none of delivered, refused, deferred")),
    }
}
