//! Under which name a remote host is counted.

use super::Peer;
use crate::domain;
use std::borrow::Cow;

/// The provider that a relay host belongs to: its organizational domain, or its
/// address where it has no name. None for programs, sockets and transports of
/// this host.
pub fn provider_name<'a>(relay: &Peer<'a>) -> Option<Cow<'a, str>> {
    let address = relay.address?;
    let named = !relay.name.is_empty() && relay.name != "unknown";
    let folded = if named { domain::fold(relay.name) } else { None };
    Some(match folded {
        Some(Cow::Borrowed(name)) => Cow::Borrowed(domain::organizational(name)),
        Some(Cow::Owned(name)) => Cow::Owned(domain::organizational(&name).to_owned()),
        None => Cow::Owned(address.to_string()),
    })
}
