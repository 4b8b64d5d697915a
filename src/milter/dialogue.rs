//! One session as the MTA tells it: from macros and arguments to the calls of
//! the engine. Buffers are kept from message to message.
//!
//! Identity is settled at HELO and MAIL: a certificate is known only after
//! STARTTLS, which a second HELO follows, and a login only after AUTH. An
//! empty macro is not sent, and the library keeps the macros of a stage until
//! it gets new ones; since one that is always defined is requested with each
//! stage, new ones always come, and a macro that is not among them is empty.
//!
//! The first transaction of a session that greets with a pass is an alert of
//! our own: the engine does not hear of it. The session is one as any other
//! before and after.

use super::{Params, envelope, envelope::Envelope, shared::Shared};
use crate::{
    connector::{CertificateName, Identities, fold_address, fold_login},
    engine::{Session, Transaction},
    header::{MAX_ADDRESSES, from_addresses, is_delivery_report, message_id},
    message::{Fate, Message, Recipient},
    verdict::Verdict,
};
use indymilter::{Macros, ProtoOpts, SocketInfo, Status};
use std::{
    borrow::Cow,
    ffi::{CStr, CString},
    net::IpAddr,
    sync::Arc,
};

/// See the head of this module.
pub(super) struct Dialogue {
    shared: Arc<Shared>,
    /// Stages that the MTA wants no reply to.
    silent: ProtoOpts,
    params: Arc<Params>,
    session: Session,
    shown: Shown,
    host: String,
    transaction: Option<Transaction>,
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
}

