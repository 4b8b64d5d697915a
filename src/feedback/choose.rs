//! Where Postfix logs to: what `mail_log = "auto"` means on this host.
//!
//! 1. The file that Postfix writes itself (`maillog_file` in main.cf): where it is
//!    set, nothing else has its lines.
//! 2. A file of syslog that somebody has written to within a day.
//! 3. The journal, if it has mail of Postfix or anybody else.
//! 4. A file of syslog that nobody has written to for longer.
//!
//! An old file comes last since a host that no longer has a syslog daemon still
//! has the file that it wrote.

use super::{
    journal::{self, OF_MAIL},
    program::{Program, answer},
    source,
};
use crate::timestamp::Timestamp;
use nix::unistd::{Gid, Group, User, geteuid};
use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

/// A file that nobody has written to for longer is an old one.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// Where delivery results are read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum MailLog {
    /// Where Postfix logs to, as far as that can be found out.
    #[default]
    Auto,
    /// The journal of systemd.
    Journal,
    /// A file; its path is absolute.
    File(PathBuf),
    /// Nowhere.
    None,
}

impl FromStr for MailLog {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "journal" => Ok(Self::Journal),
            "none" => Ok(Self::None),
            path if path.starts_with('/') && !path.contains('\0') => Ok(Self::File(path.into())),
            _ => Err(format!("{text:?} is not auto, journal, none or an absolute path")),
        }
    }
}

impl fmt::Display for MailLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Journal => f.write_str("journal"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::None => f.write_str("none"),
        }
    }
}

/// What is asked and looked at to find the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tools {
    /// `postconf`.
    pub postconf: Program,
    /// `journalctl`.
    pub journalctl: Program,
    /// Where syslog daemons write mail to.
    pub files: Vec<PathBuf>,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            postconf: Program::named("postconf"),
            journalctl: Program::named("journalctl"),
            files: vec!["/var/log/mail.log".into(), "/var/log/maillog".into()],
        }
    }
}

/// What is read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Found {
    /// A file.
    File(PathBuf),
    /// The journal.
    Journal,
    /// Nothing, as was configured.
    Off,
    /// Nothing is there: why, and what to do.
    Nothing(String),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Journal => f.write_str("the journal"),
            Self::Off => f.write_str("none"),
            Self::Nothing(_) => f.write_str("nothing"),
        }
    }
}

/// What `mail_log` means on this host, for this process. It may ask other
/// programs, for some seconds.
pub(super) fn find(mail_log: &MailLog, tools: &Tools, wall: Timestamp) -> Found {
    match mail_log {
        MailLog::File(path) => Found::File(path.clone()),
        MailLog::Journal => Found::Journal,
        MailLog::None => Found::Off,
        MailLog::Auto => auto(tools, wall),
    }
}

/// What `mail_log` means for whoever asks now, and what is wrong with that.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outlook {
    /// What would be read.
    pub found: Found,
    /// What can't be had so, one sentence each.
    pub warnings: Vec<String>,
}

/// Looks at what [`find`] finds, and at who will answer for recipients.
pub fn outlook(mail_log: &MailLog, tools: &Tools, wall: Timestamp) -> Outlook {
    let found = find(mail_log, tools, wall);
    let mut warnings = Vec::new();
    match &found {
        Found::Off => return Outlook { found, warnings },
        Found::File(path) => {
            let fault = source::open(path).err();
            warnings.extend(fault.map(|error| unreadable(path, &error)));
        }
        Found::Journal if !has_mail(&tools.journalctl) => warnings.push(
            "the journal shows this user no mail: is journalctl there, and is the user in the group systemd-journal?".into(),
        ),
        Found::Journal => {}
        Found::Nothing(why) => warnings.push(why.clone()),
    }
    if let Some(hop) = next_hop(tools) {
        warnings.push(format!(
            "Postfix hands all relayed mail to {hop}: delivery results say little behind a relayhost, since it takes what the servers of the recipients refuse later"
        ));
    }
    Outlook { found, warnings }
}

/// Where all mail goes to that this host relays, if it does not go to the
/// servers of its recipients: then they are not who answers.
fn next_hop(tools: &Tools) -> Option<String> {
    let answer = postconf(tools, &["relayhost", "default_transport"])?;
    let mut values = answer.lines().map(str::trim);
    let (relayhost, transport) = (values.next()?, values.next().unwrap_or_default());
    let fixed = transport.split_once(':').map_or("", |(_, hop)| hop.trim());
    let hop = if relayhost.is_empty() { fixed } else { relayhost };
    (!hop.is_empty()).then(|| hop.to_owned())
}

