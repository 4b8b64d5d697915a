//! Who a session is: its identities, the key under which a connector is
//! counted, and the entities that can be restricted, with their text forms.
//!
//! Text forms, as typed and printed everywhere:
//! `connector:NAME`, `login:LOGIN`, `cert:SUBJECT/ISSUER`, `client:ADDRESS`
//! (IPv4) or `client:NETWORK` (IPv6 is folded to its /64), `local`, and
//! `overflow` for what no longer fitted. In names, logins and CNs every octet
//! outside printable ASCII, and `%`, `,` and `/`, is written `%XX`, so that a
//! text form is one word and can't disturb a terminal or a log line.
//!
//! A sender is `sender:ADDRESS,via=KEY`, `KEY` being the text form of the connector
//! through which it sends, and an organization `organization:NAME`. Their parts are
//! escaped in the same way (a `/` in an address is not).

mod digest;

pub use digest::{CertificateDigest, CertificateDigests, DigestError};

use crate::verdict::WordError;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

/// The common names of a client certificate that Postfix found trusted: with a public
/// CA bundle anybody can own a subject, so neither counts without the other.
///
/// One pointer to both: with one for each a [`ConnectorKey`] took 40 octets instead of
/// 24, and there is more than two places in a map for each of many connectors.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CertificateName(Arc<CommonNames>);

#[derive(Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct CommonNames {
    subject: Box<str>,
    issuer: Box<str>,
}

impl CertificateName {
    /// The name with these common names of subject and issuer.
    pub fn new(subject: &str, issuer: &str) -> Self {
        Self(Arc::new(CommonNames { subject: subject.into(), issuer: issuer.into() }))
    }

    /// Common name of the subject.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Common name of the issuer.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }
}

/// What a session has shown of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identities {
    /// Address of the client, IPv4-mapped IPv6 already as IPv4.
    pub client: Option<IpAddr>,
    /// SASL login as [`fold_login`] gives it.
    pub login: Option<Arc<str>>,
    /// Client certificate that chains to a CA that Postfix trusts.
    pub certificate: Option<CertificateName>,
    /// Fingerprints of its certificate, whoever issued that; only where something told
    /// them (see [`crate::handover`]). They prove which configured connector it is, and
    /// nothing else: anybody can make a certificate.
    pub digests: Option<Arc<CertificateDigests>>,
    /// Submitted on this host without SMTP.
    pub local: bool,
}

/// A login in the spelling in which it is compared: ASCII letters in lower
/// case, `realm` appended where the login has none.
pub fn fold_login(login: &str, realm: Option<&str>) -> Arc<str> {
    let mut folded = login.to_ascii_lowercase();
    if let (Some(realm), false) = (realm, login.contains('@')) {
        folded.push('@');
        folded.push_str(&realm.to_ascii_lowercase());
    }
    folded.into()
}

/// An address without the two ways of writing IPv4 in IPv6 (`::ffff:a.b.c.d`).
pub fn fold_address(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The network that stands for a client: an IPv4 /32, an IPv6 /64.
pub fn client_network(address: IpAddr) -> IpNet {
    match fold_address(address) {
        IpAddr::V4(address) => IpNet::V4(Ipv4Net::from(address)),
        IpAddr::V6(address) => network_v6(Ipv6Net::from(address), 64),
    }
}

/// The network into which a client folds when there are too many: /24, /48.
pub fn parent_network(network: IpNet) -> IpNet {
    match network {
        IpNet::V4(network) => {
            let prefix = network.prefix_len().min(24);
            IpNet::V4(Ipv4Net::new(network.network(), prefix).unwrap_or(network).trunc())
        }
        IpNet::V6(network) => network_v6(network, 48),
    }
}

fn network_v6(network: Ipv6Net, longest: u8) -> IpNet {
    let prefix = network.prefix_len().min(longest);
    IpNet::V6(Ipv6Net::new(network.network(), prefix).unwrap_or(network).trunc())
}

/// The key under which a connector is counted.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ConnectorKey {
    /// A `[[connector]]` of the configuration, by its name.
    Named(Arc<str>),
    /// A discovered login.
    Login(Arc<str>),
    /// A discovered client certificate.
    Certificate(CertificateName),
    /// A discovered client network, or the parent network of many.
    Client(IpNet),
    /// Submission on this host without SMTP.
    Local,
    /// All that no longer fitted under the cap; it warns and restricts nobody.
    Overflow,
}

