//! Scenarios: what the engine promises, as text files that a person can read.
//!
//! One file is one theme, in `tests/scenarios/`. A line is a comment (`#`), a
//! piece of configuration, something that happens, or something that must be
//! true now. Every line that says what must follow is a check of its own; a
//! check that fails is named by file and line.
//!
//! **Configuration.** It takes effect at the first line that is none, and
//! later with `reload` or `restart`.
//! ```text
//! config KEY WORD...            mode, action, scope, reject_after, expire_after, grace, discover,
//!                               registered, inbound, local_transports, relay_networks, trusted_clients,
//!                               trusted_logins, hold_messages, hold_bytes, max_connectors, host,
//!                               messages_per_hour, recipients_per_hour, throttle true|false,
//!                               feedback on|watching|off (what is known of delivery
//!                               results: they come; a log is read that has not told of
//!                               our messages; nothing)
//! connector NAME [clients A,B] [cert SUBJECT/ISSUER] [logins A,B] [mode M] [action A]
//!           [reject_after SPAN] [registered A,B] [messages_per_hour N] [recipients_per_hour N]
//!           [profile login|relay|bulk|forwarder] [usual_messages N] [usual_recipients N]
//!           [throttle tempfail|hold|off] [organization NAME]   ("default" where none is
//!           given; one of another name has only its own registered domains)
//! forget connector NAME
//! ```
//! **Time** stands before a line: `12:00:03` on the present day, or `+10m`
//! after the line before. `day 3` goes to midnight of the third day.
//!
//! **Mail.** `WHO` is `client ADDRESS`, `login NAME`, `cert SUBJECT/ISSUER`,
//! `local`, `ignored` in any number.
//! ```text
//! WHO mail SENDER [size N] [from ADDRESS,ADDRESS] [spam yes|no] [report] [id QUEUEID] [fate FATE]
//!     rcpt RECIPIENT, RECIPIENT... -> OUTCOME           (in one line)
//! session NAME WHO              opens a session, in which the same is done by
//! NAME mail ... rcpt ... -> OUTCOME
//! NAME identify WHO             as after STARTTLS or AUTH
//! NAME mail SENDER              or step by step
//! NAME rcpt RECIPIENT -> OUTCOME
//! NAME end -> OUTCOME
//! NAME abort
//! repeat 200 [every 10s] LINE   with {n} for 1, 2, 3 ... and {n%4} for the remainder
//! ```
//! A sender is an address, `<>`, or a name alone, which gets this host's name
//! as its domain. A recipient is an address, then `via TRANSPORT`, then
//! `unknown` or `refused` where Postfix has refused it, then in brackets the
//! words of the reply that it alone must get, as `[451 C-000001]`. `10 of
//! b{k}@y.test` are ten recipients, with 1 to 10 for `{k}`.
//! An outcome is `pass`, `hold`, `no recipient` (Postfix refused them all), or
//! words of a reply, with `at rcpt` where every recipient got it and `at end`
//! where the whole message did.
//!
//! **What becomes of it.** Messages have queue ids, `Q1`, `Q2`... where no line
//! gives one. A fate is a result with a share before it, as `35% refused` (the
//! others are delivered, evenly spread over the recipients of a line), and a
//! delay behind it, as `after 2m` (16 seconds where there is none); it is told
//! when time has come so far. A result is `delivered`, `refused` or `deferred`,
//! with `by PROVIDER` behind it where that matters, and `policy by PROVIDER` is a
//! refusal that may mean this host. Or by hand:
//! ```text
//! deliver QUEUEID RECIPIENT RESULT [logged SPAN ago] [-> known|unknown]
//! removed QUEUEID               Postfix has removed its queue file
//! ```
//!
//! **Operators, reload, restart.** Without `->` a command must succeed.
//! ```text
//! operator block ENTITY [for SPAN] [action A]
//! operator unblock ENTITY [grace SPAN] [false_positive] [force]
//! operator trust ENTITY for SPAN                  operator untrust ENTITY
//! operator normal ENTITY
//! operator ... -> refused WORDS
//! reload [-> moved A to B C; split A from B; freed N of A; lost A; idle A; unmarked A | nothing]
//! restart [without history] [-> the same]     what the journal and the history kept comes back
//! restart without memory        the history was there and could not be read
//! save                          saves the history, as happens every ten minutes
//! crash [-> the same]           as restart, but of the history what was saved last
//! sweep
//! ```
//! **What must be true.** Facts follow as pairs of a name and a value; a number
//! may be given as `LOW..HIGH`.
//! ```text
//! expect restricted ENTITY case C-000001 action tempfail bad 5 of 5 ...
//! expect marked ENTITY ...      expect unrestricted ENTITY      expect nothing restricted
//! expect connector ENTITY messages 3 refused 2 judgement normal ...    throttled and held are what
//!                               the throttle kept back, in_flight messages of unknown fate
//! expect finding ENTITY SIGNAL bad 5 of 5 distinct 5 score 14..16 usual 0..0.01 unit messages
//! expect no finding ENTITY SIGNAL     (of a restricted entity that of its case, else what it is now)
//! expect no connector ENTITY    expect total messages 3 connectors 1 ...
//! expect trusted ENTITY         expect not trusted ENTITY       (and: grace, raised)
//! expect raised by TIMES ENTITY
//! expect organization ENTITY bad 15 of 20 connectors 3 needed 3
//!                               what is counted for it; connectors restricted lately
//! expect notices KIND ENTITY 1  new_connector, suspicious, limit_reached, held,
//!                               hold_full
//! ```
//! At every restart and at the end of every file two more things are checked:
//! the records that went to the journal, replayed, give the restriction table
//! again; and the totals of the engine are those of the mail that was sent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "scenarios/config.rs"]
mod config;
#[path = "scenarios/expect.rs"]
mod expect;
#[path = "scenarios/fates.rs"]
mod fates;
#[path = "scenarios/mail.rs"]
mod mail;
#[path = "scenarios/words.rs"]
mod words;
#[path = "scenarios/world.rs"]
mod world;

