//! `hold` and `release`: what an entity has in the queue of Postfix is put on hold,
//! and let go again.
//!
//! The daemon knows queue ids, and this process has the rights: it asks the daemon
//! for the ids, Postfix for those that are really there (`postqueue -j`), and
//! `postsuper` for the rest. What became of them is looked up again, and noted in
//! the case.
//!
//! Short queue ids come again. One that Postfix gave to a message which arrived
//! after the one that is meant is left alone.

use super::{Error, output};
use crate::{command::Command, control, text::quoted, timestamp::Timestamp};
use clap::Args;
use nix::unistd::geteuid;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io::{self, Write, stdout},
    path::{Path, PathBuf},
    process::{self, Stdio},
};

/// Where the commands of Postfix are, if not in `PATH`.
const PLACES: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];
/// So many seconds the clocks of Postfix and the daemon may be apart.
const APART: u64 = 3600;
/// Queue ids that are printed.
const MOST_SHOWN: usize = 20;

/// What can be said behind `hold` and `release`.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// An entity or a case.
    #[arg(value_name = "ENTITY|CASE")]
    what: String,
    /// The configuration directory of the Postfix instance whose queue it is.
    #[arg(long, short = 'c', value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    postfix: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Do {
    /// Put on hold.
    Hold,
    /// Let go.
    Release,
}

impl Do {
    /// The option of postsuper.
    fn option(self) -> &'static str {
        match self {
            Self::Hold => "-h",
            Self::Release => "-H",
        }
    }

    /// Whether it has something to do with a message in this queue.
    fn takes(self, queue: &str) -> bool {
        (queue == "hold") == (self == Self::Release)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
        }
    }
}

/// Puts what an entity has in the queue on hold, or lets it go.
pub(super) fn hold(socket: &Path, options: &Options, to: Do) -> Result<(), Error> {
    if !geteuid().is_root() {
        return Err(Error::Usage(format!(
            "only root may change the queue of Postfix: sudo connguard {} ...",
            to.name()
        )));
    }
    let what = quoted(&options.what, 80);
    let postfix = Postfix { directory: options.postfix.as_deref() };
    let (ids, known_since) = candidates(socket, &options.what)?;
    let queue = postfix.queue()?;
    let ids: Vec<String> = there(ids, &queue);
    let is_meant = |id: &&str| queue.get(*id).is_some_and(|entry| to.takes(&entry.queue_name));
    let meant: BTreeSet<&str> = ids.iter().map(String::as_str).filter(is_meant).collect();
    if meant.is_empty() {
        return Err(Error::No(nothing(&what, ids.len(), to, &known_since)));
    }
    let said = postfix.change(to, &meant)?;
    let after = postfix.queue()?;
    let done: Vec<&str> = meant.into_iter().filter(|id| is_done(&after, id, to)).collect();
    if done.is_empty() {
        return Err(Error::No(format!("postsuper changed nothing: {said}")));
    }
    let noted = note(socket, &options.what, done.len(), to);
    print(options, &what, &done, to, noted.is_ok())?;
    if let Err(error) = noted {
        output::complain(&format!("it is done, but not noted in the case: {error}"));
    }
    Ok(())
}

/// A message that may be in the queue.
struct Candidate {
    queue_id: String,
    /// Second in which it got this queue id.
    since: u64,
}

/// Those that are really there.
fn there(candidates: Vec<Candidate>, queue: &Queue) -> Vec<String> {
    let is_there = |candidate: &Candidate| {
        let entry = queue.get(&candidate.queue_id);
        entry.is_some_and(|entry| entry.arrival_time <= candidate.since.saturating_add(APART))
    };
    candidates.into_iter().filter(is_there).map(|candidate| candidate.queue_id).collect()
}

