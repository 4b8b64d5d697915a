//! The house: every module of `src/` stands on a floor and imports only from
//! floors below, or from its own floor. Edges (floor 4), each the only place
//! that knows its protocol or file, don't import one another either. This
//! table is the truth; a module that is on no floor is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The floors from the ground up, with what is there or comes next.
const FLOORS: [&[&str]; 7] = [
    // Vocabulary: no I/O, no state.
    &[
        "arrivals",
        "atomics",
        "command",
        "connector",
        "domain",
        "header",
        "histogram",
        "maillog",
        "message",
        "record",
        "refusal",
        "sender",
        "short",
        "stripes",
        "text",
        "timestamp",
        "verdict",
    ],
    // State: pure.
    &[
        "baseline",
        "case",
        "day",
        "directory",
        "fingerprint",
        "halves",
        "handover",
        "intake",
        "judge",
        "known",
        "model",
        "organization",
        "own_domains",
        "passes",
        "pending",
        "provider",
        "queued",
        "restriction",
        "roster",
        "score",
        "senders",
        "signal",
        "tally",
        "throttle",
        "trail",
        "window",
    ],
    // The calls that every message takes, and how what is known is shown.
    &["engine", "view"],
    // What edges share: sockets that nobody else gets at, files that survive a crash,
    // faults that tests ask for.
    &["fault", "quiet", "socket", "storage"],
    // Edges.
    &[
        "alert", "cases", "clock", "control", "feedback", "history", "journal", "manager",
        "metrics", "milter", "panics", "policy", "replay",
    ],
    // What is configured, and what operators ask for.
    &["config", "operator", "suggest"],
    // The process. (`lib` is the list of modules.)
    &["cli", "daemon", "lib", "main"],
];

/// The floor whose rooms don't import one another.
const EDGES: usize = 4;
/// The highest floor that does no I/O.
const PURE: usize = 2;

/// Whether a room on a floor may.
type May = fn(&str, usize) -> bool;

/// What only some rooms may name, with who may and why.
const OUTSIDE: [(&str, May, &str); 5] = [
    ("indymilter", |room, _| room == "milter", "the milter protocol is known in milter/ only"),
    ("tokio", |_, floor| floor > PURE, "floors 0 to 2 never wait"),
    ("std::fs", |_, floor| floor > PURE, "floors 0 to 2 do no I/O"),
    ("std::process", |_, floor| floor > PURE, "floors 0 to 2 do no I/O"),
    ("std::io", |_, floor| floor > PURE, "floors 0 to 2 do no I/O"),
];

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn arrows_point_downward() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    let mut files = 0;
    for (path, text) in sources(&root.join("src")) {
        files += 1;
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        faults.extend(check(name, &text));
    }
    assert!(files > 20, "only {files} files found");
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn no_room_is_on_two_floors() {
    let mut seen = BTreeMap::new();
    for (floor, rooms) in FLOORS.iter().enumerate() {
        for room in *rooms {
            assert_eq!(seen.insert(room, floor), None, "{room} stands on two floors");
        }
    }
}

#[test]
fn a_planted_violation_is_found() {
    for (file, text, expected) in [
        (
            "src/tally.rs",
            "use std::sync::Arc;\nuse crate::engine::Engine;\n",
            "src/tally.rs:2: tally (floor 1) points up to engine (floor 2)",
        ),
        (
            "src/signal/unregistered.rs",
            "use super::Shape;\nfn f() -> super::super::journal::Segment { todo!() }",
            "src/signal/unregistered.rs:2: signal (floor 1) points up to journal (floor 4)",
        ),
        (
            "src/milter/session.rs",
            "use crate::{\n    engine::{Engine, Session},\n    verdict::{Action},\n    control,\n};",
            "src/milter/session.rs:4: milter and control are edges (floor 4)",
        ),
        (
            "src/socket.rs",
            "use crate::control::Control;",
            "src/socket.rs:1: socket (floor 3) points up to control (floor 4)",
        ),
        (
            "src/journal.rs",
            "mod tests { use super::super::config::Config; }",
            "src/journal.rs:1: journal (floor 4) points up to config (floor 5)",
        ),
        (
            "src/record.rs",
            "/* a 'quote' */ const X: &str = r#\"\n\"#;\nfn f<'a>(x: &'a str) { let q = '\"'; crate::judge::judge(x) }",
            "src/record.rs:3: record (floor 0) points up to judge (floor 1)",
        ),
        ("src/attic.rs", "", "src/attic.rs:1: attic is on no floor"),
        ("src/view.rs", "use crate::cellar::Wine;", "src/view.rs:1: cellar is on no floor"),
        (
            "src/control.rs",
            "use indymilter::Context;",
            "src/control.rs:1: control names indymilter",
        ),
        ("src/engine.rs", "use std::{fmt, fs::File};", "src/engine.rs:1: engine names std::fs"),
    ] {
        let faults = check(file, text);
        assert_eq!(faults.len(), 1, "{file}: {faults:?}");
        assert!(faults[0].starts_with(expected), "{}", faults[0]);
    }
}

