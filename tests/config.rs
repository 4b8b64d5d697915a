//! What a user reads about a configuration file: every fault of the files in
//! `config/broken`, and what the files in `config/good` are understood as.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use connguard::{
    alert,
    config::{self, Config, Faults, LogFormat},
    connector::{CertificateDigest, CertificateName, ConnectorKey, Identities, Profile},
    directory::{Limits, Named, Terms, Usual},
    domain::DomainSet,
    engine::{HoldLimit, ReplyText, RestrictionTerms},
    feedback::MailLog,
    policy::Role,
    socket::Listen,
    verdict::{Action, Mode, Scope, Throttle},
};
use proptest::prelude::*;
use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

const DAY: u64 = 86_400;

fn own_names() -> Vec<String> {
    vec!["mx.example.com".into(), "example.com".into()]
}

/// Loads a file by its path below the package, as the messages then show it.
fn load(path: &Path) -> Result<Config, Faults> {
    let short = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path);
    config::load(short, &own_names())
}

fn parse(text: &str) -> Result<Config, Faults> {
    config::parse(Path::new("connguard.toml"), text.as_bytes(), &own_names())
}

#[track_caller]
fn check_fault(text: &str, expected: &str) {
    assert_eq!(parse(text).unwrap_err().to_string(), expected);
}

#[test]
fn broken_files_are_refused_with_every_fault() {
    insta::glob!("config/broken/*.toml", |path| {
        insta::assert_snapshot!(load(path).expect_err("it is broken"));
    });
}

#[test]
fn good_files_are_understood() {
    insta::glob!("config/good/*.toml", |path| {
        let config = load(path).unwrap_or_else(|faults| panic!("{faults}"));
        insta::assert_snapshot!(config::summary(&config).join("\n"));
    });
}

#[test]
fn a_missing_file_is_named_with_a_way_out() {
    let faults = load(Path::new("no/such.toml")).unwrap_err().to_string();
    assert!(faults.starts_with("no/such.toml: there is no such file"), "{faults}");
    assert!(faults.contains("--config"), "{faults}");
    let faults = load(Path::new("src")).unwrap_err().to_string();
    assert_eq!(faults, "src: is a directory; name the file in it");
}

#[test]
fn a_file_that_everybody_can_write_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (file, domains) = (folder.path().join("connguard.toml"), folder.path().join("domains"));
    fs::write(&domains, "example.org\n").unwrap();
    let text = format!(
        "[milter]\ninbound_domains = [\"example.net\"]\n[[organization]]\nname = \"default\"\n\
         registered_domains_file = \"{}\"\n",
        domains.display()
    );
    fs::write(&file, text).unwrap();
    let told = |path: &Path| {
        let wanted = format!("everybody can write {}", path.display());
        load(&file).unwrap().warnings.iter().any(|warning| warning.starts_with(&wanted))
    };
    for path in [&file, &domains] {
        for (mode, expected) in [(0o644, false), (0o664, false), (0o646, true), (0o640, false)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(told(path), expected, "{} {mode:o}", path.display());
        }
    }
}

#[test]
fn files_of_domains_are_read_and_their_faults_have_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = format!(
        "milter.inbound_domains = [\"example.org\", {:?}]\n\
         [[organization]]\nname = \"default\"\nregistered_domains_file = {:?}\n",
        path("inbound"),
        path("domains")
    );
    fs::write(path("inbound"), "# ours\n\n.example.net\r\n  BÜCHER.example # shop\n").unwrap();
    fs::write(path("domains"), "\u{feff}example.org").unwrap();
    let config = parse(&text).unwrap();
    let inbound = &config.settings.directions.inbound_domains;
    assert_eq!(inbound.len(), 3);
    assert!(inbound.contains("a.example.net") && inbound.contains("xn--bcher-kva.example"));
    let terms = config.settings.directory.terms(&ConnectorKey::Overflow);
    assert!(terms.registered.contains("example.org"));
    assert!(terms.registered.contains("mx.example.com"));
    let sources = [Path::new("connguard.toml"), &path("inbound"), &path("domains")];
    assert_eq!(config.sources, sources);

    fs::write(path("inbound"), "example.org\n\n  example.net OK\n").unwrap();
    fs::write(path("domains"), b"ok.example\nb\xfccher.example\n").unwrap();
    let faults = parse(&text).unwrap_err().to_string();
    let faults = faults.replace(folder.path().to_str().unwrap(), "FOLDER");
    insta::assert_snapshot!(faults);

    fs::write(path("inbound"), "no domain\n".repeat(1000)).unwrap();
    let faults = parse(&text).unwrap_err();
    assert_eq!(faults.iter().count(), 12, "a wrong file does not flood: {faults}");
    assert!(faults.to_string().contains("990 more lines"), "{faults}");
}

