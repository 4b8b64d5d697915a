//! What MAIL and RCPT say, from their arguments and macros. Pure.
//!
//! The macros show what Postfix made of an address: completed with this
//! host's origin, and with percent hacks, bang paths and source routes
//! resolved. That is where the mail goes, or as whom it is sent, so the macro
//! decides, and the argument only where there is none. Aliases and canonical
//! maps come later and change neither.

use crate::{
    domain,
    message::{Fate, Sender},
};
use std::{
    borrow::Cow,
    ffi::{CStr, CString},
    net::{IpAddr, SocketAddr},
};

/// The address in a MAIL or RCPT argument, without brackets and without
/// parameters that may follow in the same argument.
pub(super) fn address(argument: &str) -> &str {
    let argument = argument.trim();
    match argument.strip_prefix('<') {
        Some(rest) => rest.rsplit_once('>').map_or(rest, |(address, _)| address),
        None => argument,
    }
}

/// The envelope sender, kept in a buffer that is reused.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    sender: String,
    qualified: bool,
    /// Declared size (RFC 1870), in octets.
    pub(super) size: Option<u64>,
}

impl Envelope {
    /// Takes the arguments of MAIL and the macro `{mail_addr}`.
    pub(super) fn mail(&mut self, arguments: &[CString], resolved: Option<&str>) {
        let first = arguments.first().map(|first| first.to_string_lossy());
        let typed = address(first.as_deref().unwrap_or(""));
        // The null sender has no macro value; one that is there belongs to
        // another message.
        let resolved = resolved.filter(|_| !typed.is_empty());
        self.sender.clear();
        self.sender.push_str(resolved.unwrap_or(typed));
        self.qualified = match resolved {
            // Postfix only appended its own domain, and Sendmail not even that.
            // Anything else that was changed (`user%domain`, `domain!user`)
            // named a domain.
            Some(resolved) => {
                let appended = |appended: &str| appended.starts_with('@');
                resolved.contains('@') && !resolved.strip_prefix(typed).is_some_and(appended)
            }
            None => typed.contains('@'),
        };
        self.size = arguments.iter().find_map(|argument| size(argument));
    }

    pub(super) fn sender(&self) -> Sender<'_> {
        if self.sender.is_empty() {
            Sender::Null
        } else {
            Sender::Address { address: &self.sender, qualified: self.qualified }
        }
    }
}

/// The value of a `SIZE=` parameter, also behind others in one argument.
fn size(argument: &CStr) -> Option<u64> {
    let parameters = argument
        .to_bytes()
        .split(u8::is_ascii_whitespace)
        .filter_map(|word| word.split_at_checked(5));
    parameters
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"SIZE="))
        .find_map(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok())
}

/// What Postfix made of a recipient, from `{rcpt_mailer}` and, where that
/// matters, `{rcpt_host}`.
///
/// A refused one has the mailer `error` and a bare enhanced status code as
/// host. An accepted one can have that mailer too (a virtual alias domain has
/// no transport of its own): there a text follows the code.
pub(super) fn fate<'a>(mailer: Option<&str>, host: impl FnOnce() -> Option<Cow<'a, str>>) -> Fate {
    if mailer != Some("error") {
        return Fate::Accepted;
    }
    match host().as_deref().map(str::trim).filter(|host| is_enhanced_code(host)) {
        Some(code) if code.starts_with("5.1.") => Fate::Unknown,
        Some(_) => Fate::Refused,
        None => Fate::Accepted,
    }
}

fn is_enhanced_code(text: &str) -> bool {
    let number =
        |part: &str| matches!(part.len(), 1..=3) && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = text.split('.');
    let class = parts.next();
    matches!(class, Some("4" | "5"))
        && parts.next().is_some_and(number)
        && parts.next().is_some_and(number)
        && parts.next().is_none()
}

/// Where a recipient's mail goes: what Postfix made of the address, if it says
/// so and there is a domain in that, else what the client wrote.
pub(super) fn recipient<'a>(resolved: Option<&'a str>, argument: &'a str) -> &'a str {
    resolved
        .filter(|resolved| domain::of_address(resolved).is_some())
        .unwrap_or_else(|| address(argument))
}

/// An address as a macro writes it: some programs put `IPv6:` before it.
pub(super) fn ip(text: &str) -> Option<IpAddr> {
    let bare = match text.split_at_checked(5) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("IPv6:") => rest,
        _ => text,
    };
    bare.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

/// A name as Sendmail writes it in a macro, with `+20` for a space (RFC 3461 calls that
/// xtext). What is no such code stays as it is.
pub(super) fn decoded(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains('+') {
        return text;
    }
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let code = (*first == b'+').then(|| behind.split_at_checked(2)).flatten();
        let decoded = code.and_then(|(code, behind)| Some((hexadecimal(code)?, behind)));
        let (octet, behind) = decoded.unwrap_or((*first, behind));
        octets.push(octet);
        rest = behind;
    }
    Cow::Owned(String::from_utf8_lossy(&octets).into_owned())
}

/// The octet that two hexadecimal digits stand for.
fn hexadecimal(code: &[u8]) -> Option<u8> {
    let are_digits = code.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(code).ok().filter(|_| are_digits)?;
    u8::from_str_radix(text, 16).ok()
}

/// Whether the service at `address` and `port` is one of `daemons`.
pub(super) fn is_one_of(daemons: &[SocketAddr], address: Option<&str>, port: Option<&str>) -> bool {
    let service = address.and_then(ip).zip(port.and_then(|port| port.parse().ok()));
    service.is_some_and(|service| {
        daemons.iter().any(|daemon| (daemon.ip().to_canonical(), daemon.port()) == service)
    })
}

