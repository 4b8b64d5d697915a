//! From what a session has shown of itself to the connector it is.
//!
//! **Counted under one key.** Without relay rights (a login, a trusted
//! certificate, an address in the relay networks, or a key of a configured
//! connector) a session is no connector. Otherwise a configured connector
//! that matches by login, else by a fingerprint of its certificate, else by the
//! certificate's names, else by the longest client prefix, beats a discovered
//! one; a discovered one is counted under its login, else its certificate, else
//! its client network. A fingerprint that no connector names says nothing.
//!
//! **Enforced on every identity.** A restriction of any entity that one of the
//! session's identities belongs to is met by the session: leaving out a login
//! or certificate, or adding one, does not help. Two exceptions, for those who
//! only share an address with somebody: an address does not bind a session that
//! proves by login or certificate which configured connector it is, because
//! clients behind one address are told apart by just that; and a parent network
//! (/24, /48) binds only sessions that are nothing but an address of it, or of
//! the connector that names just this network.
//!
//! **Trust** by address covers only sessions without login and certificate. An
//! exemption keeps from being judged; it lifts no restriction that is in force,
//! of whatever identity. Only who is trusted by the configuration meets none.

use crate::{
    connector::{
        CertificateDigest, CertificateName, ConnectorKey, Entity, Identities, Profile,
        client_network, parent_network,
    },
    domain::DomainSet,
    record::Restriction,
    verdict::{Action, Mode, Throttle},
};
use foldhash::fast::RandomState;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use smallvec::{SmallVec, smallvec};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// By names of the configuration, so a quick hash will do.
type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
type HashSet<K> = std::collections::HashSet<K, RandomState>;

/// Into so many keys a network of a connector is taken apart at the most.
pub const MAX_PARTS: u32 = 32;

/// Hard limits of a connector, besides the judgement.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// Relayed messages in any hour.
    pub messages_per_hour: Option<u32>,
    /// Relayed recipients in any hour.
    pub recipients_per_hour: Option<u32>,
}

/// What an operator declared to be usual: the reference for volume, as if it
/// had been the busiest hour so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usual {
    /// Relayed messages in the busiest hour.
    pub messages_per_hour: Option<u32>,
    /// Relayed recipients in the busiest hour.
    pub recipients_per_hour: Option<u32>,
}

/// What holds for the mail of a connector.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Terms {
    /// The organization that it belongs to.
    pub organization: Arc<str>,
    /// Sender domains that are its own or its organization's.
    pub registered: DomainSet,
    /// Observe or enforce.
    pub mode: Mode,
    /// What a restriction does.
    pub action: Action,
    /// After how long a tempfail turns into a reject, if it does.
    pub reject_after: Option<Duration>,
    /// Hard limits.
    pub limits: Limits,
    /// What kind of client it is; by its key where nobody said.
    pub profile: Option<Profile>,
    /// What is usual, where somebody said.
    pub usual: Usual,
    /// What its mail meets while it is suspicious; by its profile where nobody
    /// said.
    pub throttle: Option<Throttle>,
}

impl Terms {
    /// What kind of client `key` is under these terms.
    pub fn profile(&self, key: &ConnectorKey) -> Profile {
        self.profile.unwrap_or(match key {
            ConnectorKey::Login(_) => Profile::Login,
            _ => Profile::Relay,
        })
    }

    /// What mail of `key` meets while it is suspicious. Who has no queue of its
    /// own, as mail programs and programs on this host, is held: a tempfail
    /// would lose its mail.
    pub fn throttle(&self, key: &ConnectorKey) -> Throttle {
        self.throttle.unwrap_or(match (key, self.profile(key)) {
            (ConnectorKey::Local, _) | (_, Profile::Login) => Throttle::Hold,
            _ => Throttle::Tempfail,
        })
    }
}

/// A `[[connector]]` of the configuration.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Named {
    /// Its name.
    pub name: Arc<str>,
    /// Its addresses.
    pub clients: Vec<IpNet>,
    /// Its certificate.
    pub certificate: Option<CertificateName>,
    /// Fingerprints of its certificates, or of their public keys.
    pub digests: Vec<CertificateDigest>,
    /// Its logins, folded.
    pub logins: Vec<Arc<str>>,
    /// What holds for its mail.
    pub terms: Arc<Terms>,
}