#[test]
fn what_is_allowed_is_no_fault() {
    for (file, text) in [
        (
            "src/engine/operate.rs",
            "use super::Settings; use crate::{record::Actor, verdict::{self, Mode}};",
        ),
        (
            "src/tally.rs",
            "//! crate::engine\n// use crate::engine;\nconst A: &str = \"crate::engine\";",
        ),
        (
            "src/milter/params.rs",
            "use super::session; use crate::milter::session::A; mod tests { use super::*; }",
        ),
        ("src/lib.rs", "pub mod engine;\npub mod milter;"),
        ("src/main.rs", "fn main() { connguard::cli::run() }"),
        (
            "src/config/read.rs",
            "use crate::{milter::Params, journal, control::Params as C}; use std::fs;",
        ),
    ] {
        assert_eq!(check(file, text), Vec::<String>::new(), "{file}");
    }
}

/// The faults of one file, which is named from the root of the package.
fn check(file: &str, text: &str) -> Vec<String> {
    let module = module_of(file);
    let room = module.first().cloned().unwrap_or_else(|| {
        let stem = Path::new(file).file_stem().unwrap();
        stem.to_str().unwrap().to_owned()
    });
    let Some(floor) = floor_of(&room) else {
        return vec![format!(
            "{file}:1: {room} is on no floor: give it one in the table of tests/layering.rs"
        )];
    };
    let mut faults = Vec::new();
    for Import { line, path } in imports(&module, text) {
        let whole = path.join("::");
        for (name, may, why) in OUTSIDE {
            let named = whole == name || whole.starts_with(&format!("{name}::"));
            if named && !may(&room, floor) {
                faults.push(format!("{file}:{line}: {room} names {name}: {why}"));
            }
        }
        let [root, target, ..] = &path[..] else {
            continue;
        };
        if root != "crate" || *target == room || target == "*" {
            continue;
        }
        match floor_of(target) {
            None => faults.push(format!(
                "{file}:{line}: {target} is on no floor, but {room} imports it as {whole}"
            )),
            Some(above) if above > floor => faults.push(format!(
                "{file}:{line}: {room} (floor {floor}) points up to {target} (floor {above}): {whole}"
            )),
            Some(EDGES) if floor == EDGES => faults.push(format!(
                "{file}:{line}: {room} and {target} are edges (floor {EDGES}), which don't import one another: {whole}"
            )),
            Some(_) => {}
        }
    }
    faults
}

/// `src/engine/settings.rs` is `engine::settings`, `src/lib.rs` the root.
fn module_of(file: &str) -> Vec<String> {
    let inside = file.strip_prefix("src/").unwrap().strip_suffix(".rs").unwrap();
    let mut parts: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") || parts == ["lib"] || parts == ["main"] {
        parts.pop();
    }
    parts
}

/// A path that is named somewhere, from the root of its crate (`crate` for
/// this one).
struct Import {
    line: usize,
    path: Vec<String>,
}

