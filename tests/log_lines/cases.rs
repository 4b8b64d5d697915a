//! Single lines, each with the fields that another parser's authors expect.
//!
//! Each case is a file of simple YAML in a tar archive: `pattern` names the
//! program, `data` is the text, `results` are fields. A case must be an event
//! where it has a field that is evidence, and of an event each field that it has
//! must have the expected value. Left out are fields of lines that say nothing of
//! mail (postscreen, TLS, statistics), and what no event keeps: delays, HELO,
//! protocol.

use super::unpacked;
use connguard::maillog::{Attempt, Decision, Event, Judged, Peer, Skip, Status, event};
use std::collections::BTreeMap;

type Fields = BTreeMap<String, String>;

/// Fields that only a line of evidence has.
const EVIDENCE: [&str; 9] = [
    "postfix_status",
    "postfix_action",
    "postfix_milter_result",
    "postfix_proxy_result",
    "postfix_prepend_type",
    "postfix_from",
    "postfix_bounce_queueid",
    "postfix_message-id",
    "postfix_keyvalue_data",
];

#[test]
fn every_case_gives_the_expected_fields() {
    let Some(archive) = unpacked("postfix-grok-patterns-tests.tar.xz") else { return };
    let (mut events, mut skipped, mut pieces, mut fields) = (0, 0, 0, 0);
    let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    let files = files(&archive);
    let cases: Vec<_> = files.iter().filter(|(name, _)| name.ends_with(".yaml")).collect();
    for (name, text) in &cases {
        let case = Case::read(text);
        let Some(program) = case.program() else {
            pieces += 1;
            continue;
        };
        match event(&program, &case.data) {
            Ok(event) => {
                events += 1;
                let found = fields_of(&event);
                for (field, expected) in case.expected() {
                    match found.get(&field) {
                        Some(value) if same(&field, value, &expected) => fields += 1,
                        Some(value) => {
                            faults.push(format!("{name}: {field}: {value:?}, not {expected:?}"));
                        }
                        None => *left_out.entry(field).or_default() += 1,
                    }
                }
            }
            Err(skip) => {
                skipped += 1;
                faults.extend(case.wrongly_skipped(skip).map(|why| format!("{name}: {why}")));
            }
        }
    }
    println!(
        "Of {} cases {events} are events, of which {fields} fields were compared; {skipped} are skipped \
         for the right reason; {pieces} are pieces of lines. Fields left out: {left_out:?}",
        cases.len()
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(events > 0 && events + skipped + pieces == cases.len());
}

/// The cases cut the text of a refusal in two, each program's in its own way.
fn same(field: &str, value: &str, expected: &str) -> bool {
    match field {
        "postfix_status_data" | "postfix_status_message" => value.contains(expected),
        _ => value == expected,
    }
}

struct Case {
    pattern: String,
    data: String,
    results: Fields,
}

impl Case {
    fn read(text: &str) -> Self {
        let mut case = Self { pattern: String::new(), data: String::new(), results: Fields::new() };
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = scalar(value.trim());
            match key {
                "pattern" => case.pattern = value,
                "data" => case.data = value,
                _ if key.starts_with(' ') => {
                    case.results.insert(key.trim().to_owned(), value);
                }
                _ => {}
            }
        }
        case
    }

    /// The program that logs it; none where it is only a piece of a line.
    fn program(&self) -> Option<String> {
        let name = self.pattern.split_once("POSTFIX_").unwrap().1.split('}').next().unwrap();
        match name {
            "RELAY" | "DELAYS" | "TLS_FEATURES" | "COMMAND_COUNTER_DATA" => None,
            "SCRIPT" => Some("postfix-script".into()),
            name => Some(name.to_lowercase().replace('_', "-")),
        }
    }

    /// What is expected, and of `key=value` data each of it.
    fn expected(&self) -> Fields {
        let mut fields = self.results.clone();
        let Some(data) = fields.remove("postfix_keyvalue_data") else { return fields };
        for part in data.split(' ') {
            if let Some((key, value)) = part.trim_end_matches(',').split_once('=') {
                let value = value.trim_start_matches('<').trim_end_matches('>');
                fields.insert(format!("={key}"), value.to_owned());
            }
        }
        fields
    }

    fn wrongly_skipped(&self, skip: Skip) -> Option<String> {
        let level = self.results.get("postfix_message_level").map(String::as_str);
        let level = level.or(self.data.split(':').next());
        if matches!(level, Some("warning" | "fatal" | "error" | "panic")) {
            return (skip != Skip::Warning).then(|| format!("{skip:?}: {}", self.data));
        }
        let evidence = EVIDENCE.iter().find(|name| self.results.contains_key(**name));
        match evidence {
            Some(field) => Some(format!("{skip:?}, though it has {field}: {}", self.data)),
            None => (skip != Skip::NoMail).then(|| format!("{skip:?}: {}", self.data)),
        }
    }
}

/// A scalar of YAML: bare, or in double quotes with escapes.
fn scalar(text: &str) -> String {
    let Some(quoted) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        value.push(match c {
            '\\' => match chars.next().unwrap() {
                'n' => '\n',
                'r' => '\r',
                other => other,
            },
            other => other,
        });
    }
    value
}

