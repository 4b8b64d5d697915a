//! Keyed hashes of what mail carries: a recipient, a domain, a client's
//! network or any other text as a number.
//!
//! SipHash-1-3 (128-bit key, 64-bit result) over one byte that says what kind
//! of thing follows, then its bytes. Who does not know the key can't find two
//! things with one number; the kind keeps a domain from ever standing for a
//! recipient of the same spelling. The key is drawn once and kept with what
//! was counted under it: with another key everything known is new.
//!
//! | kind | byte | then |
//! |---|---|---|
//! | recipient | `r` | the address, ASCII in lower case; a domain beyond ASCII as A-labels; no trailing dot |
//! | domain | `d` | the name as [`domain::fold`] gives it; the upper 32 bits are used |
//! | network | `n` | 4 or 6, the length of the prefix, the network's address without host bits |
//! | text | `t` | the text as it is |

use crate::{domain, halves::split};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    net::IpAddr,
};

/// The hash functions under one key.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Fingerprints {
    key: [u8; 16],
}

impl Fingerprints {
    /// Under a new key that nobody can guess.
    pub fn random() -> Self {
        let draw = || RandomState::new().hash_one(0_u64);
        let key = u128::from(draw()) << 64 | u128::from(draw());
        Self { key: key.to_be_bytes() }
    }

    /// Under a key that [`Fingerprints::key`] gave.
    pub const fn from_key(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// The key. It is a secret: who has it can make collisions.
    pub const fn key(&self) -> [u8; 16] {
        self.key
    }

    /// A recipient's number: the same for every spelling of its address. The
    /// address comes without brackets. Upper case of ASCII letters makes no
    /// difference, in front of the `@` neither: mailboxes that differ by it are
    /// next to unknown. Nor do quotes: Postfix leaves them out where it shows an
    /// address to milters, and writes them only where needed in its log.
    pub fn of_recipient(&self, address: &str) -> u64 {
        let mut hasher = self.hasher(b'r');
        let unquoted = unquoted(address);
        let address = unquoted.as_deref().unwrap_or(address);
        // Only what is beyond ASCII needs the tables of IDNA, and memory. Most addresses
        // are not even searched for their `@`.
        let split = if address.is_ascii() { None } else { domain::split(address) };
        match split.filter(|(_, domain)| !domain.is_ascii()) {
            None => write_folded(&mut hasher, domain::without_dots(address)),
            Some((local, domain)) => {
                write_folded(&mut hasher, local);
                hasher.write(b"@");
                let folded = domain::fold(domain);
                write_folded(
                    &mut hasher,
                    domain::without_dots(folded.as_deref().unwrap_or(domain)),
                );
            }
        }
        hasher.finish()
    }

    /// A domain's number, never 0 (which stands for an empty slot). The name
    /// is one that [`domain::fold`] gave.
    pub fn of_domain(&self, folded: &str) -> u32 {
        let mut hasher = self.hasher(b'd');
        hasher.write(folded.as_bytes());
        let (upper, _) = split(hasher.finish());
        upper.max(1)
    }

    /// A network's number; bits of the address behind the prefix make no
    /// difference.
    pub fn of_network(&self, network: &IpNet) -> u64 {
        let mut hasher = self.hasher(b'n');
        match network.network() {
            IpAddr::V4(address) => {
                hasher.write(&[4, network.prefix_len()]);
                hasher.write(&address.octets());
            }
            IpAddr::V6(address) => {
                hasher.write(&[6, network.prefix_len()]);
                hasher.write(&address.octets());
            }
        }
        hasher.finish()
    }

    /// The number of any other text, byte by byte as it is.
    pub fn of_text(&self, text: &str) -> u64 {
        let mut hasher = self.hasher(b't');
        hasher.write(text.as_bytes());
        hasher.finish()
    }

    fn hasher(&self, kind: u8) -> SipHasher13 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(&[kind]);
        hasher
    }
}

impl fmt::Debug for Fingerprints {
    /// Without the key, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fingerprints").finish_non_exhaustive()
    }
}

/// An address without the quotes around its local part, if it has them.
fn unquoted(address: &str) -> Option<String> {
    let (local, domain) = domain::split(address.strip_prefix('"')?)?;
    let quoted = local.strip_suffix('"')?;
    let mut plain = String::with_capacity(address.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        let literal = if character == '\\' { characters.next() } else { Some(character) };
        plain.extend(literal);
    }
    plain.push('@');
    plain.push_str(domain);
    Some(plain)
}