/// What the daemon knows of, and since when it knows anything.
fn candidates(socket: &Path, what: &str) -> Result<(Vec<Candidate>, String), Error> {
    let mut ids = Vec::new();
    let command = Command::Queue { what: what.to_owned() };
    let done = control::ask(socket, command, |item| {
        let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = text("queue_id");
        // They go to postsuper, where ALL means all there are.
        if is_queue_id(id) {
            let since: Option<Timestamp> = text("since").parse().ok();
            let since = since.map_or(0, |since| since.as_seconds().into());
            ids.push(Candidate { queue_id: id.to_owned(), since });
        }
        Ok(())
    })?
    .done;
    let since = done.get("known_since").and_then(Value::as_str).unwrap_or_default();
    Ok((ids, since.to_owned()))
}

/// Digits and letters, of which a queue id has at least five.
fn is_queue_id(text: &str) -> bool {
    (5..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether it is where it should be. One that left the queue meanwhile was sent, or
/// has been deleted: on hold it is not.
fn is_done(after: &Queue, id: &str, to: Do) -> bool {
    match after.get(id) {
        Some(entry) => !to.takes(&entry.queue_name),
        None => to == Do::Release,
    }
}

fn note(socket: &Path, what: &str, messages: usize, to: Do) -> Result<(), Error> {
    let messages = u64::try_from(messages).unwrap_or(u64::MAX);
    let (held, released) = if to == Do::Hold { (messages, 0) } else { (0, messages) };
    let command = Command::Queued { what: what.to_owned(), held, released };
    control::ask(socket, command, |_| Ok(()))?;
    Ok(())
}

/// Why there is nothing to do, where so many are there.
fn nothing(what: &str, there: usize, to: Do, known_since: &str) -> String {
    let since = known_since.parse().map_or_else(|_| known_since.to_owned(), Timestamp::local);
    match (there, to) {
        (0, _) => format!(
            "nothing of {what} is in the queue of Postfix, of all that passed since the daemon's start ({since}); postqueue -p shows what else is there"
        ),
        (1, Do::Hold) => format!("the only message of {what} in the queue is on hold already"),
        (all, Do::Hold) => format!("all {all} messages of {what} in the queue are on hold already"),
        (_, Do::Release) => format!("nothing of {what} in the queue is on hold"),
    }
}

fn print(options: &Options, what: &str, done: &[&str], to: Do, noted: bool) -> Result<(), Error> {
    let mut out = stdout().lock();
    if options.json {
        let view = json!({
            "what": options.what,
            "done": to.name(),
            "messages": done.len(),
            "queue_ids": done,
            "noted": noted,
        });
        output::json(&mut out, &view)?;
        return Ok(());
    }
    writeln!(out, "{}", sentence(what, done.len(), to))?;
    for id in done.iter().take(MOST_SHOWN) {
        writeln!(out, "  {id}")?;
    }
    if done.len() > MOST_SHOWN {
        writeln!(out, "  and {} more (--json has all)", done.len() - MOST_SHOWN)?;
    }
    Ok(())
}

fn sentence(what: &str, count: usize, to: Do) -> String {
    let (messages, are) = if count == 1 { ("message", "is") } else { ("messages", "are") };
    match to {
        Do::Hold => format!("{count} {messages} of {what} {are} on hold now:"),
        Do::Release => format!("{count} {messages} of {what} {are} let go, and will be delivered:"),
    }
}

/// The commands of one instance of Postfix.
struct Postfix<'a> {
    directory: Option<&'a Path>,
}

/// One line of `postqueue -j`.
#[derive(Deserialize)]
struct Entry {
    queue_name: String,
    queue_id: String,
    /// In seconds since 1970.
    arrival_time: u64,
}

/// All that is in the queue, by queue id.
type Queue = BTreeMap<String, Entry>;

impl Postfix<'_> {
    fn queue(&self) -> Result<Queue, Error> {
        let mut command = self.command("postqueue");
        command.arg("-j").stdin(Stdio::null());
        let output = command.output().map_err(|error| missing("postqueue", &error))?;
        if !output.status.success() {
            return Err(Error::No(format!("postqueue -j failed: {}", said(&output.stderr))));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let entries = text.lines().map(serde_json::from_str::<Entry>);
        // A line that can't be read is none of a message that is meant.
        Ok(entries.flatten().map(|entry| (entry.queue_id.clone(), entry)).collect())
    }

    /// Gives postsuper these queue ids; gives what it said.
    fn change(&self, to: Do, ids: &BTreeSet<&str>) -> Result<String, Error> {
        let mut command = self.command("postsuper");
        command.args([to.option(), "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| missing("postsuper", &error))?;
        let lines: String = ids.iter().map(|id| format!("{id}\n")).collect();
        // It says a line of each on standard error, which must not fill up.
        let stdin = child.stdin.take();
        let writer = std::thread::spawn(move || match stdin {
            Some(mut stdin) => stdin.write_all(lines.as_bytes()),
            None => Ok(()),
        });
        let output = child.wait_with_output()?;
        let written = writer.join().unwrap_or(Ok(()));
        let said = said(&output.stderr);
        if !output.status.success() {
            return Err(Error::No(format!("postsuper {} failed: {said}", to.option())));
        }
        written.map_err(|error| missing("postsuper", &error))?;
        Ok(said)
    }

    fn command(&self, program: &str) -> process::Command {
        let mut command = process::Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = std::env::split_paths(&path).chain(PLACES.map(PathBuf::from));
        let all: OsString = std::env::join_paths(all).unwrap_or(path);
        command.env("PATH", all).env("LC_ALL", "C");
        if let Some(directory) = self.directory {
            command.arg("-c").arg(directory);
        }
        command
    }
}

fn missing(program: &str, error: &io::Error) -> Error {
    Error::No(format!("can't run {program}: {error}; is Postfix on this host?"))
}

/// The last thing that a program said, in one line.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines().last().unwrap_or("it does not say why").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_meant() {
        let entry = |id: &str, queue: &str, arrival_time| {
            let (queue_id, queue_name) = (id.to_owned(), queue.to_owned());
            (id.to_owned(), Entry { queue_name, queue_id, arrival_time })
        };
        let queue: Queue = [
            entry("4Xyz1", "hold", 99_000),
            entry("4Xyz2", "deferred", 99_001),
            entry("4Xyz3", "active", 200_000),
        ]
        .into();
        let known = ["4Xyz1", "4Xyz2", "4Xyz3", "gone1"];
        let known = known.map(|id| Candidate { queue_id: id.to_owned(), since: 99_000 });
        // The third queue id came again, with the message of somebody else.
        assert_eq!(there(known.into(), &queue), ["4Xyz1", "4Xyz2"]);
        let why = |there, to| nothing("\"erp\"", there, to, "2026-11-22T03:12:04Z");
        assert!(why(0, Do::Hold).starts_with("nothing of \"erp\" is in the queue"));
        assert!(why(1, Do::Hold).ends_with("is on hold already"));
        assert!(why(2, Do::Release).ends_with("is on hold"));
        assert!(Do::Hold.takes("active") && !Do::Hold.takes("hold") && Do::Release.takes("hold"));
        assert!(is_done(&queue, "4Xyz1", Do::Hold) && !is_done(&queue, "4Xyz2", Do::Hold));
        assert!(!is_done(&queue, "gone1", Do::Hold) && is_done(&queue, "gone1", Do::Release));
    }

    #[test]
    fn nobody_can_mean_all_of_the_queue() {
        assert!(is_queue_id("4dF2mX1hJ2z9") && is_queue_id("A1B2C3D4E5"));
        for wrong in ["ALL", "", "-", "4Xyz1\nALL", "4Xyz1 x", "../x1"] {
            assert!(!is_queue_id(wrong), "{wrong:?}");
        }
    }
}
