//! Replies as mail hosts give them, shortened, and the class of each.

#![allow(clippy::panic, reason = "tests fail by panicking")]

use super::*;
use crate::maillog::{Event, event};
use Class::{
    Connection, Full, Greylisted, Other, Own, Policy, RateLimit, Resolver, Spam, UnknownRecipient,
};

/// The class of a recipient's attempt with this status and text.
fn class_of(status: &str, dsn: &str, text: &str) -> Option<Class> {
    let line =
        format!("ABCDEF1: to=<a@b.test>, relay=x, delay=1, dsn={dsn}, status={status} ({text})");
    let Ok(Event::Delivery(attempt)) = event("smtp", &line) else { panic!("{line}") };
    class(&attempt)
}

/// The class of what a host says to RCPT TO, or to another command.
fn said(reply: &str) -> Option<Class> {
    replied(reply, "RCPT TO")
}

fn replied(reply: &str, command: &str) -> Option<Class> {
    let permanent = reply.starts_with('5');
    let (status, dsn) = if permanent { ("bounced", "5.0.0") } else { ("deferred", "4.0.0") };
    let text = format!("host mx[192.0.2.1] said: {reply} (in reply to {command} command)");
    class_of(status, dsn, &text)
}

fn refused_to_talk(reply: &str) -> Option<Class> {
    class_of("deferred", "4.0.0", &format!("host mx[192.0.2.1] refused to talk to me: {reply}"))
}

#[track_caller]
fn check(replies: &[(&str, Class)]) {
    for (reply, expected) in replies {
        assert_eq!(said(reply), Some(*expected), "{reply}");
    }
}

#[test]
fn gmail() {
    check(&[
        (
            "550-5.1.1 The email account that you tried to reach does not exist. 550 5.1.1 x - gsmtp",
            UnknownRecipient,
        ),
        (
            "550 5.2.1 The email account that you tried to reach is disabled. x - gsmtp",
            UnknownRecipient,
        ),
        ("452-4.2.2 The recipient's inbox is out of storage space. x - gsmtp", Full),
        ("552-5.2.2 The email account that you tried to reach is over quota. x - gsmtp", Full),
        ("450-4.2.1 The user is receiving mail at a rate that prevents more. x - gsmtp", Full),
        (
            "421-4.7.28 Gmail has detected an unusual rate of mail from your IP. x - gsmtp",
            RateLimit,
        ),
        (
            "421-4.7.0 [192.0.2.1 15] unusual rate of unsolicited mail; temporarily rate limited",
            RateLimit,
        ),
        (
            "550-5.7.1 [192.0.2.1 12] Our system has detected that this message is likely unsolicited mail.",
            Spam,
        ),
        ("550-5.7.1 [192.0.2.1] The IP you're using to send mail is not authorized", Policy),
        ("550-5.7.26 This mail has been blocked because the sender is unauthenticated.", Policy),
        ("550-5.7.25 The sending IP address has no PTR record. x - gsmtp", Own),
        ("550-5.4.5 Daily user sending limit exceeded. x - gsmtp", RateLimit),
        ("552-5.3.4 Your message exceeded Google's message size limits. x - gsmtp", Full),
    ]);
}

#[test]
fn microsoft() {
    check(&[
        (
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
            UnknownRecipient,
        ),
        (
            "550 5.4.1 Recipient address rejected: Access denied. [x.prod.protection.outlook.com]",
            UnknownRecipient,
        ),
        (
            "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).",
            UnknownRecipient,
        ),
        (
            "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent; on our block list (S3140).",
            Policy,
        ),
        ("550 5.7.606 Access denied, banned sending IP [192.0.2.1].", Policy),
        (
            "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP.",
            Policy,
        ),
        ("550 5.7.509 Access denied, sending domain does not pass DMARC verification", Policy),
        ("530 5.7.57 Client not authenticated to send mail.", Own),
        ("550 5.7.64 TenantAttribution; Relay Access Denied [x]", Own),
        ("550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required", Own),
        ("451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77714)", RateLimit),
        (
            "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.",
            RateLimit,
        ),
        ("452 4.5.3 Too many recipients", Connection),
        ("452 4.3.1 Insufficient system resources", Full),
        ("432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", Connection),
    ]);
}

