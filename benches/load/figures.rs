//! What a run measured.

use super::{
    frame::{Negotiated, Reply},
    script::At,
};
use std::{collections::BTreeMap, time::Duration};

/// The figures of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Messages that ended, whatever the answer.
    pub(crate) messages: u64,
    /// Sessions that ended.
    pub(crate) sessions: u64,
    /// From the first connection to the last answer.
    pub(crate) elapsed: Duration,
    /// How often a message had to wait for the server, all messages together.
    pub(crate) round_trips: u64,
    /// The same for negotiations.
    pub(crate) negotiations: u64,
    /// What the server asked for, last.
    pub(crate) negotiated: Option<Negotiated>,
    /// Replies that the profile does not expect, by where and what.
    pub(crate) unexpected: BTreeMap<String, u64>,
    /// Processor time of the server, user and system.
    pub(crate) cpu: Duration,
    /// Processor time of the generator.
    pub(crate) own_cpu: Duration,
    /// Most memory that the server had resident, in KiB.
    pub(crate) peak_kib: u64,
    /// Of each message, in nanoseconds, from the first octet of MAIL to the
    /// reply at its end; in order once the run is over.
    latencies: Vec<u64>,
    /// The same of each session, from its connection to its QUIT.
    session_times: Vec<u64>,
}

impl Figures {
    /// Messages in a second.
    pub(crate) fn rate(&self) -> f64 {
        ratio(self.messages as f64, self.elapsed.as_secs_f64())
    }

    /// The latency of a message below which a share of them lies, in
    /// microseconds; 1 gives the largest.
    pub(crate) fn latency(&self, share: f64) -> f64 {
        quantile(&self.latencies, share) / 1e3
    }

    /// The same of whole sessions.
    pub(crate) fn session_time(&self, share: f64) -> f64 {
        quantile(&self.session_times, share) / 1e3
    }

    /// Processor seconds of the server for 10,000 messages.
    pub(crate) fn cpu_per_10k(&self) -> f64 {
        ratio(self.cpu.as_secs_f64() * 1e4, self.messages as f64)
    }

    /// Waits of a message, without those of negotiations.
    pub(crate) fn trips_a_message(&self) -> f64 {
        ratio(self.round_trips as f64, self.messages as f64)
    }

    /// What the replies were that nobody expects; none if all were expected.
    pub(crate) fn complaint(&self) -> Option<String> {
        let one = |(what, count): (&String, &u64)| format!("{count} times {what}");
        let all: Vec<_> = self.unexpected.iter().map(one).collect();
        (!all.is_empty()).then(|| format!("of {} messages: {}", self.messages, all.join(", ")))
    }

    pub(super) fn message(&mut self, took: Duration) {
        self.messages += 1;
        self.latencies.push(nanoseconds(took));
    }

    pub(super) fn session(&mut self, took: Duration) {
        self.sessions += 1;
        self.session_times.push(nanoseconds(took));
    }

    pub(super) fn reply(&mut self, at: At, reply: Reply, expected: &[Reply]) {
        let fine = matches!(reply, Reply::Continue | Reply::Accept) || expected.contains(&reply);
        if !fine {
            *self.unexpected.entry(format!("{reply:?} at {at:?}")).or_default() += 1;
        }
    }

    /// Takes in what another connection measured.
    pub(super) fn absorb(&mut self, other: Self) {
        self.messages += other.messages;
        self.sessions += other.sessions;
        self.round_trips += other.round_trips;
        self.negotiations += other.negotiations;
        self.negotiated = other.negotiated.or(self.negotiated.take());
        for (what, count) in other.unexpected {
            *self.unexpected.entry(what).or_default() += count;
        }
        self.latencies.extend(other.latencies);
        self.session_times.extend(other.session_times);
    }

    /// To be called when all is in.
    pub(super) fn finish(&mut self) {
        self.latencies.sort_unstable();
        self.session_times.sort_unstable();
    }

    /// Figures of somebody else's client, such as one of the policy protocol:
    /// latencies of requests in nanoseconds.
    pub(crate) fn of_latencies(mut latencies: Vec<u64>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        let messages = u64::try_from(latencies.len()).unwrap_or(0);
        Self { messages, elapsed, latencies, round_trips: messages, ..Self::default() }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Of values in order: the smallest one that a share of them does not exceed.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank is small")]
fn quantile(sorted: &[u64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |value| *value as f64)
}
