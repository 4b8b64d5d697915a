//! Who a session belongs to: certificate, login, address.

use super::harness::SOON;
use super::harness::certs::{Certificate, Certs, ISSUER};
use super::harness::config::Config;
use super::harness::site::{OURS, REMOTE, Site, odd, take_over};
use super::harness::smtp::SmtpClient;
use super::harness::swaks::{Dialog, send_tls};

/// Two connectors known by certificate only, behind one address.
fn two_certificates(config: &mut Config) {
    for name in ["erp", "crm"] {
        let certificate =
            format!("certificate = {{ subject = \"{name}.example.org\", issuer = \"{ISSUER}\" }}");
        config.connector(name, &certificate);
    }
}

fn send(site: &Site, client: &str, certificate: Option<&Certificate>, from: &str) -> Dialog {
    send_tls(client, site.postfix.port(), certificate, from, REMOTE)
}

/// Sends odd mail with this certificate until it is refused.
fn take_over_tls(site: &Site, client: &str, certificate: &Certificate) -> Dialog {
    for n in 0..=10 {
        let dialog = send(site, client, Some(certificate), &odd(n));
        if !dialog.accepted() {
            return dialog;
        }
    }
    panic!("eleven messages from unregistered domains have passed");
}

#[test]
fn two_clients_behind_one_address_are_told_apart_by_certificate() {
    let site = Site::with(|config, _| two_certificates(config));
    let erp = site.certs.issue("erp", "erp.example.org");
    let crm = site.certs.issue("crm", "crm.example.org");
    let shared = "127.0.0.9";
    send(&site, shared, Some(&crm), OURS).assert_accepted();
    take_over_tls(&site, shared, &erp).assert_tempfail();
    send(&site, shared, Some(&erp), OURS).assert_tempfail();
    send(&site, shared, Some(&crm), OURS).assert_accepted();
    assert!(site.daemon.listed("connector:erp").is_some());
    assert_eq!(site.daemon.list().len(), 1);
}

#[test]
fn a_self_signed_certificate_is_not_taken_for_the_connector() {
    let site = Site::with(|config, _| two_certificates(config));
    let erp = site.certs.issue("erp", "erp.example.org");
    let fake = site.certs.self_signed("fake", "erp.example.org");
    // What the impostor does counts for its address, not for the connector.
    take_over_tls(&site, "127.0.0.10", &fake).assert_tempfail();
    assert!(site.daemon.listed("client:127.0.0.10").is_some());
    assert!(site.daemon.listed("connector:erp").is_none());
    send(&site, "127.0.0.9", Some(&erp), OURS).assert_accepted();
    // And what the connector does is no matter for the impostor's neighbour.
    site.block("connector:erp");
    send(&site, "127.0.0.11", Some(&fake), OURS).assert_accepted();
    send(&site, "127.0.0.9", Some(&erp), OURS).assert_tempfail();
}

#[test]
fn the_same_names_from_a_foreign_authority_are_not_the_connector() {
    let site = Site::with(|config, _| two_certificates(config));
    let erp = site.certs.issue("erp", "erp.example.org");
    // Whoever makes an authority may call it what he likes.
    let foreign = Certs::new(&site.dir().join("foreign"));
    let fake = foreign.issue("erp", "erp.example.org");
    let impostor = "127.0.0.10";
    send(&site, "127.0.0.9", Some(&erp), OURS).assert_accepted();
    for _ in 0..3 {
        send(&site, impostor, Some(&fake), OURS).assert_accepted();
    }
    // It was shown, and Postfix vouches for the one and not for the other.
    for (trust, client) in [("Trusted", "127.0.0.9"), ("Untrusted", impostor)] {
        let said = format!(": {trust} TLS connection established from unknown[{client}]");
        site.postfix.wait_log(&[&said], SOON);
    }
    let passed = |entity: &str| {
        let shown = site.daemon.json(&["show", entity]);
        shown["totals"]["messages"].as_u64().unwrap_or_else(|| panic!("no count in {shown}"))
    };
    assert_eq!(passed("connector:erp"), 1);
    assert_eq!(passed(&format!("client:{impostor}")), 3);
    assert_eq!(site.daemon.status("/connectors"), 2);

    take_over_tls(&site, impostor, &fake).assert_tempfail();
    assert!(site.daemon.listed(&format!("client:{impostor}")).is_some());
    assert_eq!(site.daemon.list().len(), 1);
    send(&site, "127.0.0.9", Some(&erp), OURS).assert_accepted();
    assert_eq!(passed("connector:erp"), 2);
    // Nor does it meet what is meant for the connector.
    site.block("connector:erp");
    send(&site, "127.0.0.11", Some(&fake), OURS).assert_accepted();
    send(&site, "127.0.0.9", Some(&erp), OURS).assert_tempfail();
}

