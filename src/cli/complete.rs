//! `completions` and the hidden `complete`: what a shell offers when somebody presses Tab.
//!
//! `completions SHELL` prints a short script. It hands the words of the command line to
//! `connguard complete SHELL -- WORDS`, which finds in the definitions of the command line
//! what may stand at the cursor, and prints one candidate a line. So all shells offer the
//! same, and nothing of it drifts. (`unstable-dynamic` of clap_complete does the same, but
//! is what it says.)
//!
//! Entities and cases come from the running daemon, within [`PATIENCE`]; where it can't be
//! asked there are none, and nothing is said of it. Outsiders choose parts of their names:
//! scripts evaluate nothing, and for bash, which inserts a candidate as it is, what a shell
//! would take for more than text is escaped here. zsh and fish do that by themselves.

mod line;

use super::{Error, SOCKET};
use crate::{
    clock::Clock,
    command::Command as Request,
    config, control,
    text::clean,
    view::{ListView, State, TopView},
};
use clap::{Args, CommandFactory, ValueEnum};
use line::{Line, Wanted};
use std::{
    collections::BTreeMap,
    io::{self, Write, stdout},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

/// How long the daemon may take altogether. Somebody waits at a prompt.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most candidates that are printed.
const MOST: usize = 1000;
/// Columns of an explanation.
const EXPLANATION: usize = 60;

/// The shells for which there is a script.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Shell {
    /// GNU bash, 4.4 or newer.
    Bash,
    /// Z shell.
    Zsh,
    /// fish, 3.0 or newer.
    Fish,
}

/// What `complete` is told.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Which shell asks.
    shell: Shell,
    /// The words of the command line up to the cursor, that of the cursor last.
    #[arg(value_name = "WORD", last = true)]
    words: Vec<String>,
}

/// Prints the script of a shell.
pub(super) fn script(shell: Shell) -> Result<(), Error> {
    let text = match shell {
        Shell::Bash => include_str!("complete/connguard.bash"),
        Shell::Zsh => include_str!("complete/connguard.zsh"),
        Shell::Fish => include_str!("complete/connguard.fish"),
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

/// Something that may stand at the cursor.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Candidate {
    text: String,
    /// What it is, if that is worth saying.
    explanation: String,
}

/// Prints what may stand at the cursor. A first line `:files` or `:directories` asks the
/// shell for these.
pub(super) fn complete(options: &Options) -> Result<(), Error> {
    let mut command = super::Cli::command();
    command.build();
    let line = Line::read(&command, &options.words, options.shell);
    let mut out = stdout().lock();
    let candidates = match &line.wanted {
        Wanted::Nothing => return Ok(()),
        Wanted::Files => return Ok(writeln!(out, ":files")?),
        Wanted::Directories => return Ok(writeln!(out, ":directories")?),
        Wanted::Words(words) => words.clone(),
        Wanted::Entities { command, cases } => {
            known(&socket(&line), Which::of(command), *cases, &line.prefix)
        }
    };
    let matching = candidates.into_iter().filter(|one| one.text.starts_with(&line.prefix));
    for candidate in matching.take(MOST) {
        let text = format!("{}{}", line.before, candidate.text);
        // Whatever it is: a line of its own, and no colours.
        if clean(&text) != text || text.contains(['\n', '\t']) {
            continue;
        }
        match options.shell {
            Shell::Bash => {
                if let Some(word) = line.for_bash(&text) {
                    writeln!(out, "{word}")?;
                }
            }
            _ if candidate.explanation.is_empty() => writeln!(out, "{text}")?,
            _ => {
                let explanation = clean(&candidate.explanation).replace(['\n', '\t'], " ");
                let explanation = crate::text::cut(&explanation, EXPLANATION).into_owned();
                writeln!(out, "{text}\t{explanation}")?;
            }
        }
    }
    Ok(())
}

/// The control socket, as far as the line says which.
fn socket(line: &Line) -> PathBuf {
    let config = line.config.as_deref().unwrap_or_else(|| Path::new(super::CONFIG));
    let configured = || config::control_socket(config);
    line.socket.clone().or_else(configured).unwrap_or_else(|| SOCKET.into())
}

/// Which of the known entities a command is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Which {
    All,
    /// What `unblock` lifts.
    Restricted,
    /// What `untrust` ends.
    Trusted,
}

impl Which {
    fn of(command: &str) -> Self {
        match command {
            "unblock" => Self::Restricted,
            "untrust" => Self::Trusted,
            _ => Self::All,
        }
    }

    fn has(self, state: State) -> bool {
        match self {
            Self::All => true,
            Self::Restricted => matches!(state, State::Restricted | State::Marked | State::Idle),
            Self::Trusted => state == State::Trusted,
        }
    }
}

/// Entities that the daemon knows, and their cases, as far as it tells them in time.
fn known(socket: &Path, which: Which, cases: bool, prefix: &str) -> Vec<Candidate> {
    let (sender, found) = mpsc::sync_channel(64);
    let (socket, prefix) = (socket.to_owned(), prefix.to_owned());
    // Its connection may hang wherever the daemon does; the process ends all the same.
    thread::spawn(move || {
        let give = |candidate: Candidate| {
            let is_wanted = candidate.text.starts_with(&prefix);
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            if is_wanted { sender.send(candidate).map_err(gone) } else { Ok(()) }
        };
        let listed = control::ask(&socket, Request::List { all: true }, |item| {
            let Ok(view) = serde_json::from_value::<ListView>(item) else {
                return Ok(());
            };
            if !which.has(view.state) {
                return Ok(());
            }
            let state = super::list::state(view.state);
            if let (true, Some(case)) = (cases, view.case) {
                let explanation = format!("{}, {state}", view.entity);
                give(Candidate { text: case.to_string(), explanation })?;
            }
            let explanation = format!("{state}: {}", view.reason);
            give(Candidate { text: view.entity.to_string(), explanation })
        });
        if listed.is_ok() && which == Which::All {
            let _ = control::ask(&socket, Request::Top, |item| {
                let Ok(view) = serde_json::from_value::<TopView>(item) else {
                    return Ok(());
                };
                let explanation = format!("{} messages in the last hour", view.messages);
                give(Candidate { text: view.entity.to_string(), explanation })
            });
        }
    });
    let clock = Clock::system();
    let start = clock.now();
    let mut candidates: BTreeMap<String, String> = BTreeMap::new();
    while candidates.len() < MOST {
        let left = PATIENCE.saturating_sub(clock.now().since(start));
        let Ok(candidate) = found.recv_timeout(left) else {
            break;
        };
        // What is said of a restriction comes first, and stays.
        candidates.entry(candidate.text).or_insert(candidate.explanation);
    }
    let candidates = candidates.into_iter();
    candidates.map(|(text, explanation)| Candidate { text, explanation }).collect()
}
