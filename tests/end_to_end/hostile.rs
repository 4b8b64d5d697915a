//! What a client chose is shown, and can do nothing: no control character of it
//! reaches a terminal, a log, a mail or a JSON document, and no line of it is
//! taken for one of ours.

use std::time::Duration;

use serde_json::Value;

use super::harness::clocked::Clocked;
use super::harness::config::Config;
use super::harness::hook::Hook;
use super::harness::mailbox::{ADMIN, Mailbox};
use super::harness::note::Note;
use super::harness::postfix::Settings;
use super::harness::site::{OURS, REMOTE, Site, Tells};
use super::harness::smtp::{Outcome, SmtpClient, Stage};
use super::harness::{SOON, wait_for};

const CLIENT: &str = "127.0.0.8";
const ENTITY: &str = "client:127.0.0.8";

/// Sender addresses, each of a domain of its own; Postfix refuses some.
const SENDERS: [&[u8]; 12] = [
    b"\"\x1b[31mEVIL\x1b[0m\"@odd0.test",
    b"%s%n%x%1$s@odd1.test",
    b"\"EVIL\r\"@odd2.test",
    b"EVIL\xff\xfe@odd3.test",
    b"\"a,via=connector:erp EVIL\"@odd4.test",
    b"\"EVIL\\\rX-Evil: yes\"@odd5.test",
    b"\"$(touch EVIL)`id`;'\"@odd6.test",
    "\u{202e}EVIL\u{9b}31m@odd7.test".as_bytes(),
    b"\"EVIL\x07\x08\x7f\"@odd8.test",
    b"<EVIL>@odd9.test",
    b"\"EVIL\\\"</b>\t|&\"@odd10.test",
    b"%0d%0aEVIL@odd11.test",
];

/// Header lines; the last of each name counts where there are several.
const HEADERS: [&[u8]; 6] = [
    b"From: \x1b[31mEVIL\x1b[0m <win@odd.test>\r\nMessage-ID: <EVIL\x1b[2J%s@odd.test>\r\n",
    b"From: \xff\xfeEVIL <win@\xff.test>\r\nMessage-ID: <EVIL\xff\xfe@odd.test>\r\n",
    b"From: win@odd.test\r\nMessage-ID: <EVIL\rX-Evil: yes@odd.test>\r\n",
    b"From: =?utf-8?q?EVIL=0D=0AX-Evil:_yes?= <win@odd.test>\r\nMessage-ID: EVIL%s%n\r\n",
    b"From: \"EVIL\r\n X-Evil: yes\" <win@odd.test>\r\nMessage-ID: <EVIL\r\n X-Evil@odd.test>\r\n",
    b"From: EVIL\x9b31m <win@odd.test>\r\nMessage-ID: <EVIL\x7f\x08\x07@odd.test>\r\n",
];

/// HELO names.
fn names() -> Vec<Vec<u8>> {
    vec![
        b"\x1b[31mEVIL\x1b[0m".to_vec(),
        [b"EVIL".as_slice(), &[b'x'; 994]].concat(),
        b"EVIL\xff\xfe".to_vec(),
        b"EVIL%s%n%x".to_vec(),
        b"EVIL\x07\x08\x7f\rX-Evil".to_vec(),
        "EVIL\u{202e}\u{9b}31m".as_bytes().to_vec(),
    ]
}

/// One message in octets, as far as Postfix takes it. A session goes on after a
/// refusal.
fn post(client: &mut SmtpClient, from: &[u8], to: &[u8], header: &[u8]) -> Outcome {
    let mut say = |line: &[u8]| client.try_say_raw(line).expect("a session that goes on");
    let around = |verb: &[u8], address: &[u8]| [verb, b":<", address, b">"].concat();
    let reply = say(&around(b"MAIL FROM", from));
    if !reply.agrees() {
        return Outcome { stage: Stage::Mail, reply };
    }
    let reply = say(&around(b"RCPT TO", to));
    if !reply.agrees() {
        say(b"RSET");
        return Outcome { stage: Stage::Rcpt, reply };
    }
    assert!(say(b"DATA").agrees());
    let reply = say(&[header, b"Subject: EVIL \x1b[31m\r\n\r\nHello.\r\n."].concat());
    Outcome { stage: Stage::End, reply }
}

/// Text for a program: no control character but the end of a line.
#[track_caller]
fn assert_no_control(what: &str, text: &str) {
    let is_control = |c: &char| c.is_control() && *c != '\n';
    if let Some(wild) = text.chars().find(is_control) {
        let line = text.lines().find(|line| line.contains(wild)).unwrap_or_default();
        panic!("{what} has {wild:?} in {line:?}");
    }
}

