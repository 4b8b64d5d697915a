#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
use super::*;
use crate::connector::CertificateDigests;

fn certificate(subject: &str) -> CertificateName {
    CertificateName::new(subject, "CA")
}

fn directory() -> Directory {
    let named = |name: &str, clients: &[&str], subject: Option<&str>, logins: &[&str]| Named {
        name: name.into(),
        clients: clients.iter().map(|text| text.parse().unwrap()).collect(),
        certificate: subject.map(certificate),
        logins: logins.iter().map(|login| (*login).into()).collect(),
        ..Named::default()
    };
    Directory::new(Params {
        connectors: vec![
            named("office", &["192.0.2.0/24"], None, &[]),
            named("erp", &["192.0.2.10/32"], Some("erp"), &["erp@x.test"]),
            named("crm", &[], Some("crm"), &[]),
        ],
        relay_networks: vec!["198.51.100.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        trusted_clients: vec!["198.51.100.99/32".parse().unwrap()],
        trusted_logins: vec!["monitor@x.test".into()],
        discover: true,
        ..Params::default()
    })
}

fn identities(client: &str, subject: Option<&str>, login: Option<&str>) -> Identities {
    Identities {
        client: Some(client.parse().unwrap()),
        certificate: subject.map(certificate),
        login: login.map(Into::into),
        ..Identities::default()
    }
}

fn counted(client: &str, subject: Option<&str>, login: Option<&str>) -> String {
    let resolution = directory().resolve(&identities(client, subject, login));
    resolution.counted.map_or_else(|| "none".into(), |key| key.to_string())
}

fn meets(client: &str, subject: Option<&str>, login: Option<&str>, entity: &str) -> bool {
    let resolution = directory().resolve(&identities(client, subject, login));
    resolution.enforced.contains(&entity.parse().unwrap())
}

#[test]
fn a_configured_connector_beats_a_discovered_one() {
    assert_eq!(counted("192.0.2.10", None, None), "connector:erp");
    assert_eq!(counted("192.0.2.11", None, None), "connector:office");
    assert_eq!(counted("192.0.2.11", Some("crm"), None), "connector:crm");
    assert_eq!(counted("192.0.2.11", None, Some("bob")), "connector:office");
    assert_eq!(counted("203.0.113.1", Some("other"), Some("erp@x.test")), "connector:erp");
}

#[test]
fn a_discovered_connector_has_its_strongest_key() {
    assert_eq!(counted("198.51.100.7", None, None), "client:198.51.100.7");
    assert_eq!(counted("2001:db8::7", None, None), "client:2001:db8::/64");
    assert_eq!(counted("198.51.100.7", Some("other"), None), "cert:other/CA");
    assert_eq!(counted("198.51.100.7", Some("other"), Some("bob")), "login:bob");
}

#[test]
fn without_relay_rights_there_is_no_connector() {
    assert_eq!(counted("203.0.113.1", None, None), "none");
    assert!(meets("203.0.113.1", None, None, "client:203.0.113.1"));
}

#[test]
fn leaving_out_an_identity_does_not_help() {
    assert!(meets("192.0.2.10", None, None, "connector:erp"));
    assert!(meets("192.0.2.10", None, Some("bob"), "connector:erp"));
    assert!(meets("198.51.100.7", None, Some("bob"), "client:198.51.100.7"));
    assert!(meets("198.51.100.7", None, None, "client:198.51.100.0/24"));
}

#[test]
fn clients_behind_one_address_are_told_apart_by_certificate() {
    assert!(!meets("192.0.2.10", Some("crm"), None, "connector:erp"));
    assert!(meets("192.0.2.10", Some("crm"), None, "connector:crm"));
    // A certificate that nobody configured proves nothing about that.
    assert!(meets("192.0.2.10", Some("other"), None, "connector:erp"));
}

#[test]
fn trust_by_address_covers_bare_sessions_only() {
    let trusted =
        |client, subject, login| directory().resolve(&identities(client, subject, login)).trusted;
    assert!(trusted("198.51.100.99", None, None));
    assert!(!trusted("198.51.100.99", None, Some("bob")));
    assert!(!trusted("198.51.100.99", Some("crm"), None));
    assert!(trusted("203.0.113.1", None, Some("monitor@x.test")));
    assert!(!trusted("127.0.0.1", None, None));
}

#[test]
fn a_key_finds_the_name_it_got() {
    let current = |text: &str| directory().current(&text.parse().unwrap()).to_string();
    assert_eq!(current("client:192.0.2.10"), "connector:erp");
    assert_eq!(current("client:192.0.2.0/24"), "connector:office");
    assert_eq!(current("login:erp@x.test"), "connector:erp");
    assert_eq!(current("client:198.51.100.7"), "client:198.51.100.7");
    let heir = |text: &str| directory().heir(&text.parse().unwrap()).to_string();
    assert_eq!(heir("client:192.0.2.10"), "connector:erp");
    assert_eq!(heir("client:192.0.2.0/24"), "connector:office");
    assert_eq!(heir("client:192.0.2.11"), "client:192.0.2.11");
    assert_eq!(heir("login:erp@x.test"), "connector:erp");
}

fn digest(octet: u8) -> CertificateDigest {
    let digits = format!("{octet:02X}").repeat(32);
    CertificateDigest::of_postfix(&digits).unwrap().unwrap()
}

/// Who a client with this certificate, and this key, is.
fn by_digests(certificate: u8, public_key: u8, login: Option<&str>) -> Resolution {
    let named = |name: &str, digests: &[u8]| Named {
        name: name.into(),
        digests: digests.iter().map(|octet| digest(*octet)).collect(),
        ..Named::default()
    };
    let directory = Directory::new(Params {
        connectors: vec![named("partner", &[1, 2]), named("plant", &[3])],
        relay_networks: vec!["198.51.100.0/24".parse().unwrap()],
        trusted_clients: vec!["198.51.100.7/32".parse().unwrap()],
        discover: true,
        ..Params::default()
    });
    let digests = CertificateDigests {
        certificate: Some(digest(certificate)),
        public_key: Some(digest(public_key)),
    };
    directory.resolve(&Identities {
        digests: Some(Arc::new(digests)),
        ..identities("198.51.100.7", None, login)
    })
}

#[test]
fn a_fingerprint_of_the_certificate_or_its_key_is_enough() {
    let counted = |certificate, public_key| {
        by_digests(certificate, public_key, None).counted.unwrap().to_string()
    };
    assert_eq!(counted(1, 9), "connector:partner");
    assert_eq!(counted(9, 2), "connector:partner");
    assert_eq!(counted(3, 9), "connector:plant");
    // The certificate, which is renewed more often, says more than its key.
    assert_eq!(counted(3, 1), "connector:plant");
}

#[test]
fn a_fingerprint_that_nobody_names_says_nothing() {
    let unknown = by_digests(8, 9, None);
    assert_eq!(unknown.counted.unwrap().to_string(), "client:198.51.100.7");
    assert!(unknown.trusted, "it is as a client without a certificate");
    let known = by_digests(1, 9, None);
    assert!(!known.trusted, "trust of an address does not cover who proves to be somebody");
}

#[test]
fn whoever_is_known_by_fingerprint_is_not_bound_by_the_address() {
    let session = by_digests(1, 9, None);
    let entities: Vec<_> = session.enforced.iter().map(ToString::to_string).collect();
    assert_eq!(entities, ["connector:partner"]);
    let with_login = by_digests(1, 9, Some("bob"));
    let entities: Vec<_> = with_login.enforced.iter().map(ToString::to_string).collect();
    assert_eq!(entities, ["connector:partner", "login:bob"]);
}
