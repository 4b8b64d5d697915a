//! Reload is all or nothing; a stop finishes what is in hand.

use std::time::Duration;

use super::harness::site::{OURS, REMOTE, Site, odd};

/// | broken configuration at reload | passes, judged | the old one stays in force as a whole
/// | exit code 4 and every fault; in the log after SIGHUP |
#[test]
fn a_broken_file_changes_nothing_and_the_command_says_where() {
    let site = Site::start();
    let good = std::fs::read_to_string(site.daemon.files().config()).unwrap();
    let broken = good.replace("[restriction]", "[restriction]\nactoin = \"reject\"");
    let line = 1 + broken.lines().position(|it| it.contains("actoin")).unwrap();
    site.daemon.write_config(&broken);
    let answer = site.daemon.cli(&["reload"]);
    assert_eq!(answer.code, 4, "{answer:#?}");
    for part in ["connguard.toml", &line.to_string(), "actoin"] {
        assert!(answer.stderr.contains(part), "no {part}: {answer:#?}");
    }
    assert_eq!(site.daemon.cli(&["check"]).code, 1);
    // The old configuration goes on.
    site.send("127.0.0.7", OURS, REMOTE).assert_accepted();
    site.take_over("127.0.0.8").outcome.assert_tempfail();
}

#[test]
fn sighup_reloads_and_sessions_go_on() {
    let mut site = Site::start();
    let mut open = site.client("127.0.0.8");
    open.expect(&format!("MAIL FROM:<{}>", odd(0)), 250);
    open.expect(&format!("RCPT TO:<{REMOTE}>"), 250);
    site.daemon.configure(|config| {
        let odd = (0..20).map(|n| format!("odd{n}.test"));
        config.registered_domains.extend(odd);
    });
    site.daemon.hup();
    assert!(open.data(&odd(0), REMOTE).agrees());
    for n in 0..20 {
        open.send(&odd(n), REMOTE).assert_accepted();
    }
    assert!(site.daemon.list().is_empty());
    // A broken file is refused here as well; only the log can say so.
    site.daemon.write_config("mode = \"enforce\"\nnonsense\n");
    site.daemon.hup();
    assert!(site.daemon.log().contains("connguard.toml"));
    open.send(OURS, REMOTE).assert_accepted();
}

#[test]
fn a_restriction_follows_a_client_that_gets_a_name_and_loses_it() {
    let mut site = Site::start();
    site.take_over("127.0.0.8");
    let case = site.daemon.listed("client:127.0.0.8").unwrap()["case"].clone();

    site.daemon.configure(|config| config.connector("erp", "clients = [\"127.0.0.8\"]"));
    let said = site.daemon.cli(&["reload"]).done().stdout;
    assert!(said.contains("client:127.0.0.8"), "{said}");
    assert!(said.contains("connector:erp"), "{said}");
    let item = site.daemon.listed("connector:erp").expect("an entry");
    assert_eq!(item["case"], case);
    site.send("127.0.0.8", OURS, REMOTE).assert_tempfail();

    site.daemon.configure(|config| config.sections.clear());
    let said = site.daemon.cli(&["reload"]).done().stdout;
    assert!(said.contains("connector:erp"), "{said}");
    assert!(site.daemon.listed("client:127.0.0.8").is_some());
    site.send("127.0.0.8", OURS, REMOTE).assert_tempfail();
    site.daemon.restart();
    site.send("127.0.0.8", OURS, REMOTE).assert_tempfail();
}

#[test]
fn a_key_that_needs_a_restart_is_named() {
    let site = Site::start();
    let good = std::fs::read_to_string(site.daemon.files().config()).unwrap();
    let moved = good.replace("/run/control.sock", "/run/other.sock");
    site.daemon.write_config(&moved);
    // The command would look for the new socket: tell it where the old is.
    let socket = site.daemon.files().control_socket();
    let socket = socket.to_str().unwrap();
    let answer = site.daemon.cli(&["--socket", socket, "reload"]).done();
    let said = format!("{}{}", answer.stdout, answer.stderr);
    assert!(said.contains("control.socket"), "{said}");
    assert!(said.contains("restart"), "{said}");
}

#[test]
fn a_stop_finishes_the_message_in_hand_and_forgets_nothing() {
    let mut site = Site::start();
    let caught = {
        // How many it takes here, told by another client.
        site.take_over("127.0.0.9").passed
    };
    for n in 0..caught {
        site.send("127.0.0.8", &odd(n), REMOTE).assert_accepted();
    }
    let mut open = site.client("127.0.0.8");
    open.expect(&format!("MAIL FROM:<{}>", odd(caught)), 250);
    open.expect(&format!("RCPT TO:<{REMOTE}>"), 250);
    site.daemon.signal("TERM");
    site.daemon.wait_notify("STOPPING=1", Duration::from_secs(5));
    // The message that tips the scale, while the daemon is on its way out.
    let reply = open.data(&odd(caught), REMOTE);
    assert_eq!(reply.code, 451, "{reply}");
    assert!(reply.text.contains("C-"), "{reply}");
    drop(open);
    let status = site.daemon.wait_exit(Duration::from_secs(30));
    assert!(status.success(), "{status}");
    assert!(!site.daemon.files().milter_socket().exists());
    assert!(!site.daemon.files().control_socket().exists());
    let answer = site.daemon.cli(&["status"]);
    assert_eq!(answer.code, 3, "{answer:#?}");

    site.daemon.start_again();
    site.send("127.0.0.8", OURS, REMOTE).assert_tempfail();
}