/// What kind of client a connector is, which settles what is usual for it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// A person or a program with a login of its own: the networks that it
    /// comes from are part of who it is.
    Login,
    /// Many senders behind one client.
    Relay,
    /// Newsletters and other mailings to many.
    Bulk,
    /// A forwarder or list host: foreign senders are its trade.
    Forwarder,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Login => "login",
            Self::Relay => "relay",
            Self::Bulk => "bulk",
            Self::Forwarder => "forwarder",
        })
    }
}

impl FromStr for Profile {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "login" => Ok(Self::Login),
            "relay" => Ok(Self::Relay),
            "bulk" => Ok(Self::Bulk),
            "forwarder" => Ok(Self::Forwarder),
            _ => Err(WordError { found: text.into(), expected: "login, relay, bulk or forwarder" }),
        }
    }
}

/// What can be restricted.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Entity {
    /// A connector, by its key.
    Connector(ConnectorKey),
    /// One user behind a connector. The same address on another connector is
    /// another sender.
    Sender {
        /// The envelope sender as [`crate::sender::fold`] gives it.
        address: Arc<str>,
        /// The connector through which it sends.
        via: ConnectorKey,
    },
    /// An organization, by its name.
    Organization(Arc<str>),
}

impl Entity {
    /// The kind as JSON and the journal name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connector(_) => "connector",
            Self::Sender { .. } => "sender",
            Self::Organization(_) => "organization",
        }
    }

    /// The connector that this entity is, or sends through; nothing of an
    /// organization.
    pub fn connector(&self) -> Option<&ConnectorKey> {
        match self {
            Self::Connector(key) | Self::Sender { via: key, .. } => Some(key),
            Self::Organization(_) => None,
        }
    }

    /// At whose case an incident of this entity is kept: its connector, or the
    /// organization.
    pub fn root(&self) -> Self {
        match self {
            Self::Sender { via, .. } => Self::Connector(via.clone()),
            Self::Connector(_) | Self::Organization(_) => self.clone(),
        }
    }

    /// The same with another connector: that one, or the same sender there. An
    /// organization stays what it is.
    #[must_use]
    pub fn with_connector(&self, key: ConnectorKey) -> Self {
        match self {
            Self::Connector(_) => Self::Connector(key),
            Self::Sender { address, .. } => Self::Sender { address: Arc::clone(address), via: key },
            Self::Organization(_) => self.clone(),
        }
    }

    /// The connector that this entity is.
    pub fn as_connector(&self) -> Option<&ConnectorKey> {
        match self {
            Self::Connector(key) => Some(key),
            Self::Sender { .. } | Self::Organization(_) => None,
        }
    }
}

impl From<ConnectorKey> for Entity {
    fn from(key: ConnectorKey) -> Self {
        Self::Connector(key)
    }
}

impl fmt::Display for ConnectorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "connector:{}", Escaped::word(name)),
            Self::Login(login) => write!(f, "login:{}", Escaped::word(login)),
            Self::Certificate(name) => {
                write!(f, "cert:{}/{}", Escaped::word(name.subject()), Escaped::word(name.issuer()))
            }
            Self::Client(network) if network.prefix_len() == network.max_prefix_len() => {
                write!(f, "client:{}", network.addr())
            }
            Self::Client(network) => write!(f, "client:{network}"),
            Self::Local => f.write_str("local"),
            Self::Overflow => f.write_str("overflow"),
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connector(key) => key.fmt(f),
            Self::Sender { address, via } => {
                write!(f, "sender:{},via={via}", Escaped { text: address, slash: true })
            }
            Self::Organization(name) => write!(f, "organization:{}", Escaped::word(name)),
        }
    }
}

