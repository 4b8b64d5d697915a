//! What lines are read as, and what nobody can make of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use super::*;

fn smtpd(text: &str) -> Event<'_> {
    event("smtpd", text).unwrap_or_else(|skip| panic!("{text}: {skip:?}"))
}

fn cleanup(text: &str) -> Event<'_> {
    event("cleanup", text).unwrap_or_else(|skip| panic!("{text}: {skip:?}"))
}

fn verdict<'a>(program: &str, text: &'a str) -> Judged<'a> {
    match event(program, text) {
        Ok(Event::Verdict(judged)) => judged,
        other => panic!("{text}: {other:?}"),
    }
}

fn attempt(text: &str) -> Attempt<'_> {
    match event("smtp", text) {
        Ok(Event::Delivery(attempt)) => attempt,
        other => panic!("{text}: {other:?}"),
    }
}

fn peer<'a>(name: &'a str, address: &str, port: Option<u16>) -> Peer<'a> {
    Peer { name, address: address.parse().ok(), port }
}

#[test]
fn a_line_has_time_host_service_and_event() {
    let line =
        parse("Nov 22 06:25:01 mx postfix/submission/smtpd[714]: connect from a.test[192.0.2.1]")
            .unwrap();
    assert_eq!(line.stamp, Stamp::Yearless { month: 11, day: 22, second: 23_101 });
    assert_eq!(line.host, "mx");
    assert_eq!(line.tag.syslog_name, "postfix/submission");
    assert_eq!(line.event, Event::Connected(peer("a.test", "192.0.2.1", None)));
}

#[test]
fn lines_that_say_nothing_are_skipped_with_a_reason() {
    for (line, reason) in [
        ("", Skip::Empty),
        (" \t", Skip::Empty),
        ("no time", Skip::NoTime),
        ("Nov 22 06:25", Skip::NoTime),
        ("Nov 22 06:25:01 mx last message repeated 3 times", Skip::NotPostfix),
        ("Nov 22 06:25:01 mx sshd[1]: hello", Skip::NotPostfix),
        ("Nov 22 06:25:01 mx postfix/smtp[1]:", Skip::Cut),
        ("Nov 22 06:25:01 mx postfix/smtp[1]: ABCDEF1: to=<a@b", Skip::Cut),
        ("Nov 22 06:25:01 mx postfix/smtp[1]: ABCDEF1: to=<a@b>, relay=no", Skip::Cut),
        ("Nov 22 06:25:01 mx postfix/smtp[1]: ABCDEF1: to=<a@b>, relay=none, del", Skip::Cut),
        ("Nov 22 06:25:01 mx postfix/smtpd[1]: ABCDEF1: client=a[192.0.2.1], sasl_m", Skip::Cut),
        ("Nov 22 06:25:01 mx postfix/qmgr[1]: ABCDEF1: from=<a@b>, siz", Skip::Cut),
        (
            "Nov 22 06:25:01 mx postfix/smtpd[1]: lost connection after DATA from a[192.0.2.1]",
            Skip::NoMail,
        ),
        ("Nov 22 06:25:01 mx postfix/smtpd[1]: NOQUEUE: client=a[192.0.2.1]", Skip::NoMail),
        (
            "Nov 22 06:25:01 mx postfix/smtp[1]: ABCDEF1: host a[192.0.2.1] said: 450 no",
            Skip::NoMail,
        ),
        ("Nov 22 06:25:01 mx postfix/smtpd[1]: warning: hello", Skip::Warning),
        ("Nov 22 06:25:01 mx postfix/smtpd[1]: something nobody ever logged", Skip::Unknown),
        (
            "Nov 22 06:25:01 mx postfix/smtp[1]: ABCDEF1: something nobody ever logged",
            Skip::Unknown,
        ),
    ] {
        assert_eq!(parse(line), Err(reason), "{line}");
    }
}

