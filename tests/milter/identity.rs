//! Who a session is, and when that changes.

use crate::harness::{Daemon, refusal};
use connguard::verdict::Action;
use indymilter_test::{MacroStage, SocketInfo, Status};

#[tokio::test]
async fn two_messages_in_one_session_with_different_logins() {
    let daemon = Daemon::start();
    let mut mta = daemon.client("192.0.2.1").await;
    for login in ["Alice", "bob@other.example", "ALICE", ""] {
        mta.mail("a@example.org", login).await;
        assert_eq!(mta.rcpt("b@example.net").await, Status::Continue);
        assert_eq!(mta.end().await.1, Status::Continue);
    }
    assert_eq!(daemon.totals("login:alice@example.org").messages, 2);
    assert_eq!(daemon.totals("login:bob@other.example").messages, 1);
    // Without the login it has no right to relay: not a connector.
    assert_eq!(daemon.engine.roster().len(), 2);

    daemon.block("login:alice@example.org", Action::Tempfail);
    mta.mail("a@example.org", "bob@other.example").await;
    assert_eq!(mta.rcpt("b@example.net").await, Status::Continue);
    mta.conn.abort().await.unwrap();
    mta.mail("a@example.org", "alice").await;
    assert!(refusal(mta.rcpt("b@example.net").await).starts_with("451 "));
}

#[tokio::test]
async fn empty_macros_are_none() {
    let daemon = Daemon::start();
    let mut mta = daemon.open().await;
    let empty = ["{daemon_addr}", "{daemon_port}", "{client_addr}"].map(|name| (name, ""));
    mta.conn.macros(MacroStage::Connect, empty).await.unwrap();
    mta.conn.connect("client", [127, 0, 0, 8]).await.unwrap();
    let empty = ["j", "{cert_subject}", "{cert_issuer}"].map(|name| (name, ""));
    mta.conn.macros(MacroStage::Helo, empty).await.unwrap();
    mta.conn.helo("client").await.unwrap();
    let empty = ["j", "{mail_addr}", "{auth_authen}"].map(|name| (name, ""));
    mta.conn.macros(MacroStage::Mail, empty).await.unwrap();
    mta.conn.mail(["<a@example.org>"]).await.unwrap();
    let empty = ["{rcpt_mailer}", "{rcpt_host}", "{rcpt_addr}"].map(|name| (name, ""));
    mta.conn.macros(MacroStage::Rcpt, empty).await.unwrap();
    let rcpt = mta.conn.rcpt(["<b@example.net>"]).await.unwrap();
    assert_eq!(rcpt, Status::Continue);
    mta.conn.macros(MacroStage::Eom, [("i", "")]).await.unwrap();
    assert_eq!(mta.conn.eom().await.unwrap().1, Status::Continue);
    let totals = daemon.totals("client:127.0.0.8");
    assert_eq!((totals.messages, totals.unregistered), (1, 0));
    assert_eq!(daemon.engine.roster().len(), 1);
}

#[tokio::test]
async fn a_certificate_is_known_after_starttls() {
    let daemon = Daemon::start();
    let mut mta = daemon.client("192.0.2.1").await;
    mta.helo(Some(("erp.example.org", "Example CA"))).await;
    mta.send("a@example.org", "b@example.net").await;
    assert_eq!(daemon.totals("cert:erp.example.org/Example%20CA").messages, 1);

    // A subject alone proves nothing.
    mta.helo(Some(("erp.example.org", ""))).await;
    mta.send("a@example.org", "b@example.net").await;
    assert_eq!(daemon.totals("cert:erp.example.org/Example%20CA").messages, 1);

    // Enforced on every identity, whichever it is counted under.
    daemon.block("cert:erp.example.org/Example%20CA", Action::Tempfail);
    mta.helo(Some(("erp.example.org", "Example CA"))).await;
    mta.mail("a@example.org", "alice").await;
    assert!(refusal(mta.rcpt("b@example.net").await).starts_with("451 "));
}

