//! A client that was taken over sends in the names of foreign domains, and
//! is stopped; everybody else notices nothing.

use super::harness::site::{INBOUND, OURS, REMOTE, Site, odd};
use super::harness::smtp::{Stage, case_in};
use super::harness::{SOON, free_port};

#[test]
fn the_taken_over_client_is_stopped_and_the_others_are_not() {
    let site = Site::start();
    let mut good = site.client("127.0.0.7");
    for n in 0..200 {
        let to = format!("customer{n}@remote.test");
        good.send(OURS, &to).assert_accepted();
    }

    let caught = site.take_over("127.0.0.8");
    caught.outcome.assert_tempfail();
    assert!(caught.passed <= 10, "{caught:?}");
    // The message that tips the scale is itself refused, at its end.
    assert_eq!(caught.outcome.stage, Stage::End);

    // Relayed recipients are refused at once from here on, whoever sends.
    let again = site.send("127.0.0.8", OURS, REMOTE);
    again.assert_tempfail();
    assert_eq!(again.stage, Stage::Rcpt);
    assert_eq!(case_in(&again.reply.text), case_in(&caught.outcome.reply.text));
    // Its inbound mail and everybody else's mail flow.
    site.send("127.0.0.8", &odd(50), INBOUND).assert_accepted();
    good.send(OURS, REMOTE).assert_accepted();
    site.sink.wait_for(200 + caught.passed + 2, SOON);
    assert_eq!(site.sink.count_to(INBOUND), 1);
}

#[test]
fn the_administrator_reads_who_was_stopped_and_why() {
    let site = Site::start();
    let caught = site.take_over("127.0.0.8");
    let case = case_in(&caught.outcome.reply.text).expect("a case id");
    site.send("127.0.0.8", OURS, REMOTE).assert_tempfail();

    let item = site.daemon.listed("client:127.0.0.8").expect("an entry");
    assert_eq!(item["kind"], "connector");
    assert_eq!(item["case"], case.as_str());
    assert_eq!(item["action"], "tempfail");
    assert_eq!(item["scope"], "relayed");
    assert_eq!(item["by"], "judgement");
    assert_eq!(item["passed_messages"], caught.passed);
    // The one that tipped the scale, and the one after it.
    assert_eq!(item["refused"], 2);
    let finding = &item["findings"][0];
    assert_eq!(finding["signal"], "unregistered_sender");
    let findings = item["findings"].as_array().unwrap();
    let scores: f64 = findings.iter().filter_map(|finding| finding["score"].as_f64()).sum();
    assert!(scores >= finding["limit"].as_f64().unwrap(), "{findings:?}");

    let listed = site.daemon.cli(&["list"]).done().stdout;
    assert!(listed.contains("client:127.0.0.8") && listed.contains(&case));
    let shown = site.daemon.cli(&["show", &case]).done().stdout;
    assert!(shown.contains("client:127.0.0.8"), "{shown}");
    let log = site.daemon.log();
    assert!(log.contains("entity=client:127.0.0.8"), "{log}");

    assert_eq!(site.daemon.status("/restricted"), 1);
    assert_eq!(site.daemon.status("/refused"), 2);
    let passed = u64::try_from(caught.passed).unwrap();
    assert_eq!(site.daemon.status("/messages"), passed);
    let status = site.daemon.json(&["status"]);
    assert_eq!(status["mode"], "enforce");
    assert_eq!(status["journal"]["healthy"], true);
    for field in ["/version", "/started", "/journal/path", "/milter/limit"] {
        assert!(status.pointer(field).is_some(), "no {field} in {status}");
    }
}

#[test]
fn a_message_that_also_goes_inwards_is_split_by_its_retry() {
    let site = Site::start();
    let mut client = site.client("127.0.0.8");
    for n in 0..11 {
        let from = odd(n);
        client.expect(&format!("MAIL FROM:<{from}>"), 250);
        client.expect(&format!("RCPT TO:<{INBOUND}>"), 250);
        client.expect(&format!("RCPT TO:<{REMOTE}>"), 250);
        let reply = client.data(&from, REMOTE);
        if reply.agrees() {
            continue;
        }
        // All recipients or none: a tempfail, whatever the action. The retry
        // gets the inbound one through.
        assert_eq!(reply.code, 451, "{reply}");
        client.expect(&format!("MAIL FROM:<{from}>"), 250);
        client.expect(&format!("RCPT TO:<{INBOUND}>"), 250);
        client.expect(&format!("RCPT TO:<{REMOTE}>"), 451);
        assert!(client.data(&from, INBOUND).agrees());
        return;
    }
    panic!("never stopped");
}

#[test]
fn one_foreign_domain_again_and_again_is_not_enough() {
    // It is suspicious, though: what that means for its mail is not asked here.
    let site = Site::with(|config, _| config.no_throttle());
    let mut client = site.client("127.0.0.8");
    for _ in 0..30 {
        client.send("list@partner.test", REMOTE).assert_accepted();
    }
    assert!(site.daemon.list().is_empty());
    let all = site.daemon.json(&["list", "--all"]);
    assert_eq!(all[0]["state"], "suspicious", "{all}");
}

#[test]
fn a_trusted_client_is_never_judged() {
    let site = Site::with(|config, _| {
        config.sections.push_str("\n[trust]\nclients = [\"127.0.0.20\"]\n");
    });
    let mut client = site.client("127.0.0.20");
    for n in 0..20 {
        client.send(&odd(n), REMOTE).assert_accepted();
    }
    assert!(site.daemon.list().is_empty());
}

#[test]
fn trust_by_command_lasts_until_it_is_taken_back() {
    let site = Site::start();
    let entity = "client:127.0.0.8";
    site.send("127.0.0.8", OURS, REMOTE).assert_accepted();
    let args = ["trust", entity, "--for", "1h", "--reason", "planned mailing"];
    site.daemon.cli(&args).done();
    for n in 0..20 {
        site.send("127.0.0.8", &odd(n), REMOTE).assert_accepted();
    }
    let all = site.daemon.cli(&["list", "--all"]).done().stdout;
    assert!(all.contains(entity), "{all}");
    site.daemon.cli(&["untrust", entity]).done();
    site.take_over("127.0.0.8").outcome.assert_tempfail();
}

#[test]
fn a_tcp_listener_serves_beside_the_unix_socket() {
    let port = free_port();
    let site = Site::with(|config, settings| {
        config.listen.push(format!("inet:127.0.0.1:{port}"));
        settings.milter(&format!("inet:127.0.0.1:{port}"));
    });
    site.send("127.0.0.7", OURS, REMOTE).assert_accepted();
    site.take_over("127.0.0.8").outcome.assert_tempfail();
    assert!(site.daemon.files().milter_socket().exists());
}
