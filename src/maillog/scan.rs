//! The pieces that lines are made of.
//!
//! What a client, a sender or a remote host chose stands between what Postfix
//! wrote. A piece is read only in the form in which Postfix writes it, so that
//! chosen text can't pass for another field:
//!
//!   address   either free of `<`, `>`, `"`, `\` and blanks, or its local part
//!             is a quoted string, within which only a bare `"` ends it
//!   HELO      free of `<`, `>`, `"` and blanks (smtpd turns those into `?`)
//!   peer      name[address], name[address]:port; the name free of blanks

use super::Peer;
use memchr::{memchr, memchr_iter, memchr2, memrchr_iter};
use std::net::IpAddr;

/// What stands before and behind the first blank.
pub(super) fn word(text: &str) -> Option<(&str, &str)> {
    around(text, memchr(b' ', text.as_bytes())?, 1)
}

/// What stands before and behind the first `word`, as `str::split_once` gives it.
/// Of `word` the octet at `rare` is looked for, which is to be seldom in `text`: that
/// takes a tenth of the instructions of a search that is prepared for any text.
pub(super) fn split_once<'a>(text: &'a str, word: &str, rare: usize) -> Option<(&'a str, &'a str)> {
    let places = memchr_iter(*word.as_bytes().get(rare)?, text.as_bytes());
    around(text, places.filter_map(starts(text, word, rare)).next()?, word.len())
}

/// The same around the last `word`.
pub(super) fn rsplit_once<'a>(
    text: &'a str,
    word: &str,
    rare: usize,
) -> Option<(&'a str, &'a str)> {
    let places = memrchr_iter(*word.as_bytes().get(rare)?, text.as_bytes());
    around(text, places.filter_map(starts(text, word, rare)).next()?, word.len())
}

/// Where `word` starts, if its octet at `rare` stands at a place.
fn starts(text: &str, word: &str, rare: usize) -> impl FnMut(usize) -> Option<usize> {
    move |at| {
        let start = at.checked_sub(rare)?;
        text.as_bytes().get(start..)?.starts_with(word.as_bytes()).then_some(start)
    }
}

fn around(text: &str, at: usize, length: usize) -> Option<(&str, &str)> {
    Some((text.get(..at)?, text.get(at + length..)?))
}

/// A queue id and what stands behind it and `: `; `NOQUEUE` is none.
pub(super) fn queue_id(text: &str) -> Option<(Option<&str>, &str)> {
    let bytes = text.as_bytes();
    let end = memchr(b':', bytes.get(..bytes.len().min(48))?)?;
    let (id, rest) = text.split_at_checked(end)?;
    let rest = rest.strip_prefix(": ")?;
    if is_queue_id(id) { Some((Some(id), rest)) } else { (id == "NOQUEUE").then_some((None, rest)) }
}

/// Whether this can be a queue id: a short one has six or more digits of base
/// 16, a long one twelve or more of base 52, which has no vowels.
pub(super) fn is_queue_id(text: &str) -> bool {
    if !(6..=40).contains(&text.len()) {
        return false;
    }
    let kinds = text.bytes().fold(SHORT | LONG, |kinds, byte| kinds & kinds_with(byte));
    kinds & SHORT != 0 || kinds & LONG != 0 && text.len() >= 12
}

/// Kinds of queue ids.
const SHORT: u8 = 1;
const LONG: u8 = 2;

/// The kinds of queue ids that have this octet: from a table, since there are ten
/// of them in nearly every line.
fn kinds_with(byte: u8) -> u8 {
    const KINDS: [u8; 256] = {
        let mut kinds = [0; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            let hex = matches!(byte, b'0'..=b'9' | b'A'..=b'F');
            let vowel = matches!(byte | 0x20, b'a' | b'e' | b'i' | b'o' | b'u');
            let plain = byte.is_ascii_alphanumeric() && !vowel;
            #[expect(clippy::indexing_slicing, reason = "checked when it is compiled")]
            {
                kinds[byte as usize] = if hex { SHORT } else { 0 } | if plain { LONG } else { 0 };
            }
            byte += 1;
        }
        kinds
    };
    KINDS.get(usize::from(byte)).copied().unwrap_or(0)
}

