//! Organizations: what their connectors send together, and what a restricted one
//! meets: its mail from unregistered domains is refused on every connector of it,
//! its mail from registered domains passes.
//!
//! The null sender has no domain. It is decided at the end of its message: it
//! passes if a From address is registered, or if it is a delivery report to one
//! recipient.
//!
//! A connector that an operator trusts for a time meets nothing of this, and so a
//! mailing or a forwarder can go on while the others wait.
//!
//! A connector of the organization without registered domains has nothing that
//! could pass, and meets nothing of this: it is restricted by itself, or not.

use super::{
    ENFORCED_NOW, Engine, Settings, admission::Held, judging::MARK, session::Session,
    session::Settled,
};
use crate::{
    connector::{ConnectorKey, Entity},
    directory::Terms,
    organization::{LEAST_CONNECTORS, Share},
    record::{Actor, Grace, Raised, Restriction},
    restriction::InForce,
    signal::{Context, Life, Observation},
    timestamp::Timestamp,
    verdict::{Action, Mode},
};
use std::sync::Arc;

/// How it stands with an organization.
#[derive(Clone, Debug, PartialEq)]
pub struct OrganizationState {
    /// How much of its recent mail is bad.
    pub share: Share,
    /// Its connectors that were restricted by judgement lately, they or one of
    /// their senders.
    pub restricted: Vec<ConnectorKey>,
    /// So many there must be.
    pub needed: usize,
    /// Some domain is registered for it: without one it is never restricted.
    pub can_be: bool,
}

impl Engine {
    /// How it stands with an organization; nothing where there is none of this
    /// name.
    pub fn organization(&self, name: &Arc<str>, now: Timestamp) -> Option<OrganizationState> {
        let settings = self.settings.load();
        settings.directory.has_organization(name).then(|| OrganizationState {
            share: self.organizations.share(name, now),
            restricted: self.restricted_of(&settings, name, is_observed(&settings, name), now),
            needed: self.connectors_needed(&Entity::Organization(Arc::clone(name)), now),
            can_be: settings.directory.registers_for(name),
        })
    }

    /// A relayed message was judged: it counts for its organization too.
    pub(super) fn count_for_organization(
        &self,
        settled: &Settled,
        seen: &Observation,
        life: Life,
        context: &Context<'_>,
    ) {
        let Some(counts) = &settled.organization else { return };
        if let Some(bad) = seen.is_bad(life, context)
            && counts.note(bad, context.now)
        {
            self.judge_organization(&settled.settings, &settled.resolution.terms, context.now);
        }
    }

    /// Restricts or marks the organization if most of its recent mail is bad and
    /// enough of its connectors were restricted.
    pub(super) fn judge_organization(&self, settings: &Settings, terms: &Terms, now: Timestamp) {
        let name = &terms.organization;
        let is_most = || self.organizations.share(name, now).is_most();
        if terms.registered.is_empty() || !is_most() {
            return;
        }
        let entity = Entity::Organization(Arc::clone(name));
        let above = settings.directory.terms_of(&entity);
        let mark = above.mode == Mode::Observe;
        if let Some(held) = self.table.in_force(&entity, now)
            && (mark || !held.restriction.mark)
        {
            return;
        }
        let connectors = self.restricted_of(settings, name, mark, now);
        if connectors.len() < self.connectors_needed(&entity, now) {
            return;
        }
        let reason = reason(self.organizations.share(name, now), &connectors);
        if !mark {
            self.table.lift_mark(&entity, now, ENFORCED_NOW);
        }
        let until = if mark { Some(MARK) } else { settings.restriction.expire_after };
        let made = self.table.restrict_if(&entity, now, is_most, |case| Restriction {
            entity: entity.clone(),
            case,
            action: above.action,
            scope: settings.restriction.scope,
            since: now,
            until: until.map(|span| now.plus(span)),
            reject_from: above.reject_after.map(|span| now.plus(span)),
            by: Actor::Judgement,
            reason,
            mark,
            findings: Vec::new(),
            samples: Vec::new(),
            passed_messages: 0,
            passed_recipients: 0,
            keys: Vec::new(),
        });
        if made.is_some() {
            self.organizations.forget(name, now);
        }
    }