#[test]
fn yahoo() {
    check(&[
        (
            "554 delivery error: dd This user doesn't have a yahoo.com account [0] - mta1.yahoo.com",
            UnknownRecipient,
        ),
        ("554 delivery error: dd Not a valid recipient - mta1.yahoo.com", UnknownRecipient),
        ("554 delivery error: dd Sorry. This mailbox is disabled (554.30).", UnknownRecipient),
        (
            "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume",
            RateLimit,
        ),
        (
            "421 4.16.55 [TS01] Messages from 192.0.2.1 temporarily deferred due to user complaints",
            RateLimit,
        ),
        ("421 Message from (192.0.2.1) temporarily deferred - 4.16.50.", RateLimit),
        ("553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1", Policy),
        ("554 5.7.9 Message not accepted for policy reasons.", Policy),
        ("552 1 Requested mail action aborted, mailbox full", Full),
    ]);
}

#[test]
fn qq_and_netease() {
    check(&[
        ("550 Mail content denied. http://service.mail.qq.example/1", Spam),
        ("550 Mailbox unavailable or access denied [x IP: 192.0.2.1].", RateLimit),
        ("550 Mailbox not found. http://service.mail.qq.example/2", UnknownRecipient),
        ("550 Ip frequency limited [x IP: 192.0.2.1].", RateLimit),
        ("550 Domain frequency limited [x IP: 192.0.2.1].", RateLimit),
        ("550 Connection frequency limited", RateLimit),
        ("550 Suspected spam ip [x IP: 192.0.2.1].", Spam),
        ("554 DT:SPM 163 mx1,x", Spam),
        ("550 User not found: x", UnknownRecipient),
        ("550 User suspended, x", UnknownRecipient),
    ]);
}

#[test]
fn mail_ru_and_yandex() {
    check(&[
        (
            "550 Message was not accepted -- invalid mailbox. Local mailbox x is unavailable: user not found",
            UnknownRecipient,
        ),
        ("550 spam message rejected. Please visit http://help.mail.example/", Spam),
        ("550 Access from ip address 192.0.2.1 blocked. Visit http://help.example/", Policy),
        ("451 Ratelimit exceeded for this sender", RateLimit),
        ("550 5.7.1 No such user!", UnknownRecipient),
        ("554 5.7.1 Message rejected under suspicion of SPAM", Policy),
    ]);
}

#[test]
fn exim() {
    check(&[
        ("550 Unrouteable address", UnknownRecipient),
        ("550 Unknown user", UnknownRecipient),
        ("550 No Such User Here", UnknownRecipient),
        ("550-rejected because 192.0.2.1 is in a black list at zen.spamhaus.org", Policy),
        ("550 Administrative prohibition", Policy),
        ("550-Verification failed for <s@c.test> 550 Sender verify failed", Policy),
        ("550 relay not permitted", Own),
        ("451 Temporary local problem - please try later", Connection),
        ("451 greylisted, try again in 5 minutes", Greylisted),
    ]);
}

