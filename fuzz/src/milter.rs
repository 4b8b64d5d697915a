//! Milter events with macros: what Postfix says of several clients at once, in any
//! order and with any bytes, while operators, the clock and reloads do what they do.

use super::{
    bytes::Bytes,
    site::{self, START, Shared},
};
use connguard::{
    connector::{ConnectorKey, Entity},
    engine::{Blocked, Engine, Unblocked},
    header::{DEFAULT_SPAM_HEADERS, SpamHeaders},
    message::{Delivery, Outcome},
    milter::{
        Params,
        fuzz::{Client, Host, Values},
    },
    pending::Feedback,
    record::{Actor, Restriction, Snapshot, Trust},
    restriction,
    stripes::Count,
    timestamp::Timestamp,
    verdict::{Action, Class, Mode, Reply, Scope, Verdict},
};
use std::{
    cell::RefCell,
    ffi::{CStr, CString},
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

thread_local! {
    static WORLD: RefCell<Shared<World>> = const { RefCell::new(Shared::new(World::new)) };
}

const CLIENTS: usize = 4;
const MACROS: [&CStr; 12] = [
    c"j",
    c"i",
    c"{mail_addr}",
    c"{rcpt_addr}",
    c"{rcpt_mailer}",
    c"{rcpt_host}",
    c"{auth_authen}",
    c"{cert_subject}",
    c"{cert_issuer}",
    c"{client_addr}",
    c"{daemon_addr}",
    c"{daemon_port}",
];
const ADDRESSES: [&str; 10] = [
    "192.0.2.1:25",
    "192.0.2.2:25",
    "192.0.2.9:25",
    "192.0.2.77:25",
    "203.0.113.5:25",
    "127.0.0.1:0",
    "[2001:db8::1]:25",
    "[2001:db8:0:1::2]:25",
    "[::ffff:192.0.2.1]:25",
    "[2606:4700::1]:25",
];
const WORDS: [&str; 48] = [
    "<a@example.org>",
    "<b@odd.test>",
    "<>",
    "<root>",
    "a@example.org",
    "b@odd.test",
    "u@y.test",
    "<u@y.test>",
    "<v@in.example>",
    "v@in.example",
    "<u%y.test@in.example>",
    "<@in.example:u@y.test>",
    "<y.test!u>",
    "SIZE=1000",
    "SIZE=99999999999999999999",
    "smtp",
    "local",
    "error",
    "5.1.1",
    "5.7.1",
    "5.1.1 User unknown",
    "y.test",
    "erp",
    "ERP@Example.org",
    "lists",
    "alice",
    "Alice@example.org",
    "erp.example.org",
    "Example CA",
    "4F4F4F4F",
    "4Abc7d0fzXz1xy",
    "mx.example.org",
    "25",
    "0",
    "10025",
    "127.0.0.1",
    "IPv6:2001:db8::1",
    "multipart/report; report-type=delivery-status",
    "\"x@example.org\" <y@odd.test>",
    "Yes, score=9",
    "<prvs=0123456789=b@odd.test>",
    "<SRS0=HHH=TT=odd.test=b@example.org>",
    "<bounce-u=y.test@odd.test>",
    "\u{fffd}",
    "",
    "<1.2@odd.test>",
    "<c@new.test>",
    "<d@example.net>",
];
const NAMES: [&str; 6] =
    ["From", "Message-ID", "Content-Type", "X-Spam-Flag", "X-Spam-Status", "Subject"];

/// What the clients saw, as the engine counts it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Seen {
    messages: u64,
    recipients: u64,
    refused: u64,
    held: u64,
}

/// One session, and what is known of it here.
struct Talk {
    client: Client,
    address: Option<IpAddr>,
    /// No login, no certificate and no other service was ever shown in it.
    bare: bool,
    /// Something was answered since MAIL.
    begun: bool,
    accepted: u64,
    /// Its next transaction may be an alert of our own, ...
    pass: bool,
    /// ... or the present one is.
    ours: bool,
}

/// One daemon, over many inputs.
struct World {
    engine: Arc<Engine>,
    host: Host,
    now: Timestamp,
    variant: u8,
    seen: Seen,
    kept: Snapshot,
    pass: Option<String>,
}

