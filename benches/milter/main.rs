//! connguard beside a milter that does nothing.
#![allow(clippy::expect_used, reason = "a measurement fails by panicking")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints its table and progress")]

#[path = "../load/mod.rs"]
mod load;

use load::{Mail, Profile, Until, daemon::Server, noop, run};
use std::{path::Path, sync::Arc, time::Duration};

fn main() {
    if noop::serve_if_asked() {
        return;
    }
    let ours =
        Server::connguard(Path::new(env!("CARGO_BIN_EXE_connguard")), None).expect("connguard");
    let nothing = Server::noop().expect("no-op");
    let mails = [Arc::new(Mail::new(100_000, 1)), Arc::new(Mail::new(100_000, 2))];
    let servers = [&ours, &nothing];
    let warm = Profile { connections: 32, recipients: 10, ..Profile::default() };
    for (server, mail) in servers.iter().zip(&mails) {
        let figures = run(server.address(), &server.group(), &warm, mail, Until::Sessions(100_000))
            .expect("warm");
        println!("warm: {:.0}/s {:?}", figures.rate(), figures.complaint());
    }
    for connections in [8, 64] {
        for messages_a_session in [1, 100] {
            let profile = Profile { connections, messages_a_session, ..Profile::default() };
            for _ in 0..3 {
                for (server, mail) in servers.iter().zip(&mails) {
                    let figures = run(
                        server.address(),
                        &server.group(),
                        &profile,
                        mail,
                        Until::Elapsed(Duration::from_secs(1)),
                    )
                    .expect("run");
                    println!(
                        "{connections} {messages_a_session}: {:.0}/s p50 {:.0} p99 {:.0} max {:.0} cpu/10k {:.3} own/10k {:.3} peak {} trips {} {:?}",
                        figures.rate(),
                        figures.latency(0.5),
                        figures.latency(0.99),
                        figures.latency(1.0),
                        figures.cpu_per_10k(),
                        figures.own_cpu.as_secs_f64() * 1e4 / figures.messages as f64,
                        figures.peak_kib,
                        figures.trips_a_message(),
                        figures.complaint()
                    );
                }
            }
        }
    }
}
