//! Somebody sets the clock.

use serde_json::Value;

use super::super::harness::site::{OURS, REMOTE, Site};
use super::super::harness::{SOON, wait_for};
use super::{BAD, ENTITY, GOOD, assert_protects, wait_status};

const HOUR_MS: i64 = 3_600_000;

/// Whom nothing was told of before.
const OTHERS: [&str; 2] = ["127.0.0.21", "127.0.0.22"];

fn state(site: &Site, entity: &str) -> Option<Value> {
    let list = site.daemon.json(&["list", "--all"]);
    let items = list.as_array().expect("a list").iter();
    items.clone().find(|item| item["entity"] == entity).map(|item| item["state"].clone())
}

/// | clock set an hour ahead or back | passes, judged | nothing ends early or late: engine
/// time is slewed by one part in twenty; a start takes the clock as it is | - |
#[test]
fn a_clock_that_is_set_an_hour_ends_nothing_early_and_stops_nothing() {
    let mut site = Site::start();
    for client in [BAD, GOOD, "127.0.0.9", "127.0.0.10"] {
        site.send(client, OURS, REMOTE).assert_accepted();
    }
    // Each of these has an end within the hour.
    let block = ["block", ENTITY, "--reason", "stolen", "--for", "50m"];
    site.daemon.cli(&block).done();
    let trust = ["trust", "client:127.0.0.9", "--for", "50m", "--reason", "planned"];
    site.daemon.cli(&trust).done();
    site.block("client:127.0.0.10");
    let unblock = ["unblock", "client:127.0.0.10", "--reason", "back", "--grace", "50m"];
    site.daemon.cli(&unblock).done();
    for (ends, (other, by)) in OTHERS.into_iter().zip([HOUR_MS, -HOUR_MS]).enumerate() {
        site.daemon.fail("wall clock", &by.to_string());
        // Twice: the first may be of before.
        for _ in 0..3 {
            site.daemon.wait_notify("WATCHDOG=1", SOON);
        }
        assert_eq!(state(&site, ENTITY), Some("restricted".into()));
        assert_eq!(state(&site, "client:127.0.0.9"), Some("trusted".into()));
        assert_eq!(state(&site, "client:127.0.0.10"), Some("grace".into()));
        assert_protects(&site);
        // Judging goes on, and so does what ends by the clock.
        site.take_over(other).outcome.assert_tempfail();
        let short = ["block", GOOD, "--reason", "for a moment", "--for", "1s"];
        site.daemon.cli(&short).done();
        site.send(GOOD, OURS, REMOTE).assert_tempfail();
        wait_status(&site, "the end of a second", |_| site.send(GOOD, OURS, REMOTE).accepted());
        // Once it is written that it is over, no clock brings it back.
        let lifted = "lifted entity=client:127.0.0.7";
        let count = || site.daemon.log().matches(lifted).count();
        wait_for(lifted, SOON, || site.daemon.log(), || (count() == ends + 1).then_some(()));
    }
    let status = site.daemon.json(&["status"]);
    assert_eq!(status["notes"].as_array().map(Vec::len), Some(0), "{status:#}");
    // A start takes the clock as it finds it: an hour back, nothing is over.
    site.daemon.restart();
    assert_eq!(state(&site, ENTITY), Some("restricted".into()));
    assert_protects(&site);
    site.daemon.mend("wall clock");
    assert_protects(&site);
}
