//! A message as a log tells of it: put together from the lines of smtpd,
//! pickup, cleanup, qmgr and the delivery agents; and who takes what was put
//! together ([`Sink`]).
//!
//! What a log can't show: a recipient that Postfix added (`always_bcc`) looks as
//! one that the client gave; a message that was never queued shows no
//! recipients but those that were refused; From is known only where
//! header_checks logs it.

use crate::{
    connector::{CertificateName, Identities, fold_address, fold_login},
    message::{self, Outcome, Sender},
    refusal::Class,
    timestamp::Timestamp,
};
use std::{net::IpAddr, sync::Arc};

/// Who sent a message, as its session showed it.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Who {
    /// Address of the client, that before a content filter where that is logged.
    pub client: Option<IpAddr>,
    /// Its name; `unknown` where it has none.
    pub client_name: Arc<str>,
    /// SASL login, as logged.
    pub login: Option<Arc<str>>,
    /// A certificate that chains to a CA that Postfix trusts, with both names.
    pub certificate: Option<CertificateName>,
    /// Submitted on this host without SMTP, by this user id.
    pub local: Option<u32>,
}

/// A recipient that the client gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recipient {
    /// The address before aliases.
    pub address: Box<str>,
    /// What delivers it, after content filters: the program of the delivery agent
    /// (`smtp`, `lmtp`, `local`, `virtual`, `error`, `discard`), or the name of
    /// the transport for `pipe`. Nothing where the log has not shown it.
    pub transport: Option<Arc<str>>,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// It was queued.
    Queued,
    /// It went to the hold queue, or was taken and thrown away.
    Kept,
    /// A milter refused it, when its client had sent all of it. Nothing was
    /// delivered, and of its recipients one at the most is logged.
    Refused,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    /// When its client had sent it: the first `queue active` of qmgr, or when a
    /// milter refused it.
    pub at: Timestamp,
    /// When it began: its first accepted recipient.
    pub begun: Timestamp,
    /// The host that logged it.
    pub host: Arc<str>,
    /// Queue id under which it was accepted from its client.
    pub queue_id: Arc<str>,
    /// `syslog_name` of the service that took it, as `postfix/submission`.
    pub service: Arc<str>,
    /// Who sent it.
    pub who: Arc<Who>,
    /// Envelope sender after canonical maps; empty for `<>`.
    pub from: Box<str>,
    /// Envelope sender as the client gave it, where that is logged.
    pub given_from: Option<Box<str>>,
    /// Message-ID, without brackets.
    pub message_id: Option<Box<str>>,
    /// Addresses of the From header, where header_checks logs it.
    pub header_from: Vec<String>,
    /// Octets, where known.
    pub size: Option<u64>,
    /// Recipients that qmgr counted, after aliases; where known.
    pub nrcpt: Option<u32>,
    /// Recipients.
    pub recipients: Vec<Recipient>,
    /// Whether all recipients are among them.
    pub is_complete: bool,
    /// Recipients that Postfix itself refused as unknown.
    pub unknown: Vec<Box<str>>,
    /// Recipients that a milter refused.
    pub attempts: Vec<Box<str>>,
    /// How it ended.
    pub end: End,
}

/// A transaction that never reached its end, with what was refused in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Abandoned {
    /// When its first recipient was refused.
    pub at: Timestamp,
    /// The host that logged it.
    pub host: Arc<str>,
    /// `syslog_name` of the service.
    pub service: Arc<str>,
    /// Who began it.
    pub who: Arc<Who>,
    /// Envelope sender as the client gave it, where that is logged.
    pub from: Option<Box<str>>,
    /// Recipients that Postfix itself refused as unknown.
    pub unknown: Vec<Box<str>>,
    /// Recipients that a milter refused.
    pub attempts: Vec<Box<str>>,
}

/// Who answered for a recipient.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Provider {
    /// Its organizational domain, or its address where it has no name.
    pub name: Arc<str>,
    /// See [`message::Provider::may_mean_us`].
    pub may_mean_us: bool,
}

/// What an attempt to deliver says of one recipient. There is one for each
/// attempt: greylisted first, refused later are two.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// When it was logged.
    pub at: Timestamp,
    /// The host that logged it.
    pub host: Arc<str>,
    /// Queue id under which the message was accepted from its client.
    pub queue_id: Arc<str>,
    /// Who sent the message.
    pub who: Arc<Who>,
    /// The recipient as the client gave it.
    pub recipient: Box<str>,
    /// What became of it. [`Outcome::Deferred`] also where it says nothing about
    /// the client: what an alias made of the recipient is not the client's choice.
    pub outcome: Outcome,
    /// Why it failed, where it did.
    pub class: Option<Class>,
    /// Who answered, where somebody else did.
    pub by: Option<Provider>,
}

/// Takes what was put together, in the order of its time.
pub trait Sink {
    /// A message. What was given before is not younger.
    fn mail(&mut self, mail: &Mail);
    /// A transaction that never reached its end.
    fn abandoned(&mut self, _abandoned: &Abandoned) {}
    /// A delivery result of a message that was given before.
    fn answer(&mut self, _answer: &Answer) {}
    /// Nothing is left of a message: its queue id is free again.
    fn gone(&mut self, _host: &Arc<str>, _queue_id: &str, _at: Timestamp) {}
}

impl Who {
    /// The identities as the engine compares them. `realm` is appended to logins
    /// without one.
    pub fn identities(&self, realm: Option<&str>) -> Identities {
        Identities {
            client: self.client.map(fold_address),
            login: self.login.as_deref().map(|login| fold_login(login, realm)),
            certificate: self.certificate.clone(),
            local: self.local.is_some(),
            ..Identities::default()
        }
    }
}

impl Mail {
    /// The envelope sender as the engine takes it.
    pub fn sender(&self) -> Sender<'_> {
        if self.from.is_empty() {
            return Sender::Null;
        }
        let bare = self.given_from.as_deref().is_some_and(|given| !given.contains('@'));
        Sender::Address { address: &self.from, qualified: !bare }
    }

    /// The sender that the client gave, where canonical maps made another of it.
    pub fn rewritten_from(&self) -> Option<&str> {
        let given = self.given_from.as_deref()?;
        (given.contains('@') && !given.eq_ignore_ascii_case(&self.from)).then_some(given)
    }
}

impl Abandoned {
    /// The envelope sender as the engine takes it; the null sender where none is
    /// logged.
    pub fn sender(&self) -> Sender<'_> {
        match self.from.as_deref() {
            None | Some("") => Sender::Null,
            Some(address) => Sender::Address { address, qualified: address.contains('@') },
        }
    }
}

impl Provider {
    /// The same, for the engine.
    pub fn as_message(&self) -> message::Provider<'_> {
        message::Provider { name: &self.name, may_mean_us: self.may_mean_us }
    }
}
