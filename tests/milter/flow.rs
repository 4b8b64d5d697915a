//! Messages on their way through.

use crate::harness::{Daemon, NOW, refusal};
use connguard::verdict::Action;
use indymilter_test::{Actions, MacroStage, Status, TestConnection};
use std::sync::atomic::Ordering::Relaxed;

#[tokio::test]
async fn a_taken_over_client_is_stopped_and_nobody_else() {
    let daemon = Daemon::start();
    let mut good = daemon.client("127.0.0.7").await;
    let mut bad = daemon.client("127.0.0.8").await;
    for at in 0..20 {
        let status = good.send("a@example.org", "b@example.net").await;
        assert_eq!(status, Status::Continue, "message {at}");
    }
    let mut passed = 0;
    let refused = loop {
        let sender = format!("a@spam{passed}.example");
        match bad.send(&sender, "b@example.net").await {
            Status::Continue => passed += 1,
            refused => break refused,
        }
        assert!(passed < 10, "ten messages passed");
    };
    // `%` doubled: Postfix leaves out a single one.
    assert_eq!(refusal(refused), "451 4.7.1 100%% stopped, case C-000001");
    bad.mail("a@example.org", "").await;
    assert_eq!(refusal(bad.rcpt("b@example.net").await), "451 4.7.1 100%% stopped, case C-000001");
    assert_eq!(bad.rcpt("b@inbound.example").await, Status::Continue);
    assert_eq!(bad.end().await.1, Status::Continue);
    assert_eq!(good.send("a@example.org", "b@example.net").await, Status::Continue);

    // It acts on the session that is open.
    daemon.unblock("client:127.0.0.8");
    assert_eq!(bad.send("a@example.org", "b@example.net").await, Status::Continue);
    assert_eq!(daemon.totals("client:127.0.0.7").messages, 21);
}

#[tokio::test]
async fn what_a_message_shows_of_itself_is_kept_as_evidence() {
    let daemon = Daemon::start();
    let mut mta = daemon.client("127.0.0.8").await;
    mta.mail("a@spam.example", "").await;
    mta.rcpt("b@example.net").await;
    mta.rcpt("c@example.net").await;
    mta.header("Message-ID", "<one@x.example>").await;
    mta.header("from", "Bank\r\n\t<b@bank.example>").await;
    mta.end().await;
    let samples = daemon.tally("client:127.0.0.8").unwrap().samples(|_| true);
    let [sample] = &samples[..] else {
        panic!("{samples:?}");
    };
    assert_eq!(&*sample.sender, "a@spam.example");
    assert_eq!(sample.queue_id.as_deref(), Some("4Xyz1"));
    assert_eq!(sample.from.as_deref(), Some("b@bank.example"));
    assert!(sample.message_id.as_deref().unwrap().contains("one@x.example"));
    assert_eq!(sample.recipients, 2);

    // Nothing of it is left for the next message.
    mta.mail("a@spam.example", "").await;
    mta.rcpt("b@example.net").await;
    mta.end().await;
    let samples = daemon.tally("client:127.0.0.8").unwrap().samples(|_| true);
    assert_eq!(samples[1].from, None);
    assert_eq!(samples[1].message_id, None);
    assert_eq!(samples[1].queue_id.as_deref(), Some("4Xyz2"));
}

#[tokio::test]
async fn senders_without_a_domain_and_without_an_address() {
    let daemon = Daemon::start();
    let mut mta = daemon.client("127.0.0.8").await;
    for sender in ["root", "", "a@mx.example.org", "a@EXAMPLE.org"] {
        assert_eq!(mta.send(sender, "b@example.net").await, Status::Continue);
    }
    let totals = daemon.totals("client:127.0.0.8");
    assert_eq!((totals.messages, totals.null_senders, totals.unregistered), (4, 1, 0));

    // No `@`, and yet a domain: Postfix resolves it.
    let macros = [("j", "mx.example.org"), ("{mail_addr}", "u@evil.example")];
    mta.macros(MacroStage::Mail, &macros).await;
    mta.conn.mail(["<u%evil.example>"]).await.unwrap();
    mta.rcpt("b@example.net").await;
    mta.end().await;
    assert_eq!(daemon.totals("client:127.0.0.8").unregistered, 1);
}

#[tokio::test]
async fn a_held_message_is_quarantined() {
    let daemon = Daemon::start();
    daemon.block("client:127.0.0.8", Action::Hold);
    let mut mta = daemon.client("127.0.0.8").await;
    mta.mail("a@example.org", "").await;
    assert_eq!(mta.rcpt("b@example.net").await, Status::Continue);
    let (actions, status) = mta.end().await;
    assert!(actions.has_quarantine("connguard: suspended relay client, case C-000001"));
    assert_eq!(status, Status::Continue);
    assert_eq!(daemon.engine.counters().held.load(Relaxed), 1);
}

