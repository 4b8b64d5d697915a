//! One message: whose it is, and what its recipients have had.

use super::{Landed, News, Recipients, Report, Results, SLACK};
use crate::{message::Outcome, timestamp::Timestamp};
use smallvec::SmallVec;

/// Set in a hash: its first result has come.
pub(super) const HEARD: u64 = 1;
/// Set in a hash: its first deciding result has come.
pub(super) const DECIDED: u64 = 2;
/// What of a hash is not the recipient.
pub(super) const FLAGS: u64 = HEARD | DECIDED;

/// A message.
#[derive(Debug)]
pub(super) struct Slot<T> {
    pub(super) owner: T,
    /// Which acceptance this is: a queue id can come again.
    pub(super) number: u64,
    pub(super) accepted: Timestamp,
    pub(super) in_flight: bool,
    pub(super) of: u32,
    /// First results that are still waited for.
    pub(super) open: u32,
    /// Listed recipients without a deciding result.
    pub(super) undecided: usize,
    /// Hashes of the listed recipients and of strangers that were heard of,
    /// sorted, with [`FLAGS`] in place of their lowest bits. Strangers have both.
    pub(super) recipients: SmallVec<[u64; 4]>,
    pub(super) so_far: Results,
}

impl<T> Slot<T> {
    /// A message of which nothing was heard; none without recipients.
    pub(super) fn new(
        owner: T,
        recipients: Recipients,
        count: u32,
        accepted: Timestamp,
    ) -> Option<Self> {
        let (recipients, of) = distinct(recipients, count)?;
        Some(Self {
            owner,
            number: 0,
            accepted,
            in_flight: true,
            of,
            open: of,
            undecided: recipients.len(),
            recipients,
            so_far: Results::default(),
        })
    }

    /// Whether it was accepted after what was logged then, so that this is about an
    /// earlier message with its queue id.
    pub(super) fn is_younger_than(&self, logged: Option<Timestamp>) -> bool {
        logged.is_some_and(|logged| logged.plus(SLACK) < self.accepted)
    }

    /// Its owner, if it counts as in flight.
    pub(super) fn flying(self) -> Option<T> {
        self.in_flight.then_some(self.owner)
    }

    /// Whether there is nothing more to be told.
    pub(super) fn is_over(&self) -> bool {
        self.open == 0 && self.undecided == 0
    }

    /// Whether this recipient is listed, or a stranger that was heard of.
    pub(super) fn lists(&self, recipient: u64) -> bool {
        let hash = recipient & !FLAGS;
        self.recipients.binary_search_by_key(&hash, |it| it & !FLAGS).is_ok()
    }

    /// Takes a result into account. Gives whether its recipient is listed, and
    /// whether it is its first one; `None` where it is nothing new.
    fn mark(&mut self, report: &Report) -> Option<(bool, bool)> {
        let decides = report.outcome != Outcome::Deferred;
        let has = if decides { FLAGS } else { HEARD };
        let hash = report.recipient & !FLAGS;
        match self.recipients.binary_search_by_key(&hash, |it| it & !FLAGS) {
            Ok(at) => {
                let known = self.recipients.get_mut(at)?;
                let had = *known & FLAGS;
                if has & !had == 0 {
                    return None;
                }
                *known |= has;
                self.undecided = self.undecided.saturating_sub(usize::from(decides));
                Some((true, had & HEARD == 0))
            }
            Err(_) if self.open == 0 => None,
            Err(at) => {
                self.recipients.insert(at, hash | FLAGS);
                Some((false, true))
            }
        }
    }
}

impl<T: Clone> Slot<T> {
    /// Hears of a recipient; `None` where that is nothing new.
    pub(super) fn hear(&mut self, report: &Report) -> Option<News<T>> {
        let (listed, first) = self.mark(report)?;
        match report.outcome {
            Outcome::Refused if listed => self.so_far.refused += report.weight.clamp(0.0, 1.0),
            Outcome::Delivered if listed => self.so_far.delivered += 1,
            _ => {}
        }
        let (on_time, last) = (self.in_flight, first && self.open == 1);
        self.open = self.open.saturating_sub(u32::from(first));
        if last {
            self.in_flight = false;
        }
        let (owner, of, so_far) = (self.owner.clone(), self.of, self.so_far);
        Some(News { owner, of, listed, last, on_time, so_far })
    }

    /// Ends its flight, if that was not over yet.
    pub(super) fn land(&mut self) -> Option<Landed<T>> {
        let (of, so_far) = (self.of, self.so_far);
        let was_in_flight = std::mem::take(&mut self.in_flight);
        was_in_flight.then(|| Landed { owner: self.owner.clone(), of, so_far })
    }
}

/// Sorted hashes without repetitions, and how many recipients there are, if
/// any.
fn distinct(mut hashes: Recipients, count: u32) -> Option<(SmallVec<[u64; 4]>, u32)> {
    let listed = hashes.len();
    for hash in &mut hashes {
        *hash &= !FLAGS;
    }
    hashes.sort_unstable();
    hashes.dedup();
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let repeated = small(listed - hashes.len());
    let of = count.saturating_sub(repeated).max(small(hashes.len()));
    (of > 0).then(|| (SmallVec::from_slice(&hashes), of))
}
