//! Several connectors of one organization turn bad: mail in foreign names is
//! refused on all of them, mail in its own name passes on those that are clean.

use super::harness::SOON;
use super::harness::config::Config;
use super::harness::site::{OURS, REMOTE, Site, odd};
use super::harness::smtp::{Letter, Outcome, Stage, case_in};

/// The connectors of the organization; the last one stays clean.
const CONNECTORS: [(&str, &str); 4] =
    [("erp", "127.0.0.11"), ("crm", "127.0.0.12"), ("web", "127.0.0.13"), ("hr", "127.0.0.14")];
const CLEAN: &str = "127.0.0.14";
const ENTITY: &str = "organization:default";
/// Somebody else's domain that the clean connector writes in now and then.
const PARTNER: &str = "list@partner.test";

fn connectors(config: &mut Config) {
    for (name, client) in CONNECTORS {
        config.connector(name, &format!("clients = [\"{client}\"]"));
    }
}

/// Lets all but the clean connector turn bad. Gives what passed.
#[track_caller]
fn turn_bad(site: &Site) -> usize {
    let bad = CONNECTORS.iter().filter(|(_, client)| *client != CLEAN);
    let mut passed = 0;
    for (start, (name, client)) in bad.enumerate() {
        let caught = (0..=12).find_map(|n| {
            let outcome = site.send(client, &odd(100 * start + n), REMOTE);
            passed += usize::from(outcome.accepted());
            (!outcome.accepted()).then_some(outcome)
        });
        let caught = caught.unwrap_or_else(|| panic!("thirteen odd messages of {name} passed"));
        caught.assert_tempfail();
    }
    passed
}

fn null_sender(site: &Site, author: &str, header: &str) -> Outcome {
    let letter = Letter { author, header, ..Letter::new("", REMOTE) };
    site.client(CLEAN).post(&letter)
}

#[test]
fn three_bad_connectors_restrict_foreign_names_of_the_fourth_only() {
    let site = Site::with(|config, _| connectors(config));
    let mut sent = 0;
    for _ in 0..5 {
        site.send(CLEAN, OURS, REMOTE).assert_accepted();
        sent += 1;
    }
    site.send(CLEAN, PARTNER, REMOTE).assert_accepted();
    sent += 1 + turn_bad(&site);

    let item = site.daemon.listed(ENTITY).expect("the organization is restricted");
    assert_eq!(item["kind"], "organization", "{item}");
    assert_eq!(item["by"], "judgement", "{item}");
    assert_eq!(site.daemon.listed("connector:hr"), None);
    // Of the fourth, still clean, what is not in its own name is refused ...
    let refused = site.send(CLEAN, PARTNER, REMOTE);
    refused.assert_tempfail();
    assert_eq!(refused.stage, Stage::Rcpt);
    assert_eq!(case_in(&refused.reply.text).as_deref(), item["case"].as_str());
    // ... and the rest passes, in the same session too.
    let mut session = site.client(CLEAN);
    session.send(PARTNER, REMOTE).assert_tempfail();
    for _ in 0..5 {
        session.send(OURS, REMOTE).assert_accepted();
        sent += 1;
    }
    site.sink.wait_for(sent, SOON);

    // Lifted, it may write in a partner's name again.
    let unblock = ["unblock", ENTITY, "--reason", "passwords changed", "--force"];
    site.daemon.cli(&unblock).done();
    site.send(CLEAN, PARTNER, REMOTE).assert_accepted();
}

#[test]
fn without_a_sender_the_end_of_the_message_decides() {
    let site = Site::with(|config, _| connectors(config));
    site.send(CLEAN, OURS, REMOTE).assert_accepted();
    site.block(ENTITY);
    let report = "MIME-Version: 1.0\r\nContent-Type: multipart/report; \
                  report-type=delivery-status; boundary=\"x\"\r\n";
    // A delivery report of our own passes, and so does mail in our own name.
    null_sender(&site, "MAILER-DAEMON@mx.example.org", report).assert_accepted();
    null_sender(&site, OURS, "").assert_accepted();
    // In a foreign name it is refused, once its name is known.
    let refused = null_sender(&site, "win@odd1.test", "");
    refused.assert_tempfail();
    assert_eq!(refused.stage, Stage::End);
    site.sink.wait_for(3, SOON);
}

#[test]
fn one_bad_connector_is_not_its_organization() {
    let site = Site::with(|config, _| connectors(config));
    for _ in 0..5 {
        site.send(CLEAN, OURS, REMOTE).assert_accepted();
    }
    site.take_over("127.0.0.11").outcome.assert_tempfail();
    assert_eq!(site.daemon.listed(ENTITY), None);
    site.send(CLEAN, PARTNER, REMOTE).assert_accepted();
}

#[test]
fn a_restricted_organization_outlives_kill_9() {
    let mut site = Site::with(|config, _| connectors(config));
    site.send(CLEAN, OURS, REMOTE).assert_accepted();
    turn_bad(&site);
    let before = site.daemon.listed(ENTITY).expect("an entry");
    site.daemon.wait_log(&format!("restricted entity={ENTITY}"), SOON);
    site.daemon.kill9();
    site.daemon.start_again();
    let refused = site.send(CLEAN, PARTNER, REMOTE);
    refused.assert_tempfail();
    assert_eq!(case_in(&refused.reply.text).as_deref(), before["case"].as_str());
    site.send(CLEAN, OURS, REMOTE).assert_accepted();
}
