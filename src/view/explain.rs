//! How an entity is judged at present: every signal with its score, what made
//! it, and what it would take to be suspicious or compromised.

mod needed;
mod organization;
mod sender;

pub use organization::{OrganizationView, explain_organization, raised_sentence};

use super::{ListView, State, sentence};
use crate::{
    connector::{ConnectorKey, Entity, Profile},
    directory::Terms,
    engine::{Engine, Settings},
    judge::{Judgement, Past, Scores, fuse},
    pending::Feedback,
    record::{CaseId, Finding, Raised, SignalName, Unit},
    signal::{Context, Life},
    tally::Tally,
    throttle::in_flight_limit,
    timestamp::Timestamp,
    verdict::{Mode, Throttle},
};
use needed::Judged;
use sender::Sender;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What an entity is taken for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JudgementView {
    /// Nothing to see.
    Normal,
    /// It is warned of, and slowed down in enforce mode.
    Suspicious,
    /// Its next message restricts it.
    Compromised,
}

impl From<Judgement> for JudgementView {
    fn from(judgement: Judgement) -> Self {
        match judgement {
            Judgement::Normal => Self::Normal,
            Judgement::Suspicious => Self::Suspicious,
            Judgement::Compromised => Self::Compromised,
        }
    }
}

/// How an entity is judged.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ExplainView {
    /// Who.
    pub entity: Entity,
    /// What kind of client it is.
    pub profile: Profile,
    /// What it is taken for.
    pub judgement: JudgementView,
    /// What is in force for it.
    pub state: Option<State>,
    /// The case of that.
    pub case: Option<CaseId>,
    /// Z, the fused score, in nats.
    pub score: f32,
    /// Z from which on it is suspicious.
    pub suspicious_at: f32,
    /// Z from which on it is compromised; in grace the signals that made the
    /// case need less.
    pub compromised_at: f32,
    /// End of the grace after an unblock.
    pub grace_until: Option<Timestamp>,
    /// How much its levels were raised because a restriction of it was wrong.
    pub raised: Option<Raised>,
    /// When it was first counted.
    pub first_seen: Timestamp,
    /// Days that went into what is usual for it.
    pub days_learned: u32,
    /// What is known of delivery results.
    pub feedback: Feedback,
    /// Until then signals that need history are off, because that was lost.
    pub muted_until: Option<Timestamp>,
    /// Until then its volume and shape are learned and not judged, because an
    /// operator declared them usual.
    pub settling_until: Option<Timestamp>,
    /// A declared forwarder in its first week, which is only watched.
    pub learning: bool,
    /// Its volume beside that of its busiest hour.
    pub reference: ReferenceView,
    /// How it is slowed down while it is suspicious; nothing where it is not.
    pub throttle: Option<ThrottleView>,
    /// Every signal, in the order of [`SignalName::ALL`].
    pub signals: Vec<SignalView>,
}

/// The volume of the last hour beside what is usual.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ReferenceView {
    /// Messages.
    pub messages: AmountView,
    /// Recipients that were not mailed in the last hour.
    pub recipients: AmountView,
    /// Recipients that were never seen.
    pub new_recipients: AmountView,
}

/// A count beside what it may be: both decay with a time constant of an hour.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct AmountView {
    /// In the last hour.
    pub now: f32,
    /// What does not yet speak against it.
    pub allowed: f32,
}

/// How a suspicious entity is slowed down.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct ThrottleView {
    /// What happens to mail beyond the rate.
    pub action: Throttle,
    /// Recipients an hour.
    pub rate: f32,
    /// Recipients that it may have at once now; a debt where that is negative.
    pub tokens: f32,
    /// Accepted messages whose fate is not known yet.
    pub in_flight: u32,
    /// How many of these there may be.
    pub limit: u32,
}

/// One signal of an entity.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SignalView {
    /// Which.
    pub signal: SignalName,
    /// Whether it is observed.
    pub on: bool,
    /// Why it is not.
    pub off_because: Option<String>,
    /// Its score in nats.
    pub score: f32,
    /// The most that this score can be.
    pub cap: f32,
    /// Bad trials since the score left zero, or as [`Finding::bad`] says.
    pub bad: u32,
    /// All trials since then, or as [`Finding::of`] says.
    pub of: u32,
    /// Share of bad trials that is usual, 0 to 1; 0 for volume, of which `of`
    /// is what is usual.
    pub usual: f32,
    /// When the score left zero.
    pub since: Option<Timestamp>,
    /// All this in one sentence.
    pub text: String,
    /// What it takes of this signal before the entity is suspicious.
    pub to_suspicious: String,
    /// What it takes of this signal before it is compromised.
    pub to_compromised: String,
}

