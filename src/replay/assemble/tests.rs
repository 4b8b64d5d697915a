#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
use super::*;
use crate::{
    maillog,
    replay::{Abandoned, Answer, Lines, Mail, Order},
};
use proptest::prelude::*;

/// Writes down what it is given.
#[derive(Default)]
struct Recorder {
    told: Vec<String>,
    mails: Vec<Mail>,
    last: Timestamp,
}

impl Recorder {
    fn note(&mut self, at: Timestamp, what: String) {
        assert!(at >= self.last, "{what}: what leaves goes back in time");
        self.last = at;
        self.told.push(what);
    }
}

impl Sink for Recorder {
    fn mail(&mut self, mail: &Mail) {
        let transport = |one: &crate::replay::Recipient| {
            format!("{}({})", one.address, one.transport.as_deref().unwrap_or("?"))
        };
        let to: Vec<String> = mail.recipients.iter().map(transport).collect();
        let who = match (&mail.who.login, mail.who.local) {
            (Some(login), _) => login.to_string(),
            (None, Some(uid)) => format!("uid {uid}"),
            (None, None) => mail.who.client.map(|ip| ip.to_string()).unwrap_or_default(),
        };
        let mut text = format!("mail {} {who} {} -> {}", mail.queue_id, mail.from, to.join(" "));
        for unknown in &mail.unknown {
            text += &format!(" unknown:{unknown}");
        }
        for attempt in &mail.attempts {
            text += &format!(" attempt:{attempt}");
        }
        if !mail.is_complete {
            text += " incomplete";
        }
        if mail.end != End::Queued {
            text += &format!(" {:?}", mail.end);
        }
        self.note(mail.at, text);
        self.mails.push(mail.clone());
    }

    fn abandoned(&mut self, abandoned: &Abandoned) {
        let Abandoned { unknown, attempts, .. } = abandoned;
        self.note(abandoned.at, format!("abandoned unknown:{unknown:?} attempts:{attempts:?}"));
    }

    fn answer(&mut self, answer: &Answer) {
        let Answer { queue_id, recipient, outcome, .. } = answer;
        self.note(answer.at, format!("{outcome:?} {queue_id} {recipient}"));
    }

    fn gone(&mut self, _host: &Arc<str>, queue_id: &str, at: Timestamp) {
        self.note(at, format!("gone {queue_id}"));
    }
}

/// `00:00:01 smtpd[7]: AA0001: …` as lines of a log.
fn lines(short: &str) -> Vec<String> {
    let long = |line: &str| {
        let (time, rest) = line.trim().split_once(' ').unwrap();
        format!("2026-03-02T{time}+00:00 mx postfix/{rest}")
    };
    short.lines().filter(|line| !line.trim().is_empty()).map(long).collect()
}

fn feed(lines: impl IntoIterator<Item = String>) -> Recorder {
    let (mut assembler, mut order) = (Assembler::default(), Order::default());
    let mut recorder = Recorder::default();
    for line in lines {
        let Some(Ok(line)) = Lines::read(line).next() else { continue };
        let maillog::Stamp::Full(at) = line.line().unwrap().stamp else { continue };
        order.push(at, line);
        while let Some((at, line)) = order.pop() {
            assembler.take(at, line.line().unwrap(), &mut recorder);
        }
    }
    while let Some((at, line)) = order.flush() {
        assembler.take(at, line.line().unwrap(), &mut recorder);
    }
    assembler.finish(&mut recorder);
    recorder
}

fn told(short: &str) -> Vec<String> {
    feed(lines(short)).told
}

const ORDINARY: &str = "
    10:00:00 submission/smtpd[7]: connect from pc.example.net[192.0.2.7]
    10:00:01 submission/smtpd[7]: AA0001: client=pc.example.net[192.0.2.7], sasl_method=PLAIN, sasl_username=alice
    10:00:01 cleanup[8]: AA0001: message-id=<m1@example.org>
    10:00:02 qmgr[9]: AA0001: from=<alice@example.org>, size=1234, nrcpt=2 (queue active)
    10:00:03 submission/smtpd[7]: disconnect from pc.example.net[192.0.2.7] ehlo=1 auth=1 mail=1 rcpt=2 data=1 quit=1 commands=7
    10:00:04 smtp[10]: AA0001: to=<bob@far.test>, relay=mx.far.test[198.51.100.1]:25, delay=2, delays=1/0/1/0, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4F)
    10:00:05 smtp[11]: AA0001: to=<carol@away.test>, relay=mx.away.test[198.51.100.2]:25, delay=3, delays=1/0/1/1, dsn=2.0.0, status=sent (250 2.0.0 Ok)
    10:00:05 qmgr[9]: AA0001: removed
