//! Whether a restricted entity still sends bad mail, so that an operator who
//! lifts its restriction knows what follows.
//!
//! Of what was tried in the last ten minutes a recipient is **strange** if its
//! sender's domain is not registered (of a declared forwarder that is its trade),
//! or if the connector never wrote to it (which says something only of one that is
//! known for a week, and sends no newsletters). All that an organization's
//! restriction refuses has an unregistered sender: there both are asked for.
//!
//!   still bad: strange >= 3, strange > attempts / 2,
//!              strange > 2 * usual share of unregistered senders * attempts

use super::{Engine, session::Session, session::Settled};
use crate::{
    connector::{Entity, Profile},
    known,
    record::{Finding, SignalName},
    restriction::{Attempt, InForce, LATELY_MIN, Lately},
    timestamp::Timestamp,
};
use std::fmt;

/// Fewer strange recipients than this say nothing.
const LEAST: u32 = 3;

/// A restricted entity still sends bad mail.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StillBad {
    /// Who.
    pub entity: Entity,
    /// What it tried in the last ten minutes.
    pub lately: Lately,
    /// Different messages that were refused or held since, ...
    pub different: usize,
    /// ... at least.
    pub more: bool,
}

impl fmt::Display for StillBad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entity, lately, .. } = self;
        let Lately { attempts, unregistered, strangers, .. } = lately;
        write!(
            f,
            "{entity} still sends bad mail: of {attempts} recipients in the last {LATELY_MIN} minutes "
        )?;
        match (unregistered, strangers) {
            (0, _) => write!(f, "{strangers} were ones that it never wrote to")?,
            (_, 0) => write!(f, "{unregistered} had a sender that is not registered")?,
            _ => write!(
                f,
                "{unregistered} had a sender that is not registered and {strangers} were ones that it never wrote to"
            )?,
        }
        let least = if self.more { "at least " } else { "" };
        let (count, are) = match self.different {
            1 => ("1 message".to_owned(), "is"),
            count => (format!("{count} messages"), "are"),
        };
        write!(
            f,
            "; {least}{count} that {are} refused will be sent again. Stop it at the client and clean its queue first, or lift it all the same with --force"
        )
    }
}

impl Engine {
    /// Whether mail of a restricted entity still looks bad; nothing where it is not
    /// restricted, tried nothing lately, or tries what it always sent.
    pub fn still_bad(&self, entity: &Entity, now: Timestamp) -> Option<StillBad> {
        let held = self.table.in_force(entity, now)?;
        let lately = held.attempts.lately(now);
        let Lately { attempts, strange, .. } = lately;
        let share = f64::from(strange) / f64::from(attempts.max(1));
        let usual = self.usual_share(entity, now);
        let is_bad = strange >= LEAST && share > 0.5 && share > 2.0 * f64::from(usual);
        let (different, more) = held.attempts.different();
        is_bad.then(|| StillBad { entity: entity.clone(), lately, different, more })
    }

    /// Notes what recipients look like that a restriction refuses or holds; those of
    /// the message that tipped the scale were not sent after it.
    pub(super) fn note_attempts(
        &self,
        settled: &Settled,
        session: &Session,
        (held, is_after): (&InForce, bool),
        recipients: &[u64],
        now: Timestamp,
    ) {
        let Settled { settings, resolution, .. } = settled;
        let terms = &resolution.terms;
        let counted = resolution.counted.as_ref();
        let tally = counted.and_then(|key| Some((key, self.roster.get(key)?)));
        let profile = counted.map(|key| terms.profile(key));
        let sender = &session.sender;
        let is_foreign = sender.qualified
            && !terms.registered.is_empty()
            && sender.domain != session.host
            && !terms.registered.contains_folded(&sender.domain);
        let unregistered = is_foreign && profile != Some(Profile::Forwarder);
        let tally = tally.filter(|(key, tally)| {
            let context = self.context(settings, key, terms, now);
            tally.life(&context).is_old && !context.muted && profile != Some(Profile::Bulk)
        });
        let whole = matches!(held.restriction.entity, Entity::Organization(_));
        let from = self.fingerprints.of_text(&sender.folded);
        for recipient in recipients {
            let stranger = tally.as_ref().map(|(_, tally)| {
                !self.known.recipients.contains(known::pair(tally.id(), *recipient), now)
            });
            let strange = match stranger {
                Some(stranger) if whole => unregistered && stranger,
                stranger => unregistered || stranger == Some(true),
            };
            let stranger = stranger == Some(true);
            let pair = known::pair(from, *recipient);
            let attempt = Attempt { unregistered, stranger, strange, pair };
            held.attempts.note(&attempt, is_after, now);
        }
    }

    /// The share of unregistered senders that is usual for its connector.
    fn usual_share(&self, entity: &Entity, now: Timestamp) -> f32 {
        let settings = self.settings.load();
        let Some(key) = entity.connector().map(|key| settings.directory.current(key)) else {
            return 0.0;
        };
        let Some(tally) = self.roster.get(&key) else { return 0.0 };
        let context = self.context(&settings, &key, settings.directory.terms(&key), now);
        let is_it = |found: &&Finding| found.signal == SignalName::UnregisteredSender;
        tally.all_findings(&context).iter().find(is_it).map_or(0.0, |found| found.usual)
    }
}