#[test]
fn without_registered_domains_nothing_is_registered() {
    let registered = |text: &str, key: ConnectorKey| {
        let config = parse(text).unwrap();
        config.settings.directory.terms(&key).registered.clone()
    };
    let login = ConnectorKey::Login("alice".into());
    let erp = ConnectorKey::Named("erp".into());
    assert!(registered("", login.clone()).is_empty());
    let own = "[[connector]]\nname = \"erp\"\nlogins = [\"erp\"]\n\
               registered_domains = [\"shop.example\"]";
    assert!(registered(own, login).is_empty());
    assert_eq!(registered(own, erp), set(&["shop.example", "mx.example.com", "example.com"]));
}

#[test]
fn who_has_no_registered_domains_is_listed() {
    let listed = |text: &str| parse(text).unwrap().without_registered_domains;
    assert_eq!(listed(""), ["organization:default"]);
    let path = Path::new("tests/config/good/partly_registered.toml");
    assert_eq!(
        load(path).unwrap().without_registered_domains,
        ["organization:default", "connector:erp", "organization:south%20branch", "connector:south"]
    );
    assert_eq!(listed("judgement.discover = false"), [""; 0], "nobody is left to judge");
    let registered = "[[organization]]\nname = \"a\"\nregistered_domains = [\"example.org\"]";
    assert_eq!(listed(registered), [""; 0]);
}

#[test]
fn a_connector_of_logins_alone_is_a_login() {
    let config = load(Path::new("tests/config/good/profiles.toml")).unwrap();
    let of = |name: &str| {
        let key = ConnectorKey::Named(name.into());
        let terms = config.settings.directory.terms(&key);
        (terms.profile(&key), terms.throttle(&key))
    };
    for (name, profile, throttle) in [
        ("alice", Profile::Login, Throttle::Hold),
        ("erp", Profile::Relay, Throttle::Tempfail),
        ("gateway", Profile::Relay, Throttle::Tempfail),
        ("news", Profile::Bulk, Throttle::Hold),
        ("lists", Profile::Forwarder, Throttle::Off),
    ] {
        assert_eq!(of(name), (profile, throttle), "{name}");
    }
    assert!(config.settings.throttle, "on where nothing is said");
}

#[test]
fn a_fault_does_not_hide_behind_another() {
    check_fault(
        "mode = \"x\"\n[[connector]]\nname = \"erp\"\nclients = [\"192.0.2.7/24\"]\n",
        "connguard.toml:1:8: mode: \"x\" is not observe or enforce\n\
         connguard.toml:4:12: connector.clients: \"192.0.2.7/24\" has bits set behind its prefix; \
         expected 192.0.2.0/24 for the network, or 192.0.2.7 for the one address",
    );
}