impl Named {
    /// Its keys as entities of their own, and the networks that can't be:
    /// clients are counted by address (IPv6: /64) and by /24 and /48, so a
    /// network of another size is as many of those as it takes, up to
    /// [`MAX_PARTS`].
    pub fn keys(&self) -> (Vec<Entity>, Vec<IpNet>) {
        let logins = self.logins.iter().cloned().map(ConnectorKey::Login);
        let certificates = self.certificate.iter().cloned().map(ConnectorKey::Certificate);
        let mut keys: Vec<Entity> = logins.chain(certificates).map(Entity::from).collect();
        let mut others = Vec::new();
        for network in &self.clients {
            match parts(*network) {
                Some(parts) => keys.extend(parts.map(|part| ConnectorKey::Client(part).into())),
                None => others.push(*network),
            }
        }
        (keys, others)
    }
}

/// The counted networks that make up `network`, if they are not too many.
fn parts(network: IpNet) -> Option<Box<dyn Iterator<Item = IpNet>>> {
    let prefix = network.prefix_len();
    let size = match network {
        IpNet::V4(_) if prefix <= 24 => 24,
        IpNet::V4(_) => 32,
        IpNet::V6(_) if prefix <= 48 => 48,
        IpNet::V6(_) if prefix <= 64 => 64,
        IpNet::V6(_) => return Some(Box::new(std::iter::once(client_network(network.addr())))),
    };
    if size - prefix > MAX_PARTS.ilog2().try_into().ok()? {
        return None;
    }
    let parts = network.trunc().subnets(size).ok()?;
    Some(Box::new(parts))
}

/// What a directory is built from. The configuration sees to it that no key
/// belongs to two connectors.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// Configured connectors.
    pub connectors: Vec<Named>,
    /// What holds for discovered ones.
    pub discovered: Arc<Terms>,
    /// Who may relay without login or certificate.
    pub relay_networks: Vec<IpNet>,
    /// Clients that are never judged.
    pub trusted_clients: Vec<IpNet>,
    /// Logins that are never judged, folded.
    pub trusted_logins: Vec<Arc<str>>,
    /// Whether clients without a `[[connector]]` become connectors.
    pub discover: bool,
}

/// Networks with a value for each.
#[derive(Clone, Debug, Default)]
struct Networks<T> {
    v4: PrefixMap<Ipv4Net, T>,
    v6: PrefixMap<Ipv6Net, T>,
}

impl<T> Networks<T> {
    fn insert(&mut self, network: IpNet, value: T) {
        match network {
            IpNet::V4(network) => drop(self.v4.insert(network.trunc(), value)),
            IpNet::V6(network) => drop(self.v6.insert(network.trunc(), value)),
        }
    }

    /// The value of the longest prefix that contains all of `network`.
    fn get(&self, network: IpNet) -> Option<&T> {
        match network {
            IpNet::V4(network) => self.v4.get_lpm(&network).map(|(_, value)| value),
            IpNet::V6(network) => self.v6.get_lpm(&network).map(|(_, value)| value),
        }
    }

    fn of(entries: impl IntoIterator<Item = (IpNet, T)>) -> Self
    where
        T: Default,
    {
        let mut networks = Self { v4: PrefixMap::new(), v6: PrefixMap::new() };
        for (network, value) in entries {
            networks.insert(network, value);
        }
        networks
    }
}

/// Entities of a session, which stand in place unless it shows a login or a certificate
/// and is a configured connector too. (Vectors took 600 of the 5,300 instructions that a
/// session costs beside its message.)
pub type Entities = SmallVec<[Entity; 3]>;

/// Who a session is, and whose restrictions it meets.
#[derive(Clone, Debug, Default)]
pub struct Resolution {
    /// The key under which it is counted; nothing for a session that is no
    /// connector.
    pub counted: Option<ConnectorKey>,
    /// Entities whose exemption covers it: the counted one, the key that it
    /// would be counted under if nothing were configured, and for a session
    /// without login and certificate the network of its client.
    pub exempting: Entities,
    /// Entities whose restrictions it meets, the counted one first.
    pub enforced: Entities,
    /// Never judged and never restricted.
    pub trusted: bool,
    /// What holds for its mail.
    pub terms: Arc<Terms>,
}

/// The connectors of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    params: Params,
    local: Arc<Terms>,
    names: HashMap<Arc<str>, usize>,
    logins: HashMap<Arc<str>, usize>,
    certificates: HashMap<CertificateName, usize>,
    digests: HashMap<CertificateDigest, usize>,
    clients: Networks<usize>,
    relay: Networks<()>,
    trusted: Networks<()>,
    trusted_logins: HashSet<Arc<str>>,
}

