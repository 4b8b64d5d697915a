//! Rounds over each one's own protocol: milters as Postfix calls them, policy
//! servers as Postfix asks them. Each round takes all filters, every other one
//! in the opposite order.

use crate::{
    Told,
    args::Args,
    load::{self, Address, Figures, Mail, Profile, Until},
    peer::Peer,
    policy,
    report::{Part, Report},
    samples::Sample,
    stop,
};
use std::{sync::Arc, time::Duration};

/// Connections at once.
pub(crate) const CONNECTIONS: usize = 8;
/// Messages of a session.
pub(crate) const SESSIONS: [usize; 2] = [1, 100];
/// Different clients, each counted for itself.
pub(crate) const CLIENTS: u64 = 100_000;

/// Measures all of them. One that fails is left out from then on.
///
/// # Errors
/// The bench is to end.
pub(crate) fn rounds(args: &Args, peers: &[Peer], report: &mut Report) -> Told<()> {
    let mails: Vec<_> =
        (1..).zip(peers).map(|(mark, _)| Arc::new(Mail::new(CLIENTS, mark))).collect();
    if !args.quick {
        for (peer, mail) in peers.iter().zip(&mails) {
            stop::check()?;
            if let Err(error) = introduce(peer, mail) {
                report.absent(peer.name, error);
            }
        }
    }
    for round in 0..=args.rounds {
        eprintln!(
            "own protocol: {}",
            if round == 0 { "warming up".into() } else { of(round, args) }
        );
        for (peer, mail) in in_turn(peers, round).into_iter().zip(in_turn(&mails, round)) {
            for messages in SESSIONS {
                stop::check()?;
                if report.is_absent(peer.name) {
                    continue;
                }
                let time =
                    if round == 0 { args.time.min(Duration::from_secs(1)) } else { args.time };
                match measure(peer, messages, mail, time) {
                    Ok(_) if round == 0 => {}
                    Ok(sample) => report.sample(Part::Own, Some(peer.name), messages, sample),
                    Err(error) => report.absent(peer.name, error),
                }
            }
        }
    }
    Ok(())
}

/// As they are, or from the last to the first.
pub(crate) fn in_turn<T>(all: &[T], round: usize) -> Vec<&T> {
    let mut all: Vec<_> = all.iter().collect();
    if round % 2 == 1 {
        all.reverse();
    }
    all
}

/// `round 2 of 7`.
pub(crate) fn of(round: usize, args: &Args) -> String {
    format!("round {round} of {}", args.rounds)
}

fn measure(peer: &Peer, messages: usize, mail: &Arc<Mail>, time: Duration) -> Told<Sample> {
    let cpu = peer.group().cpu();
    let mut figures = match &peer.address {
        Address::Tcp(server) => policy::run(*server, CONNECTIONS, messages, mail, time)?,
        address => milter(address, messages, mail, Until::Elapsed(time))?,
    };
    figures.cpu = peer.group().cpu().saturating_sub(cpu);
    Ok(sample(&figures, peer))
}

/// Lets a milter meet all clients: who comes for the first time costs more. (A
/// policy server that waits for its disk would take half an hour.)
fn introduce(peer: &Peer, mail: &Arc<Mail>) -> Told<()> {
    if peer.name.is_milter() {
        eprintln!("{}: meets {CLIENTS} clients", peer.name);
        milter(&peer.address, 1, mail, Until::Sessions(CLIENTS))?;
    }
    Ok(())
}

fn milter(address: &Address, messages: usize, mail: &Arc<Mail>, until: Until) -> Told<Figures> {
    let profile =
        Profile { connections: CONNECTIONS, messages_a_session: messages, ..Profile::default() };
    // Its processes are measured here, where they are known.
    let nobody = load::process::Group::default();
    let figures =
        load::run(address, &nobody, &profile, mail, until).map_err(|error| error.to_string())?;
    figures.complaint().map_or(Ok(figures), Err)
}

fn sample(figures: &Figures, peer: &Peer) -> Sample {
    Sample {
        rate: figures.rate(),
        p99: Some(figures.latency(0.99) / 1e3),
        cpu: figures.cpu_per_10k(),
        memory: mebibytes(peer.memory_kib()),
    }
}

/// MiB of KiB.
#[expect(clippy::cast_precision_loss, reason = "memory is below 2^52 KiB")]
pub(crate) fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
