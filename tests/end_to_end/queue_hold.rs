//! What of an entity is still in the queue of Postfix: `show` names it, `hold`
//! keeps it back, `release` lets it go.

use std::collections::BTreeSet;

use serde_json::Value;

use super::harness::postfix::Settings;
use super::harness::sink::{HandBack, Sink};
use super::harness::site::{OURS, Site};
use super::harness::{SOON, free_port, wait_for};

const CLIENT: &str = "127.0.0.8";
const ENTITY: &str = "client:127.0.0.8";
const HONEST: &str = "127.0.0.7";

/// Queue ids of what Postfix has from this sender, in this queue or in any.
fn ids(site: &Site, from: &str, queue: Option<&str>) -> BTreeSet<String> {
    let is_it = |message: &&Value| {
        message["sender"] == from && queue.is_none_or(|name| message["queue_name"] == name)
    };
    let id = |message: &Value| message["queue_id"].as_str().expect("a queue id").to_owned();
    site.postfix.queue().iter().filter(is_it).map(id).collect()
}

/// Waits until so many of this sender are in a queue, and gives their ids.
#[track_caller]
fn wait_ids(site: &Site, from: &str, queue: Option<&str>, n: usize) -> BTreeSet<String> {
    wait_for(
        &format!("{n} messages of {from} in the queue {queue:?}"),
        SOON,
        || site.postfix.queue_text(),
        || Some(ids(site, from, queue)).filter(|ids| ids.len() == n),
    )
}

/// Waits until `show` names exactly these queue ids as being in the queue.
#[track_caller]
fn wait_shown(site: &Site, what: &str, wanted: &BTreeSet<String>) {
    let shown = || -> BTreeSet<String> {
        let shown = site.daemon.json(&["show", what]);
        let items = shown["queue"].as_array().cloned().unwrap_or_default();
        items.iter().map(|it| it["queue_id"].as_str().unwrap_or_default().to_owned()).collect()
    };
    wait_for(
        &format!("{wanted:?} in show {what}"),
        SOON,
        || format!("{:?}\n{}", shown(), site.daemon.cli(&["show", what]).stdout),
        || Some(()).filter(|()| shown() == *wanted),
    );
    let text = site.daemon.cli(&["show", what]).done().stdout;
    for id in wanted {
        assert!(text.contains(id.as_str()), "{id} is not in\n{text}");
    }
}

/// Nothing is tried again while the test looks at it.
fn rarely(settings: &mut Settings) {
    for name in ["queue_run_delay", "minimal_backoff_time", "maximal_backoff_time"] {
        settings.set(name, "1h");
    }
}

/// Sends messages that no server takes for now.
fn stuck(site: &Site, client: &str, from: &str, n: usize) {
    let mut session = site.client(client);
    for i in 0..n {
        session.send(from, &format!("full-{i}@remote.test")).assert_accepted();
    }
}

/// `hold` or `release`, of this site's Postfix.
#[track_caller]
fn queue_command(site: &Site, command: &str, what: &str) -> String {
    let config = site.postfix.config_directory().display().to_string();
    site.daemon.cli(&[command, what, "--postfix", &config]).done().stdout
}

#[test]
fn hold_and_release_touch_what_an_entity_has_in_the_queue_and_nothing_else() {
    let site = Site::following(|_, settings| rarely(settings));
    let (bad, good) = ("carol@example.org", "dave@example.org");
    stuck(&site, CLIENT, bad, 4);
    stuck(&site, HONEST, good, 3);
    // What was delivered is in no queue.
    site.send(CLIENT, bad, "friend@remote.test").assert_accepted();
    site.sink.wait_for(1, SOON);
    let waiting = wait_ids(&site, bad, Some("deferred"), 4);
    let of_others = wait_ids(&site, good, Some("deferred"), 3);
    wait_shown(&site, ENTITY, &waiting);

    let said = queue_command(&site, "hold", ENTITY);
    assert!(said.contains('4'), "{said}");
    assert_eq!(wait_ids(&site, bad, Some("hold"), 4), waiting);
    assert_eq!(wait_ids(&site, good, Some("deferred"), 3), of_others);
    wait_shown(&site, ENTITY, &waiting);

    let said = queue_command(&site, "release", ENTITY);
    assert!(said.contains('4'), "{said}");
    wait_ids(&site, bad, Some("hold"), 0);
    assert_eq!(wait_ids(&site, bad, None, 4), waiting);
    assert_eq!(wait_ids(&site, good, None, 3), of_others);
}

