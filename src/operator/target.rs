//! From what an operator typed to the entity that is meant.

use super::Operator;
use crate::{
    command::Failure,
    connector::{ConnectorKey, Entity, client_network, fold_login},
    engine::Engine,
    sender,
    timestamp::Timestamp,
    view::names,
};
use std::{net::IpAddr, sync::Arc};

impl Operator {
    /// The entity that `text` means: see [`Selector::find`].
    pub(super) fn find(&self, text: &str, now: Timestamp) -> Result<Entity, Failure> {
        let config = self.config.load();
        let realm = config.milter.login_realm.as_deref();
        Selector { engine: &self.engine, realm }.find(text, now)
    }

    /// Why an entity can't be unblocked, and what may have been meant.
    pub(super) fn why_not_restricted(
        &self,
        what: &str,
        entity: Option<&Entity>,
        now: Timestamp,
    ) -> String {
        let Some(entity) = entity else {
            return format!("no restriction of case {what} is in force; see `connguard history`");
        };
        let owner = self.owner(entity);
        match self.engine.table().in_force(&owner, now) {
            Some(held) if owner != *entity => format!(
                "{entity} is not restricted by itself; it belongs to {owner}, which is, case {}: unblock that",
                held.restriction.case
            ),
            _ => format!("{entity} is not restricted; see `connguard list`"),
        }
    }

    /// The connector that an entity belongs to by the present configuration; the
    /// entity itself where it is no key of one.
    pub(super) fn owner(&self, entity: &Entity) -> Entity {
        match entity.as_connector() {
            Some(key) => self.engine.settings().directory.current(key).into(),
            None => entity.clone(),
        }
    }
}

/// Finds what is meant at an engine.
pub(super) struct Selector<'a> {
    pub(super) engine: &'a Engine,
    /// Of logins without one.
    pub(super) realm: Option<&'a str>,
}

impl Selector<'_> {
    /// The entity that `text` means: its full form, or a bare name, address or
    /// login where only one entity matches.
    pub(super) fn find(&self, text: &str, now: Timestamp) -> Result<Entity, Failure> {
        let parsed = text.parse::<Entity>();
        if let Ok(entity) = parsed {
            return self.checked(entity);
        }
        let typed = ["connector:", "login:", "client:", "cert:", "sender:", "organization:"];
        if let (Err(error), true) = (&parsed, typed.iter().any(|kind| text.starts_with(kind))) {
            return Err(Failure::usage(error.to_string()));
        }
        let mut known = self.known(text, now);
        match (known.pop(), known.is_empty()) {
            (Some(entity), true) => Ok(entity),
            (Some(entity), false) => {
                known.push(entity);
                Err(Failure::usage(format!(
                    "{text:?} can mean {}: say which",
                    names(&known, " or ")
                )))
            }
            // An address can be nothing else.
            (None, _) => match text.parse::<IpAddr>() {
                Ok(address) => Ok(ConnectorKey::Client(client_network(address)).into()),
                Err(_) => Err(Failure::no(format!(
                    "{text:?} is no connector, login or client that is known: see `connguard list --all`, or write its full name, as login:{text}"
                ))),
            },
        }
    }

    /// A full form is taken at its word, but a connector must be configured
    /// or have something in force: a slip of the pen would do nothing.
    fn checked(&self, entity: Entity) -> Result<Entity, Failure> {
        if let Entity::Sender { address, via } = entity {
            let sender =
                Entity::Sender { address: sender::fold(&address).into(), via: via.clone() };
            let via = self.checked(via.into())?;
            return Ok(match via {
                Entity::Connector(via) => sender.with_connector(via),
                _ => sender,
            });
        }
        let settings = self.engine.settings();
        if let Entity::Organization(name) = &entity {
            return self.checked_organization(name);
        }
        match entity.as_connector() {
            Some(ConnectorKey::Named(name))
                if settings.directory.named(name).is_none()
                    && !self.engine.table().holds(&entity) =>
            {
                Err(Failure::no(format!("there is no connector {name:?} in the configuration")))
            }
            Some(ConnectorKey::Login(login)) => {
                Ok(ConnectorKey::Login(fold_login(login, self.realm)).into())
            }
            _ => Ok(entity),
        }
    }

    /// An organization must be one, or have something in force.
    fn checked_organization(&self, name: &Arc<str>) -> Result<Entity, Failure> {
        let directory = &self.engine.settings().directory;
        let entity = Entity::Organization(Arc::clone(name));
        if directory.has_organization(name) || self.engine.table().holds(&entity) {
            return Ok(entity);
        }
        let there: Vec<Entity> =
            directory.organizations().into_iter().map(Entity::Organization).collect();
        Err(Failure::no(format!(
            "there is no organization {name:?} with connectors; there is {}",
            names(&there, ", ")
        )))
    }

    /// Known entities that a bare text can mean.
    fn known(&self, text: &str, now: Timestamp) -> Vec<Entity> {
        let settings = self.engine.settings();
        let folded = fold_login(text, None);
        let with_realm = fold_login(text, self.realm);
        let client = text.parse::<IpAddr>().ok().map(client_network);
        let matches = |key: &ConnectorKey| match key {
            ConnectorKey::Named(name) => **name == *text,
            ConnectorKey::Login(login) => *login == folded || *login == with_realm,
            ConnectorKey::Certificate(name) => name.subject() == text,
            ConnectorKey::Client(network) => client == Some(*network),
            ConnectorKey::Local | ConnectorKey::Overflow => false,
        };
        let mut known: Vec<Entity> = Vec::new();
        let named = settings.directory.connectors().iter();
        known.extend(
            named
                .map(|named| ConnectorKey::Named(named.name.clone()))
                .filter(matches)
                .map(Entity::from),
        );
        known.extend(self.engine.roster().keys().into_iter().filter(matches).map(Entity::from));
        let listed = self.engine.table().list(now).into_iter().map(|entry| entry.entity);
        known.extend(listed.filter(|entity| match entity {
            Entity::Connector(key) => matches(key),
            Entity::Sender { address, .. } => **address == *text,
            Entity::Organization(name) => **name == *text,
        }));
        known.sort();
        known.dedup();
        known
    }
}
