//! The policy delegation protocol: fingerprints for the milter, and judging without one.

use super::harness::SOON;
use super::harness::certs::{Certificate, Certs};
use super::harness::config::Config;
use super::harness::postfix::Settings;
use super::harness::run_ok;
use super::harness::site::{INBOUND, OURS, REMOTE, Site, odd};
use super::harness::smtp::{Letter, case_in};
use super::harness::swaks::send_tls;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the front-end listens.
fn socket(dir: &Path) -> PathBuf {
    dir.join("milter/policy.sock")
}

/// Lets the daemon have the front-end in this role, and Postfix ask it in these lists.
/// Where it fails mail passes, as an operator sets it up.
fn ask(config: &mut Config, settings: &mut Settings, role: &str, lists: &[&str]) {
    let place = format!("unix:{}", socket(settings.dir()).display());
    write!(config.sections, "\n[policy]\nlisten = [\"{place}\"]\nrole = \"{role}\"\n").unwrap();
    for list in lists {
        let service = format!(
            "check_policy_service {{ {place}, default_action=DUNNO, timeout=10s, try_limit=2, retry_delay=1s }}"
        );
        settings.set(list, &service);
    }
}

/// Beside the milter.
fn identify(config: &mut Config, settings: &mut Settings) {
    ask(config, settings, "identity", &["smtpd_recipient_restrictions"]);
    settings.set("smtpd_tls_fingerprint_digest", "sha256");
}

/// Instead of it.
fn judge(config: &mut Config, settings: &mut Settings) {
    let lists = ["smtpd_recipient_restrictions", "smtpd_end_of_data_restrictions"];
    ask(config, settings, "judge", &lists);
    settings.set("smtpd_milters", "");
}

/// What `openssl x509 -fingerprint` says of a certificate, as the configuration has it.
fn fingerprint(certificate: &Certificate) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(&certificate.cert);
    let said = run_ok(&mut openssl);
    format!("sha256:{}", said.trim().split_once('=').expect("a fingerprint").1)
}

/// The fingerprint of the public key in a certificate.
fn key_fingerprint(certificate: &Certificate) -> String {
    let shell = format!(
        "openssl x509 -noout -pubkey -in {} | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r",
        certificate.cert.display()
    );
    let said = run_ok(Command::new("sh").args(["-c", &shell]));
    format!("sha256:{}", said.split_whitespace().next().expect("a digest"))
}

fn passed(site: &Site, entity: &str) -> u64 {
    let answer = site.daemon.cli(&["show", entity, "--json"]);
    if answer.code != 0 {
        0
    } else {
        answer.json()["totals"]["messages"].as_u64().expect("a count")
    }
}

#[test]
fn a_client_is_known_by_nothing_but_its_fingerprint() {
    let mut known = None;
    let site = Site::with(|config, settings| {
        identify(config, settings);
        let partner = Certs::new(&settings.dir().join("own")).self_signed("partner", "any.test");
        let lines = format!("certificate = {{ fingerprint = \"{}\" }}", fingerprint(&partner));
        config.connector("partner", &lines);
        known = Some(partner);
    });
    let partner = known.expect("a certificate");
    // The same name, another key.
    let other = site.certs.self_signed("other", "any.test");
    let send = |client: &str, certificate, from: &str| {
        send_tls(client, site.postfix.port(), certificate, from, REMOTE)
    };
    let shared = "127.0.0.9";
    send(shared, Some(&partner), OURS).assert_accepted();
    send(shared, Some(&other), OURS).assert_accepted();
    send(shared, None, OURS).assert_accepted();
    assert_eq!(passed(&site, "connector:partner"), 1);
    assert_eq!(passed(&site, "client:127.0.0.9"), 2);

    let caught = (0..=10).map(|n| send(shared, Some(&partner), &odd(n)));
    let caught = caught.into_iter().find(|dialog| !dialog.accepted()).expect("it is caught");
    caught.assert_tempfail();
    assert!(site.daemon.listed("connector:partner").is_some());
    assert_eq!(site.daemon.list().len(), 1);
    // By whatever way it comes; and nobody else behind its address.
    send("127.0.0.10", Some(&partner), OURS).assert_tempfail();
    send(shared, Some(&other), OURS).assert_accepted();
    send(shared, None, OURS).assert_accepted();
    let shown = site.daemon.cli(&["show", "connector:partner"]).done().stdout;
    assert!(shown.contains(&fingerprint(&partner)), "{shown}");
    let policy = site.daemon.json(&["status"])["policy"].clone();
    assert_eq!(policy["role"], "identity");
    assert_eq!(policy["handed_over"], policy["taken"], "{policy}");
}