/// What matters of the headers of a message.
#[derive(Debug, Default)]
struct Headers {
    from: Vec<String>,
    message_id: Option<String>,
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
            pass: false,
            ours: false,
            envelope: Envelope::default(),
            headers: Headers::default(),
        }
    }

    /// Runs a step that needs no answer; gives the status for its stage, of
    /// which `noreply` is the option.
    pub(super) fn tell(&mut self, noreply: ProtoOpts, step: impl FnOnce(&mut Self)) -> Status {
        let shared = Arc::clone(&self.shared);
        // Nothing to answer: who is refused is refused at RCPT.
        let _ = shared.guard(|| step(self));
        if self.silent.contains(noreply) { Status::Noreply } else { Status::Continue }
    }

    /// Runs a step that has an answer; where it fails, a restricted entity
    /// stays refused and everybody else passes.
    pub(super) fn ask(&mut self, step: impl FnOnce(&mut Self) -> Verdict) -> Verdict {
        let shared = Arc::clone(&self.shared);
        if let Some(verdict) = shared.guard(|| step(self)) {
            return verdict;
        }
        if self.ours {
            return Verdict::Pass;
        }
        let fallback = || shared.engine.fallback(&self.session, shared.last_time());
        shared.guard(fallback).unwrap_or(Verdict::Pass)
    }

    pub(super) fn connect(&mut self, from: &SocketInfo, macros: &Macros) {
        self.abandon();
        self.params = self.shared.params.load_full();
        self.session = Session::default();
        self.pass = false;
        let address = get(macros, c"{daemon_addr}");
        let port = get(macros, c"{daemon_port}");
        let (address, port) = (address.as_deref(), port.as_deref());
        if envelope::is_one_of(&self.params.ignore_daemons, address, port) {
            self.session.ignore();
        }
        self.shown = Shown {
            client: match from {
                SocketInfo::Inet(address) => Some(fold_address(address.ip())),
                SocketInfo::Unix(_) => None,
                SocketInfo::Unknown => {
                    get(macros, c"{client_addr}").and_then(|text| envelope::ip(&text))
                }
            },
            // So says Postfix of mail that came without SMTP.
            local: port == Some("0"),
            ..Shown::default()
        };
        self.identify();
    }

    pub(super) fn helo(&mut self, name: &CStr, macros: &Macros) {
        let name = name.to_string_lossy();
        // A second greeting, after STARTTLS, takes nothing back.
        self.pass |= self.shared.engine.passes().redeem(&name, self.shared.now_or_last());
        self.session.greet(&name);
        self.settle(macros);
    }

    pub(super) fn mail(&mut self, arguments: &[CString], macros: &Macros) {
        self.abandon();
        self.settle(macros);
        self.headers.clear();
        self.envelope.mail(arguments, get(macros, c"{mail_addr}").as_deref());
        if let Some(host) = get(macros, c"j") {
            self.host.clear();
            self.host.push_str(&host);
            self.session.serve(&host);
        }
        self.ours = std::mem::take(&mut self.pass);
        if self.ours {
            return;
        }
        self.transaction =
            Some(self.shared.engine.begin(&mut self.session, &self.envelope.sender()));
    }

    pub(super) fn rcpt(&mut self, arguments: &[CString], macros: &Macros) -> Verdict {
        if self.ours {
            return Verdict::Pass;
        }
        let mailer = get(macros, c"{rcpt_mailer}");
        let host = get(macros, c"{rcpt_host}");
        let resolved = get(macros, c"{rcpt_addr}");
        let argument = envelope::text(arguments.first());
        let fate = envelope::fate(mailer.as_deref(), host.as_deref());
        let recipient = Recipient {
            address: match fate {
                Fate::Accepted => envelope::recipient(resolved.as_deref(), &argument),
                // There the macro holds the text of the refusal.
                _ => envelope::recipient(None, &argument),
            },
            transport: mailer.as_deref(),
            fate,
        };
        let now = self.shared.now();
        let engine = &self.shared.engine;
        // There is one unless MAIL never came or failed.
        let mut transaction = match self.transaction.take() {
            Some(transaction) => transaction,
            None => engine.begin(&mut self.session, &self.envelope.sender()),
        };
        let verdict = engine.at_recipient(&mut self.session, &mut transaction, &recipient, now);
        self.transaction = Some(transaction);
        verdict
    }

    pub(super) fn header(&mut self, name: &CStr, value: &CStr) {
        self.headers.take(name.to_bytes(), value.to_bytes(), &self.params);
    }

    pub(super) fn end(&mut self, macros: &Macros) -> Verdict {
        self.ours = false;
        let Some(transaction) = self.transaction.take() else {
            return Verdict::Pass;
        };
        let queue_id = get(macros, c"i");
        let message = Message {
            sender: self.envelope.sender(),
            queue_id: queue_id.as_deref(),
            message_id: self.headers.message_id.as_deref(),
            from: &self.headers.from,
            spam: self.headers.spam,
            report: self.headers.report == Some(true),
            size: self.envelope.size,
            host: Some(self.host.as_str()).filter(|host| !host.is_empty()),
        };
        let now = self.shared.now();
        self.shared.engine.at_end(&mut self.session, transaction, &message, now)
    }

    /// The transaction, if there is one, never reaches its end. (ABORT also
    /// follows messages that did: then there is none.)
    pub(super) fn abandon(&mut self) {
        self.ours = false;
        if let Some(transaction) = self.transaction.take() {
            let now = self.shared.last_time();
            self.shared.engine.at_abandon(&self.session, &transaction, now);
        }
    }

    /// Takes in a login and a certificate, and tells the engine if something
    /// changed, or may have been read differently by a reload.
    fn settle(&mut self, macros: &Macros) {
        let reloaded = {
            let current = self.shared.params.load();
            let reloaded = !Arc::ptr_eq(&current, &self.params);
            if reloaded {
                self.params = Arc::clone(&current);
            }
            reloaded
        };
        let shown = &mut self.shown;
        let changed = [
            replace(&mut shown.login, get(macros, c"{auth_authen}")),
            replace(&mut shown.subject, get(macros, c"{cert_subject}")),
            replace(&mut shown.issuer, get(macros, c"{cert_issuer}")),
        ];
        if reloaded || changed.contains(&true) {
            self.identify();
        }
    }

    fn identify(&mut self) {
        let shown = &self.shown;
        let given = |text: &str| !text.is_empty();
        let realm = self.params.login_realm.as_deref();
        self.session.identify(Identities {
            client: shown.client,
            login: given(&shown.login).then(|| fold_login(&shown.login, realm)),
            // Without its issuer a subject proves nothing.
            certificate: (given(&shown.subject) && given(&shown.issuer)).then(|| CertificateName {
                subject: shown.subject.as_str().into(),
                issuer: shown.issuer.as_str().into(),
            }),
            local: shown.local,
        });
    }
}

impl Drop for Dialogue {
    /// A session that just ends, by a lost connection or a panic elsewhere,
    /// is not told to the callbacks.
    fn drop(&mut self) {
        let shared = Arc::clone(&self.shared);
        let _ = shared.guard(|| self.abandon());
    }
}

impl Headers {
    fn clear(&mut self) {
        self.from.clear();
        self.message_id = None;
        self.spam = None;
        self.report = None;
    }

    fn take(&mut self, name: &[u8], value: &[u8], params: &Params) {
        if name.eq_ignore_ascii_case(b"From") {
            let room = MAX_ADDRESSES.saturating_sub(self.from.len());
            let found = from_addresses(value);
            let addresses = found.addresses().iter().take(room);
            self.from.extend(addresses.map(|address| address.as_str().to_owned()));
        } else if name.eq_ignore_ascii_case(b"Message-ID") && self.message_id.is_none() {
            self.message_id = message_id(value);
        } else if name.eq_ignore_ascii_case(b"Content-Type") {
            self.report = Some(self.report.is_none() && is_delivery_report(value));
        }
        if self.spam != Some(true) && params.spam_headers.wants(name) {
            self.spam = Some(params.spam_headers.matches(name, value));
        }
    }
}

/// The value of a macro; an empty one is none.
fn get<'a>(macros: &'a Macros, name: &CStr) -> Option<Cow<'a, str>> {
    macros.get(name).filter(|value| !value.is_empty()).map(CStr::to_string_lossy)
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
