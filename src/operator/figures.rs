//! The figures that metrics show: those of `status`, `list` and `top`, from where these
//! have them.
//!
//! What counts begins at zero with the process and only grows, except where its help says
//! otherwise.

use super::Operator;
use crate::{
    connector::ConnectorKey,
    engine::Engine,
    judge::Judgement,
    metrics::{self, Family, Sample},
    panics, policy,
    record::{Actor, Event, Record},
    timestamp::Timestamp,
    verdict::Mode,
    view::State,
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Changes of restrictions since the start, counted as the journal announces them.
#[derive(Debug, Default)]
pub struct Changes {
    judged: AtomicU64,
    by_hand: AtomicU64,
    marked: AtomicU64,
    lifted: AtomicU64,
}

impl Changes {
    /// Counts one, if it is of a restriction.
    pub fn count(&self, record: &Record) {
        let one = match &record.event {
            Event::Restricted(held) if held.mark => &self.marked,
            Event::Restricted(held) if held.by == Actor::Judgement => &self.judged,
            Event::Restricted(_) => &self.by_hand,
            Event::Lifted { .. } => &self.lifted,
            _ => return,
        };
        one.fetch_add(1, Relaxed);
    }
}

impl Operator {
    /// All figures. Looks at each connector: not for a thread that serves mail.
    pub fn figures(&self) -> Vec<Family> {
        let now = self.clock.now();
        let mut families = self.process(now);
        families.extend(mail(&self.engine));
        families.extend(self.restrictions(now));
        families.extend(connectors(&self.engine, self.config.load().state.max_connectors, now));
        families.extend(self.files(now));
        families.extend(self.front());
        families.extend(self.told());
        families.extend(own(&self.engine, now));
        families
    }

    fn process(&self, now: Timestamp) -> Vec<Family> {
        let mode = self.engine.settings().mode();
        let modes = [Mode::Observe, Mode::Enforce];
        let modes = modes.map(|one| Sample::of("mode", one.to_string(), flag(one == mode)));
        vec![
            Family::gauge(
                "build_info",
                "1, with the version as label.",
                vec![Sample::of("version", env!("CARGO_PKG_VERSION"), 1.0)],
            ),
            Family::gauge("mode", "1 for the global mode that is in force.", modes.into()),
            Family::gauge(
                "uptime_seconds",
                "Time since the start.",
                Sample::only(now.since(self.started).as_secs_f64()),
            ),
            Family::counter(
                "panics",
                "Faults of connguard itself since the start, callbacks included.",
                Sample::only(number(panics::seen().count)),
            ),
            Family::gauge(
                "troubles",
                "What fails at present: the sentences of connguard status.",
                Sample::only(size(self.troubles().len())),
            ),
        ]
    }

    fn restrictions(&self, now: Timestamp) -> Vec<Family> {
        let settings = self.engine.settings();
        let mut refusing: BTreeMap<(String, &'static str), usize> = BTreeMap::new();
        let (mut marked, mut idle) = (0_usize, 0_usize);
        for entry in self.engine.table().list(now) {
            let Some(restriction) = entry.standing.restriction else { continue };
            if restriction.mark {
                marked += 1;
            } else if settings.directory.refuses(&restriction) {
                let key = (restriction.action.to_string(), entry.entity.kind());
                *refusing.entry(key).or_default() += 1;
            } else {
                idle += 1;
            }
        }
        let total = refusing.values().sum();
        let by = |((action, kind), count): ((String, &'static str), usize)| Sample {
            labels: vec![("action", action), ("kind", kind.to_owned())],
            value: size(count),
        };
        vec![
            Family::gauge("restricted", "Entities whose mail is refused or held.", only(total)),
            Family::gauge(
                "restrictions",
                "Entities whose mail is refused or held, by the action and the kind of entity (connector, sender or organization).",
                refusing.into_iter().map(by).collect(),
            ),
            Family::gauge("marked", "Entities marked in observe mode.", only(marked)),
            Family::gauge(
                "restrictions_idle",
                "Restrictions from before observe mode, which refuse nothing now.",
                only(idle),
            ),
            Family::counter(
                "restrictions_made",
                "Restrictions made since the start, by judgement or operator; one that changes counts again.",
                vec![
                    Sample::of("by", "judgement", number(self.changes.judged.load(Relaxed))),
                    Sample::of("by", "operator", number(self.changes.by_hand.load(Relaxed))),
                ],
            ),
            Family::counter(
                "marks_made",
                "Marks made in observe mode since the start; one that changes counts again.",
                Sample::only(number(self.changes.marked.load(Relaxed))),
            ),
            Family::counter(
                "restrictions_lifted",
                "Restrictions and marks that ended since the start.",
                Sample::only(number(self.changes.lifted.load(Relaxed))),
            ),
        ]
    }

    fn files(&self, now: Timestamp) -> Vec<Family> {
        let journal = self.journal.status();
        let hangs = self.disk_hangs(&journal);
        let healthy = journal.healthy && !hangs && journal.set_aside.is_empty();
        let history = self.history.status();
        let age = history.saved_at.map(|saved| now.since(saved).as_secs_f64());
        let cases = self.cases.status();
        vec![
            Family::gauge(
                "journal_records",
                "Changes in the segment of the journal that is written.",
                Sample::only(number(journal.records)),
            ),
            Family::gauge(
                "journal_bytes",
                "Length of that segment.",
                Sample::only(number(journal.bytes)),
            ),
            Family::gauge(
                "journal_healthy",
                "1 if every change reaches the disk and no damaged file waits.",
                Sample::only(flag(healthy)),
            ),
            Family::spans(
                "journal_sync_seconds",
                "How long changes took to be on disk: one write and one sync, of many changes at times.",
                vec![(Vec::new(), journal.syncs)],
            ),
            Family::gauge(
                "history_age_seconds",
                "Time since the history was saved; absent before the first time.",
                age.map(Sample::only).unwrap_or_default(),
            ),
            Family::gauge(
                "history_bytes",
                "Length of the history as this process saved it last.",
                Sample::only(number(history.written.bytes)),
            ),
            Family::gauge(
                "history_healthy",
                "1 if the last save of the history worked.",
                Sample::only(flag(history.healthy)),
            ),
            Family::gauge("cases_files", "Files of cases on disk.", only(cases.files)),
            Family::gauge(
                "cases_healthy",
                "1 if files of cases can be written.",
                Sample::only(flag(cases.healthy)),
            ),
        ]
    }

    fn front(&self) -> Vec<Family> {
        let milter = self.milter.status();
        let [recipient, end] = self.milter.spans();
        let mut families = vec![
            Family::gauge(
                "milter_connections",
                "Connections of the milter open now.",
                only(milter.connections),
            ),
            Family::gauge(
                "milter_connections_limit",
                "Most connections of the milter open at once.",
                only(milter.limit),
            ),
            Family::counter(
                "milter_refused_connections",
                "Connections closed at once for want of room, since the start.",
                Sample::only(number(milter.refused_connections)),
            ),
            Family::counter(
                "milter_accept_errors",
                "Errors of accept that were waited out, since the start.",
                Sample::only(number(milter.accept_errors)),
            ),
            Family::spans(
                "milter_callback_seconds",
                "How long Postfix waited for the answer to a recipient, and to the end of a message; of every sixteenth.",
                [("recipient", recipient), ("end_of_message", end)]
                    .map(|(callback, spans)| (vec![("callback", callback.to_owned())], spans))
                    .into(),
            ),
            Family::counter(
                "milter_callback_panics",
                "Callbacks that panicked since the start.",
                Sample::only(number(milter.panics)),
            ),
        ];
        let policy = self.policy.as_ref().map(policy::Handle::status);
        let of = |figure: fn(&policy::Status) -> f64| {
            policy.as_ref().map(|policy| Sample::only(figure(policy))).unwrap_or_default()
        };
        families.extend([
            Family::gauge(
                "policy_connections",
                "Policy connections open now; absent without [policy].",
                of(|policy| size(policy.connections)),
            ),
            Family::gauge(
                "policy_connections_limit",
                "Most policy connections open at once; absent without [policy].",
                of(|policy| size(policy.limit)),
            ),
            Family::counter(
                "policy_refused_connections",
                "Policy connections closed at once for want of room, since the start.",
                of(|policy| number(policy.refused_connections)),
            ),
            Family::counter(
                "policy_requests",
                "Policy requests answered since the start.",
                of(|policy| number(policy.requests)),
            ),
        ]);
        families
    }

    fn told(&self) -> Vec<Family> {
        let feedback = self.feedback.status();
        let alerts = self.alert.status();
        let channels = |figure: fn(&crate::alert::ChannelStatus) -> bool| -> Vec<Sample> {
            let sample = |one| {
                let one: &crate::alert::ChannelStatus = one;
                Sample::of("channel", one.channel.to_string(), flag(figure(one)))
            };
            alerts.channels.iter().map(sample).collect()
        };
        vec![
            Family::gauge(
                "feedback_healthy",
                "1 if the mail log can be read, or none is to be read.",
                Sample::only(flag(feedback.healthy)),
            ),
            Family::gauge(
                "feedback_lag_seconds",
                "How far the reader of the mail log is behind.",
                Sample::only(number(feedback.lag_s)),
            ),
            Family::counter(
                "alerts_sent",
                "Alerts that a channel took since the start; each channel counts.",
                Sample::only(number(alerts.sent)),
            ),
            Family::counter(
                "alerts_failed",
                "Alerts that a channel gave up since the start.",
                Sample::only(number(alerts.failed)),
            ),
            Family::gauge(
                "alerts_queued",
                "Alerts that wait to be sent.",
                Sample::only(number(alerts.queued)),
            ),
            Family::counter(
                "feedback_results",
                "Delivery results read in the mail log since the start.",
                Sample::only(number(feedback.results)),
            ),
            Family::gauge(
                "alert_channel_healthy",
                "1 if the channel took what it was given last.",
                channels(|channel| channel.healthy),
            ),
        ]
    }
}

fn mail(engine: &Engine) -> Vec<Family> {
    let counters = engine.counters();
    let rejected = counters.rejected.load(Relaxed);
    // Counted first: what is refused meanwhile is in the other one alone.
    let refused = counters.refused.load(Relaxed);
    let total = |count: &crate::stripes::Count| Sample::only(number(count.load(Relaxed)));
    vec![
        Family::counter(
            "messages",
            "Messages that passed since the start, in whatever direction.",
            total(&counters.messages),
        ),
        Family::counter(
            "recipients",
            "Accepted recipients of messages that passed since the start.",
            total(&counters.recipients),
        ),
        Family::counter(
            "refused_recipients",
            "Recipients refused since the start, by the action: tempfail (451, or 421 which ends the session), or reject (550).",
            vec![
                Sample::of("action", "tempfail", number(refused.saturating_sub(rejected))),
                Sample::of("action", "reject", number(rejected)),
            ],
        ),
        Family::counter(
            "suspicions",
            "Connectors and senders that became suspicious since the start.",
            total(&counters.suspicions),
        ),
        Family::counter(
            "would_refuse_recipients",
            "Recipients that enforce mode would have refused, since the start.",
            total(&counters.would_refuse),
        ),
        Family::counter(
            "held_messages",
            "Messages put into Postfix's hold queue since the start.",
            total(&counters.held),
        ),
        Family::counter(
            "unattributed_messages",
            "Messages relayed since the start for clients without relay rights as far as the configuration knows.",
            total(&counters.unattributed),
        ),
    ]
}

/// How many connectors there are.
fn connectors(engine: &Engine, cap: usize, now: Timestamp) -> Vec<Family> {
    let mut kinds: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut warned = Vec::new();
    engine.roster().for_each(|key, tally| {
        *kinds.entry(kind(key)).or_default() += 1;
        if tally.judgement() != Judgement::Normal {
            warned.push((key.clone(), std::sync::Arc::clone(tally)));
        }
    });
    let suspicious = warned
        .iter()
        .filter(|(key, tally)| engine.judgement(key, tally, now) == Judgement::Suspicious)
        .filter(|(key, _)| engine.table().in_force(&key.clone().into(), now).is_none())
        .count();
    let kinds = kinds.into_iter().map(|(kind, count)| Sample::of("kind", kind, size(count)));
    vec![
        Family::gauge("connectors", "Connectors known, by their kind.", kinds.collect()),
        Family::gauge(
            "known_recipients_fill_ratio",
            "How full the filters of known recipients are (of 90 days, and recent of an hour), 0 to 1: at 1 the memory gets shorter.",
            vec![
                Sample::of("filter", "recipients", f64::from(engine.known().recipients.fill())),
                Sample::of("filter", "recent", f64::from(engine.known().recent.fill())),
            ],
        ),
        Family::gauge(
            "known_recipients_bytes",
            "Memory that these filters take.",
            vec![
                Sample::of("filter", "recipients", size(engine.known().recipients.bytes())),
                Sample::of("filter", "recent", size(engine.known().recent.bytes())),
            ],
        ),
        Family::gauge("connectors_limit", "state.max_connectors.", only(cap)),
        Family::gauge(
            "suspicious_connectors",
            "Connectors that are suspicious and neither restricted nor marked.",
            only(suspicious),
        ),
    ]
}

/// Figures of single connectors.
fn own(engine: &Engine, now: Timestamp) -> Vec<Family> {
    let shown = metrics::connectors(engine, now);
    let each = |figure: &dyn Fn(&crate::view::TopView) -> f64| -> Vec<Sample> {
        let sample = |view: &crate::view::TopView| {
            Sample::of("connector", view.entity.to_string(), figure(view))
        };
        shown.iter().map(sample).collect()
    };
    let is = |view: &crate::view::TopView, state: State| flag(view.state == Some(state));
    vec![
        Family::gauge(
            "connector_messages_last_hour",
            "Messages of a connector that passed in the last hour: configured connectors and the 50 busiest of the others, as all figures of connectors.",
            each(&|view| number(view.messages)),
        ),
        Family::gauge(
            "connector_recipients_last_hour",
            "Their recipients.",
            each(&|view| number(view.recipients)),
        ),
        Family::gauge(
            "connector_refused",
            "What was refused of a connector since it was restricted or slowed down; zero where it is neither.",
            each(&|view| number(view.refused)),
        ),
        Family::gauge(
            "connector_score",
            "How much speaks against a connector, all signals together.",
            each(&|view| f64::from(view.score)),
        ),
        Family::gauge(
            "connector_score_limit",
            "From which score on a connector is compromised.",
            each(&|view| f64::from(view.limit)),
        ),
        Family::gauge(
            "connector_suspicious",
            "1 if a connector is suspicious and not restricted.",
            each(&|view| is(view, State::Suspicious)),
        ),
        Family::gauge(
            "connector_restricted",
            "1 if a connector's mail is refused or held.",
            each(&|view| is(view, State::Restricted)),
        ),
    ]
}

fn kind(key: &ConnectorKey) -> &'static str {
    match key {
        ConnectorKey::Named(_) => "configured",
        ConnectorKey::Login(_) => "login",
        ConnectorKey::Certificate(_) => "certificate",
        ConnectorKey::Client(_) => "client",
        ConnectorKey::Local => "local",
        ConnectorKey::Overflow => "overflow",
    }
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// A count as figures have it; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 the last digits don't matter")]
fn number(count: u64) -> f64 {
    count as f64
}

fn size(count: usize) -> f64 {
    number(u64::try_from(count).unwrap_or(u64::MAX))
}

fn only(count: usize) -> Vec<Sample> {
    Sample::only(size(count))
}
