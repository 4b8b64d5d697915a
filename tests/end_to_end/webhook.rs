//! The other channels of alerts: a webhook that hangs, fails or is not there
//! delays no mail and no other channel, is tried again within bounds, and gets
//! all of it in the end. And a command of the administrator's own.
//!
//! The clock is the test's: nobody tries again before it is moved.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::harness::clocked::Clocked;
use super::harness::config::Config;
use super::harness::hook::{Hook, Mood, Post};
use super::harness::mailbox::{ADMIN, Mailbox};
use super::harness::pager::Pager;
use super::harness::site::{OURS, REMOTE, Site, Tells};
use super::harness::{SOON, wait_for};

const MINUTE: Duration = Duration::from_secs(60);
/// How long a request may hang before it counts as failed, and some more.
const HUNG: Duration = Duration::from_secs(45);
const SECRET: &str = "correct horse battery staple";

const CLIENT: &str = "127.0.0.8";
const ENTITY: &str = "connector:erp";

/// The client that is taken over; that others are new is not told.
fn erp(config: &mut Config) {
    config.sections.push_str("\n[judgement]\nnew_connector_alert = false\n");
    config.connector("erp", &format!("clients = [\"{CLIENT}\"]"));
}

/// A site that tells by webhook, and by mail, which always works.
fn hooked(hook: &Hook) -> (Site<Clocked>, Mailbox) {
    let mut mailbox = None;
    let site = Site::clocked_with(|config, settings| {
        let secret = settings.dir().join("webhook.secret");
        std::fs::write(&secret, format!("{SECRET}\n")).expect("a file with the secret");
        super::harness::set_mode(&secret, 0o600);
        mailbox = Some(settings.mailbox());
        config.alert_mail(&[ADMIN], settings.port());
        config.alert.push_str(&format!(
            "webhook = {:?}\nwebhook_secret_file = {:?}\n",
            hook.url(),
            secret.display().to_string()
        ));
        erp(config);
    });
    (site, mailbox.expect("a mailbox"))
}

#[track_caller]
fn id(alert: &Value) -> String {
    alert["id"].as_str().unwrap_or_else(|| panic!("no id in {alert:#}")).to_owned()
}

/// The ids of all alerts that the daemon lists for this channel. (That a channel
/// fails is told through the others.)
fn ids(site: &Site<Clocked>, channel: &str) -> BTreeSet<String> {
    let alerts = site.daemon.json(&["alerts"]);
    let is_for_it = |alert: &&Value| {
        let channels = alert["channels"].as_array().expect("channels");
        channels.iter().any(|it| it["channel"] == channel)
    };
    alerts.as_array().expect("an array").iter().filter(is_for_it).map(id).collect()
}

/// Waits until the hook has taken every alert there is, each once and with our
/// signature; the clock goes on meanwhile.
#[track_caller]
fn assert_all_taken(site: &Site<Clocked>, hook: &Hook) -> Vec<Value> {
    let taken = || -> Vec<String> { hook.taken().iter().map(|post| id(&post.json())).collect() };
    let mut waited: Option<Instant> = None;
    wait_for(
        "all alerts at the webhook",
        3 * HUNG,
        || format!("{:#?}\n{:#?}", ids(site, "webhook"), taken()),
        || {
            // The longest pause between two tries; then it has its time.
            if waited.is_none_or(|since| since.elapsed() > HUNG) {
                site.daemon.advance(10 * MINUTE);
                waited = Some(Instant::now());
            }
            let (all, taken) = (ids(site, "webhook"), taken());
            (!all.is_empty() && all.iter().all(|id| taken.contains(id))).then_some(())
        },
    );
    let unique: BTreeSet<_> = taken().into_iter().collect();
    assert_eq!(unique.len(), taken().len(), "taken twice: {:#?}", taken());
    assert!(hook.taken().iter().all(|post| post.is_signed_with(SECRET.as_bytes())));
    wait_status(site, "nothing that waits", |alerts| alerts["queued"] == 0);
    hook.taken().iter().map(Post::json).collect()
}

