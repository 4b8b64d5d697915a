//! Which connectors get a `[[connector]]`, and who is left to be discovered.

use super::{Block, Material, place, trade_of, words};
use crate::{
    config,
    connector::{ConnectorKey, Profile},
    suggest::{
        domains::Registered,
        figures::share,
        quote::shown,
        relays::{self, Group},
        trade::{Trade, date},
        uses::Use,
    },
};
use std::collections::BTreeSet;

/// A domain that comes so many days after the first of the logs is told of.
const LATE_DAYS: u32 = 3;
/// Messages from which on an address is worth a name.
const ENOUGH: u64 = 20;
/// `[[connector]]`s of addresses and certificates, and of logins.
const MOST_RELAYS: usize = 500;
const MOST_LOGINS: usize = 100;
/// Logins, and what looks taken over, that are told of.
const MOST_TOLD: usize = 10;

/// The blocks, and comments about everybody else.
pub(super) fn blocks(
    material: &Material<'_>,
    groups: &[Group],
    registered: &Registered,
) -> (Vec<Block>, Vec<String>) {
    let begun = material.survey.span.map_or(0, |(from, _)| from.day());
    let (mut relays, mut logins) = (Vec::new(), Vec::new());
    let mut taken = BTreeSet::new();
    let (mut little, mut unwritable) = (0, 0);
    for group in groups {
        let is_login = matches!(group.keys.first(), Some(ConnectorKey::Login(_)));
        let trade = trade_of(group, registered);
        let own = own_domains(group, registered);
        let needs = trade.profile.is_some() || trade.usual.is_some() || !own.is_empty();
        let enough = group.figures.messages >= ENOUGH || group.trouble.is_some();
        if !needs && (is_login || !enough) {
            little += u64::from(!is_login);
            continue;
        }
        if is_login && (group.trouble.is_some() || logins.len() >= MOST_LOGINS)
            || !is_login && relays.len() >= MOST_RELAYS
        {
            little += u64::from(!is_login);
            continue;
        }
        let block = Block { name: relays::name(group, &mut taken), ..Block::default() };
        match block.with_keys(group) {
            Some(block) => {
                let list = if is_login { &mut logins } else { &mut relays };
                list.push(block.with_trade(group, trade, own, begun));
            }
            None => unwritable += 1,
        }
    }
    relays.append(&mut logins);
    (relays, discovered(material, groups, little, unwritable))
}

fn own_domains(group: &Group, registered: &Registered) -> Vec<String> {
    let own: BTreeSet<&str> = group.keys.iter().flat_map(|key| registered.own(key)).collect();
    own.into_iter().map(str::to_owned).collect()
}

impl Block {
    /// Nothing where a key can't be written in a configuration.
    fn with_keys(mut self, group: &Group) -> Option<Self> {
        for key in &group.keys {
            match key {
                ConnectorKey::Client(network) => self.clients.push(place::written(network)),
                ConnectorKey::Login(login) => {
                    self.logins.push(config::is_name(login).then(|| login.to_string())?);
                }
                ConnectorKey::Certificate(name) => {
                    let both = config::is_name(name.subject()) && config::is_name(name.issuer());
                    let both = both.then(|| (name.subject().to_owned(), name.issuer().to_owned()));
                    self.certificate = Some(both?);
                }
                _ => return None,
            }
        }
        Some(self)
    }

    fn with_trade(mut self, group: &Group, trade: Trade, own: Vec<String>, begun: u32) -> Self {
        let figures = &group.figures;
        let mut first = words::sentence(figures);
        if let Some(name) = &figures.name
            && !self.clients.is_empty()
        {
            let more = match group.keys.len() {
                1 => String::new(),
                many => format!(" and {} more", many - 1),
            };
            first = format!("{}{more}: {first}", shown(name));
        }
        self.comments.push(first);
        if group.keys.len() > 1 {
            self.comments.push(
                "The busiest hours of its addresses are added up: together they may have less."
                    .into(),
            );
        }
        if let Some(trouble) = &group.trouble {
            self.comments.push(format!(
                "Looks taken over: {}. So nothing is taken for usual; replay these logs to see.",
                trouble.why
            ));
        }
        self.comments.extend(trade.profile.map(|profile| why(profile, group)));
        self.comments.extend(trade.notes);
        self.comments.extend(came_late(group, &own, begun));
        self.registered = own;
        self.profile = trade.profile;
        self.usual = trade.usual.map(|hour| (hour.messages, hour.recipients));
        self
    }
}

/// Domains that it began to send as when the logs, which begin on the day `begun`, had
/// gone on for days without them: somebody else may have.
fn came_late(group: &Group, own: &[String], begun: u32) -> Option<String> {
    let is_late =
        |one: &&Use| one.first >= begun + LATE_DAYS && own.iter().any(|own| **own == *one.domain);
    let senders = group.figures.senders.sorted();
    let since = |one: &Use| format!("{} only since {}", shown(&one.domain), date(one.first));
    let late: Vec<String> = senders.into_iter().filter(is_late).map(since).collect();
    (!late.is_empty()).then(|| {
        format!(
            "It sends as {}: take out of registered_domains what is not yours.",
            late.join(", ")
        )
    })
}

fn why(profile: Profile, group: &Group) -> String {
    let figures = &group.figures;
    let crowds = crate::suggest::trade::percent(share(figures.crowds, figures.messages));
    match profile {
        Profile::Forwarder => format!(
            "Foreign senders are its trade: {} different sender domains, day by day.",
            figures.senders.distinct()
        ),
        _ => format!(
            "Mailings: {crowds} of its messages go to five or more recipients at once, or in bursts."
        ),
    }
}

fn discovered(
    material: &Material<'_>,
    groups: &[Group],
    little: u64,
    unwritable: u64,
) -> Vec<String> {
    let mut told = Vec::new();
    let logins: Vec<&Group> = groups
        .iter()
        .filter(|group| matches!(group.keys.first(), Some(ConnectorKey::Login(_))))
        .collect();
    if !logins.is_empty() {
        told.push(format!(
            "{} relayed. Those without a [[connector]] become connectors by themselves, each with \
             its own history. The busiest:",
            words::count(logins.len() as u64, "login")
        ));
    }
    for group in logins.iter().take(MOST_TOLD) {
        told.push(login_line(group));
    }
    let troubled = logins.iter().skip(MOST_TOLD).filter(|group| group.trouble.is_some());
    for group in troubled.take(MOST_TOLD) {
        told.push(login_line(group));
    }
    if let Some(local) = material.identities.get(&ConnectorKey::Local) {
        told.push(format!(
            "Mail that is handed in on this host without SMTP (`local`; watched where \
             non_smtpd_milters asks connguard): {}",
            words::sentence(local)
        ));
    }
    if little > 0 {
        told.push(format!(
            "{} with little mail become connectors by themselves.",
            words::count(little, "more relay client")
        ));
    }
    if unwritable > 0 {
        told.push(format!(
            "{} with names that can't be written in a configuration, as with blanks at their ends \
             or control characters, are left out.",
            words::count(unwritable, "client")
        ));
    }
    told
}

fn login_line(group: &Group) -> String {
    let login = match group.keys.first() {
        Some(ConnectorKey::Login(login)) => shown(login),
        _ => String::new(),
    };
    let networks = words::count(group.figures.networks.len() as u64, "network");
    let trouble = group.trouble.as_ref().map_or_else(String::new, |trouble| {
        format!(" Looks taken over: {}; replay these logs to see.", trouble.why)
    });
    format!("{login}: {} From {networks}.{trouble}", words::sentence(&group.figures))
}