/// Sendmail gives the whole names of any certificate, whoever signed it, and says in
/// `{verify}` what it thinks of it.
#[tokio::test]
async fn sendmail_tells_of_certificates_that_it_did_not_verify() {
    let daemon = Daemon::start();
    let mut mta = daemon.client("192.0.2.1").await;
    for (verify, counted) in [("OK", 1), ("FAIL", 1), ("NO", 1), ("OK", 2)] {
        let shown = [
            ("j", "mx.example.org"),
            ("i", "6ANH0BVB027807"),
            ("{mail_addr}", "a@example.org"),
            ("{cert_subject}", "/O=Ex,+20ample/CN=erp.example.org"),
            ("{cert_issuer}", "/CN=Example+20CA"),
            ("{verify}", verify),
            ("{cn_subject}", "erp.example.org"),
            ("{cn_issuer}", "Example+20CA"),
        ];
        mta.conn.macros(MacroStage::Mail, shown).await.unwrap();
        mta.conn.mail(["<a@example.org>"]).await.unwrap();
        mta.rcpt("b@example.net").await;
        assert_eq!(mta.end().await.1, Status::Continue);
        let totals = daemon.totals("cert:erp.example.org/Example%20CA");
        assert_eq!(totals.messages, counted, "verify={verify}");
    }
    // What was not verified is no connector under any name.
    assert_eq!(daemon.engine.roster().len(), 1);
}

#[tokio::test]
async fn mail_that_comes_back_from_a_filter_is_left_alone() {
    let back = "127.0.0.1:10025".parse().unwrap();
    let daemon =
        Daemon::start_with(|params| params.ignore_daemons = vec![back], crate::harness::PATIENCE);
    daemon.block("client:127.0.0.1", Action::Tempfail);
    let mut mta = daemon.open().await;
    mta.connect("127.0.0.1", ("127.0.0.1", "10025")).await;
    for _ in 0..20 {
        let status = mta.send("a@spam.example", "b@example.net").await;
        assert_eq!(status, Status::Continue);
    }
    assert!(daemon.engine.roster().is_empty());
    let mut mta = daemon.client("127.0.0.1").await;
    let status = mta.send("a@spam.example", "b@example.net").await;
    assert!(refusal(status).starts_with("451 "));
}

#[tokio::test]
async fn local_submission_is_a_connector_of_its_own() {
    let daemon = Daemon::start();
    let mut mta = daemon.open().await;
    mta.connect("127.0.0.1", ("", "0")).await;
    mta.mail("a@example.org", "").await;
    let rcpt = mta.rcpt_with("b@example.net", ("", "", "")).await;
    assert_eq!(rcpt, Status::Continue);
    assert_eq!(mta.end().await.1, Status::Continue);
    assert_eq!(daemon.totals("local").messages, 1);
    assert_eq!(daemon.engine.roster().len(), 1);
}

#[tokio::test]
async fn addresses_in_all_their_forms() {
    let daemon = Daemon::start();
    let mut mta = daemon.client("::ffff:127.0.0.8").await;
    mta.send("a@example.org", "b@example.net").await;
    assert_eq!(daemon.totals("client:127.0.0.8").messages, 1);

    let mut mta = daemon.open().await;
    mta.conn.connect("local", "/run/socket").await.unwrap();
    assert_eq!(mta.send("a@example.org", "b@example.net").await, Status::Continue);

    let mut mta = daemon.open().await;
    mta.macros(MacroStage::Connect, &[("{client_addr}", "127.0.0.9")]).await;
    mta.conn.connect("unknown", SocketInfo::Unknown).await.unwrap();
    mta.send("a@example.org", "b@example.net").await;
    assert_eq!(daemon.totals("client:127.0.0.9").messages, 1);
    assert_eq!(daemon.engine.roster().len(), 2);
}
