//! Weeks of made-up mail, and what is proposed for them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use super::*;
use crate::{
    config::Config,
    connector::{CertificateName, ConnectorKey, Profile},
    directory::{Named, Usual},
    message::Outcome,
    replay::{Answer, End, Mail, Recipient, Sink, Who},
    timestamp::Timestamp,
};
use proptest::prelude::*;
use std::sync::Arc;

mod counted;

const DAY: u64 = 86_400;
/// A Monday.
const START: u64 = 20_003 * DAY;

fn client(address: &str, name: &str) -> Who {
    Who { client: Some(address.parse().unwrap()), client_name: name.into(), ..Who::default() }
}

fn login(login: &str, address: &str) -> Who {
    Who { login: Some(login.into()), ..client(address, "unknown") }
}

/// A log that is being written, at `day` and `second`.
struct Log {
    survey: Survey,
    number: u32,
}

impl Log {
    fn new() -> Self {
        let mut log = Self { survey: Survey::new(Known::default()), number: 0 };
        // What comes in, on the first and on the last day of two weeks.
        for day in [0, 13] {
            let stranger = client("203.0.113.9", "mx.example.net");
            log.mail(day, 0, &stranger, "bob@example.net", &["alice@example.org"]);
        }
        log
    }

    /// A message; recipients at example.org are delivered here. All of the others
    /// are delivered elsewhere, but for those whose names begin with `gone`.
    fn mail(&mut self, day: u64, second: u64, who: &Who, from: &str, to: &[&str]) {
        self.number += 1;
        let at = Timestamp::from_seconds(START + day * DAY + second);
        let who = Arc::new(who.clone());
        let queue_id: Arc<str> = format!("Q{}", self.number).into();
        let transport = |to: &str| if to.ends_with("@example.org") { "lmtp" } else { "smtp" };
        let recipients = to
            .iter()
            .map(|to| Recipient { address: (*to).into(), transport: Some(transport(to).into()) });
        self.survey.mail(&Mail {
            at,
            begun: at,
            host: "mx".into(),
            queue_id: Arc::clone(&queue_id),
            service: "postfix".into(),
            who: Arc::clone(&who),
            from: from.into(),
            given_from: None,
            message_id: None,
            header_from: Vec::new(),
            size: None,
            nrcpt: None,
            recipients: recipients.collect(),
            is_complete: true,
            unknown: Vec::new(),
            attempts: Vec::new(),
            end: End::Queued,
        });
        for to in to {
            let outcome =
                if to.starts_with("gone") { Outcome::Refused } else { Outcome::Delivered };
            self.survey.answer(&Answer {
                at,
                host: "mx".into(),
                queue_id: Arc::clone(&queue_id),
                who: Arc::clone(&who),
                recipient: (*to).into(),
                outcome,
                class: None,
                by: None,
            });
        }
    }

    /// Ordinary mail of two weeks, `daily` messages over the day.
    fn ordinary(&mut self, who: &Who, domain: &str, daily: u64) {
        for day in 0..14 {
            for n in 0..daily {
                let second = 25_000 + n * 40_000 / daily;
                let to = format!("customer{n}@customer{}.example", (n + day) % 5);
                self.mail(day, second, who, &format!("sales@{domain}"), &[&to]);
            }
        }
    }

    fn suggest(&self) -> Suggestion {
        suggest(&self.survey, None, &Origin::default()).unwrap()
    }

    /// The text without its line breaks in comments.
    fn comments(&self) -> String {
        self.suggest().text.replace("\n# ", " ")
    }

    fn config(&self) -> Config {
        let text = self.suggest().text;
        config::parse(Path::new("x.toml"), text.as_bytes(), &[]).unwrap()
    }

    fn connector(&self, name: &str) -> Option<Named> {
        self.config().settings.directory.named(name).cloned()
    }
}

