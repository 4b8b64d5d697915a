//! Envelope senders as keys: many spellings of one user are one sender.
//!
//! Folded away is what programs write into an address for one message or one
//! recipient, and what a user may add at will. In the domain: all that
//! [`crate::domain::fold`] folds. In the local part, until nothing is left to fold:
//!
//! | what | as | becomes |
//! |---|---|---|
//! | letter case | `Bob` | `bob` |
//! | quotes without need | `"bob"`, `b\ob` | `bob` |
//! | extension | `bob+shop` | `bob` |
//! | BATV | `prvs=0123456789=bob`, `btv1==0123abcd==bob` | `bob` |
//! | SRS | `SRS0=HHH=TT=example.net=bob` | `srs0=example.net=bob` |
//! | SRS, twice | `SRS1=HHH=fwd.test==HHH=TT=example.net=bob` | `srs1=fwd.test=example.net=bob` |
//! | recipient (VERP) | `list-return-123-bob=example.net` | `list-return` |
//! | number, id | `news-bounce-8f3a9c2e` | `news-bounce` |
//!
//! What stands in front of the first `-`, `_` or `.` always stays: `s1234567` and
//! `s1234568` are two students. Behind it a number or id goes if a word as `bounce`
//! says what it is, or if it is too long to be part of a name; `smith-2` and
//! `room-104` stay.

use crate::domain;
use std::borrow::Cow;

/// Words behind which numbers stand for messages or recipients, not for persons.
const WORDS: [&str; 16] = [
    "bnc",
    "bounce",
    "bounces",
    "campaign",
    "err",
    "errors",
    "mailer",
    "mailing",
    "msg",
    "ndr",
    "news",
    "newsletter",
    "return",
    "returns",
    "rtn",
    "verp",
];
const SEPARATORS: [char; 3] = ['-', '_', '.'];

/// The address under which a sender is counted and restricted; without brackets,
/// empty for the null sender. Folding what is folded changes nothing. Borrows where
/// there is nothing to fold.
pub fn fold(address: &str) -> Cow<'_, str> {
    let mut folded = match once(address) {
        None => return Cow::Borrowed(address),
        Some(folded) => folded,
    };
    // Each step leaves less to fold; the bound is for what nobody thought of.
    for _ in 0..address.len() {
        match once(&folded) {
            Some(further) => folded = further,
            None => break,
        }
    }
    Cow::Owned(folded)
}

/// The same in the place of what `folded` holds, without an allocation for an
/// ordinary address in whatever letter case. (One pass over the local part tells
/// that nothing else is to be folded: 150 instead of 1,150 instructions.)
pub fn fold_into(address: &str, folded: &mut String) {
    folded.clear();
    let (local, domain) = match domain::split(address) {
        Some((local, domain)) => (local, Some(domain)),
        None => (address, None),
    };
    domain::push_lower(local, folded);
    let is_plain = is_plain(folded);
    if let Some(domain) = domain {
        folded.push('@');
        if !domain::fold_into(domain, folded) {
            folded.push_str(domain);
        }
    }
    if !is_plain {
        let further = fold(folded).into_owned();
        folded.clear();
        folded.push_str(&further);
    }
}

/// Whether letter case is all that there can be to fold in a local part: every
/// other step needs one of `"\\+=`, or a digit behind a separator.
fn is_plain(local: &str) -> bool {
    let (mut separated, mut digits) = (false, false);
    for byte in local.bytes() {
        match byte {
            b'"' | b'\\' | b'+' | b'=' => return false,
            b'-' | b'_' | b'.' => separated = true,
            b'0'..=b'9' => digits |= separated,
            _ => {}
        }
    }
    !digits
}

/// One step; nothing where none is left. Each makes the local part shorter, or one
/// of both parts lower.
fn once(address: &str) -> Option<String> {
    let Some((local, domain)) = domain::split(address) else {
        return local_once(address).map(Cow::into_owned);
    };
    let folded = domain::fold(domain).filter(|folded| **folded != *domain);
    match (local_once(local), folded) {
        (None, None) => None,
        (local_folded, folded) => {
            let local = local_folded.as_deref().unwrap_or(local);
            Some(format!("{local}@{}", folded.as_deref().unwrap_or(domain)))
        }
    }
}

