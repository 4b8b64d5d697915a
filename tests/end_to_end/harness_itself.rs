//! The harness without the daemon: if one of these fails, the others say
//! nothing about connguard.

use super::harness::certs::Certs;
use super::harness::postfix::{Postfix, Settings};
use super::harness::sink::Sink;
use super::harness::site::{INBOUND, OURS, REMOTE};
use super::harness::smtp::SmtpClient;
use super::harness::{Place, SOON, enterable_tempdir, free_port, swaks};

struct Bare {
    postfix: Postfix,
    sink: Sink,
    certs: Certs,
    _dir: tempfile::TempDir,
    _place: Place,
}

fn bare(change: impl FnOnce(&mut Settings)) -> Bare {
    let place = Place::take();
    let dir = enterable_tempdir();
    let sink = Sink::start();
    let certs = Certs::new(&dir.path().join("certs"));
    let mut settings = Settings::new(dir.path(), sink.port());
    settings.tls(&certs, &certs.issue("server", "mx.test"));
    change(&mut settings);
    Bare { postfix: settings.start(), sink, certs, _dir: dir, _place: place }
}

#[test]
fn mail_reaches_the_sink_from_any_loopback_address() {
    let bare = bare(|_| ());
    let mut client = SmtpClient::open("127.0.3.7", bare.postfix.port());
    client.send(OURS, REMOTE).assert_accepted();
    client.send(OURS, INBOUND).assert_accepted();
    bare.sink.wait_for(2, SOON);
    bare.postfix.wait_log(&["connect from unknown[127.0.3.7]"], SOON);
    assert_eq!(bare.sink.count_to(REMOTE), 1);
    assert_eq!(bare.sink.count_from(OURS), 2);
    assert_eq!(bare.sink.mails()[0].header("Subject"), Some("test"));
}

#[test]
fn a_stranger_may_only_deliver_inwards() {
    let bare = bare(|_| ());
    let mut client = SmtpClient::open("127.0.0.5", bare.postfix.port());
    client.xclient("ADDR=198.51.100.7");
    client.expect("MAIL FROM:<someone@elsewhere.test>", 250);
    client.expect(&format!("RCPT TO:<{INBOUND}>"), 250);
    client.expect(&format!("RCPT TO:<{REMOTE}>"), 554);
}

#[test]
fn a_certificate_gives_relay_rights_if_the_authority_signed_it() {
    let bare = bare(|settings| settings.set("mynetworks", "127.0.0.1"));
    let port = bare.postfix.port();
    let erp = bare.certs.issue("erp", "erp.example.org");
    let fake = bare.certs.self_signed("fake", "erp.example.org");
    swaks::send_tls("127.0.0.9", port, Some(&erp), OURS, REMOTE).assert_accepted();
    for certificate in [Some(&fake), None] {
        let dialog = swaks::send_tls("127.0.0.9", port, certificate, OURS, REMOTE);
        assert!(dialog.transcript.contains("Relay access denied"));
    }
    bare.sink.wait_for(1, SOON);
}

#[test]
fn a_login_reaches_milters_and_log() {
    let bare = bare(|_| ());
    let mut client = SmtpClient::open("127.0.0.9", bare.postfix.port());
    client.xclient("LOGIN=alice");
    client.send(OURS, REMOTE).assert_accepted();
    bare.postfix.wait_log(&["sasl_username=alice"], SOON);
}

#[test]
fn the_hold_queue_can_be_read() {
    let bare = bare(|settings| {
        settings.set(
            "smtpd_recipient_restrictions",
            "check_recipient_access inline:{{held@remote.test=HOLD}}",
        );
    });
    let mut client = SmtpClient::open("127.0.0.9", bare.postfix.port());
    client.send(OURS, "held@remote.test").assert_accepted();
    assert_eq!(bare.postfix.queued_in("hold"), 1);
    assert!(bare.postfix.queue_text().contains("held@remote.test"));
    assert_eq!(bare.sink.count(), 0);
}

#[test]
fn local_submission_and_a_refusing_sink() {
    let bare = bare(|_| ());
    bare.sink.refuse("nobody@remote.test");
    bare.postfix.sendmail(OURS, REMOTE);
    bare.postfix.sendmail(OURS, "nobody@remote.test");
    let line = ["to=<nobody@remote.test>", "status=bounced"];
    bare.postfix.wait_log(&line, SOON);
    // The message, and the bounce to its sender.
    bare.sink.wait_for(2, SOON);
    assert_eq!(bare.sink.count_to(REMOTE), 1);
}

#[test]
fn a_content_filter_hands_mail_back() {
    let back = free_port();
    let filter = Sink::start_filter(back);
    let bare = bare(|settings| {
        settings.service(&format!("127.0.0.1:{back} inet n - n - - smtpd -o content_filter="));
        let to_filter = format!("filter:[127.0.0.1]:{}", filter.port());
        settings.smtpd_option("content_filter", &to_filter);
    });
    let mut client = SmtpClient::open("127.0.0.9", bare.postfix.port());
    client.send(OURS, REMOTE).assert_accepted();
    bare.sink.wait_for(1, SOON);
    assert_eq!(filter.count(), 1);
}
