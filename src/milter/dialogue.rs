//! One session as the MTA tells it: from macros and arguments to the calls of
//! the engine. Buffers are kept from message to message.
//!
//! Identity is settled at MAIL, the first time that anything depends on it: a
//! certificate is known only after STARTTLS, and a login only after AUTH. An
//! empty macro is not sent, and the library keeps the macros of a stage until
//! it gets new ones; since one that is always defined is requested with each
//! stage, new ones always come, and a macro that is not among them is empty.
//!
//! No macro is looked up that can't matter: the library looks for one in the maps
//! of seven stages, which takes some 1,200 instructions where there is none, and
//! all that we do for a message besides the engine takes some 20,000.
//!
//! The first transaction of a session that greets with a pass is an alert of
//! our own: the engine does not hear of it. The session is one as any other
//! before and after.

use super::{
    Params, envelope,
    envelope::Envelope,
    shared::{Shared, attempt},
};
use crate::{
    connector::{CertificateDigests, CertificateName, Identities, fold_address, fold_login},
    engine::{Session, Transaction},
    fault,
    handover::Ends,
    header::{Addresses, is_delivery_report, message_id},
    message::{Fate, Message, Recipient},
    timestamp::Timestamp,
    verdict::Verdict,
};
use indymilter::{ProtoOpts, SocketInfo, Status};
use std::{
    borrow::Cow,
    ffi::{CStr, CString},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Both ends of the client's connection, if it came by one.
fn ends(from: &SocketInfo, macros: &impl Macros) -> Option<Ends> {
    let SocketInfo::Inet(client) = from else { return None };
    let port = get(macros, c"{daemon_port}")?.parse().ok().filter(|port| *port != 0)?;
    let address = get(macros, c"{daemon_addr}").and_then(|text| envelope::ip(&text))?;
    Some(Ends::new(*client, SocketAddr::new(address, port)))
}

/// The macros that came with a stage, and those before it.
pub(super) trait Macros {
    /// The value of one that is there.
    fn get(&self, name: &CStr) -> Option<&CStr>;
}

impl Macros for indymilter::Macros {
    fn get(&self, name: &CStr) -> Option<&CStr> {
        Self::get(self, name)
    }
}

/// See the head of this module.
pub(super) struct Dialogue {
    shared: Arc<Shared>,
    /// Stages that the MTA wants no reply to.
    silent: ProtoOpts,
    params: Arc<Params>,
    session: Session,
    shown: Shown,
    /// The name of this host, the same in all of a session.
    host: String,
    transaction: Option<Transaction>,
    /// A fault at a recipient or at the end may have cost the transaction.
    lost: bool,
    /// All that was shown so far was taken in. Else a callback failed, and it has to be
    /// done again.
    known: bool,
    /// The session began with a pass that no transaction has used yet.
    pass: bool,
    /// The transaction is an alert of our own: it is nobody's mail.
    ours: bool,
    envelope: Envelope,
    headers: Headers,
}

/// What the session has shown of itself, as written.
#[derive(Debug, Default)]
struct Shown {
    client: Option<IpAddr>,
    local: bool,
    login: String,
    subject: String,
    issuer: String,
    /// Between which ends, where both are known.
    ends: Option<Ends>,
    /// What policy requests said of its certificate.
    digests: Option<Arc<CertificateDigests>>,
}

/// What matters of the headers of a message.
#[derive(Debug, Default)]
struct Headers {
    from: Addresses,
    /// Empty where there is none.
    message_id: String,
    spam: Option<bool>,
    /// Of the one Content-Type that it has; of several none is believed.
    report: Option<bool>,
}

impl Dialogue {
    pub(super) fn new(shared: Arc<Shared>, silent: ProtoOpts) -> Self {
        Self {
            params: shared.params.load_full(),
            shared,
            silent,
            session: Session::default(),
            shown: Shown::default(),
            host: String::new(),
            transaction: None,
            lost: false,
            known: true,
            pass: false,
            ours: false,
            envelope: Envelope::default(),
            headers: Headers::default(),
        }
    }

    /// Runs a step that needs no answer; gives the status for its stage, of
    /// which `noreply` is the option.
    pub(super) fn tell(&mut self, noreply: ProtoOpts, step: impl FnOnce(&mut Self)) -> Status {
        // Nothing to answer: who is refused is refused at RCPT.
        if attempt(|| step(self)).is_none() {
            self.shared.panicked();
        }
        if self.silent.contains(noreply) { Status::Noreply } else { Status::Continue }
    }

    /// Runs a step that has an answer; where it fails, a restricted entity
    /// stays refused and everybody else passes.
    pub(super) fn ask(&mut self, step: impl FnOnce(&mut Self) -> Verdict) -> Verdict {
        if let Some(verdict) = attempt(|| step(self)) {
            return verdict;
        }
        self.shared.panicked();
        self.lost = true;
        if self.ours {
            return Verdict::Pass;
        }
        let shared = &self.shared;
        let fallback = || shared.engine.fallback(&self.session, shared.last_time());
        shared.guard(fallback).unwrap_or(Verdict::Pass)
    }

    /// Who connects. A step of its own, before all that can fail.
    pub(super) fn meet(&mut self, from: &SocketInfo, macros: &impl Macros) {
        self.part();
        self.session = Session::default();
        self.pass = false;
        self.known = false;
        self.host.clear();
        self.shown = Shown {
            client: match from {
                SocketInfo::Inet(address) => Some(fold_address(address.ip())),
                SocketInfo::Unix(_) => None,
                SocketInfo::Unknown => {
                    get(macros, c"{client_addr}").and_then(|text| envelope::ip(&text))
                }
            },
            // So says Postfix of mail that came without SMTP.
            local: get(macros, c"{daemon_port}").as_deref() == Some("0"),
            ..Shown::default()
        };
        if self.shared.engine.handover().is_open() {
            self.shown.ends = ends(from, macros);
        }
    }

    /// The session is over: what was told of it and not taken is for nobody.
    fn part(&mut self) {
        if let Some(ends) = self.shown.ends.take() {
            self.shared.engine.handover().forget(&ends);
        }
    }

    pub(super) fn connect(&mut self, macros: &impl Macros) {
        fault::point("milter connect");
        self.abandon();
        self.params = self.shared.params.load_full();
        self.serve(macros);
        if !self.params.ignore_daemons.is_empty() {
            let port = get(macros, c"{daemon_port}");
            let address = get(macros, c"{daemon_addr}");
            let daemons = &self.params.ignore_daemons;
            if envelope::is_one_of(daemons, address.as_deref(), port.as_deref()) {
                self.session.ignore();
            }
        }
        self.identify();
        self.known = true;
    }

    pub(super) fn helo(&mut self, name: &CStr) {
        fault::point("milter helo");
        let name = name.to_string_lossy();
        // A second greeting, after STARTTLS, takes nothing back.
        self.pass |= self.shared.engine.passes().redeem(&name, self.shared.now_or_last());
        self.session.greet(&name);
    }

    pub(super) fn mail(&mut self, arguments: &[CString], macros: &impl Macros) {
        let was_known = std::mem::replace(&mut self.known, false);
        fault::point("milter mail");
        self.abandon();
        self.settle(macros, was_known);
        self.headers.clear();
        self.envelope.mail(arguments, get(macros, c"{mail_addr}").as_deref());
        self.known = true;
        if self.host.is_empty() {
            self.serve(macros);
        }
        self.ours = std::mem::take(&mut self.pass);
        if self.ours {
            return;
        }
        self.transaction =
            Some(self.shared.engine.begin(&mut self.session, &self.envelope.sender()));
    }

    pub(super) fn rcpt(&mut self, arguments: &[CString], macros: &impl Macros) -> Verdict {
        if self.ours {
            return Verdict::Pass;
        }
        if !self.known {
            // The macros of MAIL are still there; its other arguments are not.
            self.settle(macros, false);
            self.headers.clear();
            let sender = get(macros, c"{mail_addr}");
            let sender = sender.and_then(|sender| CString::new(sender.into_owned()).ok());
            self.envelope.mail(sender.as_slice(), None);
            self.known = true;
        }
        let now = self.shared.now();
        self.hear_digests(now);
        let mailer = get(macros, c"{rcpt_mailer}");
        let fate = envelope::fate(mailer.as_deref(), || get(macros, c"{rcpt_host}"));
        let resolved = match fate {
            Fate::Accepted => get(macros, c"{rcpt_addr}"),
            // There the macro holds the text of the refusal.
            _ => None,
        };
        let argument = envelope::text(arguments.first());
        let recipient = Recipient {
            address: envelope::recipient(resolved.as_deref(), &argument),
            transport: mailer.as_deref(),
            fate,
        };
        let engine = &self.shared.engine;
        // There is one unless MAIL never came or failed.
        let mut transaction = match self.transaction.take() {
            Some(transaction) => transaction,
            None => engine.begin(&mut self.session, &self.envelope.sender()),
        };
        fault::point("milter rcpt");
        let verdict = engine.at_recipient(&mut self.session, &mut transaction, &recipient, now);
        self.transaction = Some(transaction);
        verdict
    }

    pub(super) fn header(&mut self, name: &CStr, value: &CStr) {
        fault::point("milter header");
        self.headers.take(name.to_bytes(), value.to_bytes(), &self.params);
    }

    pub(super) fn end(&mut self, macros: &impl Macros) -> Verdict {
        if std::mem::replace(&mut self.ours, false) {
            return Verdict::Pass;
        }
        let lost = std::mem::take(&mut self.lost);
        let Some(transaction) = self.transaction.take() else {
            // Who sent what was lost may have to be held.
            let fallback = || self.shared.engine.fallback(&self.session, self.shared.now_or_last());
            return if lost { fallback() } else { Verdict::Pass };
        };
        fault::point("milter end");
        let queue_id = get(macros, c"i");
        let message = Message {
            sender: self.envelope.sender(),
            queue_id: queue_id.as_deref(),
            message_id: given(&self.headers.message_id),
            from: self.headers.from.as_slice(),
            spam: self.headers.spam,
            report: self.headers.report == Some(true),
            size: self.envelope.size,
            host: given(&self.host),
        };
        let now = self.shared.now();
        self.shared.engine.at_end(&mut self.session, transaction, &message, now)
    }

    /// The transaction, if there is one, never reaches its end. (ABORT also
    /// follows messages that did: then there is none.)
    pub(super) fn abandon(&mut self) {
        fault::point("milter abort");
        self.ours = false;
        self.lost = false;
        if let Some(transaction) = self.transaction.take() {
            let now = self.shared.last_time();
            self.shared.engine.at_abandon(&self.session, &transaction, now);
        }
    }

    /// Takes in a login and a certificate, and tells the engine if something
    /// changed, or may have been read differently by a reload, or if it may not know
    /// yet because a callback failed.
    fn settle(&mut self, macros: &impl Macros, is_known: bool) {
        let reloaded = {
            let current = self.shared.params.load();
            let reloaded = !Arc::ptr_eq(&current, &self.params);
            if reloaded {
                self.params = Arc::clone(&current);
            }
            reloaded
        };
        let shown = &mut self.shown;
        let (subject, issuer) = certificate(macros);
        let changed = [
            replace(&mut shown.login, get(macros, c"{auth_authen}")),
            replace(&mut shown.subject, subject),
            replace(&mut shown.issuer, issuer),
        ];
        if !is_known || reloaded || changed.contains(&true) {
            self.identify();
        }
    }

    /// Takes in what a policy request told of the client's certificate, about this very
    /// recipient. Who the session is may be another one by that than at MAIL.
    fn hear_digests(&mut self, now: Timestamp) {
        let told = self.shown.ends.and_then(|ends| self.shared.engine.handover().take(&ends, now));
        if told.is_some() && told != self.shown.digests {
            self.shown.digests = told;
            self.identify();
        }
    }

    fn identify(&mut self) {
        let shown = &self.shown;
        let realm = self.params.login_realm.as_deref();
        let certificate = given(&shown.subject).zip(given(&shown.issuer));
        self.session.identify(Identities {
            client: shown.client,
            login: given(&shown.login).map(|login| fold_login(login, realm)),
            // Without its issuer a subject proves nothing.
            certificate: certificate.map(|(subject, issuer)| CertificateName::new(subject, issuer)),
            digests: shown.digests.clone(),
            local: shown.local,
        });
    }

    /// Takes in the name of this host, if it is there.
    fn serve(&mut self, macros: &impl Macros) {
        if let Some(host) = get(macros, c"j") {
            self.host.push_str(&host);
            self.session.serve(&host);
        }
    }
}

impl Drop for Dialogue {
    /// A session that just ends, by a lost connection or a panic elsewhere,
    /// is not told to the callbacks.
    fn drop(&mut self) {
        let end = || {
            self.abandon();
            self.part();
        };
        if attempt(end).is_none() {
            self.shared.panicked();
        }
    }
}

impl Headers {
    fn clear(&mut self) {
        self.from.clear();
        self.message_id.clear();
        self.spam = None;
        self.report = None;
    }

    fn take(&mut self, name: &[u8], value: &[u8], params: &Params) {
        if name.eq_ignore_ascii_case(b"From") {
            self.from.add(value);
        } else if name.eq_ignore_ascii_case(b"Message-ID") && self.message_id.is_empty() {
            message_id(value, &mut self.message_id);
        } else if name.eq_ignore_ascii_case(b"Content-Type") {
            self.report = Some(self.report.is_none() && is_delivery_report(value));
        }
        if self.spam != Some(true) && params.spam_headers.wants(name) {
            self.spam = Some(params.spam_headers.matches(name, value));
        }
    }
}

/// The value of a macro; an empty one is none.
fn get<'a>(macros: &'a impl Macros, name: &CStr) -> Option<Cow<'a, str>> {
    macros.get(name).filter(|value| !value.is_empty()).map(CStr::to_string_lossy)
}

/// The common names of subject and issuer of a certificate that the MTA verified.
///
/// Postfix gives just these, and no other certificate. Sendmail gives the whole names
/// of any certificate that it was shown, says in `{verify}` what it thinks of it, and
/// has the common names, encoded, in macros of their own.
fn certificate(macros: &impl Macros) -> (Option<Cow<'_, str>>, Option<Cow<'_, str>>) {
    // Without a subject there is nobody whom an issuer vouches for.
    let Some(subject) = get(macros, c"{cert_subject}") else { return (None, None) };
    match get(macros, c"{verify}").as_deref() {
        None => (Some(subject), get(macros, c"{cert_issuer}")),
        Some("OK") => {
            let name = |macro_name| get(macros, macro_name).map(envelope::decoded);
            (name(c"{cn_subject}"), name(c"{cn_issuer}"))
        }
        Some(_) => (None, None),
    }
}

/// A text, unless it is empty.
fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Puts `value`, or nothing, into `kept`; says whether that changed it.
fn replace(kept: &mut String, value: Option<Cow<'_, str>>) -> bool {
    let value = value.as_deref().unwrap_or("");
    let changed = kept != value;
    if changed {
        kept.clear();
        kept.push_str(value);
    }
    changed
}
