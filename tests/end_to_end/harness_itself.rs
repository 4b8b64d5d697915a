//! The harness without the daemon: if one of these fails, the others say
//! nothing about connguard.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::harness::certs::Certs;
use super::harness::hook::{Hook, Mood};
use super::harness::mailbox::ADMIN;
use super::harness::note::Note;
use super::harness::pager::Pager;
use super::harness::postfix::{Postfix, Settings};
use super::harness::sink::{HandBack, Sink};
use super::harness::site::{INBOUND, OURS, REMOTE};
use super::harness::smtp::{Letter, SmtpClient};
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
    let mut sink = Sink::start();
    let certs = Certs::new(&dir.path().join("certs"));
    let mut settings = Settings::new(dir.path(), sink.port());
    settings.tls(&certs, &certs.issue("server", "mx.test"));
    change(&mut settings);
    for address in settings.provider_addresses() {
        sink.also_at(address);
    }
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
    let bare = bare(|settings| settings.content_filter(&filter, back));
    let mut client = SmtpClient::open("127.0.0.9", bare.postfix.port());
    client.send(OURS, REMOTE).assert_accepted();
    bare.sink.wait_for(1, SOON);
    assert_eq!(filter.count(), 1);
    let log = bare.postfix.log();
    assert!(!log.contains("queued as") && !log.contains("orig_queue_id"), "{log}");
}

#[test]
fn a_content_filter_tells_of_what_it_hands_back() {
    let back = free_port();
    let how = HandBack { port: back, tells_queue_id: true, xforward: true };
    let filter = Sink::start_hand_back(how);
    let bare = bare(|settings| {
        settings.content_filter(&filter, back);
        settings.set("smtp_send_xforward_command", "yes");
    });
    let mut client = SmtpClient::open("127.0.0.9", bare.postfix.port());
    client.send(OURS, REMOTE).assert_accepted();
    bare.sink.wait_for(1, SOON);
    bare.postfix.wait_log(&["status=sent (250 2.0.0 from MTA(", "queued as "], SOON);
    let line = bare.postfix.wait_log(&["orig_queue_id="], SOON);
    assert!(line.contains("orig_client=unknown[127.0.0.9]"), "{line}");
}

#[test]
fn recipients_are_treated_as_their_addresses_say() {
    let bare = bare(|settings| {
        settings.quick_retries();
        settings.provider("drop.test", "127.0.1.1");
        settings.provider("cut.test", "127.0.1.2");
    });
    let mut client = SmtpClient::open("127.0.0.9", bare.postfix.port());
    let to = ["dead-1@remote.test", "policy-2@remote.test", "limit-3@remote.test", REMOTE];
    client.post(&Letter { to: to.to_vec(), ..Letter::new(OURS, REMOTE) }).assert_accepted();
    let to = ["full-4@remote.test", "grey-5@remote.test", "grey-grey-dead-6@remote.test"];
    client.post(&Letter { to: to.to_vec(), ..Letter::new(OURS, REMOTE) }).assert_accepted();
    for to in ["spam-7@remote.test", "drop-8@drop.test", "cut-spam-9@cut.test"] {
        client.send(OURS, to).assert_accepted();
    }
    let wait = |to: &str, parts: &[&str]| {
        let to = format!("to=<{to}");
        let parts: Vec<_> = parts.iter().copied().chain([to.as_str()]).collect();
        bare.postfix.wait_log(&parts, SOON)
    };
    wait("dead-1@", &["status=bounced", "550 5.1.1", "in reply to RCPT TO"]);
    wait("policy-2@", &["status=bounced", "554 5.7.1", "in reply to RCPT TO"]);
    wait("limit-3@", &["status=deferred", "450 4.7.1 Rate limit"]);
    wait(REMOTE, &["status=sent"]);
    wait("full-4@", &["status=deferred", "452 4.2.2"]);
    wait("grey-5@", &["status=deferred", "450 4.7.1 Greylisted"]);
    wait("grey-5@", &["status=sent"]);
    wait("grey-grey-dead-6@", &["status=bounced", "550 5.1.1"]);
    assert_eq!(bare.sink.attempts("grey-grey-dead-6@remote.test"), 3);
    wait("spam-7@", &["status=bounced", "554 5.7.1", "in reply to end of DATA"]);
    wait("drop-8@", &["status=deferred", "lost connection", "while sending RCPT TO"]);
    wait("drop-8@", &["relay=127.0.1.1[127.0.1.1]", "status=sent"]);
    wait("cut-spam-9@", &["status=deferred", "lost connection", "end of data"]);
    wait("cut-spam-9@", &["status=bounced", "554 5.7.1"]);
}

