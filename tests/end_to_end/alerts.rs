//! Alerts by mail, through the Postfix whose mail is judged: they arrive, once
//! each, whoever is restricted, and nobody gains anything from having read one.
//!
//! At most one alert is told a minute, and the clock is the test's: nothing
//! comes that is not waited for.

use std::time::Duration;

use super::harness::clocked::Clocked;
use super::harness::config::Config;
use super::harness::mailbox::{ADMIN, Mailbox};
use super::harness::note::Note;
use super::harness::postfix::Settings;
use super::harness::site::{INBOUND, OURS, REMOTE, Site, Tells, odd};
use super::harness::smtp::{Letter, SmtpClient, case_in};
use super::harness::{SOON, wait_for};

const MINUTE: Duration = Duration::from_secs(60);

const CLIENT: &str = "127.0.0.8";
const ENTITY: &str = "connector:erp";
/// A client that nobody named.
const STRANGER: &str = "127.0.0.9";
/// Whom alerts also go to: they are relayed for that.
const ON_CALL: &str = "on-call@elsewhere.test";
/// One domain that nobody registered: suspicious, and never more.
const PARTNER: &str = "list@partner.test";

/// Tells the administrator here, and the one who is elsewhere.
fn tell(config: &mut Config, settings: &mut Settings) -> Mailbox {
    config.alert_mail(&[ADMIN, ON_CALL], settings.port());
    config.sections.push_str("\n[judgement]\nnew_connector_alert = false\n");
    config.connector("erp", &format!("clients = [\"{CLIENT}\"]"));
    settings.mailbox()
}

fn clocked(change: impl FnOnce(&mut Config)) -> (Site<Clocked>, Mailbox) {
    let mut mailbox = None;
    let site = Site::clocked_with(|config, settings| {
        mailbox = Some(tell(config, settings));
        change(config);
    });
    (site, mailbox.expect("a mailbox"))
}

/// Lets the daemon tell whatever it has to tell, and gives the kinds of all that
/// was told since the first start (but tests), each of which arrived once.
#[track_caller]
fn told<D: Tells>(site: &Site<D>, mailbox: &Mailbox) -> Vec<(String, Note)> {
    // It looks for what is due after each of them; a third finds that done.
    for _ in 0..2 {
        site.daemon.cli(&["alerts", "test"]).done();
    }
    let waiting = || site.daemon.json(&["status"])["alerts"]["queued"].clone();
    wait_for(
        "no alert that waits",
        SOON,
        || waiting().to_string(),
        || Some(()).filter(|()| waiting() == 0),
    );
    let mut told = mailbox.wait_told(site);
    // The one who is elsewhere got the same.
    site.sink.wait_for_to(ON_CALL, told.len(), SOON);
    told.retain(|(kind, _)| kind != "test");
    told
}

