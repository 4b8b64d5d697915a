//! What was decided of mail before it was in the queue.
//!
//!   smtpd    NOQUEUE: reject: RCPT from P: 550 5.1.1 text; from=<A> to=<A> …
//!   cleanup  ID: milter-reject: END-OF-MESSAGE from P: 5.7.1 text; from=<A> …
//!   cleanup  ID: info: header From: value from P; from=<A> to=<A> …: text
//!   smtpd    NOQUEUE: proxy-reject: END-OF-MESSAGE: 554 text; from=<A> …
//!
//! Texts and headers hold what the client chose, and may look like the fields
//! behind them. So an envelope counts only where it reaches the end of the
//! line, and a header ends at the last place at which it could.

use super::{Decision, Event, Header, Judged, Peer, Skip, scan};
use memchr::{memchr_iter, memmem};

/// A line whose first word, behind the queue id, is `action`.
pub(super) fn read<'a>(
    queue_id: Option<&'a str>,
    action: &str,
    text: &'a str,
) -> Option<Result<Event<'a>, Skip>> {
    let (milter, word) = match action.strip_prefix("milter-") {
        Some(word) => (true, word),
        None => (false, action.strip_prefix("proxy-").unwrap_or(action)),
    };
    // Header checks on headers that a milter added: `milter-header-reject`.
    let word = word.strip_prefix("header-").unwrap_or(word);
    let verdict = decision(word)?;
    let base = Judged {
        queue_id,
        verdict,
        milter,
        stage: "",
        client: Peer::default(),
        code: 0,
        dsn: "",
        text: "",
        from: None,
        to: None,
        login: None,
    };
    Some(match text.bytes().next() {
        None => Err(Skip::Cut),
        Some(b'A'..=b'Z') => stage(base, text),
        Some(_) => content(base, matches!(word, "info" | "warning"), text),
    })
}

fn decision(word: &str) -> Option<Decision> {
    Some(match word {
        "reject" => Decision::Reject,
        "reject_warning" | "warn" | "warning" => Decision::Warn,
        "hold" | "quarantine" => Decision::Hold,
        "discard" => Decision::Discard,
        "accept" | "add" | "bcc" | "delay" | "delete" | "filter" | "info" | "insert" | "pass"
        | "prepend" | "redirect" | "replace" | "strip" => Decision::Pass,
        _ => return None,
    })
}

/// `RCPT from P: 550 5.1.1 text; from=<A> …`
fn stage<'a>(base: Judged<'a>, text: &'a str) -> Result<Event<'a>, Skip> {
    let end = text
        .bytes()
        .position(|b| !matches!(b, b'A'..=b'Z' | b'-' | b'_' | b'.'))
        .ok_or(Skip::Cut)?;
    let (stage, rest) = text.split_at_checked(end).ok_or(Skip::Unknown)?;
    let (client, rest) = match from_peer(rest) {
        Some((client, rest)) => (client, rest),
        // Of a transaction at a proxy only the stage is logged.
        None => (Peer::default(), rest),
    };
    let rest =
        rest.strip_prefix(": ").ok_or(if rest.len() < 2 { Skip::Cut } else { Skip::Unknown })?;
    let (text, envelope) = with_envelope(rest);
    let (code, dsn, text) = scan::reply(text);
    let scan::Envelope { from, to, login } = envelope;
    Ok(Event::Verdict(Judged { stage, client, code, dsn, text, from, to, login, ..base }))
}

/// ` from P` and ` content from P`, as it stands behind DATA.
fn from_peer(text: &str) -> Option<(Peer<'_>, &str)> {
    let text = text.strip_prefix(" content").unwrap_or(text);
    scan::peer(text.strip_prefix(" from ")?)
}

/// The text before the first `;` behind which an envelope reaches the end.
fn with_envelope(text: &str) -> (&str, scan::Envelope<'_>) {
    for at in memchr_iter(b';', text.as_bytes()) {
        if let Some((before, behind)) = text.split_at_checked(at)
            && let Some(behind) = behind.get(1..)
            && let (envelope, "") = scan::envelope(behind)
        {
            return (before, envelope);
        }
    }
    (text, scan::Envelope::default())
}

/// `header From: value from P; from=<A> …: text`
fn content<'a>(base: Judged<'a>, shown: bool, text: &'a str) -> Result<Event<'a>, Skip> {
    let (stage, rest) = text.split_once(' ').ok_or(Skip::Cut)?;
    if !matches!(stage, "header" | "mime-header" | "nested-header" | "body" | "mime-error") {
        return Err(Skip::Unknown);
    }
    let (value, client, envelope) = origin(rest)?;
    if shown && stage == "header" {
        let queue_id = base.queue_id.ok_or(Skip::Unknown)?;
        let (name, value) = value.split_once(':').ok_or(Skip::Unknown)?;
        let value = value.strip_prefix(' ').unwrap_or(value);
        return Ok(Event::Header(Header { queue_id, name, value, client }));
    }
    let scan::Envelope { from, to, login } = envelope;
    Ok(Event::Verdict(Judged { stage, client, text: value, from, to, login, ..base }))
}

/// Content, whose it is, and its envelope.
type Origin<'a> = (&'a str, Peer<'a>, scan::Envelope<'a>);

/// What stands before the last ` from P;` behind which an envelope is, and then
/// the end, or `: ` and the text of the rule. A rule may repeat the content in
/// its text: where that leaves two such places, none is beyond doubt.
fn origin(text: &str) -> Result<Origin<'_>, Skip> {
    let mut found = None;
    let mut end = text.len();
    while let Some((before, behind)) = text.get(..end).and_then(|part| last_from(part, text)) {
        end = before.len();
        let Some((client, rest)) = source(behind) else { continue };
        let Some(rest) = rest.strip_prefix(';') else { continue };
        let (envelope, rest) = scan::envelope(rest);
        if rest.is_empty() {
            return Ok((before, client, envelope));
        }
        if rest.starts_with(": ") || rest == ":" {
            if found.is_some() {
                return Err(Skip::Unknown);
            }
            found = Some((before, client, envelope));
        }
    }
    found.ok_or(Skip::Cut)
}

/// What stands before and behind the last ` from ` of a part of `text`, up to
/// whose end it looks.
fn last_from<'a>(part: &str, text: &'a str) -> Option<(&'a str, &'a str)> {
    const FROM: &str = " from ";
    let at = memmem::rfind(part.as_bytes(), FROM.as_bytes())?;
    Some((text.get(..at)?, text.get(at + FROM.len()..)?))
}

/// A client, or `local` where pickup took it in.
fn source(text: &str) -> Option<(Peer<'_>, &str)> {
    for name in ["local", "unknown"] {
        if let Some(rest) = text.strip_prefix(name).filter(|rest| rest.starts_with(';')) {
            return Some((Peer { name, ..Peer::default() }, rest));
        }
    }
    scan::peer(text)
}