impl World {
    fn new() -> Self {
        let engine = site::engine();
        engine.set_feedback(Feedback::Coming);
        let params = Params {
            listen: Vec::new(),
            max_connections: 10,
            ignore_daemons: vec!["127.0.0.1:10025".parse().unwrap()],
            login_realm: Some("example.org".into()),
            spam_headers: SpamHeaders::parse(&DEFAULT_SPAM_HEADERS).unwrap(),
        };
        Self {
            host: Host::new(params, Arc::clone(&engine), START),
            engine,
            now: START,
            variant: 0,
            seen: Seen::default(),
            kept: Snapshot::default(),
            pass: None,
        }
    }

    fn talk(&self) -> Talk {
        Talk {
            client: self.host.client(),
            address: None,
            bare: true,
            begun: false,
            accepted: 0,
            pass: false,
            ours: false,
        }
    }
}

/// A sequence of events.
pub fn run(data: &[u8]) {
    WORLD.with_borrow_mut(|shared| shared.run(data, |world| input(world, data)));
}

fn input(world: &mut World, data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut talks: [Option<Talk>; CLIENTS] = std::array::from_fn(|_| None);
    let mut at = 0;
    while !bytes.is_empty() {
        let event = bytes.byte();
        if event % 16 == 0 {
            at = usize::from(event / 16) % CLIENTS;
            continue;
        }
        let mut talk = talks[at].take().unwrap_or_else(|| world.talk());
        if !world.event(event % 16, &mut talk, &mut bytes) {
            continue; // the connection is lost
        }
        talks[at] = Some(talk);
    }
    drop(talks);
    world.check();
}

impl World {
    /// Says whether the session goes on.
    fn event(&mut self, event: u8, talk: &mut Talk, bytes: &mut Bytes<'_>) -> bool {
        match event {
            1 => self.connect(talk, bytes),
            2 => self.helo(talk, bytes),
            3 | 4 => self.mail(talk, bytes),
            5..=7 => self.rcpt(talk, bytes),
            8 => {
                let name = *bytes.byte_of(&NAMES);
                let value = c_string(bytes);
                talk.client.header(&CString::new(name).unwrap(), &value);
            }
            9 | 10 => self.end(talk, bytes),
            11 => {
                talk.client.abort();
                (talk.begun, talk.accepted, talk.ours) = (false, 0, false);
            }
            12 => return false,
            13 => self.pass_time(bytes),
            14 => self.operate(bytes),
            _ => self.result(bytes),
        }
        true
    }

    fn connect(&mut self, talk: &mut Talk, bytes: &mut Bytes<'_>) {
        let choice = bytes.byte();
        let from: Option<SocketAddr> =
            ADDRESSES.get(usize::from(choice) % 11).map(|text| text.parse().unwrap());
        let macros = macros(bytes, &[0, 9, 10, 11], choice);
        *talk = Talk { client: self.host.client(), ..self.talk() };
        talk.address = from.map(|from| from.ip().to_canonical());
        // Another port of this host is another client: mail without SMTP, or a filter's.
        let is_said = |(name, _): &(&CStr, CString)| name.to_bytes().starts_with(b"{daemon");
        talk.bare = !macros.0.iter().any(is_said);
        talk.client.connect(from, &macros);
    }

    fn helo(&mut self, talk: &mut Talk, bytes: &mut Bytes<'_>) {
        if let Some(pass) = self.pass.take() {
            talk.pass = true;
            talk.client.helo(&CString::new(pass).unwrap());
        } else {
            talk.client.helo(&c_string(bytes));
        }
    }

    fn mail(&mut self, talk: &mut Talk, bytes: &mut Bytes<'_>) {
        let choice = bytes.byte();
        let arguments: Vec<_> = (0..choice % 3).map(|_| c_string(bytes)).collect();
        let macros = macros(bytes, &[0, 2, 6, 7, 8], choice / 3);
        talk.bare &= !macros.0.iter().any(|(name, _)| *name != c"j" && *name != c"{mail_addr}");
        talk.client.mail(&arguments, &macros);
        (talk.begun, talk.accepted) = (true, 0);
        talk.ours = std::mem::take(&mut talk.pass);
    }