/// `name[address]:port`, and what stands behind it.
pub(super) fn peer(text: &str) -> Option<(Peer<'_>, &str)> {
    let bytes = text.as_bytes();
    let open = memchr2(b'[', b' ', bytes)?;
    let (name, rest) = text.split_at_checked(open)?;
    let rest = rest.strip_prefix('[')?;
    let close = memchr(b']', rest.as_bytes())?;
    let (inner, rest) = rest.split_at_checked(close)?;
    let rest = rest.strip_prefix(']')?;
    let (port, rest) = port(rest);
    Some((Peer { name, address: address_of_host(inner), port }, rest))
}

/// An address as Postfix logs it; none for `unknown` and for sockets.
fn address_of_host(text: &str) -> Option<IpAddr> {
    // An interface may be named behind it: fe80::1%eth0.
    let end = memchr(b'%', text.as_bytes()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

fn port(text: &str) -> (Option<u16>, &str) {
    let Some(rest) = text.strip_prefix(':') else { return (None, text) };
    let end = rest.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    match rest.split_at_checked(end) {
        Some((digits, rest)) if !digits.is_empty() => match digits.parse() {
            Ok(port) => (Some(port), rest),
            Err(_) => (None, text),
        },
        _ => (None, text),
    }
}

/// Where a quoted local part at the beginning of `text` ends: behind its
/// closing `"`, which an `@` or nothing follows. None where there is no such.
pub(super) fn quoted(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return matches!(bytes.get(at + 1), Some(b'@' | b'>')).then_some(at + 1);
        }
        at += 2;
    }
}

/// `address>` at the beginning of `text`, and what stands behind it.
pub(super) fn address(text: &str) -> Option<(&str, &str)> {
    let start = quoted(text).unwrap_or(0);
    let end = start + memchr(b'>', text.as_bytes().get(start..)?)?;
    let plain = text.as_bytes().get(start..end)?;
    if plain.iter().any(|b| matches!(b, b'<' | b'"' | b'\\' | b' ')) {
        return None;
    }
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// Envelope and HELO, as they are logged at the end of a verdict.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Envelope<'a> {
    pub(super) from: Option<&'a str>,
    pub(super) to: Option<&'a str>,
    pub(super) login: Option<&'a str>,
}

/// ` from=<…> to=<…> proto=… helo=<…> sasl_username=<…>`, each of them only where
/// it is known, and what stands behind it. postscreen puts commas between.
pub(super) fn envelope(text: &str) -> (Envelope<'_>, &str) {
    let mut envelope = Envelope::default();
    let mut rest = text;
    if let Some((from, behind)) = field(rest, "from=<").and_then(address) {
        (envelope.from, rest) = (Some(from), behind);
    }
    if let Some((to, behind)) = field(rest, "to=<").and_then(address) {
        (envelope.to, rest) = (Some(to), behind);
    }
    if let Some(behind) = field(rest, "proto=") {
        rest = behind.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    }
    if let Some((_, behind)) = field(rest, "helo=<").and_then(address) {
        rest = behind;
    }
    // The last of all: whatever else it holds, it ends where the line does.
    if let Some(login) = field(rest, "sasl_username=<").and_then(|text| text.strip_suffix('>')) {
        (envelope.login, rest) = (Some(login), "");
    }
    (envelope, rest)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.strip_prefix(',').unwrap_or(text).strip_prefix(' ')?.strip_prefix(name)
}

