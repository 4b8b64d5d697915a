//! Lines that say nothing of use, by their first words.
//!
//! They are listed so that a line which nobody understands stands out.

use super::Skip;

/// What stands behind a queue id where a line says nothing that its delivery
/// result, or its removal, does not say too.
const OF_MESSAGE: [&str; 20] = [
    // smtp tries the next host.
    "host ",
    "lost connection with ",
    "conversation with ",
    "connect to ",
    "Cannot start TLS",
    "TLS is required",
    "Server certificate ",
    "SASL authentication failed",
    "enabling PIX workarounds",
    "breaking line ",
    "Non-SMTP response ",
    "uses ",
    // qmgr, postsuper, and a second Message-ID.
    "skipped, still being delivered",
    "released from hold",
    "placed on hold",
    "requeued",
    "expired",
    "resent-message-id=",
    "message delayed",
    "recipient limit ",
];

/// Beginnings of lines without a queue id that are about no message.
const OF_SESSION: [&str; 77] = [
    // rsyslog: what it repeats counted the first time.
    "message repeated ",
    // postscreen, dnsblog, tlsproxy.
    "CONNECT from ",
    "DISCONNECT ",
    "PASS ",
    "HANGUP after ",
    "PREGREET ",
    "DNSBL rank ",
    "COMMAND ",
    "NON-SMTP COMMAND ",
    "BARE NEWLINE ",
    "WHITELIST",
    "ALLOWLIST",
    "BLACKLIST",
    "DENYLIST",
    "addr ",
    "cache ",
    "close database ",
    "entering STRESS mode",
    "leaving STRESS mode",
    "STRESS ",
    "service ",
    "ciphertext read/write",
    // smtpd.
    "connect from ",
    "disconnect from ",
    "lost connection after ",
    "timeout after ",
    "too many errors after ",
    "improper command pipelining ",
    "bare <LF> ",
    "discarding EHLO keywords",
    "disconnect: ",
    "initializing the server-side TLS engine",
    "setting up TLS connection ",
    "SSL_accept",
    "TLS handshake failed",
    "TLS library",
    "Certificate ",
    "abort all TLS",
    // smtp, lmtp.
    "connect to ",
    "initializing the client-side TLS engine",
    "certificate ",
    "SSL_connect",
    "SASL authentication failed",
    "Host offered STARTTLS",
    "Server certificate ",
    "Anonymous TLS connection ",
    "Untrusted TLS connection ",
    "Trusted TLS connection ",
    "Verified TLS connection ",
    "Verified: ",
    "Untrusted: ",
    "looking for session ",
    "save session ",
    "remove session ",
    "reloaded session ",
    "depth=",
    "subject=",
    "issuer=",
    "address lookup ",
    // anvil, scache, verify, master, scripts, commands.
    "statistics: ",
    "daemon started ",
    "reload ",
    "terminating on signal ",
    "starting the Postfix mail system",
    "stopping the Postfix mail system",
    "refreshing the Postfix mail system",
    "waiting for the Postfix mail system",
    "Postfix is running",
    "the Postfix mail system is ",
    "table ",
    "using backwards-compatible ",
    "premature end-of-input",
    "Placed on hold",
    "Released from hold",
    "Requeued",
    "Deleted",
    "Expired",
];

/// Why a line about a message is skipped.
pub(super) fn of_message(text: &str) -> Skip {
    if starts_as(text, &OF_MESSAGE) { Skip::NoMail } else { Skip::Unknown }
}

/// Why a line about no message is skipped.
pub(super) fn of_session(text: &str) -> Skip {
    const LEVELS: [&str; 4] = ["warning: ", "error: ", "fatal: ", "panic: "];
    let starts = |list: &[&str]| starts_as(text, list);
    if text.is_empty() {
        Skip::Cut
    } else if starts(&LEVELS) {
        Skip::Warning
    } else if starts(&OF_SESSION) || starts(&VERBOSE) || names_a_function(text) {
        Skip::NoMail
    } else {
        Skip::Unknown
    }
}

/// Whether a text starts as one of `list`. The first octet rules out nearly all of
/// them without a call.
fn starts_as(text: &str, list: &[&str]) -> bool {
    let first = text.as_bytes().first();
    list.iter().any(|start| start.as_bytes().first() == first && text.starts_with(start))
}

/// `match_hostname: …`: most of what a program with `-v` logs.
fn names_a_function(text: &str) -> bool {
    let end = text.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'_'));
    end.and_then(|end| text.split_at_checked(end)).is_some_and(|(name, rest)| {
        name.contains('_') && (rest.starts_with(':') || rest.starts_with(' '))
    })
}

/// What else a program with `-v` logs.
const VERBOSE: [&str; 42] = [
    "> ",
    "< ",
    ">>> ",
    "<<< ",
    "send attr ",
    "input attribute ",
    "private/",
    "public/",
    "smtp socket: ",
    "cleanup socket: ",
    "been_here: ",
    "request: ",
    "request ignored",
    "trigger ",
    "initial envelope ",
    "extracted envelope ",
    "header ",
    "start ",
    "end ",
    "begin ",
    "done ",
    "before ",
    "after ",
    "process generation: ",
    "mynetworks: ",
    "wakeup ",
    "idle timeout -- ",
    "connection established",
    "connection closed",
    "connecting to ",
    "fsspace: ",
    "rewrite stream ",
    "proxymap stream ",
    "master disconnect ",
    "open ",
    "lookup ",
    "pref ",
    "host name lookup methods: ",
    "cleanup flags = ",
    "Compiled against ",
    "Run-time linked against ",
    "starting up",
];