#[tokio::test]
async fn what_cannot_be_held_does_not_pass() {
    let daemon = Daemon::start();
    daemon.block("client:127.0.0.8", Action::Hold);
    let mut mta = TestConnection::configure()
        .available_actions(Actions::empty())
        .open_unix(daemon.socket())
        .await
        .unwrap();
    mta.connect("client", [127, 0, 0, 8]).await.unwrap();
    mta.mail(["<a@example.org>"]).await.unwrap();
    assert_eq!(mta.rcpt(["<b@example.net>"]).await.unwrap(), Status::Continue);
    let (actions, status) = mta.eom().await.unwrap();
    assert!(actions.actions.is_empty());
    assert_eq!(status, Status::Tempfail { message: None });
}

#[tokio::test]
async fn a_reject_is_final_and_its_text_stays_with_it() {
    let daemon = Daemon::start();
    daemon.block("client:127.0.0.8", Action::Reject);
    let mut mta = daemon.client("127.0.0.8").await;
    let refused = mta.send("a@example.org", "b@example.net").await;
    assert!(matches!(refused, Status::Reject { .. }));
    assert_eq!(refusal(refused), "550 5.7.1 100%% stopped, case C-000001");
    daemon.unblock("client:127.0.0.8");
    daemon.block("client:127.0.0.8", Action::Tempfail);
    let refused = mta.send("a@example.org", "b@example.net").await;
    assert_eq!(refusal(refused), "451 4.7.1 100%% stopped, case C-000001");
}

#[tokio::test]
async fn a_client_that_only_retries_is_sent_away() {
    let daemon = Daemon::start();
    daemon.block("client:127.0.0.8", Action::Reject);
    let mut mta = daemon.client("127.0.0.8").await;
    mta.mail("a@example.org", "").await;
    for _ in 0..8 {
        assert!(refusal(mta.rcpt("b@example.net").await).starts_with("550 5.7.1 "));
    }
    let last = mta.rcpt("b@example.net").await;
    assert!(refusal(last).starts_with("421 4.7.1 "));
}

#[tokio::test]
async fn only_unknown_users_speak_against_a_client() {
    let daemon = Daemon::start();
    let mut mta = daemon.client("127.0.0.8").await;
    mta.send("a@example.org", "b@example.net").await;

    mta.mail("a@example.org", "").await;
    for code in ["5.1.1", "5.1.2", "4.1.2", "4.7.1", "5.7.1", "5.5.2"] {
        let macros = ("error", code, "some text of Postfix");
        assert_eq!(mta.rcpt_with("u@example.net", macros).await, Status::Continue);
    }
    mta.conn.abort().await.unwrap();
    daemon
        .until("two unknown users", |daemon| {
            daemon.totals("client:127.0.0.8").unknown_recipients == 2
        })
        .await;

    // An alias that Postfix accepts looks like it. It is delivered here.
    mta.mail("a@example.org", "").await;
    let alias = ("error", "5.1.1 User unknown in virtual alias table", "v@alias.example");
    assert_eq!(mta.rcpt_with("v@alias.example", alias).await, Status::Continue);
    assert_eq!(mta.rcpt_with("u@example.net", ("error", "5.1.1", "no")).await, Status::Continue);
    assert_eq!(mta.end().await.1, Status::Continue);
    // The ABORT behind it counts nothing again.
    mta.send("a@example.org", "b@example.net").await;
    let totals = daemon.totals("client:127.0.0.8");
    assert_eq!(totals.unknown_recipients, 3);
    assert_eq!((totals.messages, totals.recipients), (2, 2));
    assert_eq!(daemon.engine.counters().messages.load(Relaxed), 3);
}

#[tokio::test]
async fn a_lost_connection_counts_what_was_seen() {
    let daemon = Daemon::start();
    let mut mta = daemon.client("127.0.0.8").await;
    mta.send("a@example.org", "b@example.net").await;
    mta.mail("a@example.org", "").await;
    mta.rcpt_with("u@example.net", ("error", "5.1.1", "no")).await;
    drop(mta);
    daemon
        .until("the unknown user", |daemon| {
            daemon.totals("client:127.0.0.8").unknown_recipients == 1
        })
        .await;
    daemon.until("the place", |daemon| daemon.handle.status().connections == 0).await;
}

