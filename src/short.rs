//! Text that is short as a rule, kept where it stands: what fits takes no memory
//! beside, what is longer takes some.

use smallvec::{Array, SmallVec};
use std::{borrow::Borrow, fmt};

/// A text with room for the octets of `A` in place.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ShortText<A: Array<Item = u8>>(SmallVec<A>);

/// A queue id of Postfix: 10 to 20 octets.
pub type QueueId = ShortText<[u8; 24]>;

/// An address of a sender or recipient: 25 octets as a rule.
pub type Address = ShortText<[u8; 64]>;

impl<A: Array<Item = u8>> ShortText<A> {
    /// The text.
    pub fn as_str(&self) -> &str {
        // It was made of one; octets are what is looked up by.
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl<A: Array<Item = u8>> From<&str> for ShortText<A> {
    fn from(text: &str) -> Self {
        Self(SmallVec::from_slice(text.as_bytes()))
    }
}

impl<A: Array<Item = u8>> Borrow<[u8]> for ShortText<A> {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl<A: Array<Item = u8>> fmt::Debug for ShortText<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn short_and_long_texts_are_found_by_their_octets() {
        let long = "4".repeat(100);
        let map: HashMap<QueueId, u8> = [("4Zk1aQ", 1), ("b\u{fc}", 2), (&*long, 3), ("", 4)]
            .map(|(text, number)| (text.into(), number))
            .into();
        for (text, number) in &map {
            assert_eq!(map.get(text.as_str().as_bytes()), Some(number));
            assert_eq!(format!("{text:?}"), format!("{:?}", text.as_str()));
        }
        assert_eq!(map.len(), 4);
    }
}
