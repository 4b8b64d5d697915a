//! `[policy]`: the policy delegation protocol.

use super::{
    reader::{Spot, Table},
    sections,
};
use crate::{policy::Role, socket::Listen};

const DEFAULT_LISTEN: &str = "/var/spool/postfix/connguard/policy.sock";
const ROLES: &str = "judge (instead of the milter) or identity (beside it)";

/// Where to listen, and what for.
pub(super) struct Policy {
    pub(super) listen: Vec<Listen>,
    pub(super) role: Role,
}

/// Reads the section, if it is there. `others` are places where the milter listens.
pub(super) fn policy<'t>(
    top: &mut Table<'_, 't>,
    others: &[(Listen, Option<Spot<'_, '_>>)],
) -> Option<Policy> {
    let is_there = top.says("policy");
    let mut table = top.section("policy");
    let says_role = table.says("role");
    let role = table.word("role", ROLES);
    let listen = match table.take("listen") {
        Some(item) => sections::listen(item, DEFAULT_LISTEN),
        None => vec![(Listen::Unix(DEFAULT_LISTEN.into()), None)],
    };
    if !is_there {
        return None;
    }
    if !says_role {
        table.spot.absent(format!("lacks role; expected {ROLES}"));
    }
    for (place, spot) in &listen {
        if others.iter().any(|(other, _)| other == place)
            && let Some(spot) = spot
        {
            spot.fault(format!(
                "{place} is both milter.listen and policy.listen; expected two different places"
            ));
        }
    }
    let listen = listen.into_iter().map(|(place, _)| place).collect();
    role.map(|role| Policy { listen, role })
}