";

#[test]
fn an_ordinary_message() {
    let recorder = feed(lines(ORDINARY));
    assert_eq!(
        recorder.told,
        [
            "mail AA0001 alice alice@example.org -> bob@far.test(smtp) carol@away.test(smtp)",
            "Delivered AA0001 bob@far.test",
            "Delivered AA0001 carol@away.test",
            "gone AA0001",
        ]
    );
    let mail = &recorder.mails[0];
    assert_eq!(mail.at.to_string(), "2026-03-02T10:00:02.000Z");
    assert_eq!(mail.message_id.as_deref(), Some("m1@example.org"));
    assert_eq!((&*mail.service, mail.size), ("postfix/submission", Some(1234)));
    assert_eq!(&*mail.who.client_name, "pc.example.net");
}

#[test]
fn what_comes_back_from_a_filter_is_the_same_message() {
    let told = told("
        10:00:01 smtpd[7]: AA0001: client=pc.example.net[192.0.2.7], sasl_method=PLAIN, sasl_username=alice
        10:00:02 qmgr[9]: AA0001: from=<alice@example.org>, size=1234, nrcpt=2 (queue active)
        10:00:03 smtpd[12]: BB0002: client=localhost[127.0.0.1]
        10:00:03 qmgr[9]: BB0002: from=<alice@example.org>, size=1300, nrcpt=2 (queue active)
        10:00:03 lmtp[14]: BB0002: to=<dan@example.org>, relay=mx[private/lmtp], delay=0.1, delays=0/0/0/0.1, dsn=2.0.0, status=sent (250 2.0.0 Saved)
        10:00:04 smtp[10]: AA0001: to=<bob@far.test>, relay=127.0.0.1[127.0.0.1]:10024, delay=2, delays=1/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as BB0002)
        10:00:04 smtp[10]: AA0001: to=<dan@example.org>, relay=127.0.0.1[127.0.0.1]:10024, delay=2, delays=1/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as BB0002)
        10:00:04 qmgr[9]: AA0001: removed
        10:00:09 smtp[10]: BB0002: to=<bob@far.test>, relay=mx.far.test[198.51.100.1]:25, delay=6, delays=1/0/1/0, dsn=2.0.0, status=sent (250 2.0.0 Ok)
        10:00:09 qmgr[9]: BB0002: removed
    ");
    assert_eq!(
        told,
        [
            "mail AA0001 alice alice@example.org -> bob@far.test(smtp) dan@example.org(lmtp)",
            "Delivered AA0001 dan@example.org",
            "Delivered AA0001 bob@far.test",
            "gone AA0001",
        ]
    );
}

