//! Rounds behind Postfix: smtp-source sends through an smtpd with the filter, or
//! with none. How long a message takes is measured by an SMTP client of our own,
//! after it and with clients that differ: smtp-source does not tell, and is
//! one client.

use crate::{
    Told,
    args::Args,
    load::Mail,
    own::{CLIENTS, CONNECTIONS, SESSIONS, mebibytes, of},
    peer::{Name, Peer},
    postfix::Postfix,
    report::{Part, Report},
    samples::Sample,
    smtp, stop,
};
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Messages of the round that tells how many come to the time that was asked for.
const FIRST: u64 = 400;
/// In one go of smtp-source, at most.
const MOST: u64 = 100_000;

/// What mail goes through in one smtpd.
struct Way<'a> {
    name: Option<Name>,
    peer: Option<&'a Peer>,
    port: u16,
    mail: Mail,
    /// Messages of a go, for each of [`SESSIONS`].
    messages: [u64; 2],
}

/// Measures Postfix with each of them, and without any.
///
/// # Errors
/// The bench is to end, or Postfix fails by itself.
pub(crate) fn rounds(
    args: &Args,
    peers: &[Peer],
    postfix: &Postfix,
    report: &mut Report,
) -> Told<()> {
    let with = std::iter::once(None).chain(peers.iter().map(Some));
    let mut ways = Vec::new();
    for (mark, peer) in (100..).zip(with) {
        let name = peer.map(|peer| peer.name);
        let (port, mail) = (postfix.port(name)?, Mail::new(CLIENTS, mark));
        ways.push(Way { name, peer, port, mail, messages: [FIRST; 2] });
    }
    for round in 0..=args.rounds {
        eprintln!(
            "behind Postfix: {}",
            if round == 0 { "warming up".into() } else { of(round, args) }
        );
        if round % 2 == 1 {
            ways.reverse();
        }
        for way in &mut ways {
            if way.name.is_some_and(|name| report.is_absent(name)) {
                continue;
            }
            match measure(way, postfix, args.time) {
                Ok(samples) => {
                    for ((messages, sample), next) in
                        SESSIONS.into_iter().zip(samples).zip(&mut way.messages)
                    {
                        *next = enough(sample.rate, args.time);
                        if round > 0 {
                            report.sample(Part::Postfix, way.name, messages, sample);
                        }
                    }
                }
                Err(error) => match way.name {
                    Some(name) => report.absent(name, error),
                    None => return Err(error),
                },
            }
        }
    }
    Ok(())
}

/// Messages that take about so long.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below MOST")]
fn enough(rate: f64, time: Duration) -> u64 {
    ((rate * time.as_secs_f64()) as u64).clamp(FIRST, MOST)
}

fn measure(way: &Way<'_>, postfix: &Postfix, time: Duration) -> Told<Vec<Sample>> {
    let mut samples = Vec::new();
    for (messages, many) in SESSIONS.into_iter().zip(way.messages) {
        stop::check()?;
        postfix.drained()?;
        samples.push(smtp_source(way, many, messages > 1)?);
    }
    stop::check()?;
    postfix.drained()?;
    let figures = smtp::load(way.port, CONNECTIONS, &way.mail, time / 2)?;
    if let Some(first) = samples.first_mut() {
        first.p99 = Some(figures.latency(0.99) / 1e3);
    }
    Ok(samples)
}

/// Sends so many messages to one recipient each; all of a connection in one
/// session, if that is asked for.
fn smtp_source(way: &Way<'_>, messages: u64, one_session: bool) -> Told<Sample> {
    let mut program = Command::new("timeout");
    program.args(["300", "smtp-source", "-4"]);
    if one_session {
        program.arg("-d");
    }
    program.args(["-s", &CONNECTIONS.to_string(), "-m", &messages.to_string(), "-l", "4000"]);
    program.args(["-M", "client.example.org", "-f", "user@example.org"]);
    program.args(["-t", "person@example.net"]).arg(format!("inet:127.0.0.1:{}", way.port));
    program.stdin(Stdio::null());
    let cpu = || way.peer.map(|peer| peer.group().cpu()).unwrap_or_default();
    let (before, begun) = (cpu(), Instant::now());
    let output = program.output().map_err(|error| format!("smtp-source: {error}"))?;
    let took = begun.elapsed();
    let cpu = cpu().saturating_sub(before);
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("smtp-source: {}: {}", output.status, text.trim()));
    }
    let messages = count(messages);
    Ok(Sample {
        rate: messages / took.as_secs_f64(),
        p99: None,
        cpu: cpu.as_secs_f64() * 1e4 / messages,
        memory: way.peer.map_or(0.0, |peer| mebibytes(peer.memory_kib())),
    })
}

#[expect(clippy::cast_precision_loss, reason = "at most MOST")]
fn count(messages: u64) -> f64 {
    messages as f64
}
