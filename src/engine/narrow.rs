//! Narrowest entity first: of a connector with several senders, whom the evidence
//! speaks against.
//!
//! Asked when the connector is compromised, or one of its senders is by its own
//! scores. Senders are restricted where few of them that were not made up explain
//! the evidence (see `senders.rs`), or where one alone is compromised; else the
//! connector is. A sender counts as made up if the connector never had it before and
//! its domain is not registered, or another one of the connector's was restricted
//! within a day: who makes up one makes up the next. With the fourth sender within a
//! day the connector is restricted.
//!
//! The connector itself is meant from the start where it is a login, which is the
//! person, and where it had fewer than three senders. The null sender is nobody.

use super::{
    Engine, Session,
    judging::{Evidence, Judging, Outcome},
};
use crate::{
    connector::{ConnectorKey, Entity, Profile},
    judge::{self, Judgement},
    known,
    record::{Actor, Finding, Restriction, Sample},
    restriction::InForce,
    sender,
    senders::{MOST_SUSPECTS, Pardon, Senders, Standing, Suspect, Trial, Who},
    short::Address,
    signal::{Context, Origin},
    tally::Tally,
    timestamp::Timestamp,
};
use std::{sync::Arc, time::Duration};

/// Senders in the shared memory of recipients.
const KIND: u8 = b's';
/// For so long a restricted sender counts when another one of its connector follows.
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// The sender of a message, for as long as its results are waited for.
#[derive(Clone, Debug)]
pub(super) struct SentBy {
    /// Its folded address.
    pub(super) address: Address,
    /// As in [`Who`].
    pub(super) known: bool,
    /// As in [`Who`].
    pub(super) made_up: bool,
}

/// What was done about what was found.
pub(super) enum Done {
    /// There was nothing to be done.
    Nothing,
    /// A sender was restricted, and the evidence against its connector stays; what
    /// is in force for this message then.
    Sender(Option<InForce>),
    /// All evidence was dealt with; what is in force for this message then.
    All(Option<InForce>),
}

/// Whom to restrict.
enum Whom {
    Nobody,
    Connector,
    Senders(Vec<Suspect>),
}

impl Engine {
    /// The sender of a transaction where senders are told apart: who it is to the
    /// connector of `tally`, `origin` being what its domain is.
    pub(super) fn who<'a>(
        &self,
        session: &'a Session,
        tally: &Tally,
        origin: Origin,
        context: &Context<'_>,
    ) -> Option<Who<'a>> {
        let address = session.sender.folded.as_str();
        if address.is_empty() || !tells_apart(context) {
            return None;
        }
        let hash = session.sender.hash;
        let pair = known::trait_pair(tally.id(), KIND, hash);
        let known = context.muted || self.known.recipients.contains(pair, context.now);
        let made_up = !known && matches!(origin, Origin::Odd(_));
        Some(Who { address, hash, known, made_up })
    }

    /// A hash of the sender of a session; nothing for the null sender.
    pub(super) fn hash_of(&self, session: &Session) -> Option<u64> {
        (!session.sender.folded.is_empty()).then_some(session.sender.hash)
    }

    /// The sender of a message whose results are told.
    pub(super) fn who_sent<'a>(&self, by: &'a SentBy) -> Who<'a> {
        let SentBy { address, known, made_up } = by;
        let address = address.as_str();
        let hash = self.fingerprints.of_text(address);
        Who { address, hash, known: *known, made_up: *made_up }
    }

    /// The suspicious senders of a connector, each with what its scores say.
    pub fn suspicious_senders(
        &self,
        key: &ConnectorKey,
        tally: &Tally,
        now: Timestamp,
    ) -> Vec<(Entity, Vec<Finding>)> {
        if !tally.has_slow_senders() {
            return Vec::new();
        }
        let settings = self.settings.load();
        let context = self.context(&settings, key, settings.directory.terms(key), now);
        let named = |suspect: Suspect, senders: &Senders| {
            let findings = senders.findings(suspect.hash, &context);
            (Entity::Sender { address: suspect.address, via: key.clone() }, findings)
        };
        let all = |senders: &mut Senders| {
            senders.slow(&context).into_iter().map(|it| named(it, senders)).collect()
        };
        tally.with_senders(all).unwrap_or_default()
    }

    /// A hash of a sender's address, and whether a connector had that sender.
    pub fn sender_hash(&self, address: &str, tally: &Tally, now: Timestamp) -> (u64, bool) {
        let hash = self.fingerprints.of_text(address);
        let pair = known::trait_pair(tally.id(), KIND, hash);
        (hash, self.known.recipients.contains(pair, now))
    }

    /// A message of a sender passed: the connector has it from now on.
    pub(super) fn meet(&self, who: &Who<'_>, tally: &Tally, now: Timestamp) {
        let pair = known::trait_pair(tally.id(), KIND, who.hash);
        // Not by `who.known`: while the memory is lost everybody passes for known.
        if !self.known.recipients.contains(pair, now) {
            tally.met_sender();
        }
        self.known.recipients.insert(pair, &tally.recipients_share, now);
    }

    /// What holds for the sender of a session, on any of the connectors that it may
    /// be.
    pub(super) fn of_sender<'a, T>(
        &self,
        session: &Session,
        via: impl IntoIterator<Item = &'a Entity>,
        mut look: impl FnMut(&Entity) -> Option<T>,
    ) -> Option<T> {
        if !self.table.has_senders() || session.sender.folded.is_empty() {
            return None;
        }
        let address = session.sender.shared();
        via.into_iter().filter_map(Entity::as_connector).find_map(|via| {
            look(&Entity::Sender { address: Arc::clone(address), via: via.clone() })
        })
    }

    /// Evidence against a sender starts again from zero.
    pub(super) fn forget_sender(&self, address: &str, via: &ConnectorKey) {
        let via = self.settings.load().directory.current(via);
        if let Some(tally) = self.roster.get(&via) {
            tally.forget_sender(self.fingerprints.of_text(address));
        }
    }
}

