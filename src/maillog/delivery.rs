//! One attempt to deliver.
//!
//!   to=<A>, orig_to=<A>, relay=R, conn_use=N, delay=S, delays=S/S/S/S, tls=L,
//!   dsn=D, status=W (text)
//!
//! The client chose A, the other host the text; all between is of Postfix. The
//! line is read from its beginning: an address whose local part is quoted ends
//! behind the quotes, any other at the first `>` that a field follows. Postfix
//! before 3.5 did not quote, so such an address could hold fields of its own: a
//! line that can be read in two ways is not read at all.

use super::{Attempt, Peer, Skip, Status, scan};
use memchr::{memchr, memchr_iter};

/// An attempt; `text` begins behind `to=`.
pub(super) fn read<'a>(queue_id: &'a str, text: &'a str) -> Result<Attempt<'a>, Skip> {
    let (to, rest, to_quoted) = recipient(text, &["orig_to=", "relay="])?;
    let (original_to, rest, original_quoted) = match rest.strip_prefix("orig_to=") {
        Some(text) => {
            let (original, rest, quoted) = recipient(text, &["relay="])?;
            (Some(original), rest, quoted)
        }
        None => (None, rest, true),
    };
    if !(to_quoted && original_quoted) && scan::split_once(rest, ">, relay=", 0).is_some() {
        return Err(Skip::Unknown);
    }
    let (relay, rest) = part(rest.strip_prefix("relay=").ok_or(Skip::Unknown)?)?;
    let (dsn, rest) = measures(rest)?;
    let (word, text) = scan::split_once(rest, " (", 1).ok_or(Skip::Cut)?;
    Ok(Attempt {
        queue_id,
        to,
        original_to,
        relay: relay_of(relay),
        dsn,
        status: status(word).ok_or(Skip::Unknown)?,
        text: text.strip_suffix(')').unwrap_or(text),
    })
}

/// A recipient, what stands behind it and `, `, and whether its end is beyond
/// doubt. One of `next` follows it.
fn recipient<'a>(text: &'a str, next: &[&str]) -> Result<(&'a str, &'a str, bool), Skip> {
    let follows = |rest: &'a str| {
        rest.strip_prefix(", ").filter(|rest| next.iter().any(|next| rest.starts_with(next)))
    };
    let Some(text) = text.strip_prefix('<') else {
        // Brackets are lost where something on the way takes them for markup.
        let (address, rest) = part(text)?;
        return Ok((address, rest, false));
    };
    let start = scan::quoted(text);
    let from = start.unwrap_or(0);
    for end in memchr_iter(b'>', text.as_bytes().get(from..).unwrap_or_default()) {
        if let Some((address, behind)) = text.split_at_checked(from + end)
            && let Some(rest) = behind.get(1..).and_then(follows)
        {
            return Ok((address, rest, start.is_some()));
        }
    }
    Err(Skip::Cut)
}

/// What stands before the next `, `, and behind it.
fn part(text: &str) -> Result<(&str, &str), Skip> {
    let end = memchr(b',', text.as_bytes()).ok_or(Skip::Cut)?;
    let (part, rest) = text.split_at_checked(end).ok_or(Skip::Unknown)?;
    match rest.strip_prefix(", ") {
        Some(rest) => Ok((part, rest)),
        None if rest.len() < 2 => Err(Skip::Cut),
        None => Err(Skip::Unknown),
    }
}

/// Passes over what was measured: the enhanced code, and what is behind
/// `status=`.
fn measures(mut text: &str) -> Result<(&str, &str), Skip> {
    const NAMES: [&str; 4] = ["conn_use=", "delay=", "delays=", "tls="];
    let mut dsn = "";
    loop {
        if let Some(rest) = text.strip_prefix("status=") {
            return Ok((dsn, rest));
        }
        let (field, rest) = part(text)?;
        match field.strip_prefix("dsn=") {
            Some(code) => dsn = code,
            None if NAMES.iter().any(|name| field.starts_with(name)) => {}
            None => return Err(Skip::Unknown),
        }
        text = rest;
    }
}

fn relay_of(text: &str) -> Option<Peer<'_>> {
    match scan::peer(text) {
        Some((peer, "")) => Some(peer),
        _ if text == "none" => None,
        _ => Some(Peer { name: text, ..Peer::default() }),
    }
}

fn status(word: &str) -> Option<Status> {
    Some(match word {
        "sent" => Status::Sent,
        // Under soft_bounce what would be given up is tried again.
        "deferred" | "SOFTBOUNCE" => Status::Deferred,
        "bounced" => Status::Bounced,
        "expired" => Status::Expired,
        _ if word.starts_with("deliverable") || word.starts_with("undeliverable") => Status::Probe,
        _ => return None,
    })
}

impl<'a> Attempt<'a> {
    /// What the other host said, its reply code first; none where Postfix speaks
    /// for itself. Replies of several lines are joined by blanks.
    ///
    /// A host that refuses the connection speaks too; but not to a recipient
    /// whose delivery was suspended because of it, and was never tried.
    pub fn said(&self) -> Option<&'a str> {
        let (_, reply) = self.answer()?;
        Some(scan::rsplit_once(reply, REPLY_TO, 1).map_or(reply, |(said, _)| said))
    }

    /// Which command the other host answered: `RCPT TO`, `end of DATA`; empty
    /// where it answered the connection, or where the text was cut.
    pub fn in_reply_to(&self) -> Option<&'a str> {
        let (_, reply) = self.answer()?;
        let command = scan::rsplit_once(reply, REPLY_TO, 1);
        Some(command.and_then(|(_, text)| text.strip_suffix(" command)")).unwrap_or(""))
    }

    /// Whether the other host refused the connection itself.
    pub fn refused_to_talk(&self) -> bool {
        self.answer().is_some_and(|(refused, _)| refused)
    }

    /// `host NAME[ADDRESS] said: …`, where the name has no blanks.
    fn answer(&self) -> Option<(bool, &'a str)> {
        let (_, text) = self.text.strip_prefix("host ")?.split_once(' ')?;
        if let Some(reply) = text.strip_prefix("said: ") {
            return Some((false, reply));
        }
        Some((true, text.strip_prefix("refused to talk to me: ")?))
    }

    /// The queue id under which the other host has it, if it says so. It may be
    /// any host that says so: whose word counts is for the caller to decide.
    pub fn queued_as(&self) -> Option<&'a str> {
        const WORDS: &str = "queued as ";
        if self.status != Status::Sent {
            return None;
        }
        let (_, rest) = scan::rsplit_once(self.text, WORDS, 0)?;
        let end = rest.bytes().position(|b| !b.is_ascii_alphanumeric()).unwrap_or(rest.len());
        rest.get(..end).filter(|id| scan::is_queue_id(id))
    }

    /// The queue id under which this host itself takes it in again, because of
    /// an alias or a `.forward`.
    pub fn forwarded_as(&self) -> Option<&'a str> {
        let id = self.text.strip_prefix("forwarded as ")?;
        (self.status == Status::Sent && scan::is_queue_id(id)).then_some(id)
    }
}

const REPLY_TO: &str = " (in reply to ";
