//! From what the journal kept to what is in force.

use crate::{
    connector::Entity,
    record::{Event, Live, Record, Snapshot, Standing},
};
use std::collections::{HashMap, HashSet};

/// Brings a snapshot up to date with records, in the order of their numbers:
/// what [`Table::restore`](super::Table::restore) is then given. Records that
/// the snapshot already contains, as a whole or in the entry of their entity,
/// change nothing.
pub fn replay(mut snapshot: Snapshot, mut records: Vec<Record>) -> Snapshot {
    records.sort_by_key(|record| record.seq);
    // Most of what is in force did not change: that need not be found again.
    let changed: HashSet<&Entity> = records.iter().map(|record| record.event.entity()).collect();
    let is_changed = |live: &mut Live| changed.contains(&live.entity);
    let mut live: HashMap<Entity, Live> = (snapshot.live)
        .extract_if(.., is_changed)
        .map(|live| (live.entity.clone(), live))
        .collect();
    let contained = snapshot.seq;
    for record in records {
        // A case number is never given twice, whatever became of the rest.
        let after = case(&record.event).saturating_add(1);
        snapshot.next_case = snapshot.next_case.max(after);
        if record.seq <= contained {
            continue;
        }
        snapshot.seq = snapshot.seq.max(record.seq);
        let entity = record.event.entity();
        let entry = live.entry(entity.clone()).or_insert_with(|| Live {
            seq: 0,
            entity: entity.clone(),
            standing: Standing::default(),
        });
        if entry.seq < record.seq {
            entry.seq = record.seq;
            apply(&mut entry.standing, record.event);
        }
    }
    snapshot.live.extend(live.into_values());
    snapshot.live.retain(|live| !live.standing.is_empty());
    // The newest first of an entity that a snapshot names twice, as none of ours does.
    snapshot.live.sort_unstable_by(|a, b| a.entity.cmp(&b.entity).then(b.seq.cmp(&a.seq)));
    snapshot.live.dedup_by(|other, newest| other.entity == newest.entity);
    snapshot
}

/// The number of the newest case in an event, 0 where there is none.
fn case(event: &Event) -> u64 {
    let restricted = match event {
        Event::Restricted(restriction) => Some(restriction.case),
        Event::Lifted { case, .. } => Some(*case),
        Event::Inherited { standing, .. } => standing.restriction.as_ref().map(|it| it.case),
        Event::Trusted { .. }
        | Event::Untrusted { .. }
        | Event::Moved { .. }
        | Event::Usual { .. } => None,
    };
    restricted.map_or(0, |case| case.0)
}

fn apply(standing: &mut Standing, event: Event) {
    match event {
        Event::Restricted(restriction) => {
            // A restriction ends an exemption and a grace.
            let raised = standing.raised.take();
            *standing = Standing { restriction: Some(restriction), raised, ..Standing::default() };
        }
        Event::Lifted { grace, raised, .. } => {
            if standing.restriction.is_none() {
                // The line of the restriction is lost, with which an exemption ended.
                standing.trust = None;
            }
            standing.restriction = None;
            standing.grace = grace;
            standing.raised = raised;
        }
        Event::Trusted { trust, .. } => standing.trust = Some(trust),
        Event::Untrusted { .. } => standing.trust = None,
        Event::Inherited { standing: whole, .. } => *standing = whole,
        Event::Moved { .. } => *standing = Standing::default(),
        // For the audit trail only.
        Event::Usual { .. } => {}
    }
}
