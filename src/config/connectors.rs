//! `[[organization]]` and `[[connector]]`: who is whose, and what holds for
//! the mail of each.
//!
//! Where no organization is configured there is one called `default`. A
//! connector that names none belongs to `default`, or to the only one.
//! Registered for a connector are the domains of its organization, its own,
//! and this host's names; but these never alone, because a connector without
//! registered domains is one whose senders nobody can judge.
//!
//! A connector without a profile that has logins and no other key is of the
//! profile `login`, as a discovered login is.

use super::{
    fault::Position,
    reader::{Spot, Table},
    sections::{self, Restriction},
    values::{domains, domains_of_file, name, networks, warn_of_wide},
};
use crate::{
    connector::{CertificateDigest, CertificateName, ConnectorKey, Profile},
    directory::{Limits, Named, Terms, Usual},
    domain::DomainSet,
    verdict::{Mode, Throttle},
};
use std::{collections::HashMap, fmt, ops::RangeInclusive, sync::Arc};

/// What counts in an hour may be.
const COUNT: RangeInclusive<i64> = 1..=u32::MAX as i64;

/// What a connector gets where it says nothing itself.
pub(super) struct Defaults<'a> {
    pub(super) mode: Mode,
    pub(super) restriction: &'a Restriction,
    pub(super) realm: Option<&'a str>,
    pub(super) own_names: &'a DomainSet,
    /// Something tells the fingerprints of certificates.
    pub(super) hears_fingerprints: bool,
}

/// An organization with its registered domains.
pub(super) struct Organization {
    pub(super) name: Arc<str>,
    pub(super) registered: DomainSet,
}

/// All organizations; never none.
pub(super) struct Organizations {
    pub(super) list: Vec<Organization>,
    /// Whose a connector is that names none, if that is clear.
    home: Option<usize>,
}

/// `[[organization]]`.
pub(super) fn organizations(tables: Vec<Table<'_, '_>>) -> Organizations {
    let mut names = HashMap::new();
    let mut list = Vec::new();
    for mut table in tables {
        let name = unique_name(&mut table, "organization", &mut names);
        let inline = table.texts("registered_domains").unwrap_or_default();
        let mut registered = domains(inline, false);
        if let Some(file) = table.text("registered_domains_file", "a path") {
            domains_of_file(&file, &mut registered);
        }
        list.push(Organization { name, registered });
    }
    if list.is_empty() {
        list.push(Organization { name: "default".into(), registered: DomainSet::default() });
    }
    let default = list.iter().position(|one| &*one.name == "default");
    let home = default.or((list.len() == 1).then_some(0));
    Organizations { list, home }
}

impl Organizations {
    /// The terms of connectors that nobody configured.
    pub(super) fn discovered(&self, defaults: &Defaults<'_>) -> Terms {
        let home = self.home.and_then(|at| self.list.get(at));
        Terms {
            organization: home.map_or_else(|| "default".into(), |home| Arc::clone(&home.name)),
            registered: registered(home, &DomainSet::default(), defaults.own_names),
            mode: defaults.mode,
            action: defaults.restriction.action,
            reject_after: defaults.restriction.reject_after,
            limits: Limits::default(),
            ..Terms::default()
        }
    }

    /// Whose a connector is.
    fn of(&self, table: &mut Table<'_, '_>) -> Option<&Organization> {
        let names = || {
            let names = self.list.iter().map(|one| &*one.name);
            let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
            names.join(", ")
        };
        let Some(text) = table.text("organization", "the name of an [[organization]]") else {
            if self.home.is_none() {
                table.spot.absent(format!(
                    "lacks organization, and none is called default; expected one of {}",
                    names()
                ));
            }
            return self.list.get(self.home?);
        };
        let found = self.list.iter().find(|one| *one.name == *text.text);
        if found.is_none() {
            text.spot.absent(format!(
                "there is no organization {:?}; expected one of {}, or an [[organization]] of that name",
                text.text,
                names()
            ));
        }
        found
    }
}

fn registered(
    organization: Option<&Organization>,
    own: &DomainSet,
    own_names: &DomainSet,
) -> DomainSet {
    let mut set = own.clone();
    if let Some(organization) = organization {
        set.extend(&organization.registered);
    }
    if !set.is_empty() {
        set.extend(own_names);
    }
    set
}

