//! Follows the journal of systemd, through `journalctl`.
//!
//! Postfix logs with the facility `mail`, whatever its instances are called.
//! The place is the cursor of the last entry that was read, or, before there is
//! one, the time from which on entries are wanted. journalctl is started again
//! when it ends: after a second, and later up to a minute. It ends with us, as
//! nobody reads its output any more.
//!
//! There is no wait here: [`Follower::poll`] reads what is there.

use super::{lines::Lines, program::Program};
use crate::timestamp::Timestamp;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    io::{self, Read},
    os::fd::AsFd,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    time::Duration,
};

/// How journalctl is asked for mail.
pub(super) const OF_MAIL: &str = "SYSLOG_FACILITY=2";
/// Octets that one look reads.
const LOOK: usize = 4 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;
/// Octets of its complaints that are kept.
const MOST_SAID: usize = 2048;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// When it has run for so long, it runs.
const STEADY: Duration = Duration::from_secs(10);

/// journalctl, to be asked for mail as JSON.
pub(super) fn command(program: &Program) -> Command {
    let mut command = program.command();
    command.args(["--output=json", "--no-pager"]);
    command
}

/// Where reading goes on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Place {
    /// Behind the entry of this cursor.
    Behind(String),
    /// At the first entry of this time, in seconds since 1970.
    From(u64),
}

/// An entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    /// As `postfix/smtp`.
    pub(super) tag: String,
    pub(super) text: String,
    /// When the journal got it, by the wall clock.
    pub(super) at: Timestamp,
}

/// Follows the journal.
#[derive(Debug)]
pub(super) struct Follower {
    program: Program,
    place: Place,
    running: Option<Running>,
    /// How long to wait after its next end.
    wait: Duration,
    /// Before that it is not started.
    not_before: Timestamp,
    trouble: Option<(Timestamp, String)>,
    unread: u64,
}

#[derive(Debug)]
struct Running {
    child: Child,
    out: ChildStdout,
    err: ChildStderr,
    lines: Lines,
    said: Vec<u8>,
    since: Timestamp,
}