fn local_once(local: &str) -> Option<Cow<'_, str>> {
    if local.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(Cow::Owned(local.to_ascii_lowercase()));
    }
    if let Some(plain) = without_quotes(local) {
        return Some(Cow::Owned(plain));
    }
    if let Some(user) = batv(local) {
        return Some(Cow::Borrowed(user));
    }
    if let Some(srs) = Srs::read(local) {
        let user = plain_once(srs.user);
        let folded = srs.write(user.as_deref().unwrap_or(srs.user));
        return (folded != local).then_some(Cow::Owned(folded));
    }
    plain_once(local)
}

/// Without quotes and backslashes, where nothing in between needs them.
fn without_quotes(local: &str) -> Option<String> {
    if !local.contains(['"', '\\']) {
        return None;
    }
    let (mut plain, mut chars) = (String::with_capacity(local.len()), local.chars());
    while let Some(next) = chars.next() {
        match next {
            '"' => {}
            '\\' => plain.extend(chars.next()),
            _ => plain.push(next),
        }
    }
    // RFC 5322, 3.2.3; and beyond ASCII (RFC 6532).
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let is_atom = |atom: &str| !atom.is_empty() && atom.chars().all(is_plain);
    plain.split('.').all(is_atom).then_some(plain)
}

/// The user of an address that is signed for its bounces.
fn batv(local: &str) -> Option<&str> {
    let is_tag = |tag: &str| (4..=20).contains(&tag.len()) && is_word(tag);
    let (tag, user) = if let Some(rest) = local.strip_prefix("btv1==") {
        rest.split_once("==")?
    } else {
        let rest = local.strip_prefix("prvs=").or_else(|| local.strip_prefix("msprvs1="))?;
        match rest.split_once('=') {
            Some(found) => found,
            None => rest.split_once('/').map(|(user, tag)| (tag, user))?,
        }
    };
    (is_tag(tag) && !user.is_empty()).then_some(user)
}

/// An address that a forwarder rewrote.
struct Srs<'a> {
    /// The forwarder before the last one.
    forwarder: Option<&'a str>,
    domain: &'a str,
    user: &'a str,
}

impl<'a> Srs<'a> {
    /// With hash and time, or as [`Srs::write`] leaves it.
    fn read(local: &'a str) -> Option<Self> {
        let separators = ['=', '+', '-'];
        if let Some(rest) = local.strip_prefix("srs0") {
            let (domain, user) = original(rest.strip_prefix(separators)?)?;
            return Some(Self { forwarder: None, domain, user });
        }
        let rest = local.strip_prefix("srs1")?.strip_prefix(separators)?;
        let (first, behind) = rest.split_once('=')?;
        // Only the folded one has no hash before the forwarder.
        let (forwarder, behind) =
            if is_domain(first) { (first, behind) } else { behind.split_once('=')? };
        let (domain, user) = original(behind.strip_prefix(separators).unwrap_or(behind))?;
        is_domain(forwarder).then_some(Self { forwarder: Some(forwarder), domain, user })
    }

    fn write(&self, user: &str) -> String {
        match self.forwarder {
            None => format!("srs0={}={user}", self.domain),
            Some(forwarder) => format!("srs1={forwarder}={}={user}", self.domain),
        }
    }
}

/// Domain and user of `HASH=TIME=DOMAIN=USER` or `DOMAIN=USER`.
fn original(text: &str) -> Option<(&str, &str)> {
    let (first, behind) = text.split_once('=')?;
    let (domain, user) = if is_domain(first) {
        (first, behind)
    } else {
        let (time, behind) = behind.split_once('=')?;
        if first.len() > 8 || time.len() > 4 {
            return None;
        }
        behind.split_once('=')?
    };
    (is_domain(domain) && !user.is_empty()).then_some((domain, user))
}

