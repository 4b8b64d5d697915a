//! `connguard replay` as a user runs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![allow(clippy::print_stdout, reason = "the figures are worth knowing")]

mod log_week;
mod screens;

use connguard::{
    daemon::HISTORY_SCHEMA,
    engine::{Filters, Waiting},
    history::Store,
    tally,
};
use flate2::{Compression, write::GzEncoder};
use lzma_rust2::{XzOptions, XzWriter};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A folder with the configuration of the week.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        site.file("connguard.toml", log_week::CONFIG.as_bytes());
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_connguard"));
        command
            .current_dir(self.0.path())
            .args(["--config", "connguard.toml", "replay"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The JSON of a replay that works.
    fn json(&self, arguments: &[&str]) -> Value {
        json(&self.run(&[arguments, &["--json"]].concat()))
    }

    /// The error of one that does not, and its exit code.
    fn error(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.run(arguments);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{arguments:?}");
        (String::from_utf8(output.stderr).unwrap(), output.status.code().unwrap())
    }
}

fn json(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert_eq!(error, "");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn week(lines: u64) -> Vec<u8> {
    let mut log = Vec::new();
    log_week::write(lines, &mut log).unwrap();
    log
}

fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn xz(content: &[u8]) -> Vec<u8> {
    let mut writer = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

/// A log in three parts of whole lines.
fn thirds(log: &[u8]) -> [&[u8]; 3] {
    let cut = |at: usize| at + log[at..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let (first, second) = (cut(log.len() / 3), cut(2 * log.len() / 3));
    [&log[..first], &log[first..second], &log[second..]]
}

fn entities(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["entity"].as_str().unwrap()).collect()
}

fn with_stdin(mut command: Command, input: Vec<u8>) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // Who stops reading has its reasons.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

#[test]
fn the_taken_over_login_is_restricted_and_nobody_else() {
    let site = Site::new();
    site.file("mail.log", &week(60_000));
    let report = site.json(&["mail.log"]);
    assert_eq!(entities(&report["restrictions"]), [log_week::TAKEN_OVER]);
    let case = &report["restrictions"][0];
    assert!(case["at"].as_str().unwrap().starts_with("2026-03-06T10:0"), "{case}");
    assert!(case["passed_recipients"].as_u64().unwrap() <= 100, "{case}");
    // Of 400 messages hardly any passes.
    let refused = case["refused_messages"].as_u64().unwrap();
    let slowed = report["throttled"]["messages"].as_u64().unwrap();
    assert!(refused > 300 && refused + slowed >= 380, "{case}");
    assert!(!case["findings"].as_array().unwrap().is_empty());
    assert!(report["connectors"].as_u64().unwrap() > 500);
    assert!(report["from"].as_str().unwrap().starts_with("2026-03-02T00:0"));
    assert_eq!(report["stopped"], false);
    assert!(report["nearest_misses"].as_array().unwrap().len() <= 10);
    let text = String::from_utf8(site.run(&["mail.log"]).stdout).unwrap();
    for word in ["would have been restricted", "login:u7@example.org", " connectors\n", "note: "] {
        assert!(text.contains(word), "{word}:\n{text}");
    }
    // Nothing is refused where only marks are made.
    let observed = site.json(&["--observe", "mail.log"]);
    assert_eq!(entities(&observed["restrictions"])[0], log_week::TAKEN_OVER);
    assert_eq!(observed["restrictions"][0]["mark"], true);
    assert_eq!(observed["restrictions"][0]["refused_messages"], 0);
    assert_eq!(observed["throttled"]["messages"], 0);
    assert_eq!(observed["messages"], report["messages"]);
}

#[test]
fn readme_shows_what_it_prints() {
    let site = Site::new();
    site.file("mail.log", &week(60_000));
    let output = site.command(&["mail.log"]).env("TZ", "UTC").output().unwrap();
    let mut screen = screens::Screen::default();
    screen.add("connguard replay mail.log", &String::from_utf8(output.stdout).unwrap());
    screen.check("replay");
}

#[test]
fn however_a_log_is_packed_it_gives_the_same() {
    let site = Site::new();
    let log = week(20_000);
    let [first, second, third] = thirds(&log);
    site.file("mail.log", &log);
    let whole = site.json(&["mail.log"]);
    site.file("mail.log.2.gz", &[gz(&first[..1000]), gz(&first[1000..])].concat());
    site.file("mail.log.1", &[xz(&second[..5000]), xz(&second[5000..])].concat());
    site.file("mail.log.0", third);
    assert_eq!(site.json(&["mail.log.0", "mail.log.2.gz", "mail.log.1"]), whole);
    let stdin = |input: Vec<u8>| json(&with_stdin(site.command(&["-", "--json"]), input));
    assert_eq!(stdin(log.clone()), whole);
    assert_eq!(stdin(gz(&log)), whole);
    let mut split = [Vec::new(), Vec::new()];
    for (n, line) in log.split_inclusive(|byte| *byte == b'\n').enumerate() {
        split[n % 2].extend_from_slice(line);
    }
    site.file("a.log", &split[0]);
    site.file("b.log", &split[1]);
    assert_eq!(site.json(&["b.log", "a.log"])["restrictions"], whole["restrictions"]);
}

#[test]
fn what_breaks_off_counts_as_far_as_it_goes() {
    let site = Site::new();
    let packed = gz(&week(5_000));
    site.file("mail.log.gz", &packed[..packed.len() / 2]);
    let report = site.json(&["mail.log.gz"]);
    assert!(report["lines"].as_u64().unwrap() > 500);
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.contains("mail.log.gz breaks off after line"), "{warning}");
}

#[test]
fn other_settings_are_laid_over_and_compared() {
    let site = Site::new();
    site.file("mail.log", &week(20_000));
    let trusted = "trust.logins=[\"u7@example.org\"]";
    let report = site.json(&["mail.log", "--set", trusted]);
    assert_eq!(entities(&report["restrictions"]), [""; 0]);
    let report =
        site.json(&["mail.log", "--compare", trusted, "--compare", "judgement.throttle=false"]);
    assert_eq!(entities(&report["restrictions"]), [log_week::TAKEN_OVER]);
    let other = &report["compared"][0];
    assert_eq!(entities(&other["restrictions"]), [""; 0]);
    assert_eq!(other["set"][1], "judgement.throttle=false");
    let text = site.run(&["mail.log", "--compare", trusted]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("restricted only as it is"), "{text}");
    for (arguments, word, code) in [
        (["--set", "judgement.throtle=false"], "did you mean throttle", 2),
        (["--set", "connector.erp.profile=bulk"], "no [[connector]]", 2),
        (["--compare", "judgement.throttle"], "KEY=VALUE", 2),
    ] {
        let (error, found) = site.error(&["mail.log", arguments[0], arguments[1]]);
        assert!(error.contains(word) && error.contains(arguments[1]), "{error}");
        assert_eq!(found, code, "{error}");
    }
}

#[test]
fn what_was_learned_is_there_for_the_daemon() {
    let site = Site::new();
    site.file("mail.log", &week(20_000));
    let report = site.json(&["mail.log", "--learn", "state"]);
    let notes = report["notes"].to_string();
    assert!(notes.contains(&format!("what {} connectors sent", report["connectors"])), "{notes}");
    let store = Store::open(&site.path("state"), HISTORY_SCHEMA);
    let loaded = store.load::<tally::Image, Filters, Waiting>();
    assert_eq!(Some(loaded.connectors.len() as u64), report["connectors"].as_u64());
    assert_eq!(loaded.losses, [""; 0]);
    assert!(loaded.filters.is_some());
    assert!(loaded.saved_at.unwrap().to_string().starts_with("2026-03-08T23:"));
    // The secret of the hashes is its own.
    assert_ne!(loaded.key, Some(*b"connguard replay"));
    let (error, code) = site.error(&["mail.log", "--learn", "state"]);
    assert!(error.contains("a history already"), "{error}");
    assert_eq!(code, 1);
}

#[test]
fn errors_say_what_to_do() {
    let site = Site::new();
    site.file("mail.log", b"Nov 22 06:25:01 mx dovecot: imap-login: Login\n");
    fs::create_dir(site.path("logs")).unwrap();
    site.file("bad.toml", b"moed = 1\n");
    for (arguments, words) in [
        (&["mail.log"][..], "none of 1 lines is of Postfix"),
        (&["gone.log"], "can't read gone.log"),
        (&["logs"], "logs is a folder"),
        (&["-", "-"], "only once"),
        (&["mail.log", "--config", "gone.toml"], "gone.toml"),
        (&["mail.log", "--config", "bad.toml"], "bad.toml:1:1"),
    ] {
        let (error, code) = site.error(arguments);
        assert!(error.contains(words), "{arguments:?}: {error}");
        assert_eq!(code, 1, "{error}");
    }
    assert_eq!(site.run(&[]).status.code(), Some(2));
}

#[test]
fn an_interrupt_prints_what_there_is() {
    let site = Site::new();
    let log = week(20_000);
    let mut child = site.command(&["-", "--json"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // More than a pipe and a buffer hold: it reads, and listens to signals.
    stdin.write_all(&log[..1 << 20]).unwrap();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    // It stops reading.
    while stdin.write_all(&log).is_ok() {}
    drop(stdin);
    let report = json(&child.wait_with_output().unwrap());
    assert_eq!(report["stopped"], true);
    assert!(report["messages"].as_u64().unwrap() > 0);
}

#[test]
fn an_interrupt_ends_the_wait_for_a_silent_pipe() {
    let site = Site::new();
    let mut child = site.command(&["-", "--json"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&week(20_000)).unwrap();
    // It is read but for what the pipe holds: signals are listened to. The pipe
    // stays open.
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let report = json(&child.wait_with_output().unwrap());
    assert_eq!(report["stopped"], true);
    drop(stdin);
}

/// The most memory that a process had so far, in KiB.
fn peak(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Replays a log; gives its peak of memory in KiB and how long it took.
#[allow(clippy::disallowed_methods, reason = "how long it takes is what is measured")]
fn measured(site: &Site, log: &Path) -> (u64, Duration, Value) {
    let begun = std::time::Instant::now();
    let mut child = site.command(&[log.to_str().unwrap(), "--json"]).spawn().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(peak(&child).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = begun.elapsed();
    (most, took, json(&child.wait_with_output().unwrap()))
}

#[test]
#[ignore = "a week of 2 million lines: cargo test --release --test replay -- --ignored week"]
fn week_of_two_million_lines() {
    let site = Site::new();
    let mut peaks = Vec::new();
    for lines in [500_000, 2_000_000] {
        let path = site.path("mail.log");
        let mut out = std::io::BufWriter::new(fs::File::create(&path).unwrap());
        log_week::write(lines, &mut out).unwrap();
        out.flush().unwrap();
        let (peak, took, report) = measured(&site, &path);
        let read = report["lines"].as_u64().unwrap();
        println!(
            "{read} lines in {took:.1?}: {} lines/s, {} MiB at the most",
            u128::from(read) * 1000 / took.as_millis(),
            peak / 1024
        );
        assert_eq!(entities(&report["restrictions"]), [log_week::TAKEN_OVER]);
        peaks.push(peak);
    }
    assert!(peaks[1] < 200 * 1024, "{peaks:?}");
    assert!(peaks[1] < peaks[0] * 6 / 5, "it grows with the log: {peaks:?}");
}
