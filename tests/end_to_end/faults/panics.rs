//! A panic wherever one can come: nobody gets in by it, nothing goes on half alive.

use super::super::harness::SOON;
use super::super::harness::config::Config;
use super::super::harness::site::{OURS, REMOTE, Site};
use super::super::harness::smtp::Outcome;
use super::{BAD, ENTITY, GOOD, Lead, assert_protects, has_note, restricted, wait_status};

/// The callbacks of the milter, and the steps of theirs that can fail.
const CALLBACKS: [&str; 9] = [
    "milter negotiate",
    "milter connect",
    "milter helo",
    "milter mail",
    "milter rcpt",
    "milter header",
    "milter end",
    "milter abort",
    "milter reply",
];

/// One message whose `place` panics once. A restricted client never gets to headers and
/// to the end, nor anybody else to a refusal.
fn send_through(site: &Site, place: &str, client: &str) -> Outcome {
    site.daemon.fail(place, "panic once");
    let outcome = site.send(client, OURS, REMOTE);
    let path = site.daemon.files().fault(place);
    if std::fs::remove_file(path).is_ok() {
        let never = ["milter header", "milter end", "milter reply"];
        assert!(never.contains(&place), "{client} never came to {place}");
    }
    outcome
}

/// | a callback panics | passes; restricted ones get a tempfail or are held | enforced | log
/// line; `status` and an alert: how often and where; `status --json`: panics |
#[test]
fn a_panic_in_a_callback_lets_nobody_in_and_stops_nobody_else() {
    let site = Site::with(|config, _| {
        config.connector("held", "clients = [\"127.0.0.10\"]\naction = \"hold\"");
        config.connector("login", "logins = [\"stolen@example.org\"]");
    });
    site.send(BAD, OURS, REMOTE).assert_accepted();
    for entity in [ENTITY, "connector:held", "connector:login"] {
        site.block(entity);
    }
    for place in CALLBACKS {
        send_through(&site, place, GOOD).assert_accepted();
        let refused = send_through(&site, place, BAD);
        assert_eq!(refused.reply.code, 451, "{place}: {refused:?}");
        // All but its words.
        if place != "milter reply" {
            refused.assert_tempfail();
        }
        // What is to be held is held, not let through.
        let held = site.postfix.queued_in("hold");
        send_through(&site, place, "127.0.0.10").assert_accepted();
        assert_eq!(site.postfix.queued_in("hold"), held + 1, "{place}");
        // Who is restricted by a login that MAIL brings.
        site.daemon.fail(place, "panic once");
        let mut client = site.client("127.0.0.11");
        client.xclient("LOGIN=stolen@example.org");
        let outcome = client.send(OURS, REMOTE);
        let _ = std::fs::remove_file(site.daemon.files().fault(place));
        assert_eq!(outcome.reply.code, 451, "{place}: {outcome:?}");
    }
    let status = site.daemon.json(&["status"]);
    assert!(status["milter"]["panics"].as_u64() >= Some(20), "{status:#}");
    assert!(status["panics"]["count"].as_u64() >= Some(20), "{status:#}");
    assert!(has_note(&status, &["failed", "milter", "please report"]), "{status:#}");
    site.daemon.wait_log("panic number 1,", SOON);
    assert_protects(&site);
}

/// Changes something that is to be written.
fn change(site: &Site) {
    let trust = ["trust", GOOD, "--for", "1h", "--reason", "planned"];
    site.daemon.cli(&trust).done();
    site.daemon.cli(&["untrust", GOOD]).done();
}

fn learn(site: &Site) {
    site.daemon.cli(&["normal", GOOD, "--reason", "a newsletter"]).done();
}

fn block_another(site: &Site) {
    site.send("127.0.0.12", OURS, REMOTE).assert_accepted();
    site.block("client:127.0.0.12");
    site.daemon.cli(&["unblock", "client:127.0.0.12", "--reason", "back", "--grace", "0s"]).done();
}

fn test_alerts(site: &Site) {
    site.daemon.cli(&["alerts", "test"]);
}

