//! The manual as its readers have it: what `connguard man` writes, through `mandoc` and
//! `man` (Debian's packages mandoc and man-db).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

const PAGES: [&str; 3] = ["connguard.1", "connguard.toml.5", "connguard-milter.8"];

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn connguard(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_connguard"));
    command.args(args).env_remove("SOURCE_DATE_EPOCH");
    command
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

struct Pages(TempDir);

impl Pages {
    fn write() -> Self {
        let pages = Self(tempfile::tempdir().unwrap());
        let folder = pages.0.path().join("new/man");
        let told = stdout(&run(connguard(&["man"]).arg(&folder)));
        let paths: Vec<PathBuf> = PAGES.iter().map(|name| folder.join(name)).collect();
        assert!(told.lines().map(Path::new).eq(paths.iter().map(PathBuf::as_path)), "{told}");
        pages
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("new/man").join(name)
    }

    /// What a reader sees, all blanks as one.
    fn read(&self, name: &str) -> String {
        let text = stdout(&run(Command::new("mandoc").arg("-Tutf8").arg(self.path(name))));
        let mut plain = String::new();
        // Bold is a letter typed twice.
        for c in text.chars() {
            if c == '\u{8}' {
                plain.pop();
            } else {
                plain.push(c);
            }
        }
        plain.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn mandoc_and_man_find_no_fault() {
    let pages = Pages::write();
    for name in PAGES {
        let lint = run(Command::new("mandoc").args(["-Tlint", "-Wwarning"]).arg(pages.path(name)));
        assert!(lint.status.success() && lint.stdout.is_empty(), "{name}: {lint:?}");
        let mut man = Command::new("man");
        man.args(["--warnings", "-E", "UTF-8", "-l"]).arg(pages.path(name));
        let man = run(man.env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8").env("MANPAGER", "cat"));
        assert!(man.status.success() && man.stderr.is_empty(), "{name}: {man:?}");
        assert!(man.stdout.len() > 2000, "{name}");
    }
}

#[test]
fn a_fault_of_a_page_would_be_found() {
    let pages = Pages::write();
    let path = pages.path("connguard.1");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen(".SH", ".NOSUCH", 2)).unwrap();
    let lint = run(Command::new("mandoc").args(["-Tlint", "-Wwarning"]).arg(&path));
    assert!(!lint.status.success(), "{lint:?}");
}

/// Options that a help text lists, and the commands it has.
fn listed(help: &str) -> (Vec<String>, Vec<String>) {
    let mut options = Vec::new();
    let mut commands = Vec::new();
    let mut in_commands = false;
    for line in help.lines() {
        if !line.starts_with(' ') {
            in_commands = line == "Commands:";
        }
        let word = line.split_whitespace().next().unwrap_or_default();
        if in_commands && line.starts_with("  ") && !line.starts_with("   ") {
            commands.push(word.to_owned());
        }
        let names = line.split([' ', ',']).filter(|word| word.starts_with("--"));
        if line.trim_start().starts_with('-') {
            options.extend(names.map(str::to_owned));
        }
    }
    (options, commands)
}

/// The source of a page from the part about a command on.
fn part_of<'a>(source: &'a str, command: &str) -> &'a str {
    let parts = source.match_indices("\n.SS \"").map(|(at, _)| &source[at + 6..]);
    let is_it = |part: &&str| part.split([' ', '"']).next() == Some(command);
    parts.into_iter().find(|part| is_it(part)).unwrap_or_else(|| panic!("no {command}"))
}

#[test]
fn the_first_page_has_every_command_with_every_option_that_help_has() {
    let pages = Pages::write();
    let page = pages.read("connguard.1");
    let (common, commands) = listed(&stdout(&run(&mut connguard(&["--help"]))));
    assert!(commands.len() > 18 && common.contains(&"--socket".to_owned()), "{commands:?}");
    for option in &common {
        assert!(page.contains(option.as_str()), "{option}");
    }
    let mut seen = 0;
    let source = fs::read_to_string(pages.path("connguard.1")).unwrap();
    let mut rest = source.as_str();
    for command in &commands {
        // In the order of the help, each with its own part.
        rest = part_of(rest, command);
        let own = rest.split_once("\n.SS ").map_or(rest, |(own, _)| own);
        let help = stdout(&run(&mut connguard(&[command, "--help"])));
        for option in listed(&help).0.iter().filter(|option| !common.contains(option)) {
            let option = option.replace('-', "\\-");
            assert!(own.contains(&format!("\\fB{option}\\fR")), "{command} {option}");
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
    for part in [
        "sender:ADDRESS,via=CONNECTOR",
        "client:2001:db8::/64",
        "--action ACTION",
        "One of tempfail, reject, hold.",
        "connguard unblock C-000017 --reason 'password changed'",
        "-c, --postfix DIR",
        "3 The daemon can't be reached.",
        "NO_COLOR",
        "RUST_LOG",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains('\u{2010}') && !page.contains('\u{2019}'), "typographic signs");
}

#[test]
fn the_fifth_page_has_defaults_and_examples_as_they_are_typed() {
    let pages = Pages::write();
    let page = pages.read("connguard.toml.5");
    for part in [
        "Default: [\"unix:/var/spool/postfix/connguard/milter.sock\"].",
        "Default: [\"X-Spam-Flag: YES\", \"X-Spam: Yes\", \"X-Spam-Status: Yes\", \
         \"X-Rspamd-Action: (reject|add header|rewrite subject)\"].",
        "reject_after = a duration of at least 3d, or never",
        "Example: registered_domains = [\"example.org\", \".example.net\"].",
        "Example: reply = \"Relaying is suspended, case {case}: contact postmaster@example.org\".",
        "A change needs a restart of the daemon.",
        "(\"xn--\" or not)",
        "[[connector]]",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn the_eighth_page_has_the_line_that_enable_writes() {
    let pages = Pages::write();
    let page = pages.read("connguard-milter.8");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let snippet = fs::read_to_string(root.join("contrib/postfix/main.cf.snippet")).unwrap();
    let line = snippet.lines().find(|line| line.trim_start().starts_with("{ unix:")).unwrap();
    assert!(page.contains(line.trim()), "{line}");
    for part in ["SIGHUP", "451 4.7.1", "550 5.7.1", "-o smtpd_milters=", "$smtpd_milters"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn pages_are_the_same_every_time_and_have_the_date_that_is_asked_for() {
    let (one, two) = (Pages::write(), Pages::write());
    for name in PAGES {
        let read = |pages: &Pages| fs::read(pages.path(name)).unwrap();
        assert_eq!(read(&one), read(&two), "{name}");
    }
    let dated = tempfile::tempdir().unwrap();
    let mut command = connguard(&["man"]);
    command.arg(dated.path()).env("SOURCE_DATE_EPOCH", "86399").env("TZ", "Asia/Tokyo");
    stdout(&run(&mut command));
    for name in PAGES {
        let text = fs::read_to_string(dated.path().join(name)).unwrap();
        assert!(text.lines().next().unwrap().contains(" 1970-01-01 "), "{text}");
    }
    let answer = run(connguard(&["man"]).arg(dated.path()).env("SOURCE_DATE_EPOCH", "today"));
    assert_eq!(answer.status.code(), Some(2), "{answer:?}");
}

#[test]
fn a_folder_that_can_not_be_made_is_told() {
    let answer = run(&mut connguard(&["man", "/proc/connguard"]));
    assert_eq!(answer.status.code(), Some(1), "{answer:?}");
    assert!(String::from_utf8_lossy(&answer.stderr).contains("can't write /proc/connguard"));
}
