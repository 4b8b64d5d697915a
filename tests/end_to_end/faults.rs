//! What production does to the daemon, and what that does to mail, to restrictions and
//! to what the operator sees. Each test has its row of README's table above it;
//! `table` holds the two together. Some rows are shown elsewhere, where they belong.

mod clock;
mod disk;
mod limits;
mod panics;
mod process;
mod table;

use serde_json::Value;

use super::harness::site::{OURS, REMOTE, Site, Tells};
use super::harness::{SOON, wait_for};

/// Who is restricted before anything fails, and who always behaves.
const BAD: &str = "127.0.0.8";
const GOOD: &str = "127.0.0.7";
const ENTITY: &str = "client:127.0.0.8";

/// What leads to a place that is to fail.
type Lead = fn(&Site);

/// A site with a restricted client.
fn restricted() -> Site {
    let site = Site::start();
    site.send(BAD, OURS, REMOTE).assert_accepted();
    site.block(ENTITY);
    site
}

/// Mail passes and is judged, and who is restricted is refused.
#[track_caller]
fn assert_protects<D: Tells>(site: &Site<D>) {
    let before = messages(site);
    site.send(GOOD, OURS, REMOTE).assert_accepted();
    assert_eq!(messages(site), before + 1, "it was not judged");
    site.send(BAD, OURS, REMOTE).assert_tempfail();
}

fn messages<D: Tells>(site: &Site<D>) -> u64 {
    site.daemon.json(&["status"])["messages"].as_u64().expect("a number")
}

/// Waits until the status is so, and returns it.
#[track_caller]
fn wait_status<D: Tells>(site: &Site<D>, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    wait_for(
        what,
        SOON,
        || format!("{:#}\n{}", site.daemon.json(&["status"]), site.daemon.log()),
        || Some(site.daemon.json(&["status"])).filter(|status| is(status)),
    )
}

/// Whether the notes of a status have one with all of these.
fn has_note(status: &Value, parts: &[&str]) -> bool {
    let notes = status["notes"].as_array().expect("notes");
    let mut notes = notes.iter().filter_map(Value::as_str);
    notes.any(|note| parts.iter().all(|part| note.contains(part)))
}