#[test]
fn an_ordinary_relay_is_named_and_nothing_else_is_said_of_it() {
    let mut log = Log::new();
    log.ordinary(&client("192.0.2.10", "erp.example.org"), "example.org", 10);
    let erp = log.connector("erp").unwrap();
    assert_eq!(erp.clients, ["192.0.2.10/32".parse().unwrap()]);
    assert_eq!((erp.terms.profile, erp.terms.usual), (None, Usual::default()));
    let config = log.config();
    assert!(config.settings.directions.inbound_domains.contains("example.org"));
    assert!(erp.terms.registered.contains("example.org"));
    assert!(!erp.terms.registered.contains("example.net"), "a stranger's domain");
    let text = log.comments();
    assert!(
        text.contains(
            "erp.example.org: 140 messages to 140 recipients on 14 days; busiest hour 1 message, \
             1 recipient; sends as example.org (100 %); 0 % refused."
        ),
        "{text}"
    );
    assert_eq!(log.suggest().warnings, Vec::<String>::new());
}

#[test]
fn a_newsletter_is_bulk_with_its_usual_hour() {
    let mut log = Log::new();
    let news = client("192.0.2.20", "news.example.org");
    for day in [1, 8] {
        for n in 0..300 {
            let to = format!("reader{n}@site{}.example", n % 40);
            log.mail(day, 30_000 + n, &news, "news@example.org", &[&to]);
        }
    }
    let news = log.connector("news").unwrap();
    assert_eq!(news.terms.profile, Some(Profile::Bulk));
    let usual = Usual { messages_per_hour: Some(300), recipients_per_hour: Some(300) };
    assert_eq!(news.terms.usual, usual);
}

#[test]
fn a_login_that_mails_crowds_gets_a_connector_and_other_logins_do_not() {
    let mut log = Log::new();
    let app = login("app@example.org", "192.0.2.30");
    for day in [2, 9] {
        for n in 0..20 {
            let to: Vec<String> = (0..25).map(|r| format!("r{n}-{r}@site{r}.example")).collect();
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            log.mail(day, 40_000 + n, &app, "app@example.org", &to);
        }
    }
    log.ordinary(&login("alice@example.org", "198.51.100.1"), "example.org", 5);
    let app = log.connector("app@example.org").unwrap();
    assert_eq!(app.terms.profile, Some(Profile::Bulk));
    assert_eq!(&*app.logins[0], "app@example.org");
    assert_eq!(log.config().settings.directory.connectors().len(), 1);
    let text = log.suggest().text;
    assert!(text.contains("# 2 logins relayed."), "{text}");
    assert!(text.contains("# alice@example.org: 70 messages"), "{text}");
}

#[test]
fn a_forwarder_is_known_by_its_senders() {
    let mut log = Log::new();
    let host = client("10.0.2.40", "lists.example.org");
    for day in 0..10 {
        for n in 0..12 {
            let from = format!("someone@origin{}.example", (day * 12 + n) % 37);
            log.mail(day, 30_000 + 900 * n, &host, &from, &["member@elsewhere.example"]);
        }
    }
    let lists = log.connector("lists").unwrap();
    assert_eq!(lists.terms.profile, Some(Profile::Forwarder));
    for n in 0..37 {
        let domain = format!("origin{n}.example");
        assert!(!lists.terms.registered.contains(&domain), "{domain}");
    }

    let mut log = Log::new();
    let host = client("10.0.2.41", "fwd.example.org");
    for day in 0..4 {
        for n in 0..10 {
            let from = format!("SRS0=AbC{n}=XY=origin{n}.example=joe@example.org");
            log.mail(day, 30_000 + n, &host, &from, &["joe@elsewhere.example"]);
        }
    }
    assert_eq!(log.connector("fwd").unwrap().terms.profile, Some(Profile::Forwarder));
}

#[test]
fn what_looks_taken_over_gets_no_profile_and_registers_nothing() {
    let mut log = Log::new();
    let erp = client("192.0.2.10", "erp.example.org");
    log.ordinary(&erp, "shop.example", 10);
    // On two evenings somebody else sends through it, to a list of which half is
    // dead.
    for day in [11, 12] {
        for n in 0..200 {
            let whom = if n % 2 == 0 { "gone" } else { "x" };
            let to = format!("{whom}{n}@victim{}.example", n % 50);
            log.mail(day, 80_000 + n, &erp, &format!("win@spam{}.example", n % 4), &[&to]);
        }
    }
    let erp = log.connector("erp").unwrap();
    assert_eq!((erp.terms.profile, erp.terms.usual), (None, Usual::default()));
    assert!(erp.terms.registered.contains("shop.example"), "from before that");
    assert!(!erp.terms.registered.contains("spam1.example"));
    let suggestion = log.suggest();
    assert!(log.comments().contains("Looks taken over: on 2024-10-18 the servers of 100 of"));
    assert!(log.comments().contains("steadily: spam0.example"), "{}", suggestion.text);
    assert!(suggestion.warnings.iter().any(|warning| warning.starts_with("1 client looks taken")));
}

