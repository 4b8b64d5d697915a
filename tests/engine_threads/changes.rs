//! Mail from many threads while operators, reloads and the clock change what
//! holds for it.

use crate::harness::*;
use connguard::{
    connector::{ConnectorKey, Entity},
    engine::{Engine, Feedback},
    message::Outcome,
    record::{Actor, CaseId, Event, Record, Snapshot, Trust},
    restriction,
    verdict::{Action, Mode},
};
use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::Duration,
};

#[test]
fn history_follows_a_name_under_load() {
    within_a_minute(|| {
        let engine = engine(Some(u32::MAX));
        let (sent, over) = (AtomicU64::new(0), AtomicBool::new(false));
        const RELOADS: u64 = 300;
        let to = one_recipient();
        let mail = |now| {
            let mail = Mail { login: 0, sender: "a@example.org", queue_id: "4A", to: &to, now };
            assert_eq!(mail.send(&engine).passed, 1);
            sent.fetch_add(1, SeqCst);
        };
        mail(START);
        at_once(THREADS, |thread| {
            if thread == 0 {
                for n in 0..RELOADS {
                    let named = n % 2 == 0;
                    engine.reload(settings(Mode::Enforce, Some(u32::MAX), named), after(1));
                    thread::yield_now();
                }
                over.store(true, SeqCst);
                return;
            }
            while !over.load(SeqCst) {
                mail(after(1));
            }
        });
        let counted = tally(&engine, 0).counters.totals().messages;
        // A message that was on its way while the name changed may count under
        // the old one.
        let strays = RELOADS * (THREADS - 1);
        let sent = sent.load(SeqCst);
        assert!(counted <= sent && counted + strays >= sent, "{counted} of {sent}");
    });
}

#[test]
fn whatever_happens_at_once_the_accounts_are_right() {
    within_a_minute(|| {
        let engine = engine(None);
        engine.set_feedback(Feedback::Coming);
        let over = AtomicU64::new(0);
        let (mut seen, mut journal) = (Vec::new(), Vec::new());
        let results = at_once(THREADS + 3, |thread| match thread {
            // Operators.
            0 => {
                for n in 0..200 {
                    operate(&engine, n);
                    thread::yield_now();
                }
                over.fetch_add(1, SeqCst);
                (Seen::default(), Vec::new())
            }
            // Reloads.
            1 => {
                for n in 0..100 {
                    let mode = if n % 5 == 4 { Mode::Observe } else { Mode::Enforce };
                    engine.reload(settings(mode, None, n % 3 == 0), START);
                    engine.set_feedback(if n % 7 == 0 { Feedback::Off } else { Feedback::Coming });
                    thread::yield_now();
                }
                engine.set_feedback(Feedback::Coming);
                over.fetch_add(1, SeqCst);
                (Seen::default(), Vec::new())
            }
            // The clock and the journal.
            2 => {
                let mut records = Vec::new();
                while over.load(SeqCst) < 2 {
                    engine.sweep(START);
                    let batch = engine.table().changes().take(Duration::from_millis(1));
                    assert!(!batch.overflowed);
                    records.extend(batch.records);
                }
                (Seen::default(), records)
            }
            _ => (mails(&engine, thread, || over.load(SeqCst) == 2), Vec::new()),
        });
        for (mails, records) in results {
            seen.push(mails);
            journal.extend(records);
        }
        let seen = sum(seen);
        journal.extend(engine.table().changes().take(Duration::ZERO).records);
        let counters = engine.counters();
        assert_eq!(counters.messages.load(SeqCst), seen.passed);
        assert_eq!(counters.recipients.load(SeqCst), seen.accepted);
        assert_eq!(counters.refused.load(SeqCst), seen.refused);
        assert_eq!(counters.held.load(SeqCst), seen.held);

        check_restrictions(&journal);
        for listed in engine.table().list(START) {
            let standing = &listed.standing;
            assert!(standing.restriction.is_none() || standing.trust.is_none(), "{listed:?}");
        }
        let kept = restriction::replay(Snapshot::default(), journal);
        let sorted = |mut snapshot: Snapshot| {
            snapshot.live.sort_by(|a, b| a.entity.cmp(&b.entity));
            snapshot.live
        };
        assert_eq!(sorted(kept), sorted(engine.table().snapshot()));
        engine.set_feedback(Feedback::Off);
        engine.sweep(after(600));
        assert_eq!(tally(&engine, 0).in_flight(), 0);
    });
}

/// One thing that an operator does to the connector, or to its name.
fn operate(engine: &Engine, n: u64) {
    let named = Entity::from(ConnectorKey::Named("erp".into()));
    let target = if n.is_multiple_of(2) { entity(0) } else { named };
    match n % 7 {
        0 => drop(engine.block(block(0), anna(), START)),
        1..=3 => drop(engine.unblock(&target, "done", None, anna(), START)),
        4 => drop(engine.normal(&target, "a mailing", anna(), START)),
        5 => {
            let trust =
                Trust { since: START, until: after(60), by: anna(), reason: "mailing".into() };
            drop(engine.trust(&target, trust));
        }
        _ => drop(engine.end_trust(&target, "done", anna(), START)),
    }
    engine.unblock(&entity(0), "done", None, anna(), START);
}

/// Sends good and bad mail with its results until `is_over`.
fn mails(engine: &Engine, thread: u64, is_over: impl Fn() -> bool) -> Seen {
    let mut seen = Seen::default();
    for n in 0_u64.. {
        if is_over() {
            break;
        }
        let domain = if n % 3 == 0 { "example.org".into() } else { format!("odd{n}.test") };
        let (sender, id) = (format!("a@{domain}"), format!("{thread}-{n}"));
        let to = [format!("{thread}.{n}@remote.test"), "b@remote.test".into()];
        let mail = Mail { login: 0, sender: &sender, queue_id: &id, to: &to, now: START };
        seen = sum([seen, mail.send(engine)]);
        let outcome = if n % 5 == 0 { Outcome::Refused } else { Outcome::Delivered };
        deliver(engine, &id, &to[0], outcome, START);
    }
    seen
}

/// No entity is restricted twice without an end in between, and the judgement
/// restricts nobody without a reason.
fn check_restrictions(journal: &[Record]) {
    let mut cases = HashSet::new();
    let mut restricted: HashMap<&Entity, CaseId> = HashMap::new();
    for record in journal {
        match &record.event {
            Event::Restricted(made) => {
                cases.insert(made.case);
                assert_eq!(restricted.insert(&made.entity, made.case), None, "{made:?}");
                let is_made_by_hand = made.by != Actor::Judgement;
                assert!(is_made_by_hand || !made.findings.is_empty(), "{made:?}");
                assert!(made.action == Action::Tempfail);
            }
            Event::Lifted { entity, .. } => drop(restricted.remove(entity)),
            Event::Moved { from, .. } => drop(restricted.remove(from)),
            Event::Inherited { entity, standing, .. } => {
                if let Some(made) = &standing.restriction {
                    restricted.insert(entity, made.case);
                }
            }
            _ => {}
        }
    }
    assert!(!cases.is_empty());
}