fn auto(tools: &Tools, wall: Timestamp) -> Found {
    let own = postconf(tools, &["maillog_file"]).unwrap_or_default();
    let own = Path::new(own.trim());
    if own.is_absolute() && fs::metadata(own).is_ok_and(|metadata| metadata.is_file()) {
        return match source::open(own) {
            Ok(_) => Found::File(own.to_owned()),
            Err(error) => Found::Nothing(unreadable(own, &error)),
        };
    }
    let mut old = None;
    let mut faults = Vec::new();
    for path in &tools.files {
        match source::open(path).and_then(|file| file.metadata()) {
            Ok(metadata) => {
                let changed = u64::try_from(metadata.mtime()).unwrap_or(0);
                if wall.since(Timestamp::from_seconds(changed)) < FRESH {
                    return Found::File(path.clone());
                }
                old.get_or_insert(path);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => faults.push(unreadable(path, &error)),
        }
    }
    if has_mail(&tools.journalctl) {
        return Found::Journal;
    }
    match (old, faults.into_iter().next()) {
        (Some(path), _) => Found::File(path.clone()),
        (None, Some(fault)) => Found::Nothing(fault),
        (None, None) => {
            let files: Vec<_> = tools.files.iter().map(|path| path.display().to_string()).collect();
            Found::Nothing(format!(
                "there is no {}, and the journal shows this user no mail; name the file in feedback.mail_log, or usermod -aG systemd-journal connguard",
                files.join(", no ")
            ))
        }
    }
}

/// Why a log can't be read, and what to do.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> String {
    let name = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {}
        io::ErrorKind::NotFound => {
            return format!("{name} is not there: does Postfix log there? See feedback.mail_log");
        }
        _ => {
            return format!(
                "{name}: {error}; name the file that Postfix logs to in feedback.mail_log"
            );
        }
    }
    let user = User::from_uid(geteuid()).ok().flatten();
    let user = user.map_or_else(|| geteuid().to_string(), |user| user.name);
    let metadata = fs::metadata(path).ok();
    let group = metadata.filter(|metadata| metadata.mode() & 0o040 != 0).and_then(|metadata| {
        Group::from_gid(Gid::from_raw(metadata.gid())).ok().flatten().map(|group| group.name)
    });
    match group {
        Some(group) => format!(
            "{name} may not be read by {user}, but by the group {group}: usermod -aG {group} {user}, and restart connguard"
        ),
        None => format!(
            "{name} may not be read by {user}: let the group adm read it and its folder, and {user} be in that group"
        ),
    }
}

/// Whether the journal shows us any mail.
fn has_mail(journalctl: &Program) -> bool {
    let mut command = journal::command(journalctl);
    command.args(["--lines=1", OF_MAIL]);
    answer(command).is_some_and(|answer| answer.starts_with('{'))
}

fn postconf(tools: &Tools, names: &[&str]) -> Option<String> {
    let mut command = tools.postconf.command();
    command.arg("-h").args(names);
    answer(command)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests fail by panicking"
    )]
    use super::*;
    use tempfile::TempDir;

    /// A host whose postconf and journalctl answer so, and its time.
    fn host(postconf: &str, journalctl: &str) -> (TempDir, Tools, Timestamp) {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, script: &str| {
            let path = folder.path().join(name);
            fs::write(&path, script).unwrap();
            Program { path: "/bin/sh".into(), arguments: vec![path.into()] }
        };
        let tools = Tools {
            postconf: program("postconf", postconf),
            journalctl: program("journalctl", journalctl),
            files: vec![folder.path().join("mail.log"), folder.path().join("maillog")],
        };
        let changed = fs::metadata(folder.path().join("postconf")).unwrap().mtime();
        let now = Timestamp::from_seconds(u64::try_from(changed).unwrap());
        (folder, tools, now)
    }

    fn found(tools: &Tools, now: Timestamp) -> Found {
        find(&MailLog::Auto, tools, now)
    }

    const NO_MAIL: &str = "exit 1";
    const MAIL: &str = "echo '{\"MESSAGE\":\"x\"}'";

    #[test]
    fn a_fresh_file_is_followed_else_the_journal_else_an_old_file() {
        let (folder, tools, now) = host("echo", MAIL);
        let file = folder.path().join("maillog");
        assert_eq!(found(&tools, now), Found::Journal);
        fs::write(&file, "").unwrap();
        assert_eq!(found(&tools, now), Found::File(file.clone()));
        let later = now.plus(FRESH + FRESH);
        assert_eq!(found(&tools, later), Found::Journal);
        let tools = Tools { journalctl: Program::named("/nonexistent/journalctl"), ..tools };
        assert_eq!(found(&tools, later), Found::File(file));
    }

    #[test]
    fn where_nothing_is_it_says_what_to_do() {
        let (_folder, tools, now) = host("exit 1", NO_MAIL);
        let Found::Nothing(why) = found(&tools, now) else { panic!("found something") };
        assert!(why.contains("mail.log, no ") && why.contains("systemd-journal"), "{why}");
    }

    #[test]
    fn a_file_that_postfix_writes_itself_comes_before_all() {
        let (folder, tools, now) = host("cat $(dirname $0)/own", MAIL);
        let own = folder.path().join("postfix.log");
        fs::write(folder.path().join("own"), format!("{}\n", own.display())).unwrap();
        fs::write(folder.path().join("mail.log"), "").unwrap();
        assert_eq!(found(&tools, now), Found::File(folder.path().join("mail.log")));
        fs::write(&own, "").unwrap();
        assert_eq!(found(&tools, now.plus(FRESH + FRESH)), Found::File(own));
    }

    #[test]
    fn a_next_hop_that_takes_everything_is_seen() {
        for (answer, expected) in [
            ("echo; echo smtp", None),
            ("echo '[gateway.test]:587'; echo smtp", Some("[gateway.test]:587")),
            ("echo; echo 'smtp:[192.0.2.7]'", Some("[192.0.2.7]")),
            ("echo; echo smtp:", None),
            ("exit 1", None),
        ] {
            let (_folder, tools, _) = host(answer, NO_MAIL);
            assert_eq!(next_hop(&tools).as_deref(), expected, "{answer}");
        }
        let tools = Tools { postconf: Program::named("/nonexistent/postconf"), ..Tools::default() };
        assert_eq!(next_hop(&tools), None);
    }

    #[test]
    fn words_and_paths() {
        for (text, expected) in [
            ("auto", MailLog::Auto),
            ("journal", MailLog::Journal),
            ("none", MailLog::None),
            ("/var/log/x", MailLog::File("/var/log/x".into())),
        ] {
            assert_eq!(text.parse(), Ok(expected.clone()));
            assert_eq!(expected.to_string(), text);
        }
        for text in ["", "Auto", "mail.log", "/a\0b", "./mail.log"] {
            assert!(text.parse::<MailLog>().is_err(), "{text:?}");
        }
    }
}