#[test]
fn only_the_senders_own_mail_is_held() {
    let site = Site::following(|config, settings| {
        config.connector("hub", &format!("clients = [\"{CLIENT}\"]"));
        rarely(settings);
    });
    let (bad, good) = ("carol@example.org", "dave@example.org");
    stuck(&site, CLIENT, bad, 3);
    stuck(&site, CLIENT, good, 2);
    let waiting = wait_ids(&site, bad, Some("deferred"), 3);
    wait_ids(&site, good, Some("deferred"), 2);
    let sender = format!("sender:{bad},via=connector:hub");
    wait_shown(&site, &sender, &waiting);
    queue_command(&site, "hold", &sender);
    assert_eq!(wait_ids(&site, bad, Some("hold"), 3), waiting);
    assert_eq!(ids(&site, good, Some("hold")).len(), 0);
    queue_command(&site, "release", &sender);
    wait_ids(&site, bad, Some("hold"), 0);
}

#[test]
fn a_message_is_followed_through_a_content_filter_until_it_is_gone() {
    let back = free_port();
    let how = HandBack { port: back, tells_queue_id: true, xforward: true };
    let filter = Sink::start_hand_back(how);
    let site = Site::following(|config, settings| {
        config.milter.push_str(&format!("ignore_daemons = [\"127.0.0.1:{back}\"]\n"));
        settings.content_filter(&filter, back);
        rarely(settings);
    });
    // The filter takes them all; behind it nobody does.
    stuck(&site, CLIENT, OURS, 3);
    let waiting = wait_ids(&site, OURS, Some("deferred"), 3);
    // Shown is what there is to act on: the ids that it has now.
    wait_shown(&site, ENTITY, &waiting);
    // Postfix throws it away, and says so in its log.
    let config = site.postfix.config_directory();
    let mut postsuper = std::process::Command::new("postsuper");
    postsuper.arg("-c").arg(config);
    // (Of ALL, Postfix logs no queue id.)
    super::harness::run_ok(postsuper.args(waiting.iter().flat_map(|id| ["-d", id])));
    wait_shown(&site, ENTITY, &BTreeSet::new());
}

#[test]
fn what_connguard_holds_is_shown_and_released() {
    let site = Site::following(|config, _| config.restriction = "action = \"hold\"\n".to_owned());
    site.send(CLIENT, OURS, "friend@remote.test").assert_accepted();
    site.sink.wait_for(1, SOON);
    site.block(ENTITY);
    for _ in 0..3 {
        site.send(CLIENT, OURS, "friend@remote.test").assert_accepted();
    }
    let held = wait_ids(&site, OURS, Some("hold"), 3);
    wait_shown(&site, ENTITY, &held);
    queue_command(&site, "release", ENTITY);
    site.sink.wait_for(4, SOON);
    wait_shown(&site, ENTITY, &BTreeSet::new());
}

#[test]
fn nothing_in_the_queue_is_said() {
    let site = Site::following(|_, _| ());
    site.send(CLIENT, OURS, "friend@remote.test").assert_accepted();
    site.sink.wait_for(1, SOON);
    wait_shown(&site, ENTITY, &BTreeSet::new());
    let config = site.postfix.config_directory().display().to_string();
    let answer = site.daemon.cli(&["hold", ENTITY, "--postfix", &config]);
    assert_eq!(answer.code, 1, "{answer:#?}");
    assert!(answer.stderr.contains("nothing of"), "{answer:#?}");
}
