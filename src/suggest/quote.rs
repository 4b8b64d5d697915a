//! What came from a log, as text of a configuration.

/// Characters of a line of comments.
const WIDTH: usize = 96;
/// Characters that are shown of one thing that a client chose.
const MOST_SHOWN: usize = 80;

/// A TOML string.
pub(super) fn string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if is_harmless(c) => quoted.push(c),
            c => quoted.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// An array of TOML strings: in one line where that is short, else one a line.
pub(super) fn array<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(|item| string(item.as_ref())).collect();
    let line = format!("[{}]", items.join(", "));
    if line.chars().count() <= WIDTH || items.len() < 2 {
        return line;
    }
    format!("[\n    {},\n]", items.join(",\n    "))
}

/// Lines of comments, each with its end.
pub(super) fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let word = clean(word);
        if line.len() > 1 && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(&word);
    }
    lines.push_str(&line);
    lines.push('\n');
    lines
}

/// What a client chose, in a sentence: one word, not too long.
pub(super) fn shown(text: &str) -> String {
    let mut word: String = text.chars().take(MOST_SHOWN).collect();
    if word.len() < text.len() {
        word.push('…');
    }
    clean(&word.replace(' ', "\\u{20}"))
}

fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmless(c) {
            cleaned.push(c);
        } else {
            cleaned.extend(c.escape_unicode());
        }
    }
    cleaned
}

/// Neither ends a line, nor moves a cursor, nor hides or turns around what
/// stands beside it.
fn is_harmless(c: char) -> bool {
    let is_blank = c.is_whitespace() && c != ' ';
    let is_invisible = matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    !(c.is_control() || is_blank || is_invisible)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn comments_are_wrapped_and_stay_comments() {
        let text = comment(&format!("a\nmode = \"enforce\"\r\u{2028}b {}", "long ".repeat(40)));
        assert!(text.lines().count() > 1);
        assert!(text.lines().all(|line| line.starts_with("# ") && line.chars().count() <= WIDTH));
        assert!(text.contains("a\\u{a}mode"));
    }

    #[test]
    fn one_thing_is_one_word() {
        assert_eq!(shown("a b\u{202e}"), "a\\u{20}b\\u{202e}");
        assert_eq!(shown(&"x".repeat(200)).chars().count(), MOST_SHOWN + 1);
    }

    proptest! {
        #[test]
        fn every_text_survives_its_string(text in any::<String>()) {
            let toml = format!("key = {}\n{}", string(&text), comment(&text));
            let table: toml_edit::DocumentMut = toml.parse().unwrap();
            prop_assert_eq!(table["key"].as_str().unwrap(), text);
            prop_assert_eq!(table.len(), 1);
        }

        #[test]
        fn every_array_survives(items in proptest::collection::vec(any::<String>(), 0..8)) {
            let toml = format!("key = {}", array(&items));
            let table: toml_edit::DocumentMut = toml.parse().unwrap();
            let read: Vec<&str> =
                table["key"].as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect();
            prop_assert_eq!(read, items);
        }
    }
}
