//! Completion as somebody at a prompt has it: real shells on a terminal of their own, which
//! get a line, Tab and Enter, with a daemon that runs.
//!
//! zsh's `zpty` is the terminal for all three. In each shell `connguard` is a function
//! that prints the last word it got, so that what Enter runs is seen; scripts ask the program.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::harness::config::{Config, Files};
use super::harness::daemon::Daemon;
use super::harness::{enterable_tempdir, run, run_ok};

/// Types a line into a shell, and prints all that was on its terminal.
const TYPIST: &str = r#"
zmodload zsh/zpty
zpty shell "$1"
zpty -w shell "$2"
zpty -r shell out '*READY*'
zpty -w -n shell "$3"
zpty -r shell out '*GOT<*>GOT*'
print -r -- "$out"
zpty -d shell
"#;

/// A login that somebody made up. A shell that takes it for more than text writes `pwned`.
const HOSTILE: &str = "login:h;>pwned;$(>pwned)`>pwned`\"x'y&>pwned|*";

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

struct Prompt {
    dir: TempDir,
    daemon: Daemon,
}

impl Prompt {
    fn new() -> Self {
        let dir = enterable_tempdir();
        let mut config = Config::default();
        config.connector("erp", "clients = [\"192.0.2.10\"]");
        let daemon = Daemon::start(Files::create(dir.path()), config);
        for entity in ["connector:erp", HOSTILE] {
            daemon.cli(&["block", entity, "--reason", "it $(>pwned)\tsends"]).done();
        }
        for entity in ["login:alice@example.org", "client:2001:db8::/64"] {
            daemon.cli(&["trust", entity, "--for", "1h", "--reason", "a mailing"]).done();
        }
        for shell in SHELLS {
            let script = daemon.cli(&["completions", shell]).done().stdout;
            std::fs::write(dir.path().join(shell), script).unwrap();
        }
        Self { dir, daemon }
    }

    /// The program's own options, to find the daemon.
    fn config(&self) -> String {
        format!("--config {}", self.daemon.files().config().display())
    }

    /// A command in the tempdir, with the program under test first in PATH.
    fn command(&self, program: &str) -> Command {
        let bin = Path::new(env!("CARGO_BIN_EXE_connguard")).parent().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command.env("PATH", format!("{}:{path}", bin.display())).env("TERM", "dumb");
        command.env("HOME", self.dir.path()).current_dir(self.dir.path());
        command
    }

    /// The last word of what Enter runs, after this line and Tab.
    #[track_caller]
    fn typed(&self, shell: &str, line: &str) -> String {
        let got = r#"connguard() { printf "GOT<%s>GOT\n" "${@: -1}"; }; echo REA''DY"#;
        let (program, setup) = match shell {
            "bash" => ("bash --norc --noprofile -i", format!("source ./bash; {got}")),
            "zsh" => {
                ("zsh -f -i", format!("autoload -U compinit; compinit -D -u; source ./zsh; {got}"))
            }
            _ => (
                "fish --no-config -i",
                "source ./fish; function connguard; printf \"GOT<%s>GOT\\n\" $argv[-1]; end; \
                 echo REA''DY"
                    .to_owned(),
            ),
        };
        let mut command = self.command("timeout");
        command.args(["20", "zsh", "-f", "-c", TYPIST, "typist", program, &setup]);
        let output = run(command.arg(format!("{line}\t\r")));
        let screen = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = screen.rsplit_once(">GOT").and_then(|(before, _)| before.rsplit_once("GOT<"));
        last.unwrap_or_else(|| panic!("{shell} ran nothing after {line:?}: {output:?}"))
            .1
            .to_owned()
    }

    /// What `complete` prints for these words.
    fn offered(&self, shell: &str, words: &[&str]) -> Vec<String> {
        let answer = self.daemon.cli(&[&["complete", shell, "--", "connguard"], words].concat());
        assert_eq!(answer.stderr, "", "{words:?}");
        answer.done().stdout.lines().map(str::to_owned).collect()
    }

    fn nothing_ran(&self) -> bool {
        !self.dir.path().join("pwned").exists()
    }
}