/// Text for a person: as for a program, and nothing that turns or hides what is
/// around it, no line that a client chose.
#[track_caller]
fn assert_tame(what: &str, text: &str) {
    assert_no_control(what, text);
    let turns = |c: &char| matches!(*c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let turned = text.lines().find(|line| line.chars().any(|c| turns(&c)));
    assert_eq!(turned, None, "{what}");
    let forged = text.lines().find(|line| line.trim_start().starts_with("X-Evil"));
    assert_eq!(forged, None, "{what}");
}

/// A command's answer, to a person and to a program.
#[track_caller]
fn assert_tame_answer<D: Tells>(site: &Site<D>, args: &[&str]) -> (String, Value) {
    let text = site.daemon.cli(args).done().stdout;
    assert_tame(&args.join(" "), &text);
    let answer = site.daemon.cli(&[args, &["--json"]].concat()).done();
    assert_no_control(&format!("{} --json", args.join(" ")), &answer.stdout);
    (text, answer.json())
}

/// A site that tells its administrator by mail and by webhook, whose Postfix may
/// be set otherwise.
struct Told {
    site: Site<Clocked>,
    mailbox: Mailbox,
    hook: Hook,
}

impl Told {
    fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let (hook, mut mailbox) = (Hook::start(), None);
        let site = Site::clocked_with(|config, settings| {
            mailbox = Some(settings.mailbox());
            config.alert_mail(&[ADMIN], settings.port());
            config.alert.push_str(&format!("webhook = {:?}\n", hook.url()));
            config.sections.push_str("\n[judgement]\nnew_connector_alert = false\n");
            apart(config);
            change(settings);
        });
        Self { site, mailbox: mailbox.expect("a mailbox"), hook }
    }

    /// Waits until this case is told, and looks at all that was told so far.
    #[track_caller]
    fn assert_tame(&self, case: &str) {
        // At most one alert a minute.
        self.site.daemon.advance(Duration::from_secs(120));
        let what = "the alert of the restriction";
        let note = self.mailbox.wait_note(what, |note| {
            note.subject().contains("restricted") && note.text.contains(case)
        });
        assert_shows_evil(&note.text);
        self.mailbox.notes().iter().for_each(assert_tame_note);
        let is_told = || self.hook.posts().iter().any(|post| post.json()["case"] == case);
        wait_for("its webhook", SOON, String::new, || is_told().then_some(()));
        for post in self.hook.posts() {
            let body = String::from_utf8(post.body).expect("a body in UTF-8");
            assert_no_control("a webhook", &body);
        }
    }
}

#[track_caller]
fn assert_tame_note(note: &Note) {
    let raw = String::from_utf8(note.raw.clone()).expect("a mail in UTF-8");
    // Postfix folds its own headers so.
    assert_tame("an alert as it was delivered", &raw.replace("\n\t", "\n "));
    assert_tame("an alert's subject", &note.subject());
    assert_tame("an alert's text", &note.text);
    let wide = note.text.lines().find(|line| line.chars().count() >= 100);
    assert_eq!(wide, None, "a line is too wide");
    for name in ["From", "To", "Subject", "Message-ID", "Date"] {
        assert_eq!(note.all(name).len(), 1, "{name} in {:?}", note.headers);
    }
    assert_eq!(note.header("Bcc"), None);
}

/// What a client chose is there to be read. (Addresses are folded.)
#[track_caller]
fn assert_shows_evil(text: &str) {
    assert!(text.to_lowercase().contains("evil"), "{text}");
}

/// All that can be asked of this entity, logged and stored; gives its case.
#[track_caller]
fn assert_tame_everywhere<D: Tells>(site: &Site<D>, entity: &str) -> String {
    let (shown, _) = assert_tame_answer(site, &["show", entity]);
    assert_shows_evil(&shown);
    let lists: &[&[&str]] = &[
        &["list"],
        &["list", "--all"],
        &["history"],
        &["history", entity],
        &["explain", entity],
        &["top"],
        &["alerts"],
    ];
    for args in lists {
        assert_tame_answer(site, args);
    }
    let (_, list) = assert_tame_answer(site, &["list"]);
    let items = list.as_array().expect("an array");
    let item = items.iter().find(|item| item["entity"] == entity).expect("an entry");
    let case = item["case"].as_str().expect("a case id").to_owned();
    assert_tame_answer(site, &["show", &case]);
    let logged = || site.daemon.log().contains(&case);
    wait_for("the restriction in the log", SOON, || site.daemon.log(), || logged().then_some(()));
    assert_no_control("the log", &site.daemon.log());
    assert_tame_files(&site.dir().join("state"));
    case
}

/// What is kept on disk may be read with less(1), too, as far as it is text.
#[track_caller]
fn assert_tame_files(dir: &std::path::Path) {
    for entry in std::fs::read_dir(dir).expect("the state directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            assert_tame_files(&path);
            continue;
        }
        let ending = path.extension().unwrap_or_default();
        if ["log", "json", "txt"].iter().any(|it| ending == *it) {
            let octets = std::fs::read(&path).expect("a file");
            let text = String::from_utf8(octets);
            let text = text.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_no_control(&path.display().to_string(), &text);
        }
    }
}