#[test]
fn the_log_is_rotated_as_administrators_do() {
    let bare = bare(|_| ());
    let postfix = &bare.postfix;
    let mut client = SmtpClient::open("127.0.0.9", postfix.port());
    let mut n = 0;
    let mut send = |wanted: usize| {
        n += 1;
        client.send(OURS, &format!("friend{n}@remote.test")).assert_accepted();
        postfix.wait_lines(&["to=<friend", "status=sent"], wanted);
    };
    send(1);
    let old = postfix.rename_log();
    // Nobody told Postfix: it goes on with the file that it knows.
    send(2);
    assert!(!postfix.log_file().exists());
    postfix.reopen_log();
    send(3);
    assert_eq!(std::fs::read_to_string(&old).unwrap().matches("status=sent").count(), 2);
    postfix.rename_log();
    postfix.reopen_log();
    send(4);
    postfix.copytruncate_log();
    assert!(!postfix.log().contains("status=sent"));
    // The copy took the place of the file with the third.
    send(4);
    postfix.delete_log();
    postfix.reopen_log();
    send(4);
    let packed = postfix.logrotate();
    assert!(!postfix.log().contains("status=sent"));
    assert!(std::fs::metadata(packed).is_ok_and(|it| it.len() > 0));
}

#[test]
fn a_log_can_show_certificates_and_from_headers() {
    let bare = bare(|settings| {
        settings.set("smtpd_tls_loglevel", "2");
        settings.set("header_checks", "regexp:{{/^From:/ INFO}}");
    });
    let erp = bare.certs.issue("erp", "erp.example.org");
    swaks::send_tls("127.0.0.9", bare.postfix.port(), Some(&erp), OURS, REMOTE).assert_accepted();
    bare.sink.wait_for(1, SOON);
    bare.postfix.wait_log(&["info: header From: "], SOON);
    bare.postfix.wait_log(&["subject_CN=erp.example.org", "issuer"], SOON);
}

#[test]
fn mail_for_the_administrator_is_in_a_mailbox() {
    let mut mailbox = None;
    let bare = bare(|settings| mailbox = Some(settings.mailbox()));
    let mailbox = mailbox.expect("a mailbox");
    let mut client = SmtpClient::open_as("127.0.3.7", bare.postfix.port(), b"some.name");
    for header in ["X-Number: 1\r\n", "X-Number: 2\r\n"] {
        client.post(&Letter { header, ..Letter::new(OURS, ADMIN) }).assert_accepted();
    }
    let mut notes = mailbox.wait_for(2, SOON);
    notes.sort_by_key(|note| note.header("X-Number").map(str::to_owned));
    assert_eq!(notes[1].header("X-Number"), Some("2"));
    assert_eq!(notes[0].subject(), "test");
    assert_eq!(notes[0].text, "Hello.\n");
    assert_eq!(notes[0].helo(), "some.name");
    assert!(notes[0].id().ends_with("@client.test>"), "{}", notes[0].id());
    assert_eq!(bare.sink.count(), 0);
}

#[test]
fn a_note_is_read_as_a_mail_program_reads_it() {
    let note = Note::parse(
        b"Subject: =?utf-8?b?TcO8bGxlcg==?=\r\n =?utf-8?q?=C3=A4_x?= plain\r\n\
          Content-Transfer-Encoding: quoted-printable\r\n\r\na=3Db =C3=A4=\r\nc\r\n",
    );
    assert_eq!(note.subject(), "M\u{fc}ller\u{e4} x plain");
    assert_eq!(note.text, "a=b \u{e4}c\n");
    let note = Note::parse(b"Content-Transfer-Encoding: base64\n\nSGVs\nbG8=\n");
    assert_eq!(note.text, "Hello");
}

/// A request by hand; what is answered.
fn request(url: &str) -> std::io::Result<String> {
    let host = url.strip_prefix("http://").expect("a URL").split('/').next();
    let mut stream = TcpStream::connect(host.expect("a host"))?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    stream.write_all(b"POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map(|_| answer)
}

#[test]
fn a_hook_answers_hangs_and_goes_away() {
    let mut hook = Hook::start();
    let url = hook.url();
    assert!(request(&url).expect("an answer").starts_with("HTTP/1.1 200 "));
    hook.mood(Mood::Status(500));
    assert!(request(&url).expect("an answer").starts_with("HTTP/1.1 500 "));
    hook.mood(Mood::Hang);
    let late = request(&url).expect_err("no answer in time");
    assert_eq!(late.kind(), std::io::ErrorKind::WouldBlock, "{late}");
    hook.down();
    let gone = request(&url).expect_err("nobody listens");
    assert_eq!(gone.kind(), std::io::ErrorKind::ConnectionRefused, "{gone}");
    hook.mood(Mood::Status(204));
    hook.up();
    assert!(request(&url).expect("an answer").starts_with("HTTP/1.1 204 "));
    hook.wait_tried(4, SOON);
    assert_eq!(hook.wait_taken(2, SOON)[1].body, b"{}");
}

#[test]
fn a_pager_keeps_what_it_reads() {
    let dir = enterable_tempdir();
    let pager = Pager::create(dir.path());
    for n in 0..2 {
        let mut child = std::process::Command::new(pager.command())
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("the pager");
        let mut input = child.stdin.take().expect("its input");
        write!(input, "{{\"n\":{n}}}").expect("it reads");
        drop(input);
        assert!(child.wait().expect("its end").success());
    }
    let mut pages = pager.wait_for(2, SOON);
    pages.sort_by_key(|page| page["n"].as_u64());
    assert_eq!(pages, [serde_json::json!({"n": 0}), serde_json::json!({"n": 1})]);
}