#[test]
fn mail_that_is_put_through_the_queue_again_is_the_same_message() {
    let told = told("
        10:00:01 smtpd[7]: AA0001: client=pc.example.net[192.0.2.7], sasl_method=PLAIN, sasl_username=alice
        10:00:02 qmgr[9]: AA0001: from=<alice@example.org>, size=1234, nrcpt=1 (queue active)
        10:00:04 smtp[10]: AA0001: to=<bob@far.test>, relay=none, delay=2, delays=1/0/1/0, dsn=4.4.1, status=deferred (connect to mx.far.test[198.51.100.1]:25: Connection refused)
        10:03:00 postsuper[11]: AA0001: requeued
        10:03:01 pickup[12]: BB0002: uid=106 from=<alice@example.org> orig_id=AA0001
        10:03:01 cleanup[13]: BB0002: message-id=<1@example.org>
        10:03:01 qmgr[9]: BB0002: from=<alice@example.org>, size=1234, nrcpt=1 (queue active)
        10:03:02 smtp[10]: BB0002: to=<bob@far.test>, relay=mx.far.test[198.51.100.1]:25, delay=181, delays=180/0/1/0, dsn=2.0.0, status=sent (250 2.0.0 Ok)
        10:03:02 qmgr[9]: BB0002: removed
    ");
    let expected = [
        "mail AA0001 alice alice@example.org -> bob@far.test(smtp)",
        "Deferred AA0001 bob@far.test",
        "Delivered AA0001 bob@far.test",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_way_back_that_is_not_logged_leaves_the_fate_unknown() {
    let told = told("
        10:00:01 smtpd[7]: AA0001: client=pc.example.net[192.0.2.7]
        10:00:02 qmgr[9]: AA0001: from=<alice@example.org>, size=1234, nrcpt=1 (queue active)
        10:00:04 smtp[10]: AA0001: to=<bob@far.test>, relay=127.0.0.1[127.0.0.1]:10024, delay=2, delays=1/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as BB0002)
        10:00:04 qmgr[9]: AA0001: removed
    ");
    assert_eq!(told, ["mail AA0001 192.0.2.7 alice@example.org -> bob@far.test(?)", "gone AA0001"]);
}

#[test]
fn an_alias_is_one_recipient_whose_members_say_nothing() {
    let told = told("
        10:00:01 smtpd[7]: AA0001: client=pc.example.net[192.0.2.7]
        10:00:02 qmgr[9]: AA0001: from=<a@x.test>, size=1234, nrcpt=2 (queue active)
        10:00:04 smtp[10]: AA0001: to=<one@far.test>, orig_to=<team@example.org>, relay=mx.far.test[198.51.100.1]:25, delay=2, delays=1/0/1/0, dsn=5.1.1, status=bounced (host mx.far.test[198.51.100.1] said: 550 5.1.1 User unknown (in reply to RCPT TO command))
        10:00:05 local[10]: AA0001: to=<two@example.org>, orig_to=<team@example.org>, relay=local, delay=2, delays=1/0/1/0, dsn=2.0.0, status=sent (delivered to mailbox)
        10:00:05 qmgr[9]: AA0001: removed
    ");
    assert_eq!(
        told,
        [
            "mail AA0001 192.0.2.7 a@x.test -> team@example.org(smtp)",
            "Deferred AA0001 team@example.org",
            "Delivered AA0001 team@example.org",
            "gone AA0001",
        ]
    );
}

#[test]
fn reports_and_what_an_alias_sends_on_are_nobody_s() {
    let told = told("
        10:00:01 pickup[7]: AA0001: uid=33 from=<www-data>
        10:00:01 cleanup[8]: AA0001: message-id=<m1@example.org>
        10:00:02 qmgr[9]: AA0001: from=<www-data@example.org>, size=1234, nrcpt=1 (queue active)
        10:00:04 local[10]: AA0001: to=<eve@example.org>, relay=local, delay=2, delays=1/0/1/0, dsn=2.0.0, status=sent (forwarded as BB0002)
        10:00:04 qmgr[9]: BB0002: from=<www-data@example.org>, size=1300, nrcpt=1 (queue active)
        10:00:04 bounce[12]: AA0001: sender non-delivery notification: CC0003
        10:00:04 qmgr[9]: CC0003: from=<>, size=1300, nrcpt=1 (queue active)
        10:00:04 qmgr[9]: AA0001: removed
        10:00:09 smtp[10]: BB0002: to=<eve@far.test>, relay=mx.far.test[198.51.100.1]:25, delay=6, delays=1/0/1/0, dsn=2.0.0, status=sent (250 2.0.0 Ok)
        10:00:09 smtp[10]: CC0003: to=<www-data@example.org>, relay=mx.far.test[198.51.100.1]:25, delay=6, delays=1/0/1/0, dsn=2.0.0, status=sent (250 2.0.0 Ok)
        10:00:09 qmgr[9]: BB0002: removed
        10:00:09 qmgr[9]: CC0003: removed
    ");
    assert_eq!(
        told,
        ["mail AA0001 uid 33 www-data@example.org -> eve@example.org(local)", "gone AA0001"]
    );
}

#[test]
fn a_queue_id_that_is_used_again_is_another_message() {
    let message = |minute: u32, login: &str, to: &str| {
        format!("
        10:{minute:02}:01 smtpd[7]: AA0001: client=pc.example.net[192.0.2.7], sasl_method=PLAIN, sasl_username={login}
        10:{minute:02}:02 qmgr[9]: AA0001: from=<a@x.test>, size=1, nrcpt=1 (queue active)
        10:{minute:02}:03 smtp[10]: AA0001: to=<{to}>, relay=mx.far.test[198.51.100.1]:25, delay=6, delays=1/0/1/0, dsn=2.0.0, status=sent (250 Ok)
        10:{minute:02}:03 qmgr[9]: AA0001: removed
        ")
    };
    let log = message(0, "alice", "b@far.test") + &message(1, "bob", "c@far.test");
    assert_eq!(
        told(&log),
        [
            "mail AA0001 alice a@x.test -> b@far.test(smtp)",
            "Delivered AA0001 b@far.test",
            "gone AA0001",
            "mail AA0001 bob a@x.test -> c@far.test(smtp)",
            "Delivered AA0001 c@far.test",
            "gone AA0001",
        ]
    );
}

#[test]
fn a_message_waits_five_minutes_for_its_recipients() {
    let told = told("
        10:00:01 smtpd[7]: AA0001: client=pc.example.net[192.0.2.7]
        10:00:02 qmgr[9]: AA0001: from=<a@x.test>, size=1, nrcpt=2 (queue active)
        10:00:10 smtpd[7]: BB0002: client=pc.example.net[192.0.2.7]
        10:00:11 qmgr[9]: BB0002: from=<a@x.test>, size=1, nrcpt=1 (queue active)
        10:00:12 smtp[10]: BB0002: to=<c@far.test>, relay=none, delay=6, delays=1/0/1/0, dsn=4.4.1, status=deferred (connect to mx.far.test[198.51.100.1]:25: Connection timed out)
        10:04:50 smtp[10]: AA0001: to=<b@far.test>, relay=none, delay=6, delays=1/0/1/0, dsn=4.4.1, status=deferred (connect to mx.far.test[198.51.100.1]:25: Connection timed out)
        10:07:00 smtp[10]: AA0001: to=<d@far.test>, relay=mx.far.test[198.51.100.1]:25, delay=6, delays=1/0/1/0, dsn=2.0.0, status=sent (250 Ok)
    ");
    assert_eq!(
        told,
        [
            "mail AA0001 192.0.2.7 a@x.test -> b@far.test(smtp) incomplete",
            "mail BB0002 192.0.2.7 a@x.test -> c@far.test(smtp)",
            "Deferred BB0002 c@far.test",
            "Deferred AA0001 b@far.test",
            "Delivered AA0001 d@far.test",
        ]
    );
}

#[test]
fn refused_recipients_belong_to_their_transaction() {
    let told = told("
        10:00:00 smtpd[7]: connect from pc.example.net[192.0.2.7]
        10:00:01 smtpd[7]: NOQUEUE: reject: RCPT from pc.example.net[192.0.2.7]: 550 5.1.1 <x@example.org>: Recipient address rejected: User unknown in virtual mailbox table; from=<a@x.test> to=<x@example.org> proto=ESMTP helo=<pc>
        10:00:01 smtpd[7]: NOQUEUE: reject: RCPT from pc.example.net[192.0.2.7]: 450 4.7.1 <y@example.org>: Recipient address rejected: Greylisted; from=<a@x.test> to=<y@example.org> proto=ESMTP helo=<pc>
        10:00:02 smtpd[7]: AA0001: client=pc.example.net[192.0.2.7]
        10:00:02 smtpd[7]: AA0001: reject: RCPT from pc.example.net[192.0.2.7]: 550 5.1.1 <z@example.org>: Recipient address rejected: User unknown in virtual mailbox table; from=<a@x.test> to=<z@example.org> proto=ESMTP helo=<pc>
        10:00:03 qmgr[9]: AA0001: from=<a@x.test>, size=1, nrcpt=1 (queue active)
        10:00:04 smtp[10]: AA0001: to=<b@far.test>, relay=mx.far.test[198.51.100.1]:25, delay=6, delays=1/0/1/0, dsn=2.0.0, status=sent (250 Ok)
        10:00:05 smtpd[7]: NOQUEUE: reject: RCPT from pc.example.net[192.0.2.7]: 550 5.1.1 <v@example.org>: Recipient address rejected: User unknown in virtual mailbox table; from=<a@x.test> to=<v@example.org> proto=ESMTP helo=<pc>
        10:00:06 smtpd[7]: NOQUEUE: milter-reject: RCPT from pc.example.net[192.0.2.7]: 451 4.7.1 Relaying is suspended, case C-000001: contact your postmaster; from=<a@x.test> to=<w@far.test> proto=ESMTP helo=<pc>
        10:00:07 smtpd[7]: disconnect from pc.example.net[192.0.2.7]
    ");
    assert_eq!(
        told,
        [
            "mail AA0001 192.0.2.7 a@x.test -> b@far.test(smtp) unknown:x@example.org unknown:z@example.org",
            "Delivered AA0001 b@far.test",
            "abandoned unknown:[\"v@example.org\"] attempts:[\"w@far.test\"]",
        ]
    );
}

#[test]
fn a_transaction_that_is_given_up_tells_nothing_of_the_next() {
    let recorder = feed(lines("
        10:00:00 smtpd[7]: connect from pc.example.net[192.0.2.7]
        10:00:01 smtpd[7]: NOQUEUE: reject: RCPT from pc.example.net[192.0.2.7]: 550 5.1.1 <x@example.org>: Recipient address rejected: User unknown in virtual mailbox table; from=<root> to=<x@example.org> proto=ESMTP helo=<pc>
        10:00:02 smtpd[7]: AA0001: client=pc.example.net[192.0.2.7]
        10:00:02 smtpd[7]: AA0001: reject: RCPT from pc.example.net[192.0.2.7]: 550 5.1.1 <z@example.org>: Recipient address rejected: User unknown in virtual mailbox table; from=<c@x.test> to=<z@example.org> proto=ESMTP helo=<pc>
        10:00:03 smtpd[7]: BB0002: client=pc.example.net[192.0.2.7]
        10:00:04 qmgr[9]: BB0002: from=<b@x.test>, size=1, nrcpt=1 (queue active)
        10:00:05 smtp[10]: BB0002: to=<b@far.test>, relay=mx.far.test[198.51.100.1]:25, delay=6, delays=1/0/1/0, dsn=2.0.0, status=sent (250 Ok)
        10:00:07 smtpd[7]: disconnect from pc.example.net[192.0.2.7]
        10:01:01 smtpd[7]: connect from pc.example.net[192.0.2.7]
        10:01:01 smtpd[7]: NOQUEUE: reject: RCPT from pc.example.net[192.0.2.7]: 450 4.7.1 <y@example.org>: Recipient address rejected: Greylisted; from=<> to=<y@example.org> proto=ESMTP helo=<pc>
        10:01:01 smtpd[7]: NOQUEUE: reject: RCPT from pc.example.net[192.0.2.7]: 550 5.1.1 <y@example.org>: Recipient address rejected: User unknown in virtual mailbox table; from=<root> to=<y@example.org> proto=ESMTP helo=<pc>
        10:01:02 smtpd[7]: CC0003: client=pc.example.net[192.0.2.7]
        10:01:03 qmgr[9]: CC0003: from=<d@x.test>, size=1, nrcpt=1 (queue active)
        10:01:04 smtp[10]: CC0003: to=<e@far.test>, relay=mx.far.test[198.51.100.1]:25, delay=6, delays=1/0/1/0, dsn=2.0.0, status=sent (250 Ok)
    "));
    assert_eq!(
        recorder.told,
        [
            "abandoned unknown:[\"x@example.org\", \"z@example.org\"] attempts:[]",
            "mail BB0002 192.0.2.7 b@x.test -> b@far.test(smtp)",
            "Delivered BB0002 b@far.test",
            "mail CC0003 192.0.2.7 d@x.test -> e@far.test(smtp) unknown:y@example.org",
            "Delivered CC0003 e@far.test",
        ]
    );
    // The sender of the transaction before was bare, that of the message is not.
    let sender = recorder.mails[1].sender();
    let given = crate::message::Sender::Address { address: "d@x.test", qualified: true };
    assert_eq!((sender, recorder.mails[1].rewritten_from()), (given, None));
}

#[test]
fn one_mailbox_under_two_names_is_two_recipients() {
    let told = told("
        10:00:01 smtpd[7]: AA0001: client=pc.example.net[192.0.2.7]
        10:00:02 qmgr[9]: AA0001: from=<a@x.test>, size=1, nrcpt=2 (queue active)
        10:00:03 smtp[10]: AA0001: to=<b@far.test>, orig_to=<b1@far.test>, relay=none, delay=6, delays=1/0/1/0, dsn=4.4.1, status=deferred (connect to mx.far.test[198.51.100.1]:25: Connection timed out)
        10:00:04 smtp[10]: AA0001: to=<b@far.test>, orig_to=<b2@far.test>, relay=none, delay=6, delays=1/0/1/0, dsn=4.4.1, status=deferred (connect to mx.far.test[198.51.100.1]:25: Connection timed out)
    ");
    assert_eq!(told[0], "mail AA0001 192.0.2.7 a@x.test -> b1@far.test(smtp) b2@far.test(smtp)");
}

#[test]
fn what_a_milter_refuses_at_its_end_was_sent() {
    let told = told("
        10:00:02 smtpd[7]: AA0001: client=pc.example.net[192.0.2.7], sasl_method=PLAIN, sasl_username=alice
        10:00:03 cleanup[8]: AA0001: milter-reject: END-OF-MESSAGE from pc.example.net[192.0.2.7]: 5.7.1 Spam message rejected; from=<a@x.test> to=<b@far.test> proto=ESMTP helo=<pc>
        10:00:04 smtpd[7]: BB0002: client=pc.example.net[192.0.2.7], sasl_method=PLAIN, sasl_username=alice
        10:00:05 cleanup[8]: BB0002: reject: header Subject: buy now from pc.example.net[192.0.2.7]; from=<a@x.test> to=<b@far.test> proto=ESMTP helo=<pc>: 5.7.1 no
        10:00:06 smtpd[7]: CC0003: client=pc.example.net[192.0.2.7], sasl_method=PLAIN, sasl_username=alice
        10:00:07 cleanup[8]: CC0003: milter-hold: END-OF-MESSAGE from pc.example.net[192.0.2.7]: milter triggers HOLD action; from=<a@x.test> to=<b@far.test> proto=ESMTP helo=<pc>
    ");
    assert_eq!(
        told,
        [
            "mail AA0001 alice a@x.test -> b@far.test(?) Refused",
            "mail CC0003 alice a@x.test -> b@far.test(?) incomplete Kept",
        ]
    );
}

#[test]
fn a_certificate_counts_for_its_session_if_it_is_trusted() {
    let recorder = feed(lines("
        10:00:00 smtpd[7]: connect from erp.example.net[192.0.2.7]
        10:00:00 smtpd[7]: erp.example.net[192.0.2.7]: subject_CN=erp.example.org, issuer=Example CA, fingerprint=AA:BB, pkey_fingerprint=CC:DD
        10:00:00 smtpd[7]: Trusted TLS connection established from erp.example.net[192.0.2.7]: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
        10:00:01 smtpd[7]: AA0001: client=erp.example.net[192.0.2.7]
        10:00:02 qmgr[9]: AA0001: from=<a@x.test>, size=1, nrcpt=1 (queue active)
        10:00:03 smtpd[7]: disconnect from erp.example.net[192.0.2.7]
        10:00:04 smtpd[7]: connect from other.example.net[192.0.2.8]
        10:00:05 smtpd[7]: other.example.net[192.0.2.8]: subject_CN=erp.example.org, issuer=Example CA, fingerprint=EE:FF, pkey_fingerprint=CC:DD
        10:00:05 smtpd[7]: Untrusted TLS connection established from other.example.net[192.0.2.8]: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
        10:00:05 smtpd[7]: BB0002: client=other.example.net[192.0.2.8]
        10:00:06 qmgr[9]: BB0002: from=<a@x.test>, size=1, nrcpt=1 (queue active)
    "));
    let certificate = recorder.mails[0].who.certificate.as_ref().unwrap();
    assert_eq!((certificate.subject(), certificate.issuer()), ("erp.example.org", "Example CA"));
    assert_eq!(recorder.mails[1].who.certificate, None);
}

#[test]
fn senders_and_from_headers() {
    let recorder = feed(lines("
        10:00:01 pickup[7]: AA0001: uid=1000 from=<tom@inside.test>
        10:00:01 cleanup[8]: AA0001: info: header From: Tom <tom@example.org>, ann@far.test from local; from=<tom@inside.test> to=<b@far.test>
        10:00:02 qmgr[9]: AA0001: from=<tom@example.org>, size=1, nrcpt=1 (queue active)
        10:00:03 pickup[7]: BB0002: uid=0 from=<root>
        10:00:03 qmgr[9]: BB0002: from=<root@example.org>, size=1, nrcpt=1 (queue active)
    "));
    let [first, second] = &recorder.mails[..] else { return assert_eq!(recorder.told, [""]) };
    assert_eq!(first.rewritten_from(), Some("tom@inside.test"));
    assert_eq!(first.header_from, ["tom@example.org", "ann@far.test"]);
    assert_eq!(second.rewritten_from(), None);
    assert_eq!(
        second.sender(),
        crate::message::Sender::Address { address: "root@example.org", qualified: false }
    );
}

#[test]
fn hosts_share_neither_queue_ids_nor_processes() {
    let two: Vec<String> = lines(ORDINARY)
        .into_iter()
        .flat_map(|line| {
            let other = line.replace(" mx ", " mx2 ").replace("alice", "zoe");
            [line, other]
        })
        .collect();
    let recorder = feed(two);
    let host = |mail: &Mail| (mail.host.to_string(), mail.who.login.as_deref().map(str::to_owned));
    let hosts: Vec<_> = recorder.mails.iter().map(host).collect();
    assert_eq!(
        hosts,
        [("mx".to_owned(), Some("alice".to_owned())), ("mx2".to_owned(), Some("zoe".to_owned()))]
    );
}

#[test]
fn what_is_held_does_not_grow_with_the_log() {
    let mut assembler = Assembler::default();
    let mut recorder = Recorder::default();
    let mut most = [0; 5];
    for n in 0..100_000_u64 {
        let at = Timestamp::from_seconds(1_770_000_000 + n / 10);
        let (id, pid) = (format!("A{n:06X}"), n % 5000);
        let kind = n % 7;
        let texts = [
            format!("smtpd[{pid}]: {id}: client=pc.example.net[192.0.2.7]"),
            format!("qmgr[9]: {id}: from=<a@x.test>, size=1, nrcpt=1 (queue active)"),
            format!(
                "smtp[10]: {id}: to=<b@far.test>, relay=mx.far.test[198.51.100.1]:25, delay=6, delays=1/0/1/0, dsn=2.0.0, status=sent (250 Ok)"
            ),
            format!("qmgr[9]: {id}: removed"),
        ];
        // Some are never queued, some never delivered, some never removed.
        let count = if kind < 3 { usize::try_from(kind).unwrap() + 1 } else { 4 };
        for text in &texts[..count] {
            let line = format!("2026-02-02T00:00:00+00:00 mx postfix/{text}");
            assembler.take(at, &maillog::parse(&line).unwrap(), &mut recorder);
        }
        most = std::array::from_fn(|i| most[i].max(assembler.held()[i]));
        recorder.told.clear();
        recorder.mails.clear();
    }
    let [drafts, events, sessions, files, places] = most;
    assert!(events < 13_000, "{most:?}");
    assert!(sessions <= 5000, "{most:?}");
    assert!(drafts <= 100_000 && files <= 100_000, "{most:?}");
    assert!(places <= 2 * 100_000, "{most:?}");
    // Those that never end are forgotten at the limit; nothing else stays.
    assembler.finish(&mut recorder);
    assert_eq!(assembler.held()[1], 0);
}

#[test]
fn a_message_that_never_ends_keeps_no_others() {
    let mut assembler = Assembler::default();
    let mut recorder = Recorder::default();
    let mut take = |n: u64, text: String| {
        let line = format!("2026-02-02T00:00:00+00:00 mx postfix/{text}");
        let at = Timestamp::from_seconds(1_770_000_000 + n / 4);
        assembler.take(at, &maillog::parse(&line).unwrap(), &mut recorder);
        recorder.told.clear();
        recorder.mails.clear();
        assembler.held()[4]
    };
    let client = |id: &str| format!("smtpd[7]: {id}: client=pc.example.net[192.0.2.7]");
    let mut most = take(0, client("BB0001"));
    for n in 0..10_000 {
        let id = format!("A{n:06X}");
        take(n, client(&id));
        take(n, format!("qmgr[9]: {id}: from=<a@x.test>, size=1, nrcpt=1 (queue active)"));
        most = most.max(take(n, format!("qmgr[9]: {id}: removed")));
    }
    assert!(most < 2000, "{most}");
}

/// Lines of several messages, each with its time in seconds.
fn some_log() -> Vec<(u64, String)> {
    let mut log = Vec::new();
    for n in 0..30_u64 {
        let start = n * 7;
        let (id, pid) = (format!("A{n:06X}"), 100 + n);
        let mut add = |after: u64, text: String| log.push((start + after, text));
        add(0, format!("smtpd[{pid}]: connect from pc{n}.example.net[192.0.2.{n}]"));
        add(
            1,
            format!(
                "smtpd[{pid}]: {id}: client=pc{n}.example.net[192.0.2.{n}], sasl_method=PLAIN, sasl_username=u{n}"
            ),
        );
        add(3, format!("qmgr[9]: {id}: from=<u{n}@x.test>, size=1, nrcpt=2 (queue active)"));
        for (after, to) in [(5, "b"), (9, "c")] {
            add(
                after,
                format!(
                    "smtp[10]: {id}: to=<{to}{n}@far.test>, relay=mx.far.test[198.51.100.1]:25, delay=6, delays=1/0/1/0, dsn=2.0.0, status=sent (250 Ok)"
                ),
            );
        }
        add(10, format!("smtpd[{pid}]: disconnect from pc{n}.example.net[192.0.2.{n}]"));
        add(11, format!("qmgr[9]: {id}: removed"));
    }
    log
}

fn stamped(log: &[(u64, String)]) -> Vec<String> {
    let stamp = |(at, text): &(u64, String)| {
        let at = Timestamp::from_millis(1_772_445_600_000 + at * 1000);
        format!("{at} mx postfix/{text}")
    };
    log.iter().map(stamp).collect()
}

proptest! {
    /// Lines that come up to half a minute late change nothing.
    #[test]
    fn late_lines(delays in proptest::collection::vec(0_u64..29, 210)) {
        let mut log = some_log();
        log.sort_by_key(|(at, _)| *at);
        let in_order = feed(stamped(&log));
        let mut late: Vec<_> = log.into_iter().zip(delays).collect();
        late.sort_by_key(|((at, _), delay)| at + delay);
        let late: Vec<(u64, String)> = late.into_iter().map(|(line, _)| line).collect();
        let of_late = feed(stamped(&late)).mails;
        let key = |mails: Vec<Mail>| {
            let mut keys: Vec<_> = mails.into_iter().map(|mail| {
                let mut to: Vec<_> = mail.recipients.iter().map(|one| one.address.clone()).collect();
                to.sort();
                (mail.at, mail.queue_id, mail.who.login.clone(), mail.from, to, mail.is_complete)
            }).collect();
            keys.sort();
            keys
        };
        prop_assert_eq!(key(of_late), key(in_order.mails));
    }

    /// Whatever lines: no panic, and nothing goes back in time.
    #[test]
    fn any_lines(picked in proptest::collection::vec((0_usize..60, 0_u64..700, 0_u8..4), 0..120)) {
        let all: Vec<String> = [ORDINARY].iter().flat_map(|log| lines(log)).chain(stamped(&some_log())).collect();
        let mut clock = 0;
        let lines = picked.into_iter().map(|(at, gap, id)| {
            clock += gap;
            let line = &all[at % all.len()];
            let (_, rest) = line.split_once(' ').unwrap();
            let at = Timestamp::from_seconds(1_772_445_600 + clock);
            format!("{at} {}", rest.replace("AA0001", &format!("BB000{id}")))
        });
        feed(lines.collect::<Vec<_>>());
    }
}
