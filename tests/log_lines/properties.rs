//! Lines that nobody wrote, and lines that an attacker would.

use connguard::{
    maillog::{Accepted, Attempt, Calendar, Event, Peer, Stamp, Status, Tag, event, parse},
    refusal,
    timestamp::Timestamp,
};
use proptest::prelude::*;

/// Pieces that lines are made of, so that random lines reach every corner.
const PIECES: [&str; 44] = [
    "Nov 22 06:25:01 mx ",
    "2026-11-22T06:25:01.5+01:00 mx ",
    "postfix/smtp[1]: ",
    "postfix/smtpd[1]: ",
    "postfix/cleanup[1]: ",
    "postfix/qmgr[1]: ",
    "ABCDEF1: ",
    "NOQUEUE: ",
    "to=<",
    "orig_to=<",
    "from=<",
    ">, ",
    "relay=",
    "none",
    "mx[192.0.2.1]:25",
    "delay=1, ",
    "dsn=5.1.1, ",
    "status=",
    "sent (",
    "bounced (",
    "host ",
    " said: ",
    "550 5.1.1 ",
    "(in reply to RCPT TO command)",
    "client=",
    "sasl_username=",
    ", orig_queue_id=",
    ", orig_client=",
    "reject: ",
    "milter-reject: ",
    "RCPT from ",
    "; from=<",
    "> to=<",
    "> proto=ESMTP helo=<",
    "info: header From: ",
    " from ",
    "subject_CN=",
    ", issuer=",
    ", fingerprint=",
    "message-id=<",
    "removed",
    "\"",
    "\\",
    "é",
];

fn soup() -> impl Strategy<Value = String> {
    let piece =
        prop_oneof![3 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned), 1 => ".{0,3}"];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// A local part as Postfix logs it: quoted where it has more than atoms.
fn local_part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9.+=_-]{1,12}",
        hostile()
            .prop_map(|text| format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))),
    ]
}

/// What an attacker would put into an address.
fn hostile() -> impl Strategy<Value = String> {
    const HOSTILE: [&str; 10] = [
        ">, relay=evil[192.0.2.66]:25, delay=1, delays=1/1/1/1, dsn=2.0.0, status=sent (ok",
        ">, orig_to=<victim@x.test>, relay=none, delay=1, status=bounced (x)",
        "; from=<f@f.test> to=<g@g.test> proto=ESMTP helo=<h>",
        " from evil[192.0.2.66]; from=<f@f.test> to=<g@g.test>",
        ">, size=1, nrcpt=1 (queue active)",
        "@c.test>",
        "\"",
        "\\",
        "x y",
        "(",
    ];
    prop::collection::vec(prop::sample::select(&HOSTILE[..]), 1..4).prop_map(|parts| parts.concat())
}

