//! `connguard suggest` as a user runs it: logs in, a configuration out that
//! `check` accepts and that restricts nobody for what was in the logs.
//!
//! Real logs are no part of the project: they are read where `../shared/traces`
//! has them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking, and say what they leave out"
)]

mod harness;
#[path = "../log_week/mod.rs"]
#[allow(dead_code, reason = "here it is the suggested configuration that counts")]
mod log_week;

use flate2::{Compression, write::GzEncoder};
use harness::{ERP, From, Log, Place, block, check, connguard, restricted, stderr, stdout};
use std::{fs, io::Write as _, path::Path, process::Stdio};
use tempfile::TempDir;

#[test]
fn relay_bulk_forwarder_and_login_are_recognized_and_not_restricted() {
    let mut log = Log::default();
    log.ordinary(ERP, "sales@example.org", 12);
    let news = From { name: "news.example.org", address: "192.0.2.20", login: None };
    for day in [1, 8] {
        for n in 0..300 {
            let to = format!("reader{n}@site{}.example", n % 40);
            log.mail(day, 30_000 + 5 * n, news, "news@example.org", &[&to]);
        }
    }
    let lists = From { name: "lists.example.org", address: "10.0.0.30", login: None };
    for day in 0..14 {
        for n in 0..10 {
            let sender = format!("someone@origin{}.example", (day * 10 + n) % 37);
            log.mail(day, 30_000 + 900 * n, lists, &sender, &["member@elsewhere.example"]);
        }
    }
    let app = From { name: "unknown", address: "198.51.100.7", login: Some("app@example.org") };
    for day in [3, 10] {
        for n in 0..15 {
            let to: Vec<String> = (0..20).map(|r| format!("r{n}-{r}@site{r}.example")).collect();
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            log.mail(day, 40_000 + 60 * n, app, "app@example.org", &to);
        }
    }
    let alice = From { name: "unknown", address: "198.51.100.8", login: Some("alice@example.org") };
    log.ordinary(alice, "alice@example.org", 4);

    let place = Place::new(&log);
    let text = place.suggested();
    let erp = block(&text, "erp");
    assert!(erp.contains("erp.example.org: 168 messages to 168 recipients on 14 days"), "{erp}");
    assert!(!erp.contains("profile") && !erp.contains("usual ="), "{erp}");
    let news = block(&text, "news");
    assert!(news.contains("profile = \"bulk\"\nusual = { messages_per_hour = 300,"), "{news}");
    let lists = block(&text, "lists");
    assert!(lists.contains("profile = \"forwarder\""), "{lists}");
    let app = block(&text, "app@example.org");
    assert!(app.contains("logins = [\"app@example.org\"]\nprofile = \"bulk\""), "{app}");
    assert!(!text.contains("logins = [\"alice"), "{text}");
    assert!(text.contains("# alice@example.org: 56 messages"), "{text}");
    assert!(text.contains("inbound_domains = [\"example.org\"]"), "{text}");
    assert!(text.contains("registered_domains = [\"example.org\"]"), "{text}");
    assert!(!text.contains("limits"), "{text}");

    let restrictions = restricted(&place.path("out.toml"), &place.path("mail.log"));
    assert_eq!(restrictions.as_array().map(Vec::len), Some(0), "{restrictions}");
}

#[test]
fn a_takeover_in_the_log_is_not_hidden() {
    let mut log = Log::default();
    log.ordinary(ERP, "sales@example.org", 12);
    for n in 0..150 {
        let whom = if n % 3 == 0 { "x" } else { "gone" };
        let to = format!("{whom}{n}@victim{}.example", n % 40);
        log.mail(12, 80_000 + 10 * n, ERP, &format!("win@spam{n}.example"), &[&to]);
    }
    let place = Place::new(&log);
    let text = place.suggested();
    let erp = block(&text, "erp");
    assert!(erp.contains("Looks taken over: on 2026-09-19 the servers of 100 of"), "{erp}");
    assert!(!erp.contains("profile") && !erp.contains("usual ="), "{erp}");
    assert!(text.contains("registered_domains = [\"example.org\"]\n"), "{text}");
    let restrictions = restricted(&place.path("out.toml"), &place.path("mail.log"));
    assert_eq!(restrictions[0]["entity"], "connector:erp", "{restrictions}");
}

