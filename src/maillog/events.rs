//! What a line says: which form it has.
//!
//! Lines of mail begin with a queue id or `NOQUEUE`; of the others only those of
//! sessions and certificates are of interest. Words behind the queue id tell the
//! form; what they don't tell, or end before, is a reason to skip.

use super::{Accepted, Certificate, Event, Peer, Skip, delivery, judged, quiet, scan};
use memchr::memchr_iter;

/// What the text of a line of `program` says.
pub(super) fn read<'a>(program: &str, text: &'a str) -> Result<Event<'a>, Skip> {
    // Solaris puts a message id before the text.
    let text = match text.strip_prefix("[ID ") {
        Some(rest) => rest.split_once("] ").map_or(text, |(_, rest)| rest),
        None => text,
    };
    match scan::queue_id(text) {
        Some((Some(id), rest)) => of_message(program, id, rest),
        Some((None, rest)) => of_none(rest),
        None => of_session(program, text),
    }
}

/// A line about a message that has a queue id.
fn of_message<'a>(program: &str, id: &'a str, text: &'a str) -> Result<Event<'a>, Skip> {
    let (name, rest) = first_word(text);
    match name {
        "to=" => delivery::read(id, rest).map(Event::Delivery),
        "client=" => accepted(id, rest).map(Event::Accepted),
        "message-id=" => Ok(Event::MessageId { queue_id: id, id: without_brackets(rest) }),
        "from=" if program.ends_with("qmgr") => from_queue(id, rest),
        "uid=" => submitted(id, rest),
        "" if text == "removed" => Ok(Event::Removed { queue_id: id }),
        "" if text.is_empty() => Err(Skip::Cut),
        _ if program == "bounce" => reported(id, text),
        _ => verdict(Some(id), text).unwrap_or_else(|| Err(quiet::of_message(text))),
    }
}

/// A line about mail that has no queue id.
fn of_none(text: &str) -> Result<Event<'_>, Skip> {
    if text.starts_with("client=") {
        // At a proxy (smtpd_proxy_filter) it gets its queue id behind it.
        return Err(Skip::NoMail);
    }
    verdict(None, text).unwrap_or_else(|| Err(quiet::of_message(text)))
}

/// `word=` at the beginning of a text, and what stands behind it.
fn first_word(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|b| !(b.is_ascii_lowercase() || b == b'-')).unwrap_or(0);
    match text.as_bytes().get(end) {
        Some(b'=') => text.split_at_checked(end + 1).unwrap_or(("", text)),
        _ => ("", text),
    }
}

/// `reject: text`.
fn verdict<'a>(id: Option<&'a str>, text: &'a str) -> Option<Result<Event<'a>, Skip>> {
    let end = text.bytes().position(|b| !(b.is_ascii_lowercase() || matches!(b, b'-' | b'_')))?;
    let (action, rest) = text.split_at_checked(end)?;
    let rest = rest.strip_prefix(':')?;
    judged::read(id, action, rest.strip_prefix(' ').unwrap_or(rest))
}

/// `P, sasl_method=M, sasl_username=L, sasl_sender=S, orig_queue_id=ID,
/// orig_client=P`, each only where it is known.
fn accepted<'a>(queue_id: &'a str, text: &'a str) -> Result<Accepted<'a>, Skip> {
    let (client, rest) = scan::peer(text).ok_or(Skip::Cut)?;
    let mut accepted = Accepted { queue_id, client, ..Accepted::default() };
    let mut rest = rest;
    if let Some(behind) = rest.strip_prefix(", sasl_method=") {
        rest = behind.trim_start_matches(|c: char| c.is_ascii_graphic() && c != ',');
    }
    if let Some(behind) = rest.strip_prefix(", sasl_username=") {
        // A login may hold anything: it ends where the next field begins.
        const NEXT: [&str; 3] = [", sasl_sender=", ", orig_queue_id=", ", orig_client="];
        let is_next = |at: &usize| {
            let rest = behind.get(*at..).unwrap_or("");
            NEXT.iter().any(|next| rest.starts_with(next))
        };
        let end = memchr_iter(b',', behind.as_bytes()).find(is_next).unwrap_or(behind.len());
        let (login, behind) = behind.split_at_checked(end).ok_or(Skip::Unknown)?;
        accepted.login = Some(login);
        rest = behind;
    }
    if let Some(behind) = rest.strip_prefix(", sasl_sender=") {
        rest = behind_sasl_sender(behind);
    }
    if let Some(behind) = rest.strip_prefix(", orig_queue_id=") {
        let (id, behind) = behind
            .split_at_checked(behind.find(',').unwrap_or(behind.len()))
            .ok_or(Skip::Unknown)?;
        accepted.original_queue_id = scan::is_queue_id(id).then_some(id);
        rest = behind;
    }
    if let Some(behind) = rest.strip_prefix(", orig_client=") {
        let (peer, behind) = scan::peer(behind).ok_or(Skip::Cut)?;
        accepted.original_client = Some(peer);
        rest = behind;
    }
    // Without its login it would be counted for another.
    if rest.is_empty() { Ok(accepted) } else { Err(Skip::Cut) }
}

/// The client chose what it wrote behind AUTH=. Only in quotes or brackets could
/// it be a text with a blank, and look like the fields that follow: then it
/// reaches to the end.
fn behind_sasl_sender(text: &str) -> &str {
    let (sender, rest) =
        text.split_at_checked(text.find(", ").unwrap_or(text.len())).unwrap_or((text, ""));
    if sender.bytes().any(|b| matches!(b, b'"' | b'<' | b'(' | b'[' | b'\\')) { "" } else { rest }
}

