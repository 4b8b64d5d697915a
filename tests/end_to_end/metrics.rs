//! Figures for Prometheus: a real one reads them and answers questions about them, and
//! they are those of `status` and `top`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::harness::config::{Config, Files};
use super::harness::daemon::run_to_end;
use super::harness::site::{OURS, REMOTE, Site};
use super::harness::{SOON, enterable_tempdir, free_port, run_ok, wait_for};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");
const CLIENT: &str = "127.0.0.8";

/// A site whose daemon serves figures at this port of 127.0.0.1.
fn served() -> (Site, u16) {
    let port = free_port();
    let site = Site::with(|config, _| {
        config.sections.push_str(&format!("\n[metrics]\nlisten = \"127.0.0.1:{port}\"\n"));
        config.connector("erp", &format!("clients = [\"{CLIENT}\"]"));
    });
    (site, port)
}

fn get(url: &str) -> String {
    let answer = ureq::get(url).call().unwrap_or_else(|e| panic!("{url}: {e}"));
    answer.into_body().read_to_string().expect("text")
}

fn figures(port: u16) -> String {
    get(&format!("http://127.0.0.1:{port}/metrics"))
}

/// The value of a series in the text.
#[track_caller]
fn figure(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no {series} in {text}"));
    line.parse().expect("a number")
}

/// Names and types of all families.
fn families(text: &str) -> Vec<(String, String)> {
    let family = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        Some((name.to_owned(), kind.to_owned()))
    };
    text.lines().filter_map(family).collect()
}

/// Three messages that pass, one that is refused by hand's restriction.
fn some_mail(site: &Site) {
    for _ in 0..3 {
        site.send(CLIENT, OURS, REMOTE).assert_accepted();
    }
    site.send("127.0.0.7", OURS, REMOTE).assert_accepted();
    site.block("connector:erp");
    site.send(CLIENT, OURS, REMOTE).assert_tempfail();
}