fn plain_once(local: &str) -> Option<Cow<'_, str>> {
    if let Some(at) = local.find('+').filter(|at| *at > 0) {
        return local.get(..at).map(Cow::Borrowed);
    }
    if let Some(list) = without_recipient(local) {
        return Some(Cow::Borrowed(list));
    }
    without_ids(local).map(Cow::Owned)
}

/// The list of `list-return-123-bob=example.net`. Where its recipient begins can't
/// be seen: what stands in front of a number, or of a word as `return`, is the list;
/// where there is none, all but the last part.
fn without_recipient(local: &str) -> Option<&str> {
    let (head, domain) = local.rsplit_once('=')?;
    if !is_domain(domain) {
        return None;
    }
    let (mut end, mut is_list) = (None, false);
    for token in tokens(head) {
        let is_word = WORDS.contains(&token.text);
        if is_list && !is_word || token.start > 0 && is_id(token.text, false) {
            end = Some(token.start.saturating_sub(1));
            break;
        }
        is_list = is_word;
    }
    let end = end.or_else(|| head.rfind(['-', '_']))?;
    local.get(..end).filter(|list| !list.is_empty())
}

/// Without numbers and ids behind the first part; nothing where there are none.
fn without_ids(local: &str) -> Option<String> {
    let mut ids = local.split(SEPARATORS).skip(1).filter(|token| is_id(token, true));
    ids.next()?;
    let (mut folded, mut is_list) = (String::with_capacity(local.len()), false);
    for token in tokens(local) {
        if token.start == 0 || !is_id(token.text, is_list) {
            let from = token.start.saturating_sub(1);
            folded.push_str(local.get(from..token.start + token.text.len()).unwrap_or(""));
        }
        is_list |= WORDS.contains(&token.text);
    }
    (folded != local).then_some(folded)
}

/// A part of a local part, and where it begins.
struct Token<'a> {
    start: usize,
    text: &'a str,
}

fn tokens(local: &str) -> impl Iterator<Item = Token<'_>> {
    let mut start = 0;
    local.split(SEPARATORS).map(move |text| {
        let token = Token { start, text };
        start += text.len() + 1;
        token
    })
}

