//! The table says what the reader does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
use super::*;
use crate::config::{DeTable, Path, Reader, read, syntax};
use std::collections::BTreeSet;
use toml::{Spanned, de::DeValue};

fn all() -> impl Iterator<Item = (&'static Section, &'static Key)> {
    SECTIONS.iter().flat_map(|section| section.keys.iter().map(move |key| (section, key)))
}

fn full_name(section: &Section, key: &Key) -> String {
    match section.name {
        "" => key.name.to_owned(),
        name => format!("{name}.{}", key.name),
    }
}

/// All that was understood, in no order: maps have none.
fn meaning(text: &str) -> Vec<String> {
    let mut config = config_of(text).unwrap_or_else(|faults| panic!("{faults}\nin\n{text}"));
    config.warnings.clear();
    config.sources.clear();
    // It names the files.
    config.understood.clear();
    let mut lines: Vec<String> = format!("{config:#?}").lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Keys that the reader asks a file for.
fn asked_for(text: &str) -> BTreeSet<String> {
    let path = Path::new("connguard.toml");
    let (table, errors) = DeTable::parse_recoverable(text);
    let syntax = syntax::faults(text, table.get_ref(), errors);
    let reader = Reader::new(path, text, syntax, FILES);
    read(&reader, table.into_inner(), &[]);
    let known = reader.known();
    reader.finish().unwrap_or_else(|faults| panic!("{faults}\nin\n{text}"));
    known
}

#[test]
fn the_table_has_the_keys_that_are_read_and_no_others() {
    let mut asked = BTreeSet::new();
    for (section, key) in all() {
        asked.extend(asked_for(&file_with(section, key, Some(key.example))));
    }
    // A table is no key where it has some.
    let is_table = |name: &String| {
        let inside = format!("{name}.");
        asked.iter().any(|other| other.starts_with(&inside))
    };
    let read: BTreeSet<String> = asked.iter().filter(|name| !is_table(name)).cloned().collect();
    let listed: BTreeSet<String> = all().map(|(section, key)| full_name(section, key)).collect();
    let missing: Vec<_> = read.difference(&listed).collect();
    let made_up: Vec<_> = listed.difference(&read).collect();
    assert!(
        missing.is_empty() && made_up.is_empty(),
        "read, but without a row in SECTIONS: {missing:?}; in SECTIONS, but not read: {made_up:?}"
    );
    assert_eq!(all().count(), listed.len(), "a key is listed twice");
}

#[test]
fn a_default_is_what_a_file_without_the_key_means() {
    for (section, key) in all() {
        let name = full_name(section, key);
        let without = file_with(section, key, None);
        if let Value(value) = key.default {
            let with = file_with(section, key, Some(value));
            assert_eq!(meaning(&with), meaning(&without), "{name}");
        }
        let example = meaning(&file_with(section, key, Some(key.example)));
        assert_ne!(example, meaning(&without), "the example of {name} says nothing");
    }
}

#[test]
fn what_is_required_is_a_fault_where_it_is_absent() {
    for (section, key) in all() {
        let name = full_name(section, key);
        let needed = file_with(section, key, None);
        let absent: Vec<&str> =
            needed.lines().filter(|line| line.split(" = ").next() != Some(key.name)).collect();
        let is_fault = config_of(&absent.join("\n")).is_err();
        let is_pair = matches!(key.name, "certificate.subject" | "certificate.issuer");
        assert_eq!(is_fault, key.default == Required || is_pair, "{name}");
    }
}

#[test]
fn rows_are_sentences() {
    for (section, key) in all() {
        for text in [section.text, key.text] {
            assert!(text.ends_with('.') && !text.contains("  "), "{text:?}");
        }
        assert!(!key.takes.is_empty() && !key.takes.ends_with('.'), "{:?}", key.takes);
    }
}

/// The keys of a TOML text, tables within tables too.
fn keys_of(text: &str) -> BTreeSet<String> {
    fn walk(value: &DeValue<'_>, at: &str, keys: &mut BTreeSet<String>) {
        let tables = |items: &[Spanned<DeValue<'_>>]| {
            items.first().is_some_and(|item| item.get_ref().is_table())
        };
        match value {
            DeValue::Table(table) => walk_table(table, at, keys),
            DeValue::Array(items) if tables(items) => {
                items.iter().for_each(|item| walk(item.get_ref(), at, keys));
            }
            _ => {
                keys.insert(at.to_owned());
            }
        }
    }
    fn walk_table(table: &DeTable<'_>, at: &str, keys: &mut BTreeSet<String>) {
        for (key, value) in table {
            let key = key.get_ref();
            let name = if at.is_empty() { key.to_string() } else { format!("{at}.{key}") };
            walk(value.get_ref(), &name, keys);
        }
    }
    let mut keys = BTreeSet::new();
    walk_table(DeTable::parse(text).unwrap().get_ref(), "", &mut keys);
    keys
}

fn project(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn the_readme_shows_all_keys_and_no_others() {
    let readme = project("README.md");
    let from = readme.split_once("\n## Configuration\n").unwrap().1;
    let block = from.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    let shown = keys_of(block);
    for (section, key) in all() {
        let name = full_name(section, key);
        // It is in a comment: the other way to name a certificate.
        let is_comment = name == "connector.certificate.fingerprint";
        assert_eq!(shown.contains(&name), !is_comment, "{name}");
    }
    let listed: BTreeSet<String> = all().map(|(section, key)| full_name(section, key)).collect();
    assert_eq!(shown.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_packaged_file_shows_defaults() {
    let packaged = project("packaging/connguard.toml");
    let listed: BTreeSet<String> = all().map(|(section, key)| full_name(section, key)).collect();
    let shown = keys_of(&packaged);
    assert_eq!(shown.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(meaning(&packaged), meaning(""), "as it is shipped it says what holds anyway");
    // Commented out, but keys all the same once somebody takes the # away.
    let is_setting =
        |line: &&str| line.starts_with("# [") || line.trim_start_matches("# ").contains(" = ");
    let lines = packaged.lines().filter(is_setting).map(|line| line.trim_start_matches("# "));
    let mut section = String::new();
    for line in packaged.lines() {
        let line = line.trim_start_matches("# ");
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            let name = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
            let inside = format!("{name}.");
            let is_known = listed.iter().any(|known| *known == name || known.starts_with(&inside));
            assert!(is_known, "packaging/connguard.toml has {name:?}, which is no key");
        }
    }
    assert!(lines.count() > 20);
}
