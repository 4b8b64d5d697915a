//! Faults of a file that is not TOML, and how far the rest of it is believed.
//!
//! The parser goes on behind an error. Behind some (a word without quotes)
//! what follows is what was meant; behind others (a bracket that is never
//! closed) it is not, and every later message would be about nothing. So: one
//! message a line, none behind the first error of the second sort, and of
//! other faults only those on lines without an error and before that place.

use super::fault::Lines;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Error},
};

/// One error of the parser, in words for people.
#[derive(Debug)]
pub(super) struct SyntaxFault {
    /// The octet that it is about.
    pub(super) at: usize,
    /// What is wrong and what was expected.
    pub(super) message: String,
}

/// The errors worth telling, in order, and the octet from which on the parser's
/// reading is not believed.
pub(super) fn faults(
    text: &str,
    table: &DeTable<'_>,
    mut errors: Vec<Error>,
) -> (Vec<SyntaxFault>, usize) {
    let start = |error: &Error| error.span().map_or(0, |span| span.start);
    errors.sort_by_key(start);
    let mut faults: Vec<SyntaxFault> = Vec::new();
    let mut end = usize::MAX;
    for error in &errors {
        let at = start(error);
        let same_line = faults.last().is_some_and(|last| {
            text.get(last.at..at).is_some_and(|between| !between.contains('\n'))
        });
        if at > end {
            break;
        }
        let (message, believed) = explain(text, table, error);
        if !believed {
            end = end.min(string_around(table, at).unwrap_or(at));
        }
        if !same_line {
            faults.push(SyntaxFault { at, message });
        }
    }
    (faults, end)
}

/// An error in words, and whether what follows it is still believed.
fn explain(text: &str, table: &DeTable<'_>, error: &Error) -> (String, bool) {
    let found = text.get(error.span().unwrap_or_default()).unwrap_or("");
    let found: String = found.chars().take(60).collect();
    let message = error.message();
    let is = |beginning: &str| message.starts_with(beginning);
    let told = if is("string values must be quoted") {
        if found.trim().is_empty() {
            "the value is missing; write KEY = VALUE, or remove the key".into()
        } else {
            let found = without_secrets(&found);
            format!("{found:?} is no TOML value; a string must be in quotes: {found:?}")
        }
    } else if is("duplicate key") {
        format!("{found} is there already; a key or [section] may be there only once")
    } else if is("unexpected key or value") {
        "something follows the value on its line; begin a new line for each key".into()
    } else if is("invalid basic string") || is("invalid literal string") {
        "the string is not closed; put a quote at its end, on the same line".into()
    } else if is("unexpected leading zero") {
        "a number must not begin with 0".into()
    } else if is("missing escaped value") {
        "a backslash must stand before one of b t n f r e x u U \" \\ in a string in double quotes; \
         in single quotes it stands for itself"
            .into()
    } else {
        return (explain_runaway(text, table, error), false);
    };
    (told, true)
}

/// An address of a webhook may hold a secret behind its host, and what is wrong
/// with a file goes to the log.
fn without_secrets(found: &str) -> String {
    let found = found.trim();
    match found.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://…"),
        None => found.to_owned(),
    }
}

/// An error behind which nothing is believed, in words.
fn explain_runaway(text: &str, table: &DeTable<'_>, error: &Error) -> String {
    let message = error.message();
    let is = |beginning: &str| message.starts_with(beginning);
    let at = error.span().map_or(0, |span| span.start);
    if is("missing comma between array") || is("unclosed array,") {
        let begin = begin_around(table, at, &|value| matches!(value, DeValue::Array(_)));
        let line = line_of(text, begin, " that begins in line ");
        format!("the array{line} lacks a comma or its ] before this; write [\"a\", \"b\"]")
    } else if is("missing comma between key-value") || is("unclosed inline table") {
        "a table in braces lacks a comma or its } before this; write { a = 1, b = 2 }".into()
    } else if is("unclosed table") {
        "the header of a section is not closed; write [NAME]".into()
    } else if is("unclosed array table") {
        "the header of a section is not closed; write [[NAME]]".into()
    } else if is("key with no value") {
        "a key without a value; write KEY = VALUE".into()
    } else if is("invalid multi-line") {
        let begin = string_around(table, at);
        let line = line_of(text, begin, " that begins in line ");
        format!("the string{line} with three quotes must end with three")
    } else {
        format!("not valid TOML: {message}")
    }
}

fn line_of(text: &str, begin: Option<usize>, what: &str) -> String {
    let line = begin.map(|begin| Lines::new(text).position(begin).line);
    line.map_or(String::new(), |line| format!("{what}{line}"))
}

fn string_around(table: &DeTable<'_>, at: usize) -> Option<usize> {
    begin_around(table, at, &|value| matches!(value, DeValue::String(_)))
}

/// Where the outermost value of a kind begins that the octet `at` is in.
fn begin_around(
    table: &DeTable<'_>,
    at: usize,
    kind: &dyn Fn(&DeValue<'_>) -> bool,
) -> Option<usize> {
    table.values().find_map(|value| begin_of(value, at, kind))
}

fn begin_of(
    value: &Spanned<DeValue<'_>>,
    at: usize,
    kind: &dyn Fn(&DeValue<'_>) -> bool,
) -> Option<usize> {
    if kind(value.get_ref()) && value.span().contains(&at.saturating_sub(1)) {
        return Some(value.span().start);
    }
    match value.get_ref() {
        DeValue::Array(array) => array.iter().find_map(|value| begin_of(value, at, kind)),
        DeValue::Table(table) => begin_around(table, at, kind),
        _ => None,
    }
}