/// `[[connector]]`.
pub(super) fn connectors(
    tables: Vec<Table<'_, '_>>,
    organizations: &Organizations,
    defaults: &Defaults<'_>,
) -> Vec<Named> {
    let mut names = HashMap::new();
    let mut claims = Claims::default();
    let mut shared = SharedTerms::default();
    let mut connectors = Vec::new();
    for (at, mut table) in tables.into_iter().enumerate() {
        let name = unique_name(&mut table, "connector", &mut names);
        let owner = Owner { at, name: &name };
        let keys = ["clients", "certificate", "logins"];
        if !keys.iter().any(|key| table.says(key)) {
            table.spot.absent(format!(
                "connector {name:?} has no key; expected at least one of {}",
                keys.join(", ")
            ));
        }
        let clients = networks(table.texts("clients").unwrap_or_default());
        warn_of_wide(&clients, "every client there is this connector and may relay");
        for (network, spot) in &clients {
            claims.make(&owner, ConnectorKey::Client(*network), spot);
        }
        let certificate = certificate(&mut table, &owner, &mut claims, defaults);
        let logins = logins(&mut table, &owner, &mut claims, defaults.realm);
        let mut terms = terms(&mut table, organizations, defaults);
        if clients.is_empty() && certificate.is_empty() && !logins.is_empty() {
            // Whatever its trade: who logs in is taken to have no queue.
            if *terms.profile.get_or_insert(Profile::Login) != Profile::Login {
                terms.throttle.get_or_insert(Throttle::Hold);
            }
        }
        connectors.push(Named {
            name,
            clients: clients.into_iter().map(|(network, _)| network).collect(),
            certificate: certificate.name,
            digests: certificate.digests,
            logins,
            terms: shared.get(terms),
        });
    }
    connectors
}

/// By what a certificate is known. Each is a key of its own.
#[derive(Default)]
struct Certificate {
    name: Option<CertificateName>,
    digests: Vec<CertificateDigest>,
}

impl Certificate {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.digests.is_empty()
    }
}

fn certificate(
    table: &mut Table<'_, '_>,
    owner: &Owner<'_>,
    claims: &mut Claims,
    defaults: &Defaults<'_>,
) -> Certificate {
    let Some(mut table) =
        table.table("certificate", "{ subject = \"erp.example.org\", issuer = \"Example CA\" }")
    else {
        return Certificate::default();
    };
    let mut digests: Vec<CertificateDigest> = Vec::new();
    let fingerprints = table.text_or_texts("fingerprint", "a fingerprint as \"sha256:AB:CD:...\"");
    for text in fingerprints.iter().flatten() {
        if let Some(digest) = text.parse(str::parse::<CertificateDigest>) {
            claims.make(owner, digest.clone(), &text.spot);
            if !digests.contains(&digest) {
                digests.push(digest);
            }
        }
    }
    if let Some(text) = fingerprints.iter().flatten().next()
        && !defaults.hears_fingerprints
    {
        text.spot.fault(
            "nobody tells fingerprints to a milter; expected a section [policy] with \
             role = \"identity\", which Postfix asks beside it",
        );
    }
    let name = if fingerprints.is_none() || table.says("subject") || table.says("issuer") {
        common_names(&mut table)
    } else {
        // Known keys all the same.
        drop((table.take("subject"), table.take("issuer")));
        None
    };
    if let Some(name) = &name {
        claims.make(owner, ConnectorKey::Certificate(name.clone()), &table.spot);
    }
    Certificate { name, digests }
}

fn common_names(table: &mut Table<'_, '_>) -> Option<CertificateName> {
    let mut part = |key: &'static str, whose: &str| {
        let text = table.text(key, "a common name");
        if text.is_none() {
            table.spot.absent(format!(
                "lacks {key}; expected the common name of {whose}: \
                 with a public CA one name alone can be anybody's"
            ));
        }
        text?.parse(name)
    };
    let subject = part("subject", "the certificate's subject");
    let issuer = part("issuer", "the CA that issued it");
    Some(CertificateName::new(&subject?, &issuer?))
}

fn logins(
    table: &mut Table<'_, '_>,
    owner: &Owner<'_>,
    claims: &mut Claims,
    realm: Option<&str>,
) -> Vec<Arc<str>> {
    let mut logins: Vec<Arc<str>> = Vec::new();
    for text in table.texts("logins").unwrap_or_default() {
        if let Some(login) = sections::login(&text, realm) {
            claims.make(owner, ConnectorKey::Login(Arc::clone(&login)), &text.spot);
            if !logins.contains(&login) {
                logins.push(login);
            }
        }
    }
    logins
}

fn terms(
    table: &mut Table<'_, '_>,
    organizations: &Organizations,
    defaults: &Defaults<'_>,
) -> Terms {
    let organization = organizations.of(table);
    let own = domains(table.texts("registered_domains").unwrap_or_default(), false);
    let mut limits = Limits::default();
    if let Some(mut table) =
        table.table("limits", "{ messages_per_hour = 5000, recipients_per_hour = 20000 }")
    {
        limits.messages_per_hour = table.number("messages_per_hour", COUNT);
        limits.recipients_per_hour = table.number("recipients_per_hour", COUNT);
    }
    let mode = table.word("mode", sections::MODES).unwrap_or(defaults.mode);
    let usual = usual(table);
    Terms {
        organization: organization.map_or_else(|| "".into(), |it| Arc::clone(&it.name)),
        registered: registered(organization, &own, defaults.own_names),
        mode,
        action: table.word("action", sections::ACTIONS).unwrap_or(defaults.restriction.action),
        reject_after: sections::reject_after(table).unwrap_or(defaults.restriction.reject_after),
        limits,
        profile: profile(table, mode, usual),
        usual,
        throttle: table.word("throttle", sections::THROTTLES),
    }
}