    fn rcpt(&mut self, talk: &mut Talk, bytes: &mut Bytes<'_>) {
        let choice = bytes.byte();
        let argument = c_string(bytes);
        let macros = macros(bytes, &[0, 3, 4, 5], choice);
        let meant = self.must_refuse(talk, &macros);
        for _ in 0..=choice / 64 * 4 {
            let verdict = talk.client.rcpt(std::slice::from_ref(&argument), &macros);
            match &verdict {
                Verdict::Pass => talk.accepted += u64::from(is_accepted(&macros)),
                Verdict::Refuse(reply) => {
                    sound(reply);
                    self.seen.refused += 1;
                }
                Verdict::Hold(_) => panic!("a recipient can't be held"),
            }
            assert!(
                !meant || matches!(verdict, Verdict::Refuse(_)),
                "a restricted client relays: {:?} {macros:?} {argument:?}",
                talk.address
            );
            talk.begun = true;
        }
    }

    /// Whether a recipient of this session is refused whatever else there is: its
    /// address is restricted, and nothing exempts it.
    fn must_refuse(&self, talk: &Talk, macros: &Values) -> bool {
        let settings = self.engine.settings();
        let Some(address) = talk.address.filter(|_| talk.bare && talk.begun && !talk.ours) else {
            return false;
        };
        let client =
            Entity::from(ConnectorKey::Client(connguard::connector::client_network(address)));
        let held = self.engine.table().in_force(&client, self.now);
        let trusted = self.engine.table().trust(&client, self.now);
        assert!(held.is_none() || trusted.is_none(), "restricted and trusted");
        // What else holds for it may put the whole message on hold, at its end.
        let holds = |held: &Arc<Restriction>| held.action == Action::Hold;
        if held.is_none() || self.engine.table().restrictions(self.now).iter().any(holds) {
            return false;
        }
        let terms = settings.directory.terms_of(&client);
        held.is_some_and(|held| {
            let restriction = &held.restriction;
            !restriction.mark && terms.mode == Mode::Enforce && restriction.scope == Scope::All
        }) && is_accepted(macros)
    }

    fn end(&mut self, talk: &mut Talk, bytes: &mut Bytes<'_>) {
        let choice = bytes.byte();
        let macros = macros(bytes, &[0, 1], choice);
        let verdict = talk.client.end(&macros);
        if !talk.begun {
            assert_eq!(verdict, Verdict::Pass, "nothing was to be judged");
        }
        match &verdict {
            Verdict::Refuse(reply) => sound(reply),
            Verdict::Hold(reason) => assert!(reason.chars().all(|c| matches!(c, ' '..='~'))),
            Verdict::Pass => {}
        }
        (talk.begun, talk.accepted, talk.ours) = (false, 0, false);
    }

    fn pass_time(&mut self, bytes: &mut Bytes<'_>) {
        let choice = bytes.byte();
        let unit = [1, 60, 3600, 86_400][usize::from(choice % 4)];
        self.now = self.now.plus(Duration::from_secs(unit * u64::from(choice / 4 % 32)));
        self.host.set_now(self.now);
        if choice >= 128 {
            self.engine.sweep(self.now);
        }
    }

    fn operate(&mut self, bytes: &mut Bytes<'_>) {
        let (choice, now) = (bytes.byte(), self.now);
        let entity = self.entity(choice / 8, bytes);
        let by = Actor::Operator("anna".into());
        let span = Duration::from_secs(60 * u64::from(bytes.byte()) + 1);
        let engine = &self.engine;
        match choice % 8 {
            0 => {
                let reason = "by hand".to_owned();
                let span = (choice >= 64).then_some(span);
                let _ = engine.block(Blocked { entity, action: None, span, reason }, by, now);
            }
            1 | 2 => {
                let how = Unblocked { grace: Some(span), false_positive: choice >= 128 };
                drop(engine.unblock(&entity, "cleaned", how, by, now));
                assert!(engine.table().in_force(&entity, now).is_none(), "not lifted");
            }
            3 => {
                let trust =
                    Trust { since: now, until: now.plus(span), by, reason: "mailing".into() };
                if engine.trust(&entity, trust).is_ok() {
                    assert!(engine.table().trust(&entity, now).is_some(), "not trusted");
                }
            }
            4 => drop(engine.end_trust(&entity, "over", by, now)),
            5 => drop(engine.normal(&entity, "newsletter", by, now)),
            // It looks at everybody: not too often.
            6 if choice >= 224 => {
                self.variant = bytes.byte() % 32;
                drop(engine.reload(site::settings(self.variant), now));
            }
            _ => self.pass = Some(engine.passes().issue("mx.example.org", now)),
        }
    }