#[test]
fn hostile_names_are_harmless() {
    let mut log = Log::default();
    let names = [
        "\"]\u{202e}[trust]",
        "a\\u000amode='enforce'",
        "#\u{1b}[31m",
        "\u{85}\u{2028}mode=\"enforce\"",
        "'''\"\"\"",
        "..//..",
    ];
    for (n, name) in names.iter().enumerate() {
        let address = format!("10.0.0.{n}");
        for login in [None, Some(*name)] {
            let from = From { name, address: &address, login };
            for day in 0..14 {
                for at in 0..40 {
                    let to = format!("{at}@{name}.example");
                    log.mail(day, 30_000 + at, from, &format!("x@{name}"), &[&to]);
                }
            }
        }
    }
    let place = Place::new(&log);
    let text = place.suggested();
    let is_harmless =
        |c: char| c == '\n' || !c.is_control() && !['\u{202e}', '\u{2028}', '\u{85}'].contains(&c);
    assert!(text.chars().all(is_harmless), "{text}");
    let table: toml_edit::DocumentMut = text.parse().unwrap();
    let keys: Vec<&str> = table.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["mode", "milter", "organization", "connector"]);
    assert_eq!(table["mode"].as_str(), Some("observe"));
}

#[test]
fn postfix_gives_domains_networks_and_ways_back() {
    let mut log = Log::default();
    log.ordinary(ERP, "sales@example.org", 12);
    let place = Place::new(&log);
    let list = place.path("domains");
    fs::write(&list, "# ours\nshop.example\nbrand.example # too\n").unwrap();
    let table = place.path("virtual");
    fs::write(&table, "example.org anything\nalice@example.org alice\n  and more\nplain x\n")
        .unwrap();
    let main = format!(
        "mydestination = $myhostname, localhost, {}\n\
         virtual_alias_domains = hash:{}, inline:{{ {{ inline.example = x }} }}\n\
         virtual_mailbox_domains = proxy:mysql:/nowhere.cf\n\
         relay_domains = partner.example\n\
         parent_domain_matches_subdomains = relay_domains\n\
         mynetworks = 127.0.0.0/8, [::ffff:127.0.0.0]/104 [::1]/128 192.0.2.0/28 !192.0.2.5 \
         mail.example.org\n",
        list.display(),
        table.display()
    );
    let master = "smtp inet n - n - - smtpd\n\
                  127.0.0.1:10025 inet n - n - - smtpd -o content_filter=\n\
                  127.0.0.1:2525 inet n - n - - smtpd -o content_filter= -o smtpd_milters=\n\
                  pickup unix n - n 60 1 pickup\n";
    let folder = place.postfix(&main, master);
    let output = place.suggest(&["--config-directory", &folder]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let inbound: toml_edit::DocumentMut = text.parse().unwrap();
    let list = |key: &str| -> Vec<String> {
        let array = inbound["milter"][key].as_array().unwrap();
        array.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        list("inbound_domains"),
        [
            "mx.example.org",
            "localhost",
            "shop.example",
            "brand.example",
            "example.org",
            "inline.example",
            ".partner.example",
        ]
    );
    assert_eq!(list("relay_networks"), ["127.0.0.0/8", "::1", "192.0.2.0/28"]);
    assert_eq!(list("ignore_daemons"), ["127.0.0.1:10025"]);
    let comments = text.replace("\n# ", " ");
    for told in [
        "virtual_mailbox_domains names proxy:mysql:/nowhere.cf, whose keys can't be listed",
        "mynetworks excludes !192.0.2.5",
        "mynetworks holds mail.example.org, which is no network",
        "Postfix here (mx.example.org) was asked.",
    ] {
        assert!(comments.contains(told), "{told} in\n{text}");
    }
    let config = place.path("postfix.toml");
    fs::write(&config, &text).unwrap();
    check(&config);
}

#[test]
fn relay_clients_outside_of_mynetworks_are_told_of() {
    let mut log = Log::default();
    log.ordinary(ERP, "sales@example.org", 12);
    let place = Place::new(&log);
    let folder = place.postfix("mydestination = example.org\n", "");
    let output = connguard()
        .env("MAIL_CONFIG", folder)
        .arg("suggest")
        .arg(place.path("mail.log"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("1 client (192.0.2.10) without login relays from outside"), "{said}");
    assert!(stdout(&output).contains("[[connector]]\nname = \"erp\""));
}

#[test]
fn a_folder_without_postfix_is_an_error() {
    let place = Place::new(&Log::default());
    let output = place.suggest(&["--config-directory", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--no-postfix goes without it"), "{}", stderr(&output));
}

#[test]
fn nothing_is_overwritten_unasked() {
    let mut log = Log::default();
    log.ordinary(ERP, "sales@example.org", 3);
    let place = Place::new(&log);
    let out = place.path("connguard.toml");
    fs::write(&out, "mine").unwrap();
    let arguments = ["--no-postfix", "--output", out.to_str().unwrap()];
    let output = place.suggest(&arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is there already"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&out).unwrap(), "mine");
    let output = place.suggest(&[&arguments[..], &["--force"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    check(&out);
    let left: Vec<_> = fs::read_dir(place.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "nothing is left aside: {left:?}");
}

#[test]
fn logs_come_compressed_in_pieces_and_on_standard_input() {
    let mut log = Log::default();
    log.ordinary(ERP, "sales@example.org", 12);
    let place = Place::new(&log);
    let expected = place.suggested();
    let text = log.text();
    let half = text.len() / 2 + text[text.len() / 2..].find('\n').unwrap() + 1;
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&text.as_bytes()[..half]).unwrap();
    fs::write(place.path("old.gz"), packed.finish().unwrap()).unwrap();
    fs::write(place.path("new"), &text[half..]).unwrap();
    let pieces = connguard()
        .args(["suggest", "--no-postfix"])
        .args([place.path("new"), place.path("old.gz")])
        .output()
        .unwrap();
    let mut child = connguard()
        .args(["suggest", "--no-postfix", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let piped = child.wait_with_output().unwrap();
    // But for the names of the logs.
    let rest = |text: &str| text[text.find("\nmode").unwrap()..].to_owned();
    assert_eq!(rest(&stdout(&pieces)), rest(&expected), "{}", stderr(&pieces));
    assert_eq!(rest(&stdout(&piped)), rest(&expected));
}

#[test]
fn what_is_no_log_is_said_to_be_none() {
    let place = Place::new(&Log::default());
    fs::write(place.path("mail.log"), "once upon a time\n".repeat(10)).unwrap();
    let output = place.suggest(&["--no-postfix"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("none of 10 lines is of Postfix"), "{}", stderr(&output));
}

#[test]
fn real_logs_restrict_nobody_with_what_they_suggest() {
    let folder = TempDir::new().unwrap();
    for name in ["pixelpark-mail-2023.log.xz", "lightmeter-sample-2021.log.xz"] {
        let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces").join(name);
        if !log.exists() {
            eprintln!("{} is not there: left out", log.display());
            continue;
        }
        let out = folder.path().join(name);
        let output = connguard()
            .args(["suggest", "--no-postfix", "--output"])
            .args([&out, &log])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        check(&out);
        let restrictions = restricted(&out, &log);
        assert_eq!(restrictions.as_array().map(Vec::len), Some(0), "{name}: {restrictions}");
    }
}

#[test]
fn a_week_with_a_takeover_suggests_what_catches_it() {
    let place = Place::new(&Log::default());
    let mut text = Vec::new();
    log_week::write(60_000, &mut text).unwrap();
    fs::write(place.path("mail.log"), text).unwrap();
    let text = place.suggested();
    assert!(text.contains("inbound_domains = [\"example.org\"]"), "{text}");
    assert!(text.contains("registered_domains = [\"example.org\"]\n"), "{text}");
    assert!(text.replace("\n# ", " ").contains("Looks taken over: on 2026-03-06"), "{text}");
    let restrictions = restricted(&place.path("out.toml"), &place.path("mail.log"));
    let whom: Vec<&str> = restrictions
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["entity"].as_str().unwrap())
        .collect();
    assert_eq!(whom, [log_week::TAKEN_OVER]);
}