/// Writes text as one printable word: see the head of this module.
struct Escaped<'a> {
    text: &'a str,
    /// A slash may stay as it is.
    slash: bool,
}

impl<'a> Escaped<'a> {
    fn word(text: &'a str) -> Self {
        Self { text, slash: false }
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |byte: u8| {
            byte.is_ascii_graphic() && !matches!(byte, b'%' | b',' | b'/')
                || self.slash && byte == b'/'
        };
        for chunk in self.text.as_bytes().chunk_by(|a, b| is_plain(*a) == is_plain(*b)) {
            match std::str::from_utf8(chunk) {
                Ok(text) if text.bytes().all(is_plain) => f.write_str(text)?,
                _ => chunk.iter().try_for_each(|byte| write!(f, "%{byte:02X}"))?,
            }
        }
        Ok(())
    }
}

/// Why a text names no entity.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EntityError {
    /// The kind before the colon is none.
    #[error(
        "{0:?} names no entity: write connector:NAME, login:LOGIN, client:ADDRESS, cert:SUBJECT/ISSUER, local, sender:ADDRESS,via=CONNECTOR or organization:NAME"
    )]
    Kind(String),
    /// A sender without its connector.
    #[error(
        "{0:?} lacks the connector through which it sends: write sender:ADDRESS,via=CONNECTOR, as sender:bob@example.org,via=connector:erp"
    )]
    Sender(String),
    /// Not an address or network.
    #[error(
        "{0:?} is not a client: write client:192.0.2.7, client:2001:db8::/64 or client:192.0.2.0/24"
    )]
    Client(String),
    /// A network that is neither a client's nor a parent network.
    #[error(
        "{0:?} is no network that is counted: a client is an IPv4 address or an IPv6 /64, and networks of many clients are /24 and /48"
    )]
    Network(String),
    /// No slash between the two names.
    #[error("{0:?} is not a certificate: write cert:SUBJECT/ISSUER with both common names")]
    Certificate(String),
    /// A `%` that is not followed by two hexadecimal digits, or broken UTF-8.
    #[error("{0:?} has a broken %XX escape")]
    Escape(String),
    /// Nothing behind the colon.
    #[error("{0:?} has nothing behind its colon")]
    Empty(String),
}

impl FromStr for ConnectorKey {
    type Err = EntityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "local" => return Ok(Self::Local),
            "overflow" => return Ok(Self::Overflow),
            _ => {}
        }
        let (kind, rest) = text.split_once(':').ok_or_else(|| EntityError::Kind(text.into()))?;
        if rest.is_empty() {
            return Err(EntityError::Empty(text.into()));
        }
        match kind {
            "connector" => Ok(Self::Named(unescape(rest)?)),
            "login" => Ok(Self::Login(fold_login(&unescape(rest)?, None))),
            "client" => parse_client(rest).map(Self::Client),
            "cert" => {
                let (subject, issuer) =
                    rest.split_once('/').ok_or_else(|| EntityError::Certificate(text.into()))?;
                let (subject, issuer) = (unescape(subject)?, unescape(issuer)?);
                Ok(Self::Certificate(CertificateName::new(&subject, &issuer)))
            }
            _ => Err(EntityError::Kind(text.into())),
        }
    }
}

impl FromStr for Entity {
    type Err = EntityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(rest) = text.strip_prefix("sender:") {
            let (address, via) =
                rest.split_once(",via=").ok_or_else(|| EntityError::Sender(text.into()))?;
            if address.is_empty() {
                return Err(EntityError::Empty(text.into()));
            }
            return Ok(Self::Sender { address: unescape(address)?, via: via.parse()? });
        }
        match text.strip_prefix("organization:") {
            Some("") => Err(EntityError::Empty(text.into())),
            Some(name) => Ok(Self::Organization(unescape(name)?)),
            None => text.parse().map(Self::Connector),
        }
    }
}

