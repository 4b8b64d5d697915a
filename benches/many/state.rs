//! A state directory as a daemon leaves it that was killed.

use crate::args::Args;
use connguard::{
    connector::{Entity, Identities},
    daemon::HISTORY_SCHEMA,
    directory::{Params, Terms},
    domain::DomainSet,
    engine::{Engine, Session, Settings},
    history,
    journal::{self, Journal},
    message::{Fate, Message, Recipient, Sender},
    record::{Actor, CaseId, Finding, Restriction, Sample, SignalName},
    timestamp::Timestamp,
    verdict::{Action, Mode, Scope},
};
use serde::Serialize;
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// What there is.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) segments: usize,
    pub(crate) journal: u64,
    /// The newest segment, which a start reads.
    pub(crate) newest: u64,
    pub(crate) history: u64,
    pub(crate) cases: u64,
}

/// The client of number `n`.
pub(crate) fn client(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n))
}

fn entity(n: u32) -> Entity {
    format!("client:{}", client(n)).parse().unwrap()
}

pub(crate) fn make(folder: &Path, args: &Args) -> io::Result<Made> {
    let state = folder.join("state");
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = Timestamp::from_millis(since.as_millis() as u64 - 3_600_000);
    let engine = Arc::new(engine(now));
    let begun = Instant::now();
    for n in 0..args.connectors {
        send(&engine, n, now);
    }
    eprintln!("{} connectors: {:.1?}", args.connectors, begun.elapsed());
    let table = engine.table();
    let (journal, _) = Journal::open(&state).map_err(io::Error::other)?;
    let clock: journal::Clock = Arc::new(move || now);
    let handle = journal.start(Arc::clone(table), journal::Params::default(), clock, |_| {})?;
    for n in 0..args.restrictions {
        table.restrict(&entity(n), now, |case| restriction(n, case, now));
    }
    let changes = trail(&engine, &handle, args, now);
    handle.stop().map_err(io::Error::other)?;
    eprintln!("a journal with {changes} changes more: {:.1?}", begun.elapsed());
    let cases = cases(&engine, &state, args)?;
    eprintln!("cases: {:.1?}", begun.elapsed());
    let saved = history::Saved {
        key: engine.key(),
        connectors: engine.histories(),
        filters: engine.filters(),
        messages: engine.waiting(),
        place: None,
        saved_at: now,
        muted_until: None,
    };
    let history = history::Store::open(&state, HISTORY_SCHEMA).save(saved)?.bytes;
    let mut segments = segments(&state)?;
    segments.sort();
    let journal = segments.iter().map(|(_, bytes)| bytes).sum();
    let newest = segments.last().map_or(0, |(_, bytes)| *bytes);
    Ok(Made { segments: segments.len(), journal, newest, history, cases })
}

/// Names and lengths of the segments.
pub(crate) fn segments(state: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(state)? {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("journal-") {
            found.push((name, entry.metadata()?.len()));
        }
    }
    Ok(found)
}

fn engine(now: Timestamp) -> Engine {
    let mut registered = DomainSet::default();
    registered.insert("example.org").unwrap();
    let settings = Settings::with_directory(Params {
        discovered: Arc::new(Terms { mode: Mode::Enforce, registered, ..Terms::default() }),
        relay_networks: vec!["10.0.0.0/8".parse().unwrap()],
        discover: true,
        ..Params::default()
    });
    Engine::new(settings, 8_000_000, now)
}

fn send(engine: &Engine, n: u32, now: Timestamp) {
    let mut session = Session::default();
    session.identify(Identities { client: Some(client(n)), ..Identities::default() });
    let sender = Sender::Address { address: "news@example.org", qualified: true };
    let mut transaction = engine.begin(&mut session, &sender);
    let address = format!("customer{}@shop{}.example", n % 5000, n % 97);
    let recipient = Recipient { address: &address, transport: Some("smtp"), fate: Fate::Accepted };
    engine.at_recipient(&mut session, &mut transaction, &recipient, now);
    let message = Message {
        sender,
        queue_id: Some("4bXy2z1KqLz9s"),
        message_id: Some("1@example.org"),
        from: &[],
        spam: None,
        report: false,
        size: Some(4096),
        host: Some("mx.example.org"),
    };
    engine.at_end(&mut session, transaction, &message, now);
}

/// As the judgement makes one after three messages.
fn restriction(n: u32, case: CaseId, now: Timestamp) -> Restriction {
    let finding = |signal, score, distinct| Finding {
        signal,
        score,
        limit: 14.0,
        unit: None,
        bad: 3,
        of: 3,
        distinct,
        usual: 0.012_5,
        since: now,
    };
    let sample = |k: u32| Sample {
        at: now,
        queue_id: Some(format!("4bXy{n:05}{k}KqLz9s").into()),
        message_id: Some(format!("{n:x}.{k}.1795000000@shop{}.bad.example", n % 331).into()),
        sender: format!("winner{k}.{n}@prize{}.bad.example", n % 331).into(),
        from: Some(format!("service{k}@bank{}.example.com", n % 17).into()),
        recipients: 48 + k,
        passed: k < 2,
    };
    Restriction {
        entity: entity(n),
        case,
        action: Action::Tempfail,
        scope: Scope::Relayed,
        since: now,
        until: None,
        reject_from: None,
        by: Actor::Judgement,
        reason: "3 of 3 messages with a sender of a domain that is not registered".into(),
        mark: false,
        findings: vec![
            finding(SignalName::UnregisteredSender, 9.5, 3),
            finding(SignalName::UnknownCrowds, 7.25, 144),
        ],
        samples: (0..3).map(sample).collect(),
        passed_messages: 2,
        passed_recipients: 97,
        keys: Vec::new(),
    }
}

/// Lifts and restricts one after the other until the segments are as long as they
/// are to be, and the newest is nearly full; gives how many changes that were.
fn trail(engine: &Engine, journal: &journal::Handle, args: &Args, now: Timestamp) -> u64 {
    let folder = journal.status().path.parent().unwrap().to_owned();
    let table = engine.table();
    let mut changes = 0;
    let settled = |least: u64| {
        while journal.status().durable_seq < least {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let long_enough = || {
        let sum: u64 = segments(&folder).unwrap().iter().map(|(_, bytes)| bytes).sum();
        sum >= args.trail << 20
    };
    loop {
        let mut last = 0;
        for _ in 0..1000 {
            let n = (changes as u32).wrapping_mul(7919) % args.restrictions.max(1);
            let by = Actor::Operator("anna".into());
            table.lift(
                &entity(n),
                now,
                by,
                "cleaned, password changed",
                Duration::from_secs(86_400),
            );
            let (_, seq) = table.restrict(&entity(n), now, |case| restriction(n, case, now));
            last = seq.unwrap_or(last);
            changes += 1;
        }
        settled(last);
        // About what a segment takes after its snapshot.
        let appended = journal.status().records * 700;
        if long_enough() && (6 << 20..8 << 20).contains(&appended) {
            return changes;
        }
    }
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    #[serde(flatten)]
    file: &'a connguard::case::CaseFile,
}

/// The files of the cases as [`connguard::cases`] writes them, but for its syncs.
fn cases(engine: &Engine, state: &Path, args: &Args) -> io::Result<u64> {
    let folder = state.join("cases");
    fs::create_dir(&folder)?;
    let mut bytes = 0;
    for file in engine.cases().all().iter().take(args.cases as usize) {
        let text = serde_json::to_string_pretty(&Written { version: 1, file })? + "\n";
        bytes += text.len() as u64;
        fs::write(folder.join(format!("{}.json", file.case)), text)?;
    }
    Ok(bytes)
}
