//! What an entity has in the queue of Postfix: put on hold and let go by whoever
//! calls `hold` and `release`, and nothing else of the queue with it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::harness::sink::{HandBack, Sink};
use super::harness::site::{OURS, REMOTE, Site};
use super::harness::{SOON, wait_for};

const BAD: &str = "127.0.0.8";
const GOOD: &str = "127.0.0.9";

/// Queue ids in the queue of this name, or in any other one.
fn in_hold(site: &Site, hold: bool) -> BTreeSet<String> {
    let queue = site.postfix.queue();
    let meant = queue.iter().filter(|message| (message["queue_name"] == "hold") == hold);
    meant.map(|message| message["queue_id"].as_str().unwrap().to_owned()).collect()
}

fn ids(answer: &Value) -> BTreeSet<String> {
    let ids = answer["queue_ids"].as_array().unwrap().iter();
    ids.map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// `hold` or `release` of this entity in this site's queue.
fn arguments<'a>(command: &'a str, what: &'a str, directory: &'a str) -> Vec<&'a str> {
    vec![command, what, "-c", directory, "--json"]
}

#[test]
fn what_waits_is_put_on_hold_and_let_go() {
    let site = Site::following(|_, _| ());
    let directory = site.postfix.config_directory().display().to_string();
    let ask = |command, what| site.daemon.cli(&arguments(command, what, &directory));
    let entity = "client:127.0.0.8";
    // What is delivered is not in the queue any more.
    site.send(BAD, OURS, REMOTE).assert_accepted();
    site.sink.wait_for(1, SOON);
    site.send(GOOD, OURS, "full-full-full-full-full-1@remote.test").assert_accepted();
    let others = in_hold(&site, false);
    let nothing = ask("hold", entity);
    assert_eq!(nothing.code, 1, "{nothing:#?}");
    assert!(nothing.stderr.contains("nothing of \"client:127.0.0.8\" is in the queue"));
    for n in 0..3 {
        let to = format!("full-full-full-full-full-{n}{n}@remote.test");
        site.send(BAD, OURS, &to).assert_accepted();
    }
    site.block(entity);
    let held = ids(&ask("hold", entity).json());
    assert_eq!((held.len(), &held), (3, &in_hold(&site, true)));
    assert!(!others.is_empty() && in_hold(&site, false).is_subset(&others));
    let again = ask("hold", entity);
    assert_eq!(again.code, 1, "{again:#?}");
    assert!(again.stderr.contains("on hold already"), "{again:#?}");
    // Under its case it is the same, and the case tells who did it.
    let case = site.daemon.listed(entity).unwrap()["case"].as_str().unwrap().to_owned();
    let released = ids(&ask("release", &case).json());
    assert_eq!(released, held);
    assert!(in_hold(&site, true).is_empty());
    let none = ask("release", entity);
    assert_eq!(none.code, 1, "{none:#?}");
    let log = site.daemon.log();
    assert!(log.contains("put on hold in the queue") && log.contains("messages=3"), "{log}");
}

#[test]
fn a_message_is_found_behind_a_content_filter() {
    let back = super::harness::free_port();
    let filter = HandBack { port: back, tells_queue_id: true, xforward: false };
    let filter = Sink::start_hand_back(filter);
    let site = Site::following(|config, settings| {
        let ignored = format!("ignore_daemons = [\"127.0.0.1:{back}\"]\n");
        config.milter.push_str(&ignored);
        settings.content_filter(&filter, back);
    });
    let directory = site.postfix.config_directory().display().to_string();
    let to = "full-full-full-full-full-1@remote.test";
    site.send(BAD, OURS, to).assert_accepted();
    let deferred = || site.postfix.queue().pop().filter(|it| it["queue_name"] == "deferred");
    wait_for("a message behind the filter", SOON, || site.postfix.log_tail(), deferred);
    let hold = arguments("hold", "client:127.0.0.8", &directory);
    let done = wait_for(
        "it is known",
        SOON,
        || site.daemon.log(),
        || Some(site.daemon.cli(&hold)).filter(|answer| answer.code == 0),
    );
    assert_eq!(ids(&done.json()), in_hold(&site, true));
}

#[test]
fn the_busiest_connectors_are_shown() {
    let site = Site::start();
    for _ in 0..3 {
        site.send(BAD, OURS, REMOTE).assert_accepted();
    }
    site.send(GOOD, OURS, REMOTE).assert_accepted();
    site.block("client:127.0.0.9");
    site.send(GOOD, OURS, REMOTE).assert_tempfail();
    let top = site.daemon.json(&["top"]);
    let top = top.as_array().unwrap();
    let find = |entity: &str| top.iter().find(|view| view["entity"] == entity).unwrap();
    assert_eq!(find("client:127.0.0.8")["messages"], 3);
    assert_eq!(find("client:127.0.0.9")["state"], "restricted");
    assert!(find("client:127.0.0.9")["refused"].as_u64().unwrap() > 0);
    let text = site.daemon.cli(&["top", "--lines", "1"]).done().stdout;
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("client:127.0.0.8"), "{text}");
}
