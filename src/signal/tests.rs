//! What holds for every signal. A new one is not compiled until it says here
//! what speaks for it.

use super::*;
use crate::judge::fuse;
use crate::pending::Results;

const DAY: u64 = 20_000;

fn at(day: u64) -> Timestamp {
    Timestamp::from_seconds(86_400 * day)
}

fn life() -> Life {
    Life { is_old: true, ..Life::default() }
}

fn context(model: &Model, now: Timestamp) -> Context<'_> {
    Context { feedback: Feedback::Coming, ..Context::new(model, Profile::Login, now) }
}

fn ordinary() -> Observation {
    let domain = Origin::Own;
    Observation {
        sender: domain,
        from: domain,
        network: Some(1),
        recipients: 1,
        fresh: 1,
        spam: Some(false),
        ..Observation::default()
    }
}

/// The signals of somebody who began yesterday with ordinary mail, and sends
/// today what speaks for `signal`.
fn provoked(signal: SignalName, model: &Model) -> Signals {
    let (signals, before, now) = (Signals::default(), context(model, at(DAY)), at(DAY + 1));
    for _ in 0..30 {
        signals.observe(&ordinary(), Life::default(), &before);
        signals.pass(&ordinary(), &before);
    }
    let quiet = Roll { last: at(DAY).day(), ..roll(1.0) };
    signals.commit(&quiet, Life::default(), &context(model, now));
    let context = context(model, now);
    for n in 1..=100 {
        let usual = ordinary();
        let seen = match signal {
            SignalName::UnregisteredSender => Observation { sender: Origin::Odd(n), ..usual },
            SignalName::ForeignFrom => Observation { from: Origin::Odd(n), ..usual },
            SignalName::NewNetworks => Observation { network: Some(u64::from(n) + 1), ..usual },
            SignalName::ShiftedNetworks => Observation { network: Some(2), ..usual },
            SignalName::UnknownCrowds => {
                Observation { recipients: 9, unseen: 9, fresh: 9, ..usual }
            }
            SignalName::MostRefused | SignalName::ManyRefused => {
                let (so_far, stage) = (Results { refused: 1.0, delivered: 0 }, Stage::Complete);
                let told = Told { this: Some(true), weight: 1.0, of: 1, so_far, stage };
                signals.trials().result(&told, &context);
                usual
            }
            SignalName::UnknownRecipients => {
                // One of five of a message that has one accepted recipient too.
                signals.trials().unknown(4, &context);
                usual
            }
            SignalName::SpamVerdict => Observation { spam: Some(true), ..usual },
            SignalName::Volume => usual,
        };
        signals.observe(&seen, life(), &context);
        signals.pass(&seen, &context);
    }
    signals
}

fn finding(signals: &Signals, signal: SignalName, context: &Context<'_>) -> Finding {
    let found = signals.findings(life(), context);
    found.into_iter().find(|found| found.signal == signal).unwrap_or_default()
}

/// A connector of which younger weeks count, too.
fn young() -> Life {
    Life { is_young: true, ..life() }
}

/// The end of the day on which something spoke for it.
fn roll(share: f32) -> Roll {
    Roll { last: at(DAY + 1).day(), days: 1, share, restricted: share == 0.0 }
}

/// A test for every signal, in the same model and at the same time.
fn for_every_signal(test: impl Fn(SignalName, &Signals, &Context<'_>)) {
    let model = Model::default();
    for signal in SignalName::ALL {
        test(signal, &provoked(signal, &model), &context(&model, at(DAY + 1)));
    }
}

#[test]
fn none_is_without_a_score_a_finding_and_a_place_in_the_fused_score() {
    for_every_signal(|signal, signals, context| {
        let score = signals.scores(life(), context).of(signal);
        assert!(score > 0.5, "{signal}: {score}");
        assert!(fuse(&Scores::default().with(signal, score)) > 0.5, "{signal}");
        let found = finding(signals, signal, context);
        assert_eq!((found.signal, found.score), (signal, score));
        assert!(found.bad > 3 && found.since > Timestamp::default(), "{found:?}");
    });
}

#[test]
fn none_outlives_a_reset() {
    for_every_signal(|signal, signals, context| {
        signals.reset();
        assert_eq!(signals.scores(life(), context), Scores::default(), "{signal}");
    });
}

#[test]
fn none_is_lost_in_a_restart() {
    for_every_signal(|signal, signals, context| {
        let again = Signals::of_image(&signals.image());
        assert_eq!(again.image(), signals.image(), "{signal}");
        assert_eq!(again.findings(life(), context), signals.findings(life(), context), "{signal}");
    });
}

/// What is usual of a signal: a share, or of volume the busiest hour.
fn usual(found: &Finding) -> f32 {
    if found.signal == SignalName::Volume { found.of as f32 } else { found.usual }
}

#[test]
fn each_learns_a_day_and_an_operators_word() {
    for_every_signal(|signal, signals, context| {
        let before = usual(&finding(signals, signal, context));
        let again = Signals::of_image(&signals.image());
        again.declare(context);
        assert!(usual(&finding(&again, signal, context)) > before, "{signal} is declared");
        let (quiet, noticed) = (roll(1.0), roll(0.0));
        let again = Signals::of_image(&signals.image());
        again.commit(&noticed, young(), context);
        signals.commit(&quiet, young(), context);
        let of = |signals| usual(&finding(signals, signal, context));
        assert!(of(signals) > 1.5 * of(&again), "{signal} is learned, but not once it was noticed");
    });
}