#[tokio::test]
async fn a_recipient_is_where_postfix_sends_it() {
    let daemon = Daemon::start();
    daemon.block("client:127.0.0.8", Action::Tempfail);
    let mut mta = daemon.client("127.0.0.8").await;
    mta.mail("a@example.org", "").await;
    for (recipient, macros, passes) in [
        ("b@inbound.example", ("smtp", "exchange", "b@inbound.example"), true),
        ("b%evil.example@inbound.example", ("smtp", "evil.example", "b@evil.example"), false),
        ("b@elsewhere.example", ("slow", "elsewhere.example", "b@elsewhere.example"), false),
        ("root", ("local", "mx.example.org", "root@mx.example.org"), true),
        ("b@elsewhere.example", ("", "", ""), false),
    ] {
        let status = mta.rcpt_with(recipient, macros).await;
        assert_eq!(status == Status::Continue, passes, "{recipient}: {status:?}");
    }
}

#[tokio::test]
async fn an_alert_of_our_own_passes_once_whatever_is_restricted() {
    let daemon = Daemon::start();
    daemon.block("client:127.0.0.1", Action::Reject);
    let pass = daemon.engine.passes().issue("mx.example.org", NOW);
    let mut mta = daemon.open().await;
    mta.connect("127.0.0.1", ("127.0.0.1", "25")).await;
    mta.greet(&pass, None).await;
    // After STARTTLS the client greets again.
    mta.greet("mx.example.org", Some(("mx.example.org", "Example CA"))).await;
    assert_eq!(mta.send("connguard@mx.example.org", "b@example.net").await, Status::Continue);
    assert_eq!(daemon.totals("client:127.0.0.1").messages, 0);
    assert_eq!(daemon.engine.counters().messages.load(Relaxed), 0);
    // The session is one as any other from then on.
    mta.mail("connguard@mx.example.org", "").await;
    assert!(refusal(mta.rcpt("b@example.net").await).starts_with("550 "));
    // What stands in a header of the alert is worth nothing.
    let mut copy = daemon.open().await;
    copy.connect("127.0.0.1", ("127.0.0.1", "25")).await;
    copy.greet(&pass, None).await;
    copy.mail("connguard@mx.example.org", "").await;
    assert!(refusal(copy.rcpt("b@example.net").await).starts_with("550 "));
}

#[tokio::test]
async fn a_pass_is_for_one_transaction_even_if_it_comes_to_nothing() {
    let daemon = Daemon::start();
    daemon.block("client:127.0.0.1", Action::Tempfail);
    let pass = daemon.engine.passes().issue("mx.example.org", NOW);
    let mut mta = daemon.open().await;
    mta.connect("127.0.0.1", ("127.0.0.1", "25")).await;
    mta.greet(&pass, None).await;
    mta.mail("connguard@mx.example.org", "").await;
    assert_eq!(mta.rcpt("b@example.net").await, Status::Continue);
    mta.conn.abort().await.unwrap();
    mta.mail("connguard@mx.example.org", "").await;
    assert!(refusal(mta.rcpt("b@example.net").await).starts_with("451 "));
}

#[tokio::test]
async fn a_restricted_organization_may_still_send_delivery_reports() {
    let daemon = Daemon::start();
    daemon.block_organization();
    let mut mta = daemon.client("127.0.0.8").await;
    mta.mail("a@odd.example", "").await;
    assert_eq!(refusal(mta.rcpt("b@example.net").await), "451 4.7.1 100%% stopped, case C-000001");
    assert_eq!(mta.send("a@example.org", "b@example.net").await, Status::Continue);
    // This host is registered by nature.
    assert_eq!(mta.send("root@mx.example.org", "b@example.net").await, Status::Continue);

    let report = "multipart/report;\r\n\tboundary=\"a;b\"; Report-Type=\"delivery-status\"";
    for (content_types, passes) in [
        (&[report][..], true),
        (&[], false),
        (&["multipart/report; boundary=x"], false),
        (&["text/plain", report], false),
        (&[report, "text/plain"], false),
    ] {
        mta.mail("", "").await;
        assert_eq!(mta.rcpt("b@example.net").await, Status::Continue);
        for content_type in content_types {
            mta.header("content-type", content_type).await;
        }
        let status = mta.end().await.1;
        assert_eq!(status == Status::Continue, passes, "{content_types:?}: {status:?}");
    }
    // Nothing of it is left for the next message: here its From speaks for it.
    mta.mail("", "").await;
    mta.rcpt("b@example.net").await;
    mta.header("From", "MAILER-DAEMON@example.org").await;
    assert_eq!(mta.end().await.1, Status::Continue);
    mta.mail("", "").await;
    mta.rcpt("b@example.net").await;
    assert_eq!(refusal(mta.end().await.1), "451 4.7.1 100%% stopped, case C-000001");
}
