//! How the daemon is, and what is wrong with it.

use super::{Operator, disk_takes};
use crate::{alert::Trouble, journal::JournalStatus, panics, policy, timestamp::Timestamp};
use serde_json::{Value, json};
use std::sync::atomic::Ordering::Relaxed;

impl Operator {
    pub(super) fn status(&self, now: Timestamp) -> Value {
        let entries = self.engine.table().list(now);
        let restrictions =
            || entries.iter().filter_map(|entry| entry.standing.restriction.as_ref());
        let marked = restrictions().filter(|restriction| restriction.mark).count();
        let settings = self.engine.settings();
        let refusing =
            restrictions().filter(|restriction| settings.directory.refuses(restriction)).count();
        let counters = self.engine.counters();
        let journal = self.journal.status();
        let hangs = self.disk_hangs(&journal);
        let milter = self.milter.status();
        let policy = self.policy.as_ref();
        let history = self.history.status();
        let feedback = self.feedback.status();
        let cases = self.cases.status();
        let config = self.config.load();
        let alerts = self.alert.status();
        let mut notes = config.warnings.clone();
        notes.extend(self.troubles().into_iter().map(|trouble| trouble.text));
        if let Some(until) = self.engine.muted_until(now) {
            notes.push(format!(
                "whom connectors wrote to was lost: until {} nothing is concluded from new recipients, new networks and volume",
                until.local()
            ));
        }
        notes.extend(alerts.notes());
        notes.extend(policy.iter().flat_map(|policy| policy.notes()));
        let unattributed = counters.unattributed.load(Relaxed);
        if unattributed > 0 {
            notes.push(format!(
                "{unattributed} messages were relayed for clients that are not in relay_networks and showed no login or certificate: is milter.inbound_domains or milter.relay_networks incomplete?"
            ));
        }
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "mode": settings.mode(),
            "started": self.started,
            "uptime_s": now.since(self.started).as_secs(),
            "connectors": self.engine.roster().len(),
            "restricted": refusing,
            "marked": marked,
            "idle": restrictions().count() - marked - refusing,
            "messages": counters.messages.load(Relaxed),
            "recipients": counters.recipients.load(Relaxed),
            "refused": counters.refused.load(Relaxed),
            "would_refuse": counters.would_refuse.load(Relaxed),
            "held": counters.held.load(Relaxed),
            "unattributed": unattributed,
            "without_registered_domains": config.without_registered_domains,
            "journal": {
                "path": journal.path,
                "records": journal.records,
                "bytes": journal.bytes,
                "healthy": journal.healthy && !hangs && journal.set_aside.is_empty(),
                "set_aside": journal.set_aside,
            },
            "history": {
                "path": history.path,
                "bytes": history.written.bytes,
                "connectors": history.written.connectors,
                "saved_at": history.saved_at,
                "healthy": history.healthy,
            },
            "cases": {
                "path": cases.path,
                "files": cases.files,
                "healthy": cases.healthy,
            },
            "milter": milter,
            "policy": policy.map(policy::Handle::status),
            "panics": panics::seen(),
            "feedback": feedback,
            "alerts": alerts,
            "notes": notes,
        })
    }

    pub(super) fn disk_hangs(&self, journal: &JournalStatus) -> bool {
        journal.at_disk.is_some_and(|since| self.clock.now().since(since) >= disk_takes())
    }

    /// What of connguard itself fails at present, in words that say what to do.
    pub fn troubles(&self) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let mut note = |key: &str, text: String| {
            troubles.push(Trouble { key: key.to_owned(), text });
        };
        let journal = self.journal.status();
        if let Some(error) = &journal.error {
            note(
                "journal",
                format!(
                    "the journal can't be written ({error}): what is in force holds, but a restart loses the latest changes; free space or mend the disk, it is tried again every few seconds"
                ),
            );
        }
        if self.disk_hangs(&journal) {
            note(
                "disk",
                format!(
                    "the disk of {} does not answer: what is in force holds, but a restart loses what changed since",
                    journal.path.display()
                ),
            );
        }
        for path in &journal.set_aside {
            note(
                &format!("set_aside:{}", path.display()),
                format!(
                    "a damaged journal file was set aside: {}; compare it with `connguard history`, then remove it",
                    path.display()
                ),
            );
        }
        if let Some(error) = &self.history.status().error {
            note(
                "history",
                format!(
                    "the history can't be saved ({error}): a restart forgets what connectors did since then; free space or mend the disk, it is tried again"
                ),
            );
        }
        if let Some(error) = &self.cases.status().error {
            note(
                "cases",
                format!(
                    "cases can't be written ({error}): a restart forgets what they learned since then; free space or mend the disk, it is tried again every few seconds"
                ),
            );
        }
        for (at, text) in self.feedback.status().notes().into_iter().enumerate() {
            note(&format!("mail_log:{at}"), text);
        }
        if let Some((key, text)) = panics::seen().trouble() {
            note(&key, text);
        }
        let milter = self.milter.status();
        if milter.connections >= milter.limit {
            note(
                "milter",
                format!(
                    "all {} connections of milter.max_connections are in use: Postfix is turned away and does what its milter_default_action says; raise it above the sum of the process limits of the services that use the milter",
                    milter.limit
                ),
            );
        }
        let policy = self.policy.as_ref().map(policy::Handle::status);
        if let Some(policy) = policy.filter(|policy| policy.connections >= policy.limit) {
            note(
                "policy",
                format!(
                    "all {} policy connections are in use: Postfix is turned away and does what the default_action of its check_policy_service says; raise milter.max_connections above the sum of the process limits of the services that ask",
                    policy.limit
                ),
            );
        }
        troubles
    }
}