/// Prometheus as Debian has it; ends with this.
struct Prometheus {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Prometheus {
    /// Reads the figures of the daemon at `target` every second.
    fn start(dir: &Path, target: u16) -> Self {
        let port = free_port();
        let config = dir.join("prometheus.yml");
        let ours = format!("{PROJECT}/contrib/prometheus/prometheus.yml");
        let text = std::fs::read_to_string(&ours).expect("the sample configuration");
        assert!(text.contains("127.0.0.1:9188") && text.contains("alerts.yml"), "{text}");
        let alerts = format!("{PROJECT}/contrib/prometheus/alerts.yml");
        let text = text
            .replace("127.0.0.1:9188", &format!("127.0.0.1:{target}"))
            .replace("scrape_interval: 15s", "scrape_interval: 1s")
            .replace("/etc/prometheus/connguard-alerts.yml", &alerts);
        std::fs::write(&config, text).expect("its configuration");
        run_ok(Command::new("promtool").args(["check", "config"]).arg(&config));
        let log = dir.join("prometheus.log");
        let said = std::fs::File::create(&log).expect("its log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("prometheus").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .expect("prometheus is installed");
        Self { child, port, log }
    }

    /// Waits until a query has this one value.
    #[track_caller]
    fn wait(&self, query: &str, wanted: &str) {
        let mut last = String::new();
        let url = format!("http://127.0.0.1:{}/api/v1/query", self.port);
        let describe = || std::fs::read_to_string(&self.log).unwrap_or_default();
        wait_for(
            &format!("{query} is {wanted}"),
            3 * SOON.max(Duration::from_secs(10)),
            describe,
            || {
                let asked = ureq::get(&url).query("query", query).call().ok()?;
                last = asked.into_body().read_to_string().ok()?;
                let answer: Value = serde_json::from_str(&last).ok()?;
                let result = answer["data"]["result"].as_array()?;
                (result.len() == 1 && result[0]["value"][1] == wanted).then_some(())
            },
        );
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_prometheus_reads_and_tells_them() {
    let (site, port) = served();
    some_mail(&site);
    let prometheus = Prometheus::start(site.dir(), port);
    prometheus.wait("up{job=\"connguard\"}", "1");
    prometheus.wait("connguard_messages_total", "4");
    prometheus.wait("connguard_refused_recipients_total{action=\"tempfail\"}", "1");
    prometheus.wait("connguard_connector_restricted{connector=\"connector:erp\"}", "1");
    prometheus.wait("connguard_connector_messages_last_hour{connector=\"connector:erp\"}", "3");
    prometheus.wait("connguard_restrictions{action=\"tempfail\",kind=\"connector\"}", "1");
    let unblock = ["unblock", "connector:erp", "--reason", "all is well"];
    site.daemon.cli(&unblock).done();
    prometheus.wait("connguard_restricted", "0");
    prometheus.wait("connguard_restrictions_made_total{by=\"operator\"}", "1");
    prometheus.wait("connguard_restrictions_lifted_total", "1");
    // One that is final, and one that the judgement makes.
    let block = ["block", "client:127.0.0.7", "--reason", "gone", "--action", "reject"];
    site.daemon.cli(&block).done();
    site.send("127.0.0.7", OURS, REMOTE).assert_refused(550, "5.7.1");
    prometheus.wait("sum(connguard_refused_recipients_total)", "2");
    prometheus.wait("connguard_refused_recipients_total{action=\"reject\"}", "1");
    site.take_over("127.0.0.9").outcome.assert_tempfail();
    prometheus.wait("connguard_suspicions_total", "1");
    // Each change was brought to disk, and some answers were timed.
    prometheus.wait("connguard_journal_sync_seconds_count > bool 2", "1");
    prometheus.wait("connguard_journal_sync_seconds_sum > bool 0", "1");
    prometheus
        .wait("min(connguard_milter_callback_seconds_count{callback=\"recipient\"} > bool 0)", "1");
    prometheus.wait("connguard_restrictions_made_total{by=\"judgement\"}", "1");
}

#[test]
fn they_are_those_of_status_and_top() {
    let (site, port) = served();
    some_mail(&site);
    let status = site.daemon.json(&["status"]);
    let top = site.daemon.json(&["top"]);
    let text = figures(port);
    for (series, pointer) in [
        ("connguard_messages_total", "/messages"),
        ("connguard_recipients_total", "/recipients"),
        ("connguard_refused_recipients_total{action=\"tempfail\"}", "/refused"),
        ("connguard_would_refuse_recipients_total", "/would_refuse"),
        ("connguard_held_messages_total", "/held"),
        ("connguard_unattributed_messages_total", "/unattributed"),
        ("connguard_restricted", "/restricted"),
        ("connguard_marked", "/marked"),
        ("connguard_restrictions_idle", "/idle"),
        ("connguard_journal_records", "/journal/records"),
        ("connguard_journal_bytes", "/journal/bytes"),
        ("connguard_milter_connections_limit", "/milter/limit"),
        ("connguard_panics_total", "/panics/count"),
        ("connguard_alerts_sent_total", "/alerts/sent"),
    ] {
        let said = status.pointer(pointer).and_then(Value::as_f64);
        assert_eq!(Some(figure(&text, series)), said, "{series} in {status:#}");
    }
    assert_eq!(figure(&text, "connguard_journal_healthy"), 1.0);
    assert_eq!(figure(&text, "connguard_mode{mode=\"enforce\"}"), 1.0);
    let all: f64 = ["client", "configured"]
        .map(|kind| figure(&text, &format!("connguard_connectors{{kind=\"{kind}\"}}")))
        .iter()
        .sum();
    assert_eq!(Some(all), status["connectors"].as_f64());
    let top = top.as_array().expect("an array");
    assert_eq!(top.len(), 2, "{top:#?}");
    for view in top {
        let label = format!("{{connector={}}}", view["entity"]);
        for (name, key) in [
            ("messages_last_hour", "messages"),
            ("recipients_last_hour", "recipients"),
            ("refused", "refused"),
            ("score_limit", "limit"),
        ] {
            let series = format!("connguard_connector_{name}{label}");
            assert_eq!(Some(figure(&text, &series)), view[key].as_f64(), "{series}");
        }
    }
}

#[test]
fn promtool_finds_no_fault_with_them_nor_with_the_rules() {
    let (site, port) = served();
    some_mail(&site);
    let text = site.dir().join("metrics.txt");
    std::fs::write(&text, figures(port)).expect("a file");
    let script = "promtool check metrics <\"$1\"";
    let said = run_ok(Command::new("sh").args(["-c", script, "sh"]).arg(&text));
    assert_eq!(said.trim(), "");
    let rules = format!("{PROJECT}/contrib/prometheus");
    run_ok(Command::new("promtool").args(["check", "rules", &format!("{rules}/alerts.yml")]));
    let tests = format!("{rules}/alerts_test.yml");
    let said = run_ok(Command::new("promtool").args(["test", "rules", &tests]));
    assert!(said.contains("SUCCESS"), "{said}");
}

#[test]
fn all_that_documents_and_dashboards_name_is_there() {
    let (site, port) = served();
    some_mail(&site);
    let mut real = families(&figures(port));
    real.sort();
    // docs/metrics.md has a row for each, and no other.
    let docs = std::fs::read_to_string(format!("{PROJECT}/docs/metrics.md")).expect("the table");
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `connguard_")?.split('|');
        let name = format!("connguard_{}", cells.next()?.trim().split('`').next()?);
        let name = name.split('{').next()?.to_owned();
        Some((name, cells.next()?.trim().to_owned()))
    };
    let mut told: Vec<_> = docs.lines().filter_map(row).collect();
    told.sort();
    assert_eq!(told, real);
    let names: Vec<&str> = real.iter().map(|(name, _)| name.as_str()).collect();
    for file in ["contrib/prometheus/alerts.yml", "contrib/grafana/connguard.json"] {
        let text = std::fs::read_to_string(format!("{PROJECT}/{file}")).expect("a file");
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let used = text.split(|c| !is_word(c)).filter(|word| word.starts_with("connguard_"));
        let used: Vec<&str> = used.collect();
        assert!(used.len() > 5, "{file} uses {used:?}");
        for name in used {
            assert!(names.contains(&name), "{file} uses {name}, which is not there");
        }
    }
    let board = std::fs::read_to_string(format!("{PROJECT}/contrib/grafana/connguard.json"));
    let board: Value = serde_json::from_str(&board.expect("the dashboard")).expect("JSON");
    assert_eq!(board["uid"], "connguard");
    assert_eq!(board["templating"]["list"][0]["type"], "datasource");
}

#[test]
fn a_port_in_use_refuses_the_start() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = other.local_addr().expect("its number").port();
    let dir = enterable_tempdir();
    let mut config = Config::default();
    config.sections.push_str(&format!("\n[metrics]\nlisten = \"127.0.0.1:{port}\"\n"));
    let answer = run_to_end(&Files::create(dir.path()), &config);
    assert_eq!(answer.code, 1, "{answer:#?}");
    let said = "metrics.listen: can't listen on";
    assert!(answer.stderr.contains(said) && answer.stderr.contains("in use"), "{answer:#?}");
}
