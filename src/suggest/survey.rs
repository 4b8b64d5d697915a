//! What old logs tell of each identity that relays: counts, in bounded memory.
//!
//! An identity is what the engine would count a client under if nothing were
//! configured: its login, else its certificate, else its address (IPv6: /64),
//! or `local`. It is counted from its first relayed recipient on.
//!
//! A recipient is *inbound* if its domain is one of the known inbound ones
//! (Postfix's), or if mail to it is delivered on this host: by `local`,
//! `virtual`, `lmtp`, or a pipe that is known to serve mailboxes. Any other pipe
//! may be a content filter, through which all mail goes, and says nothing. A
//! recipient whose delivery the log has not shown counts as relayed only if its
//! domain did before, or if the inbound domains are known.
//!
//! Bounds: [`MOST_IDENTITIES`] (when a quarter more are held, those with the
//! fewest messages go), [`MOST_DOMAINS`] domains of recipients, and fixed small
//! tables in each identity.

use super::figures::{Figures, Seen};
use crate::{
    connector::{ConnectorKey, client_network, parent_network},
    domain::{self, DomainSet},
    message::Outcome,
    replay::{Abandoned, Answer, End, Mail, Sink, Who},
    timestamp::Timestamp,
};
use ipnet::IpNet;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

/// Identities that are held: those with the most messages.
pub(super) const MOST_IDENTITIES: usize = 20_000;
/// Domains of recipients that are held.
const MOST_DOMAINS: usize = 100_000;
/// Networks of strangers that wrote to a domain that are told apart.
const MOST_STRANGERS: usize = 16;
/// Refusals that are remembered, so that a recipient is refused only once.
const MOST_REFUSALS: usize = 100_000;
/// Hosts and pipes that are remembered by name, domains of a pipe.
const MOST_NAMES: usize = 64;
const MOST_EXAMPLES: usize = 4;
/// Pipes that serve mailboxes, by how their names begin.
const MAILBOX_PIPES: [&str; 6] = ["dovecot", "cyrus", "maildrop", "procmail", "vmail", "mailman"];

/// What is known before a log is read.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What this site receives mail for; empty where nobody said.
    pub inbound: DomainSet,
    /// Who may relay; empty where nobody said.
    pub networks: Vec<IpNet>,
}

/// What logs tell. Feed it as a [`Sink`].
#[derive(Debug)]
pub struct Survey {
    known: Known,
    hasher: RandomState,
    most: usize,
    pub(super) identities: HashMap<ConnectorKey, Figures>,
    /// Identities that had no room, and their messages.
    pub(super) left_out: (u64, u64),
    pub(super) targets: HashMap<Box<str>, Target>,
    /// Pipes by name: messages, and domains that they delivered to.
    pub(super) pipes: BTreeMap<Arc<str>, (u64, BTreeSet<Box<str>>)>,
    /// Who logged.
    pub(super) hosts: BTreeSet<Arc<str>>,
    /// When the first and the last message came.
    pub(super) span: Option<(Timestamp, Timestamp)>,
    /// All messages, those without relayed recipients too.
    pub(super) messages: u64,
    refusals: [HashSet<u64>; 2],
}

/// A domain that mail went to.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    /// Recipients that this host delivered to.
    pub(super) local: u64,
    /// Recipients that went elsewhere.
    pub(super) relayed: u64,
    /// Hashes of the networks of clients without login or certificate, outside
    /// of the known relay networks, that wrote to it.
    pub(super) strangers: Vec<u64>,
}

/// Where a recipient's mail goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    /// To this site; whether this host delivered it itself.
    Inbound {
        here: bool,
    },
    Relayed,
    Unclear,
}

impl Survey {
    /// An empty one.
    pub fn new(known: Known) -> Self {
        Self::with_room_for(MOST_IDENTITIES, known)
    }

    /// One that holds so many identities.
    pub(super) fn with_room_for(most: usize, known: Known) -> Self {
        Self {
            known,
            hasher: RandomState::new(),
            most: most.max(1),
            identities: HashMap::new(),
            left_out: (0, 0),
            targets: HashMap::new(),
            pipes: BTreeMap::new(),
            hosts: BTreeSet::new(),
            span: None,
            messages: 0,
            refusals: [HashSet::new(), HashSet::new()],
        }
    }