#[test]
fn a_transaction_has_client_login_and_origin() {
    let plain = Accepted {
        queue_id: "4PbC4x469Jz3tBr",
        client: peer("unknown", "2001:db8::1", None),
        ..Accepted::default()
    };
    assert_eq!(smtpd("4PbC4x469Jz3tBr: client=unknown[2001:db8::1]"), Event::Accepted(plain));
    for (rest, login) in [
        (", sasl_method=PLAIN, sasl_username=alice@b.test", "alice@b.test"),
        (", sasl_method=PLAIN, sasl_username=two words, and more", "two words, and more"),
        (", sasl_method=PLAIN, sasl_username=a, sasl_sender=x@b.test", "a"),
    ] {
        let text = format!("4PbC4x469Jz3tBr: client=unknown[2001:db8::1]{rest}");
        assert_eq!(smtpd(&text), Event::Accepted(Accepted { login: Some(login), ..plain }));
    }
    let text = "ABCDEF1: client=localhost[127.0.0.1]:4711, sasl_sender=b@c.test, \
                orig_queue_id=4PbC4x469Jz3tBr, orig_client=a.test[192.0.2.9]:4712";
    assert_eq!(
        smtpd(text),
        Event::Accepted(Accepted {
            queue_id: "ABCDEF1",
            client: peer("localhost", "127.0.0.1", Some(4711)),
            login: None,
            original_client: Some(peer("a.test", "192.0.2.9", Some(4712))),
            original_queue_id: Some("4PbC4x469Jz3tBr"),
        })
    );
}

#[test]
fn a_client_can_not_claim_another_origin_by_its_auth_parameter() {
    let text = "ABCDEF1: client=a[192.0.2.1], sasl_method=PLAIN, sasl_username=eve, \
                sasl_sender=\"x, orig_queue_id=ABCDEF2, orig_client=b[192.0.2.2]\"";
    let Event::Accepted(accepted) = smtpd(text) else { panic!("{text}") };
    assert_eq!(accepted.login, Some("eve"));
    assert_eq!((accepted.original_queue_id, accepted.original_client), (None, None));
}

#[test]
fn the_queue_tells_sender_size_and_end() {
    let queued = |from| Event::Queued { queue_id: "ABCDEF1", from, size: 123, nrcpt: 4 };
    for (from, text) in [
        ("a@b.test", "<a@b.test>, size=123, nrcpt=4 (queue active)"),
        ("", "<>, size=123, nrcpt=4 (queue incoming)"),
        // Before 3.5 nothing was quoted.
        (
            "x>, size=1, nrcpt=1 (queue active",
            "<x>, size=1, nrcpt=1 (queue active>, size=123, nrcpt=4 (queue active)",
        ),
    ] {
        assert_eq!(event("qmgr", &format!("ABCDEF1: from={text}")), Ok(queued(from)), "{text}");
    }
    for text in [
        "from=<a@b.test>, status=expired, returned to sender",
        "from=<>, status=force-expired, returned to sender",
        "from=<x>, size=1, nrcpt=1 (queue active>, status=expired, returned to sender",
    ] {
        let text = format!("ABCDEF1: {text}");
        assert_eq!(event("qmgr", &text), Ok(Event::Expired { queue_id: "ABCDEF1" }), "{text}");
    }
    let removed = Ok(Event::Removed { queue_id: "ABCDEF1" });
    assert_eq!(event("qmgr", "ABCDEF1: removed"), removed);
    for kind in ["sender non-delivery", "sender delivery status", "postmaster delay"] {
        let text = format!("ABCDEF1: {kind} notification: ABCDEF2");
        let reported = Event::Reported { queue_id: "ABCDEF1", report: "ABCDEF2" };
        assert_eq!(event("bounce", &text), Ok(reported));
    }
    for (text, from, original) in [
        ("<x> from=<www-data>", "x> from=<www-data", None),
        ("<> orig_id=ABCDEF2", "", Some("ABCDEF2")),
        ("<x> orig_id=ABCDEF2>", "x> orig_id=ABCDEF2", None),
    ] {
        let text = format!("ABCDEF1: uid=33 from={text}");
        let submitted = Event::Submitted { queue_id: "ABCDEF1", uid: 33, from, original };
        assert_eq!(event("pickup", &text), Ok(submitted));
    }
}

