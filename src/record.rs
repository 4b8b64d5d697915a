//! What must not be lost: restrictions, unblocks, trusts, graces and what was
//! declared usual, as the journal writes them and the operator reads them.
//!
//! Every change of the restriction table is a [`Record`] with a sequence
//! number, and so is every declaration of what is usual. Replaying records in the order of their numbers over the
//! [`Live`] entries of a snapshot gives the table again.

use crate::{
    connector::Entity,
    timestamp::Timestamp,
    verdict::{Action, Scope},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr, sync::Arc, time::Duration};

/// Number of a case, written `C-000017`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CaseId(pub u64);

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C-{:06}", self.0)
    }
}

/// A text that is no case number.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is not a case: write it as C-000017")]
pub struct CaseError(String);

impl FromStr for CaseId {
    type Err = CaseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || CaseError(text.to_owned());
        let digits = text.strip_prefix("C-").or_else(|| text.strip_prefix("c-"));
        let digits = digits.ok_or_else(error)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error());
        }
        digits.parse().map(Self).map_err(|_| error())
    }
}

impl Serialize for CaseId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CaseId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::parsed(deserializer)
    }
}

/// Who made a change, written `judgement`, `operator:NAME` or `connguard`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Actor {
    /// The judgement, from what it observed.
    Judgement,
    /// A person, by the name of their account.
    Operator(Arc<str>),
    /// The daemon, by the clock or because the configuration changed.
    Daemon,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Judgement => f.write_str("judgement"),
            Self::Operator(name) => write!(f, "operator:{name}"),
            Self::Daemon => f.write_str("connguard"),
        }
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::parsed(deserializer)
    }
}

/// A text that names no actor.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no actor")]
pub struct ActorError(String);

impl FromStr for Actor {
    type Err = ActorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "judgement" => Ok(Self::Judgement),
            "connguard" => Ok(Self::Daemon),
            other => match other.strip_prefix("operator:") {
                Some(name) => Ok(Self::Operator(name.into())),
                None => Err(ActorError(other.to_owned())),
            },
        }
    }
}

/// Makes [`SignalName`] of one row a signal: what it is, its name here, and its
/// name in the journal, in JSON and on a terminal.
macro_rules! signal_names {
    ($($(#[$what:meta])* $name:ident = $text:literal,)*) => {
        /// What is observed of an entity.
        #[derive(
            Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
        )]
        pub enum SignalName {
            $($(#[$what])* #[serde(rename = $text)] $name,)*
        }

        impl SignalName {
            /// All of them, in the order in which they are shown.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            /// Its name outside of this program.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

signal_names! {
    /// U: the domain of MAIL FROM is not registered.
    #[default]
    UnregisteredSender = "unregistered_sender",
    /// F: the domain of the From header is not registered, or foreign.
    ForeignFrom = "foreign_from",
    /// A: client networks that this login never used.
    NewNetworks = "new_networks",
    /// A2: most of the last hour's mail comes from networks first seen today.
    ShiftedNetworks = "shifted_networks",
    /// X: many recipients that this connector never wrote to, in one message.
    UnknownCrowds = "unknown_crowds",
    /// R1: most recipients are refused where they are delivered.
    MostRefused = "most_refused",
    /// R2: many recipients are refused where they are delivered.
    ManyRefused = "many_refused",
    /// J: recipients that Postfix itself refuses as unknown.
    UnknownRecipients = "unknown_recipients",
    /// Q: a filter before us calls the message spam.
    SpamVerdict = "spam_verdict",
    /// V: more than in the busiest hour so far.
    Volume = "volume",
}

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What volume counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Messages.
    #[default]
    Messages,
    /// Recipients.
    Recipients,
    /// Recipients that the connector never wrote to.
    NewRecipients,
}

impl Unit {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Messages, Self::Recipients, Self::NewRecipients];
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Messages => "messages",
            Self::Recipients => "recipients",
            Self::NewRecipients => "new_recipients",
        })
    }
}

/// Numbers that JSON can say: of what is none, or too large, it would make `null`, and
/// with that a record that nobody can read again.
mod number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &f32, to: S) -> Result<S::Ok, S::Error> {
        finite(*number).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f32, D::Error> {
        f32::deserialize(from).map(finite)
    }

    fn finite(number: f32) -> f32 {
        if number.is_nan() { 0.0 } else { number.clamp(f32::MIN, f32::MAX) }
    }
}