#[test]
fn what_somebody_else_may_have_sent_is_not_taken_for_usual() {
    let mut log = Log::new();
    let alice = login("alice@example.org", "192.0.2.7");
    log.ordinary(&alice, "example.org", 6);
    // Three days of somebody else with her login, little of it refused.
    for day in [9, 10, 11] {
        for n in 0..300 {
            let to = [format!("victim{day}-{n}@far.example"), format!("other{n}@far.example")];
            let thief = login("alice@example.org", "203.0.113.10");
            log.mail(day, 50_000 + n * 10, &thief, "ceo@bank.example", &[&to[0], &to[1]]);
        }
    }
    let text = log.suggest().text;
    assert!(!text.contains("usual = ") && !text.contains("profile = \"bulk\""), "{text}");
    assert!(text.contains("bank.example"), "{text}");
    assert_eq!(log.connector("alice@example.org").map(|one| one.terms.usual), None);
}

#[test]
fn one_burst_is_not_taken_for_usual() {
    let mut log = Log::new();
    let erp = client("192.0.2.10", "erp.example.org");
    log.ordinary(&erp, "example.org", 10);
    for n in 0..2000 {
        let to = format!("x{n}@site{}.example", n % 50);
        log.mail(13, 80_000 + n / 4, &erp, "sales@example.org", &[&to]);
    }
    let named = log.connector("erp").unwrap();
    assert_eq!((named.terms.profile, named.terms.usual), (None, Usual::default()));
    let text = log.comments();
    assert!(text.contains("Its busiest hour, on 2024-10-20, did not come back"), "{text}");
}

#[test]
fn a_domain_of_one_connector_is_registered_for_it_alone() {
    let mut log = Log::new();
    log.ordinary(&client("192.0.2.10", "erp.example.org"), "shop.example", 10);
    log.ordinary(&client("192.0.2.11", "crm.example.org"), "example.org", 10);
    assert!(log.connector("erp").unwrap().terms.registered.contains("shop.example"));
    assert!(!log.connector("crm").unwrap().terms.registered.contains("shop.example"));
}

#[test]
fn a_domain_that_came_late_is_told_of() {
    let mut log = Log::new();
    log.ordinary(&login("alice@example.org", "192.0.2.7"), "example.org", 6);
    for day in 4..14 {
        for n in 0..6 {
            let thief = login("alice@example.org", "203.0.113.10");
            let to = format!("victim{day}-{n}@far.example");
            log.mail(day, 50_000 + n * 600, &thief, "ceo@bank.example", &[&to]);
        }
    }
    log.ordinary(&client("192.0.2.10", "erp.example.org"), "shop.example", 10);
    let text = log.comments();
    assert!(text.contains("It sends as bank.example only since 2024-10-11"), "{text}");
    assert!(!text.contains("shop.example only"), "{text}");
}

#[test]
fn a_domain_of_many_is_registered_for_all() {
    let mut log = Log::new();
    for n in 0..3 {
        log.ordinary(&client(&format!("192.0.{n}.10"), "unknown"), "brand.example", 2);
    }
    let directory = log.config().settings.directory;
    let terms = directory.terms(&ConnectorKey::Local);
    assert!(terms.registered.contains("brand.example"));
}

#[test]
fn neighbours_of_one_kind_are_one_connector() {
    let mut log = Log::new();
    for n in 1..=3 {
        let host = client(&format!("192.0.2.{n}"), &format!("web{n}.farm.example.org"));
        log.ordinary(&host, "example.org", 5);
    }
    for (address, name) in [("192.0.2.9", "erp.example.org"), ("192.0.2.8", "crm.example.org")] {
        log.ordinary(&client(address, name), "example.org", 5);
    }
    let farm = log.connector("web").unwrap();
    assert_eq!(farm.clients.len(), 3);
    assert_eq!(log.connector("erp").unwrap().clients.len(), 1);
}