#[test]
fn a_message_id_loses_its_brackets() {
    for (text, id) in
        [("<1@b.test>", "1@b.test"), ("<>", ""), ("=?utf-8?B?PD4=?=", "=?utf-8?B?PD4=?=")]
    {
        let text = format!("ABCDEF1: message-id={text}");
        assert_eq!(cleanup(&text), Event::MessageId { queue_id: "ABCDEF1", id });
    }
    assert_eq!(event("cleanup", "ABCDEF1: resent-message-id=<1@b.test>"), Err(Skip::NoMail));
}

#[test]
fn an_attempt_has_all_its_fields() {
    let text = "ABCDEF1: to=<a@b.test>, orig_to=<root>, relay=mx.b.test[2001:db8::1]:25, \
                conn_use=2, delay=1.9, delays=0.05/0/1.1/0.71, tls=dane/!requiretls:nocertmatch, \
                dsn=5.7.1, status=bounced (host mx.b.test[2001:db8::1] said: 550-5.7.1 [x] No \
                (really) 550 5.7.1 no. (in reply to end of DATA command))";
    let attempt = attempt(text);
    assert_eq!(
        (attempt.queue_id, attempt.to, attempt.original_to),
        ("ABCDEF1", "a@b.test", Some("root"))
    );
    assert_eq!(attempt.relay, Some(peer("mx.b.test", "2001:db8::1", Some(25))));
    assert_eq!((attempt.dsn, attempt.status), ("5.7.1", Status::Bounced));
    assert_eq!(attempt.said(), Some("550-5.7.1 [x] No (really) 550 5.7.1 no."));
    assert_eq!(attempt.in_reply_to(), Some("end of DATA"));
    assert_eq!((attempt.queued_as(), attempt.forwarded_as()), (None, None));
}

#[test]
fn relays_are_hosts_sockets_programs_or_nobody() {
    for (text, relay) in [
        ("none", None),
        ("local", Some(peer("local", "", None))),
        ("mx[private/dovecot-lmtp]", Some(peer("mx", "", None))),
        ("127.0.0.1[127.0.0.1]:10024", Some(peer("127.0.0.1", "127.0.0.1", Some(10024)))),
    ] {
        let text = format!("ABCDEF1: to=<a@b>, relay={text}, delay=1, status=sent (ok)");
        assert_eq!(attempt(&text).relay, relay, "{text}");
    }
}

#[test]
fn every_status_is_known() {
    for (word, status) in [
        ("sent", Status::Sent),
        ("deferred", Status::Deferred),
        ("SOFTBOUNCE", Status::Deferred),
        ("bounced", Status::Bounced),
        ("expired", Status::Expired),
        ("deliverable", Status::Probe),
        ("undeliverable", Status::Probe),
        ("undeliverable-but-not-cached", Status::Probe),
    ] {
        let text = format!("ABCDEF1: to=<a@b>, relay=none, delay=1, dsn=2.0.0, status={word} (x)");
        assert_eq!(attempt(&text).status, status, "{word}");
    }
    let text = "ABCDEF1: to=<a@b>, relay=none, delay=1, dsn=2.0.0, status=eaten (x)";
    assert_eq!(event("smtp", text), Err(Skip::Unknown));
}

#[test]
fn results_tell_where_the_mail_went_on() {
    let sent =
        |text| format!("ABCDEF1: to=<a@b>, relay=x, delay=1, dsn=2.0.0, status=sent ({text})");
    for (text, queued, forwarded) in [
        ("250 2.0.0 Ok: queued as 4ABCDEF123", Some("4ABCDEF123"), None),
        (
            "250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 4PbC4x469Jz3tBr",
            Some("4PbC4x469Jz3tBr"),
            None,
        ),
        ("250 2.6.0 Queued mail for delivery", None, None),
        ("250 queued as x", None, None),
        ("forwarded as ABCDEF2", None, Some("ABCDEF2")),
        ("250 forwarded as ABCDEF2", None, None),
        ("delivered to mailbox", None, None),
    ] {
        let text = sent(text);
        let attempt = attempt(&text);
        assert_eq!((attempt.queued_as(), attempt.forwarded_as()), (queued, forwarded), "{text}");
    }
    let text = sent("250 queued as ABCDEF2").replace("=sent", "=deferred");
    assert_eq!(attempt(&text).queued_as(), None);
}