fn without_brackets(text: &str) -> &str {
    text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text)
}

/// `<A>, size=N, nrcpt=N (queue active)` or `<A>, status=expired, returned to
/// sender`. The end is of Postfix: it is read from there.
fn from_queue<'a>(queue_id: &'a str, text: &'a str) -> Result<Event<'a>, Skip> {
    let text = text.strip_prefix('<').ok_or(Skip::Cut)?;
    if text.ends_with("expired, returned to sender") {
        return Ok(Event::Expired { queue_id });
    }
    let (text, _) = scan::rsplit_once(text, " (queue ", 1).ok_or(Skip::Cut)?;
    let (from, numbers) = scan::rsplit_once(text, ">, size=", 0).ok_or(Skip::Unknown)?;
    let (size, nrcpt) = scan::split_once(numbers, ", nrcpt=", 0).ok_or(Skip::Unknown)?;
    let (Ok(size), Ok(nrcpt)) = (size.parse(), nrcpt.parse()) else { return Err(Skip::Unknown) };
    Ok(Event::Queued { queue_id, from, size, nrcpt })
}

/// `0 from=<root>`.
fn submitted<'a>(queue_id: &'a str, text: &'a str) -> Result<Event<'a>, Skip> {
    let (uid, from) = text.split_once(" from=<").ok_or(Skip::Cut)?;
    let uid = uid.parse().map_err(|_| Skip::Unknown)?;
    // Whatever sender a local user makes up, `>` stands behind it.
    let (from, original) = match from.strip_suffix('>') {
        Some(from) => (from, None),
        None => {
            from.rsplit_once("> orig_id=").map(|(from, id)| (from, Some(id))).ok_or(Skip::Cut)?
        }
    };
    if original.is_some_and(|id| !scan::is_queue_id(id)) {
        return Err(Skip::Cut);
    }
    Ok(Event::Submitted { queue_id, uid, from, original })
}

/// `sender non-delivery notification: ID`, and others.
fn reported<'a>(queue_id: &'a str, text: &'a str) -> Result<Event<'a>, Skip> {
    match text.split_once(" notification: ") {
        Some((_, report)) if scan::is_queue_id(report) => Ok(Event::Reported { queue_id, report }),
        Some(_) => Err(Skip::Cut),
        None => Err(quiet::of_message(text)),
    }
}

/// A line that is about no message.
fn of_session<'a>(program: &str, text: &'a str) -> Result<Event<'a>, Skip> {
    if program != "smtpd" {
        return Err(quiet::of_session(text));
    }
    if let Some(rest) = text.strip_prefix("connect from ") {
        return alone(rest).map(Event::Connected);
    }
    if let Some(rest) = text.strip_prefix("disconnect from ") {
        return alone(rest).map(Event::Disconnected);
    }
    if let Some((level, rest)) = scan::split_once(text, " TLS connection established from ", 1) {
        return encrypted(level, rest);
    }
    if text.starts_with("proxy-") {
        return verdict(None, text).unwrap_or(Err(Skip::Unknown));
    }
    match scan::peer(text) {
        Some((client, rest)) => of_client(client, rest.strip_prefix(": ").unwrap_or("")),
        None => Err(quiet::of_session(text)),
    }
}

/// `Trusted`, and `P: TLSv1.3 with cipher …`.
fn encrypted<'a>(level: &str, text: &'a str) -> Result<Event<'a>, Skip> {
    let trusted = match level {
        "Trusted" | "Verified" => true,
        "Untrusted" | "Anonymous" => false,
        _ => return Err(Skip::Unknown),
    };
    let (client, _) = scan::peer(text).ok_or(Skip::Cut)?;
    Ok(Event::Encrypted { client, trusted })
}

/// Details of TLS, among them its certificate.
fn of_client<'a>(client: Peer<'a>, text: &'a str) -> Result<Event<'a>, Skip> {
    let text = ["Trusted: ", "Untrusted: "]
        .iter()
        .find_map(|level| text.strip_prefix(level))
        .unwrap_or(text);
    match text.strip_prefix("subject_CN=") {
        Some(rest) => certificate(client, rest).map(Event::Certificate).ok_or(Skip::Unknown),
        None if text.is_empty() => Err(Skip::Unknown),
        None => Err(Skip::NoMail),
    }
}

fn alone(text: &str) -> Result<Peer<'_>, Skip> {
    match scan::peer(text) {
        Some((peer, rest)) if rest.is_empty() || rest.starts_with(' ') => Ok(peer),
        Some(_) => Err(Skip::Unknown),
        None => Err(Skip::Cut),
    }
}

/// `N, issuer=N, fingerprint=F, pkey_fingerprint=F`. The client chose the names:
/// where they hold a field there is no telling them apart.
fn certificate<'a>(client: Peer<'a>, text: &'a str) -> Option<Certificate<'a>> {
    let (names, rest) = text.split_once(", fingerprint=")?;
    let (subject, issuer) = names.split_once(", issuer=")?;
    if issuer.contains(", issuer=") || rest.contains(", fingerprint=") {
        return None;
    }
    let fingerprint = rest.split(", ").next()?;
    Some(Certificate { client, subject, issuer, fingerprint })
}
