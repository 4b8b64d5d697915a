//! The configuration: from a TOML file, and the files of domains that it
//! names, to what each part of the program is told.
//!
//! All faults are told at once, each with its place:
//! `FILE:LINE:COLUMN: key: what is wrong; what was expected`. A deserializer
//! made by derive stops at the first fault and forgets where others are, and
//! most of what can be wrong here (the same key in two connectors, bits behind
//! a prefix) is beyond types anyway. So the parsed file is walked by hand, with
//! a reader that takes keys out and records what it does not like; keys that
//! nobody took are unknown. Nothing is ignored in silence: what is not
//! supported is a fault, what is odd is a warning.
//!
//! The result is built from defaults where a key is absent; an empty file is a
//! configuration that observes.

mod alert;
mod connectors;
mod fault;
mod files;
#[doc(hidden)]
pub mod fuzz;
mod hint;
pub mod keys;
mod metrics;
mod policy;
mod reader;
mod sections;
mod summary;
mod syntax;
mod unregistered;
mod values;

pub use fault::{Fault, Faults, Position};

use crate::{
    directory::{Directory, Params},
    domain::DomainSet,
    engine,
    feedback::MailLog,
    milter,
    model::Model,
    policy::Role,
    verdict::{Mode, Throttle, WordError},
};
use connectors::Defaults;
use files::{FileError, Files};
use ipnet::IpNet;
use reader::Reader;
use sections::Trust;
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};
use toml::de::DeTable;
use unregistered::Unregistered;

/// What every part of the program is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// For the engine.
    pub settings: engine::Settings,
    /// For the milter front-end.
    pub milter: milter::Params,
    /// Where metrics are served, if they are.
    pub metrics: Option<crate::metrics::Params>,
    /// For the policy front-end, where there is one.
    pub policy: Option<crate::policy::Params>,
    /// For what is kept on disk and in memory.
    pub state: StateParams,
    /// For the control socket.
    pub control: ControlParams,
    /// Where delivery results are read.
    pub mail_log: MailLog,
    /// Who is told, and how.
    pub alert: crate::alert::Params,
    /// For the log.
    pub log: LogParams,
    /// Every file that was read, the configuration file first.
    pub sources: Vec<PathBuf>,
    /// What is allowed but probably not meant, one sentence each.
    pub warnings: Vec<String>,
    /// Organizations without registered domains, and what belongs to them and
    /// has none of its own: whose senders can't be judged. Written as entities.
    pub without_registered_domains: Vec<String>,
    /// What it was understood as, for people: see [`summary`].
    pub understood: Vec<String>,
}

/// `[state]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StateParams {
    /// Where the journal is; absolute.
    pub directory: PathBuf,
    /// Cap of the connectors held in memory, 16 to 10,000,000.
    pub max_connectors: usize,
}

/// `[control]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ControlParams {
    /// Path of the socket; absolute.
    pub socket: PathBuf,
}

/// `[log]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogParams {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// How events are written.
    pub format: LogFormat,
}

/// How log events are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// To journald under systemd, else as text.
    #[default]
    Auto,
    /// Text on standard error.
    Text,
    /// JSON on standard error.
    Json,
}

impl FromStr for LogFormat {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(WordError { found: text.into(), expected: "auto, text or json" }),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// The control socket that the file at `path` names, whatever else may be wrong
/// with it: who mends a broken configuration must still reach the daemon.
pub fn control_socket(path: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(path).ok()?;
    let (table, _) = DeTable::parse_recoverable(&text);
    let section = table.get_ref().get("control")?.get_ref().as_table()?;
    section.get("socket")?.get_ref().as_str().map(PathBuf::from)
}

/// Reads the configuration at `path`. `own_names` are this host's name and the
/// domain that its local mail comes from: they are registered wherever another
/// domain is.
///
/// # Errors
/// All faults of the file and of the files that it names.
pub fn load(path: &Path, own_names: &[String]) -> Result<Config, Faults> {
    let fault = |message: String| Faults::of_file(path, None, message);
    match files::bytes_of(path) {
        Ok(bytes) => parse(path, &bytes, own_names),
        Err(FileError::Missing) => Err(fault(
            "there is no such file; name another with --config FILE, or make this one: \
             an empty file observes with all defaults, and contrib/postfix/enable adds what \
             this host's Postfix relays and receives"
                .into(),
        )),
        Err(FileError::Unreadable(why) | FileError::NotText(_, why)) => Err(fault(why)),
    }
}

/// Reads a configuration whose file `path` has these octets; files that it
/// names are read.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, bytes: &[u8], own_names: &[String]) -> Result<Config, Faults> {
    parse_with(path, bytes, own_names, Files(&files::bytes_of))
}