    /// Messages that were read.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Days from the first to the last message, a part of one too.
    pub(super) fn days(&self) -> u32 {
        let days = self.span.map(|(from, to)| to.since(from).as_secs() / 86_400 + 1);
        u32::try_from(days.unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// Whether a client may relay for its address, as far as that was known.
    pub(super) fn is_in_known_networks(&self, network: IpNet) -> bool {
        self.known.networks.iter().any(|known| known.contains(&network))
    }

    /// Whether what this site receives mail for was known.
    pub(super) fn knows_inbound(&self) -> bool {
        !self.known.inbound.is_empty()
    }

    /// Whether mail to a domain (folded) is for this site.
    pub(super) fn is_inbound(&self, domain: &str) -> bool {
        self.known.inbound.contains_folded(domain)
            || self.targets.get(domain).is_some_and(Target::is_delivered_here)
    }

    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        self.hasher.hash_one(bytes)
    }

    /// Counts where the recipients of a message go. Gives how many are relayed,
    /// with the hashes of their domains.
    fn recipients(&mut self, mail: &Mail) -> (u64, Vec<u64>) {
        let stranger = self.stranger(&mail.who);
        let (mut relayed, mut hashes) = (0, Vec::new());
        for recipient in &mail.recipients {
            let Some(domain) = folded_domain(&recipient.address) else { continue };
            let way = self.way(&domain, recipient.transport.as_deref());
            if let Some(transport) = &recipient.transport {
                self.note_pipe(transport, &domain);
            }
            match way {
                Way::Unclear | Way::Inbound { here: false } => continue,
                Way::Inbound { here: true } => {
                    if let Some(target) = self.target(&domain) {
                        target.local += 1;
                    }
                    continue;
                }
                Way::Relayed => {}
            }
            relayed += 1;
            let hash = self.hash(domain.as_bytes());
            if !hashes.contains(&hash) {
                hashes.push(hash);
            }
            if let Some(target) = self.target(&domain) {
                target.relayed += 1;
                if let Some(stranger) = stranger
                    && target.strangers.len() < MOST_STRANGERS
                    && !target.strangers.contains(&stranger)
                {
                    target.strangers.push(stranger);
                }
            }
        }
        (relayed, hashes)
    }

    fn way(&self, domain: &str, transport: Option<&str>) -> Way {
        if self.known.inbound.contains_folded(domain) {
            return Way::Inbound { here: false };
        }
        let target = self.targets.get(domain);
        match transport {
            Some("local" | "virtual" | "lmtp") => Way::Inbound { here: true },
            Some(pipe) if is_mailbox_pipe(pipe) => Way::Inbound { here: true },
            Some("error" | "discard" | "retry") => Way::Unclear,
            _ if target.is_some_and(Target::is_delivered_here) => Way::Inbound { here: false },
            Some(_) => Way::Relayed,
            None if self.knows_inbound() => Way::Relayed,
            None if target.is_some_and(|target| target.relayed > 0) => Way::Relayed,
            None => Way::Unclear,
        }
    }

    /// The network of a client of which nothing says that it may relay.
    fn stranger(&self, who: &Who) -> Option<u64> {
        let bare = who.login.is_none() && who.certificate.is_none();
        let network = client_network(who.client.filter(|_| bare)?);
        (!self.is_in_known_networks(network) && !is_private(network))
            .then(|| self.hash(parent_network(network).to_string().as_bytes()))
    }

    fn target(&mut self, domain: &str) -> Option<&mut Target> {
        if !self.targets.contains_key(domain) {
            if self.targets.len() >= MOST_DOMAINS {
                // Those that were seen once are the most, and the least worth.
                self.targets.retain(|_, target| target.local + target.relayed > 1);
            }
            if self.targets.len() >= MOST_DOMAINS {
                return None;
            }
            self.targets.insert(domain.into(), Target::default());
        }
        self.targets.get_mut(domain)
    }

    fn note_pipe(&mut self, transport: &Arc<str>, domain: &str) {
        if is_program(transport) {
            return;
        }
        if let Some((count, domains)) = self.pipes.get_mut(transport) {
            *count += 1;
            if domains.len() < MOST_EXAMPLES && !domains.contains(domain) {
                domains.insert(domain.into());
            }
        } else if self.pipes.len() < MOST_NAMES {
            self.pipes.insert(Arc::clone(transport), (1, BTreeSet::from([domain.into()])));
        }
    }

    /// Whether this refusal was counted before.
    fn is_repeated(&mut self, answer: &Answer) -> bool {
        let hash = self.hasher.hash_one((&*answer.host, &*answer.queue_id, &*answer.recipient));
        let [young, old] = &mut self.refusals;
        if young.contains(&hash) || old.contains(&hash) {
            return true;
        }
        if young.len() >= MOST_REFUSALS {
            *old = std::mem::take(young);
        }
        young.insert(hash);
        false
    }

    /// Makes room for identities to come.
    fn make_room(&mut self) {
        if self.identities.len() < self.most + self.most.div_ceil(4) {
            return;
        }
        let mut all: Vec<(u64, ConnectorKey)> =
            self.identities.iter().map(|(key, figures)| (figures.messages, key.clone())).collect();
        all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        for (messages, key) in all.into_iter().skip(self.most) {
            self.identities.remove(&key);
            self.left_out.0 += 1;
            self.left_out.1 += messages;
        }
    }
}

impl Sink for Survey {
    fn mail(&mut self, mail: &Mail) {
        let from = self.span.map_or(mail.at, |(from, _)| from.min(mail.at));
        let to = self.span.map_or(mail.at, |(_, to)| to.max(mail.at));
        self.span = Some((from, to));
        self.messages += 1;
        if self.hosts.len() < MOST_NAMES && !self.hosts.contains(&mail.host) {
            self.hosts.insert(Arc::clone(&mail.host));
        }
        if mail.end == End::Refused {
            return;
        }
        let (relayed, targets) = self.recipients(mail);
        let Some(key) = key(&mail.who).filter(|_| relayed > 0) else {
            return;
        };
        let sender = folded_domain(&mail.from);
        let sender = sender.as_deref().map(|domain| (domain, self.hash(domain.as_bytes())));
        let from = mail.header_from.iter().filter_map(|address| {
            let domain = folded_domain(address)?.into_owned();
            let hash = self.hash(domain.as_bytes());
            Some((domain, hash))
        });
        let from = from.collect();
        self.make_room();
        let hasher = &self.hasher;
        let figures = self.identities.entry(key).or_default();
        let seen = Seen { mail, relayed, sender, from, targets: &targets };
        figures.message(&seen, |bytes| hasher.hash_one(bytes));
    }

