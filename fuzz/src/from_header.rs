//! Values of headers, first of all of From.

use connguard::{
    header::{
        Addresses, DEFAULT_SPAM_HEADERS, FromField, MAX_ADDRESSES, MAX_DOMAIN, MAX_LOCAL,
        MAX_MESSAGE_ID, SpamHeaders, from_addresses, is_delivery_report, message_id,
    },
    sender,
};
use std::cell::RefCell;

thread_local! {
    /// Buffers that were used before, as those of a session are.
    static USED: RefCell<(Addresses, String, String)> = RefCell::default();
    static SPAM: SpamHeaders = SpamHeaders::parse(&DEFAULT_SPAM_HEADERS).unwrap();
}

/// The value of a header.
pub fn run(value: &[u8]) {
    let found = from_addresses(value);
    if let FromField::Addresses(addresses) = &found {
        assert!((1..=MAX_ADDRESSES).contains(&addresses.len()));
    }
    let (mut bytes, mut ats) = (0, 0);
    for address in found.addresses() {
        sound(address);
        bytes += address.chars().count();
        ats += 1;
        again(address);
        senders(address);
    }
    // Nothing is made up: each character was a byte at least, and each address has
    // an @ of its own, unless all stood in the one quoted string that was left.
    assert!(bytes <= 2 * value.len(), "more than there was: {found:?}");
    assert!(ats <= value.iter().filter(|byte| **byte == b'@').count(), "{found:?}");
    USED.with_borrow_mut(|(addresses, id, _)| {
        addresses.clear();
        addresses.add(value);
        assert_eq!(addresses.as_slice(), found.addresses(), "a used buffer reads otherwise");
        message_id(value, id);
        assert!(id.chars().count() <= MAX_MESSAGE_ID.min(value.len()), "{id:?}");
        assert!(!id.contains(char::is_control), "{id:?}");
    });
    if is_delivery_report(value) {
        let lower = value.to_ascii_lowercase();
        assert!(lower.windows(9).any(|it| it == b"multipart"));
    }
    // Never of a header that it does not want.
    SPAM.with(|spam| {
        for name in ["X-Spam-Flag", "x-spam-status", "X-Spam", "Subject"] {
            let matches = spam.matches(name.as_bytes(), value);
            assert!(!matches || spam.wants(name.as_bytes()));
        }
    });
}

/// What [`Addresses`] promises of each.
fn sound(address: &str) {
    let (local, domain) = address.rsplit_once('@').expect("an address has an @");
    assert!(!local.is_empty() && local.len() <= MAX_LOCAL, "{address:?}");
    assert!(local.trim() == local, "{address:?}");
    assert!(!domain.is_empty() && domain.len() <= MAX_DOMAIN, "{address:?}");
    assert!(!address.contains(char::is_control), "{address:?}");
    assert!(!domain.ends_with('.') && domain.trim() == domain, "{address:?}");
    assert_eq!(domain.starts_with('['), domain.ends_with(']'), "{address:?}");
}

/// Written as an address and read again it is the same: one without quotes and the like,
/// which are read otherwise where what stood around them is gone; and not cut.
fn again(address: &str) {
    let (local, _) = address.rsplit_once('@').expect("an address has an @");
    let is_plain = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "@._+-'".contains(c);
    if local.len() < MAX_LOCAL - 3 && address.chars().all(is_plain) {
        let written = from_addresses(format!("<{address}>").as_bytes());
        assert_eq!(written.addresses(), [address.to_owned()], "read again");
    }
}

/// Folding what is folded changes nothing, and both ways to fold are one.
fn senders(address: &str) {
    let folded = sender::fold(address).into_owned();
    assert_eq!(sender::fold(&folded), folded, "of {address:?}");
    USED.with_borrow_mut(|(_, _, buffer)| {
        sender::fold_into(address, buffer);
        assert_eq!(*buffer, folded, "of {address:?}");
    });
}
