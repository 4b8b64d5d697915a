//! Which service of Postfix logged a line.
//!
//! Postfix puts `syslog_name` and a slash before the name of each program, and
//! everybody may choose that name: `postfix-out/smtp`, `mx1/qmgr`,
//! `postfix/submission/smtpd`. So it is the last part that decides, and there
//! must be one before it: a bare `smtpd` or `sendmail` is of another mailer.

use super::Tag;

/// Programs of Postfix, as they name themselves in the log.
const PROGRAMS: [&str; 43] = [
    "anvil",
    "bounce",
    "cleanup",
    "discard",
    "dnsblog",
    "error",
    "flush",
    "fsstone",
    "lmtp",
    "local",
    "master",
    "nqmgr",
    "oqmgr",
    "pickup",
    "pipe",
    "postalias",
    "postcat",
    "postconf",
    "postdrop",
    "postfix-script",
    "postkick",
    "postlock",
    "postlog",
    "postlogd",
    "postmap",
    "postmulti",
    "postqueue",
    "postscreen",
    "postsuper",
    "proxymap",
    "qmgr",
    "qmqpd",
    "scache",
    "sendmail",
    "showq",
    "smtp",
    "smtpd",
    "spawn",
    "tlsmgr",
    "tlsproxy",
    "trivial-rewrite",
    "verify",
    "virtual",
];

impl<'a> Tag<'a> {
    /// A tag as `postfix/submission/smtpd` or `postfix/smtpd[714]`; none where it
    /// is of another program.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (name, pid) = match text.strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
            Some((name, pid)) => (name, pid.parse().ok()?),
            None => (text, 0),
        };
        let (syslog_name, program) = name.rsplit_once('/')?;
        // Cyrus IMAP has a `cyrus/master` and a `cyrus/lmtp` of its own.
        let ours = PROGRAMS.contains(&program)
            && !syslog_name.is_empty()
            && !syslog_name.starts_with("cyrus");
        ours.then_some(Self { syslog_name, program, pid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_decides() {
        for (text, syslog_name, program, pid) in [
            ("postfix/smtpd[714]", "postfix", "smtpd", 714),
            ("postfix/submission/smtpd[1]", "postfix/submission", "smtpd", 1),
            ("postfix/10025/smtpd[1]", "postfix/10025", "smtpd", 1),
            ("postfix-out/smtp[4194304]", "postfix-out", "smtp", 4_194_304),
            ("mx1/qmgr", "mx1", "qmgr", 0),
            ("postfix/postfix-script[9]", "postfix", "postfix-script", 9),
        ] {
            assert_eq!(Tag::parse(text), Some(Tag { syslog_name, program, pid }), "{text}");
        }
    }

    #[test]
    fn other_programs_are_not_taken_for_postfix() {
        for text in [
            "",
            "/",
            "smtpd[1]",
            "sendmail[1]",
            "master",
            "/smtpd[1]",
            "amavis[1]",
            "postfix",
            "postfix/policyd-spf[1]",
            "postfix/sqlgrey",
            "dovecot",
            "cyrus/lmtp[1]",
            "cyrus/master[1]",
            "postfix/smtpd[x]",
            "postfix/smtpd[",
            "postfix/smtpd]",
        ] {
            assert_eq!(Tag::parse(text), None, "{text}");
        }
    }
}
