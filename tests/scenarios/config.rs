//! The configuration of a scenario, and the engine's settings made from it.

use crate::words::{Outcome, Words, parse};
use connguard::{
    connector::{ConnectorKey, Profile, fold_login},
    directory::{Directory, Limits, Named, Params, Terms, Usual},
    domain::DomainSet,
    engine::{Directions, Feedback, RestrictionTerms, Settings},
    model::Model,
    timestamp::parse_span,
    verdict::Throttle,
};
use ipnet::IpNet;
use std::{collections::BTreeMap, fmt::Display, str::FromStr, sync::Arc, time::Duration};

const KEYS: [&str; 21] = [
    "throttle",
    "feedback",
    "mode",
    "action",
    "scope",
    "reject_after",
    "expire_after",
    "grace",
    "discover",
    "registered",
    "inbound",
    "local_transports",
    "relay_networks",
    "trusted_clients",
    "trusted_logins",
    "hold_messages",
    "hold_bytes",
    "max_connectors",
    "host",
    "messages_per_hour",
    "recipients_per_hour",
];
const CONNECTOR_KEYS: [&str; 14] = [
    "organization",
    "clients",
    "cert",
    "logins",
    "mode",
    "action",
    "reject_after",
    "registered",
    "messages_per_hour",
    "recipients_per_hour",
    "profile",
    "usual_messages",
    "usual_recipients",
    "throttle",
];

type Table = BTreeMap<String, Vec<String>>;

/// What was configured, as words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    global: Table,
    connectors: BTreeMap<String, Table>,
}

impl Config {
    /// `config KEY WORD...`
    pub(crate) fn set(&mut self, words: &mut Words<'_>) -> Outcome {
        let key = known(words.next("a key")?, &KEYS)?;
        let mut values = Vec::new();
        while let Some(word) = words.any() {
            values.push(word.to_owned());
        }
        self.global.insert(key, values);
        self.feedback()?;
        self.settings().map(drop)
    }

    /// `connector NAME KEY WORD...`
    pub(crate) fn connector(&mut self, words: &mut Words<'_>) -> Outcome {
        let name = words.next("a name")?;
        let mut table = Table::new();
        while let Some(key) = words.any() {
            let key = known(key, &CONNECTOR_KEYS)?;
            let list = words.next("a value")?.split(',').map(str::to_owned);
            table.insert(key, list.collect());
        }
        self.connectors.insert(name.to_owned(), table);
        self.settings().map(drop)
    }

    /// `forget connector NAME`
    pub(crate) fn forget(&mut self, name: &str) -> Outcome {
        let gone = self.connectors.remove(name);
        gone.map(drop).ok_or_else(|| format!("there is no connector {name}"))
    }

    pub(crate) fn host(&self) -> String {
        let host = self.global.get("host").and_then(|words| words.first());
        host.cloned().unwrap_or_else(|| "mx.example".into())
    }

    pub(crate) fn max_connectors(&self) -> Outcome<usize> {
        Ok(one(&self.global, "max_connectors")?.unwrap_or(1000))
    }

    /// What is known of delivery results.
    pub(crate) fn feedback(&self) -> Outcome<Feedback> {
        match list(&self.global, "feedback").next() {
            None | Some("off") => Ok(Feedback::Off),
            Some("watching") => Ok(Feedback::Watching),
            Some("on") => Ok(Feedback::Coming),
            Some(word) => Err(format!("{word:?} is none of on, watching, off")),
        }
    }

    pub(crate) fn settings(&self) -> Outcome<Settings> {
        let global = &self.global;
        let above = Terms { organization: "default".into(), ..Terms::default() };
        let terms = terms(global, &above)?;
        let named = |(name, table): (&String, &Table)| named(name, table, &terms);
        let params = Params {
            connectors: self.connectors.iter().map(named).collect::<Outcome<_>>()?,
            discovered: Arc::new(terms.clone()),
            relay_networks: networks(global, "relay_networks")?,
            trusted_clients: networks(global, "trusted_clients")?,
            trusted_logins: logins(global, "trusted_logins"),
            discover: one(global, "discover")?.unwrap_or(true),
        };
        let mut restriction = RestrictionTerms::default();
        let hold = &mut restriction.hold_limit;
        hold.messages = one(global, "hold_messages")?.unwrap_or(hold.messages);
        hold.bytes = one(global, "hold_bytes")?.unwrap_or(hold.bytes);
        restriction.scope = one(global, "scope")?.unwrap_or_default();
        restriction.expire_after = span(global, "expire_after")?;
        restriction.grace = span(global, "grace")?.unwrap_or(restriction.grace);
        let mut directions = Directions {
            local_transports: list(global, "local_transports").map(Into::into).collect(),
            ..Directions::default()
        };
        add_domains(&mut directions.inbound_domains, global, "inbound")?;
        Ok(Settings {
            directory: Directory::new(params),
            directions,
            restriction,
            throttle: one(global, "throttle")?.unwrap_or(true),
            model: Model::default(),
        })
    }
}

