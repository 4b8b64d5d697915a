//! Fingerprints of client certificates: what tells a client apart whose certificate no
//! CA vouches for. Postfix takes them of any certificate that was used in the TLS
//! handshake, in which the client proved that it has the private key.
//!
//! Of two texts: the configuration names the algorithm (`sha256:AB:CD:...`), Postfix
//! gives digits only, of the algorithm that its smtpd_tls_fingerprint_digest names.
//! What is no secure digest (MD5, SHA-1) is none here.

use std::{fmt, str::FromStr, sync::Arc};

/// Algorithms with the octets of their digests.
const ALGORITHMS: [(&str, usize); 3] = [("sha256", 32), ("sha384", 48), ("sha512", 64)];

/// The digest of a certificate, or of the public key in it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CertificateDigest(Arc<[u8]>);

/// What a client has shown: the fingerprint of its certificate, and that of its public
/// key, which stays when the certificate is renewed with the same key.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CertificateDigests {
    /// Of the certificate.
    pub certificate: Option<CertificateDigest>,
    /// Of its public key.
    pub public_key: Option<CertificateDigest>,
}

impl CertificateDigests {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Those that there are.
    pub fn iter(&self) -> impl Iterator<Item = &CertificateDigest> {
        self.certificate.iter().chain(&self.public_key)
    }
}

/// Why a text is no fingerprint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DigestError {
    /// Not what a digest is written as.
    #[error(
        "{0:?} is no fingerprint: write \"sha256:\" (or sha384, sha512) and its hexadecimal digits, with or without colons, as `openssl x509 -noout -fingerprint -sha256 -in CERTIFICATE` prints them"
    )]
    Malformed(String),
    /// Another number of digits than the algorithm gives.
    #[error("a {algorithm} fingerprint has {expected} octets; {text:?} has {found}")]
    Length {
        /// The text.
        text: String,
        /// The algorithm that it names.
        algorithm: &'static str,
        /// Octets in it.
        found: usize,
        /// Octets of such a digest.
        expected: usize,
    },
    /// An algorithm by which certificates can be forged.
    #[error(
        "{0:?} is of an algorithm with which others can make a certificate of the same fingerprint: set `smtpd_tls_fingerprint_digest = sha256` in main.cf, and write the sha256 one"
    )]
    Weak(String),
}

impl CertificateDigest {
    /// The fingerprint in an attribute of a policy request (SMTPD_POLICY_README), where
    /// there is one.
    ///
    /// # Errors
    /// If it is none, or of a weak algorithm.
    pub fn of_postfix(text: &str) -> Result<Option<Self>, DigestError> {
        if text.is_empty() {
            return Ok(None);
        }
        let octets = octets(text).ok_or_else(|| DigestError::Malformed(text.into()))?;
        match octets.len() {
            16 | 20 => Err(DigestError::Weak(text.into())),
            length if ALGORITHMS.iter().any(|(_, expected)| *expected == length) => {
                Ok(Some(Self(octets.into())))
            }
            _ => Err(DigestError::Malformed(text.into())),
        }
    }
}

impl FromStr for CertificateDigest {
    type Err = DigestError;

    /// As the configuration writes it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || DigestError::Malformed(text.into());
        let (name, digits) = text.split_once(':').ok_or_else(malformed)?;
        if ["md5", "sha1"].iter().any(|weak| name.eq_ignore_ascii_case(weak)) {
            return Err(DigestError::Weak(text.into()));
        }
        let known = ALGORITHMS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        let (algorithm, expected) = *known.ok_or_else(malformed)?;
        let octets = octets(digits).ok_or_else(malformed)?;
        if octets.len() != expected {
            let (text, found) = (text.to_owned(), octets.len());
            return Err(DigestError::Length { text, algorithm, found, expected });
        }
        Ok(Self(octets.into()))
    }
}

impl fmt::Display for CertificateDigest {
    /// As the configuration writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALGORITHMS.iter().find(|(_, octets)| *octets == self.0.len());
        f.write_str(name.map_or("", |(name, _)| name))?;
        self.0.iter().try_for_each(|octet| write!(f, ":{octet:02X}"))
    }
}

/// The octets of hexadecimal digits, with a colon between any two octets or none at all.
fn octets(text: &str) -> Option<Vec<u8>> {
    let octet = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok()?;
        // A sign is none.
        let is_hex = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u8::from_str_radix(digits, 16).ok())?
    };
    if text.is_empty() {
        None
    } else if text.contains(':') {
        text.split(':').map(|digits| octet(digits.as_bytes())).collect()
    } else {
        text.as_bytes().chunks(2).map(octet).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn digits(octets: usize) -> String {
        (0..octets).map(|n| format!("{n:02X}")).collect::<Vec<_>>().join(":")
    }

    #[test]
    fn both_spellings_are_one_fingerprint() {
        for (algorithm, octets) in ALGORITHMS {
            let given = CertificateDigest::of_postfix(&digits(octets)).unwrap().unwrap();
            let plain = digits(octets).replace(':', "").to_lowercase();
            for text in [
                format!("{algorithm}:{}", digits(octets)),
                format!("{algorithm}:{plain}"),
                format!("{}:{plain}", algorithm.to_uppercase()),
            ] {
                assert_eq!(text.parse::<CertificateDigest>().unwrap(), given, "{text}");
            }
            assert_eq!(given.to_string(), format!("{algorithm}:{}", digits(octets)));
        }
        assert_eq!(CertificateDigest::of_postfix(""), Ok(None));
    }

    #[test]
    fn what_is_none_is_told() {
        let good = digits(32);
        for text in ["", "sha256", "sha256:", "sha256:zz", &good, "sha3:00", "sha256:+1:-1"] {
            let error = text.parse::<CertificateDigest>().unwrap_err();
            assert!(matches!(error, DigestError::Malformed(_)), "{text}: {error}");
        }
        let short = format!("sha256:{}", digits(31)).parse::<CertificateDigest>().unwrap_err();
        assert!(short.to_string().starts_with("a sha256 fingerprint has 32 octets; "));
        for weak in [format!("md5:{}", digits(16)), format!("SHA1:{}", digits(20))] {
            let error = weak.parse::<CertificateDigest>().unwrap_err();
            assert!(matches!(error, DigestError::Weak(_)), "{error}");
        }
        for octets in [16, 20] {
            let error = CertificateDigest::of_postfix(&digits(octets)).unwrap_err();
            assert!(error.to_string().contains("smtpd_tls_fingerprint_digest"), "{error}");
        }
        for text in ["0", "00:0", "00::00", &digits(33), "not hex"] {
            assert!(CertificateDigest::of_postfix(text).is_err(), "{text}");
        }
    }
}