    fn entity(&self, choice: u8, bytes: &mut Bytes<'_>) -> Entity {
        const WHO: [&str; 10] = [
            "client:192.0.2.1",
            "client:192.0.2.2",
            "client:2001:db8::/64",
            "login:alice@example.org",
            "connector:erp",
            "connector:lists",
            "sender:b@odd.test,via=client:192.0.2.1",
            "sender:a@example.org,via=connector:erp",
            "organization:default",
            "local",
        ];
        match WHO.get(usize::from(choice) % 11) {
            Some(text) => text.parse().unwrap(),
            None => bytes.text(&WHO).parse().unwrap_or(ConnectorKey::Local.into()),
        }
    }

    fn result(&mut self, bytes: &mut Bytes<'_>) {
        let queue_id = bytes.text(&["4F4F4F4F", "4Abc7d0fzXz1xy"]);
        let recipient = bytes.text(&["u@y.test", "v@in.example", "c@new.test"]);
        let outcome = [Outcome::Refused, Outcome::Delivered, Outcome::Deferred][bytes.below(3)];
        let delivery = Delivery::new(&queue_id, &recipient, outcome);
        let known = self.engine.on_delivery(&delivery, self.now);
        assert!(!known || self.engine.awaits(&queue_id) || outcome != Outcome::Deferred);
    }

    /// What holds after every input.
    fn check(&mut self) {
        assert_eq!(self.host.panics(), 0, "a callback panicked");
        let counters = self.engine.counters();
        let read = |count: &Count| count.load(Relaxed);
        // A recipient that was refused was told so.
        assert!(read(&counters.refused) >= self.seen.refused, "{:?}", self.seen);
        assert!(self.engine.roster().len() <= site::MOST + site::MOST / 4 + 8);
        let batch = self.engine.table().changes().take(Duration::ZERO);
        if batch.overflowed {
            self.kept = self.engine.table().snapshot();
        } else if !batch.records.is_empty() {
            assert!(batch.records.is_sorted_by(|a, b| a.seq < b.seq), "numbers don't rise");
            let kept = std::mem::take(&mut self.kept);
            self.kept = restriction::replay(kept, batch.records);
            let again = site::live(self.kept.live.clone(), self.now);
            let table = site::live(self.engine.table().snapshot().live, self.now);
            assert_eq!(again, table, "the journal has another table");
        }
    }
}

/// Whether Postfix itself would accept this recipient.
fn is_accepted(macros: &Values) -> bool {
    macros.0.iter().all(|(name, value)| *name != c"{rcpt_mailer}" || **value != *c"error")
}

/// A reply that goes out as it is.
fn sound(reply: &Reply) {
    assert!(reply.text().bytes().all(|byte| matches!(byte, b' '..=b'~')), "{reply}");
    assert!(reply.text().len() <= 400, "{reply}");
    let class = match reply.class() {
        Class::Reject => "5",
        Class::Tempfail | Class::Disconnect => "4",
    };
    assert!(reply.code().starts_with(class) && reply.enhanced().starts_with(class), "{reply}");
}

/// Macros of a stage: each of these that its bit says.
fn macros(bytes: &mut Bytes<'_>, of: &[usize], bits: u8) -> Values {
    let mut values = Values::default();
    for (bit, name) in of.iter().enumerate() {
        if bits >> bit & 1 == 0 {
            values.0.push((MACROS[*name], c_string(bytes)));
        }
    }
    values
}

fn c_string(bytes: &mut Bytes<'_>) -> CString {
    let mut word = bytes.word(&WORDS);
    word.retain(|byte| *byte != 0);
    CString::new(word).unwrap()
}