/// The same, where `files` gives the octets of the files that it names.
fn parse_with(
    path: &Path,
    bytes: &[u8],
    own_names: &[String],
    files: Files<'_>,
) -> Result<Config, Faults> {
    let text = match files::text_of(bytes) {
        Ok(text) => text,
        Err(FileError::NotText(position, why)) => {
            return Err(Faults::of_file(path, Some(position), why));
        }
        Err(FileError::Unreadable(why)) => return Err(Faults::of_file(path, None, why)),
        Err(FileError::Missing) => return Err(Faults::of_file(path, None, "is gone".into())),
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let (syntax, end) = syntax::faults(text, table.get_ref(), errors);
    let reader = Reader::new(path, text, (syntax, end), files);
    let mut config = read(&reader, table.into_inner(), own_names);
    let (sources, mut warnings) = reader.finish()?;
    warnings.extend(sources.iter().filter_map(|file| files::open_to_all(file)));
    config.understood.push(format!(
        "files: {}",
        sources.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
    ));
    Ok(Config { sources, warnings, ..config })
}

/// The network that `text` is in a configuration.
///
/// # Errors
/// What is wrong with it.
pub fn network(text: &str) -> Result<IpNet, String> {
    values::network(text)
}

/// Whether `text` can be a name, a login or a common name in a configuration.
pub fn is_name(text: &str) -> bool {
    values::name(text).is_ok()
}

/// What `check` prints besides `ok`: a line for each thing that was
/// understood, then the warnings.
pub fn summary(config: &Config) -> Vec<String> {
    let warnings = config.warnings.iter();
    let warnings = warnings.map(|warning| format!("warning: {warning}"));
    config.understood.iter().cloned().chain(warnings).collect()
}

/// Walks the file. The result counts only if no fault was recorded.
fn read<'t>(reader: &Reader<'t>, entries: DeTable<'t>, own_names: &[String]) -> Config {
    let mut top = reader.top(entries);
    let mode: Mode = top.word("mode", sections::MODES).unwrap_or_default();
    let mut milter = sections::milter(top.section("milter"));
    let hears_fingerprints = top.says("policy");
    let policy = policy::policy(&mut top, &milter.listen);
    let metrics = metrics::metrics(&mut top);
    let judges = policy.as_ref().is_some_and(|policy| policy.role == Role::Judge);
    if judges && !milter.says_listen {
        // It is there instead.
        milter.listen.clear();
    }
    let realm = milter.login_realm.as_deref();
    let state = sections::state(top.section("state"));
    let control = sections::control(top.section("control"), &milter.listen);
    let trust = sections::trust(top.section("trust"), realm);
    let restriction = sections::restriction(top.section("restriction"));
    let judgement = sections::judgement(top.section("judgement"));
    let alert = alert::alert(top.section("alert"), own_names, judgement.new_connector_alert);
    let mail_log = sections::feedback(top.section("feedback"));
    let log = sections::log(top.section("log"));
    let names = host_names(reader, own_names);
    let defaults =
        Defaults { mode, restriction: &restriction, realm, own_names: &names, hears_fingerprints };
    let organizations = connectors::organizations(top.tables("organization"));
    let named = connectors::connectors(top.tables("connector"), &organizations, &defaults);
    let directory = Params {
        discovered: Arc::new(organizations.discovered(&defaults)),
        connectors: named,
        relay_networks: milter.relay_networks,
        trusted_clients: trust.clients.clone(),
        trusted_logins: trust.logins.clone(),
        discover: judgement.discover,
    };
    let directions = milter.directions;
    let unregistered = unregistered::unregistered(&directory);
    warn(reader, &directory, &directions, &unregistered, &trust, judgement.throttle);
    if judges && !milter.listen.is_empty() {
        reader.warn(
            "policy.role is judge and milter.listen is set: mail for which Postfix asks both is \
             counted twice; leave milter.listen out, or let each Postfix ask only one of them"
                .into(),
        );
    }
    let listen: Vec<_> = milter.listen.into_iter().map(|(place, _)| place).collect();
    let understood = summary::lines(&summary::Parts {
        mode,
        listen: &listen,
        policy: policy.as_ref(),
        metrics,
        max_connections: milter.max_connections,
        ignore_daemons: &milter.ignore_daemons,
        login_realm: milter.login_realm.as_deref(),
        directions: &directions,
        organizations: &organizations,
        own_names,
        directory: &directory,
        trust: &trust,
        restriction: &restriction,
        throttle: judgement.throttle,
        state: &state,
        control: &control,
        mail_log: &mail_log,
        alert: &alert,
        log: &log,
    });
    Config {
        settings: engine::Settings {
            throttle: judgement.throttle,
            model: Model::default(),
            directory: Directory::new(directory),
            directions,
            restriction: restriction.terms,
        },
        metrics,
        policy: policy.map(|policy| crate::policy::Params {
            listen: policy.listen,
            role: policy.role,
            max_connections: milter.max_connections,
            ignore_daemons: milter.ignore_daemons.clone(),
            login_realm: milter.login_realm.clone(),
        }),
        milter: milter::Params {
            listen,
            max_connections: milter.max_connections,
            ignore_daemons: milter.ignore_daemons,
            login_realm: milter.login_realm,
            spam_headers: judgement.spam_headers,
        },
        state,
        control,
        mail_log,
        alert,
        log,
        sources: Vec::new(),
        warnings: Vec::new(),
        without_registered_domains: unregistered.iter().flat_map(Unregistered::entities).collect(),
        understood,
    }
}