#[test]
fn every_key_of_the_full_example_arrives() {
    let path = Path::new("tests/config/good/full.toml");
    let Config {
        settings,
        milter,
        policy,
        state,
        control,
        mail_log,
        log,
        sources,
        warnings,
        alert,
        ..
    } = load(path).unwrap();
    assert_eq!(warnings, [""; 0]);
    assert_eq!(sources, [path]);
    assert_eq!(
        milter.listen,
        [
            Listen::Unix("/run/connguard/milter.sock".into()),
            Listen::Inet("127.0.0.1:8895".parse().unwrap()),
            Listen::Inet("[::1]:8895".parse().unwrap()),
        ]
    );
    assert_eq!(milter.max_connections, 200);
    let services = ["127.0.0.1:10025", "127.0.0.1:10026"].map(|text| text.parse().unwrap());
    assert_eq!(milter.ignore_daemons, services);
    assert_eq!(milter.login_realm.as_deref(), Some("example.org"));
    assert!(milter.spam_headers.matches(b"X-Verdict", b"spam"));
    assert!(!milter.spam_headers.wants(b"X-Spam"));
    assert_eq!(settings.directions.inbound_domains, set(&["example.org", ".in.example.net"]));
    let policy = policy.unwrap();
    assert_eq!(
        policy.listen,
        [
            Listen::Unix("/run/connguard/policy.sock".into()),
            Listen::Inet("127.0.0.1:8896".parse().unwrap()),
        ]
    );
    assert_eq!(policy.role, Role::Identity);
    assert_eq!((policy.max_connections, &policy.ignore_daemons), (200, &milter.ignore_daemons));
    assert_eq!(policy.login_realm, milter.login_realm);
    let mut transports: Vec<_> = settings.directions.local_transports.iter().collect();
    transports.sort();
    assert_eq!(transports.iter().map(|it| &***it).collect::<Vec<_>>(), ["cyrus", "local"]);
    assert_eq!(
        settings.restriction,
        RestrictionTerms {
            scope: Scope::All,
            hold_limit: HoldLimit { messages: 10, bytes: 3000 },
            expire_after: Some(Duration::from_secs(30 * DAY)),
            grace: Duration::from_secs(12 * 3600),
            reply: ReplyText::new("Suspended, case {case}: contact postmaster@example.org")
                .unwrap(),
        }
    );
    assert_eq!(settings.directory.connectors(), connectors_of_the_full_example());
    assert!(!settings.throttle);
    assert_eq!(state.directory, Path::new("/srv/connguard"));
    assert_eq!(state.max_connectors, 5000);
    assert_eq!(control.socket, Path::new("/srv/connguard/control.sock"));
    assert_eq!(mail_log, MailLog::File("/var/log/postfix.log".into()));
    assert_eq!((log.level.as_str(), log.format), ("debug", LogFormat::Json));
    let mail = alert::Mail {
        to: vec!["postmaster@example.org".into(), "noc@example.net".into()],
        from: "guard@mx.example.org".into(),
        host: "::1".into(),
        port: 10_025,
    };
    let argv = vec!["/bin/true".into(), "--urgent".into()];
    let expected = alert::Params {
        mail: Some(mail),
        webhook: None,
        command: Some(alert::Command { argv }),
        repeat: Some(Duration::from_secs(6 * 3600)),
        new_connectors: false,
        host: "mx.example.com".into(),
    };
    assert_eq!(alert, expected);

    // Trust, relay networks and discover show in who a session is.
    let who = |client: &str, login: Option<&str>| {
        settings.directory.resolve(&Identities {
            client: Some(client.parse().unwrap()),
            login: login.map(Into::into),
            ..Identities::default()
        })
    };
    assert!(who("192.0.2.200", None).trusted);
    assert!(who("203.0.113.1", Some("monitoring@example.org")).trusted);
    assert_eq!(who("198.51.100.1", None).counted, None, "discover is off");
    let discovering = fs::read_to_string(path).unwrap().replace("discover = false", "");
    let directory = parse(&discovering).unwrap().settings.directory;
    for (client, relays) in [
        ("198.51.100.1", true),
        ("127.9.9.9", true),
        ("2001:db8:9::1", true),
        ("203.0.113.1", false),
    ] {
        let session = Identities { client: Some(client.parse().unwrap()), ..Identities::default() };
        assert_eq!(directory.resolve(&session).counted.is_some(), relays, "{client}");
    }
}

#[test]
fn the_secret_of_a_webhook_is_read_and_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("webhook.secret");
    fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let text = format!(
        "[alert]\nwebhook = \"https://hooks.example.org/T0KEN\"\nwebhook_secret_file = {file:?}\n"
    );
    let config = parse(&text).unwrap();
    let webhook = config.alert.webhook.as_ref().unwrap();
    assert_eq!(webhook.secret, Some("0123456789abcdef0123456789abcdef".into()));
    assert_eq!(webhook.url.reveal(), "https://hooks.example.org/T0KEN");
    let shown = format!("{config:?} {:?}", config::summary(&config));
    assert!(!shown.contains("T0KEN") && !shown.contains("0123456789abcdef"), "{shown}");
    assert!(!config.warnings.iter().any(|warning| warning.contains("webhook")));

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = parse(&text).unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.contains("everybody can read")), "{warnings:?}");
    fs::write(&file, "\n").unwrap();
    let fault = parse(&text).unwrap_err().to_string();
    assert!(fault.contains("alert.webhook_secret_file: ") && fault.contains("is empty"), "{fault}");
}

