//! A connector's mail in time order.
//!
//! A [`Draft`] says when a message comes and to how many recipients that the
//! connector wrote to before or never wrote to; [`assemble`] sorts drafts and
//! gives them recipients. A known recipient is the one that was mailed longest
//! ago, so it was not mailed within the last hour unless so many are asked for
//! that all of them were. A connector that knows fewer than `acquainted`
//! recipients writes to a new one instead.

use crate::random::Random;
use connguard::connector::Profile;
use std::collections::{HashMap, VecDeque};

/// The longest recipient number of a trace is below this one.
const FIRST_FRESH: u32 = 1 << 30;

/// Whom a message goes to.
#[derive(Clone, Debug)]
pub(crate) enum To {
    /// These.
    Just(Vec<u32>),
    /// So many, of which so many were never written to.
    Some { all: u32, fresh: u32 },
}

/// A message without recipients yet. The default one is ordinary.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// Seconds since 1970, or since the beginning of an attack.
    pub(crate) at: f64,
    /// Its recipients.
    pub(crate) to: To,
    /// How many of them are refused later.
    pub(crate) refused: u32,
    /// When that is known, in seconds after acceptance.
    pub(crate) lag_s: f64,
    /// Recipients besides these that Postfix itself refuses as unknown.
    pub(crate) unknown: u32,
    /// The user behind the connector.
    pub(crate) user: u32,
    /// Domain of the envelope sender: 0 is the registered one.
    pub(crate) sender_domain: u32,
    /// Domain of the header From: 0 is the registered one.
    pub(crate) from_domain: u32,
    /// The client network it comes from.
    pub(crate) client: u32,
    /// A filter before us takes it for spam.
    pub(crate) spam: bool,
    /// It belongs to the attack.
    pub(crate) attack: bool,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            at: 0.0,
            to: To::Some { all: 1, fresh: 0 },
            refused: 0,
            lag_s: 16.0,
            unknown: 0,
            user: 0,
            sender_domain: 0,
            from_domain: 0,
            client: 1,
            spam: false,
            attack: false,
        }
    }
}

impl Draft {
    pub(crate) fn recipients(&self) -> u32 {
        match &self.to {
            To::Just(to) => to.len() as u32,
            To::Some { all, .. } => *all,
        }
    }
}

/// One recipient of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Its number, which makes its address.
    pub(crate) id: u32,
    /// Its server refuses it.
    pub(crate) refused: bool,
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    /// When it comes, in milliseconds since 1970.
    pub(crate) at: u64,
    /// All but its time and recipients.
    pub(crate) draft: Draft,
    /// Its recipients.
    pub(crate) to: Vec<Target>,
}

/// How the connector is known to Postfix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// It logs in.
    Login,
    /// By its address.
    Relay,
}

/// One connector's mail.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// How it is known.
    pub(crate) kind: Kind,
    /// The profile that the operator declared.
    pub(crate) profile: Option<Profile>,
    /// Its messages by time.
    pub(crate) mails: Vec<Mail>,
}

/// Gives all drafts their recipients, in time order.
pub(crate) fn assemble(
    kind: Kind,
    mut drafts: Vec<Draft>,
    acquainted: usize,
    random: &mut Random,
) -> Stream {
    drafts.sort_by(|a, b| a.at.total_cmp(&b.at));
    let mut contacts = Contacts { next: FIRST_FRESH, ..Contacts::default() };
    let mails = drafts.into_iter().map(|mut draft| {
        let ids = contacts.of(std::mem::replace(&mut draft.to, To::Just(Vec::new())), acquainted);
        let mut to: Vec<Target> = ids.into_iter().map(|id| Target { id, refused: false }).collect();
        for target in to.iter_mut().take(draft.refused as usize) {
            target.refused = true;
        }
        if draft.refused > 0 && to.len() > 1 {
            // Only who is refused is drawn; the order of recipients stays.
            let mut flags: Vec<bool> = to.iter().map(|target| target.refused).collect();
            random.shuffle(&mut flags);
            to.iter_mut().zip(flags).for_each(|(target, refused)| target.refused = refused);
        }
        Mail { at: (draft.at * 1000.0) as u64, draft, to }
    });
    Stream { kind, profile: None, mails: mails.collect() }
}

/// Whom a connector wrote to.
#[derive(Debug, Default)]
struct Contacts {
    next: u32,
    /// The number of the last use of each.
    last_use: HashMap<u32, u64>,
    /// Uses, oldest first; only the last one of a contact is valid.
    uses: VecDeque<(u32, u64)>,
    count: u64,
}

impl Contacts {
    fn of(&mut self, to: To, acquainted: usize) -> Vec<u32> {
        let ids = match to {
            To::Just(ids) => ids,
            To::Some { all, fresh } => {
                let mut ids: Vec<u32> = (0..fresh.min(all)).map(|_| self.fresh()).collect();
                for _ in fresh..all {
                    // More recipients in one message than there are contacts.
                    let id = self.known(acquainted).filter(|id| !ids.contains(id));
                    ids.push(id.unwrap_or_else(|| self.fresh()));
                }
                ids
            }
        };
        ids.iter().for_each(|id| self.use_now(*id));
        ids
    }

    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// The contact that was mailed longest ago, taken out until its next use.
    fn known(&mut self, acquainted: usize) -> Option<u32> {
        if self.last_use.len() < acquainted {
            return None;
        }
        while let Some((id, number)) = self.uses.pop_front() {
            if self.last_use.get(&id) == Some(&number) {
                return Some(id);
            }
        }
        None
    }

    fn use_now(&mut self, id: u32) {
        self.count += 1;
        self.last_use.insert(id, self.count);
        self.uses.push_back((id, self.count));
    }
}
