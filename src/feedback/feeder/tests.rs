#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod whose;

use super::*;
use crate::{
    connector::{ConnectorKey, Identities},
    directory,
    domain::DomainSet,
    engine::{Session, Settings},
    feedback::{Program, Tools},
    message::{Fate, Message, Recipient, Sender},
    record::SignalName,
};
use std::{fs, io::Write, path::PathBuf};
use tempfile::TempDir;

const START: Timestamp = Timestamp::from_seconds(1_795_000_000);

/// An engine, and a feeder that reads the log of a folder.
struct World {
    folder: TempDir,
    engine: Arc<Engine>,
    feeder: Feeder,
    second: u64,
}

fn engine() -> Arc<Engine> {
    let mut registered = DomainSet::default();
    registered.insert("example.org").unwrap();
    let settings = Settings::with_directory(directory::Params {
        discovered: Arc::new(directory::Terms { registered, ..directory::Terms::default() }),
        relay_networks: vec!["10.0.0.0/8".parse().unwrap()],
        discover: true,
        ..directory::Params::default()
    });
    Arc::new(Engine::new(settings, 1000, START))
}

/// A host where nothing answers.
fn tools(files: Vec<PathBuf>) -> Tools {
    let nothing = || Program::named("/nonexistent");
    Tools { postconf: nothing(), journalctl: nothing(), files }
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("mail.log");
        fs::write(&log, "").unwrap();
        Self::with(folder, MailLog::File(log.clone()), tools(vec![log]))
    }

    fn with(folder: TempDir, mail_log: MailLog, tools: Tools) -> Self {
        let engine = engine();
        let moment = Moment { now: START, wall: START };
        let params = Params { mail_log, tools };
        let mut feeder = Feeder::new(params, Arc::clone(&engine), None, moment);
        feeder.turn(moment);
        Self { folder, engine, feeder, second: 0 }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("mail.log")
    }

    fn now(&self) -> Timestamp {
        START.plus(Duration::from_secs(self.second))
    }

    fn moment(&self) -> Moment {
        // The wall clock was set an hour ahead since the start.
        let wall = self.now().plus(Duration::from_secs(3600));
        Moment { now: self.now(), wall }
    }

    /// Somebody sends a message.
    fn sends(&self, queue_id: &str, recipients: &[&str]) {
        let mut session = Session::default();
        let client = Some("10.0.0.7".parse().unwrap());
        session.identify(Identities { client, ..Identities::default() });
        let mut transaction = self
            .engine
            .begin(&mut session, &Sender::Address { address: "user@example.org", qualified: true });
        for address in recipients {
            let recipient = Recipient { address, transport: Some("smtp"), fate: Fate::Accepted };
            self.engine.at_recipient(&mut session, &mut transaction, &recipient, self.now());
        }
        let message = Message {
            sender: Sender::Address { address: "user@example.org", qualified: true },
            queue_id: Some(queue_id),
            message_id: None,
            from: &[],
            spam: None,
            report: false,
            size: None,
            host: None,
        };
        self.engine.at_end(&mut session, transaction, &message, self.now());
    }

    /// Postfix logs.
    fn logs(&self, program: &str, text: &str) {
        self.logs_at(self.moment().wall, program, text);
    }

    fn logs_at(&self, stamp: Timestamp, program: &str, text: &str) {
        let mut file = fs::File::options().append(true).create(true).open(self.log()).unwrap();
        writeln!(file, "{stamp} mx postfix/{program}[71]: {text}").unwrap();
    }

    fn came(&self, queue_id: &str, client: &str) {
        self.logs("smtpd", &format!("{queue_id}: client={client}"));
    }

    fn sent(&self, queue_id: &str, to: &str, relay: &str, said: &str) {
        self.logs("smtp", &format!("{queue_id}: to=<{to}>, relay={relay}:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent ({said})"));
    }

    fn delivered(&self, queue_id: &str, to: &str) {
        self.sent(queue_id, to, "mx.b.test[192.0.2.25]", "250 2.0.0 ok");
    }

    fn bounced(&self, queue_id: &str, to: &str) {
        self.logs("smtp", &format!("{queue_id}: to=<{to}>, relay=mx.b.test[192.0.2.25]:25, delay=1, delays=0/0/0/1, dsn=5.1.1, status=bounced (host mx.b.test[192.0.2.25] said: 550 5.1.1 <x@b.test>: Recipient address rejected: User unknown (in reply to RCPT TO command))"));
    }

    fn removed(&self, queue_id: &str) {
        self.logs("qmgr", &format!("{queue_id}: removed"));
    }

    fn look(&mut self) -> Status {
        while self.feeder.turn(self.moment()) {}
        self.feeder.status()
    }

    fn in_flight(&self) -> u32 {
        let key = ConnectorKey::Client("10.0.0.7/32".parse().unwrap());
        self.engine.roster().get(&key).unwrap().in_flight()
    }

    /// Refused ones of all recipients whose result counted.
    fn refused(&self) -> (u32, u32) {
        let key = ConnectorKey::Client("10.0.0.7/32".parse().unwrap());
        let tally = self.engine.roster().get(&key).unwrap();
        let settings = self.engine.settings();
        let terms = settings.directory.terms(&key);
        let context = self.engine.context(&settings, &key, terms, self.now());
        let findings = tally.all_findings(&context);
        let found = findings.iter().find(|it| it.signal == SignalName::ManyRefused).unwrap();
        (found.bad, found.of)
    }
}