#[test]
fn a_renewed_certificate_with_the_same_key_is_the_same_client() {
    let mut made = None;
    let site = Site::with(|config, settings| {
        identify(config, settings);
        let dir = settings.dir().join("own");
        let first = Certs::new(&dir).self_signed("first", "any.test");
        let lines = format!("certificate = {{ fingerprint = \"{}\" }}", key_fingerprint(&first));
        config.connector("partner", &lines);
        made = Some((dir, first));
    });
    let (dir, first) = made.expect("a certificate");
    let renewed = Certificate { cert: dir.join("renewed.pem"), key: first.key.clone() };
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-days", "3", "-subj", "/CN=renewed.test", "-key"]);
    run_ok(openssl.arg(&first.key).arg("-out").arg(&renewed.cert));
    assert_ne!(fingerprint(&first), fingerprint(&renewed));
    for certificate in [&first, &renewed] {
        let port = site.postfix.port();
        send_tls("127.0.0.9", port, Some(certificate), OURS, REMOTE).assert_accepted();
    }
    assert_eq!(passed(&site, "connector:partner"), 2);
}

#[test]
fn weak_fingerprints_are_told_of() {
    let site = Site::with(|config, settings| {
        identify(config, settings);
        settings.set("smtpd_tls_fingerprint_digest", "md5");
        config.connector(
            "partner",
            &format!("certificate = {{ fingerprint = \"sha256:{}\" }}", "ab".repeat(32)),
        );
    });
    let partner = site.certs.self_signed("partner", "any.test");
    send_tls("127.0.0.9", site.postfix.port(), Some(&partner), OURS, REMOTE).assert_accepted();
    let notes = site.daemon.json(&["status"])["notes"].to_string();
    assert!(notes.contains("smtpd_tls_fingerprint_digest = sha256"), "{notes}");
}

#[test]
fn without_a_milter_a_takeover_is_stopped_and_lifted() {
    let site = Site::with(judge);
    let client = "127.0.0.9";
    site.send(client, OURS, REMOTE).assert_accepted();
    let caught = site.take_over(client);
    assert!(caught.passed < 6, "{caught:?}");
    caught.outcome.assert_tempfail();
    let case = case_in(&caught.outcome.reply.text).expect("a case in the reply");
    site.send(client, OURS, REMOTE).assert_tempfail();
    // What this site receives is not relayed.
    site.send(client, OURS, INBOUND).assert_accepted();
    site.send("127.0.0.10", OURS, REMOTE).assert_accepted();
    let listed = site.daemon.listed("client:127.0.0.9").expect("it is listed");
    assert_eq!(listed["case"], case);
    assert_eq!(listed["passed_messages"], caught.passed);
    let shown = site.daemon.cli(&["show", &case]).done().stdout;
    assert!(shown.contains("win1@odd1.test"), "{shown}");
    site.daemon.cli(&["unblock", &case, "--reason", "cleaned"]).done();
    site.send(client, OURS, REMOTE).assert_accepted();
    // The mail that passed was delivered, the other one not.
    site.sink.wait_for(caught.passed + 4, SOON);
    let status = site.daemon.json(&["status"]);
    assert_eq!(status["policy"]["role"], "judge");
    assert_eq!(status["messages"], caught.passed + 4, "{status}");
    assert!(status["notes"].to_string().contains("neither From nor"), "{status}");
}

#[test]
fn without_a_milter_mail_is_rejected_or_held_as_configured() {
    let site = Site::with(|config, settings| {
        judge(config, settings);
        config.connector("printer", "clients = [\"127.0.0.11\"]\naction = \"hold\"");
        config.connector("erp", "clients = [\"127.0.0.12\"]\naction = \"reject\"");
    });
    site.block("connector:printer");
    site.block("connector:erp");
    site.send("127.0.0.12", OURS, REMOTE).assert_refused(550, "5.7.1");
    site.send("127.0.0.11", OURS, REMOTE).assert_accepted();
    assert_eq!(site.postfix.queued_in("hold"), 1);
    assert_eq!(site.daemon.status("/held"), 1);
    assert_eq!(site.sink.count(), 0);
}

#[test]
fn without_a_milter_all_of_a_message_count_once() {
    // In two lists, so that each recipient is asked for twice.
    let site = Site::with(|config, settings| {
        let lists = [
            "smtpd_data_restrictions",
            "smtpd_recipient_restrictions",
            "smtpd_end_of_data_restrictions",
        ];
        ask(config, settings, "judge", &lists);
        let service = format!("check_policy_service unix:{}", socket(settings.dir()).display());
        settings.set("smtpd_sender_restrictions", &service);
        settings.set("smtpd_milters", "");
    });
    let mut session = site.client("127.0.0.9");
    for n in 0..3 {
        assert!(session.mail(OURS).agrees());
        for to in ["a@remote.test", "b@remote.test", INBOUND] {
            assert!(session.rcpt(to).agrees());
        }
        // It begins anew in the second one.
        if n == 1 {
            session.expect("RSET", 250);
            continue;
        }
        let letter = Letter::new(OURS, "a@remote.test");
        assert!(session.content(&letter).agrees());
    }
    site.sink.wait_for(2, SOON);
    let shown = site.daemon.json(&["show", "client:127.0.0.9"]);
    assert_eq!(shown["totals"]["messages"], 2, "{shown}");
    assert_eq!(shown["totals"]["recipients"], 4, "{shown}");
}

