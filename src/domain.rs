//! Domain names in the one spelling in which they are compared, and sets of
//! them.
//!
//! Two spellings of a name are the same name: letter case, a trailing dot,
//! and U-labels against A-labels (RFC 5890) make no difference. [`fold`]
//! gives the common spelling: lower case, A-labels, no trailing dot.

use foldhash::fast::RandomState;
use std::{borrow::Cow, collections::HashSet, net::IpAddr};

/// Longest domain name in octets (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;

/// The spelling in which names are compared, or nothing where `name` can't be
/// a domain name (empty, too long, with blanks or control characters).
///
/// Names that IDNA refuses but mail carries (underscores, address literals as
/// `[192.0.2.1]`) stay as they are, in lower case: an odd name must be
/// countable, not an error. Borrows where there is nothing to change.
pub fn fold(name: &str) -> Option<Cow<'_, str>> {
    let name = without_dots(name);
    if name.is_empty() || name.len() > MAX_NAME {
        return None;
    }
    if name.is_ascii() {
        if !can_be_name(name) {
            return None;
        }
        return Some(if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        });
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace() || c == '@') {
        return None;
    }
    match idna::domain_to_ascii_cow(name.as_bytes(), idna::AsciiDenyList::EMPTY) {
        Ok(folded) => {
            let bare = without_dots(&folded);
            (!bare.is_empty() && bare.len() <= MAX_NAME).then(|| Cow::Owned(bare.to_owned()))
        }
        Err(_) => Some(Cow::Owned(name.to_lowercase())),
    }
}

/// Puts the same behind what `folded` holds, without an allocation where `name` is
/// ASCII and there is room; says whether there was anything to put.
pub fn fold_into(name: &str, folded: &mut String) -> bool {
    let bare = without_dots(name);
    if !bare.is_ascii() {
        return fold(name).map(|name| folded.push_str(&name)).is_some();
    }
    let is_name = !bare.is_empty() && bare.len() <= MAX_NAME && can_be_name(bare);
    if is_name {
        push_lower(bare, folded);
    }
    is_name
}

/// Without the dot of the root at its end, however often somebody wrote it: what is
/// folded is not to be folded once more.
pub(crate) fn without_dots(mut name: &str) -> &str {
    while let Some(bare) = name.strip_suffix('.') {
        name = bare;
    }
    name
}

/// Puts a text behind what `lower` holds, ASCII letters in lower case.
pub(crate) fn push_lower(text: &str, lower: &mut String) {
    let from = lower.len();
    lower.push_str(text);
    if let Some(text) = lower.get_mut(from..) {
        text.make_ascii_lowercase();
    }
}

/// Whether all octets of an ASCII text may stand in a name.
fn can_be_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@')
}

/// The part of an address behind its last `@`, if it has one.
pub fn of_address(address: &str) -> Option<&str> {
    split(address).map(|(_, domain)| domain)
}

/// Both parts of an address around its last `@`, if it has one. (A message asks
/// for this ten times; `memrchr` takes 20 instead of 100 instructions.)
pub(crate) fn split(address: &str) -> Option<(&str, &str)> {
    let at = memchr::memrchr(b'@', address.as_bytes())?;
    Some((address.get(..at)?, address.get(at + 1..)?))
}

/// Whether an address was rewritten within its domain: `given` became `delivered`.
/// One without a domain is of whatever domain it got.
pub fn is_rewritten_within(given: &str, delivered: &str) -> bool {
    match (of_address(given), of_address(delivered)) {
        (None, _) => true,
        (Some(given), Some(delivered)) => fold(given) == fold(delivered),
        (Some(_), None) => false,
    }
}

/// The organizational domain of a name that [`fold`] gave: the public suffix
/// that it ends in, and one label more, as `example.co.uk` for
/// `mail.example.co.uk`. Two names of one owner have the same, as a rule.
///
/// Suffixes are those of the public suffix list that is compiled in, the private
/// ones (`github.io`) too; where the list has none the last label is the suffix.
/// A name that is itself a suffix, that has no dot, that has an empty label or
/// that is an address is its own organizational domain.
pub fn organizational(folded: &str) -> &str {
    if folded.starts_with('[') || folded.parse::<IpAddr>().is_ok() {
        return folded;
    }
    let domain = psl::domain_str(folded);
    domain.filter(|domain| !domain.starts_with('.')).unwrap_or(folded)
}

/// Names of the configuration, so a quick hash will do.
type Names = HashSet<Box<str>, RandomState>;

/// A set of domain names, of which some stand for all names below them too.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DomainSet {
    exact: Names,
    /// Names written with a leading dot: the name itself and all below it.
    trees: Names,
}

/// What was found instead of a domain name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is not a domain name: write example.org, or .example.org for it and all below it")]
pub struct DomainError(String);

impl DomainSet {
    /// Adds `name`; with a leading dot it stands for the domain and all below.
    pub fn insert(&mut self, name: &str) -> Result<(), DomainError> {
        let (set, bare) = match name.strip_prefix('.') {
            Some(bare) => (&mut self.trees, bare),
            None => (&mut self.exact, name),
        };
        let error = || DomainError(name.to_owned());
        let folded = fold(bare).ok_or_else(error)?;
        let literal = folded.starts_with('[') && folded.ends_with(']');
        let valid = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if !literal && !folded.split('.').all(valid) {
            return Err(error());
        }
        set.insert(folded.into());
        Ok(())
    }

    /// Whether `name`, in any spelling, belongs to the set.
    pub fn contains(&self, name: &str) -> bool {
        fold(name).is_some_and(|folded| self.contains_folded(&folded))
    }