#[test]
fn results_reach_the_engine_and_prove_the_log() {
    let mut world = World::new();
    assert_eq!(world.engine.feedback(), Feedback::Watching);
    world.sends("ABCDE01", &["a@b.test", "x@b.test", "c@b.test"]);
    world.came("ABCDE01", "client.test[10.0.0.7]");
    world.bounced("ABCDE01", "x@b.test");
    world.delivered("ABCDE01", "a@b.test");
    world.delivered("ABCDE09", "of@another.test");
    world.logs("smtp", "gibberish");
    let status = world.look();
    assert_eq!((status.results, status.unknown, status.lines, status.skipped), (2, 1, 5, 1));
    assert_eq!(world.engine.feedback(), Feedback::Coming);
    assert!(status.healthy && status.notes().is_empty());
    assert_eq!((world.refused(), world.in_flight()), ((1, 2), 1));
    // Said again, as of a retry: nothing new.
    world.bounced("ABCDE01", "x@b.test");
    world.look();
    assert_eq!(world.refused(), (1, 2));
    // What is removed has landed, and its queue id is free.
    world.removed("ABCDE01");
    world.bounced("ABCDE01", "c@b.test");
    assert_eq!((world.look().results, world.in_flight()), (3, 0));
    assert_eq!(world.refused(), (1, 2));
}

#[test]
fn through_a_content_filter_each_result_counts_once() {
    let filter = "127.0.0.1[127.0.0.1]:10024";
    for linked_first in [true, false] {
        let mut world = World::new();
        world.sends("ABCDE01", &["x@b.test", "a@b.test"]);
        world.came("ABCDE01", "client.test[10.0.0.7]");
        world.came("ABCDE02", "localhost[127.0.0.1]");
        let link = |world: &World| {
            for to in ["x@b.test", "a@b.test"] {
                world.logs("smtp", &format!("ABCDE01: to=<{to}>, relay={filter}, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as ABCDE02)"));
            }
            world.removed("ABCDE01");
        };
        let results = |world: &World| {
            world.bounced("ABCDE02", "x@b.test");
            world.delivered("ABCDE02", "a@b.test");
            world.removed("ABCDE02");
        };
        if linked_first {
            link(&world);
            world.look();
            assert_eq!(world.in_flight(), 1);
            results(&world);
        } else {
            results(&world);
            assert_eq!(world.look().results, 0);
            link(&world);
        }
        let status = world.look();
        assert_eq!((status.results, status.unknown), (2, 0), "linked first: {linked_first}");
        assert_eq!((world.refused(), world.in_flight()), ((1, 2), 0));
    }
}

