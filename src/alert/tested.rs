//! Tests of the channels that operators asked for and that wait for their outcome.

use super::{TEST_TAKES, channel::Outcome, params::Channel};
use crate::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::mpsc::Sender;

/// What came of a test of one channel.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tested {
    /// The channel.
    pub channel: Channel,
    /// Where it leads.
    pub target: String,
    /// Whether the test was sent.
    pub ok: bool,
    /// Why not.
    pub error: Option<String>,
}

/// Tests that wait for their channels.
#[derive(Default)]
pub(super) struct Tests(Vec<Test>);

struct Test {
    id: String,
    results: Vec<(Tested, bool)>,
    until: Timestamp,
    sender: Sender<Vec<Tested>>,
}

impl Tests {
    /// An alert went to these channels, each with where it leads.
    pub(super) fn begin(
        &mut self,
        id: String,
        asked: Vec<(Channel, String)>,
        sender: Sender<Vec<Tested>>,
        now: Timestamp,
    ) {
        let silent = || format!("did not answer within {} seconds", TEST_TAKES.as_secs());
        let waiting = |(channel, target)| {
            (Tested { channel, target, ok: false, error: Some(silent()) }, false)
        };
        let results = asked.into_iter().map(waiting).collect();
        self.0.push(Test { id, results, until: now.plus(TEST_TAKES), sender });
    }

    /// A channel is done with an alert, which may be one of them.
    pub(super) fn note(&mut self, outcome: &Outcome) {
        for test in self.0.iter_mut().filter(|test| test.id == outcome.id) {
            let mut results = test.results.iter_mut();
            if let Some((tested, done)) =
                results.find(|(tested, _)| tested.channel == outcome.channel)
            {
                tested.ok = outcome.result.is_ok();
                tested.error = outcome.result.clone().err();
                *done = true;
            }
        }
    }

    /// Answers those whose channels are done, or take too long.
    pub(super) fn answer(&mut self, now: Timestamp) {
        self.0.retain(|test| {
            let done = test.results.iter().all(|(_, done)| *done);
            if done || now >= test.until {
                let results = test.results.iter().map(|(tested, _)| tested.clone()).collect();
                // Who asked may be gone.
                let _ = test.sender.send(results);
            }
            !done && now < test.until
        });
    }
}
