//! Mailboxes into which the test's Postfix itself delivers, for what an
//! administrator reads.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::note::Note;
use super::postfix::Settings;
use super::site::{Site, Tells};
use super::{set_mode, wait_for};

/// The domain of mailboxes.
pub(crate) const MAILBOX_DOMAIN: &str = "admin.test";
/// Whom alerts go to.
pub(crate) const ADMIN: &str = "postmaster@admin.test";

/// Who owns the mailboxes: Postfix delivers as nobody important.
const NOBODY: u32 = 65534;

impl Settings {
    /// Lets Postfix deliver mail for [`ADMIN`] into a Maildir of this site. Gives
    /// the mailbox.
    pub(crate) fn mailbox(&mut self) -> Mailbox {
        let base = self.dir().join("mail");
        std::fs::create_dir_all(&base).expect("a directory for mailboxes");
        set_mode(&base, 0o755);
        std::os::unix::fs::chown(&base, Some(NOBODY), Some(NOBODY)).expect("chown: needs root");
        self.set("virtual_mailbox_domains", MAILBOX_DOMAIN);
        self.set("virtual_mailbox_base", &base.display().to_string());
        self.set("virtual_mailbox_maps", &format!("inline:{{ {{{ADMIN}=postmaster/}} }}"));
        self.set("virtual_uid_maps", &format!("static:{NOBODY}"));
        self.set("virtual_gid_maps", &format!("static:{NOBODY}"));
        self.service("virtual   unix  - n n -     - virtual");
        Mailbox { new: base.join("postmaster/new") }
    }
}

/// A mailbox.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    new: PathBuf,
}

impl Mailbox {
    /// What was delivered, oldest first.
    pub(crate) fn notes(&self) -> Vec<Note> {
        // Postfix makes it at the first delivery.
        let Ok(entries) = std::fs::read_dir(&self.new) else { return Vec::new() };
        let mut files: Vec<_> = entries
            .map(|entry| entry.expect("an entry of the mailbox").path())
            .map(|path| (modified(&path), path))
            .collect();
        files.sort();
        let read = |path: &Path| std::fs::read(path).expect("a message");
        files.iter().map(|(_, path)| Note::parse(&read(path))).collect()
    }

    /// Waits until all alerts that the daemon says were sent by mail are there, and
    /// asserts that each is there once and nothing else is; gives their kinds,
    /// oldest first.
    #[track_caller]
    pub(crate) fn wait_told<D: Tells>(&self, site: &Site<D>) -> Vec<(String, Note)> {
        let sent = || -> Vec<Value> {
            let alerts = site.daemon.json(&["alerts"]);
            let mut alerts = alerts.as_array().expect("an array").clone();
            alerts.retain(|alert| {
                let channels = alert["channels"].as_array().expect("channels");
                channels.iter().any(|it| it["channel"] == "mail" && it["state"] == "sent")
            });
            alerts.reverse();
            alerts
        };
        let ids = |alerts: &[Value]| -> Vec<String> {
            let id = |alert: &Value| alert["id"].as_str().expect("an id").to_owned();
            let mut ids: Vec<_> = alerts.iter().map(id).collect();
            ids.sort();
            ids
        };
        let there = || -> Vec<String> {
            let id = |note: &Note| note.id().trim_matches(['<', '>']).to_owned();
            let mut ids: Vec<_> = self.notes().iter().map(id).collect();
            ids.sort();
            ids
        };
        let alerts = wait_for(
            "every alert in the mailbox, once",
            super::SOON,
            || format!("{:#?}\nbut {:#?}", sent(), self.subjects()),
            || Some(sent()).filter(|alerts| ids(alerts) == there()),
        );
        let notes = self.notes();
        let told = alerts.iter().map(|alert| {
            let id = format!("<{}>", alert["id"].as_str().expect("an id"));
            let note = notes.iter().find(|note| note.id() == id).expect("it was there");
            assert_eq!(note.subject(), alert["subject"].as_str().unwrap_or_default());
            (alert["kind"].as_str().expect("a kind").to_owned(), note.clone())
        });
        told.collect()
    }

    /// Their subjects, oldest first.
    pub(crate) fn subjects(&self) -> Vec<String> {
        self.notes().iter().map(Note::subject).collect()
    }

    /// Waits until `n` messages are there; more are a failure.
    #[track_caller]
    pub(crate) fn wait_for(&self, n: usize, deadline: Duration) -> Vec<Note> {
        let notes = wait_for(
            &format!("{n} messages in the mailbox"),
            deadline,
            || format!("{:#?}", self.subjects()),
            || Some(self.notes()).filter(|notes| notes.len() >= n),
        );
        assert_eq!(notes.len(), n, "{:#?}", self.subjects());
        notes
    }

    /// Waits for a message of which this is true; there may be others.
    #[track_caller]
    pub(crate) fn wait_note(&self, what: &str, is: impl Fn(&Note) -> bool) -> Note {
        wait_for(
            &format!("{what} in the mailbox"),
            super::SOON,
            || format!("{:#?}", self.subjects()),
            || self.notes().into_iter().find(|note| is(note)),
        )
    }
}

fn modified(path: &Path) -> SystemTime {
    let about = std::fs::metadata(path).expect("a message in the mailbox");
    about.modified().expect("its time")
}