/// As [`told`], when the minute of the last one is over.
#[track_caller]
fn told_later(site: &Site<Clocked>, mailbox: &Mailbox) -> Vec<String> {
    site.daemon.advance(2 * MINUTE);
    told(site, mailbox).into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn an_alert_is_read_where_it_belongs_once() {
    // That the client is new, too, is no reason to tell less of what it did.
    let (site, mailbox) = clocked(|config| {
        config.sections = config.sections.replace("new_connector_alert = false", "");
    });
    let caught = site.take_over(STRANGER);
    let case = case_in(&caught.outcome.reply.text).expect("a case id");
    site.daemon.advance(2 * MINUTE);
    let told = told(&site, &mailbox);
    let (kind, note) = told.last().expect("an alert");
    assert_eq!(kind, "restricted");
    let subject = note.subject();
    assert!(subject.contains(&case) && subject.contains(STRANGER), "{subject}");
    let unblock = format!("connguard unblock client:{STRANGER}");
    assert!(note.text.contains(&unblock), "{}", note.text);
    let from = note.header("From").unwrap_or_default();
    assert!(from.contains("connguard@example.org"), "{from}");
    // Programs that answer mail must not answer this.
    assert_eq!(note.header("Auto-Submitted"), Some("auto-generated"));
    // The daemon itself is nobody who relays.
    assert_eq!(site.daemon.cli(&["show", "client:127.0.0.1"]).code, 1);
    let status = site.daemon.json(&["status"])["alerts"].take();
    assert_eq!(status["failed"], 0, "{status}");
    let read = site.daemon.cli(&["alerts"]).done().stdout;
    assert!(read.contains(&case), "{read}");
}

#[test]
fn alerts_pass_while_their_own_host_is_restricted_and_their_helo_is_worth_nothing() {
    let (mut site, mailbox) = clocked(|config| {
        config.restriction = "scope = \"all\"\n".to_owned();
        config.connector("host", "clients = [\"127.0.0.1\"]");
    });
    let here = "127.0.0.1";
    site.daemon.cli(&["block", "connector:host", "--reason", "stopped by hand"]).done();
    for to in [REMOTE, INBOUND, ADMIN, ON_CALL] {
        site.send(here, OURS, to).assert_tempfail();
    }
    // The alert of that very block is the first that has to pass.
    assert_eq!(told_later(&site, &mailbox), ["restricted"]);
    site.take_over(CLIENT).outcome.assert_tempfail();
    assert_eq!(told_later(&site, &mailbox).last().map(String::as_str), Some("restricted"));

    // Whoever reads alerts knows under which names they were handed in.
    let mut names: Vec<_> = mailbox.notes().iter().map(Note::helo).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "a name was used twice");
    names.push(format!("x{}", names[0]));
    let try_names = |site: &Site<Clocked>| {
        for name in &names {
            let mut session = site.client_as(here, name);
            for to in [REMOTE, INBOUND, ADMIN, ON_CALL] {
                session.send("connguard@example.org", to).assert_tempfail();
            }
            // A name that is said once more is no better.
            session.expect(&format!("EHLO {name}"), 250);
            session.send(OURS, ADMIN).assert_tempfail();
        }
    };
    try_names(&site);
    // Neither are they to a daemon that never gave them.
    let before = told_later(&site, &mailbox).len();
    site.daemon.restart_after(MINUTE);
    try_names(&site);
    assert_eq!(told_later(&site, &mailbox).len(), before);
}

#[test]
fn two_hours_of_an_incident_are_four_mails_of_one_thread() {
    let (mut site, mailbox) = clocked(|config| config.alert.push_str("repeat = \"1h\"\n"));
    // 0:00, a warning.
    for _ in 0..6 {
        site.send(CLIENT, PARTNER, REMOTE).assert_accepted();
    }
    assert_eq!(told_later(&site, &mailbox), ["suspicious"]);
    // 0:10, it is taken over for good, and goes on all the time.
    site.daemon.advance(8 * MINUTE);
    site.take_over(CLIENT).outcome.assert_tempfail();
    assert_eq!(told_later(&site, &mailbox).len(), 2);
    let retries = |site: &Site<Clocked>, minutes: usize| {
        for n in 0..minutes / 2 {
            site.daemon.advance(2 * MINUTE);
            site.send(CLIENT, &odd(100 + n), REMOTE).assert_tempfail();
        }
    };
    // 0:40, a restart in the middle.
    retries(&site, 28);
    site.daemon.restart_after(4 * MINUTE);
    // 1:08, not yet; 1:14, the reminder.
    retries(&site, 22);
    assert_eq!(told_later(&site, &mailbox).len(), 2);
    retries(&site, 4);
    assert_eq!(told_later(&site, &mailbox).len(), 3);
    // 1:54, it is lifted.
    retries(&site, 40);
    let unblock = ["unblock", ENTITY, "--reason", "password changed", "--force"];
    site.daemon.cli(&unblock).done();
    told_later(&site, &mailbox);
    // Nothing of it is told again, now or after a restart.
    site.daemon.advance(30 * MINUTE);
    site.daemon.restart_after(MINUTE);
    let told = told(&site, &mailbox);
    let kinds: Vec<_> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["suspicious", "restricted", "still_restricted", "lifted"]);
    let first = told[0].1.id();
    assert_eq!(told[0].1.header("In-Reply-To"), None);
    for (_, note) in &told[1..] {
        assert_eq!(note.header("In-Reply-To"), Some(first), "{}", note.subject());
        let references = note.header("References").unwrap_or_default();
        assert!(references.contains(first), "{references}");
    }
}