/// Mail of others flows as if nothing was.
#[track_caller]
fn assert_mail_flows(site: &Site<Clocked>) {
    let before = site.sink.count_from(OURS);
    let start = Instant::now();
    for _ in 0..20 {
        site.send("127.0.0.7", OURS, REMOTE).assert_accepted();
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    wait_for("their delivery", SOON, String::new, || {
        Some(()).filter(|()| site.sink.count_from(OURS) == before + 20)
    });
}

/// What the status says of the alerts, once it is as wanted.
#[track_caller]
fn wait_status(site: &Site<Clocked>, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    wait_for(
        &format!("{what} in the status"),
        HUNG,
        || format!("{:#}", site.daemon.json(&["status"])["alerts"]),
        || Some(site.daemon.json(&["status"])["alerts"].take()).filter(|alerts| is(alerts)),
    )
}

/// Waits until the status says, to a person too, that the webhook fails so.
#[track_caller]
fn assert_failure_is_shown(site: &Site<Clocked>, error: &str) {
    wait_status(site, "the failure", |alerts| {
        let channels = alerts["channels"].as_array().cloned().unwrap_or_default();
        let is_it = |it: &Value| it["error"].as_str().is_some_and(|text| text.contains(error));
        channels.iter().any(|it| it["channel"] == "webhook" && is_it(it))
            && alerts["queued"].as_u64() > Some(0)
    });
    let text = site.daemon.cli(&["status"]).done().stdout;
    assert!(text.contains("webhook") && text.contains(error), "{text}");
}

/// Lets the erp be taken over, and the daemon tell it.
#[track_caller]
fn incident(site: &Site<Clocked>) {
    site.take_over(CLIENT).outcome.assert_tempfail();
    site.daemon.advance(2 * MINUTE);
}

#[test]
fn a_webhook_gets_what_is_told_and_can_tell_that_it_is_from_us() {
    let hook = Hook::start();
    let (site, mailbox) = hooked(&hook);
    incident(&site);
    let told = |post: &Post| post.json()["kind"] == "restricted";
    let posts = || hook.posts().iter().map(|it| it.json().to_string() + "\n").collect::<String>();
    let post = wait_for("the webhook of the restriction", SOON, posts, || {
        hook.taken().into_iter().find(|post| told(post))
    });
    assert!(post.line.starts_with("POST /connguard HTTP/1.1"), "{}", post.line);
    let kind = post.header("Content-Type").unwrap_or_default();
    assert!(kind.starts_with("application/json"), "{kind}");
    assert!(post.is_signed_with(SECRET.as_bytes()), "{:?}", post.headers);
    assert!(!post.is_signed_with(b"another secret"));
    let alert = post.json();
    assert_eq!(alert["entity"], ENTITY, "{alert:#}");
    let item = site.daemon.listed(ENTITY).expect("an entry");
    assert_eq!(alert["case"], item["case"], "{alert:#}");
    assert_all_taken(&site, &hook);
    mailbox.wait_note("the same by mail", |note| note.id().contains(&id(&alert)));
    let status = wait_status(&site, "nothing that waits", |alerts| alerts["queued"] == 0);
    assert_eq!(status["failed"], 0, "{status}");
}

/// | a channel of alerts hangs, fails or is down | passes, not delayed | enforced | `status`:
/// NOT HEALTHY and why; told through the other channels; alerts are tried again for a day |
#[test]
fn a_webhook_that_hangs_holds_up_nothing() {
    let hook = Hook::start();
    hook.mood(Mood::Hang);
    let (site, mailbox) = hooked(&hook);
    incident(&site);
    hook.wait_tried(1, SOON);
    assert_mail_flows(&site);
    // The other channel has told it.
    mailbox.wait_note("the alert", |note| note.text.contains(ENTITY));
    // While it hangs, others are stopped, lifted, asked about as ever.
    site.take_over("127.0.0.9").outcome.assert_tempfail();
    site.send("127.0.0.9", OURS, REMOTE).assert_tempfail();
    let unblock = ["unblock", "client:127.0.0.9", "--reason", "cleaned", "--force"];
    site.daemon.cli(&unblock).done();
    site.send("127.0.0.9", OURS, REMOTE).assert_accepted();
    assert_mail_flows(&site);
    // Nobody waits for ever; the status says of whom and why.
    assert_failure_is_shown(&site, "127.0.0.1");
    assert_eq!(hook.posts().len(), 1, "nothing is tried again before its time");

    hook.mood(Mood::Status(200));
    let taken = assert_all_taken(&site, &hook);
    assert!(taken.iter().any(|alert| alert["entity"] == ENTITY), "{taken:#?}");
}

#[test]
fn a_webhook_that_answers_500_is_tried_within_bounds_and_gets_it_all_later() {
    let hook = Hook::start();
    hook.mood(Mood::Status(500));
    let (mut site, _mailbox) = hooked(&hook);
    incident(&site);
    hook.wait_tried(1, SOON);
    assert_failure_is_shown(&site, "500");
    assert_mail_flows(&site);
    // Three hours of it, in which more happens.
    for _ in 0..90 {
        let before = hook.posts().len();
        site.daemon.advance(2 * MINUTE);
        // Long enough for whoever wants to try.
        let end = Instant::now() + Duration::from_millis(300);
        wait_for("another try", SOON, String::new, || {
            (hook.posts().len() > before || Instant::now() > end).then_some(())
        });
    }
    // A few at first, and then one in ten minutes.
    let tried = hook.posts().len();
    assert!((5..=40).contains(&tried), "{tried} requests in three hours");
    // What it did not get outlives the daemon.
    site.daemon.restart_after(MINUTE);
    assert_failure_is_shown(&site, "500");
    hook.mood(Mood::Status(200));
    let taken = assert_all_taken(&site, &hook);
    assert!(taken.iter().any(|alert| alert["kind"] == "restricted"), "{taken:#?}");
    assert!(taken.iter().any(|alert| alert["kind"] == "still_restricted"), "{taken:#?}");
}

#[test]
fn a_webhook_that_is_down_gets_it_all_when_it_is_back() {
    let mut hook = Hook::start();
    hook.down();
    let (mut site, mailbox) = hooked(&hook);
    incident(&site);
    mailbox.wait_note("the alert by mail", |note| note.text.contains(ENTITY));
    assert_failure_is_shown(&site, "127.0.0.1");
    assert_mail_flows(&site);
    let unblock = ["unblock", ENTITY, "--reason", "cleaned", "--force"];
    site.daemon.cli(&unblock).done();
    site.daemon.advance(2 * MINUTE);
    // It may be told with the trouble that the webhook is.
    mailbox.wait_note("the second by mail", |note| note.text.contains("lifted"));
    site.daemon.restart_after(10 * MINUTE);
    hook.up();
    let taken = assert_all_taken(&site, &hook);
    let last = taken.last().expect("an alert");
    assert!(last.to_string().contains("lifted"), "in order: {taken:#?}");
}

#[test]
fn a_command_reads_the_alert_and_each_once() {
    let mut pager = None;
    let site = Site::clocked_with(|config, settings| {
        let made = Pager::create(settings.dir());
        config.alert.push_str(&format!("command = [{:?}]\n", made.command()));
        erp(config);
        pager = Some(made);
    });
    let pager = pager.expect("a pager");
    incident(&site);
    let is_it = |page: &Value| page["kind"] == "restricted" && page["entity"] == ENTITY;
    wait_for(
        "the page of the restriction",
        SOON,
        || format!("{:#?}", pager.pages()),
        || pager.pages().into_iter().find(is_it),
    );
    site.daemon.cli(&["alerts", "test"]).done();
    let pages = pager.wait_for(ids(&site, "command").len(), SOON);
    let unique: BTreeSet<_> = pages.iter().map(id).collect();
    assert_eq!(unique, ids(&site, "command"), "{pages:#?}");
}

#[test]
fn a_test_says_which_channel_fails() {
    let hook = Hook::start();
    hook.mood(Mood::Status(500));
    let (site, mailbox) = hooked(&hook);
    let answer = site.daemon.cli(&["alerts", "test"]);
    assert_ne!(answer.code, 0, "{answer:#?}");
    let said = format!("{}{}", answer.stdout, answer.stderr);
    assert!(said.contains("webhook") && said.contains("500"), "{answer:#?}");
    mailbox.wait_note("the test by mail", |note| note.subject().to_lowercase().contains("test"));
}