impl Directory {
    /// Builds the directory.
    pub fn new(params: Params) -> Self {
        // Mail submitted on this host has no client that could try again: a
        // tempfail would leave it in maildrop for ever.
        let local = Terms { action: Action::Hold, ..Terms::clone(&params.discovered) };
        let plain =
            |networks: &[IpNet]| Networks::of(networks.iter().map(|network| (*network, ())));
        let mut directory = Self {
            local: Arc::new(local),
            relay: plain(&params.relay_networks),
            trusted: plain(&params.trusted_clients),
            trusted_logins: params.trusted_logins.iter().cloned().collect(),
            ..Self::default()
        };
        for (at, named) in params.connectors.iter().enumerate() {
            directory.names.insert(Arc::clone(&named.name), at);
            for login in &named.logins {
                directory.logins.insert(Arc::clone(login), at);
            }
            if let Some(certificate) = &named.certificate {
                directory.certificates.insert(certificate.clone(), at);
            }
            for digest in &named.digests {
                directory.digests.insert(digest.clone(), at);
            }
            for network in &named.clients {
                directory.clients.insert(*network, at);
            }
        }
        directory.params = params;
        directory
    }

    /// Who a session with these identities is.
    pub fn resolve(&self, identities: &Identities) -> Resolution {
        if identities.local {
            return self.known(ConnectorKey::Local, &self.local);
        }
        let client = identities.client.map(host);
        let login = identities.login.as_ref();
        let certificate = identities.certificate.as_ref();

        let by_login = login.and_then(|login| self.logins.get(login));
        let by_certificate = certificate.and_then(|name| self.certificates.get(name));
        let mut digests = identities.digests.iter().flat_map(|digests| digests.iter());
        let by_digest = digests.find_map(|digest| self.digests.get(digest));
        let by_client = client.and_then(|client| self.clients.get(client));
        let proven = by_login.or(by_digest).or(by_certificate);
        let bare = login.is_none() && certificate.is_none() && by_digest.is_none();
        let trusted = login.is_some_and(|login| self.trusted_logins.contains(login))
            || bare && client.is_some_and(|client| self.trusted.get(client).is_some());
        let named = proven.or(by_client).and_then(|at| self.params.connectors.get(*at));

        let network = identities.client.map(client_network);
        let own = if let Some(login) = login {
            Some(ConnectorKey::Login(Arc::clone(login)))
        } else if let Some(certificate) = certificate {
            Some(ConnectorKey::Certificate(certificate.clone()))
        } else {
            network.map(ConnectorKey::Client)
        };
        let may_relay = !bare || client.is_some_and(|client| self.relay.get(client).is_some());
        let (counted, terms) = match named {
            Some(named) => (Some(ConnectorKey::Named(Arc::clone(&named.name))), &named.terms),
            None => {
                (own.clone().filter(|_| may_relay && self.params.discover), &self.params.discovered)
            }
        };

        let mut enforced: Entities = counted.iter().cloned().map(Entity::from).collect();
        let mut add = |key: ConnectorKey| {
            let entity = Entity::from(key);
            if !enforced.contains(&entity) {
                enforced.push(entity);
            }
        };
        for at in by_login.into_iter().chain(by_digest).chain(by_certificate) {
            add(self.named_key(*at));
        }
        if let (Some(at), None) = (by_client, proven) {
            add(self.named_key(*at));
        }
        if let Some(login) = login {
            add(ConnectorKey::Login(Arc::clone(login)));
        }
        if let Some(certificate) = certificate {
            add(ConnectorKey::Certificate(certificate.clone()));
        }
        // Its address, unless it proves to be a connector to which that does not
        // belong.
        if let Some(network) = network.filter(|_| proven.is_none() || proven == by_client) {
            add(ConnectorKey::Client(network));
            let parent = ConnectorKey::Client(parent_network(network));
            let names_parent = || counted.as_ref() == Some(&self.heir(&parent));
            if bare && (named.is_none() || names_parent()) {
                add(parent);
            }
        }
        let parent = network.filter(|_| bare).map(parent_network).map(ConnectorKey::Client);
        let own = own.filter(|own| counted.as_ref() != Some(own));
        let exempting =
            counted.iter().cloned().chain(own).chain(parent).map(Entity::from).collect();
        Resolution { counted, exempting, enforced, trusted, terms: Arc::clone(terms) }
    }

