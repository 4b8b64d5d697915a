//! The sections that are there once: `[milter]`, `[state]`, `[control]`,
//! `[trust]`, `[restriction]`, `[judgement]`, `[feedback]` and `[log]`.

use super::{
    ControlParams, LogParams, StateParams,
    reader::{Item, Spot, Table, Text},
    values::{
        self, domains, name, networks, path, service, size, socket, span_or_never, warn_of_wide,
    },
};
use crate::{
    connector::fold_login,
    engine::{Directions, ReplyText, RestrictionTerms},
    feedback::MailLog,
    header::{DEFAULT_SPAM_HEADERS, SpamHeaders},
    socket::Listen,
    timestamp::parse_span,
    verdict::Action,
};
use ipnet::IpNet;
use std::{
    collections::HashSet,
    net::SocketAddr,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

const DEFAULT_LISTEN: &str = "/var/spool/postfix/connguard/milter.sock";
const DEFAULT_LOCAL_TRANSPORTS: [&str; 6] =
    ["local", "virtual", "lmtp", "discard", "error", "retry"];
/// As `mynetworks` of a Postfix that was told nothing.
const DEFAULT_RELAY_NETWORKS: [&str; 2] = ["127.0.0.0/8", "::1/128"];
/// What `mode`, `action`, `profile` and `throttle` may be.
pub(super) const MODES: &str = "observe or enforce";
pub(super) const ACTIONS: &str = "tempfail, reject or hold";
pub(super) const PROFILES: &str = "login, relay, bulk or forwarder";
pub(super) const THROTTLES: &str = "tempfail, hold or off";
const LEAST_REJECT_AFTER: Duration = Duration::from_secs(3 * 86_400);

/// `[milter]`.
pub(super) struct Milter<'r, 't> {
    pub(super) listen: Vec<(Listen, Option<Spot<'r, 't>>)>,
    /// Where it listens was said.
    pub(super) says_listen: bool,
    pub(super) max_connections: usize,
    pub(super) directions: Directions,
    pub(super) relay_networks: Vec<IpNet>,
    pub(super) ignore_daemons: Vec<SocketAddr>,
    pub(super) login_realm: Option<Arc<str>>,
}

pub(super) fn milter<'r, 't>(mut table: Table<'r, 't>) -> Milter<'r, 't> {
    let says_listen = table.says("listen");
    let listen = match table.take("listen") {
        Some(item) => listen(item, DEFAULT_LISTEN),
        None => vec![(Listen::Unix(DEFAULT_LISTEN.into()), None)],
    };
    let inbound = table.texts("inbound_domains").unwrap_or_default();
    let relay_networks = match table.texts("relay_networks") {
        Some(texts) => {
            let networks = networks(texts);
            warn_of_wide(&networks, "every client there counts as one that may relay");
            networks.into_iter().map(|(network, _)| network).collect()
        }
        None => DEFAULT_RELAY_NETWORKS
            .iter()
            .filter_map(|network| values::network(network).ok())
            .collect(),
    };
    let services = table.texts("ignore_daemons").unwrap_or_default();
    Milter {
        listen,
        says_listen,
        max_connections: table.number("max_connections", 1..=100_000).unwrap_or(5000),
        directions: Directions {
            inbound_domains: domains(inbound, true),
            local_transports: local_transports(table.texts("local_transports")),
        },
        relay_networks,
        ignore_daemons: services.iter().filter_map(|text| text.parse(service)).collect(),
        login_realm: table
            .text("login_realm", "a realm as \"example.org\"")
            .and_then(|text| text.parse(realm)),
    }
}

/// Places where an MTA reaches us; `example` is the path of one.
pub(super) fn listen<'r, 't>(
    item: Item<'r, 't>,
    example: &str,
) -> Vec<(Listen, Option<Spot<'r, 't>>)> {
    let spot = item.spot.clone();
    let Some(texts) = item.texts() else {
        return Vec::new();
    };
    if texts.is_empty() {
        spot.fault(format!("is empty; expected at least one place, as \"unix:{example}\""));
    }
    let mut places: Vec<(Listen, Option<Spot<'r, 't>>)> = Vec::new();
    for text in texts {
        let Some(place) = text.parse(str::parse::<Listen>) else {
            continue;
        };
        match &place {
            Listen::Unix(path) => {
                text.parse(|_| socket(&path.to_string_lossy()));
            }
            Listen::Inet(address) if !address.ip().is_loopback() => text.spot.warn(format!(
                "{place} is not on loopback: who reaches it can have mail counted \
                 for any client; let only Postfix reach it"
            )),
            Listen::Inet(_) => {}
        }
        if places.iter().any(|(known, _)| *known == place) {
            text.spot.fault(format!("{place} is listed twice; expected each place once"));
        } else {
            places.push((place, Some(text.spot)));
        }
    }
    places
}

fn local_transports(texts: Option<Vec<Text<'_, '_>>>) -> HashSet<Box<str>> {
    let Some(texts) = texts else {
        return DEFAULT_LOCAL_TRANSPORTS.map(Box::from).into();
    };
    let transport = |text: &str| {
        if text.is_empty() || text.contains(|c: char| c == ':' || c.is_whitespace()) {
            Err(format!(
                "{text:?} is no name of a transport; \
                 expected the first word of its line in master.cf, as \"lmtp\""
            ))
        } else {
            Ok(text.into())
        }
    };
    texts.iter().filter_map(|text| text.parse(transport)).collect()
}

fn realm(text: &str) -> Result<Arc<str>, String> {
    if text.is_empty() || text.contains(|c: char| c == '@' || c.is_whitespace() || c.is_control()) {
        return Err(format!(
            "{text:?} is no realm; expected what stands behind the @ of a login, as \"example.org\""
        ));
    }
    Ok(text.to_ascii_lowercase().into())
}

/// `[state]`.
pub(super) fn state(mut table: Table<'_, '_>) -> StateParams {
    let directory = table.text("directory", "a path").and_then(|text| text.parse(path));
    StateParams {
        directory: directory.unwrap_or_else(|| "/var/lib/connguard".into()),
        // Newcomers get a quarter of it, so that fewer make no sense.
        max_connectors: table.number("max_connectors", 16..=10_000_000).unwrap_or(1_000_000),
    }
}

/// `[control]`.
pub(super) fn control<'r>(
    mut table: Table<'r, '_>,
    listen: &[(Listen, Option<Spot<'r, '_>>)],
) -> ControlParams {
    let text = table.text("socket", "a path");
    let given = text.as_ref().and_then(|text| text.parse(socket));
    let malformed = text.is_some() && given.is_none();
    let socket = given.unwrap_or_else(|| "/run/connguard/control.sock".into());
    let same = |place: &Listen| matches!(place, Listen::Unix(path) if Path::new(path) == socket);
    if !malformed
        && let Some((_, spot)) = listen.iter().find(|(place, _)| same(place))
        && let Some(spot) = text.map(|text| text.spot).as_ref().or(spot.as_ref())
    {
        spot.fault(format!(
            "{} is both milter.listen and control.socket; expected two different sockets",
            socket.display()
        ));
    }
    ControlParams { socket }
}