fn digest(digits: &str) -> CertificateDigest {
    CertificateDigest::of_postfix(digits).unwrap().unwrap()
}

fn connectors_of_the_full_example() -> [Named; 3] {
    let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let default = Terms {
        organization: "default".into(),
        registered: set(&["example.org", ".example.net", "mx.example.com", "example.com"]),
        mode: Mode::Enforce,
        action: Action::Tempfail,
        reject_after: Some(Duration::from_secs(3 * DAY)),
        limits: Limits::default(),
        ..Terms::default()
    };
    let other = ["bücher.example", "shop.example", "mx.example.com", "example.com"];
    [
        Named {
            name: "erp".into(),
            clients: networks(&["192.0.2.10/32", "192.0.2.11/32", "2001:db8:1::/48"]),
            certificate: Some(CertificateName::new("erp.example.org", "Example CA")),
            digests: vec![digest(&(0..32).map(|n| format!("{n:02x}")).collect::<String>())],
            logins: vec!["erp@example.org".into(), "billing@other.example".into()],
            terms: Terms {
                organization: "other".into(),
                registered: set(&other),
                mode: Mode::Observe,
                action: Action::Reject,
                reject_after: None,
                limits: Limits { messages_per_hour: Some(5000), recipients_per_hour: Some(20_000) },
                profile: Some(Profile::Bulk),
                usual: Usual { messages_per_hour: Some(800), recipients_per_hour: Some(2000) },
                throttle: Some(Throttle::Off),
            }
            .into(),
        },
        Named {
            name: "crm".into(),
            clients: Vec::new(),
            certificate: None,
            digests: vec![digest(&"AB".repeat(64)), digest(&"CD".repeat(48))],
            logins: vec!["crm@example.org".into()],
            terms: default.clone().into(),
        },
        Named {
            name: "web".into(),
            clients: networks(&["192.0.2.20/32"]),
            certificate: None,
            digests: Vec::new(),
            logins: Vec::new(),
            terms: Terms {
                action: Action::Hold,
                reject_after: Some(Duration::from_secs(5 * DAY)),
                limits: Limits { messages_per_hour: None, recipients_per_hour: Some(1) },
                profile: Some(Profile::Relay),
                usual: Usual { messages_per_hour: Some(1), recipients_per_hour: None },
                throttle: Some(Throttle::Off),
                ..default
            }
            .into(),
        },
    ]
}

fn set(names: &[&str]) -> DomainSet {
    let mut set = DomainSet::default();
    for name in names {
        set.insert(name).unwrap();
    }
    set
}

/// A line of a configuration, as likely as not.
fn line() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "mode",
        "listen",
        "name",
        "clients",
        "logins",
        "certificate",
        "limits",
        "hold_limit",
        "grace",
        "reject_after",
        "organization",
        "registered_domains",
        "relay_networks",
        "a.b",
    ]);
    let value = prop::sample::select(vec![
        "\"enforce\"",
        "[\"unix:/a\"]",
        "[\"192.0.2.1\", \"::/0\"]",
        "{ subject = \"a\" }",
        "5",
        "[[",
        "\"3d\"",
        "true",
        "1979-05-27",
        "-0x1",
        "{",
        "\"\\u0000\"",
        "[\"ü\"]",
        "''",
        "1e999",
    ]);
    let header = prop::sample::select(vec![
        "[milter]",
        "[[connector]]",
        "[connector]",
        "[[organization]]",
        "[restriction]",
        "[a",
        "[milter.listen]",
        "[[connector.limits]]",
        "\"\"\"",
        "\u{feff}",
    ]);
    prop_oneof![
        3 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        1 => header.prop_map(str::to_owned),
        1 => ".{0,20}",
    ]
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(config::parse(Path::new("x"), &bytes, &[]));
    }

    #[test]
    fn any_lines_give_an_answer_with_places(lines in prop::collection::vec(line(), 0..15)) {
        let text = lines.join("\n");
        if let Err(faults) = parse(&text) {
            prop_assert!(faults.iter().count() > 0);
            let rows = text.split('\n').count();
            let places: Vec<_> = faults.iter().map(|fault| fault.position).collect();
            prop_assert!(places.is_sorted());
            prop_assert!(places.iter().all(|at| at.is_some_and(|at| at.line <= rows)));
        }
    }
}
