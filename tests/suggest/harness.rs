//! Logs that are made up, and the program run on them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// A log that is being written, from a Monday on.
#[derive(Default)]
pub(crate) struct Log {
    lines: Vec<(u64, String)>,
    messages: u32,
}

/// Who sends.
#[derive(Clone, Copy)]
pub(crate) struct From<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: &'a str,
    pub(crate) login: Option<&'a str>,
}

pub(crate) const ERP: From<'_> =
    From { name: "erp.example.org", address: "192.0.2.10", login: None };

impl Log {
    pub(crate) fn line(&mut self, at: u64, what: &str) {
        let (day, second) = (at / 86_400, at % 86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let day = 7 + day;
        let line = format!("2026-09-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00 mx {what}\n");
        self.lines.push((at, line));
    }

    /// A message that is delivered: at example.org by lmtp, elsewhere by smtp, where
    /// those whose names begin with `gone` are refused.
    pub(crate) fn mail(
        &mut self,
        day: u64,
        second: u64,
        from: From<'_>,
        sender: &str,
        to: &[&str],
    ) {
        self.messages += 1;
        let id = format!("{:X}", 0x000A_0000_0000_u64 + u64::from(self.messages));
        let at = day * 86_400 + second;
        let From { name, address, login } = from;
        let login = login.map(|login| format!(", sasl_method=PLAIN, sasl_username={login}"));
        let login = login.unwrap_or_default();
        let count = to.len();
        self.line(at, &format!("postfix/smtpd[11]: {id}: client={name}[{address}]{login}"));
        self.line(at, &format!("postfix/cleanup[12]: {id}: message-id=<{id}@x.example>"));
        let queued = format!("from=<{sender}>, size=999, nrcpt={count} (queue active)");
        self.line(at, &format!("postfix/qmgr[13]: {id}: {queued}"));
        for to in to {
            let (program, relay) = if to.ends_with("@example.org") {
                ("lmtp", "mx.example.org[private/dovecot-lmtp]")
            } else {
                ("smtp", "mx.elsewhere.example[198.51.100.25]:25")
            };
            let (dsn, status) = if to.starts_with("gone") {
                (
                    "5.1.1",
                    "bounced (host mx.elsewhere.example[198.51.100.25] said: 550 5.1.1 no such user (in reply to RCPT TO command))",
                )
            } else {
                ("2.0.0", "sent (250 2.0.0 Ok)")
            };
            self.line(
                at + 1,
                &format!(
                    "postfix/{program}[14]: {id}: to=<{to}>, relay={relay}, delay=1, \
                 delays=0.1/0/0.4/0.5, dsn={dsn}, status={status}"
                ),
            );
        }
        self.line(at + 2, &format!("postfix/qmgr[13]: {id}: removed"));
    }

    /// Two weeks of ordinary mail, some of it to this site.
    pub(crate) fn ordinary(&mut self, from: From<'_>, sender: &str, daily: u64) {
        for day in 0..14 {
            for n in 0..daily {
                let second = 25_000 + n * 40_000 / daily;
                let to = format!("customer{n}@customer{}.example", (n + day) % 5);
                self.mail(day, second, from, sender, &[&to]);
            }
            let stranger = From { name: "mx.example.net", address: "203.0.113.9", login: None };
            self.mail(day, 70_000, stranger, "bob@example.net", &["alice@example.org"]);
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut lines = self.lines.clone();
        lines.sort_by_key(|(at, _)| *at);
        lines.into_iter().map(|(_, line)| line).collect()
    }
}

/// A folder with a log in it.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new(log: &Log) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("mail.log"), log.text()).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn suggest(&self, arguments: &[&str]) -> Output {
        let output = connguard().arg("suggest").arg(self.path("mail.log")).args(arguments).output();
        output.unwrap()
    }

    /// What is suggested without Postfix; `check` accepts it.
    pub(crate) fn suggested(&self) -> String {
        let out = self.path("out.toml");
        let output = self.suggest(&["--no-postfix", "--force", "--output", out.to_str().unwrap()]);
        assert!(output.status.success(), "{}", stderr(&output));
        check(&out);
        fs::read_to_string(out).unwrap()
    }

    /// Postfix's configuration, in a folder of its own.
    pub(crate) fn postfix(&self, main: &str, master: &str) -> String {
        let folder = self.path("postfix");
        fs::create_dir(&folder).unwrap();
        let own = "compatibility_level = 3.6\nmyhostname = mx.example.org\n\
                   mydestination = localhost\nmynetworks = 127.0.0.0/8\n";
        fs::write(folder.join("main.cf"), format!("{own}{main}")).unwrap();
        fs::write(folder.join("master.cf"), master).unwrap();
        folder.to_str().unwrap().to_owned()
    }
}

pub(crate) fn connguard() -> Command {
    Command::new(env!("CARGO_BIN_EXE_connguard"))
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn check(config: &Path) -> String {
    let output = connguard().arg("check").arg("--config").arg(config).output().unwrap();
    assert!(output.status.success(), "{}\n{}", stdout(&output), stderr(&output));
    stdout(&output)
}

/// What would have been restricted in `log` with the configuration `config`.
pub(crate) fn restricted(config: &Path, log: &Path) -> serde_json::Value {
    let output =
        connguard().args(["replay", "--json", "--config"]).args([config, log]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    report["restrictions"].clone()
}

/// The block of a connector, with the comments above it, each in one line.
pub(crate) fn block(text: &str, name: &str) -> String {
    let found = text.split("\n\n").find(|block| block.contains(&format!("name = \"{name}\"")));
    found.unwrap_or_else(|| panic!("no {name} in:\n{text}")).replace("\n# ", " ")
}