/// Threads and tasks that go on, and what leads to each of them.
const PARTS: [(&str, Lead); 11] = [
    // First: it is tried again after ten seconds, which the others take together.
    ("cases", block_another),
    ("journal", change),
    ("history", learn),
    ("feedback", |_| ()),
    ("alert", |_| ()),
    ("alert channel", test_alerts),
    ("alert command input", test_alerts),
    ("alert command output", test_alerts),
    ("look", |_| ()),
    ("control client", |site| {
        let answer = site.daemon.cli(&["list"]);
        assert_eq!(answer.code, 4, "{answer:#?}");
        assert!(answer.stderr.contains("a fault of connguard"), "{answer:#?}");
    }),
    ("reload", |site| {
        let answer = site.daemon.cli(&["reload"]);
        assert_eq!(answer.code, 4, "{answer:#?}");
    }),
];

/// | a panic in a thread or task (journal, history, cases, mail log, alerts, a command, a
/// reload) | passes, judged | enforced; what was to be written is written | it goes on with
/// what it had; log line; `status` and an alert: how often and where; a part that goes on
/// failing is NOT HEALTHY; exit code 4 where it was a command |
#[test]
fn a_panic_in_a_thread_or_task_is_told_and_it_goes_on() {
    let mut site = Site::with(|config: &mut Config, settings| {
        config.mail_log = Some(settings.log_file());
        config.alert.push_str("command = [\"/bin/cat\"]\n");
    });
    site.send(BAD, OURS, REMOTE).assert_accepted();
    site.block(ENTITY);
    for (done, (part, lead_there)) in PARTS.into_iter().enumerate() {
        site.daemon.fail(part, "panic once");
        lead_there(&site);
        site.daemon.wait_failed(part);
        let what = format!("a status that tells of {part}");
        wait_status(&site, &what, |it| it["panics"]["count"].as_u64() > u64::try_from(done).ok());
        assert_protects(&site);
    }
    // Each of them still does its work, and says so.
    for work in [change, block_another, learn, test_alerts] {
        work(&site);
    }
    let status = wait_status(&site, "parts that are well", |it| {
        let well = |part: &str| it[part]["healthy"] == true;
        ["journal", "cases", "history", "feedback"].into_iter().all(well)
    });
    assert!(has_note(&status, &["failed 11 times", "please report"]), "{status:#}");
    site.daemon.cli(&["alerts", "test"]).done();
    site.daemon.cli(&["reload"]).done();
    // What was to be written was written.
    site.daemon.kill9();
    site.daemon.start_again();
    assert_protects(&site);
    let history = site.daemon.cli(&["history", GOOD]).done().stdout;
    assert!(history.contains("planned"), "{history}");
    assert_eq!(site.daemon.cli(&["show", "client:127.0.0.12"]).done().code, 0);
}

#[test]
fn a_part_that_fails_for_good_is_never_shown_as_well() {
    let site = Site::following(|_, _| ());
    for client in [BAD, GOOD] {
        site.send(client, OURS, REMOTE).assert_accepted();
    }
    for part in ["feedback", "journal", "cases", "history"] {
        let places = if part == "journal" { vec![part, "journal segment"] } else { vec![part] };
        for place in &places {
            site.daemon.fail(place, "panic");
        }
        match part {
            "history" => learn(&site),
            "feedback" => {}
            _ => {
                let answer = site.daemon.cli(&["block", ENTITY, "--reason", "stopped"]).done();
                assert_eq!(answer.stderr.contains("not on disk"), part == "journal");
                site.daemon.cli(&["unblock", ENTITY, "--reason", "back"]).done();
            }
        }
        let status =
            wait_status(&site, "a part that is not well", |it| it[part]["healthy"] == false);
        assert!(has_note(&status, &["fault of connguard"]), "{status:#}");
        for place in &places {
            site.daemon.mend(place);
        }
        // These are tried again later.
        if !["history", "cases"].contains(&part) {
            wait_status(&site, "a part that is well", |it| it[part]["healthy"] == true);
        }
    }
    site.daemon.fail("alert", "panic");
    let what = "alerts that fail";
    wait_status(&site, what, |it| has_note(it, &["alerts: ", "fault of connguard"]));
}

#[test]
fn a_reload_that_fails_by_our_fault_keeps_the_old_configuration() {
    let mut site = restricted();
    site.daemon.configure(|config| config.mode = "observe");
    site.daemon.fail("reload", "panic once");
    site.daemon.hup();
    site.daemon.wait_log("reload: the reload failed by a fault of connguard", SOON);
    assert_eq!(site.daemon.json(&["status"])["mode"], "enforce");
    assert_protects(&site);
    site.daemon.hup();
    assert_eq!(site.daemon.json(&["status"])["mode"], "observe");
}
