//! A line of Postfix's log, understood: pure, no state, nothing allocated for
//! an ordinary line.
//!
//!   Nov 22 06:25:01 mx postfix/smtp[714]: 4f8k: to=<a@b.test>, relay=…, status=sent (250 ok)
//!   ^stamp          ^host ^tag             ^text -> Event
//!
//! [`parse`] takes a line as syslog or Postfix itself wrote it; the journal
//! gives tag and text apart, for [`Tag::parse`] and [`event`]. A line that says
//! nothing about mail is skipped with its reason ([`Skip`]): whoever reads a log
//! can tell how much of it was understood.

mod calendar;
mod delivery;
mod events;
mod judged;
mod provider;
mod quiet;
mod scan;
mod stamp;
mod tag;

pub use calendar::Calendar;
pub use provider::provider_name;
pub(crate) use scan::reply;
pub use stamp::Stamp;

use std::net::IpAddr;

/// A line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line<'a> {
    /// When it was logged.
    pub stamp: Stamp,
    /// The host that logged it, as syslog knows it.
    pub host: &'a str,
    /// Which service.
    pub tag: Tag<'a>,
    /// What it says.
    pub event: Event<'a>,
}

/// Which service of Postfix logged a line: `postfix/submission/smtpd[714]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tag<'a> {
    /// `syslog_name` of the instance and service: `postfix/submission`.
    pub syslog_name: &'a str,
    /// The program: `smtpd`.
    pub program: &'a str,
    /// Its process, 0 where it is not said.
    pub pid: u32,
}

/// The other side of an SMTP session, as `name[address]:port`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Peer<'a> {
    /// Its name; `unknown` where it has none, empty where there is nobody.
    pub name: &'a str,
    /// Its address; none for a socket of this host.
    pub address: Option<IpAddr>,
    /// Its port, where it is logged.
    pub port: Option<u16>,
}

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// smtpd: a client connected.
    Connected(Peer<'a>),
    /// smtpd: it is gone.
    Disconnected(Peer<'a>),
    /// smtpd: it showed a certificate (`smtpd_tls_loglevel` 2 or more). Whether
    /// that is trusted, the next [`Event::Encrypted`] of the same process says.
    Certificate(Certificate<'a>),
    /// smtpd: TLS is on (`smtpd_tls_loglevel` 1 or more).
    Encrypted {
        /// With whom.
        client: Peer<'a>,
        /// It showed a certificate that chains to a CA that Postfix trusts.
        trusted: bool,
    },
    /// smtpd: a transaction got its queue id, at its first accepted recipient.
    Accepted(Accepted<'a>),
    /// pickup: a message was submitted without SMTP.
    Submitted {
        /// Its queue id.
        queue_id: &'a str,
        /// User id of who did it.
        uid: u32,
        /// The envelope sender, as it was given.
        from: &'a str,
        /// The queue id that it had until an operator put it through the queue
        /// once more (`postsuper -r`).
        original: Option<&'a str>,
    },
    /// cleanup: the Message-ID, without brackets.
    MessageId {
        /// Queue id.
        queue_id: &'a str,
        /// The Message-ID.
        id: &'a str,
    },
    /// qmgr: a message is ready for delivery; logged again whenever it is taken
    /// up again.
    Queued {
        /// Queue id.
        queue_id: &'a str,
        /// The envelope sender after canonical maps; empty for `<>`.
        from: &'a str,
        /// Octets.
        size: u64,
        /// Recipients that are left, after aliases.
        nrcpt: u32,
    },
    /// smtp, lmtp, local, virtual, pipe, error, discard: a delivery was tried.
    Delivery(Attempt<'a>),
    /// qmgr: it was too long in the queue.
    Expired {
        /// Queue id.
        queue_id: &'a str,
    },
    /// qmgr: the queue file is gone, its id is free again.
    Removed {
        /// Queue id.
        queue_id: &'a str,
    },
    /// bounce: a report went back to the sender, as a message of its own.
    Reported {
        /// Queue id of the message that it is about.
        queue_id: &'a str,
        /// Queue id of the report.
        report: &'a str,
    },
    /// smtpd, cleanup: mail was refused, held, or only looked at.
    Verdict(Judged<'a>),
    /// cleanup: a header that a rule of header_checks logs.
    Header(Header<'a>),
}

/// A client's certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Certificate<'a> {
    /// Whose it is.
    pub client: Peer<'a>,
    /// CN of its subject.
    pub subject: &'a str,
    /// CN of its issuer.
    pub issuer: &'a str,
    /// Its fingerprint, as it is logged.
    pub fingerprint: &'a str,
}

/// A transaction that got its queue id.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Accepted<'a> {
    /// The queue id.
    pub queue_id: &'a str,
    /// Who sends it to this smtpd.
    pub client: Peer<'a>,
    /// SASL login.
    pub login: Option<&'a str>,
    /// Who had sent it before it went through a content filter (XFORWARD).
    pub original_client: Option<Peer<'a>>,
    /// Under which queue id (XFORWARD).
    pub original_queue_id: Option<&'a str>,
}

/// One attempt to deliver to one recipient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attempt<'a> {
    /// Queue id.
    pub queue_id: &'a str,
    /// The recipient as it is delivered to.
    pub to: &'a str,
    /// The recipient before aliases and canonical maps, where that differs.
    pub original_to: Option<&'a str>,
    /// Who took or refused it: a host, a program, a transport; none where nobody
    /// was reached.
    pub relay: Option<Peer<'a>>,
    /// Enhanced status code (RFC 3463).
    pub dsn: &'a str,
    /// What became of it.
    pub status: Status,
    /// Why, as logged in parentheses.
    pub text: &'a str,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// Delivered or handed over.
    Sent,
    /// To be tried again.
    Deferred,
    /// Given up.
    Bounced,
    /// Was too long in the queue.
    Expired,
    /// A probe (`sendmail -bv`, address verification): no mail.
    Probe,
}

/// What was decided of mail before it was in the queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Judged<'a> {
    /// Queue id, where the transaction had one (`NOQUEUE`).
    pub queue_id: Option<&'a str>,
    /// What was decided.
    pub verdict: Decision,
    /// Whether a milter decided.
    pub milter: bool,
    /// At which stage: `CONNECT`, `RCPT`, `END-OF-MESSAGE`, `header`, `body`…
    pub stage: &'a str,
    /// Whose mail it was.
    pub client: Peer<'a>,
    /// SMTP reply code, 0 where it is not logged.
    pub code: u16,
    /// Enhanced status code (RFC 3463), empty where it is not logged.
    pub dsn: &'a str,
    /// What else it says.
    pub text: &'a str,
    /// Envelope sender, where it is logged.
    pub from: Option<&'a str>,
    /// Recipient, where it is logged.
    pub to: Option<&'a str>,
    /// SASL login, where it is logged.
    pub login: Option<&'a str>,
}

/// What was decided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// Refused.
    Reject,
    /// Would be refused (`warn_if_reject`, `WARN`): nothing happened.
    Warn,
    /// Put into the hold queue.
    Hold,
    /// Taken and thrown away.
    Discard,
    /// Something else that lets it through: `redirect`, `filter`, `prepend`…
    Pass,
}

/// A header that was logged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header<'a> {
    /// Queue id.
    pub queue_id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its value, as Postfix logs it: cut at 200 octets, odd octets as `?`.
    pub value: &'a str,
    /// Whose message it is.
    pub client: Peer<'a>,
}