impl Follower {
    pub(super) fn new(program: Program, place: Place, now: Timestamp) -> Self {
        Self {
            program,
            place,
            running: None,
            wait: FIRST_WAIT,
            not_before: now,
            trouble: None,
            unread: 0,
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Since when it can't be read, and why.
    pub(super) fn trouble(&self) -> Option<(Timestamp, &str)> {
        self.trouble.as_ref().map(|(since, why)| (*since, &**why))
    }

    /// Entries that are none, since this was asked last.
    pub(super) fn take_unread(&mut self) -> u64 {
        std::mem::take(&mut self.unread)
    }

    /// Looks for what is new. `entry` is called with each entry. Gives how many
    /// octets there were.
    pub(super) fn poll(&mut self, now: Timestamp, entry: &mut dyn FnMut(Entry)) -> u64 {
        if self.running.is_none() && self.not_before <= now {
            match Running::start(&self.program, &self.place, now) {
                Ok(running) => self.running = Some(running),
                Err(error) => self.ended(now, self.why_not(&error)),
            }
        }
        let Some(running) = &mut self.running else {
            return 0;
        };
        let (place, unread) = (&mut self.place, &mut self.unread);
        let read = running.read(&mut |line| match parse(line) {
            Some((cursor, found)) => {
                *place = Place::Behind(cursor);
                match found {
                    Some(found) => entry(found),
                    None => *unread += 1,
                }
            }
            None => *unread += 1,
        });
        *unread += running.lines.take_overlong();
        running.listen();
        let hint = may_not(&running.said);
        let steady = now.since(running.since) >= STEADY;
        match read {
            Ok(octets) => {
                if let Some(hint) = hint {
                    self.trouble.get_or_insert((now, hint.to_owned()));
                } else if octets > 0 || steady {
                    self.trouble = None;
                    self.wait = FIRST_WAIT;
                }
                octets
            }
            Err(error) => {
                let why = self.running.take().map(|running| running.end(&error));
                self.ended(now, why.unwrap_or_default());
                0
            }
        }
    }

    #[cfg(test)]
    fn is_running(&self) -> bool {
        self.running.is_some()
    }

    fn ended(&mut self, now: Timestamp, why: String) {
        self.not_before = now.plus(self.wait);
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        let since = self.trouble.as_ref().map_or(now, |(since, _)| *since);
        self.trouble = Some((since, why));
    }

    fn why_not(&self, error: &io::Error) -> String {
        let program = self.program.path.display();
        match error.kind() {
            io::ErrorKind::NotFound => {
                format!("{program} is not there: name the file that Postfix logs to in mail_log")
            }
            _ => format!("{program} can't be run: {error}"),
        }
    }
}

impl Running {
    fn start(program: &Program, place: &Place, now: Timestamp) -> io::Result<Self> {
        let from = match place {
            Place::Behind(cursor) => format!("--after-cursor={cursor}"),
            Place::From(second) => format!("--since=@{second}"),
        };
        let mut child = command(program)
            .args(["--follow", "--no-tail"])
            .arg("--output-fields=MESSAGE,SYSLOG_IDENTIFIER")
            .args([&from, OF_MAIL])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let piped = child.stdout.take().zip(child.stderr.take());
        let Some((out, err)) = piped else {
            return Err(io::Error::other("it has no output"));
        };
        let running =
            Self { child, out, err, lines: Lines::default(), said: Vec::new(), since: now };
        do_not_wait(&running.out)?;
        do_not_wait(&running.err)?;
        Ok(running)
    }

    /// Reads what is there; an error if there will be no more.
    fn read(&mut self, line: &mut dyn FnMut(&[u8])) -> io::Result<u64> {
        let mut chunk = vec![0; CHUNK];
        let mut octets = 0;
        while octets < LOOK {
            match self.out.read(&mut chunk) {
                // What was there counts; the end is met again.
                Ok(0) if octets > 0 => break,
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    octets += count;
                    self.lines.feed(chunk.get(..count).unwrap_or_default(), line);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(u64::try_from(octets).unwrap_or(u64::MAX))
    }

    /// Hears its complaints, so that it never waits with them.
    fn listen(&mut self) {
        let mut chunk = [0; 1024];
        while let Ok(count @ 1..) = self.err.read(&mut chunk) {
            let room = MOST_SAID.saturating_sub(self.said.len());
            self.said.extend(chunk.iter().take(count.min(room)));
        }
    }

    /// Ends it, and says why it did.
    fn end(mut self, error: &io::Error) -> String {
        self.listen();
        if let Some(hint) = may_not(&self.said) {
            return hint.to_owned();
        }
        let said = String::from_utf8_lossy(&self.said);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned);
        let _ = self.child.kill();
        let how = match self.child.wait() {
            _ if error.kind() != io::ErrorKind::UnexpectedEof => error.to_string(),
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        match last {
            Some(last) => format!("journalctl ended ({how}): {last}"),
            None => format!("journalctl ended ({how})"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What to do where its complaint is that we may not read.
fn may_not(said: &[u8]) -> Option<&'static str> {
    let said = String::from_utf8_lossy(said);
    (said.contains("not seeing messages from other users")
        || said.contains("insufficient permissions"))
    .then_some(
        "the journal may not be read: usermod -aG systemd-journal connguard, and restart connguard",
    )
}

fn do_not_wait(pipe: &impl AsFd) -> io::Result<()> {
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}

/// An entry with its cursor; no entry where it has no text that is one.
pub(super) fn parse(line: &[u8]) -> Option<(String, Option<Entry>)> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let cursor = value.get("__CURSOR")?.as_str()?.to_owned();
    let entry = || {
        let micros: u64 = value.get("__REALTIME_TIMESTAMP")?.as_str()?.parse().ok()?;
        Some(Entry {
            tag: text(value.get("SYSLOG_IDENTIFIER")?)?,
            text: text(value.get("MESSAGE")?)?,
            at: Timestamp::from_millis(micros / 1000),
        })
    };
    let entry = entry();
    Some((cursor, entry))
}

/// A field: text, or its octets where they are no text, or several of these.
fn text(field: &Value) -> Option<String> {
    match field {
        Value::String(text) => Some(text.clone()),
        Value::Array(octets) => {
            let octet = |value: &Value| u8::try_from(value.as_u64()?).ok();
            match octets.iter().map(octet).collect::<Option<Vec<u8>>>() {
                Some(octets) => Some(String::from_utf8_lossy(&octets).into_owned()),
                None => text(octets.first()?),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
