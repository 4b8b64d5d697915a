//! What belongs to one host: queue ids and process numbers are its own.

use super::{
    Map,
    session::{Key, Session},
};
use crate::{
    maillog::{Attempt, Status},
    trail::Trail,
};
use foldhash::fast::RandomState;
use std::{collections::HashSet, sync::Arc};

/// Hosts that are told apart. More are taken for one.
const MOST: usize = 64;
/// Names that are held once for all.
const MOST_NAMES: usize = 4096;

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: Arc<str>,
    pub(super) trail: Trail,
    /// The numbers of the drafts of its queue files.
    pub(super) files: Map<Arc<str>, u64>,
    pub(super) sessions: Map<Key, Session>,
}

/// All hosts.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    hosts: Vec<Host>,
    /// The one of the last line: most logs have but one.
    last: usize,
    /// Of no host.
    none: Map<Key, Session>,
}

impl Hosts {
    /// The place of a host; and whether there are too many, so that it shares its
    /// place with others.
    pub(super) fn of(&mut self, name: &str, names: &mut Names) -> (usize, bool) {
        if self.hosts.get(self.last).is_some_and(|host| *host.name == *name) {
            return (self.last, false);
        }
        if let Some(at) = self.hosts.iter().position(|host| *host.name == *name) {
            self.last = at;
            return (at, false);
        }
        if self.hosts.len() >= MOST {
            return (self.hosts.len() - 1, true);
        }
        self.hosts.push(Host {
            name: names.of(name),
            trail: Trail::default(),
            files: Map::default(),
            sessions: Map::default(),
        });
        self.last = self.hosts.len() - 1;
        (self.last, false)
    }

    pub(super) fn get(&self, at: usize) -> Option<&Host> {
        self.hosts.get(at)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Host> {
        self.hosts.get_mut(at)
    }

    /// The sessions of a host.
    pub(super) fn sessions(&mut self, at: usize) -> &mut Map<Key, Session> {
        match self.hosts.get_mut(at) {
            Some(host) => &mut host.sessions,
            None => &mut self.none,
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter()
    }
}

/// Names that come again and again.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<Arc<str>, RandomState>);

impl Names {
    /// A name.
    pub(super) fn of(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        if self.0.len() < MOST_NAMES {
            self.0.insert(Arc::clone(&new));
        }
        new
    }

    /// What delivers, as the milter would have called it. pipe(8) serves many
    /// transports and names them as relay. error(8) also stands in for one that
    /// is out of order at present.
    pub(super) fn transport(&mut self, program: &str, attempt: &Attempt<'_>) -> Option<Arc<str>> {
        match program {
            "pipe" => {
                let relay = attempt.relay.map(|relay| relay.name).filter(|name| !name.is_empty());
                Some(self.of(relay.unwrap_or(program)))
            }
            "error" | "retry" if attempt.status != Status::Bounced => None,
            _ => Some(self.of(program)),
        }
    }
}