    /// What mail of this session with the sender of its transaction meets because
    /// of its organization; of `relayed` see [`Engine::held`].
    pub(super) fn held_by_organization(
        &self,
        settled: &Settled,
        session: &Session,
        relayed: bool,
        now: Timestamp,
    ) -> Held {
        if self.table.is_empty() || !session.sender.qualified {
            return Held::Nothing;
        }
        let domain = &session.sender.domain;
        let registered = *domain == session.host && !domain.is_empty()
            || settled.resolution.terms.registered.contains_folded(domain);
        if registered {
            Held::Nothing
        } else {
            self.organization_of(settled, session, relayed, now)
        }
    }

    /// The restriction or mark of the organization that a session belongs to.
    pub(super) fn organization_of(
        &self,
        settled: &Settled,
        session: &Session,
        relayed: bool,
        now: Timestamp,
    ) -> Held {
        let Settled { settings, resolution, .. } = settled;
        let terms = &resolution.terms;
        let is_of_it = resolution.counted.is_some() && !resolution.trusted;
        if self.table.is_empty() || !is_of_it || terms.registered.is_empty() {
            return Held::Nothing;
        }
        // Somebody vouches for this one: it is narrower than what holds for all.
        if self.is_exempt(resolution, session, now) {
            return Held::Nothing;
        }
        let entity = Entity::Organization(Arc::clone(&terms.organization));
        match self.table.in_force(&entity, now) {
            Some(held) if settings.directory.refuses(&held.restriction) => {
                match held.restriction.scope.meets(relayed) {
                    true => Held::Refused(held),
                    false => Held::Nothing,
                }
            }
            Some(held) if terms.mode == Mode::Observe => Held::Idle(held),
            _ => Held::Nothing,
        }
    }

    /// What an operator's forgiveness changes in the judgement of an entity.
    pub(super) fn forgiven(
        &self,
        entity: impl FnOnce() -> Entity,
        now: Timestamp,
    ) -> (Option<Grace>, Option<Raised>) {
        if self.table.is_empty() {
            return (None, None);
        }
        let entity = entity();
        (self.table.grace(&entity, now), self.table.raised(&entity, now))
    }

    /// Connectors of an organization that were restricted by judgement lately, they
    /// or one of their senders, and still are. Marked ones are among them only where
    /// the organization itself is observed: nothing is refused for a mark.
    fn restricted_of(
        &self,
        settings: &Settings,
        organization: &str,
        marks: bool,
        now: Timestamp,
    ) -> Vec<ConnectorKey> {
        let from = self.organizations.counts_from(organization, now);
        let directory = &settings.directory;
        let mut keys: Vec<ConnectorKey> = self
            .table
            .judged_since(from, now)
            .iter()
            .filter(|held| marks || !held.mark)
            .filter_map(|held| held.entity.connector().map(|key| directory.current(key)))
            .filter(|key| *directory.terms(key).organization == *organization)
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// How many connectors must be restricted: twice as many in grace, more where
    /// the bar is raised.
    fn connectors_needed(&self, entity: &Entity, now: Timestamp) -> usize {
        let (grace, raised) = self.forgiven(|| entity.clone(), now);
        let of_raised = match raised {
            None => LEAST_CONNECTORS,
            Some(raised) if raised.times > Raised::FIRST => 2 * LEAST_CONNECTORS,
            Some(_) => (3 * LEAST_CONNECTORS).div_ceil(2),
        };
        if grace.is_some() { of_raised.max(2 * LEAST_CONNECTORS) } else { of_raised }
    }
}

fn is_observed(settings: &Settings, name: &Arc<str>) -> bool {
    let entity = Entity::Organization(Arc::clone(name));
    settings.directory.terms_of(&entity).mode == Mode::Observe
}

/// What mail meets. Who has no queue of its own is held, where it is its
/// organization that is restricted.
pub(super) fn action_of(held: &InForce, terms: &Terms, now: Timestamp) -> Action {
    match held.restriction.entity {
        Entity::Organization(_) if terms.action == Action::Hold => Action::Hold,
        _ => held.action(now),
    }
}

/// Connectors that are named in the reason.
const NAMED: usize = 5;

fn reason(share: Share, connectors: &[ConnectorKey]) -> String {
    let mut names: Vec<String> = connectors.iter().take(NAMED).map(ToString::to_string).collect();
    if connectors.len() > NAMED {
        names.push(format!("{} more", connectors.len() - NAMED));
    }
    format!(
        "about {:.0} of its last {:.0} messages are bad, and {} of its connectors were restricted within a day: {}",
        share.bad,
        share.all,
        connectors.len(),
        names.join(", ")
    )
}
