//! What the engine is told by the configuration. A reload replaces the whole
//! of it at once; sessions notice at their next command.

use crate::{
    connector::ConnectorKey,
    directory::{Directory, Params},
    domain::{self, DomainSet},
    message::{Direction, Recipient},
    model::Model,
    record::CaseId,
    verdict::{Mode, Scope},
};
use std::{collections::HashSet, time::Duration};

/// Limits of what goes to the hold queue for one restricted entity.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HoldLimit {
    /// Messages.
    pub messages: u64,
    /// Octets, as the clients declare them (RFC 1870).
    pub bytes: u64,
}

impl Default for HoldLimit {
    fn default() -> Self {
        Self { messages: 1000, bytes: 200_000_000 }
    }
}

/// The text of a refusal, in which `{case}` stands for the case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReplyText(String);

/// Why a text can't be a reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReplyTextError {
    /// A reply line can't carry it.
    #[error("has characters outside printable ASCII: a reply to SMTP can't carry them")]
    NotAscii,
    /// Too long for a reply line with its codes.
    #[error("is longer than 200 octets")]
    TooLong,
    /// The client could not name its case.
    #[error("lacks {{case}}, by which the administrator finds the reason")]
    NoCase,
}

impl ReplyText {
    /// Checks a text.
    pub fn new(text: &str) -> Result<Self, ReplyTextError> {
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(ReplyTextError::NotAscii);
        }
        if text.len() > 200 {
            return Err(ReplyTextError::TooLong);
        }
        if !text.contains("{case}") {
            return Err(ReplyTextError::NoCase);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text for one case.
    pub fn of(&self, case: CaseId) -> String {
        self.0.replace("{case}", &case.to_string())
    }
}

impl Default for ReplyText {
    fn default() -> Self {
        Self("Relaying is suspended, case {case}: contact your postmaster".into())
    }
}

/// `[restriction]`, as far as it is the same for all connectors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RestrictionTerms {
    /// Which recipients are refused.
    pub scope: Scope,
    /// Limits of `hold`.
    pub hold_limit: HoldLimit,
    /// When a restriction ends by itself, if it does.
    pub expire_after: Option<Duration>,
    /// Length of the grace after an unblock.
    pub grace: Duration,
    /// What a refused client is told.
    pub reply: ReplyText,
}

impl Default for RestrictionTerms {
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            hold_limit: HoldLimit::default(),
            expire_after: None,
            grace: Duration::from_secs(24 * 3600),
            reply: ReplyText::default(),
        }
    }
}

/// Where recipients are: a recipient is inbound if its domain is one of this
/// site's, or its transport delivers on this host. The name of a transport
/// that goes elsewhere proves nothing.
#[derive(Clone, Debug, Default)]
pub struct Directions {
    /// Domains that this site receives mail for.
    pub inbound_domains: DomainSet,
    /// Transports that deliver on this host.
    pub local_transports: HashSet<Box<str>>,
}

impl Directions {
    /// Where a recipient is. One without a domain is on this host.
    pub fn of(&self, recipient: &Recipient<'_>) -> Direction {
        self.of_folded(recipient, domain::fold(recipient.domain()).as_deref())
    }

    /// The same with the domain as [`domain::fold`] gives it.
    pub(super) fn of_folded(&self, recipient: &Recipient<'_>, folded: Option<&str>) -> Direction {
        let local =
            recipient.transport.is_some_and(|transport| self.local_transports.contains(transport));
        let inbound = || match folded {
            Some(domain) => self.inbound_domains.contains_folded(domain),
            None => recipient.domain().is_empty(),
        };
        if local || inbound() { Direction::Inbound } else { Direction::Relayed }
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Connectors.
    pub directory: Directory,
    /// Directions of recipients.
    pub directions: Directions,
    /// Restrictions.
    pub restriction: RestrictionTerms,
    /// Whether suspicious connectors are slowed down at all.
    pub throttle: bool,
    /// The constants of the judgement.
    pub model: Model,
}

impl Settings {
    /// Observe or enforce, where no connector has a mode of its own.
    pub fn mode(&self) -> Mode {
        self.directory.terms(&ConnectorKey::Overflow).mode
    }

    /// Settings with this directory and defaults elsewhere.
    pub fn with_directory(params: Params) -> Self {
        Self { directory: Directory::new(params), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::message::Fate;

    #[test]
    fn the_transport_smtp_proves_nothing() {
        let mut directions = Directions::default();
        directions.inbound_domains.insert("example.org").unwrap();
        directions.local_transports.insert("virtual".into());
        let of = |address, transport| {
            directions.of(&Recipient { address, transport, fate: Fate::Accepted })
        };
        assert_eq!(of("u@Example.ORG", Some("smtp")), Direction::Inbound);
        assert_eq!(of("u@example.net", Some("virtual")), Direction::Inbound);
        assert_eq!(of("u@example.net", Some("slow")), Direction::Relayed);
        assert_eq!(of("u@example.net", None), Direction::Relayed);
        assert_eq!(of("u", None), Direction::Inbound);
    }

    #[test]
    fn a_reply_text_is_checked() {
        assert_eq!(ReplyText::new("case {case}").unwrap().of(CaseId(7)), "case C-000007");
        assert_eq!(ReplyText::new("größe {case}"), Err(ReplyTextError::NotAscii));
        assert_eq!(ReplyText::new("no"), Err(ReplyTextError::NoCase));
        assert_eq!(ReplyText::new(&"{case}".repeat(40)), Err(ReplyTextError::TooLong));
    }
}
