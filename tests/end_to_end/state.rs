//! The state directory: one daemon at a time, and what happens when its
//! journal is damaged.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use super::harness::config::{Config, Files};
use super::harness::daemon::run_to_end;
use super::harness::site::{OURS, REMOTE, Site};

const CLIENTS: [&str; 3] = ["127.0.0.11", "127.0.0.12", "127.0.0.13"];

/// A site whose three clients are restricted, one record after another.
fn three_blocks() -> Site {
    let site = Site::start();
    for client in CLIENTS {
        site.send(client, OURS, REMOTE).assert_accepted();
        site.block(&format!("client:{client}"));
    }
    site
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

/// Everything in the state directory, whatever it is called.
fn files_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// | second daemon on one state directory | - | - | it refuses to start, and says who runs |
#[test]
fn a_second_daemon_on_the_same_state_gives_up() {
    let site = Site::start();
    let files = Files::create(&site.dir().join("second"));
    let config = Config { state_directory: Some(site.daemon.files().state()), ..Config::default() };
    let answer = run_to_end(&files, &config);
    assert_ne!(answer.code, 0, "{answer:#?}");
    let state = site.daemon.files().state();
    assert!(answer.stderr.contains(state.to_str().unwrap()), "{answer:#?}");
    // It left the first one's things alone.
    site.take_over("127.0.0.8").outcome.assert_tempfail();
}

/// | last line of the journal torn | - | only a change that was never acknowledged is gone |
/// warning in the log |
#[test]
fn a_torn_last_line_is_dropped_and_nothing_else() {
    let mut site = three_blocks();
    site.daemon.kill9();
    let journal = site.daemon.files().newest_journal();
    let text = std::fs::read(&journal).unwrap();
    // The first half of one more line, as a crash in a write leaves it.
    let last = text.strip_suffix(b"\n").expect("a whole last line");
    let start = last.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let half = &last[start..start + (last.len() - start) / 2];
    append(&journal, half);

    site.daemon.start_again();
    for client in CLIENTS {
        site.send(client, OURS, REMOTE).assert_tempfail();
    }
    let log = site.daemon.log();
    let warned = |line: &str| line.contains("WARN") && line.contains("journal-");
    assert!(log.lines().any(warned), "{log}");
    // A torn tail is what a crash leaves: no damage.
    assert_eq!(site.daemon.json(&["status"])["journal"]["healthy"], true);
}

/// | journal damaged | - | everything that is readable is kept, the file is set aside |
/// `status` names the file until you remove it |
#[test]
fn a_damaged_line_costs_only_itself_and_is_reported() {
    let mut site = three_blocks();
    site.daemon.kill9();
    let before = files_in(&site.daemon.files().state());
    let journal = site.daemon.files().newest_journal();
    let mut text = std::fs::read(&journal).unwrap();
    let hit = text
        .windows(CLIENTS[1].len())
        .position(|it| it == CLIENTS[1].as_bytes())
        .expect("a person can read whom a line is about");
    text[hit] ^= 0x01;
    std::fs::write(&journal, &text).unwrap();

    site.daemon.start_again();
    for client in [CLIENTS[0], CLIENTS[2]] {
        site.send(client, OURS, REMOTE).assert_tempfail();
    }
    let status = site.daemon.json(&["status"]);
    assert_eq!(status["journal"]["healthy"], false, "{status}");
    let shown = site.daemon.cli(&["status"]).done().stdout;
    assert!(shown.contains("damaged-000001"), "{shown}");
    // Set aside, not thrown away: its bytes are there under another name.
    let state = site.daemon.files().state();
    let kept = files_in(&state)
        .into_iter()
        .filter(|name| !before.contains(name))
        .any(|name| std::fs::read(state.join(name)).is_ok_and(|it| it == text));
    assert!(kept, "{:?}", files_in(&state));

    // What was saved is whole again.
    site.daemon.kill9();
    site.daemon.start_again();
    for client in [CLIENTS[0], CLIENTS[2]] {
        site.send(client, OURS, REMOTE).assert_tempfail();
    }
}

#[test]
fn status_without_a_daemon_says_what_to_do() {
    let mut site = Site::start();
    site.daemon.kill9();
    let answer = site.daemon.cli(&["list"]);
    assert_eq!(answer.code, 3);
    assert_eq!(answer.stderr.trim_end().lines().count(), 1, "{answer:#?}");
    assert!(answer.stderr.contains("control.sock"), "{answer:#?}");
}