/// What an event has, under the names of the cases.
fn fields_of(event: &Event<'_>) -> Fields {
    let mut fields = Fields::new();
    let mut set = |name: &str, value: &str| fields.insert(name.to_owned(), value.to_owned());
    match event {
        Event::Connected(client) | Event::Disconnected(client) => of_peer(*client, &mut set),
        Event::Encrypted { client, .. } => of_relay(*client, &mut set),
        Event::Accepted(accepted) => {
            set("postfix_queueid", accepted.queue_id);
            of_peer(accepted.client, &mut set);
        }
        Event::Submitted { queue_id, uid, from, .. } => {
            set("postfix_queueid", queue_id);
            set("=uid", &uid.to_string());
            set("=from", from);
        }
        Event::MessageId { queue_id, id } => {
            set("postfix_queueid", queue_id);
            set("postfix_message-id", id);
        }
        Event::Queued { queue_id, from, size, nrcpt } => {
            set("postfix_queueid", queue_id);
            set("=from", from);
            set("=size", &size.to_string());
            set("=nrcpt", &nrcpt.to_string());
        }
        Event::Expired { queue_id } => {
            set("postfix_queueid", queue_id);
            set("postfix_status", "expired");
        }
        Event::Removed { queue_id } => {
            set("postfix_queueid", queue_id);
        }
        Event::Reported { queue_id, report } => {
            set("postfix_queueid", queue_id);
            set("postfix_bounce_queueid", report);
        }
        Event::Delivery(attempt) => of_attempt(attempt, &mut set),
        Event::Verdict(judged) => of_verdict(judged, &mut set),
        Event::Header(header) => {
            set("postfix_queueid", header.queue_id);
            of_peer(header.client, &mut set);
        }
        Event::Certificate(_) => {}
    }
    fields
}

type Set<'a> = dyn FnMut(&str, &str) -> Option<String> + 'a;

fn of_peer(peer: Peer<'_>, set: &mut Set<'_>) {
    set("postfix_client_hostname", peer.name);
    match peer.address {
        Some(address) => set("postfix_client_ip", &address.to_string()),
        None => set("postfix_client_ip_unknown", "unknown"),
    };
    if let Some(port) = peer.port {
        set("postfix_client_port", &port.to_string());
    }
}

/// The cases call the other side of any TLS connection a relay.
fn of_relay(peer: Peer<'_>, set: &mut Set<'_>) {
    set("postfix_relay_hostname", peer.name);
    set("postfix_relay_ip", &peer.address.unwrap().to_string());
}

fn of_attempt(attempt: &Attempt<'_>, set: &mut Set<'_>) {
    set("postfix_queueid", attempt.queue_id);
    set("=to", attempt.to);
    if let Some(to) = attempt.original_to {
        set("=orig_to", to);
    }
    let relay = attempt.relay.map_or("none".into(), |relay| match (relay.address, relay.port) {
        (Some(address), Some(port)) => format!("{}[{address}]:{port}", relay.name),
        _ => relay.name.to_owned(),
    });
    // Of a socket only the name is kept.
    if !relay.starts_with("sub1.") {
        set("=relay", &relay);
    }
    set("=dsn", attempt.dsn);
    set(
        "postfix_status",
        match attempt.status {
            Status::Sent => "sent",
            Status::Deferred => "deferred",
            Status::Bounced => "bounced",
            Status::Expired => "expired",
            Status::Probe => "undeliverable-but-not-cached",
        },
    );
    for kind in ["smtp", "local", "pipe", "error"] {
        set(&format!("postfix_{kind}_response"), attempt.text);
    }
}

fn of_verdict(judged: &Judged<'_>, set: &mut Set<'_>) {
    set("postfix_queueid", judged.queue_id.unwrap_or("NOQUEUE"));
    let action = match judged.verdict {
        Decision::Reject => "reject",
        Decision::Warn => "reject_warning",
        Decision::Hold => "hold",
        Decision::Discard => "discard",
        Decision::Pass => "filter",
    };
    let by = if judged.milter { "milter-" } else { "" };
    set("postfix_action", &format!("{by}{action}"));
    if judged.milter && judged.verdict == Decision::Reject {
        set("postfix_milter_result", "reject");
    }
    if judged.client != Peer::default() {
        of_peer(judged.client, set);
    }
    set("postfix_smtp_stage", judged.stage);
    set("postfix_proxy_smtp_stage", judged.stage);
    set("=from", judged.from.unwrap_or(""));
    set("=to", judged.to.unwrap_or(""));
    for (name, value) in
        [("status_code", judged.code.to_string()), ("status_code_enhanced", judged.dsn.into())]
    {
        set(&format!("postfix_{name}"), &value);
        set(&format!("postfix_proxy_{name}"), &value);
    }
    set("postfix_status_data", judged.text);
    set("postfix_status_message", judged.text);
}

/// Names and texts of the files of a tar archive: blocks of 512 octets, a header
/// with name (0), size (124, octal) and kind (156) before each file.
fn files(archive: &[u8]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut at = 0;
    while let Some(header) = archive.get(at..at + 512) {
        let field = |from: usize, to: usize| {
            let text = String::from_utf8_lossy(&header[from..to]).into_owned();
            text.trim_matches(['\0', ' ']).to_owned()
        };
        let Ok(size) = usize::from_str_radix(&field(124, 136), 8) else { break };
        let body = &archive[at + 512..at + 512 + size];
        if matches!(header[156], b'0' | 0) && size > 0 {
            files.push((field(0, 100), String::from_utf8_lossy(body).into_owned()));
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    files
}