/// `[trust]`.
pub(super) struct Trust {
    pub(super) clients: Vec<IpNet>,
    pub(super) logins: Vec<Arc<str>>,
}

pub(super) fn trust(mut table: Table<'_, '_>, realm: Option<&str>) -> Trust {
    let clients = networks(table.texts("clients").unwrap_or_default());
    warn_of_wide(&clients, "no client there is judged");
    let logins = table.texts("logins").unwrap_or_default();
    Trust {
        clients: clients.into_iter().map(|(network, _)| network).collect(),
        logins: logins.iter().filter_map(|text| login(text, realm)).collect(),
    }
}

/// A login in the spelling in which it is compared.
pub(super) fn login(text: &Text<'_, '_>, realm: Option<&str>) -> Option<Arc<str>> {
    text.parse(name).map(|login| fold_login(&login, realm))
}

/// `[restriction]`.
pub(super) struct Restriction {
    pub(super) terms: RestrictionTerms,
    pub(super) action: Action,
    pub(super) reject_after: Option<Duration>,
}

pub(super) fn restriction(mut table: Table<'_, '_>) -> Restriction {
    let mut terms = RestrictionTerms::default();
    if let Some(scope) = table.word("scope", "relayed or all") {
        terms.scope = scope;
    }
    if let Some(mut limit) = table.table("hold_limit", "{ messages = 1000, bytes = \"200MB\" }") {
        if let Some(messages) = limit.number("messages", 1..=1_000_000_000) {
            terms.hold_limit.messages = messages;
        }
        if let Some(bytes) = limit.take("bytes").and_then(size) {
            terms.hold_limit.bytes = bytes;
        }
    }
    if let Some(text) = table.text("expire_after", "a duration as \"30d\", or \"never\"") {
        terms.expire_after = text.parse(|text| match span_or_never(text)? {
            Some(Duration::ZERO) => {
                Err("\"0s\" would end a restriction at once; expected a duration, as \"7d\", or \"never\"".to_owned())
            }
            span => Ok(span),
        }).flatten();
    }
    if let Some(grace) =
        table.text("grace", "a duration as \"24h\"").and_then(|text| text.parse(parse_span))
    {
        terms.grace = grace;
    }
    if let Some(reply) =
        table.text("reply", "the text of the reply").and_then(|text| text.parse(ReplyText::new))
    {
        terms.reply = reply;
    }
    Restriction {
        terms,
        action: table.word("action", ACTIONS).unwrap_or_default(),
        reject_after: reject_after(&mut table).flatten(),
    }
}

