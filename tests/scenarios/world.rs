//! What a scenario happens in: an engine, a clock, sessions, and a journal
//! that is kept in memory.

use crate::{
    config::Config,
    expect,
    fates::{Fates, deliver, removed},
    mail::{Client, Scene, Sent},
    words::{Outcome, Words, has_words, parse, substitute},
};
use connguard::{
    connector::{ConnectorKey, Entity},
    engine::{Blocked, Engine, Memory, Notice, Unblocked, Waiting},
    record::{Actor, Live, Record, Snapshot, Trust},
    restriction, tally,
    timestamp::{Timestamp, parse_span},
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Midnight of day 1.
const FIRST_DAY: u64 = 20_600;
const DAY: Duration = Duration::from_secs(86_400);

/// What the history keeps: of all connectors together, of each, and of messages
/// whose fate is not known.
type Saved = (Memory, Vec<(ConnectorKey, tally::Image)>, Vec<Waiting>);

/// All of it.
pub(crate) struct World {
    config: Config,
    engine: Option<Arc<Engine>>,
    pub(crate) now: Timestamp,
    midnight: Timestamp,
    sessions: HashMap<String, Client>,
    journal: Vec<Record>,
    /// What the history had when it was last saved.
    saved: Option<Saved>,
    pub(crate) notices: Vec<Notice>,
    sent: Sent,
    fates: Fates,
}

impl Default for World {
    fn default() -> Self {
        let midnight = Timestamp::from_seconds(FIRST_DAY * 86_400);
        Self {
            config: Config::default(),
            engine: None,
            now: midnight,
            midnight,
            sessions: HashMap::new(),
            journal: Vec::new(),
            saved: None,
            notices: Vec::new(),
            sent: Sent::default(),
            fates: Fates::default(),
        }
    }
}

impl World {
    /// Does what a line says.
    pub(crate) fn line(&mut self, line: &str) -> Outcome {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        self.fates.begin();
        let line = self.tell_time(line)?;
        let (action, outcome) = match line.split_once("->") {
            Some((action, outcome)) => (action.trim(), Some(outcome.trim())),
            None => (line, None),
        };
        self.act(action, outcome)?;
        self.listen()
    }

    /// What must be true of the records and the totals at any moment.
    pub(crate) fn settle_accounts(&mut self) -> Outcome {
        self.start()?;
        self.listen()?;
        let engine = self.engine()?;
        let kept = live(restriction::replay(Snapshot::default(), self.journal.clone()), self.now);
        let truth = live(engine.table().snapshot(), self.now);
        if kept != truth {
            return Err(format!("the journal gives {kept:#?}\nbut the table is {truth:#?}"));
        }
        let counted = expect::total(engine);
        if counted != self.sent {
            return Err(format!("the engine counted {counted:?}, but clients saw {:?}", self.sent));
        }
        Ok(())
    }

    pub(crate) fn engine(&self) -> Outcome<&Arc<Engine>> {
        self.engine.as_ref().ok_or_else(|| "nothing runs yet".into())
    }

    fn tell_time<'a>(&mut self, line: &'a str) -> Outcome<&'a str> {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(span) = first.strip_prefix('+') {
            self.go_to(self.now.plus(span_of(span)?))?;
            return Ok(rest.trim());
        }
        let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let parts: Vec<&str> = first.split(':').collect();
        let [hours, minutes, seconds] = parts[..] else {
            return Ok(line);
        };
        if !parts.iter().copied().all(digits) {
            return Ok(line);
        }
        let (hours, minutes, seconds): (u64, u64, u64) =
            (parse(hours)?, parse(minutes)?, parse(seconds)?);
        if hours > 23 || minutes > 59 || seconds > 59 {
            return Err(format!("{first} is no time of day"));
        }
        let at = Duration::from_secs(hours * 3600 + minutes * 60 + seconds);
        self.go_to(self.midnight.plus(at))?;
        Ok(rest.trim())
    }

    fn go_to(&mut self, at: Timestamp) -> Outcome {
        if at < self.now {
            return Err(format!("time runs backwards, from {} to {at}", self.now));
        }
        self.now = at;
        if let Some(engine) = &self.engine {
            self.fates.tell(engine, at);
        }
        // `+1d` may have left the day.
        while DAY <= self.now.since(self.midnight) {
            self.midnight = self.midnight.plus(DAY);
        }
        Ok(())
    }

    fn act(&mut self, action: &str, outcome: Option<&str>) -> Outcome {
        let words = &mut Words::new(action);
        match words.next("something to do")? {
            "config" => return self.config.set(words),
            "connector" => return self.config.connector(words),
            "forget" if words.skip("connector") => {
                self.config.forget(words.next("a name")?)?;
                return words.end();
            }
            "day" => {
                let day = words.parse::<u64>("a number")?;
                let midnight = Timestamp::from_seconds((FIRST_DAY + day - 1) * 86_400);
                self.go_to(midnight)?;
                return words.end();
            }
            _ => self.start()?,
        }
        let words = &mut Words::new(action);
        match words.next("something to do")? {
            "repeat" => self.repeat(action, outcome),
            "expect" => expect::check(self, words),
            "sweep" => {
                self.engine()?.sweep(self.now);
                words.end()
            }
            "deliver" => deliver(self.engine()?, words, outcome, self.now),
            "removed" => removed(self.engine()?, words, self.now),
            "operator" => self.operator(words, outcome),
            "reload" => self.reload(outcome),
            "save" => {
                self.saved = Some(saved(self.engine()?, self.now));
                words.end()
            }
            "crash" => {
                words.end()?;
                let saved = self.saved.clone().ok_or("nothing was saved")?;
                self.restart(Some(saved), outcome)
            }
            "restart" => {
                let saved = saved(self.engine()?, self.now);
                let saved = match (words.skip("without"), words.skip("history")) {
                    (false, _) => Some(saved),
                    (true, true) => None,
                    (true, false) if words.skip("memory") => {
                        let memory = Memory { filters: None, muted_until: None, ..saved.0 };
                        Some((memory, Vec::new(), Vec::new()))
                    }
                    (true, false) => return Err("without what?".into()),
                };
                words.end()?;
                self.restart(saved, outcome)
            }
            "session" => {
                let name = words.next("a name")?.to_owned();
                let mut client = Client::default();
                client.identify(words)?;
                self.sessions.insert(name, client);
                words.end()
            }
            name => match self.sessions.remove(name) {
                Some(mut client) => {
                    let done = self.mail(&mut client, words, outcome);
                    self.sessions.insert(name.to_owned(), client);
                    done
                }
                None => {
                    let client = &mut Client::default();
                    let words = &mut Words::new(action);
                    client.identify(words)?;
                    self.mail(client, words, outcome)
                }
            },
        }
    }

    fn start(&mut self) -> Outcome {
        if self.engine.is_none() {
            self.engine = Some(Arc::new(self.new_engine()?));
            self.set_feedback()?;
        }
        Ok(())
    }

    fn new_engine(&self) -> Outcome<Engine> {
        let settings = self.config.settings()?;
        let mut engine = Engine::new(settings, self.config.max_connectors()?, self.now);
        // Under one key at all times: what a Bloom filter takes for known must
        // not change from run to run.
        let memory = Memory {
            key: *b"the same always.",
            filters: Some(engine.filters()),
            muted_until: None,
        };
        engine.recall(Some(memory), [], self.now);
        Ok(engine)
    }

    fn set_feedback(&self) -> Outcome {
        self.engine()?.set_feedback(self.config.feedback()?);
        Ok(())
    }

    fn repeat(&mut self, action: &str, outcome: Option<&str>) -> Outcome {
        let rest = action.strip_prefix("repeat ").ok_or("repeat what?")?;
        let (count, rest) = rest.split_once(' ').ok_or("repeat what?")?;
        let (pause, line) = match rest.strip_prefix("every ") {
            Some(rest) => {
                let (span, line) = rest.split_once(' ').ok_or("repeat what?")?;
                (span_of(span)?, line)
            }
            None => (Duration::from_secs(1), rest),
        };
        for n in 1..=parse::<u64>(count)? {
            let outcome = outcome.map(|outcome| substitute(outcome, n)).transpose()?;
            self.act(&substitute(line, n)?, outcome.as_deref())
                .map_err(|why| format!("at repetition {n}: {why}"))?;
            self.go_to(self.now.plus(pause))?;
        }
        Ok(())
    }

    fn mail(
        &mut self,
        client: &mut Client,
        words: &mut Words<'_>,
        outcome: Option<&str>,
    ) -> Outcome {
        if words.skip("identify") {
            client.identify(words)?;
            return words.end();
        }
        let host = self.config.host();
        let scene = &mut Scene {
            engine: self.engine.as_deref().ok_or("nothing runs yet")?,
            now: self.now,
            host: &host,
            sent: &mut self.sent,
            fates: &mut self.fates,
        };
        let answer = client.act(scene, words.rest(), outcome)?;
        match (answer, outcome) {
            (None, None) => Ok(()),
            (Some(answer), Some(outcome)) => {
                let first = |text: &str| text.split_whitespace().next().map(str::to_owned);
                if first(&answer) == first(outcome) && has_words(&answer, outcome) {
                    Ok(())
                } else {
                    Err(format!("expected {outcome}, but the answer was: {answer}"))
                }
            }
            (Some(answer), None) => {
                Err(format!("nothing is expected of it (the answer was: {answer})"))
            }
            (None, Some(_)) => Err("there is no answer to this".into()),
        }
    }

    fn operator(&mut self, words: &mut Words<'_>, outcome: Option<&str>) -> Outcome {
        let command = words.next("a command")?;
        let entity: Entity = words.parse("an entity")?;
        let (mut span, mut action) = (None, None);
        let (mut false_positive, mut force) = (false, false);
        while let Some(word) = words.any() {
            match word {
                "false_positive" => false_positive = true,
                "force" => force = true,
                "for" | "grace" => span = Some(span_of(words.next("a span")?)?),
                "action" => action = Some(words.parse("an action")?),
                _ => return Err(format!("{word:?} is not understood here")),
            }
        }
        let (by, now, reason) = (Actor::Operator("anna".into()), self.now, "by hand".to_owned());
        let engine = self.engine()?;
        let done = match command {
            "block" => {
                let blocked = Blocked { entity, action, span, reason };
                let done = engine.block(blocked, by, now);
                done.map(drop).map_err(|error| error.to_string())
            }
            "unblock" => match engine.still_bad(&entity, now) {
                Some(bad) if !force => Err(bad.to_string()),
                _ => engine
                    .unblock(&entity, &reason, Unblocked { grace: span, false_positive }, by, now)
                    .map(drop)
                    .ok_or_else(|| "not restricted".into()),
            },
            "trust" => {
                let until = now.plus(span.ok_or("for how long?")?);
                let trust = Trust { since: now, until, by, reason };
                let done = engine.trust(&entity, trust);
                done.map(drop).map_err(|error| error.to_string())
            }
            "untrust" => engine
                .end_trust(&entity, &reason, by, now)
                .map(drop)
                .ok_or_else(|| "not trusted".into()),
            "normal" => {
                let done = engine.normal(&entity, &reason, by, now);
                done.map(drop).map_err(|error| error.to_string())
            }
            _ => return Err(format!("{command:?} is no command of an operator")),
        };
        match (done, outcome.map(|outcome| outcome.strip_prefix("refused"))) {
            (done, None) => done,
            (Err(why), Some(Some(words))) if has_words(&why, words) => Ok(()),
            (done, _) => Err(format!("expected {outcome:?}, but it was {done:?}")),
        }
    }

    fn reload(&mut self, outcome: Option<&str>) -> Outcome {
        let moves = self.engine()?.reload(self.config.settings()?, self.now);
        self.set_feedback()?;
        expect::moved(&moves, outcome)
    }

    /// As the daemon does it: history first, then what the journal was told.
    fn restart(&mut self, saved: Option<Saved>, outcome: Option<&str>) -> Outcome {
        self.settle_accounts()?;
        let snapshot = restriction::replay(Snapshot::default(), self.journal.clone());
        let mut engine = self.new_engine()?;
        if let Some((memory, histories, waiting)) = saved {
            let recalled = engine.recall(Some(memory), histories, self.now);
            engine.recall_waiting(waiting, self.now);
            if recalled.left_out > 0 || !recalled.faults.is_empty() {
                return Err(format!("not all came back: {recalled:?}"));
            }
        }
        let moves = engine.restore(snapshot, self.now);
        self.engine = Some(Arc::new(engine));
        self.set_feedback()?;
        self.sessions.clear();
        self.notices.clear();
        self.sent = Sent::default();
        expect::moved(&moves, outcome)
    }

    /// Takes what the engine has to tell.
    fn listen(&mut self) -> Outcome {
        if let Some(engine) = &self.engine {
            let batch = engine.table().changes().take(Duration::ZERO);
            if batch.overflowed {
                return Err("the queue to the journal overflowed".into());
            }
            self.journal.extend(batch.records);
            self.notices.extend(engine.notices().take().0);
        }
        Ok(())
    }
}

/// What the history keeps.
fn saved(engine: &Arc<Engine>, now: Timestamp) -> Saved {
    let (filters, muted_until) = (Some(engine.filters()), engine.muted_until(now));
    let memory = Memory { key: engine.key(), filters, muted_until };
    (memory, engine.histories().collect(), engine.waiting().collect())
}

fn span_of(text: &str) -> Outcome<Duration> {
    parse_span(text).map_err(|error| error.to_string())
}

/// What is in force at `now`, without what is over by the clock.
fn live(snapshot: Snapshot, now: Timestamp) -> Vec<Live> {
    let mut all: Vec<Live> = snapshot
        .live
        .into_iter()
        .map(|mut live| {
            let standing = &mut live.standing;
            standing.restriction = standing
                .restriction
                .take()
                .filter(|restriction| restriction.until.is_none_or(|until| now < until));
            standing.trust = standing.trust.take().filter(|trust| now < trust.until);
            standing.grace = standing.grace.take().filter(|grace| now < grace.until);
            standing.raised = standing.raised.take().filter(|raised| now < raised.until);
            live
        })
        .filter(|live| !live.standing.is_empty())
        .collect();
    all.sort_by(|a, b| a.entity.cmp(&b.entity));
    all
}
