//! Whom the control socket serves when more want to be served than there is room for.
//!
//! A connection is
//! - *silent* until its request is there as a whole,
//! - then *waiting*, until it gets one of [`PLACES`],
//! - then *served*; and it is *stuck* while it has not taken its answer for
//!   [`super::server::STUCK`].
//!
//! What it promises, so that an operator's `unblock` gets through whatever else is
//! connected:
//! - At most [`ROOM`] connections are open. For the next one, somebody of the account
//!   that has the most goes: who is stuck, or silent longest where there are more than
//!   [`SILENT`] of these, else who came last and asks for a *long* answer (a list).
//! - A silent one takes no place. A stuck one gives its place up as soon as somebody
//!   waits for it.
//! - Long answers of one account have at most [`SHARE`] places: there is always one for
//!   other commands, which come first, and for other accounts.
//! - Beyond that, places are given in the order of coming.
//!
//! Who works on a command and who reads is never interrupted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

/// Connections that are open at a time.
pub(super) const ROOM: usize = 256;
/// Requests that are worked on or answered at a time.
pub(super) const PLACES: usize = 64;
/// Of these, those of one account for long answers.
pub(super) const SHARE: usize = 48;
/// Silent ones of one account: the request of a program comes at once.
const SILENT: usize = 32;

/// Connections that were told to go and are not gone yet, beside those.
const LEAVING: usize = 64;
/// So long it may take until one of these is gone.
const MOMENT: Duration = Duration::from_secs(1);

/// The places.
#[derive(Debug, Default)]
pub(super) struct Places {
    state: Mutex<State>,
    /// Rings when somebody is gone.
    left: Notify,
}

/// There is no room.
#[derive(Debug, Eq, PartialEq)]
struct Full {
    /// There will be, when those are gone who were told to.
    soon: bool,
}

#[derive(Debug, Default)]
struct State {
    /// By the order of their coming.
    clients: BTreeMap<u64, Client>,
    next: u64,
    turned_away: u64,
}

#[derive(Debug)]
struct Client {
    uid: u32,
    phase: Phase,
    /// Rings when it has to go.
    go: Arc<Notify>,
}

#[derive(Debug)]
enum Phase {
    Silent,
    Waiting {
        turn: oneshot::Sender<()>,
        long: bool,
    },
    Served,
    Stuck,
    /// It was told to go.
    Leaving,
}

/// A connection among the others; its place is free once it is dropped.
#[derive(Debug)]
pub(super) struct Presence {
    places: Arc<Places>,
    number: u64,
    go: Arc<Notify>,
}

impl Places {
    /// Room for a connection of this account; nothing where it is turned away. Waits a
    /// moment for those who were told to go.
    pub(super) async fn enter(self: &Arc<Self>, uid: u32) -> Option<Presence> {
        for _ in 0..LEAVING {
            let left = self.left.notified();
            match self.try_enter(uid) {
                Ok(presence) => return Some(presence),
                Err(Full { soon: true }) => {
                    if timeout(MOMENT, left).await.is_err() {
                        break;
                    }
                }
                Err(Full { soon: false }) => break,
            }
        }
        self.lock().note_turned_away();
        None
    }

    fn try_enter(self: &Arc<Self>, uid: u32) -> Result<Presence, Full> {
        let mut state = self.lock();
        state.make_room(uid)?;
        let number = state.next;
        state.next += 1;
        let go = Arc::new(Notify::new());
        state.clients.insert(number, Client { uid, phase: Phase::Silent, go: Arc::clone(&go) });
        Ok(Presence { places: Arc::clone(self), number, go })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    /// Ends when others need the room.
    pub(super) async fn told_to_go(&self) {
        self.go.notified().await;
    }

    /// What rings then.
    pub(super) fn to_go(&self) -> Arc<Notify> {
        Arc::clone(&self.go)
    }

    /// Waits for a place; the request is there, and asks for a `long` answer or not.
    pub(super) async fn place(&self, long: bool) {
        let (sender, turn) = oneshot::channel();
        self.change(|phase| *phase = Phase::Waiting { turn: sender, long });
        // The sender is dropped only with this connection, which is told to go then.
        if turn.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// It does not take its answer until what is given is dropped.
    pub(super) fn stuck(&self) -> Stuck<'_> {
        self.change(|phase| {
            if matches!(phase, Phase::Served) {
                *phase = Phase::Stuck;
            }
        });
        Stuck(self)
    }

    fn change(&self, change: impl FnOnce(&mut Phase)) {
        let mut state = self.places.lock();
        if let Some(client) = state.clients.get_mut(&self.number)
            && !matches!(client.phase, Phase::Leaving)
        {
            change(&mut client.phase);
        }
        state.settle();
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        state.clients.remove(&self.number);
        state.settle();
        self.places.left.notify_one();
    }
}

/// See [`Presence::stuck`].
pub(super) struct Stuck<'a>(&'a Presence);

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        self.0.change(|phase| {
            if matches!(phase, Phase::Stuck) {
                *phase = Phase::Served;
            }
        });
    }
}

