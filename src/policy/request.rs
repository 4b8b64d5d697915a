//! One request of Postfix's policy delegation protocol (SMTPD_POLICY_README):
//!
//! ```text
//! request=smtpd_access_policy
//! protocol_state=RCPT
//! sender=alice@example.org
//! ...
//!
//! ```
//!
//! a line `name=value` for each attribute, ended by an empty line. Attributes that we
//! have no use for are skipped; of one that comes twice the last counts. Octets that are
//! no UTF-8 are replaced: what a client chose may be anything.

use crate::{
    connector::{CertificateDigest, CertificateDigests, DigestError},
    handover::Ends,
};
use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

/// Octets of a request at the most, the empty line included: Postfix sends some 1,000,
/// and no attribute longer than a line of SMTP.
pub(super) const MAX_REQUEST: usize = 64 * 1024;

/// Why something is no request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum RequestError {
    /// A line without a `=`.
    #[error("a line is no name=value")]
    Line,
    /// Of another protocol.
    #[error("the request is not smtpd_access_policy")]
    Kind,
}

/// What stage of a session asks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Stage {
    /// A recipient.
    Recipient,
    /// The end of a message.
    End,
    /// One at which there is nothing to say.
    #[default]
    Other,
}

/// The attributes that matter; empty where they are not there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Request<'a> {
    pub(super) stage: Stage,
    /// The same in all requests of a message.
    pub(super) instance: Cow<'a, str>,
    pub(super) queue_id: Cow<'a, str>,
    pub(super) helo: Cow<'a, str>,
    pub(super) sender: Cow<'a, str>,
    /// At the end of a message only where it has just one.
    pub(super) recipient: Cow<'a, str>,
    /// Accepted recipients, at the end of a message.
    pub(super) recipient_count: u32,
    /// In octets; what the client declared, at the end of a message what came.
    pub(super) size: Option<u64>,
    pub(super) login: Cow<'a, str>,
    /// Of a certificate that Postfix trusts.
    pub(super) subject: Cow<'a, str>,
    pub(super) issuer: Cow<'a, str>,
    /// Of any certificate, in the digits of some algorithm.
    fingerprint: Cow<'a, str>,
    public_key_fingerprint: Cow<'a, str>,
    client_address: Cow<'a, str>,
    client_port: Cow<'a, str>,
    server_address: Cow<'a, str>,
    server_port: Cow<'a, str>,
}

impl<'a> Request<'a> {
    /// Reads the lines of a request, without the empty one at its end.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, RequestError> {
        let mut request = Self::default();
        let mut is_policy = false;
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let at = memchr::memchr(b'=', line).ok_or(RequestError::Line)?;
            let (name, rest) = line.split_at(at);
            let value = String::from_utf8_lossy(rest.get(1..).unwrap_or_default());
            match name {
                b"request" => is_policy = value == "smtpd_access_policy",
                b"protocol_state" => request.stage = stage(&value),
                b"instance" => request.instance = value,
                b"queue_id" => request.queue_id = value,
                b"helo_name" => request.helo = value,
                b"sender" => request.sender = value,
                b"recipient" => request.recipient = value,
                b"recipient_count" => request.recipient_count = value.parse().unwrap_or(0),
                b"size" => request.size = value.parse().ok().filter(|size| *size > 0),
                b"sasl_username" => request.login = value,
                b"ccert_subject" => request.subject = common_name(value),
                b"ccert_issuer" => request.issuer = common_name(value),
                b"ccert_fingerprint" => request.fingerprint = value,
                b"ccert_pubkey_fingerprint" => request.public_key_fingerprint = value,
                b"client_address" => request.client_address = value,
                b"client_port" => request.client_port = value,
                b"server_address" => request.server_address = value,
                b"server_port" => request.server_port = value,
                _ => {}
            }
        }
        if is_policy { Ok(request) } else { Err(RequestError::Kind) }
    }

    /// Address of the client, where it has one.
    pub(super) fn client(&self) -> Option<IpAddr> {
        address(&self.client_address)
    }

    /// The service of Postfix that asks.
    pub(super) fn service(&self) -> Option<SocketAddr> {
        end(&self.server_address, &self.server_port)
    }

    /// Both ends of the client's connection, where they are known.
    pub(super) fn ends(&self) -> Option<Ends> {
        let client = end(&self.client_address, &self.client_port)?;
        self.service().map(|server| Ends::new(client, server))
    }

    /// The fingerprints of the client's certificate, if it showed one.
    ///
    /// # Errors
    /// If they are none, or of an algorithm that proves nothing.
    pub(super) fn digests(&self) -> Result<Option<CertificateDigests>, DigestError> {
        let digests = CertificateDigests {
            certificate: CertificateDigest::of_postfix(&self.fingerprint)?,
            public_key: CertificateDigest::of_postfix(&self.public_key_fingerprint)?,
        };
        Ok(Some(digests).filter(|digests| !digests.is_empty()))
    }
}