/// Feeds `text` with ASCII letters in lower case, piece by piece so that
/// nothing is allocated.
fn write_folded(hasher: &mut SipHasher13, text: &str) {
    for piece in text.as_bytes().chunks(64) {
        let mut buffer = [0; 64];
        if let Some(folded) = buffer.get_mut(..piece.len()) {
            folded.copy_from_slice(piece);
            folded.make_ascii_lowercase();
            hasher.write(folded);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use std::collections::HashSet;

    const KEY: [u8; 16] = *b"sixteen bytes ok";

    fn network(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn spellings_of_one_recipient_are_one() {
        let prints = Fingerprints::random();
        let long = "a".repeat(200);
        for spellings in [
            &["bob@example.org", "Bob@Example.ORG", "BOB@example.org."][..],
            &["bob@bücher.example", "BOB@BÜCHER.example", "bob@xn--bcher-kva.example"],
            &["postmaster", "Postmaster"],
            &["\"a@b\"@example.org", "\"A@B\"@EXAMPLE.org", "a@b@example.org"],
            &["bob@example.org", "\"bob\"@example.org", "\"b\\o\\b\"@example.org"],
            &["a b@example.org", "\"a b\"@example.org", "\"a\\ b\"@example.org"],
            &[&format!("{long}@example.org"), &format!("{}@example.org", long.to_uppercase())],
        ] {
            let numbers: HashSet<u64> =
                spellings.iter().map(|address| prints.of_recipient(address)).collect();
            assert_eq!(numbers.len(), 1, "{spellings:?}");
        }
    }

    #[test]
    fn different_things_have_different_numbers() {
        let prints = Fingerprints::from_key(KEY);
        let numbers = [
            prints.of_recipient("bob@example.org"),
            prints.of_recipient("bob@example.net"),
            prints.of_recipient("alice@example.org"),
            prints.of_recipient(""),
            prints.of_text("bob@example.org"),
            prints.of_text("Bob@example.org"),
            prints.of_text(""),
            prints.of_network(&network("192.0.2.0/24")),
            prints.of_network(&network("192.0.2.0/25")),
            prints.of_network(&network("2001:db8::/48")),
            prints.of_network(&network("::/0")),
            prints.of_network(&network("0.0.0.0/0")),
        ];
        assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), numbers.len());
        assert_ne!(prints.of_domain("example.org"), prints.of_domain("example.net"));
        assert_eq!(
            prints.of_network(&network("192.0.2.77/24")),
            prints.of_network(&network("192.0.2.0/24"))
        );
    }

    #[test]
    fn a_domain_is_never_zero_and_spreads_over_all_numbers() {
        let prints = Fingerprints::from_key(KEY);
        let numbers: HashSet<u32> =
            (0..10_000).map(|number| prints.of_domain(&format!("d{number}.example"))).collect();
        assert!(!numbers.contains(&0));
        // Of 10,000 among four billion, 0.01 pairs are expected to meet.
        assert!(numbers.len() >= 9_999, "{}", numbers.len());
    }

    #[test]
    fn numbers_stay_the_same_across_restarts_and_versions() {
        let prints = Fingerprints::from_key(KEY);
        // What is on disk was counted under these numbers, which another
        // implementation of SipHash-1-3 gave.
        assert_eq!(prints.of_recipient("Bob@Example.org"), 0xf5d3_c0f9_caa1_d5ba);
        assert_eq!(prints.of_domain("example.org"), 0x60eb_28fd);
        assert_eq!(prints.of_network(&network("192.0.2.0/24")), 0x8b99_d7a9_b062_ba77);
        assert_eq!(prints.of_network(&network("2001:db8::/48")), 0x4e24_7402_2da5_6259);
        assert_eq!(prints.of_text("erp"), 0x1bfe_3dd4_c17d_b1ac);
        let bytes = postcard::to_stdvec(&prints).unwrap();
        assert_eq!(bytes, KEY);
        assert_eq!(postcard::from_bytes::<Fingerprints>(&bytes).unwrap(), prints);
    }

    #[test]
    fn every_key_is_another_one_and_none_is_shown() {
        let (one, other) = (Fingerprints::random(), Fingerprints::random());
        assert_ne!(one, other);
        assert_ne!(one.of_text("erp"), other.of_text("erp"));
        assert_ne!(one.of_recipient("a@b.example"), other.of_recipient("a@b.example"));
        assert_eq!(format!("{one:?}"), "Fingerprints { .. }");
    }
}