    /// Whether a name that [`fold`] gave belongs to the set.
    pub fn contains_folded(&self, name: &str) -> bool {
        if self.exact.contains(name) {
            return true;
        }
        if self.trees.is_empty() {
            return false;
        }
        let mut rest = Some(name);
        while let Some(name) = rest {
            if self.trees.contains(name) {
                return true;
            }
            rest = name.split_once('.').map(|(_, above)| above);
        }
        false
    }

    /// Whether nothing belongs to the set.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.trees.is_empty()
    }

    /// How many names were put in.
    pub fn len(&self) -> usize {
        self.exact.len() + self.trees.len()
    }

    /// Every name that was put in, without leading dots.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.exact.iter().chain(&self.trees).map(AsRef::as_ref)
    }

    /// Adds every name of `other`.
    pub fn extend(&mut self, other: &DomainSet) {
        self.exact.extend(other.exact.iter().cloned());
        self.trees.extend(other.trees.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn set(names: &[&str]) -> DomainSet {
        let mut set = DomainSet::default();
        for name in names {
            set.insert(name).unwrap();
        }
        set
    }

    #[test]
    fn spellings_of_one_name_are_equal() {
        let set = set(&["Example.ORG", ".example.net", "bücher.example"]);
        for name in [
            "example.org",
            "EXAMPLE.org.",
            "example.org...",
            "example.net",
            "a.b.Example.Net",
            "BÜCHER.example",
            "xn--bcher-kva.example",
        ] {
            assert!(set.contains(name), "{name} belongs to the set");
        }
        for name in ["a.example.org", "notexample.net", "example", "", ".", "..", "org"] {
            assert!(!set.contains(name), "{name} does not belong to the set");
        }
    }

    proptest! {
        #[test]
        fn what_is_folded_is_not_folded_once_more(name in "[a-zA-Z0-9._üß-]{0,20}[.]{0,3}") {
            let folded = fold(&name).map(Cow::into_owned);
            if let Some(folded) = &folded {
                prop_assert_eq!(fold(folded), Some(Cow::Borrowed(folded.as_str())));
            }
            let mut put = String::new();
            prop_assert_eq!(fold_into(&name, &mut put).then_some(put), folded);
        }
    }

    #[test]
    fn an_a_label_in_the_set_matches_the_u_label() {
        assert!(set(&["xn--bcher-kva.example"]).contains("Bücher.Example"));
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        for name in ["", ".", "a b.example", "exa..mple", "user@example.org", "-\u{7}.org"] {
            assert!(DomainSet::default().insert(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn folding_into_a_buffer_is_folding() {
        for name in [
            "Example.ORG.",
            "a",
            "",
            ".",
            "a b",
            "a@b",
            "B\u{dc}cher.example",
            "\u{7}",
            "[192.0.2.1]",
        ]
        .into_iter()
        .chain([&*"a".repeat(253), &*"a".repeat(254)])
        {
            let mut folded = "x".to_owned();
            assert_eq!(fold_into(name, &mut folded), fold(name).is_some(), "{name:?}");
            assert_eq!(folded, format!("x{}", fold(name).unwrap_or_default()), "{name:?}");
        }
    }

    #[test]
    fn odd_names_are_countable() {
        assert_eq!(fold("_dmarc.Example.org").unwrap(), "_dmarc.example.org");
        assert_eq!(fold("[192.0.2.1]").unwrap(), "[192.0.2.1]");
        assert_eq!(fold(&"a".repeat(300)), None);
        assert_eq!(fold("a\r\nb"), None);
    }

    #[test]
    fn names_of_one_owner_have_one_organizational_domain() {
        for (name, expected) in [
            ("mail.example.co.uk", "example.co.uk"),
            ("example.co.uk", "example.co.uk"),
            ("a.b.example.org", "example.org"),
            ("example.org", "example.org"),
            // A suffix of its own, public or private.
            ("co.uk", "co.uk"),
            ("org", "org"),
            ("github.io", "github.io"),
            ("pages.alice.github.io", "alice.github.io"),
            // No suffix that is listed.
            ("mail.site.internal-net", "site.internal-net"),
            ("localhost", "localhost"),
            // `*.ck` is a suffix, `www.ck` is not.
            ("mail.shop.example.ck", "shop.example.ck"),
            ("example.ck", "example.ck"),
            ("mail.www.ck", "www.ck"),
            // A-labels: of the name, and of the suffix.
            ("mail.xn--bcher-kva.co.uk", "xn--bcher-kva.co.uk"),
            ("mail.xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn"),
            ("xn--55qx5d.cn", "xn--55qx5d.cn"),
            // Addresses.
            ("[192.0.2.1]", "[192.0.2.1]"),
            ("[ipv6:2001:db8::1]", "[ipv6:2001:db8::1]"),
            ("192.0.2.1", "192.0.2.1"),
            // What can't be a name.
            ("", ""),
            (".", "."),
            ("a..b", "a..b"),
            (".co.uk", ".co.uk"),
        ] {
            assert_eq!(organizational(name), expected, "{name:?}");
        }
    }

    #[test]
    fn a_rewritten_recipient_is_the_same_within_its_domain() {
        for (original, to, same) in [
            ("a@b.test", "c@B.Test", true),
            ("a", "c@b.test", true),
            ("a@b.test.", "c@b.test", true),
            ("a@b\u{fc}cher.test", "a@xn--bcher-kva.test", true),
            ("a@b.test", "a@c.test", false),
            ("a@b.test", "|/bin/false", false),
        ] {
            assert_eq!(is_rewritten_within(original, to), same, "{original} {to}");
        }
    }
}