#[test]
fn postfix() {
    check(&[
        (
            "550 5.1.1 <a@b.test>: Recipient address rejected: User unknown in local recipient table",
            UnknownRecipient,
        ),
        ("550 5.1.0 <a@b.test>: Recipient address rejected: undeliverable", UnknownRecipient),
        (
            "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
            Policy,
        ),
        ("554 5.7.1 <x[192.0.2.1]>: Client host rejected: Access denied", Policy),
        ("554 5.7.1 <a@b.test>: Relay access denied", Own),
        (
            "450 4.2.0 <a@b.test>: Recipient address rejected: Greylisted, see http://x/help",
            Greylisted,
        ),
        ("450 4.1.8 <s@c.test>: Sender address rejected: Domain not found", Resolver),
        ("550 5.1.8 <s@c.test>: Sender address rejected: Domain not found", Policy),
        ("450 4.7.1 Client host rejected: cannot find your hostname, [192.0.2.1]", Own),
        ("451 4.7.1 Service unavailable - try again later", Greylisted),
        ("450 4.1.1 <a@b.test>: Recipient address rejected: unverified address", Connection),
        ("451 4.3.5 Server configuration error", Connection),
        ("552 5.3.4 Message size exceeds fixed limit", Full),
        ("554 5.4.6 Error: too many hops", Own),
        ("504 5.5.2 <x>: Helo command rejected: need fully-qualified hostname", Own),
    ]);
}

#[test]
fn sendmail() {
    check(&[
        ("550 5.1.1 <a@b.test>... User unknown", UnknownRecipient),
        ("553 5.3.0 <a@b.test>... No such user here", UnknownRecipient),
        ("553 5.3.0 Spam blocked, see http://x.test", Policy),
        ("550 5.7.1 <a@b.test>... Relaying denied", Own),
        ("421 4.3.2 Connection rate limit exceeded.", RateLimit),
        ("452 4.4.5 Insufficient disk space; try again later", Full),
    ]);
}

#[test]
fn what_is_not_known_speaks_against_nobody() {
    check(&[
        ("550 no", Other),
        ("554 5.0.0 Transaction failed", Other),
        ("500 5.5.1 Command not recognized", Other),
        ("421 try again later", Connection),
        ("421 4.7.0 Try again later, closing connection.", Greylisted),
        ("421 4.7.0 Too many connections from your host", Connection),
        ("", Connection),
    ]);
    for class in [Greylisted, Full, Connection, Resolver, Own, Other] {
        assert!(!class.speaks_against(), "{class:?}");
    }
}

#[test]
fn a_sender_that_is_refused_is_policy() {
    for reply in
        ["550 5.1.1 User unknown", "550 No such user", "550 5.7.1 rejected", "550 5.1.7 no"]
    {
        assert_eq!(replied(reply, "MAIL FROM"), Some(Policy), "{reply}");
    }
    assert_eq!(replied("550 hm", "MAIL FROM"), Some(Other));
}

#[test]
fn a_refused_connection_may_be_a_block_list() {
    for (reply, expected) in [
        ("554 5.7.1 192.0.2.1 is listed at zen.spamhaus.org", Policy),
        ("554 5.7.1 you are not welcome here", Policy),
        ("554 mx.b.test no SMTP service here", Connection),
        ("421 4.7.0 too many connections", Connection),
        ("450 4.3.2 try again later", Connection),
        ("421 4.7.0 [TSS04] temporarily deferred due to unexpected volume", RateLimit),
    ] {
        assert_eq!(refused_to_talk(reply), Some(expected), "{reply}");
    }
}