#[test]
fn through_two_filters_results_find_their_way() {
    let mut world = World::new();
    world.sends("ABCDE01", &["x@b.test"]);
    world.came("ABCDE01", "client.test[10.0.0.7]");
    world.came("ABCDE02", "localhost[127.0.0.1]");
    world.came("ABCDE03", "localhost[127.0.0.1]");
    world.bounced("ABCDE03", "x@b.test");
    world.sent("ABCDE02", "x@b.test", "127.0.0.1[127.0.0.1]", "250 2.0.0 Ok: queued as ABCDE03");
    assert_eq!(world.look().results, 0);
    world.sent("ABCDE01", "x@b.test", "127.0.0.1[127.0.0.1]", "250 2.0.0 Ok: queued as ABCDE02");
    assert_eq!(world.look().results, 1);
    assert_eq!(world.refused(), (1, 1));
}

#[test]
fn a_restart_goes_on_where_it_stopped() {
    let mut world = World::new();
    world.sends("ABCDE01", &["x@b.test", "y@b.test"]);
    world.bounced("ABCDE01", "x@b.test");
    world.look();
    world.bounced("ABCDE01", "y@b.test");
    let place = world.feeder.place();
    fs::rename(world.log(), world.folder.path().join("mail.log.1")).unwrap();
    world.logs("qmgr", "ABCDE01: removed");
    let bytes = postcard::to_stdvec(&place).unwrap();
    let place = postcard::from_bytes(&bytes).unwrap();
    let params = world.feeder.params.clone();
    let engine = Arc::clone(&world.engine);
    world.feeder = Feeder::new(params, engine, place, world.moment());
    let status = world.look();
    assert_eq!((status.lines, status.results), (2, 1));
    assert_eq!(world.refused(), (2, 2));
}

#[test]
fn a_log_that_is_gone_is_told_after_a_minute() {
    let mut world = World::new();
    world.sends("ABCDE01", &["a@b.test"]);
    world.delivered("ABCDE01", "a@b.test");
    assert_eq!(world.look().state, Feedback::Coming);
    fs::remove_file(world.log()).unwrap();
    let status = world.look();
    assert!(status.healthy && status.state == Feedback::Coming);
    world.second = 60;
    let status = world.look();
    assert!(!status.healthy && status.state == Feedback::Off);
    assert!(status.notes()[0].contains("delivery results are not known"), "{status:?}");
    world.sends("ABCDE02", &["a@b.test"]);
    assert_eq!(world.in_flight(), 0);
    fs::write(world.log(), "").unwrap();
    let status = world.look();
    assert!(status.healthy && status.state == Feedback::Coming && status.error.is_none());
}

#[test]
fn a_log_that_is_not_there_at_the_start_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("mail.log");
    let mut world = World::with(folder, MailLog::File(log.clone()), tools(Vec::new()));
    let status = world.look();
    assert!(!status.healthy && status.state == Feedback::Off);
    assert!(status.error.unwrap().contains("mail.log"));
    fs::write(&log, "").unwrap();
    assert_eq!(world.look().state, Feedback::Watching);
}

#[test]
fn auto_looks_again_until_there_is_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("mail.log");
    let mut world = World::with(folder, MailLog::Auto, tools(vec![log.clone()]));
    let status = world.look();
    assert_eq!((status.kind, status.healthy, status.state), ("none", false, Feedback::Off));
    fs::write(&log, "").unwrap();
    world.second = 29;
    assert_eq!(world.look().kind, "none");
    world.second = 30;
    let status = world.look();
    assert_eq!((status.kind, status.healthy, status.state), ("file", true, Feedback::Watching));
    assert_eq!(status.file, Some(log));
}

