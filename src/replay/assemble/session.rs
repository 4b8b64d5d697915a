//! What is known of an SMTP session before a message has a queue id.

use super::{Assembler, Host, Place};
use crate::{
    connector::CertificateName,
    maillog::{Accepted, Certificate, Judged, Peer},
    replay::mail::{Abandoned, Who},
    timestamp::Timestamp,
};
use std::{net::IpAddr, sync::Arc};

/// Sessions of one host that are remembered.
const MOST_SESSIONS: usize = 20_000;
/// Refused recipients that are remembered of one transaction.
const MOST_REFUSED: usize = 1000;

/// `syslog_name` and process.
pub(super) type Key = (Arc<str>, u32);

/// One session.
#[derive(Debug, Default)]
pub(super) struct Session {
    client: Option<IpAddr>,
    client_name: Arc<str>,
    login: Option<Arc<str>>,
    certificate: Option<CertificateName>,
    is_trusted: bool,
    /// All of this, once it was asked for.
    who: Option<Arc<Who>>,
    /// The transaction without a queue id whose recipients were refused.
    pub(super) transaction: Option<u64>,
    /// The draft of its last queue file.
    pub(super) file: Option<u64>,
}

impl Session {
    pub(super) fn of(peer: &Peer<'_>) -> Self {
        Self { client: peer.address, client_name: peer.name.into(), ..Self::default() }
    }

    /// It shows a certificate. Without its issuer a subject proves nothing.
    pub(super) fn show(&mut self, shown: &Certificate<'_>) {
        let Certificate { subject, issuer, .. } = *shown;
        let has_both = !subject.is_empty() && !issuer.is_empty();
        self.certificate = has_both.then(|| CertificateName::new(subject, issuer));
        self.who = None;
    }

    /// Whether Postfix trusts what it shows.
    pub(super) fn trust(&mut self, trusted: bool) {
        self.is_trusted = trusted;
        self.who = None;
    }

    /// It logged in; nothing where the line does not say.
    pub(super) fn note_login(&mut self, login: Option<&str>) {
        if let Some(login) = login
            && self.login.as_deref() != Some(login)
        {
            self.login = Some(login.into());
            self.who = None;
        }
    }

    /// Who it is as far as it has shown.
    pub(super) fn identity(&mut self) -> Arc<Who> {
        let who = self.who.get_or_insert_with(|| {
            Arc::new(Who {
                client: self.client,
                client_name: Arc::clone(&self.client_name),
                login: self.login.clone(),
                certificate: self.certificate.clone().filter(|_| self.is_trusted),
                local: None,
            })
        });
        Arc::clone(who)
    }

    /// Who sends a message.
    pub(super) fn who(&mut self, accepted: &Accepted<'_>) -> Arc<Who> {
        if accepted.login != self.login.as_deref() {
            self.login = accepted.login.map(Into::into);
            self.who = None;
        }
        // A filter before the queue (smtpd_proxy_filter) tells whose mail it is.
        if let Some(original) = &accepted.original_client
            && original.address.is_some()
        {
            return Arc::new(Who {
                client: original.address,
                client_name: original.name.into(),
                ..Who::clone(&self.identity())
            });
        }
        self.identity()
    }
}

/// A transaction that has no queue id.
#[derive(Debug)]
pub(super) struct Transaction {
    at: Timestamp,
    host: Arc<str>,
    service: Arc<str>,
    who: Arc<Who>,
    pub(super) from: Option<Box<str>>,
    pub(super) unknown: Vec<Box<str>>,
    pub(super) attempts: Vec<Box<str>>,
}

impl Transaction {
    pub(super) fn new(
        at: Timestamp,
        host: Arc<str>,
        service: Arc<str>,
        who: Arc<Who>,
        from: Option<&str>,
    ) -> Self {
        let from = from.map(Into::into);
        Self { at, host, service, who, from, unknown: Vec::new(), attempts: Vec::new() }
    }

    /// Whether a line with this sender may be of this transaction.
    pub(super) fn is_of(&self, from: Option<&str>) -> bool {
        self.from.as_deref() == from
    }

    /// A recipient was refused.
    pub(super) fn add(&mut self, judged: &Judged<'_>) {
        sort(judged, &mut self.unknown, &mut self.attempts);
    }

    /// Whether nothing in it speaks about anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.unknown.is_empty() && self.attempts.is_empty()
    }

    pub(super) fn into_abandoned(self) -> Abandoned {
        let Self { at, host, service, who, from, unknown, attempts } = self;
        Abandoned { at, host, service, who, from, unknown, attempts }
    }
}

/// Puts a refused recipient where it belongs: refused by a milter; unknown to
/// Postfix (as the milter is told of it: any 5.1.x); or neither, which speaks
/// against nobody.
pub(super) fn sort(judged: &Judged<'_>, unknown: &mut Vec<Box<str>>, attempts: &mut Vec<Box<str>>) {
    let Some(to) = judged.to else { return };
    let list = if judged.milter {
        attempts
    } else if judged.dsn.starts_with("5.1.") {
        unknown
    } else {
        return;
    };
    if list.len() < MOST_REFUSED {
        list.push(to.into());
    }
}

impl Assembler {
    pub(super) fn session_key(&mut self, place: &Place<'_>) -> Option<(Key, &mut Host)> {
        let key = (self.names.of(place.line.tag.syslog_name), place.line.tag.pid);
        Some((key, self.hosts.get_mut(place.host)?))
    }

    /// The session of a line; a new one where its client is another one: the
    /// line of its connection was not logged or is missing.
    pub(super) fn session(&mut self, place: &Place<'_>, peer: &Peer<'_>) -> &mut Session {
        let key = (self.names.of(place.line.tag.syslog_name), place.line.tag.pid);
        let known = self.hosts.get(place.host).is_some_and(|host| {
            let of = |session: &Session| session.client == peer.address;
            peer.address.is_none() || host.sessions.get(&key).is_some_and(of)
        });
        if !known {
            self.end_session(place);
        }
        let sessions = self.hosts.sessions(place.host);
        if sessions.len() >= MOST_SESSIONS && !sessions.contains_key(&key) {
            // Nobody says goodbye in this log.
            sessions.clear();
        }
        sessions.entry(key).or_insert_with(|| Session::of(peer))
    }
}
