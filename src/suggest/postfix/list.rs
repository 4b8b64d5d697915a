//! Lists of Postfix: items, files of items, and lookup tables, whose keys are
//! the items.

use super::Commands;
use std::{fs, path::Path};

/// How deep a file may name a file.
const DEPTH: usize = 4;
/// Octets of the largest file that is read.
const MOST_OCTETS: u64 = 64 << 20;

/// How to expand the lists of one parameter.
pub(super) struct Lists<'a> {
    pub(super) commands: &'a Commands,
    /// Which, and which key of ours it goes into.
    pub(super) parameter: &'a str,
    pub(super) key: &'a str,
}

impl Lists<'_> {
    /// The items of a list, with files and tables read.
    pub(super) fn expand(&self, value: &str, notes: &mut Vec<String>) -> Vec<String> {
        let mut items = Vec::new();
        self.expand_into(value, DEPTH, &mut items, notes);
        items
    }

    fn expand_into(
        &self,
        value: &str,
        depth: usize,
        items: &mut Vec<String>,
        notes: &mut Vec<String>,
    ) {
        let Self { parameter, key, .. } = *self;
        for entry in split(value) {
            if entry.starts_with('!') {
                note(
                    notes,
                    format!(
                        "{parameter} excludes {entry}. connguard has no exclusions in {key}: write \
                     narrower entries there by hand."
                    ),
                );
            } else if entry.starts_with('/') {
                match read(Path::new(entry)).filter(|_| depth > 0) {
                    Some(text) => {
                        self.expand_into(&without_comments(&text), depth - 1, items, notes)
                    }
                    None => note(
                        notes,
                        format!(
                            "{parameter} names {entry}, which can't be read: add what it holds to \
                         {key} by hand."
                        ),
                    ),
                }
            } else if let Some((kind, name)) = table(entry) {
                match self.keys(kind, name) {
                    Some(keys) => items.extend(keys),
                    None => note(
                        notes,
                        format!(
                            "{parameter} names {entry}, whose keys can't be listed: write what it holds \
                         into a file, one a line, and add that to {key} by hand (inbound_domains \
                         takes the path of such a file)."
                        ),
                    ),
                }
            } else {
                items.push(entry.to_owned());
            }
        }
    }

    fn keys(&self, kind: &str, name: &str) -> Option<Vec<String>> {
        match kind {
            "inline" => {
                let inside = name.strip_prefix('{')?.strip_suffix('}')?;
                Some(split(inside).into_iter().map(inline_key).collect())
            }
            "hash" | "btree" | "lmdb" | "cdb" | "dbm" | "sdbm" | "texthash" | "cidr" => {
                match read(Path::new(name)) {
                    Some(text) => Some(source_keys(&text)),
                    None => {
                        let listed = self.commands.table(&format!("{kind}:{name}"))?;
                        Some(listed.lines().filter_map(first_word).collect())
                    }
                }
            }
            _ => None,
        }
    }
}

/// Puts a note in, once.
pub(super) fn note(notes: &mut Vec<String>, note: String) {
    if !notes.contains(&note) {
        notes.push(note);
    }
}

/// The items of a list as Postfix splits it: at commas and white space, not
/// inside of braces.
pub(super) fn split(value: &str) -> Vec<&str> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0_usize, None);
    for (at, c) in value.char_indices() {
        let separates = matches!(c, ',' | ' ' | '\t' | '\r' | '\n');
        if separates && depth == 0 {
            items.extend(start.take().and_then(|start| value.get(start..at)));
            continue;
        }
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !separates {
            start.get_or_insert(at);
        }
    }
    items.extend(start.and_then(|start| value.get(start..)));
    items
}

/// A lookup table's type and name. An address of IPv6 has more colons, or
/// brackets.
fn table(entry: &str) -> Option<(&str, &str)> {
    let is_address = entry.starts_with('[') || entry.parse::<std::net::Ipv6Addr>().is_ok();
    let is_network = entry
        .split_once('/')
        .is_some_and(|(address, _)| address.parse::<std::net::Ipv6Addr>().is_ok());
    if is_address || is_network {
        return None;
    }
    entry.strip_prefix("proxy:").unwrap_or(entry).split_once(':')
}

/// `{ key = value }` or `key=value`.
fn inline_key(entry: &str) -> String {
    let entry = entry.trim_start_matches('{').trim_start();
    entry.split(|c: char| c == '=' || c.is_whitespace()).next().unwrap_or("").to_owned()
}

/// The keys of a table's source. A line that begins with white space continues
/// the one before.
fn source_keys(text: &str) -> Vec<String> {
    let begins = |line: &&str| !line.starts_with([' ', '\t', '#']);
    text.lines().filter(begins).filter_map(first_word).collect()
}

fn first_word(line: &str) -> Option<String> {
    line.split_whitespace().next().map(str::to_owned)
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

fn read(path: &Path) -> Option<String> {
    let length = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.len();
    if length > MOST_OCTETS {
        return None;
    }
    Some(String::from_utf8_lossy(&fs::read(path).ok()?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_as_postfix_does() {
        assert_eq!(split("a, b\tc,,d "), ["a", "b", "c", "d"]);
        assert_eq!(split("x inline:{ a=b, { c = d } } y"), ["x", "inline:{ a=b, { c = d } }", "y"]);
        assert_eq!(split(""), [""; 0]);
        assert_eq!(split("a}b {c"), ["a}b", "{c"]);
    }

    #[test]
    fn tables_are_told_from_addresses() {
        assert_eq!(table("hash:/etc/postfix/x"), Some(("hash", "/etc/postfix/x")));
        assert_eq!(table("proxy:mysql:/x.cf"), Some(("mysql", "/x.cf")));
        for address in
            ["::1", "2001:db8::/32", "[::1]/128", "[::ffff:127.0.0.0]/104", "example.org"]
        {
            assert_eq!(table(address), None, "{address}");
        }
    }

    #[test]
    fn keys_of_sources() {
        let text = "# comment\nexample.org OK\n  continued\n\nexample.net\tx\n";
        assert_eq!(source_keys(text), ["example.org", "example.net"]);
        assert_eq!(inline_key("{ a = b }"), "a");
        assert_eq!(inline_key("a=b"), "a");
    }
}
