//! The senders of a connector: how many there are, and what is seen of those whose
//! mail is bad.

use super::{Budget, Evidence, Tally};
use crate::{
    case::Material,
    judge,
    senders::{FADED, Pardon, Senders, Standing, Trial, Who},
    signal::Context,
};
use std::{
    sync::{
        PoisonError,
        atomic::Ordering::{Relaxed, SeqCst},
    },
    time::Duration,
};

/// So many different senders make a relay of several: below, what they send is
/// judged as a whole.
const FEWEST: u8 = 3;

/// So long nothing came of who is silent.
const SILENT: Duration = Duration::from_secs(3600);

/// What a message meets because senders are suspicious.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Slowed {
    /// Its sender has to wait.
    pub waits: bool,
    /// Few senders explain what its connector is suspicious for: only they are
    /// slowed down.
    pub explained: bool,
}

impl Tally {
    /// A message passed of a sender that the connector did not have before.
    pub fn met_sender(&self) {
        let one_more = |count: u8| count.checked_add(1);
        let _ = self.met_senders.fetch_update(Relaxed, Relaxed, one_more);
    }

    /// How many different senders it had, up to 255. (One that it did not use for
    /// half a year counts again.)
    pub fn senders_met(&self) -> u8 {
        self.met_senders.load(Relaxed)
    }

    /// Whether it relays for several senders.
    pub fn has_senders(&self) -> bool {
        self.senders_met() >= FEWEST
    }

    /// Takes in what is seen of a sender, `bad` where the connector made a bad trial
    /// with it, and judges the sender. Nothing where nothing speaks against it, or
    /// where there is no room for evidence.
    pub fn try_sender(
        &self,
        who: Option<&Who<'_>>,
        trial: &Trial<'_>,
        bad: bool,
        pardon: &Pardon,
        budget: &Budget,
        context: &Context<'_>,
    ) -> Option<Standing> {
        if !trial.is_bad(bad) && !self.has_evidence.load(SeqCst) {
            return None;
        }
        let life = self.life(context);
        let take = |evidence: &mut Evidence| {
            let senders = &mut evidence.senders;
            senders.take(who, trial, bad, self.signals.trials(), life, context);
            let standing = senders.judge(who?.hash, pardon, life, context);
            self.note_slow(senders);
            standing
        };
        if trial.is_bad(bad) {
            self.collect(budget, take).flatten()
        } else {
            let standing = self.with_evidence(take).flatten();
            self.drop_idle_evidence();
            standing
        }
    }

    /// Looks at its senders, where there is something to see.
    pub fn with_senders<T>(&self, look: impl FnOnce(&mut Senders) -> T) -> Option<T> {
        self.with_evidence(|evidence| {
            let found = look(&mut evidence.senders);
            self.note_slow(&evidence.senders);
            found
        })
    }

    /// Whether any of its senders is suspicious.
    pub fn has_slow_senders(&self) -> bool {
        self.slow_senders.load(SeqCst)
    }

    /// What a message of the sender with this hash meets because of that; `hash` is
    /// nothing for the null sender.
    pub fn slowed(&self, hash: Option<u64>, context: &Context<'_>) -> Slowed {
        if !self.has_slow_senders() {
            return Slowed::default();
        }
        let rate = self.busiest_recipients(context);
        let look = |senders: &mut Senders| Slowed {
            waits: hash.is_some_and(|hash| senders.must_wait(hash, rate, context)),
            explained: senders.are_explained(context),
        };
        self.with_senders(look).unwrap_or_default()
    }

    /// A message of the sender with this hash passed.
    pub fn pass_sender(&self, hash: u64, recipients: u32, context: &Context<'_>) {
        if self.has_evidence.load(SeqCst) {
            let rate = self.busiest_recipients(context);
            self.with_senders(|senders| senders.pass(hash, recipients, rate, context));
        }
    }