/// Reads an address or network as the key of a client: an address is folded
/// to its client network, a network must be one that is counted.
fn parse_client(text: &str) -> Result<IpNet, EntityError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(client_network(address));
    }
    let network: IpNet = text.parse().map_err(|_| EntityError::Client(text.into()))?;
    let counted = match network {
        IpNet::V4(_) => matches!(network.prefix_len(), 24 | 32),
        IpNet::V6(_) => matches!(network.prefix_len(), 48 | 64),
    };
    if counted { Ok(network.trunc()) } else { Err(EntityError::Network(text.into())) }
}

fn unescape(text: &str) -> Result<Arc<str>, EntityError> {
    let error = || EntityError::Escape(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = char::from(rest.next()?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        let (high, low) = (digit().ok_or_else(error)?, digit().ok_or_else(error)?);
        bytes.push(high * 16 + low);
    }
    String::from_utf8(bytes).map(Arc::from).map_err(|_| error())
}

macro_rules! serde_as_text {
    ($name:ty) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::text::parsed(deserializer)
            }
        }
    };
}
serde_as_text!(ConnectorKey);
serde_as_text!(Entity);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use proptest::prelude::*;

    /// A million of them stand in maps of which half is empty.
    #[test]
    fn a_key_is_small() {
        assert_eq!(size_of::<ConnectorKey>(), 24);
    }

    #[test]
    fn text_forms() {
        for (typed, printed) in [
            ("connector:erp", "connector:erp"),
            ("login:Alice@Example.org", "login:alice@example.org"),
            ("client:192.0.2.7", "client:192.0.2.7"),
            ("client:::ffff:192.0.2.7", "client:192.0.2.7"),
            ("client:192.0.2.9/24", "client:192.0.2.0/24"),
            ("client:2001:db8::1", "client:2001:db8::/64"),
            ("client:2001:db8::/48", "client:2001:db8::/48"),
            ("cert:erp.example.org/Example%20CA", "cert:erp.example.org/Example%20CA"),
            ("cert:a%2Fb/c", "cert:a%2Fb/c"),
            ("local", "local"),
        ] {
            assert_eq!(typed.parse::<Entity>().unwrap().to_string(), printed, "{typed}");
        }
        for wrong in [
            "erp",
            "client:",
            "client:x",
            "client:10.0.0.0/8",
            "cert:erp",
            "login:a%zz",
            "user:x",
            "",
        ] {
            assert!(wrong.parse::<Entity>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn addresses_fold() {
        let network = |text: &str| client_network(text.parse().unwrap()).to_string();
        assert_eq!(network("::ffff:127.0.0.8"), "127.0.0.8/32");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        let parent = |text: &str| parent_network(text.parse().unwrap()).to_string();
        assert_eq!(parent("192.0.2.7/32"), "192.0.2.0/24");
        assert_eq!(parent("2001:db8:1:2::/64"), "2001:db8:1::/48");
    }

    #[test]
    fn logins_fold() {
        assert_eq!(&*fold_login("ALICE", Some("Example.org")), "alice@example.org");
        assert_eq!(&*fold_login("Alice@other", Some("example.org")), "alice@other");
        assert_eq!(&*fold_login("Bob", None), "bob");
    }

    proptest! {
        #[test]
        fn every_name_survives_its_text(name in ".{1,40}", issuer in ".{0,20}") {
            for key in [
                ConnectorKey::Named(name.as_str().into()),
                ConnectorKey::Login(fold_login(&name, None)),
                ConnectorKey::Certificate(CertificateName::new(&name, &issuer)),
            ] {
                let text = key.to_string();
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(text.parse::<ConnectorKey>().unwrap(), key);
            }
        }
    }
}
