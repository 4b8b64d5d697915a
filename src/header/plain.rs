//! Bytes of a header as text, without an allocation.

/// The bytes as text if they are nothing but printable ASCII, as nearly all are:
/// then they are taken as a whole, at a tenth of what it takes to look at one
/// character after the other.
pub(super) fn plain(bytes: &[u8]) -> Option<&str> {
    let is_plain = bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
    is_plain.then(|| std::str::from_utf8(bytes).ok()).flatten()
}

/// The characters of UTF-8, with a replacement character where it is none, as
/// [`String::from_utf8_lossy`] has them.
pub(super) fn chars(bytes: &[u8]) -> impl Iterator<Item = char> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let broken = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        chunk.valid().chars().chain(broken)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let lossy = String::from_utf8_lossy(&bytes);
            prop_assert_eq!(chars(&bytes).collect::<String>(), &*lossy);
            let is_plain = lossy.chars().all(|char| char == ' ' || char.is_ascii_graphic());
            prop_assert_eq!(plain(&bytes), is_plain.then_some(&*lossy));
        }

        #[test]
        fn printable_bytes(text in "[ -~]{0,60}") {
            prop_assert_eq!(plain(text.as_bytes()), Some(&*text));
        }
    }
}