/// Every path in `text` that begins with `crate`, this crate's name, `super`,
/// `self`, or a crate of [`OUTSIDE`], in `use` or elsewhere.
fn imports(module: &[String], text: &str) -> Vec<Import> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    // Inline modules, with the depth of braces at which they end.
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        let word = |offset: usize| tokens.get(at + offset).map_or("", |token| token.1.as_str());
        let after_path = at > 0 && tokens[at - 1].1 == "::";
        match word(0) {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.retain(|(_, ends)| *ends <= depth);
            }
            "mod" if word(2) == "{" => {
                inline.push((word(1).to_owned(), depth + 1));
                depth += 1;
                at += 2;
            }
            "crate" | "connguard" | "super" | "self" | "indymilter" | "tokio" | "std"
                if !after_path && (word(1) == "::" || word(0) == "indymilter") =>
            {
                let mut here = vec!["crate".to_owned()];
                here.extend(module.iter().cloned());
                here.extend(inline.iter().map(|(name, _)| name.clone()));
                at = tree(&tokens, at, &here, &mut found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads a path or a tree of paths that begins at `at`, in or relative to
/// `here`; gives where it ends.
fn tree(tokens: &[(usize, String)], at: usize, here: &[String], found: &mut Vec<Import>) -> usize {
    let mut path: Vec<String> = Vec::new();
    let mut at = at;
    let line = tokens[at].0;
    while let Some((line, word)) = tokens.get(at) {
        match word.as_str() {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.1 != "}") {
                    match tokens[at].1.as_str() {
                        "as" => at += 2,
                        "," => at += 1,
                        _ => {}
                    }
                    if [",", "as", "}"].contains(&tokens.get(at).map_or("}", |token| &token.1)) {
                        continue;
                    }
                    let end = tree(tokens, at, &resolve(&path, here), found);
                    // What is none is stepped over.
                    at = end.max(at + 1);
                }
                return at + 1;
            }
            "super" | "self" | "crate" | "connguard" if path.is_empty() => {
                // The name stands for a place: `resolve` finds it.
                path.push(word.clone());
            }
            "super" if path.iter().all(|part| part == "super" || part == "self") => {
                path.push(word.clone());
            }
            word if is_name(word) || word == "*" => path.push(word.to_owned()),
            _ => break,
        }
        at += 1;
        if tokens.get(at).is_some_and(|token| token.1 == "::") {
            at += 1;
        } else {
            found.push(Import { line: *line, path: resolve(&path, here) });
            return at;
        }
    }
    if !path.is_empty() {
        found.push(Import { line, path: resolve(&path, here) });
    }
    at
}

/// A path as seen from the module `here`, from the root. Inside of a group
/// `here` is what stands before the group.
fn resolve(path: &[String], here: &[String]) -> Vec<String> {
    let Some(first) = path.first() else {
        return here.to_vec();
    };
    let mut base: Vec<String> = match first.as_str() {
        "crate" | "connguard" => vec!["crate".to_owned()],
        "std" | "tokio" | "indymilter" => Vec::new(),
        _ => here.to_vec(),
    };
    for (at, part) in path.iter().enumerate() {
        match part.as_str() {
            "super" => drop(base.pop()),
            "self" => {}
            "crate" | "connguard" if at == 0 => {}
            _ => base.push(part.clone()),
        }
    }
    base
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_') && !["as", "use"].contains(&word)
}

/// Names, `::` and single characters with their lines, without comments and
/// literals.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let (mut at, mut line) = (0, 1);
    let get = |at: usize| chars.get(at).copied().unwrap_or('\0');
    while at < chars.len() {
        let start = at;
        match get(at) {
            '/' if get(at + 1) == '/' => at = find(&chars, at, "\n"),
            '/' if get(at + 1) == '*' => at = find(&chars, at + 2, "*/") + 2,
            'r' if get(at + 1) == '"' || get(at + 1) == '#' && matches!(get(at + 2), '#' | '"') => {
                let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
                let end = format!("\"{}", "#".repeat(hashes));
                at = find(&chars, at + 2 + hashes, &end) + end.len();
            }
            '"' => {
                at += 1;
                while at < chars.len() && get(at) != '"' {
                    at += 1 + usize::from(get(at) == '\\');
                }
                at += 1;
            }
            '\'' if get(at + 1) == '\\' => at = find(&chars, at + 3, "'") + 1,
            '\'' if get(at + 2) == '\'' => at += 3,
            ':' if get(at + 1) == ':' => {
                out.push((line, "::".to_owned()));
                at += 2;
            }
            c if c.is_alphanumeric() || c == '_' => {
                while get(at).is_alphanumeric() || get(at) == '_' {
                    at += 1;
                }
                out.push((line, chars[start..at].iter().collect()));
            }
            c => {
                if !c.is_whitespace() {
                    out.push((line, c.to_string()));
                }
                at += 1;
            }
        }
        at = at.min(chars.len());
        line += chars[start..at].iter().filter(|c| **c == '\n').count();
    }
    out
}

/// Where `what` stands next, or the end.
fn find(chars: &[char], from: usize, what: &str) -> usize {
    let what: Vec<char> = what.chars().collect();
    (from..chars.len()).find(|at| chars[*at..].starts_with(&what)).unwrap_or(chars.len())
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found.sort();
    found
}
