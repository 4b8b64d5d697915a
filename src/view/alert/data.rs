//! An alert as JSON, for webhooks and commands: the same facts as its text.
//!
//! Always there: `kind`, `at`, `entity` (null where it is about connguard itself),
//! `case`, `organization`, `observe` (true: nothing is refused), `subject`,
//! `sentence`, `findings` (as in `list`).
//!
//! Where there is an entity: `in_queue` (messages that may be in the queue of
//! Postfix), `connector` (its `name`, `networks`, `logins`, `certificate`, `fingerprints`, as
//! configured; else null), `refused`, `held`, `last_attempt`, `first_seen`,
//! `seen` (`since`, `senders`, `sender_domains`, `recipient_domains`, `clients`,
//! `helos`: each a list of `name`, `count`, `bad`), `unregistered_domains`,
//! `samples`, `changes`, and `restriction` (`action`, `scope`, `since`, `until`,
//! `by`, `reason`, `mark`, `passed_messages`, `passed_recipients`, `unblock`;
//! null once it is lifted). A silent connector has `last_seen` and `weeks`.
//!
//! A digest has `alerts`, each with `kind`, `at`, `entity`, `case`, `observe` and
//! `sentence`, and `more`, how many are left out.
//!
//! Texts that others chose are escaped as in mails (see [`crate::text`]), so that
//! who shows them need not think of it.

use super::{About, Facts, checklist::unblock_command, words};
use crate::{case::Top, directory::Named, text::clean, view::FindingView};
use serde_json::{Value, json};

/// An alert as JSON.
pub(super) fn data(facts: &Facts<'_>, subject: &str, sentence: &str) -> Value {
    let findings: Vec<FindingView> = facts.findings.iter().map(FindingView::from).collect();
    let mut data = json!({
        "kind": facts.due.kind,
        "at": facts.now,
        "entity": facts.due.entity,
        "case": facts.case_id(),
        "organization": facts.organization(),
        "observe": facts.observe,
        "subject": subject,
        "sentence": sentence,
        "findings": findings,
    });
    if facts.entity().is_some() {
        extend(&mut data, of_entity(facts));
    }
    if let About::Silent { last_seen, weeks } = facts.due.about {
        extend(&mut data, json!({ "last_seen": last_seen, "weeks": weeks }));
    }
    cleaned(data)
}

/// One alert of a digest.
pub(super) fn short(facts: &Facts<'_>, sentence: &str) -> Value {
    cleaned(json!({
        "kind": facts.due.kind,
        "at": facts.now,
        "entity": facts.due.entity,
        "case": facts.case_id(),
        "observe": facts.observe,
        "sentence": sentence,
    }))
}

fn of_entity(facts: &Facts<'_>) -> Value {
    let material = &facts.material;
    let restriction = facts.held.as_ref().map(|held| {
        let restriction = &held.restriction;
        json!({
            "action": held.action(facts.now),
            "scope": restriction.scope,
            "since": restriction.since,
            "until": restriction.until,
            "by": restriction.by,
            "reason": restriction.reason,
            "mark": restriction.mark,
            "passed_messages": restriction.passed_messages,
            "passed_recipients": restriction.passed_recipients,
            "unblock": unblock_command(facts),
        })
    });
    json!({
        "in_queue": facts.in_queue,
        "connector": facts.named().map(connector),
        "refused": facts.refused(),
        "held": facts.held_messages(),
        "last_attempt": facts.last_attempt(),
        "first_seen": facts.case.and_then(|case| case.first_seen),
        "seen": {
            "since": material.since,
            "senders": top(&material.senders),
            "sender_domains": top(&material.sender_domains),
            "recipient_domains": top(&material.recipient_domains),
            "clients": top(&material.clients),
            "helos": top(&material.helos),
        },
        "unregistered_domains": facts.unregistered(),
        "samples": facts.samples(),
        "changes": words::changes(facts),
        "restriction": restriction,
    })
}

fn connector(named: &Named) -> Value {
    let certificate = named.certificate.as_ref();
    json!({
        "name": named.name,
        "networks": named.clients,
        "logins": named.logins,
        "certificate": certificate.map(|name| json!({ "subject": name.subject(), "issuer": name.issuer() })),
        "fingerprints": named.digests.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn top(top: &Top) -> Value {
    json!(top.counts)
}

fn extend(data: &mut Value, more: Value) {
    if let (Value::Object(data), Value::Object(more)) = (data, more) {
        data.extend(more);
    }
}

/// With every text in it clean.
fn cleaned(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(&text).into_owned()),
        Value::Array(values) => Value::Array(values.into_iter().map(cleaned).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, cleaned(value))).collect())
        }
        other => other,
    }
}