fn stage(text: &str) -> Stage {
    match text {
        "RCPT" => Stage::Recipient,
        "END-OF-MESSAGE" => Stage::End,
        _ => Stage::Other,
    }
}

fn address(text: &str) -> Option<IpAddr> {
    let bare = match text.split_at_checked(5) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("IPv6:") => rest,
        _ => text,
    };
    bare.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn end(text: &str, port: &str) -> Option<SocketAddr> {
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some(SocketAddr::new(address(text)?, port))
}

/// A common name, which Postfix encodes as xtext (RFC 3461, 4): `+` and two hexadecimal
/// digits for what is no printable ASCII, for `+` and for `=`. What is not so encoded
/// stays as it is.
fn common_name(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains('+') {
        return text;
    }
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let coded = behind.split_at_checked(2).filter(|_| *first == b'+');
        let octet = coded.and_then(|(digits, _)| {
            let digits = std::str::from_utf8(digits).ok()?;
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_hex.then(|| u8::from_str_radix(digits, 16).ok())?
        });
        octets.push(octet.unwrap_or(*first));
        rest = if octet.is_some() { coded.map_or(behind, |(_, rest)| rest) } else { behind };
    }
    Cow::Owned(String::from_utf8_lossy(&octets).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn what_postfix_sends() {
        let text = "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n\
            helo_name=erp.example.org\nqueue_id=\nsender=alice@example.org\n\
            recipient=bob@example.net\nrecipient_count=0\nclient_address=2001:db8::7\n\
            client_name=unknown\ninstance=123.456.7\nsasl_username=alice\nsize=12345\n\
            ccert_subject=solar9.example+20org\nccert_issuer=CA+2BB+C3+BCro\n\
            ccert_fingerprint=\nclient_port=1234\nserver_address=2001:db8::1\nserver_port=587\n";
        let request = Request::parse(text.as_bytes()).unwrap();
        assert_eq!(request.stage, Stage::Recipient);
        assert_eq!(request.instance, "123.456.7");
        assert_eq!(request.helo, "erp.example.org");
        assert_eq!(
            (&*request.sender, &*request.recipient),
            ("alice@example.org", "bob@example.net")
        );
        assert_eq!(request.size, Some(12345));
        assert_eq!((&*request.login, &*request.queue_id), ("alice", ""));
        assert_eq!((&*request.subject, &*request.issuer), ("solar9.example org", "CA+Büro"));
        assert_eq!(request.client(), Some("2001:db8::7".parse().unwrap()));
        let ends = request.ends().unwrap();
        assert_eq!(ends.client, "[2001:db8::7]:1234".parse().unwrap());
        assert_eq!(ends.server, "[2001:db8::1]:587".parse().unwrap());
        assert_eq!(request.digests(), Ok(None));
    }

    #[test]
    fn what_is_missing_or_odd_is_not_there() {
        let parse = |text: &'static str| Request::parse(text.as_bytes());
        let bare = parse("request=smtpd_access_policy").unwrap();
        assert_eq!(bare, Request::default());
        assert_eq!((bare.client(), bare.ends()), (None, None));
        let odd = parse(
            "request=smtpd_access_policy\nclient_address=unknown\nclient_port=unknown\n\
             size=x\nrecipient_count=-1\nprotocol_state=MARS\n=\nsize==\n",
        )
        .unwrap();
        assert_eq!((odd.client(), odd.ends(), odd.size), (None, None, None));
        assert_eq!((odd.recipient_count, odd.stage), (0, Stage::Other));
        for port in ["0", "65536", ""] {
            let text = format!(
                "request=smtpd_access_policy\nclient_address=192.0.2.7\nclient_port={port}\n\
                 server_address=192.0.2.1\nserver_port=25\n"
            );
            assert_eq!(Request::parse(text.as_bytes()).unwrap().ends(), None);
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let parse = |text: &'static [u8]| Request::parse(text).map(drop);
        assert_eq!(parse(b""), Err(RequestError::Kind));
        assert_eq!(parse(b"sender=a\n"), Err(RequestError::Kind));
        assert_eq!(parse(b"request=junk\n"), Err(RequestError::Kind));
        assert_eq!(parse(b"GET / HTTP/1.1\n"), Err(RequestError::Line));
        assert_eq!(parse(b"request=smtpd_access_policy\nsender\n"), Err(RequestError::Line));
    }

    #[test]
    fn octets_that_are_no_text_are_replaced() {
        let request = Request::parse(b"request=smtpd_access_policy\nsender=a\xff@x.example\n");
        assert_eq!(request.unwrap().sender, "a\u{fffd}@x.example");
    }

    #[test]
    fn common_names_are_decoded() {
        for (coded, name) in [
            ("a+20b", "a b"),
            ("a+2", "a+2"),
            ("+", "+"),
            ("+zz", "+zz"),
            ("+2B2B", "+2B"),
            ("", ""),
        ] {
            assert_eq!(common_name(Cow::Borrowed(coded)), name, "{coded}");
        }
    }
}
