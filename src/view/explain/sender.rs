//! A sender of a connector, to be explained: its own scores beside the history of
//! its connector.

use super::ThrottleView;
use crate::{
    connector::Profile,
    engine::Engine,
    judge::Judgement,
    record::{Finding, SignalName},
    senders::Senders,
    signal::Context,
    tally::Tally,
};

/// What is known of a sender.
pub(super) struct Sender {
    pub(super) was: Judgement,
    /// In the order of [`SignalName::ALL`].
    pub(super) findings: Vec<Finding>,
    /// Recipients an hour, and those that it may have at once now.
    rate: f32,
    tokens: Option<f32>,
    /// Why its connector is judged as a whole, if it is.
    whole: Option<&'static str>,
}

impl Sender {
    /// Nothing where the connector never had that sender.
    pub(super) fn find(
        engine: &Engine,
        address: &str,
        tally: &Tally,
        context: &Context<'_>,
    ) -> Option<Self> {
        let (hash, known) = engine.sender_hash(address, tally, context.now);
        let fast = tally.rate(context);
        let look = |senders: &mut Senders| {
            let findings = senders.all_findings(hash, context)?;
            Some((findings, senders.is_slow(hash), senders.rate(hash, fast, context)?))
        };
        let found = tally.with_senders(look).flatten();
        if found.is_none() && !known {
            return None;
        }
        let (findings, slow, (rate, tokens)) = found.unwrap_or_else(|| {
            let nothing = tally.signals().trials().afresh().findings(context);
            (nothing.to_vec(), false, (fast, None))
        });
        let whole = if context.profile == Profile::Login {
            Some("a login is judged as a whole: it is the person")
        } else if !tally.has_senders() {
            Some("its connector has fewer than three senders and is judged as a whole")
        } else {
            None
        };
        let was = if slow { Judgement::Suspicious } else { Judgement::Normal };
        Some(Self { was, findings, rate: rate.per_hour(), tokens, whole })
    }

    /// How it is slowed down, `connector` being how its connector is.
    pub(super) fn throttle(&self, connector: Option<ThrottleView>) -> Option<ThrottleView> {
        let connector = connector.filter(|_| self.whole.is_none())?;
        // Those whose fate is not known are counted for the connector only.
        let tokens = self.tokens.unwrap_or(connector.tokens);
        Some(ThrottleView { rate: self.rate, tokens, ..connector })
    }

    /// Why a signal is not observed of it.
    pub(super) fn off_because(&self, signal: SignalName) -> Option<&'static str> {
        let of_connector = matches!(
            signal,
            SignalName::NewNetworks | SignalName::ShiftedNetworks | SignalName::Volume
        );
        self.whole.or_else(|| of_connector.then_some("only of a connector as a whole"))
    }
}
