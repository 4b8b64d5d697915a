//! Observe mode judges and refuses nothing.

use super::harness::site::{OURS, REMOTE, Site, odd};

#[test]
fn nothing_is_refused_and_the_list_says_what_would_have_been() {
    let mut site = Site::with(|config, _| config.mode = "observe");
    let mut client = site.client("127.0.0.8");
    for n in 0..20 {
        client.send(&odd(n), REMOTE).assert_accepted();
    }
    site.send("127.0.0.7", OURS, REMOTE).assert_accepted();

    let mark = site.daemon.listed("client:127.0.0.8").expect("a mark");
    assert_eq!(mark["state"], "marked", "{mark}");
    assert_eq!(site.daemon.list().len(), 1);
    let listed = site.daemon.cli(&["list"]).done().stdout;
    let listed = listed.to_lowercase();
    assert!(["would", "mark"].iter().any(|word| listed.contains(word)), "{listed}");
    assert_eq!(site.daemon.status("/restricted"), 0);

    // The past stays what it was: observed.
    site.daemon.configure(|config| config.mode = "enforce");
    site.daemon.cli(&["reload"]).done();
    client.send(OURS, REMOTE).assert_accepted();
    site.send("127.0.0.8", OURS, REMOTE).assert_accepted();
    assert_eq!(site.daemon.status("/restricted"), 0);
    site.daemon.restart();
    site.send("127.0.0.8", OURS, REMOTE).assert_accepted();
    // From now on it is enforced.
    site.take_over("127.0.0.8").outcome.assert_tempfail();
}

#[test]
fn one_connector_may_be_observed_while_the_others_are_enforced() {
    let site = Site::with(|config, _| {
        config.connector("erp", "clients = [\"127.0.0.8\"]\nmode = \"observe\"");
    });
    for n in 0..20 {
        site.send("127.0.0.8", &odd(n), REMOTE).assert_accepted();
    }
    let mark = site.daemon.listed("connector:erp").expect("a mark");
    assert_eq!(mark["state"], "marked", "{mark}");
    site.take_over("127.0.0.9").outcome.assert_tempfail();
}

#[test]
fn a_block_that_would_refuse_nothing_is_not_taken() {
    let site = Site::with(|config, _| config.mode = "observe");
    site.send("127.0.0.8", OURS, REMOTE).assert_accepted();
    let block = ["block", "client:127.0.0.8", "--reason", "stolen"];
    let answer = site.daemon.cli(&block);
    assert_eq!(answer.code, 4, "{answer:#?}");
    assert!(answer.stderr.contains("enforce"), "{answer:#?}");
    site.send("127.0.0.8", OURS, REMOTE).assert_accepted();
}