/// `reject_after`, where it is set.
pub(super) fn reject_after(table: &mut Table<'_, '_>) -> Option<Option<Duration>> {
    table.text("reject_after", "a duration as \"3d\", or \"never\"")?.parse(|text| {
        match span_or_never(text)? {
            Some(span) if span < LEAST_REJECT_AFTER => Err(format!(
                "{text:?} is too soon; expected at least \"3d\", so that a wrong restriction \
             bounces no mail over a weekend, or \"never\""
            )),
            span => Ok(span),
        }
    })
}

/// `[judgement]`.
pub(super) struct Judgement {
    pub(super) spam_headers: SpamHeaders,
    pub(super) throttle: bool,
    pub(super) discover: bool,
    pub(super) new_connector_alert: bool,
}

/// Those that are looked at where nobody names others. To make their expressions is
/// nine tenths of what a configuration takes to be read.
static USUAL_SPAM_HEADERS: LazyLock<SpamHeaders> =
    LazyLock::new(|| SpamHeaders::parse(&DEFAULT_SPAM_HEADERS).unwrap_or_default());

pub(super) fn judgement(mut table: Table<'_, '_>) -> Judgement {
    // One by one: each fault at its place.
    let good = |texts: Vec<Text<'_, '_>>| {
        let texts = texts.into_iter().filter(|text| text.parse(spam_header).is_some());
        let entries: Vec<String> = texts.map(|text| text.text).collect();
        SpamHeaders::parse(&entries).unwrap_or_default()
    };
    let spam_headers = table.texts("spam_headers").map(good);
    Judgement {
        spam_headers: spam_headers.unwrap_or_else(|| USUAL_SPAM_HEADERS.clone()),
        throttle: table.flag("throttle").unwrap_or(true),
        discover: table.flag("discover").unwrap_or(true),
        new_connector_alert: table.flag("new_connector_alert").unwrap_or(true),
    }
}

/// Whether an entry is one. The error of an expression is a picture of several
/// lines, of which the first and the last say it.
fn spam_header(entry: &str) -> Result<(), String> {
    SpamHeaders::parse(&[entry]).map(drop).map_err(|error| {
        let error = error.to_string();
        match (error.split_once(" regex parse error:"), error.rsplit_once("\nerror: ")) {
            (Some((what, _)), Some((_, why))) => format!("{what} {why}"),
            _ => error.replace('\n', " "),
        }
    })
}

/// `[feedback]`.
pub(super) fn feedback(mut table: Table<'_, '_>) -> MailLog {
    table.word("mail_log", "auto, journal, none or an absolute path").unwrap_or_default()
}

/// `[log]`.
pub(super) fn log(mut table: Table<'_, '_>) -> LogParams {
    let level = table.text("level", "error, warn, info, debug or trace").and_then(|text| {
        text.parse(|level| {
            if ["error", "warn", "info", "debug", "trace"].contains(&level) {
                Ok(level.to_owned())
            } else {
                Err(format!("{level:?} is not error, warn, info, debug or trace"))
            }
        })
    });
    LogParams {
        level: level.unwrap_or_else(|| "info".into()),
        format: table.word("format", "auto, text or json").unwrap_or_default(),
    }
}