#[test]
fn what_is_missing_in_main_cf_is_told() {
    let site = Site::with(|config, settings| {
        ask(config, settings, "judge", &["smtpd_recipient_restrictions"]);
        settings.set("smtpd_milters", "");
    });
    let mut session = site.client("127.0.0.9");
    for _ in 0..25 {
        session.send(OURS, REMOTE).assert_accepted();
    }
    let notes = site.daemon.json(&["status"])["notes"].to_string();
    assert!(notes.contains("smtpd_end_of_data_restrictions"), "{notes}");
}

#[test]
fn mail_passes_while_it_is_down_and_restrictions_hold_behind() {
    let mut site = Site::with(judge);
    let mut session = site.client("127.0.0.9");
    session.send(OURS, REMOTE).assert_accepted();
    site.block("client:127.0.0.9");
    session.send(OURS, REMOTE).assert_tempfail();
    site.daemon.kill9();
    session.send(OURS, REMOTE).assert_accepted();
    site.daemon.start_again();
    session.send(OURS, REMOTE).assert_tempfail();
    site.daemon.restart();
    session.send(OURS, REMOTE).assert_tempfail();
}

/// A connection of a Postfix that says what the test wants.
struct Asker(BufReader<UnixStream>);

impl Asker {
    fn new(site: &Site) -> Self {
        let stream = UnixStream::connect(socket(site.dir())).expect("the policy socket");
        stream.set_read_timeout(Some(SOON)).expect("a deadline");
        Self(BufReader::new(stream))
    }

    fn say(&mut self, text: &[u8]) {
        // Where it was closed the answer tells.
        let _ = self.0.get_mut().write_all(text);
    }

    /// The action of the next answer; nothing where the connection was closed.
    fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let mut empty = String::new();
        self.0.read_line(&mut empty).expect("an empty line");
        assert_eq!(empty, "\n");
        Some(line.trim_end().strip_prefix("action=").expect("an action").to_owned())
    }
}

/// A request about a recipient elsewhere, of the client 127.0.0.9.
fn request(port: u16, instance: &str) -> String {
    format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nsender={OURS}\nrecipient={REMOTE}\n\
         client_address=127.0.0.9\nclient_port={port}\nserver_address=127.0.0.1\nserver_port=25\n\
         instance={instance}\n\n"
    )
}

#[test]
fn many_requests_come_on_one_connection_and_what_is_none_ends_it() {
    let site = Site::with(judge);
    let mut asker = Asker::new(&site);
    // At once, and in pieces.
    asker.say(request(1, "a").repeat(3).as_bytes());
    for _ in 0..3 {
        assert_eq!(asker.hear().as_deref(), Some("DUNNO"));
    }
    for piece in request(1, "b").as_bytes().chunks(7) {
        asker.say(piece);
    }
    assert_eq!(asker.hear().as_deref(), Some("DUNNO"));
    site.block("client:127.0.0.9");
    asker.say(request(1, "c").as_bytes());
    let said = asker.hear().expect("an answer");
    assert!(said.starts_with("451 4.7.1 "), "{said}");

    let long = format!("request=smtpd_access_policy\nsender={}\n\n", "x".repeat(70_000));
    for junk in ["GET / HTTP/1.1\r\n\r\n", "\n", "request=junk\n\n", &long, "\0\0\n\n"] {
        let mut asker = Asker::new(&site);
        asker.say(junk.as_bytes());
        assert_eq!(asker.hear(), None, "{:?}", &junk[..junk.len().min(40)]);
        let mut rest = Vec::new();
        assert!(matches!(asker.0.read_to_end(&mut rest), Ok(0) | Err(_)));
    }
    asker.say(request(1, "d").as_bytes());
    assert!(asker.hear().is_some(), "others go on");
    site.daemon.wait_log("sent no request of Postfix", SOON);
}

#[test]
fn a_panic_costs_one_request() {
    let site = Site::with(judge);
    let mut asker = Asker::new(&site);
    let mut ask = |port, instance: &str| {
        asker.say(request(port, instance).as_bytes());
        asker.hear().expect("an answer")
    };
    assert_eq!(ask(1, "a"), "DUNNO");
    site.daemon.fail("policy request", "panic");
    assert_eq!(ask(1, "b"), "DUNNO");
    site.block("client:127.0.0.9");
    let said = ask(1, "c");
    assert!(said.starts_with("451 4.7.1 "), "{said}");
    site.daemon.mend("policy request");
    assert!(ask(1, "d").starts_with("451 4.7.1 "));
    assert!(site.daemon.status("/panics/count") >= 2);
}

#[test]
fn an_alert_of_our_own_is_nobodys_mail() {
    let site = Site::with(|config, settings| {
        judge(config, settings);
        config.alert_mail(&["admin@remote.test"], settings.port());
    });
    site.block("client:127.0.0.1");
    site.daemon.cli(&["alerts", "test"]).done();
    site.sink.wait_for_to("admin@remote.test", 1, SOON);
    site.send("127.0.0.1", OURS, REMOTE).assert_tempfail();
}