impl State {
    /// Sees to it that there is room for a newcomer of `uid`: sends somebody away for it
    /// where that is necessary.
    fn make_room(&mut self, uid: u32) -> Result<(), Full> {
        let leaving = |client: &&Client| matches!(client.phase, Phase::Leaving);
        let leaving = self.clients.values().filter(leaving).count();
        if self.clients.len() - leaving < ROOM {
            return Ok(());
        }
        if leaving >= LEAVING {
            return Err(Full { soon: true });
        }
        let largest = self.largest();
        let theirs = self.clients.iter().filter(|(_, client)| Some(client.uid) == largest);
        let first = |is: fn(&Phase) -> bool| {
            theirs.clone().find(|(_, client)| is(&client.phase)).map(|(number, _)| *number)
        };
        let last = |is: fn(&Phase) -> bool| {
            theirs.clone().rfind(|(_, client)| is(&client.phase)).map(|(number, _)| *number)
        };
        let is_silent = |phase: &Phase| matches!(phase, Phase::Silent);
        let silent = theirs.clone().filter(|(_, client)| is_silent(&client.phase)).count();
        let number = first(|phase| matches!(phase, Phase::Stuck))
            .or_else(|| first(is_silent).filter(|_| silent > SILENT))
            .or_else(|| last(|phase| matches!(phase, Phase::Waiting { long: true, .. })))
            .or_else(|| first(is_silent))
            .or_else(|| {
                let waits = |phase: &Phase| matches!(phase, Phase::Waiting { .. });
                last(waits).filter(|_| Some(uid) != largest)
            });
        self.send_away(number.ok_or(Full { soon: false })?);
        Ok(())
    }

    /// The account with the most connections.
    fn largest(&self) -> Option<u32> {
        let mut counts = BTreeMap::<u32, usize>::new();
        for client in self.clients.values() {
            *counts.entry(client.uid).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(uid, _)| uid)
    }

    /// Gives free places to those who wait, and sends stuck ones away for the others.
    fn settle(&mut self) {
        let mut served = BTreeMap::<u32, usize>::new();
        let (mut all, mut leaving) = (0, 0);
        for client in self.clients.values() {
            match client.phase {
                Phase::Served | Phase::Stuck => *served.entry(client.uid).or_default() += 1,
                Phase::Leaving => leaving += 1,
                Phase::Silent | Phase::Waiting { .. } => continue,
            }
            all += 1;
        }
        let mut short = Vec::new();
        for turn_of_long in [false, true] {
            for client in self.clients.values_mut() {
                let Phase::Waiting { long, .. } = client.phase else { continue };
                let own = served.entry(client.uid).or_default();
                let has_share = !long || *own < SHARE;
                if long != turn_of_long {
                    continue;
                }
                if all >= PLACES || !has_share {
                    short.push((client.uid, !has_share));
                    continue;
                }
                let served = std::mem::replace(&mut client.phase, Phase::Served);
                if let Phase::Waiting { turn, .. } = served {
                    // Where nobody listens any more, it is about to be dropped.
                    let _ = turn.send(());
                }
                *own += 1;
                all += 1;
            }
        }
        for (uid, only_own) in short.into_iter().skip(leaving) {
            let is_meant = |client: &Client| {
                matches!(client.phase, Phase::Stuck) && (!only_own || client.uid == uid)
            };
            let stuck = self.clients.iter().find(|(_, client)| is_meant(client));
            let Some(number) = stuck.map(|(number, _)| *number) else { continue };
            self.send_away(number);
        }
    }

