//! Postfix's log file, treated as the tools of administrators treat it.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use super::postfix::Postfix;
use super::{SOON, run_ok, wait_for};

impl Postfix {
    /// Renames the log file to `mail.log.1` (and an older one to `.2`), as
    /// logrotate does. Postfix goes on writing to it until [`Self::reopen_log`].
    pub(crate) fn rename_log(&self) -> PathBuf {
        let log = self.log_file();
        let old = numbered(&log, 1);
        if old.exists() {
            rename(&old, &numbered(&log, 2));
        }
        rename(&log, &old);
        old
    }

    /// `postfix reload`; returns once Postfix writes to a file of the usual
    /// name. What is being delivered is waited for first: the new queue manager
    /// would leave it alone for a minute.
    pub(crate) fn reopen_log(&self) {
        let idle = || (self.queued_in("active") == 0).then_some(());
        wait_for("the deliveries to end", SOON, || self.queue_text(), idle);
        run_ok(&mut self.command("reload"));
        let log = self.log_file();
        wait_for(
            "a new log file",
            SOON,
            || format!("{:?}", files_beside(&log)),
            || {
                self.note("is the log file there?");
                self.log().contains("is the log file there?").then_some(())
            },
        );
    }

    /// Renames the log, lets Postfix make a new one and compresses the old one,
    /// as `postfix logrotate` does all of it. Gives the compressed file.
    pub(crate) fn logrotate(&self) -> PathBuf {
        run_ok(&mut self.command("logrotate"));
        let log = self.log_file();
        let is_compressed = |path: &PathBuf| path.extension().is_some_and(|it| it == "gz");
        files_beside(&log).into_iter().find(is_compressed).expect("a compressed log file")
    }

    /// Copies the log to `mail.log.1` and makes it empty, as logrotate's
    /// `copytruncate` does. The file stays the same.
    pub(crate) fn copytruncate_log(&self) {
        let log = self.log_file();
        // One that was renamed a moment ago is still read, and is not to be written to.
        let _ = fs::remove_file(numbered(&log, 1));
        fs::copy(&log, numbered(&log, 1)).expect("a copy of the log");
        let file = OpenOptions::new().write(true).open(&log).expect("the log file");
        file.set_len(0).expect("an empty log file");
    }

    /// Removes the log file. Postfix goes on writing to what has no name any
    /// more until [`Self::reopen_log`].
    pub(crate) fn delete_log(&self) {
        fs::remove_file(self.log_file()).expect("the log file");
    }

    /// Everything that it logged into files that still are there, oldest first.
    pub(crate) fn all_logs(&self) -> String {
        let log = self.log_file();
        let old = [numbered(&log, 2), numbered(&log, 1)];
        let old: String = old.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
        old + &self.log()
    }

    /// Waits until so many lines of all the logs have all these parts; more are
    /// a failure.
    #[track_caller]
    pub(crate) fn wait_lines(&self, parts: &[&str], n: usize) {
        let count = || {
            let log = self.all_logs();
            log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
        };
        let found = wait_for(
            &format!("{n} lines with {parts:?} in the mail log"),
            SOON,
            || format!("{} there\n{}", count(), self.log_tail()),
            || Some(count()).filter(|found| *found >= n),
        );
        assert_eq!(found, n, "lines with {parts:?}\n{}", self.log_tail());
    }

    /// Logs a line of its own through Postfix.
    pub(crate) fn note(&self, text: &str) {
        let mut postlog = std::process::Command::new("postlog");
        postlog.arg("-c").arg(self.config_directory()).args(["-t", "postfix/note", text]);
        run_ok(&mut postlog);
    }
}

fn numbered(log: &Path, n: u32) -> PathBuf {
    PathBuf::from(format!("{}.{n}", log.display()))
}

fn rename(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap_or_else(|e| panic!("{} to {}: {e}", from.display(), to.display()));
}

fn files_beside(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path.parent().expect("a directory")).expect("the log directory");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}
