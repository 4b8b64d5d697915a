//! The Message-ID of a message.

/// Characters kept of a Message-ID.
pub const MAX_MESSAGE_ID: usize = 250;

/// The Message-ID in the value of its header, without the angle brackets, so
/// that it is the same whether the sending program wrote them or not. Comments
/// before it and whatever follows it are dropped, a fold inside it is closed,
/// and it is cut after [`MAX_MESSAGE_ID`] characters: it serves people who look
/// for a message, not as a key.
///
/// `None` if there is none, or if it holds control characters.
pub fn message_id(value: &[u8]) -> Option<String> {
    let value = skip_comments(value.trim_ascii_start());
    let bytes = match value.strip_prefix(b"<") {
        Some(inner) => until(inner, |byte| byte == b'>'),
        None => until(value, |byte| byte.is_ascii_whitespace()),
    };
    let bytes = bytes.trim_ascii();
    // A character takes at most four bytes; a fold adds to that, and then the
    // id is cut a little earlier.
    let bytes = bytes.get(..4 * MAX_MESSAGE_ID).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    let mut id = String::new();
    let mut left = MAX_MESSAGE_ID;
    let mut chars = text.chars().peekable();
    while left > 0
        && let Some(char) = chars.next()
    {
        if is_newline(char) {
            while chars.next_if(|&next| is_newline(next) || next == ' ' || next == '\t').is_some() {
            }
            continue;
        }
        if char.is_control() {
            return None;
        }
        id.push(char);
        left -= 1;
    }
    (!id.is_empty()).then_some(id)
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
            if let Some(id) = message_id(&value) {
                let length = id.chars().count();
                prop_assert!(length > 0 && length <= MAX_MESSAGE_ID);
                prop_assert!(!id.contains(char::is_control));
            }
        }
    }

    #[track_caller]
    fn check(value: &str, expected: Option<&str>) {
        assert_eq!(message_id(value.as_bytes()).as_deref(), expected, "{value:?}");
    }
}