/// Whether senders are told apart under these circumstances.
pub(super) fn tells_apart(context: &Context<'_>) -> bool {
    context.model.senders && context.profile != Profile::Login
}

impl Judging<'_> {
    /// Takes in what is seen of a sender, and judges it; nothing where the connector
    /// is judged as a whole.
    pub(super) fn try_sender(&self, trial: &Trial<'_>, bad: bool) -> Option<Standing> {
        let Self { engine, tally, context, .. } = self;
        if !self.is_relay() {
            return None;
        }
        let pardon = self.who.as_ref().map(|who| self.pardon_of(who)).unwrap_or_default();
        let budget = &engine.evidence;
        tally.try_sender(self.who.as_ref(), trial, bad, &pardon, budget, context)
    }

    /// Whether its senders are judged apart.
    fn is_relay(&self) -> bool {
        tells_apart(&self.context)
            && *self.key != ConnectorKey::Overflow
            && self.tally.has_senders()
    }

    fn pardon_of(&self, who: &Who<'_>) -> Pardon {
        let Self { engine, key, context, .. } = self;
        let (table, now) = (&engine.table, context.now);
        if table.is_empty() {
            return Pardon::default();
        }
        let of = |entity: &Entity| Pardon {
            grace: table.grace(entity, now),
            raised: table.raised(entity, now),
        };
        let connector = of(&Entity::from((*key).clone()));
        if !table.has_senders() {
            return connector;
        }
        let own = of(&Entity::Sender { address: who.address.into(), via: (*key).clone() });
        let (grace, raised) = (own.grace.or(connector.grace), own.raised.or(connector.raised));
        Pardon { grace, raised }
    }

    /// Restricts or marks whom the evidence speaks against, if it is enough.
    pub(super) fn narrow(&self, outcome: Outcome, standing: Option<Standing>) -> Done {
        let alone = standing.is_some_and(|it| it.judgement == Judgement::Compromised);
        if !outcome.restricts && !alone {
            return Done::Nothing;
        }
        match self.whom(outcome) {
            Whom::Nobody => Done::Nothing,
            Whom::Connector => Done::All(self.restrict_connector(outcome)),
            Whom::Senders(suspects) => self.restrict_senders(&suspects, outcome),
        }
    }

    fn whom(&self, outcome: Outcome) -> Whom {
        let Self { engine, key, tally, context, .. } = self;
        if !self.is_relay() {
            return Whom::Connector;
        }
        let restricted = engine.table.restricted_senders(key, context.now);
        let is_recent = |it: &&Arc<Restriction>| {
            it.by == Actor::Judgement && context.now.since(it.since) < RECENT
        };
        let restricted = restricted.iter().filter(is_recent).count();
        let is_real = |it: &Suspect| it.known || !it.made_up && restricted == 0;
        let explaining = |senders: &mut Senders| {
            let mut suspects = senders.suspects(context.model.normal_again, context);
            suspects.retain(is_real);
            senders.are_explained_by(&suspects).then_some(suspects)
        };
        let suspects = if outcome.restricts {
            tally.with_senders(explaining).flatten().unwrap_or_default()
        } else {
            // The connector is not compromised: whom it never had is refused as well
            // alone, unless another one was before.
            let Some(sender) = self.sender() else { return Whom::Nobody };
            if sender.known || restricted == 0 { vec![sender] } else { Vec::new() }
        };
        if suspects.is_empty() || restricted + suspects.len() > MOST_SUSPECTS {
            Whom::Connector
        } else {
            Whom::Senders(suspects)
        }
    }

    /// The sender of what is judged, if something speaks against it.
    fn sender(&self) -> Option<Suspect> {
        let hash = self.who.as_ref()?.hash;
        self.tally.with_senders(|senders| senders.get(hash, &self.context)).flatten()
    }

    /// Where the connector itself is not compromised it is restricted for its sender.
    fn restrict_connector(&self, outcome: Outcome) -> Option<InForce> {
        let Self { tally, context, .. } = self;
        let least = context.model.suspicious;
        let of_sender = self.sender().filter(|_| !outcome.restricts);
        let evidence = match &of_sender {
            Some(sender) => self.evidence_of(sender),
            None => self.evidence(),
        };
        self.restrict(evidence, || {
            judge::fuse(&tally.scores(context)) >= least
                || of_sender.is_some() && self.sender().is_some_and(|it| it.z >= least)
        })
    }

    fn restrict_senders(&self, suspects: &[Suspect], outcome: Outcome) -> Done {
        let Self { engine, key, tally, context, .. } = self;
        let explain = |senders: &mut Senders| senders.are_explained_by(suspects);
        let explained = outcome.restricts || tally.with_senders(explain).unwrap_or(false);
        let here = self.who.as_ref().map(|who| who.hash);
        let mut mine = None;
        for suspect in suspects {
            let (address, via) = (Arc::clone(&suspect.address), (*key).clone());
            let stands = || {
                let now = tally.with_senders(|senders| senders.get(suspect.hash, context));
                now.flatten().is_some_and(|it| it.z >= context.model.normal_again)
            };
            let entity = Entity::Sender { address, via };
            // Nothing where an operator forgave the evidence meanwhile.
            let Some(held) = self.begin(&entity, self.evidence_of(suspect), stands) else {
                continue;
            };
            engine.note_material(held.restriction.case, tally);
            if here == Some(suspect.hash) {
                mine = Some(held);
            }
        }
        let hashes: Vec<u64> = suspects.iter().map(|suspect| suspect.hash).collect();
        if explained {
            tally.reset_but_senders(&hashes, context);
            return Done::All(mine);
        }
        tally.reset_senders(&hashes);
        Done::Sender(mine)
    }

    fn evidence_of(&self, suspect: &Suspect) -> Evidence {
        let Self { tally, context, .. } = self;
        let findings = tally.with_senders(|senders| senders.findings(suspect.hash, context));
        let is_its = |sample: &Sample| *sender::fold(&sample.sender) == *suspect.address;
        Evidence {
            findings: findings.unwrap_or_default(),
            samples: tally.samples(is_its),
            passed: suspect.passed,
        }
    }

    /// Tells of a suspicious sender, where that is due.
    pub(super) fn warn_of_sender(&self, standing: Option<Standing>) {
        let Self { engine, key, tally, context, .. } = self;
        let (Some(who), Some(standing)) = (&self.who, standing) else { return };
        if standing.z < context.model.suspicious {
            return;
        }
        let due = |senders: &mut Senders| {
            senders.warn(who.hash, context.now).then(|| senders.findings(who.hash, context))
        };
        if let Some(findings) = tally.with_senders(due).flatten() {
            let entity = Entity::Sender { address: who.address.into(), via: (*key).clone() };
            engine.note_suspicion(&entity, findings, tally, context.now);
        }
    }
}
