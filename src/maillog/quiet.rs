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
const OF_SESSION: [&str; 74] = [
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
    if OF_MESSAGE.iter().any(|start| text.starts_with(start)) {
        Skip::NoMail
    } else {
        Skip::Unknown
    }
}

/// Why a line about no message is skipped.
pub(super) fn of_session(_program: &str, text: &str) -> Skip {
    if text.is_empty() {
        return Skip::Cut;
    }
    if ["warning: ", "error: ", "fatal: ", "panic: "].iter().any(|start| text.starts_with(start)) {
        return Skip::Warning;
    }
    if OF_SESSION.iter().any(|start| text.starts_with(start)) || is_verbose(text) {
        return Skip::NoMail;
    }
    Skip::Unknown
}

/// What a program with `-v` logs: mostly the name of a function and a colon.
fn is_verbose(text: &str) -> bool {
    let end = text.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'_'));
    let function = end.and_then(|end| text.split_at_checked(end)).is_some_and(|(name, rest)| {
        name.contains('_') && (rest.starts_with(':') || rest.starts_with(' '))
    });
    function
        || [
            "send attr ",
            "input attribute ",
            "private/",
            "> ",
            "< ",
            ">>> ",
            "<<< ",
            "been_here: ",
            "name_mask: ",
            "request",
            "public/",
        ]
        .iter()
        .any(|start| text.starts_with(start))
}