#[test]
fn what_postfix_says_itself_speaks_against_nobody() {
    for (status, dsn, text, expected) in [
        (
            "deferred",
            "4.4.1",
            "connect to mx.b.test[192.0.2.1]:25: Connection timed out",
            Connection,
        ),
        (
            "deferred",
            "4.4.2",
            "lost connection with mx[192.0.2.1] while sending RCPT TO",
            Connection,
        ),
        (
            "deferred",
            "4.4.2",
            "conversation with mx[192.0.2.1] timed out while sending MAIL FROM",
            Connection,
        ),
        ("deferred", "4.7.5", "Server certificate not verified", Connection),
        (
            "deferred",
            "4.4.2",
            "delivery temporarily suspended: host mx[192.0.2.1] refused to talk to me: 554 blocked using x",
            Connection,
        ),
        (
            "deferred",
            "4.4.3",
            "Host or domain name not found. Name service error for name=b.test type=MX: Host not found, try again",
            Resolver,
        ),
        (
            "bounced",
            "5.4.4",
            "Host or domain name not found. Name service error for name=relay.site.test type=A: Host not found",
            Resolver,
        ),
        ("bounced", "5.4.6", "mail for b.test loops back to myself", Own),
        (
            "bounced",
            "5.6.7",
            "SMTPUTF8 is required, but was not offered by host mx[192.0.2.1]",
            Own,
        ),
        ("bounced", "5.3.4", "message size 9 exceeds size limit 1 of server mx[192.0.2.1]", Own),
        ("deferred", "4.3.0", "unknown mail transport error", Own),
        ("bounced", "5.1.1", "User unknown in virtual alias table", Own),
        ("bounced", "5.1.1", "unknown user: \"x\"", Own),
        (
            "deferred",
            "4.7.8",
            "SASL authentication failed; server mx[192.0.2.1] said: 535 5.7.8 no",
            Own,
        ),
        ("bounced", "5.2.2", "maildir over quota", Full),
        (
            "expired",
            "4.0.0",
            "host mx[192.0.2.1] said: 550 5.1.1 User unknown (in reply to RCPT TO command)",
            Own,
        ),
        (
            "undeliverable",
            "5.1.1",
            "host mx[192.0.2.1] said: 550 5.1.1 User unknown (in reply to RCPT TO command)",
            Own,
        ),
    ] {
        assert_eq!(class_of(status, dsn, text), Some(expected), "{text}");
    }
    assert_eq!(class_of("sent", "2.0.0", "250 5.1.1 spam"), None);
}

#[test]
fn a_recipient_domain_that_is_not_there_is_an_unknown_recipient() {
    for text in [
        "Host or domain name not found. Name service error for name=b.test type=A: Host not found",
        "Host or domain name not found. Name service error for name=B.test type=AAAA: Host found but no data record of requested type",
        "Domain b.test does not accept mail (nullMX)",
    ] {
        assert_eq!(class_of("bounced", "5.4.4", text), Some(UnknownRecipient), "{text}");
    }
}

#[test]
fn the_recipient_does_not_choose_its_class() {
    let line = "ABCDEF1: to=<\"mailbox full\"@b.test>, relay=x, delay=1, dsn=5.0.0, status=bounced \
                (host mx[192.0.2.1] said: 550 <over-quota@b.test> relay-denied@b.test no such user \
                (in reply to RCPT TO command))";
    let Ok(Event::Delivery(attempt)) = event("smtp", line) else { panic!("{line}") };
    assert_eq!(class(&attempt), Some(UnknownRecipient));
}

#[test]
fn a_permanent_reply_counts_under_soft_bounce_too() {
    let text = "host mx[192.0.2.1] said: 550 5.1.1 User unknown (in reply to RCPT TO command)";
    assert_eq!(class_of("SOFTBOUNCE", "5.1.1", text), Some(UnknownRecipient));
}

#[test]
fn outcomes_follow_the_class() {
    let outcome_of = |text: &str| {
        let line = format!("ABCDEF1: to=<a@b>, relay=x, delay=1, dsn=5.0.0, status={text}");
        let Ok(Event::Delivery(attempt)) = event("smtp", &line) else { panic!("{line}") };
        outcome(&attempt, class(&attempt))
    };
    assert_eq!(outcome_of("sent (ok)"), Outcome::Delivered);
    let discarded = "sent (250 2.7.0 Ok, discarded, id=00042-01 - spam)";
    assert_eq!(outcome_of(discarded), Outcome::Deferred);
    assert_eq!(outcome_of("bounced (host a[::1] said: 550 5.1.1 x)"), Outcome::Refused);
    assert_eq!(outcome_of("deferred (host a[::1] said: 450 4.2.0 greylisted)"), Outcome::Deferred);
}