#[test]
fn tab_completes_entities_cases_and_words() {
    let prompt = Prompt::new();
    let config = prompt.config();
    let socket = prompt.daemon.files().control_socket();
    let socket = socket.display();
    for shell in SHELLS {
        for (typed, expected) in [
            (format!("{config} show connector:e"), "connector:erp"),
            (format!("{config} show conn"), "connector:erp"),
            (format!("{config} show 'connector:e"), "connector:erp"),
            (format!("{config} untrust client:2001:"), "client:2001:db8::/64"),
            (format!("--socket={socket} explain login:alice@"), "login:alice@example.org"),
            (format!("--socket {socket} untrust login:alice@ex"), "login:alice@example.org"),
            (format!("{config} unblock --force --reason x C-000001"), "C-000001"),
            ("block x --action=re".to_owned(), "--action=reject"),
            ("block x --action re".to_owned(), "reject"),
            ("blo".to_owned(), "block"),
            ("list --al".to_owned(), "--all"),
            ("--config ./connguard.t".to_owned(), "./connguard.toml"),
            ("--config=./connguard.t".to_owned(), "--config=./connguard.toml"),
            ("man ./stat".to_owned(), "./state/"),
        ] {
            let line = format!("connguard {typed}");
            // Some put a quote or blank behind, which Enter needs.
            let mut got = prompt.typed(shell, &line);
            if expected.ends_with('/') && !got.ends_with('/') {
                // zsh takes it back where a blank follows.
                got.push('/');
            }
            assert_eq!(got, expected, "{shell}: {line}");
        }
    }
}

#[test]
fn what_outsiders_chose_is_text_and_nothing_runs() {
    let prompt = Prompt::new();
    let config = prompt.config();
    for shell in SHELLS {
        let got = prompt.typed(shell, &format!("connguard {config} show login:h"));
        // Shown as the daemon spells it, and as one word.
        assert_eq!(got, HOSTILE.to_lowercase(), "{shell}");
        // What somebody typed before the cursor is not run by completing either.
        let line = format!("connguard {config} block '$(>pwned)' --reason '`>pwned`' --action re");
        assert_eq!(prompt.typed(shell, &line), "reject", "{shell}");
        assert!(prompt.nothing_ran(), "{shell}");
    }
    // In quotes that can't hold it bash offers nothing.
    let config = prompt.daemon.files().config();
    let config = config.to_str().unwrap();
    for quoted in ["'login:h", "\"login:h"] {
        let words = ["--config", config, "show", quoted];
        assert_eq!(prompt.offered("bash", &words), Vec::<String>::new());
    }
}

#[test]
fn commands_offer_what_they_are_about() {
    let prompt = Prompt::new();
    let files = prompt.daemon.files();
    let (config, socket) = (files.config(), files.control_socket());
    let (config, socket) = (config.to_str().unwrap(), socket.to_str().unwrap());
    let names = |words: &[&str]| -> Vec<String> {
        let words = [&["--config", config], words].concat();
        let lines = prompt.offered("fish", &words).into_iter();
        lines.map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    };
    let hostile = HOSTILE.to_lowercase();
    assert_eq!(names(&["untrust", ""]), ["client:2001:db8::/64", "login:alice@example.org"]);
    assert_eq!(names(&["unblock", ""]), ["C-000001", "C-000002", "connector:erp", &hostile]);
    assert_eq!(names(&["unblock", "l"]), [hostile.as_str()]);
    for command in ["show", "hold", "release"] {
        assert_eq!(names(&[command, ""]).len(), 6, "{command}");
    }
    for command in ["explain", "block", "trust", "normal", "history"] {
        assert_eq!(names(&[command, ""]).len(), 4, "{command}");
    }
    assert_eq!(names(&["trust", "x", "--for", ""]), Vec::<String>::new());
    // Wherever the socket was said, and by fish itself.
    let mut fish = prompt.command("fish");
    let ask = format!("source ./fish; complete -C 'connguard show --socket={socket} con'");
    let told = run_ok(fish.args(["--no-config", "-c", &ask]));
    assert_eq!(told.trim_end(), "connector:erp\trestricted: it $(>pwned)\\tsends");
    assert!(prompt.nothing_ran());
}

#[test]
fn who_can_not_be_asked_costs_no_word() {
    let mut prompt = Prompt::new();
    prompt.daemon.terminate();
    let silent: PathBuf = prompt.dir.path().join("silent.sock");
    // It takes connections and never answers.
    let _listener = std::os::unix::net::UnixListener::bind(&silent).unwrap();
    for socket in ["/nonexistent/control.sock", silent.to_str().unwrap()] {
        let words = ["--socket", socket, "show", ""];
        assert_eq!(prompt.offered("bash", &words), Vec::<String>::new(), "{socket}");
    }
    // What needs nobody is there.
    assert_eq!(prompt.offered("bash", &["unblock", "--fo"]), ["--force"]);
}
