//! What README shows of the daemon is what it prints.

use super::harness::site::{OURS, REMOTE, Site, Tells, odd};
use super::harness::smtp::case_in;
use super::harness::{SOON, wait_for};
use super::screens_of_readme::Screen;
use std::time::Duration;

#[test]
fn a_takeover_as_an_administrator_sees_it() {
    let site = Site::clocked(|config| {
        config.connector("erp", "clients = [\"127.0.0.11\"]");
    });
    let minute = || site.daemon.advance(Duration::from_secs(60));
    let screen = |commands: &[&str], name| {
        let mut screen = Screen::default();
        for command in commands {
            let words: Vec<&str> = command.split(' ').collect();
            // One argument in quotes is enough for all of them.
            let (words, reason) = match words.iter().position(|word| *word == "--reason") {
                Some(at) => (&words[..=at], Some(words[at + 1..].join(" "))),
                None => (&words[..], None),
            };
            let reason = reason.as_deref().map(|text| text.trim_matches('\''));
            let words: Vec<&str> = words.iter().copied().chain(reason).collect();
            let output = site.daemon.cli(&words).done().stdout;
            screen.add(&format!("connguard {command}"), &output);
        }
        screen.check(name);
    };
    for _ in 0..3 {
        site.send("127.0.0.11", OURS, REMOTE).assert_accepted();
        site.send("127.0.0.12", OURS, REMOTE).assert_accepted();
        minute();
    }
    let mut case = None;
    for n in 0..8 {
        let outcome = site.send("127.0.0.11", &odd(n), REMOTE);
        case = case.or_else(|| case_in(&outcome.reply.text));
        minute();
    }
    let case = case.expect("it is caught");
    screen(&["top"], "top");
    screen(&["list"], "list");
    let show = format!("show {case}");
    screen(&[&show], "show");
    let unblock = format!("unblock {case} --reason 'password changed, queue cleaned'");
    wait_for("the restriction on disk", SOON, String::new, || {
        let history = site.daemon.json(&["history"]);
        (!history.as_array()?.is_empty()).then_some(())
    });
    // Somebody stopped it meanwhile.
    site.daemon.advance(Duration::from_secs(900));
    screen(&[&unblock, "history"], "unblock");
}
