//! The Message-ID of a message.

use super::plain::{self, plain};

/// Characters kept of a Message-ID.
pub const MAX_MESSAGE_ID: usize = 250;

/// Writes the Message-ID in the value of its header to `id`, without the angle
/// brackets, so that it is the same whether the sending program wrote them or
/// not. Comments before it and whatever follows it are dropped, a fold inside it
/// is closed, and it is cut after [`MAX_MESSAGE_ID`] characters: it serves people
/// who look for a message, not as a key.
///
/// Leaves `id` empty if there is none, or if it holds control characters.
pub fn message_id(value: &[u8], id: &mut String) {
    id.clear();
    let value = skip_comments(value.trim_ascii_start());
    let bytes = match value.strip_prefix(b"<") {
        Some(inner) => until(inner, |byte| byte == b'>'),
        None => until(value, |byte| byte.is_ascii_whitespace()),
    };
    let bytes = bytes.trim_ascii();
    match plain(bytes) {
        Some(plain) => id.push_str(plain.get(..MAX_MESSAGE_ID).unwrap_or(plain)),
        None => unusual(bytes, id),
    }
}

/// Writes an id of which each character has to be looked at.
fn unusual(bytes: &[u8], id: &mut String) {
    // A character takes at most four bytes; a fold adds to that, and then the
    // id is cut a little earlier.
    let bytes = bytes.get(..4 * MAX_MESSAGE_ID).unwrap_or(bytes);
    let mut left = MAX_MESSAGE_ID;
    let mut chars = plain::chars(bytes).peekable();
    while left > 0
        && let Some(char) = chars.next()
    {
        if is_newline(char) {
            while chars.next_if(|&next| is_newline(next) || next == ' ' || next == '\t').is_some() {
            }
            continue;
        }
        if char.is_control() {
            id.clear();
            return;
        }
        id.push(char);
        left -= 1;
    }
}

fn is_newline(char: char) -> bool {
    matches!(char, '\r' | '\n')
}

fn until(bytes: &[u8], end: impl Fn(u8) -> bool) -> &[u8] {
    let length = bytes.iter().position(|&byte| end(byte));
    length.and_then(|length| bytes.get(..length)).unwrap_or(bytes)
}

/// Comments inside comments are not looked for: this header has hardly ever one
/// at all.
fn skip_comments(mut value: &[u8]) -> &[u8] {
    while value.first() == Some(&b'(') {
        let Some(end) = value.iter().position(|&byte| byte == b')') else {
            break;
        };
        value = value.get(end + 1..).unwrap_or_default().trim_ascii_start();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain() {
        check(" <1.2@x.test>", Some("1.2@x.test"));
        check("\r\n\t<1.2@x.test>\r\n", Some("1.2@x.test"));
        check("1.2@x.test", Some("1.2@x.test"));
        check(" 1.2@x.test (sent by hand)", Some("1.2@x.test"));
        check("(made up) (twice) <1.2@x.test> <3@y.test>", Some("1.2@x.test"));
    }

    #[test]
    fn broken() {
        check("", None);
        check(" \r\n ", None);
        check("<>", None);
        check("< >", None);
        check("<1@x.test", Some("1@x.test"));
        check("<1 2@x.test>", Some("1 2@x.test"));
        check("<1\r\n\t2@x.test>", Some("12@x.test"));
        check("(1@x.test", Some("(1@x.test"));
    }

    #[test]
    fn control_characters_are_refused() {
        check("<1\0@x.test>", None);
        check("<1\x1b[2J@x.test>", None);
        check("<1\u{9b}2J@x.test>", None);
        check("<1\t@x.test>", None);
    }

    #[test]
    fn cut_at_characters() {
        let long = "é".repeat(400);
        check(&format!("<{long}>"), Some(&"é".repeat(MAX_MESSAGE_ID)));
    }

    proptest! {
        #[test]
        fn any_bytes(value in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut id = "of the last message".to_owned();
            message_id(&value, &mut id);
            prop_assert!(id.chars().count() <= MAX_MESSAGE_ID);
            prop_assert!(!id.contains(char::is_control));
        }

        #[test]
        fn plain_ids_are_read_as_others(value in "[ -~]{0,300}") {
            let (mut id, mut expected) = (String::new(), String::new());
            message_id(format!("<{value}>").as_bytes(), &mut id);
            unusual(value.split('>').next().unwrap_or("").trim().as_bytes(), &mut expected);
            prop_assert_eq!(id, expected);
        }
    }

    #[track_caller]
    fn check(value: &str, expected: Option<&str>) {
        let mut id = String::new();
        message_id(value.as_bytes(), &mut id);
        assert_eq!(id, expected.unwrap_or(""), "{value:?}");
    }
}