    /// The configured connector of this name.
    pub fn named(&self, name: &str) -> Option<&Named> {
        self.names.get(name).and_then(|at| self.params.connectors.get(*at))
    }

    /// All configured connectors.
    pub fn connectors(&self) -> &[Named] {
        &self.params.connectors
    }

    /// What holds for the mail of `key`: the terms of the connector that a
    /// session with just this key is.
    pub fn terms(&self, key: &ConnectorKey) -> &Arc<Terms> {
        match &self.current(key) {
            ConnectorKey::Named(name) => {
                self.named(name).map_or(&self.params.discovered, |named| &named.terms)
            }
            ConnectorKey::Local => &self.local,
            _ => &self.params.discovered,
        }
    }

    /// What holds for an entity: for a sender what holds for its connector, for an
    /// organization what holds for discovered connectors.
    pub fn terms_of(&self, entity: &Entity) -> &Arc<Terms> {
        entity.connector().map_or(&self.params.discovered, |key| self.terms(key))
    }

    /// Whether some connector belongs to the organization of this name.
    pub fn has_organization(&self, name: &str) -> bool {
        self.all_terms().any(|terms| *terms.organization == *name)
    }

    /// The organizations that connectors belong to, each once.
    pub fn organizations(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> =
            self.all_terms().map(|terms| Arc::clone(&terms.organization)).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Whether domains are registered for some connector of this organization.
    pub fn registers_for(&self, name: &str) -> bool {
        self.all_terms().any(|terms| *terms.organization == *name && !terms.registered.is_empty())
    }

    /// Whether a restriction refuses or holds mail: it is no mark, and whom it
    /// restricts is not in observe mode.
    pub fn refuses(&self, restriction: &Restriction) -> bool {
        !restriction.mark && self.terms_of(&restriction.entity).mode == Mode::Enforce
    }

    /// Who inherits what was held for `key`: the connector that names just this
    /// key, else `key` itself. One that names a wider network inherits nothing:
    /// what one address did must not fall back on all of them.
    pub fn heir(&self, key: &ConnectorKey) -> ConnectorKey {
        let owner = self.current(key);
        let (ConnectorKey::Client(network), ConnectorKey::Named(name)) = (key, &owner) else {
            return owner;
        };
        let is_key = |named: &IpNet| {
            let host = named.prefix_len() == named.max_prefix_len();
            let counted = if host { client_network(named.addr()) } else { named.trunc() };
            counted == *network
        };
        let listed = self.named(name).is_some_and(|named| named.clients.iter().any(is_key));
        if listed { owner } else { key.clone() }
    }

    /// Whether the configuration trusts who shows just this key.
    pub fn trusts(&self, key: &ConnectorKey) -> bool {
        match key {
            ConnectorKey::Login(login) => self.trusted_logins.contains(login),
            ConnectorKey::Client(network) => self.trusted.get(*network).is_some(),
            _ => false,
        }
    }

    /// The connector that a session with just this key is, else `key` itself.
    pub fn current(&self, key: &ConnectorKey) -> ConnectorKey {
        let at = match key {
            ConnectorKey::Login(login) => self.logins.get(login),
            ConnectorKey::Certificate(name) => self.certificates.get(name),
            ConnectorKey::Client(network) => self.clients.get(*network),
            _ => None,
        };
        at.map_or_else(|| key.clone(), |at| self.named_key(*at))
    }

    fn all_terms(&self) -> impl Iterator<Item = &Arc<Terms>> {
        let named = self.params.connectors.iter().map(|named| &named.terms);
        std::iter::once(&self.params.discovered).chain(named)
    }

    fn known(&self, key: ConnectorKey, terms: &Arc<Terms>) -> Resolution {
        Resolution {
            enforced: smallvec![key.clone().into()],
            exempting: smallvec![key.clone().into()],
            counted: Some(key).filter(|_| self.params.discover),
            trusted: false,
            terms: Arc::clone(terms),
        }
    }

    fn named_key(&self, at: usize) -> ConnectorKey {
        match self.params.connectors.get(at) {
            Some(named) => ConnectorKey::Named(Arc::clone(&named.name)),
            None => ConnectorKey::Overflow,
        }
    }
}

fn host(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

#[cfg(test)]
mod tests;