fn address() -> impl Strategy<Value = String> {
    (local_part(), "[a-z]{1,8}\\.test").prop_map(|(local, domain)| format!("{local}@{domain}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_line_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), line in soup()) {
        for text in [&*String::from_utf8_lossy(&bytes), &line] {
            if let Ok(line) = parse(text) {
                Calendar::new(Timestamp::from_seconds(1_800_000_000)).at(line.stamp);
                if let Event::Delivery(attempt) = line.event {
                    refusal::explain(&attempt);
                }
            }
            let _ = Tag::parse(text);
            for program in ["smtpd", "smtp", "cleanup", "qmgr", "bounce", "pickup", "local"] {
                if let Ok(Event::Delivery(attempt)) = event(program, text) {
                    let _ = (attempt.said(), attempt.queued_as(), attempt.forwarded_as());
                    refusal::outcome(&attempt, refusal::class(&attempt));
                }
            }
        }
    }

    #[test]
    fn a_delivery_keeps_its_fields(
        to in address(), original in prop::option::of(address()), host in "[a-z]{1,8}\\.test",
        ip in any::<std::net::IpAddr>(), port in any::<u16>(),
        text in "[ -~]{0,60}", status in 0..3_usize,
    ) {
        let original_to = original.as_ref().map(|to| format!(", orig_to=<{to}>")).unwrap_or_default();
        let (word, status) =
            [("sent", Status::Sent), ("deferred", Status::Deferred), ("bounced", Status::Bounced)][status];
        let line = format!(
            "Nov 22 06:25:01 mx postfix/smtp[714]: 4PbC4x469Jz3tBr: to=<{to}>{original_to}, \
             relay={host}[{ip}]:{port}, delay=1.2, delays=0.1/0/1/0.1, dsn=2.0.0, status={word} ({text})"
        );
        let parsed = parse(&line).map(|line| line.event);
        let relay = Peer { name: &host, address: Some(ip), port: Some(port) };
        let expected = Attempt {
            queue_id: "4PbC4x469Jz3tBr", to: &to, original_to: original.as_deref(),
            relay: Some(relay), dsn: "2.0.0", status, text: &text,
        };
        prop_assert_eq!(parsed, Ok(Event::Delivery(expected)), "{}", line);
    }

    #[test]
    fn the_queue_keeps_its_fields(from in address(), size in any::<u64>(), nrcpt in any::<u32>()) {
        let text = format!("ABCDEF1: from=<{from}>, size={size}, nrcpt={nrcpt} (queue active)");
        let expected = Event::Queued { queue_id: "ABCDEF1", from: &from, size, nrcpt };
        prop_assert_eq!(event("qmgr", &text), Ok(expected));
    }

    #[test]
    fn a_refusal_keeps_its_envelope(
        from in address(), to in address(), said in hostile(), shown in address(), helo in "[a-z.?]{1,9}",
    ) {
        // The reply repeats the recipient, and says what a rule or a policy service says.
        let text = format!(
            "NOQUEUE: reject: RCPT from a.test[192.0.2.1]: 550 5.7.1 <{shown}>: no {said}: sorry; \
             from=<{from}> to=<{to}> proto=ESMTP helo=<{helo}>"
        );
        let Ok(Event::Verdict(judged)) = event("smtpd", &text) else { panic!("{text}") };
        prop_assert_eq!((judged.from, judged.to), (Some(&*from), Some(&*to)), "{}", text);
        prop_assert_eq!((judged.code, judged.dsn, judged.stage), (550, "5.7.1", "RCPT"));
    }

    #[test]
    fn a_header_keeps_its_client(value in hostile(), from in address(), to in address()) {
        let text = format!(
            "ABCDEF1: info: header From: {value} from a.test[192.0.2.1]; from=<{from}> to=<{to}> \
             proto=ESMTP helo=<h>"
        );
        let Ok(Event::Header(header)) = event("cleanup", &text) else { panic!("{text}") };
        prop_assert_eq!(header.client.name, "a.test", "{}", text);
        prop_assert_eq!(header.value, value, "{}", text);
    }

    #[test]
    fn a_login_is_whole(login in "[a-zA-Z0-9@.+_= -]{1,30}", id in "[0-9A-F]{8,12}") {
        let text = format!(
            "ABCDEF1: client=a.test[192.0.2.1], sasl_method=PLAIN, sasl_username={login}, \
             orig_queue_id={id}, orig_client=b.test[2001:db8::7]"
        );
        let expected = Accepted {
            queue_id: "ABCDEF1",
            client: Peer { name: "a.test", address: "192.0.2.1".parse().ok(), port: None },
            login: Some(&login),
            original_client: Some(Peer { name: "b.test", address: "2001:db8::7".parse().ok(), port: None }),
            original_queue_id: Some(&id),
        };
        prop_assert_eq!(event("smtpd", &text), Ok(Event::Accepted(expected)));
    }

    #[test]
    fn a_stamp_is_the_time_it_names(seconds in 0..4_000_000_000_u64, zone in -14..=14_i64) {
        let at = jiff::Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap();
        let offset = jiff::tz::Offset::from_seconds(i32::try_from(zone * 3600).unwrap()).unwrap();
        let text = at.to_zoned(offset.to_time_zone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        prop_assume!(!text.starts_with("1969"));
        let line = format!("{text} mx postfix/qmgr[1]: ABCDEF1: removed");
        let stamp = parse(&line).map(|line| line.stamp);
        prop_assert_eq!(stamp, Ok(Stamp::Full(Timestamp::from_seconds(seconds))), "{}", text);
    }

    #[test]
    fn a_file_in_order_gets_its_years_back(
        start in 1_500_000_000..1_800_000_000_u64,
        steps in prop::collection::vec(prop_oneof![0..5_u64, 0..100_000_u64, 0..10_000_000_u64], 1..30),
        out_of_order in 0..5_u64,
    ) {
        let mut at = start;
        let mut times = vec![at];
        for step in steps {
            if at + step - start > 300 * 86_400 {
                break;
            }
            at += step;
            times.push(at);
            times.push(at - out_of_order.min(at - start));
        }
        let anchor = Timestamp::from_seconds(at + 60);
        // Half an hour east of a zone without summer time.
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::Offset::from_seconds(19_800).unwrap());
        let mut file = Calendar::in_zone(anchor, zone.clone());
        let mut live = Calendar::in_zone(Timestamp::default(), zone.clone());
        for seconds in times {
            let local = jiff::Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap();
            let text = local.to_zoned(zone.clone()).strftime("%b %e %H:%M:%S").to_string();
            let line = format!("{text} mx postfix/qmgr[1]: ABCDEF1: removed");
            let stamp = parse(&line).unwrap().stamp;
            let expected = Timestamp::from_seconds(seconds);
            prop_assert_eq!(file.at(stamp), expected, "{}", text);
            prop_assert_eq!(live.at_now(stamp, anchor), expected, "{}", text);
        }
    }
}