use std::{collections::BTreeSet, path::PathBuf};
use world::World;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// Runs the lines of one file; gives the first failure as `FILE:LINE: why`.
fn run(name: &str, text: &str) -> Result<(), String> {
    let mut world = World::default();
    let mut checks = 0;
    for (number, line) in text.lines().enumerate() {
        let at =
            |why: String| format!("tests/scenarios/{name}.txt:{}: {line}\n    {why}", number + 1);
        checks += u32::from(line.contains("->") || line.contains("expect "));
        world.line(line).map_err(at)?;
    }
    world
        .settle_accounts()
        .map_err(|why| format!("tests/scenarios/{name}.txt, at its end: {why}"))?;
    if !text.starts_with("# ") || checks == 0 {
        return Err(format!(
            "tests/scenarios/{name}.txt: must begin with a comment that says what it promises, and check it"
        ));
    }
    Ok(())
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let path = folder().join(concat!(stringify!($name), ".txt"));
            let text = std::fs::read_to_string(&path).unwrap();
            if let Err(why) = run(stringify!($name), &text) {
                panic!("\n{why}\n");
            }
        })*

        #[test]
        fn every_file_is_run() {
            let listed: BTreeSet<String> = [$(stringify!($name).to_owned()),*].into();
            let found: BTreeSet<String> = std::fs::read_dir(folder())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
                .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            assert_eq!(found, listed, "files in tests/scenarios and the list in tests/scenarios.rs");
        }
    };
}

/// Tests that tables of SECURITY.md name, in their last column.
#[test]
fn what_security_md_names_is_there() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let cells = text.lines().filter_map(|line| line.strip_suffix(" |")?.rsplit_once("| "));
    let mut names: Vec<&str> =
        cells.flat_map(|(_, cell)| cell.split('`').skip(1).step_by(2)).collect();
    // Settings and octets are no tests.
    names.retain(|name| name.chars().all(|c| c.is_ascii_lowercase() || "_/.".contains(c)));
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let there = [
            folder().join(format!("{name}.txt")),
            root.join("tests").join(name),
            root.join("tests").join(format!("{name}.rs")),
        ];
        assert!(there.iter().any(|path| path.exists()), "SECURITY.md names {name}");
    }
}

scenarios! {
    addresses
    baseline
    blatant_abuse
    bounces_and_replies
    block_by_hand
    bulk
    changed_while_down
    crash
    crowds
    declared_usual
    delivery_results
    disconnect
    evading
    every_identity
    expiry
    false_positive
    flood_of_results
    forwarder
    framing
    grace_forgives
    hard_limits
    hold
    in_flight
    inbound_recipients
    late_results
    learning
    list_host
    local_submission
    lost_keys
    many_clients
    marked_neighbour
    named_connectors
    names_come_and_go
    nat_neighbours
    new_networks
    no_relay_rights
    no_way_out
    nothing_registered
    null_sender
    observe_mode
    observe_one_connector
    observe_results
    our_address_listed
    odd_domains
    organization
    organization_is_large
    organization_observed
    organization_of_marks
    organization_renamed
    refused_late
    registered_mail
    reject
    reload
    reload_onto_expired
    registering
    restart
    restart_keeps_history
    restriction_wins
    made_up_senders
    scope_all
    sender_moves
    sender_newsletter
    sender_observed
    sender_of_login
    sender_of_many
    senders_after_a_loss
    senders_over_restart
    silent_evidence
    sender_slowed
    senders_escalate
    shared_address
    shifted_networks
    spam_verdicts
    spoofed_from
    still_bad
    switch_in_flight
    throttle
    throttle_hold
    throttle_off
    trust
    trust_of_one_key
    unblock
    unknown_at_rcpt
    unknown_recipients
    unregistered_site
    volume
}

#[test]
fn a_failing_check_is_named_by_file_and_line() {
    let text = "# Nothing.\nconfig relay_networks 127.0.0.0/8\n\n12:00:00 client 127.0.0.1 mail a@x.test rcpt b@y.test -> 451 at rcpt\n";
    let why = run("planted", text).unwrap_err();
    assert!(why.starts_with("tests/scenarios/planted.txt:4: "), "{why}");
    assert!(why.contains("pass"), "{why}");
}

#[test]
fn what_is_misspelt_is_no_check_that_passes() {
    for line in [
        "config modus enforce",
        "12:00:00 klient 127.0.0.1 mail a@x.test rcpt b@y.test -> pass",
        "12:00:00 client 127.0.0.1 mail a@x.test rcpt b@y.test",
        "expect total massages 0",
        "expect restricted client:127.0.0.1 foo 1",
        "operator pardon client:127.0.0.1",
        "expect no finding client:127.0.0.1 volumen",
        "deliver Q1 b@y.test bounced",
        "deliver Q1 b@y.test policy",
        "deliver Q1 b@y.test refused -> known",
        "deliver Q1 b@y.test refused logged 3s",
        "removed",
        "restart without journal",
        "25:00:00 sweep",
    ] {
        assert!(
            run("planted", &format!("# Nothing.\n{line}\nexpect nothing restricted\n")).is_err(),
            "{line}"
        );
    }
}