fn host_names(reader: &Reader<'_>, own_names: &[String]) -> DomainSet {
    let mut set = DomainSet::default();
    for name in own_names {
        if set.insert(name).is_err() {
            reader.warn(format!(
                "this host's name {name:?} is no domain name and counts for nothing"
            ));
        }
    }
    set
}

/// What is allowed but probably not meant.
fn warn(
    reader: &Reader<'_>,
    directory: &Params,
    directions: &engine::Directions,
    unregistered: &[Unregistered],
    trust: &Trust,
    throttle: bool,
) {
    for one in unregistered {
        reader.warn(one.sentence());
    }
    if directions.inbound_domains.is_empty() {
        reader.warn(
            "milter.inbound_domains is empty, so all mail over a transport that is not local \
             counts as relayed; list the domains that this site receives mail for"
                .into(),
        );
    }
    if !directory.discover && directory.connectors.is_empty() {
        reader.warn(
            "nobody is watched: judgement.discover is false and there is no [[connector]]".into(),
        );
    }
    let slowed = |throttle| matches!(throttle, Some(Throttle::Tempfail | Throttle::Hold));
    for named in &directory.connectors {
        if !throttle && slowed(named.terms.throttle) {
            reader.warn(format!(
                "the throttle of connector {:?} does nothing: judgement.throttle is false",
                named.name
            ));
        }
        let covered = |network| trust.clients.iter().any(|trusted| trusted.contains(network));
        if let Some(network) = named.clients.iter().find(|network| covered(*network)) {
            reader.warn(format!(
                "{network} of connector {:?} is trusted: what comes from there without login \
                 and certificate is never judged",
                named.name
            ));
        }
        if let Some(login) = named.logins.iter().find(|login| trust.logins.contains(login)) {
            reader.warn(format!(
                "login {login} of connector {:?} is trusted: it is never judged",
                named.name
            ));
        }
    }
}
