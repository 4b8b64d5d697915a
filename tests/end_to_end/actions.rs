//! What a restricted client meets: tempfail, reject, hold; one scope or the
//! other.

use super::harness::site::{INBOUND, OURS, REMOTE, Site, odd};
use super::harness::smtp::Stage;
use super::harness::{SOON, wait_for};

#[test]
fn hold_keeps_mail_in_the_hold_queue_up_to_its_limit() {
    let site = Site::with(|config, _| {
        config.restriction =
            "action = \"hold\"\nhold_limit = { messages = 3, bytes = \"200MB\" }\n".to_owned();
    });
    // Held mail is accepted: the client notices nothing until the limit.
    let mut client = site.client("127.0.0.8");
    let mut accepted = 0;
    let refusal = loop {
        let outcome = client.send(&odd(accepted), REMOTE);
        if !outcome.accepted() {
            break outcome;
        }
        accepted += 1;
        assert!(accepted <= 13, "the limit of held mail does not hold");
    };
    refusal.assert_tempfail();
    assert_eq!(site.postfix.queued_in("hold"), 3);
    assert!(site.postfix.queue_text().contains('!'));
    site.sink.wait_for(accepted - 3, SOON);
    let item = site.daemon.listed("client:127.0.0.8").expect("an entry");
    assert_eq!(item["action"], "hold");
}

#[test]
fn reject_is_final() {
    let site = Site::with(|config, _| {
        config.restriction = "action = \"reject\"\n".to_owned();
    });
    let caught = site.take_over("127.0.0.8");
    caught.outcome.assert_refused(550, "5.7.1");
    let again = site.send("127.0.0.8", OURS, REMOTE);
    again.assert_refused(550, "5.7.1");
    assert_eq!(again.stage, Stage::Rcpt);
}

#[test]
fn a_tempfail_turns_into_reject_late_or_never() {
    let site = Site::with(|config, _| {
        config.restriction = "reject_after = \"3d\"\n".to_owned();
    });
    site.take_over("127.0.0.8").outcome.assert_tempfail();
    site.send("127.0.0.8", OURS, REMOTE).assert_tempfail();
    // A weekend's queue must survive a wrong block: no shorter time is taken.
    let good = std::fs::read_to_string(site.daemon.files().config()).unwrap();
    site.daemon.write_config(&good.replace("\"3d\"", "\"2d\""));
    let answer = site.daemon.cli(&["check"]);
    assert_eq!(answer.code, 1, "{answer:#?}");
    let said = format!("{}{}", answer.stdout, answer.stderr);
    assert!(said.contains("reject_after") && said.contains("3d"), "{said}");
}

#[test]
fn a_connector_has_its_own_action() {
    let site = Site::with(|config, _| {
        config.connector("erp", "clients = [\"127.0.0.8\"]\naction = \"reject\"");
    });
    let caught = site.take_over("127.0.0.8");
    caught.outcome.assert_refused(550, "5.7.1");
    site.take_over("127.0.0.9").outcome.assert_tempfail();
}

#[test]
fn an_operator_chooses_the_action() {
    let site = Site::start();
    site.send("127.0.0.8", OURS, REMOTE).assert_accepted();
    let mut block = vec!["block", "client:127.0.0.8", "--reason", "stolen"];
    block.extend(["--action", "reject"]);
    site.daemon.cli(&block).done();
    let refused = site.send("127.0.0.8", OURS, REMOTE);
    refused.assert_refused(550, "5.7.1");
}

#[test]
fn scope_all_stops_inbound_mail_too() {
    let site = Site::with(|config, _| config.restriction = "scope = \"all\"\n".to_owned());
    site.take_over("127.0.0.8");
    site.send("127.0.0.8", OURS, INBOUND).assert_tempfail();
    site.send("127.0.0.7", OURS, INBOUND).assert_accepted();
}

#[test]
fn the_reply_is_the_configured_one_and_its_percent_sign_survives() {
    let site = Site::with(|config, _| {
        config.restriction = "reply = \"Stopped 100% ({case}), call 555\"\n".to_owned();
    });
    let caught = site.take_over("127.0.0.8");
    let text = &caught.outcome.reply.text;
    assert!(text.contains("Stopped 100% (C-"), "{text}");
    assert!(text.contains("), call 555"), "{text}");
}

#[test]
fn local_submission_is_held_for_it_has_no_queue_of_its_own() {
    let site = Site::with(|_, settings| settings.milter_for_local_mail());
    for n in 0..11 {
        site.postfix.sendmail(&odd(n), REMOTE);
    }
    // Whatever passed has reached the sink, the rest is on hold, and nothing
    // stays in maildrop.
    wait_for(
        "eleven messages, delivered or held",
        SOON,
        || site.postfix.log_tail(),
        || Some(()).filter(|()| site.sink.count() + site.postfix.queued_in("hold") == 11),
    );
    assert!(site.sink.count() <= 10);
    let item = site.daemon.listed("local").expect("an entry");
    assert_eq!(item["action"], "hold");
    // A client on the same host is another connector.
    site.send("127.0.0.1", OURS, REMOTE).assert_accepted();
}

#[test]
fn a_hard_limit_is_a_limit() {
    let site = Site::with(|config, _| {
        let limits = "clients = [\"127.0.0.8\"]\nlimits = { messages_per_hour = 20 }";
        config.connector("erp", limits);
    });
    let mut client = site.client("127.0.0.8");
    let passed = (0..40).take_while(|_| client.send(OURS, REMOTE).accepted()).count();
    assert_eq!(passed, 20);
    site.send("127.0.0.7", OURS, REMOTE).assert_accepted();
}