/// Whether this is a number or an id and no part of a name; `is_list` says that a
/// word in front of it speaks for that.
fn is_id(token: &str, is_list: bool) -> bool {
    let digits = token.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 || !is_word(token) {
        return false;
    }
    let length = token.len();
    if digits == length {
        return is_list || length >= 12;
    }
    let is_hex = token.bytes().all(|byte| byte.is_ascii_hexdigit());
    let changes = token
        .as_bytes()
        .windows(2)
        .filter(|pair| matches!(pair, [a, b] if a.is_ascii_digit() != b.is_ascii_digit()))
        .count();
    is_hex && length >= 8 && digits >= 2
        || length >= 10 && changes >= 4
        || is_list && (is_hex && length >= 4 || length >= 6)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a text can be a domain with a dot in it.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.contains('.') && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn into(address: &str) -> String {
        let mut folded = "what was there".to_owned();
        fold_into(address, &mut folded);
        folded
    }

    #[test]
    fn spellings_of_one_sender() {
        for (spellings, folded) in [
            (
                &[
                    "Bob@Example.ORG",
                    "bob@example.org.",
                    "bob@example.org..",
                    "bob+shop@example.org",
                    "\"bob\"@example.org",
                    "\"B\\ob\"@example.org",
                    "b\\ob@example.org",
                    "\"bob+x\"@example.org",
                ][..],
                "bob@example.org",
            ),
            (
                &[
                    "prvs=0123456789=bob@example.org",
                    "PRVS=9917abcdef=Bob@example.org",
                    "prvs=bob/0123456789@example.org",
                    "msprvs1=17999abc=bob+x@example.org",
                    "btv1==0123abcdef45==bob@example.org",
                    "bob+caf_=carol=example.net@example.org",
                ],
                "bob@example.org",
            ),
            (
                &[
                    "SRS0=x7Ka=4T=example.net=bob@fwd.test",
                    "SRS0+Zz1q=5A=example.net=bob@fwd.test",
                    "srs0-/+1q=5B=example.net=bob+x@fwd.test",
                ],
                "srs0=example.net=bob@fwd.test",
            ),
            (
                &[
                    "SRS1=abcd=fwd.test==x7Ka=4T=example.net=bob@second.test",
                    "SRS1=efgh=fwd.test=+x7Kb=4U=example.net=bob@second.test",
                ],
                "srs1=fwd.test=example.net=bob@second.test",
            ),
            (
                &[
                    "list-return-123-bob=example.com@lists.test",
                    "list-return-4567-mary-ann=example.net@lists.test",
                    "list-return-9@lists.test",
                    "list-return-mary.ann=sub.example.net@lists.test",
                ],
                "list-return@lists.test",
            ),
            (
                &["list-bounces+bob=example.com@lists.test", "list-bounces@lists.test"],
                "list-bounces@lists.test",
            ),
            (&["bounces+12345-abcd-bob=example.com@em.shop.test"], "bounces@em.shop.test"),
            (
                &[
                    "news-bounce-8f3a9c2e@shop.test",
                    "news-bounce-77@shop.test",
                    "news-bounce-aa11bb22-4711@shop.test",
                ],
                "news-bounce@shop.test",
            ),
            (
                &["shop-bob=example.com@lists.test", "shop-al=example.com@lists.test"],
                "shop@lists.test",
            ),
            (&["bounce.20251122.4711@shop.test"], "bounce@shop.test"),
            (&["news-return-8-bob=example.com@shop.test"], "news-return@shop.test"),
            (&["shop-0123456789abcdef@shop.test", "shop-x7k2m9q4w1z8@shop.test"], "shop@shop.test"),
            (&["bob@b\u{fc}cher.test", "BOB@xn--bcher-kva.test"], "bob@xn--bcher-kva.test"),
        ] {
            for spelling in spellings {
                assert_eq!(fold(spelling), folded, "{spelling}");
                assert_eq!(into(spelling), folded, "{spelling}");
            }
        }
    }

    #[test]
    fn what_may_be_a_name_stays() {
        for address in [
            "",
            "bob",
            "s1234567@uni.test",
            "s-1234567@uni.test",
            "j.smith2@example.org",
            "john.smith.1985@example.org",
            "maria-schmidt77@example.org",
            "john_smith1985@example.org",
            "copier-101@example.org",
            "room-204@example.org",
            "smith-2@example.org",
            "a1b2c3d4e5f6a7b8@example.org",
            "bob=example.net@gateway.test",
            "mary.ann=example.net@gateway.test",
            "+bob@example.org",
            "prvs=bob@example.org",
            "srs0=x@example.org",
            "owner-users-l@example.org",
            "\"a b\"@example.org",
            "\"a..b\"@example.org",
            "\"a\\\"b\"@example.org",
            "\"\"@example.org",
        ] {
            assert_eq!(fold(address), address);
            assert_eq!(into(address), address);
            assert!(matches!(fold(address), Cow::Borrowed(_)), "{address} is copied");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(
            local in "(prvs=|srs[01][=+-]|btv1==|list-|bounce[-+.]|)([a-z0-9A-Z=+._-]|x7=4t=a\\.b=){0,40}",
            domain in "[a-zA-Z0-9.-]{0,20}",
        ) {
            let address = format!("{local}@{domain}");
            let folded = fold(&address).into_owned();
            prop_assert_eq!(fold(&folded), folded.as_str());
            prop_assert_eq!(into(&address), folded);
        }

        #[test]
        fn any_text_folds(text in ".{0,60}") {
            let folded = fold(&text).into_owned();
            prop_assert_eq!(fold(&folded), folded.as_str());
            prop_assert_eq!(into(&text), folded);
        }
    }
}
