//! Messages larger than any that Postfix lets through: one session of them does not
//! disturb others, and nothing of them stays in memory.

use crate::harness::{Daemon, Mta, PATIENCE};
use connguard::connector::ConnectorKey;
use indymilter_test::{MacroStage, Status};
use std::{fs, sync::Arc};
use tokio::{sync::watch, time::timeout};

/// A taken-over client needs so many messages of a kind to fill memory, if any.
const ROUNDS: usize = 20;
/// What memory may grow by, in octets: all of a round at once, with what other tests of
/// this program take meanwhile.
const GROWTH: u64 = 96 << 20;

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// Sends messages of a client with rights to relay until the flood is over; says how
/// many were answered as they should be.
async fn send_beside(daemon: Arc<Daemon>, over: watch::Receiver<bool>) -> u64 {
    let mut mta = daemon.client("127.0.0.7").await;
    let mut answered = 0;
    while !*over.borrow() || answered < 20 {
        let status = timeout(PATIENCE, mta.send("a@example.org", "b@example.net")).await;
        assert_eq!(status.unwrap(), Status::Continue, "message {answered}");
        answered += 1;
    }
    answered
}

/// Runs floods of these while another client's mail is answered.
async fn flood(rounds: usize, attack: impl AsyncFn(&Daemon, usize)) {
    let daemon = Arc::new(Daemon::start());
    let (end, over) = watch::channel(false);
    let beside = tokio::spawn(send_beside(Arc::clone(&daemon), over));
    attack(&daemon, 0).await;
    let before = resident();
    for round in 1..rounds {
        attack(&daemon, round).await;
    }
    let after = resident();
    end.send(true).unwrap();
    let answered = beside.await.unwrap();
    assert_eq!(daemon.totals("client:127.0.0.7").messages, answered);
    assert!(after <= before + GROWTH, "from {before} to {after} octets");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_recipients_a_message() {
    flood(ROUNDS, async |daemon, round| {
        let mut mta = daemon.client("127.0.0.8").await;
        mta.mail("a@example.org", "").await;
        for number in 0..1000 {
            // The judgement may refuse them from some message on.
            mta.rcpt(&format!("user{round}-{number}@domain{number}.example")).await;
        }
        mta.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_headers() {
    flood(ROUNDS / 2, async |daemon, _| {
        let mut mta = daemon.client("127.0.0.8").await;
        mta.mail("a@example.org", "").await;
        mta.rcpt("b@example.net").await;
        for number in 0..2500 {
            for name in ["From", "X-Spam-Flag", "Message-ID", "X-Anything"] {
                mta.header(name, &format!("<made-up-{number}@spam{number}.example>")).await;
            }
        }
        mta.end().await;
    })
    .await;
}

/// The longest that the protocol lets through, and one that it does not: that ends the
/// connection, as with any milter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_of_a_mebibyte() {
    flood(ROUNDS, async |daemon, _| {
        for length in [60_000, 1 << 20, 3 << 20] {
            let mut mta = daemon.client("127.0.0.8").await;
            mta.mail("a@example.org", "").await;
            mta.rcpt("b@example.net").await;
            for name in ["From", "X-Spam-Flag"] {
                let value = format!("\"{}\" <a@example.org>", "x".repeat(length));
                if mta.conn.header(name, value).await.is_err() {
                    break;
                }
            }
            // It answers, or is gone; it never hangs.
            let _ = timeout(PATIENCE, mta.conn.eom()).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn macros_without_number_or_end() {
    flood(ROUNDS, async |daemon, round| {
        let mut mta = daemon.client("127.0.0.8").await;
        let value = "x".repeat(1000);
        let names: Vec<String> =
            (0..50).map(|number| format!("{{made_up_{round}_{number}}}")).collect();
        let macros: Vec<(&str, &str)> =
            names.iter().map(|name| (name.as_str(), value.as_str())).collect();
        for stage in [MacroStage::Mail, MacroStage::Rcpt, MacroStage::Eom] {
            for _ in 0..20 {
                mta.macros(stage, &macros).await;
            }
        }
        mta.send("a@example.org", "b@example.net").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_login_in_many_spellings_is_one_connector() {
    let daemon = Daemon::start();
    let mut mta: Mta = daemon.client("127.0.0.8").await;
    let login = "firstname.lastname@example.org";
    for number in 0_u32..512 {
        let spelt: String = (login.chars().enumerate())
            .map(|(at, letter)| match number >> (at % 9) & 1 {
                1 => letter.to_ascii_uppercase(),
                _ => letter,
            })
            .collect();
        mta.mail("a@example.org", &spelt).await;
        mta.rcpt("b@example.net").await;
        mta.end().await;
    }
    let logins = daemon.engine.roster().keys().into_iter();
    let logins: Vec<_> = logins.filter(|key| matches!(key, ConnectorKey::Login(_))).collect();
    assert_eq!(logins, [ConnectorKey::Login(login.into())]);
}