/// A score made readable.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Finding {
    /// The signal.
    pub signal: SignalName,
    /// Its score when the finding was made, in nats.
    #[serde(with = "number")]
    pub score: f32,
    /// The score from which on an entity is compromised, in nats.
    #[serde(with = "number")]
    pub limit: f32,
    /// What volume is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Bad trials since the score left zero; of volume, what was counted in the
    /// last hour; of a shift of networks, the messages of the last hour from
    /// networks first seen today.
    pub bad: u32,
    /// All trials since the score left zero; of volume, the busiest hour so far;
    /// of a shift of networks, all messages of the last hour.
    pub of: u32,
    /// How many different things the bad trials showed (domains, networks); of
    /// volume, what would still have been usual.
    pub distinct: u32,
    /// Share of bad trials that is usual for this entity, 0 to 1.
    #[serde(with = "number")]
    pub usual: f32,
    /// When the score left zero.
    pub since: Timestamp,
}

/// One message that spoke against an entity.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Sample {
    /// When its end was seen.
    pub at: Timestamp,
    /// Queue id of Postfix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<Box<str>>,
    /// Message-ID header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Box<str>>,
    /// Envelope sender.
    pub sender: Box<str>,
    /// First address of the From header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Box<str>>,
    /// Relayed recipients.
    pub recipients: u32,
    /// Whether it passed (the message that tips the scale does not).
    pub passed: bool,
}

/// The block of an entity, or in observe mode the mark in its stead.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Restriction {
    /// Who is restricted.
    pub entity: Entity,
    /// The incident that it belongs to.
    pub case: CaseId,
    /// What its mail meets.
    pub action: Action,
    /// Which recipients meet it.
    pub scope: Scope,
    /// When it began.
    pub since: Timestamp,
    /// When it ends by itself, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// When a tempfail turns into a reject, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject_from: Option<Timestamp>,
    /// Who made it.
    pub by: Actor,
    /// The operator's reason, or the judgement's in one sentence.
    pub reason: String,
    /// A mark: nothing is refused because of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mark: bool,
    /// What the judgement found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Bad messages, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
    /// Messages of the entity that passed since its scores left zero.
    #[serde(default)]
    pub passed_messages: u64,
    /// Relayed recipients of those messages.
    #[serde(default)]
    pub passed_recipients: u64,
    /// The keys of a named connector when it was restricted, so that the
    /// restriction still finds its target once the name is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Entity>,
}

/// A temporary exemption.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Trust {
    /// When it began.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// Who gave it.
    pub by: Actor,
    /// Why.
    pub reason: String,
}

/// The time after an unblock in which judgement needs twice as much, except
/// from the very signals that made the case.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Grace {
    /// When it ends.
    pub until: Timestamp,
    /// The case that was lifted.
    pub case: CaseId,
    /// The signals that made that case.
    pub signals: Vec<SignalName>,
}

/// A bar that is raised for one entity since a restriction of it was wrong: the
/// levels of its judgement are so many times those of others.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Raised {
    /// How many times the levels: [`Raised::FIRST`], or [`Raised::AGAIN`].
    #[serde(with = "number")]
    pub times: f32,
    /// When it was raised.
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Timestamp,
    /// The case that was wrong.
    pub case: CaseId,
}

impl Raised {
    /// How many times the levels, the first time ...
    pub const FIRST: f32 = 1.5;
    /// ... and where it was raised already.
    pub const AGAIN: f32 = 2.0;
    /// How long it lasts.
    pub const LASTS: Duration = Duration::from_secs(90 * 24 * 3600);

    /// What is raised now, `before` being what was in force.
    pub fn after(before: Option<&Self>, case: CaseId, now: Timestamp) -> Self {
        let times = if before.is_some() { Self::AGAIN } else { Self::FIRST };
        Self { times, since: now, until: now.plus(Self::LASTS), case }
    }
}

/// All that is in force for one entity.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Standing {
    /// Its restriction or mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restriction: Option<Arc<Restriction>>,
    /// Its exemption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// Its grace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<Grace>,
    /// Its raised bar. It outlasts a restriction, during which it is not applied
    /// but remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised: Option<Raised>,
}

impl Standing {
    /// Whether nothing is in force, so that the entity needs no entry.
    pub fn is_empty(&self) -> bool {
        self.restriction.is_none()
            && self.trust.is_none()
            && self.grace.is_none()
            && self.raised.is_none()
    }
}

/// The reason of an [`Event::Lifted`] by the clock.
pub const TIME_IS_OVER: &str = "its time is over";