    /// Evidence against one sender starts again from zero, and results of mail that
    /// passed so far say nothing any more: it was restricted, or forgiven.
    pub fn forget_sender(&self, hash: u64) {
        self.counters.resets.fetch_add(1, SeqCst);
        self.with_senders(|senders| senders.forget(hash));
    }

    /// These senders were restricted, and explain what speaks against the connector:
    /// that starts again from zero, and the day is not learned. What speaks against
    /// others of its senders stays.
    pub fn reset_but_senders(&self, restricted: &[u64], context: &Context<'_>) {
        self.counters.resets.fetch_add(1, SeqCst);
        self.signals.reset();
        self.rest(|senders| {
            restricted.iter().for_each(|hash| senders.forget(*hash));
            senders.settle(context);
        });
        self.suspicious.store(false, SeqCst);
        self.days.mark_restricted();
    }

    /// It is not known any more who sent what the scores tell of, and one who goes on
    /// must not be taken for all: of them as much stays as makes a suspicion.
    pub fn forget_who_sent(&self, context: &Context<'_>) {
        let z = judge::fuse(&self.scores(context));
        if self.has_senders() && z > context.model.suspicious {
            self.signals.trials().keep(context.model.suspicious / z);
        }
    }

    /// These senders were restricted, and are a part of what speaks against the
    /// connector: only the rest of it stays. The day is not learned.
    pub fn reset_senders(&self, restricted: &[u64]) {
        self.counters.resets.fetch_add(1, SeqCst);
        let rest = self.with_senders(|senders| {
            let rest = senders.share_without(restricted);
            restricted.iter().for_each(|hash| senders.forget(*hash));
            rest
        });
        self.signals.trials().keep(rest.unwrap_or(1.0));
        self.days.mark_restricted();
    }

    /// A warning that was due was given in another way: the next one is due at once.
    pub fn unwarn(&self) {
        self.warned.store(0, SeqCst);
    }

    /// Its own score is zero again: of the evidence only that against single senders
    /// stays.
    pub(super) fn rest(&self, settle: impl FnOnce(&mut Senders)) {
        self.passed_messages.store(0, Relaxed);
        self.passed_recipients.store(0, Relaxed);
        self.with_evidence(|evidence| {
            self.collecting.store(false, SeqCst);
            evidence.material = Material::default();
            settle(&mut evidence.senders);
            self.note_slow(&evidence.senders);
        });
        self.drop_idle_evidence();
    }

    /// Whether it has any evidence.
    pub fn has_evidence(&self) -> bool {
        self.has_evidence.load(SeqCst)
    }

    /// Gives back the room of evidence that nobody will miss: what has faded, or,
    /// where room is scarce, what is no suspicion and of which nothing came for
    /// [`SILENT`]. To be called from time to time: who sends nothing any more does
    /// not do it by itself. The scores stay.
    pub fn give_up_evidence(&self, budget: &Budget, context: &Context<'_>) {
        if !self.has_evidence.load(SeqCst) || context.now.since(self.last_seen()) < SILENT {
            return;
        }
        let z = judge::fuse(&self.scores(context));
        let least = if budget.is_scarce() { context.model.normal_again } else { FADED };
        if z < least {
            self.rest(|senders| senders.settle(context));
        }
    }

    fn note_slow(&self, senders: &Senders) {
        self.slow_senders.store(senders.has_slow(), SeqCst);
    }

    /// Gives back the room of evidence that says nothing.
    fn drop_idle_evidence(&self) {
        if !self.has_evidence.load(SeqCst) || self.collecting.load(SeqCst) {
            return;
        }
        let mut evidence = self.evidence.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = evidence.as_ref().is_some_and(|evidence| evidence.is_idle());
        if is_idle && !self.collecting.load(SeqCst) {
            *evidence = None;
            self.has_evidence.store(false, SeqCst);
            self.slow_senders.store(false, SeqCst);
        }
    }
}
