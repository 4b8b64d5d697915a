//! What the daemon writes to its log: where that goes, and the lines of what the
//! engine noticed.

use super::LINES_A_TICK;
use crate::{
    config::{Config, LogFormat, LogParams},
    connector::{ConnectorKey, Entity},
    engine::{Engine, Moves, Notice},
    judge::Judgement,
    operator::ReloadView,
    record::{Actor, Event, Record},
    view,
};
use std::io;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Whether somebody should look: the judgement restricted or marked an entity.
pub(super) fn is_alarm(record: &Record) -> bool {
    matches!(&record.event, Event::Restricted(held) if held.by == Actor::Judgement)
}

pub(super) fn tell_notices(engine: &Engine, notices: &[Notice], mut left_out: u64) {
    let told = notices.len().min(LINES_A_TICK);
    for notice in notices.iter().take(told) {
        match notice {
            Notice::NewConnector(key) => tracing::info!("new connector={key}"),
            Notice::Suspicious(entity, findings) => {
                // Restricted or lifted meanwhile: that was told already.
                let tally = entity.as_connector().and_then(|key| engine.roster().get(key));
                if tally.is_none_or(|tally| tally.judgement() == Judgement::Suspicious) {
                    tracing::warn!("{}", view::suspicion_line("suspicious", entity, findings));
                }
            }
            Notice::Changed(key, changes) => {
                let values: Vec<&str> = changes.iter().map(|change| &*change.value).collect();
                tracing::warn!("changed entity={key} new={values:?}");
            }
            Notice::LimitReached(key, messages, recipients) => tracing::warn!(
                "limit entity={key} messages_last_hour={messages} recipients_last_hour={recipients}"
            ),
            Notice::Held(key, messages) => tracing::warn!(
                "held entity={key} messages={messages} what=\"they wait in the hold queue of Postfix: connguard show {key}\""
            ),
            Notice::HoldFull(key, messages) => tracing::warn!(
                "hold_full entity={key} messages={messages} what=\"restriction.hold_limit is reached, more is refused with 451: connguard show {key}\""
            ),
            Notice::OverflowCompromised(findings) => {
                let overflow = Entity::from(ConnectorKey::Overflow);
                tracing::warn!("{}", view::suspicion_line("overflow", &overflow, findings));
            }
        }
    }
    left_out += u64::try_from(notices.len() - told).unwrap_or(u64::MAX);
    if left_out > 0 {
        tracing::warn!(
            "{left_out} more notices (new, suspicious or limit) were left out: see connguard list --all"
        );
    }
}

/// What moved because the configuration changed while nobody ran.
pub(super) fn tell_moves(moves: Moves) {
    for sentence in (ReloadView { moves, ..ReloadView::default() }).sentences() {
        tracing::warn!("since the last run: {sentence}");
    }
}

pub(super) fn tell_start(config: &Config, kept: usize) {
    for warning in &config.warnings {
        tracing::warn!("configuration: {warning}");
    }
    if nix::unistd::geteuid().is_root() {
        tracing::warn!(
            "running as root, which connguard never needs: run it as an account of its own, as packaging/connguard.service does"
        );
    }
    let places: Vec<String> = config.milter.listen.iter().map(ToString::to_string).collect();
    tracing::info!(
        "connguard {} mode={} kept={kept} listen={}",
        env!("CARGO_PKG_VERSION"),
        config.settings.mode(),
        places.join(" ")
    );
}

/// Starts the log: journald's own protocol under systemd, else text or JSON
/// on standard error. `RUST_LOG` overrides the configured level.
pub(super) fn start_log(params: &LogParams) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&params.level));
    let registry = tracing_subscriber::registry().with(filter);
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let result = match params.format {
        LogFormat::Auto if under_systemd => match tracing_journald::layer() {
            Ok(journald) => registry.with(journald).try_init(),
            Err(_) => registry.with(text_log()).try_init(),
        },
        LogFormat::Json => {
            let json = tracing_subscriber::fmt::layer().json().with_writer(io::stderr);
            registry.with(json).try_init()
        }
        LogFormat::Auto | LogFormat::Text => registry.with(text_log()).try_init(),
    };
    // Somebody who embeds the daemon has a log of their own already.
    drop(result);
}

fn text_log<S>() -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(io::stderr)
}
