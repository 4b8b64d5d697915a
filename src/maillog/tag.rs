//! Which service of Postfix logged a line.
//!
//! Postfix puts `syslog_name` and a slash before the name of each program, and
//! everybody may choose that name: `postfix-out/smtp`, `mx1/qmgr`,
//! `postfix/submission/smtpd`. So it is the last part that decides, and there
//! must be one before it: a bare `smtpd` or `sendmail` is of another mailer.

use super::Tag;

/// Whether Postfix has a program that names itself so in the log. Those that log
/// most stand first: the comparisons are made in this order.
fn is_program(name: &str) -> bool {
    matches!(
        name,
        "smtpd"
            | "qmgr"
            | "smtp"
            | "cleanup"
            | "lmtp"
            | "postscreen"
            | "local"
            | "pipe"
            | "virtual"
            | "pickup"
            | "bounce"
            | "anvil"
            // The others.
            | "discard"
            | "dnsblog"
            | "error"
            | "flush"
            | "fsstone"
            | "master"
            | "nqmgr"
            | "oqmgr"
            | "postalias"
            | "postcat"
            | "postconf"
            | "postdrop"
            | "postfix-script"
            | "postkick"
            | "postlock"
            | "postlog"
            | "postlogd"
            | "postmap"
            | "postmulti"
            | "postqueue"
            | "postsuper"
            | "proxymap"
            | "qmqpd"
            | "scache"
            | "sendmail"
            | "showq"
            | "spawn"
            | "tlsmgr"
            | "tlsproxy"
            | "trivial-rewrite"
            | "verify"
    )
}

impl<'a> Tag<'a> {
    /// A tag as `postfix/submission/smtpd` or `postfix/smtpd[714]`; none where it
    /// is of another program.
    pub fn parse(text: &'a str) -> Option<Self> {
        let inner = text.strip_suffix(']');
        // Both are near the end: a loop is quicker than a search with vectors.
        let (name, pid) = match inner.and_then(|text| split_at_last(text, b'[')) {
            Some((name, pid)) => (name, pid.parse().ok()?),
            None => (text, 0),
        };
        let (syslog_name, program) = split_at_last(name, b'/')?;
        // Cyrus IMAP has a `cyrus/master` and a `cyrus/lmtp` of its own.
        let ours =
            is_program(program) && !syslog_name.is_empty() && !syslog_name.starts_with("cyrus");
        ours.then_some(Self { syslog_name, program, pid })
    }
}

/// What stands before and behind the last such octet, an ASCII character.
fn split_at_last(text: &str, octet: u8) -> Option<(&str, &str)> {
    let at = text.bytes().rposition(|byte| byte == octet)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
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