/// How `entity` is judged at `now`; nothing where nothing is counted for it.
pub fn explain(engine: &Engine, entity: &Entity, now: Timestamp) -> Option<ExplainView> {
    let key = entity.connector()?;
    let tally = match key {
        ConnectorKey::Overflow => Arc::clone(engine.roster().overflow()),
        key => engine.roster().get(key)?,
    };
    engine.take_in_deliveries();
    let settings = engine.settings();
    let terms = settings.directory.terms(key);
    let context = engine.context(&settings, key, terms, now);
    let grace = engine.table().grace(entity, now);
    let life = tally.life(&context);
    let raised = engine.table().raised(entity, now);
    let sender = match entity {
        Entity::Sender { address, .. } => Some(Sender::find(engine, address, &tally, &context)?),
        _ => None,
    };
    let (was, scores) = match &sender {
        Some(sender) => (sender.was, Scores::of_findings(&sender.findings)),
        None => (tally.judgement(), tally.scores(&context)),
    };
    let (grace_of, raised_of) = (grace.as_ref(), raised.as_ref());
    let past = Past { was, learning: life.learning, grace: grace_of, raised: raised_of };
    let judged = Judged { scores, past, life, profile: context.profile, model: context.model };
    let entries = engine.table().list(now);
    let standing = entries.iter().find(|entry| entry.entity == *entity);
    let standing = standing.map(|entry| ListView::of_entry(engine, entry, now));
    Some(ExplainView {
        entity: entity.clone(),
        profile: context.profile,
        judgement: judged.judgement().into(),
        state: standing.as_ref().map(|standing| standing.state),
        case: standing.and_then(|standing| standing.case),
        score: fuse(&scores),
        suspicious_at: past.suspicious_at(context.model),
        compromised_at: past.compromised_at(context.model),
        grace_until: grace.as_ref().map(|grace| grace.until),
        raised: raised.clone(),
        first_seen: tally.first_seen(),
        days_learned: tally.days_learned(),
        feedback: context.feedback,
        muted_until: engine.muted_until(now),
        settling_until: tally.settling_until(now),
        learning: life.learning,
        reference: reference(&tally, &context),
        throttle: match &sender {
            Some(sender) => sender.throttle(throttle(&settings, key, terms, &tally, &context)),
            None => throttle(&settings, key, terms, &tally, &context),
        },
        signals: match &sender {
            Some(sender) => sender.findings.clone(),
            None => tally.all_findings(&context).to_vec(),
        }
        .iter()
        .map(|found| {
            let of_sender = sender.as_ref().and_then(|it| it.off_because(found.signal));
            let off = of_sender.or_else(|| off_because(found.signal, terms, life, &context));
            signal(&judged, found, off)
        })
        .collect(),
    })
}

fn reference(tally: &Tally, context: &Context<'_>) -> ReferenceView {
    let volume = &tally.signals().volume;
    let amount = |unit| AmountView {
        now: volume.level(unit, context.now),
        allowed: volume.reference(unit, context),
    };
    ReferenceView {
        messages: amount(Unit::Messages),
        recipients: amount(Unit::Recipients),
        new_recipients: amount(Unit::NewRecipients),
    }
}

fn throttle(
    settings: &Settings,
    key: &ConnectorKey,
    terms: &Terms,
    tally: &Tally,
    context: &Context<'_>,
) -> Option<ThrottleView> {
    let action = terms.throttle(key);
    let is_slowed = settings.throttle
        && terms.mode == Mode::Enforce
        && action != Throttle::Off
        && *key != ConnectorKey::Overflow;
    is_slowed.then(|| ThrottleView {
        action,
        rate: tally.rate(context).per_hour(),
        tokens: tally.tokens(context),
        in_flight: tally.in_flight(),
        limit: in_flight_limit(
            tally.signals().volume.usual(Unit::Messages, context),
            context.model,
        ),
    })
}

fn signal(judged: &Judged<'_>, found: &Finding, off_because: Option<&str>) -> SignalView {
    let to = |level| match off_because {
        Some(_) => "-".to_owned(),
        None => judged.needed(found, level),
    };
    SignalView {
        signal: found.signal,
        on: off_because.is_none(),
        off_because: off_because.map(str::to_owned),
        score: found.score,
        cap: judged.cap(found.signal),
        bad: found.bad,
        of: found.of,
        usual: found.usual,
        since: (found.score > 0.0).then_some(found.since),
        text: match off_because {
            _ if found.score > 0.0 => sentence(found),
            Some(why) => format!("off: {why}"),
            None => "nothing speaks against it".to_owned(),
        },
        to_suspicious: to(Judgement::Suspicious),
        to_compromised: to(Judgement::Compromised),
    }
}

/// Why a signal is not observed at present, or not held against the entity.
fn off_because(
    signal: SignalName,
    terms: &Terms,
    life: Life,
    context: &Context<'_>,
) -> Option<&'static str> {
    use SignalName::{
        ForeignFrom, ManyRefused, MostRefused, NewNetworks, ShiftedNetworks, SpamVerdict,
        UnknownCrowds, UnknownRecipients, UnregisteredSender, Volume,
    };
    const LEARNING: &str = "a declared forwarder learns in its first week";
    const LOGINS: &str = "only for the profile login";
    const MUTED: &str = "the history of it was lost and is learned anew";
    const SETTLING: &str = "an operator declared it usual, it is learned for a day";
    let reasons: &[(bool, &'static str)] = match signal {
        UnregisteredSender => &[
            (terms.registered.is_empty(), "no registered domains, see connguard check"),
            (life.learning, LEARNING),
        ],
        ForeignFrom => &[(life.learning, LEARNING)],
        NewNetworks => &[(context.profile != Profile::Login, LOGINS), (context.muted, MUTED)],
        ShiftedNetworks => &[
            (context.profile != Profile::Login, LOGINS),
            (context.muted, MUTED),
            (!life.is_old, "not in its first week"),
        ],
        UnknownCrowds => &[
            (context.profile == Profile::Bulk, "crowds are the trade of the profile bulk"),
            (context.muted, MUTED),
            (life.settling, SETTLING),
        ],
        MostRefused | ManyRefused => {
            &[(context.feedback == Feedback::Off, "delivery results are not known")]
        }
        Volume => &[(context.muted, MUTED), (life.settling, SETTLING)],
        UnknownRecipients | SpamVerdict => &[],
    };
    reasons.iter().find(|(is_off, _)| *is_off).map(|(_, why)| *why)
}
