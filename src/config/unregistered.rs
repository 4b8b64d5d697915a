//! Whose senders can't be judged, because nobody said which domains are theirs.

use crate::{connector::ConnectorKey, directory::Params};
use std::sync::Arc;

/// Connectors that are named in one sentence.
const NAMED: usize = 5;

/// An organization without registered domains, with what belongs to it and has
/// none of its own.
#[derive(Debug)]
pub(super) struct Unregistered {
    organization: Arc<str>,
    /// Whether clients without a `[[connector]]` belong to it.
    discovered: bool,
    connectors: Vec<Arc<str>>,
}

/// All of them for whom the signal of unregistered senders is off.
pub(super) fn unregistered(directory: &Params) -> Vec<Unregistered> {
    let mut list: Vec<Unregistered> = Vec::new();
    let discovered = &directory.discovered;
    if directory.discover && discovered.registered.is_empty() {
        list.push(Unregistered {
            organization: Arc::clone(&discovered.organization),
            discovered: true,
            connectors: Vec::new(),
        });
    }
    for named in directory.connectors.iter().filter(|named| named.terms.registered.is_empty()) {
        let (organization, name) = (&named.terms.organization, Arc::clone(&named.name));
        match list.iter_mut().find(|one| one.organization == *organization) {
            Some(one) => one.connectors.push(name),
            None => list.push(Unregistered {
                organization: Arc::clone(organization),
                discovered: false,
                connectors: vec![name],
            }),
        }
    }
    list
}

impl Unregistered {
    /// The organization and its connectors, each as an entity is written.
    pub(super) fn entities(&self) -> impl Iterator<Item = String> {
        let key = |name: &Arc<str>| ConnectorKey::Named(Arc::clone(name)).to_string();
        let organization = key(&self.organization).replacen("connector:", "organization:", 1);
        std::iter::once(organization).chain(self.connectors.iter().map(key))
    }

    /// What is off, what remains, and what to add.
    pub(super) fn sentence(&self) -> String {
        let name = &self.organization;
        let own = if self.connectors.is_empty() { "" } else { ", or in the [[connector]] itself" };
        format!(
            "organization {name:?} has no registered domains: the signal of unregistered senders \
             is off for {}. What remains: From is compared with MAIL FROM by organizational \
             domain. Set registered_domains below [[organization]] with name = {name:?}{own}",
            self.whom()
        )
    }

    fn whom(&self) -> String {
        let discovered = self.discovered.then(|| "clients without a [[connector]]".to_owned());
        let shown: Vec<String> =
            self.connectors.iter().take(NAMED).map(|name| format!("{name:?}")).collect();
        let more = self.connectors.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let s = if self.connectors.len() == 1 { "" } else { "s" };
        let connectors =
            (!shown.is_empty()).then(|| format!("connector{s} {}{more}", shown.join(", ")));
        let parts: Vec<String> = discovered.into_iter().chain(connectors).collect();
        parts.join(" and ")
    }
}