/// `profile`; one that does not do at once what may be expected of it is told of.
fn profile(table: &mut Table<'_, '_>, mode: Mode, usual: Usual) -> Option<Profile> {
    let text = table.text("profile", sections::PROFILES)?;
    let profile = text.parse(str::parse)?;
    if profile == Profile::Bulk && usual == Usual::default() {
        text.spot.warn(
            "bulk without usual: until its history is learned, its volume is compared with \
             that of a relay; set usual = { messages_per_hour = N, recipients_per_hour = N } \
             to what its busiest hour has",
        );
    }
    if profile == Profile::Forwarder && mode == Mode::Enforce {
        text.spot.warn(
            "forwarder in enforce mode: for its first 7 days it is only watched, so that what \
             it forwards becomes usual; the judgement does not restrict it until then",
        );
    }
    Some(profile)
}

/// `usual`.
fn usual(table: &mut Table<'_, '_>) -> Usual {
    let Some(mut table) =
        table.table("usual", "{ messages_per_hour = 800, recipients_per_hour = 2000 }")
    else {
        return Usual::default();
    };
    let messages = table.number("messages_per_hour", COUNT);
    let item = table.take("recipients_per_hour");
    let spot = item.as_ref().map(|item| item.spot.clone());
    let recipients: Option<u32> = item.and_then(|item| item.number(COUNT));
    if let (Some(messages), Some(recipients), Some(spot)) = (messages, recipients, spot)
        && recipients < messages
    {
        spot.fault(format!(
            "{recipients} is below messages_per_hour, which is {messages}; expected at least as \
             many, as every message has a recipient"
        ));
    }
    Usual { messages_per_hour: messages, recipients_per_hour: recipients }
}

/// Equal terms are one: a thousand connectors of an organization with a
/// hundred thousand domains hold these once.
#[derive(Default)]
struct SharedTerms(Vec<Arc<Terms>>);

impl SharedTerms {
    fn get(&mut self, terms: Terms) -> Arc<Terms> {
        if let Some(known) = self.0.iter().find(|known| ***known == terms) {
            return Arc::clone(known);
        }
        let terms = Arc::new(terms);
        self.0.push(Arc::clone(&terms));
        terms
    }
}

/// The name of a `[[connector]]` or `[[organization]]`, which no other has.
fn unique_name(
    table: &mut Table<'_, '_>,
    kind: &str,
    names: &mut HashMap<Arc<str>, Position>,
) -> Arc<str> {
    let Some(text) = table.take("name") else {
        table.spot.absent(format!("lacks a name; expected name = \"NAME\" below [[{kind}]]"));
        return "".into();
    };
    let Some(text) = text.text("a name") else {
        return "".into();
    };
    let parsed: Arc<str> = text.parse(name).unwrap_or_default().into();
    if parsed.is_empty() {
        return parsed;
    }
    let here = text.spot.position();
    if let Some(there) = names.get(&parsed) {
        text.spot.fault(format!(
            "{parsed:?} is also the name of the {kind} in line {}; expected a name of its own",
            there.line
        ));
    } else {
        names.insert(Arc::clone(&parsed), here);
    }
    parsed
}

/// The connector that is being read.
struct Owner<'a> {
    at: usize,
    name: &'a Arc<str>,
}

/// What only one connector can have.
#[derive(Eq, Hash, PartialEq)]
enum Claim {
    Key(ConnectorKey),
    Digest(CertificateDigest),
}

impl From<ConnectorKey> for Claim {
    fn from(key: ConnectorKey) -> Self {
        Self::Key(key)
    }
}

impl From<CertificateDigest> for Claim {
    fn from(digest: CertificateDigest) -> Self {
        Self::Digest(digest)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => write!(f, "fingerprint {digest}"),
            Self::Key(ConnectorKey::Login(login)) => write!(f, "login {login:?}"),
            Self::Key(ConnectorKey::Certificate(name)) => {
                write!(f, "certificate {:?} of {:?}", name.subject(), name.issuer())
            }
            Self::Key(ConnectorKey::Client(network))
                if network.prefix_len() == network.max_prefix_len() =>
            {
                write!(f, "client {}", network.addr())
            }
            Self::Key(key) => {
                write!(f, "network {}", key.to_string().replacen("client:", "", 1))
            }
        }
    }
}

/// Whose each of them is.
#[derive(Default)]
struct Claims(HashMap<Claim, (usize, Arc<str>, Position)>);

impl Claims {
    fn make(&mut self, owner: &Owner<'_>, what: impl Into<Claim>, spot: &Spot<'_, '_>) {
        let what = what.into();
        let Some((at, name, place)) = self.0.get(&what) else {
            let claim = (owner.at, Arc::clone(owner.name), spot.position());
            self.0.insert(what, claim);
            return;
        };
        if *at == owner.at {
            spot.warn(format!("{what} is listed twice"));
        } else {
            spot.fault(format!(
                "{what} is a key of connector {:?} here and of connector {name:?} \
                 in line {}, column {}; expected it in only one",
                owner.name, place.line, place.column
            ));
        }
    }
}