#[test]
fn three_hundred_at_once_are_two_mails_at_most() {
    const ENTITIES: usize = 300;
    let (site, mailbox) = clocked(|_| ());
    let port = site.postfix.port();
    let trip = |first: usize| {
        let mut session = SmtpClient::open("127.0.0.9", port);
        for n in (first..ENTITIES).step_by(3) {
            session.xclient(&format!("ADDR=127.3.{}.{}", n / 250, 1 + n % 250));
            // A filter calls all of it spam. It is not what the organization
            // is restricted for, which three of them are enough for.
            let spam = Letter { header: "X-Spam-Flag: YES\r\n", ..Letter::new(OURS, REMOTE) };
            let refused = (0..10).map(|_| session.post(&spam)).find(|it| !it.accepted());
            refused.expect("ten messages of spam passed").assert_tempfail();
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|first| scope.spawn(move || trip(first))).collect();
        threads.into_iter().for_each(|it| it.join().expect("three hundred clients"));
    });
    let tripped = site.daemon.list(false).len();
    assert!((ENTITIES..=ENTITIES + 1).contains(&tripped), "{tripped}");
    site.daemon.advance(2 * MINUTE);
    told(&site, &mailbox);
    // Whatever was left for later would come now.
    site.daemon.advance(5 * MINUTE);
    let told = told(&site, &mailbox);
    assert!(told.len() <= 2, "{:#?}", mailbox.subjects());
    // The first mail is of those that were there when it was written.
    let restricted = |(_, note): &(String, Note)| -> usize {
        let subject = note.subject();
        let words: Vec<_> = subject.split([' ', ',']).collect();
        let at = words.iter().position(|word| *word == "restricted").expect("how many");
        words[at - 1].parse().unwrap_or(1)
    };
    assert_eq!(told.iter().map(restricted).sum::<usize>(), tripped);
    let (kind, digest) = told.last().expect("an alert");
    assert_eq!(kind, "digest");
    assert!(digest.text.contains("client:127.3."), "{}", digest.text);
}

#[test]
fn in_observe_mode_the_subject_says_that_nothing_is_refused() {
    let (site, mailbox) = clocked(|config| config.mode = "observe");
    for n in 0..8 {
        site.send(CLIENT, &odd(n), REMOTE).assert_accepted();
    }
    site.daemon.advance(2 * MINUTE);
    let told = told(&site, &mailbox);
    assert_eq!(told.last().map(|(kind, _)| kind.as_str()), Some("restricted"));
    for (kind, note) in &told {
        let subject = note.subject().to_lowercase();
        assert!(subject.contains("nothing is refused"), "{subject}");
        assert!(note.text.contains("OBSERVE MODE"), "{}", note.text);
        // Of a suspicion nothing follows in any mode.
        let would = kind == "suspicious" || note.text.contains("would");
        assert!(would, "{}", note.text);
    }
}

#[test]
fn nothing_is_told_twice_or_forgotten_over_kill_9() {
    let mut mailbox = None;
    let mut site = Site::with(|config, settings| mailbox = Some(tell(config, settings)));
    let mailbox = mailbox.expect("a mailbox");
    site.take_over(CLIENT).outcome.assert_tempfail();
    // At once: what is in the journal, and not told, or just being told.
    site.daemon.wait_log(&format!("restricted entity={ENTITY}"), SOON);
    site.daemon.kill9();
    site.daemon.start_again();
    let is_it = |note: &Note| note.text.contains(&format!("connguard unblock {ENTITY}"));
    let deadline = 2 * MINUTE;
    wait_for(
        "its alert",
        deadline,
        || format!("{:#?}", mailbox.subjects()),
        || mailbox.notes().into_iter().find(|note| is_it(note)),
    );
    let kinds = |site: &Site| -> Vec<String> {
        told(site, &mailbox).into_iter().map(|(kind, _)| kind).collect()
    };
    let before = kinds(&site);
    assert_eq!(before.iter().filter(|kind| *kind == "restricted").count(), 1, "{before:?}");
    for _ in 0..2 {
        site.daemon.kill9();
        site.daemon.start_again();
        assert_eq!(kinds(&site), before);
    }
}
