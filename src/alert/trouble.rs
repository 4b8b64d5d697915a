//! Troubles of connguard itself. Whoever sees them tells all that there are, again
//! and again; one is due once it has lasted for half a minute, once until it is
//! over, and at most once a day.

use crate::timestamp::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long a trouble must last.
const LASTS: Duration = Duration::from_secs(30);
/// How long after it was told the same trouble may be told again.
const AGAIN: Duration = Duration::from_secs(24 * 3600);

/// Something that fails.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trouble {
    /// What: the same word as long as it is the same trouble.
    pub key: String,
    /// In words that say what to do.
    pub text: String,
}

/// What is known of the troubles.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    present: BTreeMap<String, Present>,
    told: BTreeMap<String, Timestamp>,
}

#[derive(Debug)]
struct Present {
    text: String,
    since: Timestamp,
    told: bool,
}

impl Troubles {
    /// It was told in an earlier run.
    pub(super) fn recall(&mut self, key: &str, at: Timestamp) {
        let told = self.told.entry(key.to_owned()).or_insert(at);
        *told = (*told).max(at);
    }

    /// These are all that there are; `of` says which keys the teller knows of.
    pub(super) fn see(
        &mut self,
        troubles: Vec<Trouble>,
        of: impl Fn(&str) -> bool,
        now: Timestamp,
    ) {
        let keys: BTreeSet<String> = troubles.iter().map(|trouble| trouble.key.clone()).collect();
        self.present.retain(|key, _| !of(key) || keys.contains(key));
        for Trouble { key, text } in troubles {
            let present = self.present.entry(key);
            present.and_modify(|present| present.text.clone_from(&text)).or_insert(Present {
                text,
                since: now,
                told: false,
            });
        }
        self.told.retain(|key, at| now.since(*at) < AGAIN || self.present.contains_key(key));
    }

    /// What is due, with its key.
    pub(super) fn due(&self, now: Timestamp) -> Vec<Trouble> {
        let is_due = |(key, present): &(&String, &Present)| {
            let lately = self.told.get(*key).is_some_and(|at| now.since(*at) < AGAIN);
            !present.told && !lately && now.since(present.since) >= LASTS
        };
        let trouble = |(key, present): (&String, &Present)| Trouble {
            key: key.clone(),
            text: present.text.clone(),
        };
        self.present.iter().filter(is_due).map(trouble).collect()
    }

    /// It was told.
    pub(super) fn told(&mut self, key: &str, now: Timestamp) {
        self.told.insert(key.to_owned(), now);
        if let Some(present) = self.present.get_mut(key) {
            present.told = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_once_until_it_is_over_and_once_a_day() {
        let at = |seconds: u64| Timestamp::from_seconds(1_795_000_000 + seconds);
        let full = || vec![Trouble { key: "journal".into(), text: "no space left".into() }];
        let mut troubles = Troubles::default();
        let all = |_: &str| true;
        let mut told = Vec::new();
        let mut second = |second: u64, present: bool, troubles: &mut Troubles| {
            troubles.see(if present { full() } else { Vec::new() }, all, at(second));
            for due in troubles.due(at(second)) {
                troubles.told(&due.key, at(second));
                told.push(second);
            }
        };
        second(0, true, &mut troubles);
        second(29, true, &mut troubles);
        second(30, true, &mut troubles);
        second(31, true, &mut troubles);
        second(3600, false, &mut troubles);
        second(3700, true, &mut troubles);
        second(3800, true, &mut troubles);
        second(86_500, true, &mut troubles);
        second(200_000, true, &mut troubles);
        second(200_001, false, &mut troubles);
        second(200_002, true, &mut troubles);
        second(200_040, true, &mut troubles);
        assert_eq!(told, [30, 86_500, 200_040]);
    }

    #[test]
    fn what_an_earlier_run_told_is_not_told_again() {
        let at = |seconds: u64| Timestamp::from_seconds(1_795_000_000 + seconds);
        let mut troubles = Troubles::default();
        troubles.recall("journal", at(0));
        for second in [10, 100] {
            let trouble = Trouble { key: "journal".into(), text: String::new() };
            troubles.see(vec![trouble], |_| true, at(second));
        }
        assert_eq!(troubles.due(at(100)), []);
    }
}