#[test]
fn only_another_host_says_something() {
    for (text, said, command) in [
        (
            "host a[192.0.2.1] said: 450 no (in reply to RCPT TO command)",
            Some("450 no"),
            Some("RCPT TO"),
        ),
        ("host a[192.0.2.1] refused to talk to me: 554 no", Some("554 no"), Some("")),
        (
            "host a[192.0.2.1] said: 450 it was cut (in rep",
            Some("450 it was cut (in rep"),
            Some(""),
        ),
        (
            "delivery temporarily suspended: host a[192.0.2.1] refused to talk to me: 554 no",
            None,
            None,
        ),
        ("connect to a[192.0.2.1]:25: Connection refused", None, None),
        ("unknown user: \"host a said: 550 x\"", None, None),
        ("SASL authentication failed; server a[192.0.2.1] said: 535 no", None, None),
    ] {
        let text =
            format!("ABCDEF1: to=<a@b>, relay=x, delay=1, dsn=4.0.0, status=deferred ({text})");
        let attempt = attempt(&text);
        assert_eq!((attempt.said(), attempt.in_reply_to()), (said, command), "{text}");
    }
}

#[test]
fn a_recipient_can_not_forge_a_result() {
    let tail = ">, relay=y[192.0.2.1]:25, delay=1, delays=1/1/1/1, dsn=2.0.0, status=sent (ok";
    let rest = "relay=none, delay=1, delays=1/1/1/1, dsn=5.1.1, status=bounced (no)";
    for local in [format!("\"x{tail}\""), format!(r#""x\"{tail}""#), format!(r#""\\\"{tail}""#)] {
        let to = format!("{local}@c.test");
        for text in [
            format!("ABCDEF1: to=<{to}>, {rest}"),
            format!("ABCDEF1: to=<a@b.test>, orig_to=<{to}>, {rest}"),
        ] {
            let attempt = attempt(&text);
            assert_eq!((attempt.relay, attempt.status), (None, Status::Bounced), "{text}");
            assert!(attempt.to == to || attempt.original_to == Some(&to), "{text}");
        }
    }
    // Before 3.5 nothing was quoted: such a line has two meanings, and gets none.
    let text = format!("ABCDEF1: to=<x{tail})@c.test>, {rest}");
    assert_eq!(event("smtp", &text), Err(Skip::Unknown), "{text}");
    // The other host's text comes last: it may look like anything.
    let text = format!("ABCDEF1: to=<\"a b\"@b.test>, {rest}, status=sent (no{tail}))");
    assert_eq!(attempt(&text).status, Status::Bounced);
}

#[test]
fn refusals_have_stage_client_codes_and_envelope() {
    let text = "NOQUEUE: reject: RCPT from a.test[192.0.2.1]: 550 5.1.1 <x@b.test>: Recipient \
                address rejected: User unknown; see http://b.test; from=<s@c.test> to=<x@b.test> \
                proto=ESMTP helo=<h>";
    assert_eq!(
        verdict("smtpd", text),
        Judged {
            queue_id: None,
            verdict: Decision::Reject,
            milter: false,
            stage: "RCPT",
            client: peer("a.test", "192.0.2.1", None),
            code: 550,
            dsn: "5.1.1",
            text: "<x@b.test>: Recipient address rejected: User unknown; see http://b.test",
            from: Some("s@c.test"),
            to: Some("x@b.test"),
            login: None,
        }
    );
    let text = "ABCDEF1: milter-reject: END-OF-MESSAGE from a[2001:db8::1]: 4.7.1 Later; from=<> \
                to=<\"a b\"@b.test> proto=ESMTP helo=<h> sasl_username=<two words>";
    let judged = verdict("smtpd", text);
    assert_eq!((judged.queue_id, judged.milter), (Some("ABCDEF1"), true));
    assert_eq!((judged.code, judged.dsn, judged.text), (0, "4.7.1", "Later"));
    assert_eq!((judged.from, judged.to), (Some(""), Some("\"a b\"@b.test")));
    assert_eq!(judged.login, Some("two words"));
    let text = "NOQUEUE: reject: RCPT from [192.0.2.1]:40000: 550 5.7.1 blocked; from=<a@b>, \
                to=<c@d>, proto=ESMTP, helo=<h>";
    let judged = verdict("postscreen", text);
    assert_eq!(
        (judged.client.port, judged.from, judged.to),
        (Some(40000), Some("a@b"), Some("c@d"))
    );
}

#[test]
fn every_decision_is_known() {
    for (action, decision, milter) in [
        ("reject", Decision::Reject, false),
        ("reject_warning", Decision::Warn, false),
        ("warn", Decision::Warn, false),
        ("hold", Decision::Hold, false),
        ("discard", Decision::Discard, false),
        ("filter", Decision::Pass, false),
        ("redirect", Decision::Pass, false),
        ("prepend", Decision::Pass, false),
        ("info", Decision::Pass, false),
        ("milter-hold", Decision::Hold, true),
        ("milter-discard", Decision::Discard, true),
    ] {
        let text = format!("ABCDEF1: {action}: RCPT from a[192.0.2.1]: why; from=<> proto=SMTP");
        let judged = verdict("smtpd", &text);
        assert_eq!(
            (judged.verdict, judged.milter, judged.text),
            (decision, milter, "why"),
            "{action}"
        );
    }
    let text =
        "proxy-reject: END-OF-MESSAGE: 554 5.7.0 no; from=<a@b> to=<c@d> proto=SMTP helo=<h>";
    let judged = verdict("smtpd", text);
    assert_eq!((judged.verdict, judged.code, judged.to), (Decision::Reject, 554, Some("c@d")));
}

#[test]
fn a_client_can_not_forge_the_envelope_of_a_refusal() {
    // In the text of the reply, in the sender, in the recipient.
    for text in [
        "NOQUEUE: reject: RCPT from a[192.0.2.1]: 550 no; from=<f@f> to=<g@g> proto=SMTP helo=<h>; \
         from=<s@c.test> to=<x@b.test> proto=ESMTP helo=<h>",
        "NOQUEUE: reject: RCPT from a[192.0.2.1]: 550 <x; from=<f@f> to=<\"g>: no; from=<s@c.test> \
         to=<x@b.test> proto=ESMTP helo=<h>",
    ] {
        let judged = verdict("smtpd", text);
        assert_eq!((judged.from, judged.to), (Some("s@c.test"), Some("x@b.test")), "{text}");
    }
    let text = "NOQUEUE: reject: RCPT from a[192.0.2.1]: 550 no; from=<\"q; from=<f@f> to=<g\"@c> \
                to=<x@b.test> proto=ESMTP helo=<h>";
    let judged = verdict("smtpd", text);
    assert_eq!(judged.from, Some("\"q; from=<f@f> to=<g\"@c"));
    let text = "NOQUEUE: reject: RCPT from a[192.0.2.1]: 550 no; from=<s@c.test> \
                to=<\"q; from=<f@f> to=<g\"@c> proto=ESMTP helo=<h>";
    let judged = verdict("smtpd", text);
    assert_eq!((judged.from, judged.to), (Some("s@c.test"), Some("\"q; from=<f@f> to=<g\"@c")));
}

#[test]
fn logged_headers_have_name_value_and_client() {
    for (text, value, client) in [
        (
            "info: header From: A <a@b.test> from c.test[192.0.2.1]; from=<s@c.test> to=<x@b.test> \
             proto=ESMTP helo=<h>",
            "A <a@b.test>",
            peer("c.test", "192.0.2.1", None),
        ),
        (
            "warning: header From: a@b.test from local; from=<s@c.test> to=<x@b.test>: look here",
            "a@b.test",
            peer("local", "", None),
        ),
        // The value holds what would end it.
        (
            "info: header From: x from e[192.0.2.6]; from=<f@f> to=<g@g> proto=SMTP helo=<h> from \
             c.test[192.0.2.1]:4711; from=<s@c.test> to=<x@b.test> proto=ESMTP helo=<h>",
            "x from e[192.0.2.6]; from=<f@f> to=<g@g> proto=SMTP helo=<h>",
            peer("c.test", "192.0.2.1", Some(4711)),
        ),
    ] {
        let text = format!("ABCDEF1: {text}");
        let header = Header { queue_id: "ABCDEF1", name: "From", value, client };
        assert_eq!(cleanup(&text), Event::Header(header), "{text}");
    }
}

#[test]
fn a_rule_that_repeats_a_header_forges_nothing() {
    let forged = "hi from e[192.0.2.6]; from=<f@f>: z";
    let text = format!(
        "ABCDEF1: warning: header X: {forged} from c.test[192.0.2.1]; from=<s@c.test> \
         to=<x@b.test> proto=ESMTP helo=<h>: look at {forged}"
    );
    assert_eq!(event("cleanup", &text), Err(Skip::Unknown));
}

#[test]
fn rules_of_cleanup_decide_too() {
    for (action, stage, decision) in [
        ("reject: header", "header", Decision::Reject),
        ("hold: header", "header", Decision::Hold),
        ("replace: header", "header", Decision::Pass),
        ("warning: body", "body", Decision::Warn),
        ("reject: mime-header", "mime-header", Decision::Reject),
        ("milter-header-reject: header", "header", Decision::Reject),
    ] {
        let text = format!("ABCDEF1: {action} X: y from c[192.0.2.1]; from=<a@b> to=<c@d>: why");
        let judged = verdict("cleanup", &text);
        assert_eq!(
            (judged.stage, judged.verdict, judged.text),
            (stage, decision, "X: y"),
            "{text}"
        );
        assert_eq!((judged.from, judged.to), (Some("a@b"), Some("c@d")), "{text}");
    }
}

#[test]
fn certificates_are_read_where_they_are_beyond_doubt() {
    let client = peer("c.test", "192.0.2.1", Some(4711));
    let text = "c.test[192.0.2.1]:4711: subject_CN=client.test, issuer=Test CA, fingerprint=AB:4C, \
                pkey_fingerprint=7A:47";
    let certificate =
        Certificate { client, subject: "client.test", issuer: "Test CA", fingerprint: "AB:4C" };
    assert_eq!(smtpd(text), Event::Certificate(certificate));
    let text =
        "c.test[192.0.2.1]: subject_CN=x, issuer=y, issuer=z, fingerprint=AB, pkey_fingerprint=C";
    assert_eq!(event("smtpd", text), Err(Skip::Unknown));
    for (level, trusted) in [("Trusted", true), ("Untrusted", false), ("Anonymous", false)] {
        let text = format!(
            "{level} TLS connection established from c.test[192.0.2.1]:4711: TLSv1.3 with cipher X"
        );
        assert_eq!(smtpd(&text), Event::Encrypted { client, trusted });
    }
}

#[test]
fn providers_are_organizations_or_addresses() {
    for (name, address, expected) in [
        ("gmail-smtp-in.l.google.com", "192.0.2.1", Some("google.com")),
        ("MX1.Mail.Example.CO.UK", "192.0.2.1", Some("example.co.uk")),
        ("unknown", "192.0.2.1", Some("192.0.2.1")),
        ("", "2001:db8::1", Some("2001:db8::1")),
        ("local", "", None),
    ] {
        assert_eq!(provider_name(&peer(name, address, None)).as_deref(), expected, "{name}");
    }
}
