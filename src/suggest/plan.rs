//! What is proposed, as plain values: from what was counted and what Postfix says.

mod blocks;
mod place;
mod words;

use super::{
    ENOUGH_DAYS, Origin,
    domains::{self, Identity, Registered},
    figures::Figures,
    postfix::Postfix,
    relays::{self, Group},
    survey::Survey,
    trade::{self, Trouble},
};
use crate::connector::{ConnectorKey, Profile, fold_login};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

/// A configuration with its comments, each a paragraph.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What it was learned from.
    pub(super) head: Vec<String>,
    /// What whoever uses it should know first.
    pub(super) warnings: Vec<String>,
    pub(super) inbound: Proposed,
    /// Empty where the defaults do.
    pub(super) local_transports: Proposed,
    /// Nothing where nobody knows.
    pub(super) networks: Proposed,
    pub(super) ways_back: Proposed,
    pub(super) realm: Proposed,
    pub(super) registered: Proposed,
    pub(super) blocks: Vec<Block>,
    /// Who is left to be discovered.
    pub(super) discovered: Vec<String>,
}

/// The values of a key, and what is to be told of them.
#[derive(Debug, Default)]
pub(super) struct Proposed {
    pub(super) values: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// A `[[connector]]`.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) comments: Vec<String>,
    pub(super) name: String,
    pub(super) clients: Vec<String>,
    /// Subject and issuer.
    pub(super) certificate: Option<(String, String)>,
    pub(super) logins: Vec<String>,
    pub(super) registered: Vec<String>,
    pub(super) profile: Option<Profile>,
    /// Messages and recipients.
    pub(super) usual: Option<(u32, u32)>,
}

/// All that is decided from.
struct Material<'a> {
    survey: &'a Survey,
    postfix: Option<&'a Postfix>,
    /// Identities that may relay, by key, with the realm applied.
    identities: BTreeMap<ConnectorKey, Cow<'a, Figures>>,
    /// Addresses that may not, as far as can be told.
    strangers: usize,
}

/// Makes the plan.
pub(super) fn plan(survey: &Survey, postfix: Option<&Postfix>, origin: &Origin) -> Plan {
    let realm = place::realm(survey);
    let material = Material::new(survey, postfix, realm.values.first().map(String::as_str));
    let troubles: BTreeMap<&ConnectorKey, Trouble> = material
        .identities
        .iter()
        .filter_map(|(key, figures)| Some((key, trade::trouble(figures)?)))
        .collect();
    let identities: Vec<Identity<'_>> = material
        .identities
        .iter()
        .map(|(key, figures)| Identity { key, figures, trouble: troubles.get(key) })
        .collect();
    let inbound = place::inbound(&material);
    let registered = domains::registered(survey, &inbound.values, &identities);
    let groups = relays::groups(
        material
            .identities
            .iter()
            .filter(|(key, _)| !matches!(key, ConnectorKey::Local))
            .map(|(key, figures)| (key, &**figures)),
    );
    let (blocks, discovered) = blocks::blocks(&material, &groups, &registered);
    let mut plan = Plan {
        head: words::head(&material, origin),
        inbound,
        local_transports: place::local_transports(survey),
        networks: place::networks(&material, &groups),
        ways_back: place::ways_back(&material),
        realm,
        registered: registered_domains(&registered),
        blocks,
        discovered,
        ..Plan::default()
    };
    plan.warnings = words::warnings(&material, origin, &groups);
    plan
}

impl<'a> Material<'a> {
    fn new(survey: &'a Survey, postfix: Option<&'a Postfix>, realm: Option<&str>) -> Self {
        let mut identities: BTreeMap<ConnectorKey, Cow<'a, Figures>> = BTreeMap::new();
        let gateway = relays::gateway_domains(survey);
        let gateway: HashSet<u64> =
            gateway.into_iter().map(|name| survey.hash(name.as_bytes())).collect();
        let mut strangers = 0;
        for (key, figures) in &survey.identities {
            let key = match key {
                ConnectorKey::Login(login) => ConnectorKey::Login(fold_login(login, realm)),
                ConnectorKey::Client(network)
                    if !relays::relays(survey, &gateway, *network, figures) =>
                {
                    strangers += 1;
                    continue;
                }
                key => key.clone(),
            };
            match identities.get_mut(&key) {
                Some(known) => {
                    let both = Figures::merged([&**known, figures].into_iter());
                    *known = Cow::Owned(both);
                }
                None => drop(identities.insert(key, Cow::Borrowed(figures))),
            }
        }
        Self { survey, postfix, identities, strangers }
    }

    fn is_short(&self) -> bool {
        self.survey.days() < ENOUGH_DAYS
    }
}

/// `registered_domains`, and what is not.
fn registered_domains(registered: &Registered) -> Proposed {
    const SHOWN: usize = 12;
    let told = registered.others.iter().take(SHOWN).map(|(name, messages, days, users)| {
        format!(
            "{} ({}, {}, {})",
            super::quote::shown(name),
            words::count(*messages, "message"),
            words::count(u64::from(*days), "day"),
            words::count(*users as u64, "client"),
        )
    });
    let told: Vec<String> = told.collect();
    let more = registered.others.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let note = format!(
        "Not registered, because nobody uses them steadily: {}{more}. Add those that are yours.",
        told.join(", ")
    );
    let notes = if told.is_empty() { Vec::new() } else { vec![note] };
    Proposed { values: registered.organization.clone(), notes }
}

/// The trade of a group: nothing for what looks taken over.
fn trade_of(group: &Group, registered: &Registered) -> trade::Trade {
    if group.trouble.is_some() {
        return trade::Trade::default();
    }
    trade::trade(&group.keys, &group.figures, registered)
}