#[test]
fn names_are_unique_and_never_empty() {
    let mut log = Log::new();
    for (address, name) in [
        ("192.0.2.1", "erp.example.org"),
        ("198.51.100.1", "erp.example.net"),
        ("203.0.113.1", "unknown"),
        ("127.0.0.1", "localhost"),
        ("2001:db8::1", "-.example"),
    ] {
        log.ordinary(&client(address, name), "example.org", 5);
    }
    log.ordinary(&login("--", "192.0.2.7"), "example.com", 20);
    let config = log.config();
    let mut names: Vec<&str> =
        config.settings.directory.connectors().iter().map(|named| &*named.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["client", "client-2", "erp", "erp-2", "example.org", "this-host"]);
}

#[test]
fn relay_networks_are_where_mail_was_relayed_from() {
    let mut log = Log::new();
    for n in 1..=5 {
        log.ordinary(&client(&format!("10.1.2.{n}"), "unknown"), "example.org", 1);
    }
    log.ordinary(&client("192.0.2.10", "unknown"), "example.org", 5);
    let text = log.suggest().text;
    let expected = r#"relay_networks = ["127.0.0.0/8", "::1/128", "10.1.2.0/24", "192.0.2.10"]"#;
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_certificate_is_a_connector() {
    let mut log = Log::new();
    let name = CertificateName::new("erp.example.org", "Example CA");
    let who = Who { certificate: Some(name.clone()), ..client("203.0.113.7", "unknown") };
    log.ordinary(&who, "example.org", 5);
    assert_eq!(log.connector("erp.example.org").unwrap().certificate, Some(name));
}

#[test]
fn a_short_log_says_so() {
    let mut survey = Log { survey: Survey::new(Known::default()), number: 0 };
    survey.mail(0, 0, &client("10.0.0.1", "unknown"), "a@x.example", &["b@y.example"]);
    let suggestion = survey.suggest();
    assert!(suggestion.warnings[0].starts_with("The logs have 1 day."));
}

#[test]
fn nothing_at_all_is_a_configuration_too() {
    let origin = Origin { is_partial: true, ..Origin::default() };
    let mut suggestion = suggest(&Survey::new(Known::default()), None, &origin).unwrap();
    assert!(suggestion.warnings.remove(0).starts_with("Reading was stopped"));
    assert!(suggestion.warnings[0].contains("nobody who relays"), "{:?}", suggestion.warnings);
}

#[test]
fn the_same_log_gives_the_same_text() {
    let text = || {
        let mut log = Log::new();
        for n in 0..30 {
            let who = client(&format!("10.0.{n}.1"), &format!("h{n}.example.org"));
            log.ordinary(&who, &format!("d{n}.example"), 2);
        }
        log.suggest().text
    };
    assert_eq!(text(), text());
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z]{1,8}",
        "[\"'\\\\#\\[\\]={}\n\r\t\u{0}\u{7f}\u{202e}@. a]{0,30}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever clients call themselves, the text is a configuration that
    /// observes and has no more than it should.
    #[test]
    fn hostile_names_are_harmless(
        names in proptest::collection::vec((hostile(), hostile(), hostile(), hostile()), 1..6),
    ) {
        let mut log = Log::new();
        for (n, (name, login, domain, to)) in names.iter().enumerate() {
            let from = format!("x@{domain}");
            let certificate =
                CertificateName::new(name, login);
            for who in [
                client(&format!("10.0.{n}.1"), name),
                super::tests::login(login, "192.0.2.1"),
                Who { certificate: Some(certificate), ..client("192.0.2.2", name) },
            ] {
                for at in 0..100 {
                    let to = format!("{at}@{to}.example");
                    log.mail(at / 12, 60 * (at % 12), &who, &from, &[&to]);
                }
            }
        }
        let config = log.config();
        prop_assert_eq!(config.settings.directory.connectors().iter()
            .filter(|named| named.terms.mode != crate::verdict::Mode::Observe).count(), 0);
        prop_assert_eq!(&*config.settings.directory.terms(&ConnectorKey::Local).organization, "default");
    }
}