    fn abandoned(&mut self, abandoned: &Abandoned) {
        if let Some(figures) = key(&abandoned.who).and_then(|key| self.identities.get_mut(&key)) {
            figures.unknown += abandoned.unknown.len() as u64;
        }
    }

    fn answer(&mut self, answer: &Answer) {
        let is_inbound =
            folded_domain(&answer.recipient).is_none_or(|domain| self.is_inbound(&domain));
        if is_inbound || answer.outcome == Outcome::Refused && self.is_repeated(answer) {
            return;
        }
        if let Some(figures) = key(&answer.who).and_then(|key| self.identities.get_mut(&key)) {
            figures.result(answer.outcome, answer.at);
        }
    }
}

impl Target {
    /// Whether this host delivers its mail: as a rule, not once by a content
    /// filter.
    pub(super) fn is_delivered_here(&self) -> bool {
        self.local > 0 && self.local >= self.relayed
    }
}

/// Whether an address is one that nobody on the internet has.
pub(super) fn is_private(network: IpNet) -> bool {
    match network {
        IpNet::V4(network) => {
            let address = network.addr();
            let shared =
                address.octets().first_chunk().is_some_and(|[a, b]| *a == 100 && b & 0xc0 == 64);
            address.is_private() || address.is_loopback() || address.is_link_local() || shared
        }
        IpNet::V6(network) => {
            let address = network.addr();
            address.is_loopback()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                // ::1 as its /64.
                || address.is_unspecified()
        }
    }
}

/// Whether a pipe of this name serves mailboxes.
pub(super) fn is_mailbox_pipe(transport: &str) -> bool {
    MAILBOX_PIPES.iter().any(|name| transport.starts_with(name))
}

/// Whether this is a delivery agent of Postfix itself.
fn is_program(transport: &str) -> bool {
    ["smtp", "lmtp", "local", "virtual", "error", "discard", "retry", "relay"].contains(&transport)
}

/// Under what a client is counted.
fn key(who: &Who) -> Option<ConnectorKey> {
    let identities = who.identities(None);
    if identities.local {
        return Some(ConnectorKey::Local);
    }
    let login = identities.login.map(ConnectorKey::Login);
    let certificate = identities.certificate.map(ConnectorKey::Certificate);
    let client = identities.client.map(client_network).map(ConnectorKey::Client);
    login.or(certificate).or(client)
}

/// The domain of an address in the spelling in which it is compared.
fn folded_domain(address: &str) -> Option<Cow<'_, str>> {
    domain::fold(domain::of_address(address)?)
}