/// A reply as `550 5.1.1 text` or `5.1.1 text`: its code or 0, its enhanced code
/// or nothing, and the text behind them.
pub(crate) fn reply(text: &str) -> (u16, &str, &str) {
    let (code, text) = match text.as_bytes() {
        [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..] => {
            let (code, rest) = text.split_at_checked(3).unwrap_or(("", text));
            (code.parse().unwrap_or(0), rest.get(1..).unwrap_or(""))
        }
        _ => (0, text),
    };
    let end = memchr(b' ', text.as_bytes()).unwrap_or(text.len());
    match text.split_at_checked(end) {
        Some((dsn, rest)) if is_enhanced(dsn) => (code, dsn, rest.trim_start()),
        _ => (code, "", text),
    }
}

/// Whether this is an enhanced status code (RFC 3463).
fn is_enhanced(text: &str) -> bool {
    let mut parts = text.split('.');
    let class = parts.next().is_some_and(|class| matches!(class, "2" | "4" | "5"));
    let mut number = || {
        parts.next().is_some_and(|part| {
            (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
        })
    };
    class && number() && number() && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_ids_are_told_from_words() {
        for id in
            ["0F5383D", "40197AA", "4PbC4x469Jz3tBr", "48rT2v1hQrz1J0N", "ED06590130AA1C9D6D862"]
        {
            assert!(is_queue_id(id), "{id}");
        }
        for word in
            ["", "warning", "extract_addr", "statistics", "ABCDE", "authentication", "0f5383d"]
        {
            assert!(!is_queue_id(word), "{word}");
        }
    }

    #[test]
    fn addresses_end_where_postfix_ends_them() {
        for (text, expected) in [
            ("a@b.test> x", Some(("a@b.test", " x"))),
            ("> x", Some(("", " x"))),
            ("\"a>, b\"@c.test>, x", Some(("\"a>, b\"@c.test", ", x"))),
            (r#""a\">b"@c> x"#, Some((r#""a\">b"@c"#, " x"))),
            (r#""a\\"@c> x"#, Some((r#""a\\"@c"#, " x"))),
            ("a b@c> x", None),
            ("a<b> x", None),
            ("\"a@c> x", None),
            ("a\"b@c> x", None),
            ("a@b", None),
        ] {
            assert_eq!(address(text), expected, "{text}");
        }
    }

    #[test]
    fn peers_have_names_addresses_and_ports() {
        let peer_of =
            |text| peer(text).map(|(peer, rest)| (peer.name, peer.address, peer.port, rest));
        let v4 = "192.0.2.1".parse().ok();
        let v6 = "2001:db8::1".parse().ok();
        for (text, expected) in [
            ("mx.b.test[192.0.2.1]:25, x", Some(("mx.b.test", v4, Some(25), ", x"))),
            ("unknown[2001:db8::1]", Some(("unknown", v6, None, ""))),
            ("unknown[unknown] x", Some(("unknown", None, None, " x"))),
            ("[192.0.2.1]:40000: x", Some(("", v4, Some(40000), ": x"))),
            ("host[private/dovecot-lmtp], x", Some(("host", None, None, ", x"))),
            ("a[192.0.2.1]: text", Some(("a", v4, None, ": text"))),
            ("a[192.0.2.1]:99999", Some(("a", v4, None, ":99999"))),
            ("a b[192.0.2.1]", None),
            ("none", None),
            ("a[192.0.2.1", None),
        ] {
            assert_eq!(peer_of(text), expected, "{text}");
        }
    }

    #[test]
    fn replies_have_codes() {
        for (text, expected) in [
            ("550 5.1.1 no", (550, "5.1.1", "no")),
            ("550-5.1.1 no", (550, "5.1.1", "no")),
            ("550 no", (550, "", "no")),
            ("5.7.1 no", (0, "5.7.1", "no")),
            ("no 550", (0, "", "no 550")),
            ("550 5.7.1234 no", (550, "", "5.7.1234 no")),
            ("", (0, "", "")),
        ] {
            assert_eq!(reply(text), expected, "{text}");
        }
    }
}