/// Why a line was skipped.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Skip {
    /// It is empty.
    Empty,
    /// It does not begin with a time that syslog or Postfix writes.
    NoTime,
    /// It was logged by another program.
    NotPostfix,
    /// It says nothing about a message: connections, statistics, TLS details.
    NoMail,
    /// A warning or an error of Postfix.
    Warning,
    /// It ends before it has said what it began to say.
    Cut,
    /// It begins like something else, and is understood by nobody here.
    Unknown,
}

impl Skip {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Empty,
        Self::NoTime,
        Self::NotPostfix,
        Self::NoMail,
        Self::Warning,
        Self::Cut,
        Self::Unknown,
    ];
}

/// A line as it stands in a file, without its line end.
///
/// # Errors
/// Why it says nothing about mail.
pub fn parse(line: &str) -> Result<Line<'_>, Skip> {
    if line.trim_ascii().is_empty() {
        return Err(Skip::Empty);
    }
    let (stamp, rest) = stamp::read(line).ok_or(Skip::NoTime)?;
    let (host, rest) = scan::word(rest).ok_or(Skip::NotPostfix)?;
    let (tag, text) = scan::word(rest).unwrap_or((rest, ""));
    // Without the colon it is no tag: `last message repeated 3 times`.
    let tag = tag.strip_suffix(':').and_then(Tag::parse).ok_or(Skip::NotPostfix)?;
    let event = event(tag.program, text)?;
    Ok(Line { stamp, host, tag, event })
}

/// The text of a line, without time, host and tag.
///
/// # Errors
/// As [`parse`].
pub fn event<'a>(program: &str, text: &'a str) -> Result<Event<'a>, Skip> {
    events::read(program, text)
}

#[cfg(test)]
mod tests;