#[test]
fn none_is_healthy_and_says_so() {
    let mut world = World::with(tempfile::tempdir().unwrap(), MailLog::None, tools(Vec::new()));
    let status = world.look();
    assert_eq!((status.kind, status.healthy, status.state), ("none", true, Feedback::Off));
    assert!(status.notes().is_empty());
}

#[test]
fn a_clock_that_is_ahead_does_not_hide_how_late_a_log_is() {
    let mut world = World::new();
    let wall = world.moment().wall;
    world.logs_at(wall.plus(Duration::from_secs(5 * 3600)), "qmgr", "ABCDE01: removed");
    world.feeder.turn(world.moment());
    assert_eq!(world.feeder.status().lag_s, 0);
    world.logs_at(wall, "qmgr", "ABCDE01: removed");
    world.second = 90;
    world.feeder.turn(world.moment());
    assert_eq!(world.feeder.status().lag_s, 90);
}

#[test]
fn a_log_of_another_host_is_doubted() {
    let mut world = World::new();
    for number in 0..20 {
        world.sends(&format!("ABCDE{number:02}"), &["a@b.test"]);
        world.delivered(&format!("ABCDF{number:02}"), "a@b.test");
    }
    assert_eq!(world.look().state, Feedback::Watching);
    assert!(world.feeder.status().notes().is_empty());
    world.second = 600;
    let status = world.look();
    assert!(status.healthy && status.state == Feedback::Watching);
    assert!(status.notes()[0].contains("is it the log of this Postfix"), "{status:?}");
}

#[test]
fn a_reload_reads_another_log() {
    let mut world = World::new();
    let other = world.folder.path().join("other.log");
    fs::write(&other, "").unwrap();
    world.feeder.reconfigure(MailLog::File(other.clone()), world.moment());
    assert_eq!(world.look().file, Some(other.clone()));
    fs::rename(&other, world.folder.path().join("gone")).unwrap();
    world.sends("ABCDE01", &["a@b.test"]);
    world.delivered("ABCDE01", "a@b.test");
    assert_eq!(world.look().results, 0);
    world.feeder.reconfigure(MailLog::None, world.moment());
    let status = world.look();
    assert_eq!((status.kind, status.state), ("none", Feedback::Off));
    assert_eq!(world.in_flight(), 0);
}

#[test]
fn entries_of_the_journal_are_results_too() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("journalctl");
    let micros = START.plus(Duration::from_secs(3601)).as_millis() * 1000;
    let text = "ABCDE01: to=<x@b.test>, relay=mx.b.test[192.0.2.25]:25, delay=1, delays=0/0/0/1, dsn=5.1.1, status=bounced (host mx.b.test[192.0.2.25] said: 550 5.1.1 User unknown (in reply to RCPT TO command))";
    fs::write(
        &script,
        format!(
            r#"until test -e {0}/go; do sleep 0.01; done
echo '{{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"{micros}","SYSLOG_IDENTIFIER":"postfix/smtp","MESSAGE":"{text}"}}'
echo '{{"__CURSOR":"s=2","__REALTIME_TIMESTAMP":"{micros}","SYSLOG_IDENTIFIER":"dovecot","MESSAGE":"x"}}'
exec sleep 60"#,
            folder.path().display()
        ),
    )
    .unwrap();
    let go = folder.path().join("go");
    let journalctl = Program { path: "/bin/sh".into(), arguments: vec![script.into()] };
    let tools = Tools { journalctl, ..tools(Vec::new()) };
    let mut world = World::with(folder, MailLog::Journal, tools);
    world.sends("ABCDE01", &["x@b.test"]);
    fs::write(go, "").unwrap();
    let mut status = world.look();
    for _ in 0..20_000 {
        if status.lines == 2 {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
        status = world.look();
    }
    assert_eq!((status.kind, status.results, status.skipped), ("journal", 1, 0));
    assert_eq!((status.healthy, status.state), (true, Feedback::Coming));
    assert_eq!(world.refused(), (1, 1));
    assert_eq!(world.feeder.place(), Some(Place::Journal(journal::Place::Behind("s=2".into()))));
}