fn terms(table: &Table, above: &Terms) -> Outcome<Terms> {
    let mut terms = above.clone();
    terms.mode = one(table, "mode")?.unwrap_or(terms.mode);
    terms.action = one(table, "action")?.unwrap_or(terms.action);
    terms.reject_after = span(table, "reject_after")?.or(terms.reject_after);
    terms.limits = Limits {
        messages_per_hour: one(table, "messages_per_hour")?,
        recipients_per_hour: one(table, "recipients_per_hour")?,
    };
    if let Some(name) = list(table, "organization").next() {
        // Its domains are those of its connectors, and not the others'.
        terms.organization = name.into();
        terms.registered = DomainSet::default();
    }
    add_domains(&mut terms.registered, table, "registered")?;
    Ok(terms)
}

fn named(name: &str, table: &Table, global: &Terms) -> Outcome<Named> {
    let certificate = match list(table, "cert").next() {
        Some(text) => match parse(&format!("cert:{text}"))? {
            ConnectorKey::Certificate(certificate) => Some(certificate),
            _ => None,
        },
        None => None,
    };
    Ok(Named {
        name: name.into(),
        clients: networks(table, "clients")?,
        certificate,
        digests: Vec::new(),
        logins: logins(table, "logins"),
        terms: Arc::new(Terms {
            profile: list(table, "profile").next().map(profile).transpose()?,
            usual: Usual {
                messages_per_hour: one(table, "usual_messages")?,
                recipients_per_hour: one(table, "usual_recipients")?,
            },
            throttle: list(table, "throttle").next().map(throttle).transpose()?,
            ..terms(table, global)?
        }),
    })
}

fn profile(word: &str) -> Outcome<Profile> {
    [Profile::Login, Profile::Relay, Profile::Bulk, Profile::Forwarder]
        .into_iter()
        .find(|profile| profile.to_string() == word)
        .ok_or_else(|| format!("{word:?} is none of login, relay, bulk, forwarder"))
}

fn throttle(word: &str) -> Outcome<Throttle> {
    match word {
        "tempfail" => Ok(Throttle::Tempfail),
        "hold" => Ok(Throttle::Hold),
        "off" => Ok(Throttle::Off),
        _ => Err(format!("{word:?} is none of tempfail, hold, off")),
    }
}

fn known(key: &str, keys: &[&str]) -> Outcome<String> {
    if keys.contains(&key) {
        Ok(key.to_owned())
    } else {
        Err(format!("{key:?} is none of {}", keys.join(", ")))
    }
}

fn list<'a>(table: &'a Table, key: &str) -> impl Iterator<Item = &'a str> {
    table.get(key).into_iter().flatten().map(String::as_str)
}

fn one<T>(table: &Table, key: &str) -> Outcome<Option<T>>
where
    T: FromStr<Err: Display>,
{
    list(table, key).next().map(parse).transpose()
}

fn span(table: &Table, key: &str) -> Outcome<Option<Duration>> {
    let word = list(table, key).next().filter(|word| *word != "never");
    word.map(|word| parse_span(word).map_err(|error| error.to_string())).transpose()
}

fn networks(table: &Table, key: &str) -> Outcome<Vec<IpNet>> {
    let network = |text: &str| match text.parse::<std::net::IpAddr>() {
        Ok(address) => Ok(address.into()),
        Err(_) => parse(text),
    };
    list(table, key).map(network).collect()
}

fn logins(table: &Table, key: &str) -> Vec<Arc<str>> {
    list(table, key).map(|login| fold_login(login, None)).collect()
}

fn add_domains(set: &mut DomainSet, table: &Table, key: &str) -> Outcome {
    for name in list(table, key) {
        set.insert(name).map_err(|error| error.to_string())?;
    }
    Ok(())
}
