//! How an organization is judged: by what its connectors do together.

use crate::{
    connector::{ConnectorKey, Entity},
    engine::Engine,
    organization::{HALFLIFE_S, LEAST_BAD},
    record::{CaseId, Raised},
    timestamp::Timestamp,
    view::{ListView, State},
};
use serde::{Deserialize, Serialize};

/// How an organization is judged.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct OrganizationView {
    /// Which.
    pub entity: Entity,
    /// What is in force for it.
    pub state: Option<State>,
    /// The case of that.
    pub case: Option<CaseId>,
    /// End of the grace after an unblock.
    pub grace_until: Option<Timestamp>,
    /// How much more it takes since a restriction of it was wrong.
    pub raised: Option<Raised>,
    /// Bad messages of late; it halves within [`OrganizationView::halflife_s`].
    pub bad: f32,
    /// All messages of late; as above.
    pub of: f32,
    /// Half-life of both, in seconds.
    pub halflife_s: f32,
    /// Bad messages that there must be at least.
    pub least_bad: f32,
    /// Its connectors that were restricted by judgement within a day, they or one
    /// of their senders.
    pub restricted: Vec<ConnectorKey>,
    /// So many it takes.
    pub needed: usize,
    /// Whether it can be restricted: some domain is registered for it.
    pub can_be_restricted: bool,
    /// All this in sentences.
    pub text: Vec<String>,
}

/// How the organization `entity` is judged at `now`; nothing where it is none, or
/// where there is none of this name.
pub fn explain_organization(
    engine: &Engine,
    entity: &Entity,
    now: Timestamp,
) -> Option<OrganizationView> {
    let Entity::Organization(name) = entity else { return None };
    let known = engine.organization(name, now)?;
    let entries = engine.table().list(now);
    let standing = entries.iter().find(|entry| entry.entity == *entity);
    let standing = standing.map(|entry| ListView::of_entry(engine, entry, now));
    let mut view = OrganizationView {
        entity: entity.clone(),
        state: standing.as_ref().map(|standing| standing.state),
        case: standing.and_then(|standing| standing.case),
        grace_until: engine.table().grace(entity, now).map(|grace| grace.until),
        raised: engine.table().raised(entity, now),
        bad: known.share.bad,
        of: known.share.all,
        halflife_s: HALFLIFE_S,
        least_bad: LEAST_BAD,
        restricted: known.restricted,
        needed: known.needed,
        can_be_restricted: known.can_be,
        text: Vec::new(),
    };
    view.text = sentences(&view);
    Some(view)
}

fn sentences(view: &OrganizationView) -> Vec<String> {
    let entity = &view.entity;
    let case = view.case.map(|case| format!(", case {case}")).unwrap_or_default();
    let head = match view.state {
        Some(State::Restricted) => format!(
            "{entity} is restricted{case}: its mail from unregistered domains is refused, its mail from registered domains passes; see `connguard show {entity}`"
        ),
        Some(State::Marked) => format!(
            "{entity} is marked{case}: its mail from unregistered domains would be refused in enforce mode"
        ),
        Some(State::Idle) => {
            format!("{entity} is restricted{case}, but in observe mode: nothing is refused")
        }
        _ if !view.can_be_restricted => format!(
            "{entity} is never restricted: no domains are registered for it, so that none of its mail could pass"
        ),
        _ => format!("{entity} is not restricted"),
    };
    let is_dealt_with = matches!(view.state, Some(State::Restricted | State::Marked | State::Idle));
    let since = if is_dealt_with { "counted anew since then: " } else { "" };
    let mut text = vec![
        head,
        format!(
            "{since}bad of its recent messages: {:.0} of {:.0} (both halve in {:.0} h); restricted when it is more than half, of {:.0} bad ones at least, and",
            view.bad,
            view.of,
            view.halflife_s / 3600.0,
            view.least_bad
        ),
        format!("connectors restricted within a day: {} of {}", view.restricted.len(), view.needed),
    ];
    text.extend(view.restricted.iter().map(|key| format!("  {key}")));
    text.extend(view.grace_until.map(|until| {
        format!("unblocked a short time ago: until {} it takes twice as many", until.local())
    }));
    text.extend(view.raised.as_ref().map(raised_sentence));
    text
}

/// What a raised bar means, in a sentence.
pub fn raised_sentence(raised: &Raised) -> String {
    format!(
        "case {} was a false positive: until {} it takes {} times as much to suspect or restrict it",
        raised.case,
        raised.until.local(),
        raised.times
    )
}