/// A session of a client that calls itself this, if Postfix lets it.
fn session<D: Tells>(site: &Site<D>, client: &str, name: &[u8]) -> SmtpClient {
    let mut session = site.client(client);
    let reply = session.try_say_raw(&[b"EHLO ", name].concat());
    reply.expect("a session that goes on");
    session
}

/// Clients that have nothing to do with each other: three bad ones of one
/// organization are another matter.
const APART: [(&str, &str); 3] = [("a", "127.0.0.18"), ("b", "127.0.0.19"), ("c", "127.0.0.20")];

fn apart(config: &mut Config) {
    for (name, client) in APART {
        let ours = format!("name = \"{name}\"\nregistered_domains = [\"{name}.test\"]");
        config.sections.push_str(&format!("\n[[organization]]\n{ours}\n"));
        let lines = format!("clients = [\"{client}\"]\norganization = \"{name}\"");
        config.connector(name, &lines);
    }
}

/// What goes into addresses and HELO names; `told` is given each case.
#[track_caller]
fn senders_and_names<D: Tells>(site: &Site<D>, told: impl Fn(&str)) {
    let names = names();
    // A few messages are enough for a restriction: each client has its share.
    for (third, (name, client)) in APART.into_iter().enumerate() {
        let mut passed = 0;
        let caught = (0..40).find(|n| {
            let from = SENDERS[(4 * third + n) % SENDERS.len()];
            let to = format!("EVIL%s%n{n}@elsewhere.test");
            let mut session = session(site, client, &names[n % names.len()]);
            let outcome = post(&mut session, from, to.as_bytes(), b"From: win@odd.test\r\n");
            // What Postfix itself refuses is not our affair.
            passed += usize::from(outcome.accepted());
            outcome.reply.text.contains("case C-")
        });
        caught.unwrap_or_else(|| panic!("{passed} messages of {client} have passed"));
        assert!(passed > 0, "Postfix lets none of them through");
        // It goes on: what is refused is hostile, too.
        for (helo, from) in names.iter().zip(SENDERS) {
            let to = b"\"\x1b[31mEVIL\"@elsewhere.test";
            post(&mut session(site, client, helo), from, to, b"");
        }
        told(&assert_tame_everywhere(site, &format!("connector:{name}")));
    }
}

#[test]
fn hostile_senders_and_names_are_escaped_everywhere() {
    let told = Told::start(|_| ());
    senders_and_names(&told.site, |case| told.assert_tame(case));
}

#[test]
fn what_is_no_utf_8_is_escaped_everywhere() {
    // Such a Postfix does not look at octets beyond ASCII.
    let told = Told::start(|settings| settings.set("smtputf8_enable", "no"));
    senders_and_names(&told.site, |case| told.assert_tame(case));
}

#[test]
fn hostile_senders_and_names_are_escaped_in_the_log() {
    let site = Site::with(|config, settings| {
        apart(config);
        settings.set("smtputf8_enable", "no");
    });
    senders_and_names(&site, |case| {
        site.daemon.wait_log(&format!("case={case}"), SOON);
        assert_tame("the log", &site.daemon.log());
    });
}

#[test]
fn hostile_headers_are_escaped_everywhere() {
    let told = Told::start(|_| ());
    let mut client = SmtpClient::open_as(CLIENT, told.site.postfix.port(), b"EVIL.test");
    let refused = (0..12).any(|n| {
        let from = format!("win{n}@odd{n}.test");
        let header = HEADERS[n % HEADERS.len()];
        !post(&mut client, from.as_bytes(), REMOTE.as_bytes(), header).accepted()
    });
    assert!(refused, "twelve messages have passed");
    told.assert_tame(&assert_tame_everywhere(&told.site, ENTITY));
}

#[test]
fn hostile_logins_are_escaped_everywhere() {
    let told = Told::start(|_| ());
    let site = &told.site;
    // XCLIENT takes what a login may look like in xtext.
    let mut client = site.client("127.0.0.9");
    client.xclient("LOGIN=EVIL+1B[31m+0D+0AX-Evil:+20yes%s");
    let refused = (0..10).any(|n| {
        let from = format!("win{n}@odd{n}.test");
        !post(&mut client, from.as_bytes(), REMOTE.as_bytes(), b"").accepted()
    });
    assert!(refused, "ten messages passed");
    let entity = site.daemon.list(false)[0]["entity"].as_str().expect("an entity").to_owned();
    told.assert_tame(&assert_tame_everywhere(site, &entity));
    // Nobody else is touched.
    site.send("127.0.0.7", OURS, REMOTE).assert_accepted();
}

#[test]
fn a_hostile_reason_is_escaped_too() {
    let told = Told::start(|_| ());
    let reason = "EVIL \u{1b}[31m\r\nX-Evil: yes %s\u{202e}";
    told.site.send(CLIENT, OURS, REMOTE).assert_accepted();
    told.site.daemon.cli(&["block", ENTITY, "--reason", reason]).done();
    told.assert_tame(&assert_tame_everywhere(&told.site, ENTITY));
}