/// What a record changed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A restriction or mark was made, or replaced by this one.
    Restricted(Arc<Restriction>),
    /// A restriction or mark ended.
    Lifted {
        /// Of whom.
        entity: Entity,
        /// Which incident.
        case: CaseId,
        /// Why.
        reason: String,
        /// What follows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace: Option<Grace>,
        /// The raised bar that it has from then on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        raised: Option<Raised>,
    },
    /// An exemption was given.
    Trusted {
        /// To whom.
        entity: Entity,
        /// The exemption.
        trust: Trust,
    },
    /// An exemption ended before its time.
    Untrusted {
        /// Of whom.
        entity: Entity,
        /// Why.
        reason: String,
    },
    /// The configuration gave a key a connector's name, or took it back: this
    /// is what the entity has now.
    Inherited {
        /// Who took over.
        entity: Entity,
        /// From whom.
        from: Entity,
        /// All that is in force for it since.
        standing: Standing,
    },
    /// The other side of [`Event::Inherited`]: nothing is in force for this
    /// entity any more.
    Moved {
        /// The entity that held it.
        from: Entity,
        /// The entities that hold it now.
        to: Vec<Entity>,
    },
    /// An operator declared what an entity sends to be usual. Nothing in the
    /// restriction table changes.
    Usual {
        /// Who sends it.
        entity: Entity,
        /// Why.
        reason: String,
    },
}

impl Event {
    /// The entity that it is about.
    pub fn entity(&self) -> &Entity {
        match self {
            Self::Restricted(restriction) => &restriction.entity,
            Self::Lifted { entity, .. }
            | Self::Trusted { entity, .. }
            | Self::Untrusted { entity, .. }
            | Self::Inherited { entity, .. }
            | Self::Usual { entity, .. }
            | Self::Moved { from: entity, .. } => entity,
        }
    }
}

/// One change of the restriction table, or one declaration.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Record {
    /// Drawn under the entity's entry: later changes have larger numbers.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Actor,
    /// What.
    pub event: Event,
}

/// What is in force for one entity, as a snapshot has it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Live {
    /// The number of the last change of this entity.
    pub seq: u64,
    /// Who.
    pub entity: Entity,
    /// What.
    pub standing: Standing,
}

/// The restriction table at one moment.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Snapshot {
    /// Every change up to this number is contained; later ones may be.
    pub seq: u64,
    /// The number of the next case.
    pub next_case: u64,
    /// All that is in force.
    pub live: Vec<Live>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn case_numbers_are_read_and_written() {
        assert_eq!("C-000017".parse::<CaseId>().unwrap(), CaseId(17));
        assert_eq!(CaseId(1_234_567).to_string(), "C-1234567");
        for wrong in ["17", "C-", "C-x", "C-+1", "C-99999999999999999999"] {
            assert!(wrong.parse::<CaseId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_finding_is_read_again_whatever_was_measured() {
        for (score, read) in [(f32::NAN, 0.0), (f32::INFINITY, f32::MAX), (1.5, 1.5)] {
            let text = serde_json::to_string(&Finding { score, ..Finding::default() }).unwrap();
            assert_eq!(serde_json::from_str::<Finding>(&text).unwrap().score, read);
        }
        let text = serde_json::to_string(&Finding::default()).unwrap();
        let huge = text.replacen("\"score\":0.0", "\"score\":1e39", 1);
        assert_eq!(serde_json::from_str::<Finding>(&huge).unwrap().score, f32::MAX);
    }

    #[test]
    fn a_record_survives_its_text() {
        let entity: Entity = "client:127.0.0.8".parse().unwrap();
        let reason = "cleaned \"it\"\n".to_owned();
        for event in [
            Event::Lifted {
                entity: entity.clone(),
                case: CaseId(3),
                reason: reason.clone(),
                grace: None,
                raised: None,
            },
            Event::Lifted {
                entity: entity.clone(),
                case: CaseId(4),
                reason: reason.clone(),
                grace: None,
                raised: Some(Raised::after(None, CaseId(4), Timestamp::from_seconds(5))),
            },
            Event::Usual { entity, reason },
        ] {
            let at = Timestamp::from_millis(1_795_000_000_123);
            let record = Record { seq: 7, at, by: Actor::Operator("anna".into()), event };
            let text = serde_json::to_string(&record).unwrap();
            assert!(!text.contains('\n'));
            assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        }
    }
}
