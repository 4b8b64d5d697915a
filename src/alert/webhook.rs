//! Alerts by a POST request with JSON. The header `X-Connguard-Signature` is
//! `sha256=` and HMAC-SHA256 of the body under the shared secret, in hex.
//!
//! 2xx is done; 408, 429, 5xx and no answer are tried again; anything else is
//! final. Redirects are not followed: the body is for the place that is named.

use super::{
    channel::Failure,
    params::{Secret, Webhook},
};
use crate::view::Alert;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::{sync::Arc, time::Duration};
use ureq::{
    Agent,
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(15);
/// Where systems keep the certificates that they trust.
const TRUSTED: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Posts an alert.
pub(super) fn send(webhook: &Webhook, alert: &Alert) -> Result<(), Failure> {
    let body = serde_json::to_vec(alert).map_err(|error| Failure::Never(error.to_string()))?;
    let url = webhook.url.reveal();
    let config = Agent::config_builder()
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(WHOLE))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("connguard/", env!("CARGO_PKG_VERSION")));
    let config = if url.starts_with("https:") {
        config.tls_config(TlsConfig::builder().root_certs(trusted()).build())
    } else {
        config
    };
    let agent = Agent::new_with_config(config.build());
    let mut request = agent.post(url).header("Content-Type", "application/json");
    if let Some(secret) = &webhook.secret {
        request = request.header("X-Connguard-Signature", signature(secret, &body));
    }
    let shown = webhook.shown();
    match request.send(&body) {
        Ok(response) => match response.status().as_u16() {
            200..=299 => Ok(()),
            status @ (408 | 429 | 500..=599) => {
                Err(Failure::Later(format!("{shown} answered {status}")))
            }
            status @ 300..=399 => Err(Failure::Never(format!(
                "{shown} answered {status}, and redirects are not followed: name its last place"
            ))),
            status => Err(Failure::Never(format!("{shown} answered {status}"))),
        },
        Err(error) => Err(Failure::Later(format!("{shown}: {error}"))),
    }
}

/// The value of the header.
pub(super) fn signature(secret: &Secret, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()) else {
        return String::new();
    };
    mac.update(body);
    let digits = mac.finalize().into_bytes();
    digits.iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Whom this system trusts, or else whom browsers do.
fn trusted() -> RootCerts {
    let bundle = TRUSTED.iter().find_map(|path| std::fs::read(path).ok());
    let certificates: Vec<_> = bundle
        .iter()
        .flat_map(|bundle| parse_pem(bundle))
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        RootCerts::WebPki
    } else {
        RootCerts::Specific(Arc::new(certificates))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_openssl() {
        // printf '{"a":1}' | openssl dgst -sha256 -hmac key
        assert_eq!(
            signature(&"key".into(), br#"{"a":1}"#),
            "sha256=88a67f24bbcdaed0e6c997404bb79a743baf44c6bab2f4c27328e3009d22e342"
        );
    }
}