/// An argument as text, whatever its octets.
pub(super) fn text(argument: Option<&CString>) -> Cow<'_, str> {
    argument.map_or(Cow::Borrowed(""), |argument| argument.to_string_lossy())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[track_caller]
    fn mail(arguments: &[&str], resolved: Option<&str>) -> (String, Option<bool>, Option<u64>) {
        let arguments: Vec<_> =
            arguments.iter().map(|argument| CString::new(*argument).unwrap()).collect();
        let mut envelope = Envelope::default();
        envelope.mail(&arguments, resolved);
        let qualified = match envelope.sender() {
            Sender::Null => None,
            Sender::Address { qualified, .. } => Some(qualified),
        };
        (envelope.sender().as_str().to_owned(), qualified, envelope.size)
    }

    #[test]
    fn senders() {
        for (argument, resolved, sender, qualified) in [
            ("<a@x.example>", Some("a@x.example"), "a@x.example", Some(true)),
            ("a@x.example", None, "a@x.example", Some(true)),
            ("<root>", Some("root@mx.example"), "root@mx.example", Some(false)),
            ("<root>", None, "root", Some(false)),
            ("<root>", Some("root"), "root", Some(false)),
            ("<>", None, "", None),
            ("<>", Some("left@over.example"), "", None),
            // Both name a domain, though without an `@`.
            ("<u%evil.example>", Some("u@evil.example"), "u@evil.example", Some(true)),
            ("<evil.example!u>", Some("u@evil.example"), "u@evil.example", Some(true)),
        ] {
            let (found, found_qualified, _) = mail(&[argument], resolved);
            assert_eq!(found, sender, "{argument} {resolved:?}");
            assert_eq!(found_qualified, qualified, "{argument} {resolved:?}");
        }
        assert_eq!(mail(&[], None), (String::new(), None, None));
    }

    #[test]
    fn sizes() {
        assert_eq!(mail(&["<a>", "BODY=8BITMIME", "size=123"], None).2, Some(123));
        assert_eq!(mail(&["<a> SIZE=7 BODY=7BIT"], None).2, Some(7));
        assert_eq!(mail(&["<a> SIZE=7"], None).0, "a");
        for odd in ["SIZE=", "SIZE=-1", "SIZE=99999999999999999999", "SIZ", "SIZE"] {
            assert_eq!(mail(&["<a>", odd], None).2, None, "{odd}");
        }
    }

    #[test]
    fn only_a_bare_5_1_code_says_unknown() {
        let virtual_alias = Some("5.1.1 User unknown in virtual alias table");
        for (mailer, host, expected) in [
            (Some("smtp"), Some("example.org"), Fate::Accepted),
            (None, None, Fate::Accepted),
            (Some("error"), Some("5.1.1"), Fate::Unknown),
            (Some("error"), Some("5.1.10"), Fate::Unknown),
            (Some("error"), virtual_alias, Fate::Accepted),
            (Some("error"), Some("4.1.2"), Fate::Refused),
            (Some("error"), Some("4.7.1"), Fate::Refused),
            (Some("error"), Some("5.7.1"), Fate::Refused),
            (Some("error"), None, Fate::Accepted),
            (Some("smtp"), Some("5.1.1"), Fate::Accepted),
            (Some("error"), Some("5.1.1.1"), Fate::Accepted),
            (Some("error"), Some("5..1"), Fate::Accepted),
        ] {
            assert_eq!(fate(mailer, || host.map(Cow::Borrowed)), expected, "{mailer:?} {host:?}");
        }
    }

    #[test]
    fn the_resolved_recipient_decides() {
        for (resolved, argument, expected) in [
            (Some("u@a.example"), "<u@a.example>", "u@a.example"),
            (Some("u@evil.example"), "<u%evil.example@a.example>", "u@evil.example"),
            (Some("root@mx.example"), "<root>", "root@mx.example"),
            (None, "<u@a.example>", "u@a.example"),
            (None, "<\"u@b.example\"@a.example>", "\"u@b.example\"@a.example"),
            (Some("root"), "<root>", "root"),
            (None, "", ""),
        ] {
            assert_eq!(recipient(resolved, argument), expected, "{argument}");
        }
    }

    #[test]
    fn names_as_sendmail_encodes_them() {
        for (text, expected) in [
            ("Test CA", "Test CA"),
            ("Test+20CA", "Test CA"),
            ("a+2Bb+28c+29", "a+b(c)"),
            ("B+C3+BCro", "Büro"),
            ("+", "+"),
            ("a+2", "a+2"),
            ("+zz+-1", "+zz+-1"),
            ("+++41", "++A"),
        ] {
            assert_eq!(decoded(Cow::Borrowed(text)), expected, "{text}");
        }
    }

    #[test]
    fn services_that_take_mail_back() {
        let daemons = ["127.0.0.1:10025".parse().unwrap(), "[::1]:10025".parse().unwrap()];
        let is = |address, port| is_one_of(&daemons, address, port);
        assert!(is(Some("127.0.0.1"), Some("10025")));
        assert!(is(Some("::ffff:127.0.0.1"), Some("10025")));
        assert!(is(Some("IPv6:::1"), Some("10025")));
        assert!(!is(Some("127.0.0.1"), Some("25")));
        assert!(!is(Some("unknown"), Some("10025")));
        assert!(!is(None, Some("10025")));
        assert!(!is(Some("127.0.0.1"), None));
    }
}