    fn send_away(&mut self, number: u64) {
        if let Some(client) = self.clients.get_mut(&number) {
            client.phase = Phase::Leaving;
            client.go.notify_one();
            self.note_turned_away();
        }
    }

    fn note_turned_away(&mut self) {
        self.turned_away += 1;
        if self.turned_away.is_power_of_two() {
            tracing::warn!(
                "control socket: {} clients were turned away for others since the start; does a script hang? ss -xp shows who is connected",
                self.turned_away
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;

    fn turn(presence: &Presence) -> bool {
        let state = presence.places.lock();
        matches!(state.clients.get(&presence.number).unwrap().phase, Phase::Served)
    }

    fn is_told(presence: &Presence) -> bool {
        let state = presence.places.lock();
        matches!(state.clients.get(&presence.number).unwrap().phase, Phase::Leaving)
    }

    /// Asks for a list, and stays where it does not get a place.
    fn ask(presence: &Presence) {
        ask_for(presence, true);
    }

    fn ask_for(presence: &Presence, long: bool) {
        let (sender, _) = oneshot::channel();
        presence.change(|phase| *phase = Phase::Waiting { turn: sender, long });
    }

    fn enter(places: &Arc<Places>, uid: u32, count: usize) -> Vec<Presence> {
        (0..count).map(|_| places.try_enter(uid).unwrap()).collect()
    }

    #[test]
    fn the_silent_one_that_waits_longest_makes_room() {
        let places = Arc::default();
        let silent = enter(&places, 0, ROOM);
        ask(&silent[0]);
        let operator = places.try_enter(0).unwrap();
        assert!(turn(&silent[0]) && is_told(&silent[1]) && !is_told(&silent[2]));
        ask(&operator);
        assert!(turn(&operator));
        // Those that do not go take no more than so many places.
        let others: Vec<_> = (0..ROOM).map_while(|_| places.try_enter(0).ok()).collect();
        assert_eq!(others.len(), LEAVING - 1);
        assert_eq!(places.try_enter(0).unwrap_err(), Full { soon: true });
        drop(silent);
        assert!(places.try_enter(0).is_ok());
    }

    #[test]
    fn a_stuck_one_gives_its_place_to_who_waits() {
        let places = Arc::default();
        let mut clients = enter(&places, 0, SHARE);
        clients.extend(enter(&places, 1, PLACES - SHARE));
        clients.iter().for_each(ask);
        assert!(clients.iter().all(turn));
        let (own, other) = (places.try_enter(0).unwrap(), places.try_enter(2).unwrap());
        ask(&own);
        ask(&other);
        assert!(!turn(&own) && !turn(&other));
        // The share of the first account is full: only one of its own helps it.
        let stuck = clients[SHARE].stuck();
        assert!(is_told(&clients[SHARE]) && !is_told(&clients[0]));
        drop(stuck);
        drop(clients.remove(SHARE));
        assert!(turn(&other) && !turn(&own));
        drop(clients[0].stuck());
        assert!(is_told(&clients[0]));
        drop(clients.remove(0));
        assert!(turn(&own));
        // Who reads again before somebody waits keeps its place.
        drop(clients[0].stuck());
        assert!(turn(&clients[0]));
    }

    #[test]
    fn one_account_leaves_places_and_room_to_others() {
        let places = Arc::default();
        let flood = enter(&places, 1000, ROOM);
        flood.iter().for_each(ask);
        assert_eq!(flood.iter().filter(|client| turn(client)).count(), SHARE);
        let operators = [places.try_enter(0).unwrap(), places.try_enter(1000).unwrap()];
        assert!(is_told(&flood[ROOM - 1]) && is_told(&flood[ROOM - 2]));
        ask(&operators[0]);
        ask_for(&operators[1], false);
        assert!(operators.iter().all(turn), "a list of another account, and another command");
        // All of an account work: nobody goes for one more of it.
        drop((flood, operators));
        let busy = enter(&places, 1000, ROOM);
        busy.iter().for_each(|client| ask_for(client, false));
        assert!(places.try_enter(1000).is_err() && places.try_enter(0).is_ok());
    }
}