#[test]
fn leaving_out_the_certificate_is_no_way_out() {
    let site = Site::with(|config, _| {
        config.connector(
            "erp",
            &format!(
                "clients = [\"127.0.0.11\"]\n\
                 certificate = {{ subject = \"erp.example.org\", issuer = \"{ISSUER}\" }}"
            ),
        );
    });
    let erp = site.certs.issue("erp", "erp.example.org");
    take_over_tls(&site, "127.0.0.12", &erp).assert_tempfail();
    assert!(site.daemon.listed("connector:erp").is_some());
    site.send("127.0.0.11", OURS, REMOTE).assert_tempfail();
    // The address that it came from is not its own: others may be behind it.
    site.send("127.0.0.12", OURS, REMOTE).assert_accepted();
}

fn with_login(site: &Site, client: &str, login: &str) -> SmtpClient {
    let mut session = site.client(client);
    session.xclient(&format!("LOGIN={login}"));
    session
}

#[test]
fn logins_behind_one_address_are_told_apart() {
    let site = Site::start();
    let shared = "127.0.0.9";
    let mut n = 0;
    // Alice's mail program spells her login in two ways: one connector.
    let caught = take_over(|from| {
        n += 1;
        let login = if n % 2 == 0 { "alice" } else { "ALICE" };
        with_login(&site, shared, login).send(from, REMOTE)
    });
    caught.outcome.assert_tempfail();
    for login in ["alice", "ALICE", "Alice"] {
        with_login(&site, shared, login).send(OURS, REMOTE).assert_tempfail();
    }
    // From anywhere else, too; and it is she, not her address.
    with_login(&site, "127.0.0.10", "alice").send(OURS, REMOTE).assert_tempfail();
    with_login(&site, shared, "bob").send(OURS, REMOTE).assert_accepted();
    site.send(shared, OURS, REMOTE).assert_accepted();
    assert!(site.daemon.listed("login:alice").is_some());
    assert_eq!(site.daemon.list().len(), 1);
    site.sink.wait_for(caught.passed + 2, SOON);
}

#[test]
fn a_bare_login_gets_the_realm() {
    let site = Site::with(|config, _| {
        config.milter.push_str("login_realm = \"example.org\"\n");
    });
    let caught = take_over(|from| with_login(&site, "127.0.0.9", "alice").send(from, REMOTE));
    caught.outcome.assert_tempfail();
    assert!(site.daemon.listed("login:alice@example.org").is_some());
    with_login(&site, "127.0.0.9", "Alice@Example.ORG").send(OURS, REMOTE).assert_tempfail();
}

#[test]
fn trust_in_an_address_does_not_cover_its_logins() {
    let site = Site::with(|config, _| {
        config.sections.push_str("\n[trust]\nclients = [\"127.0.0.20\"]\nlogins = [\"monitor\"]\n");
    });
    for n in 0..12 {
        site.send("127.0.0.20", &odd(n), REMOTE).assert_accepted();
        with_login(&site, "127.0.0.9", "Monitor").send(&odd(n), REMOTE).assert_accepted();
    }
    let caught = take_over(|from| with_login(&site, "127.0.0.20", "alice").send(from, REMOTE));
    caught.outcome.assert_tempfail();
    site.send("127.0.0.20", OURS, REMOTE).assert_accepted();
    assert_eq!(site.daemon.list().len(), 1);
}

#[test]
fn a_named_connector_has_one_account_for_all_its_keys() {
    let site = Site::with(|config, _| {
        let keys = "clients = [\"127.0.5.0/24\"]\nlogins = [\"erp\"]";
        config.connector("erp", keys);
    });
    // Each key alone sends less than it takes.
    let mut n = 0;
    let caught = take_over(|from| {
        n += 1;
        match n % 2 {
            0 => with_login(&site, "127.0.0.9", "erp").send(from, REMOTE),
            _ => site.send(&format!("127.0.5.{n}"), from, REMOTE),
        }
    });
    caught.outcome.assert_tempfail();
    site.send("127.0.5.200", OURS, REMOTE).assert_tempfail();
    with_login(&site, "127.0.0.9", "erp").send(OURS, REMOTE).assert_tempfail();
    // Somebody else's login from one of its addresses: its address all the
    // same, and a restricted connector is refused on each of its keys.
    with_login(&site, "127.0.5.3", "bob").send(OURS, REMOTE).assert_tempfail();
}

#[test]
fn ipv6_clients_count_by_their_network() {
    let site = Site::with(|config, settings| {
        settings.set("inet_protocols", "all");
        settings.set("mynetworks", "127.0.0.0/8 [2001:db8::]/32");
        config.relay_networks = vec!["127.0.0.0/8", "2001:db8::/32"];
    });
    let from = |address: &str| {
        let mut session = site.client("127.0.0.9");
        session.xclient(&format!("ADDR={address}"));
        session
    };
    let mut n = 0;
    let caught = take_over(|sender| {
        n += 1;
        from(&format!("IPV6:2001:db8:7:1::{n}")).send(sender, REMOTE)
    });
    caught.outcome.assert_tempfail();
    let entity = "client:2001:db8:7:1::/64";
    assert!(site.daemon.listed(entity).is_some());
    from("IPV6:2001:db8:7:1:aaaa::1").send(OURS, REMOTE).assert_tempfail();
    from("IPV6:2001:db8:7:2::1").send(OURS, REMOTE).assert_accepted();
    site.send("127.0.0.7", OURS, REMOTE).assert_accepted();
}
