//! How the engine is changed to see what its parts are worth.

use connguard::{model::Model, record::SignalName};

/// How the engine differs from the one that is delivered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Variant {
    /// It does not.
    Delivered,
    /// These signals are off.
    Without(&'static [SignalName]),
    /// Suspicious connectors are not slowed down.
    NoThrottle,
    /// The mail log is not read.
    NoFeedback,
    /// Connectors are judged as a whole.
    NoSenders,
    /// The constant of this name in [`CONSTANTS`], multiplied.
    Times(&'static str, f32),
}

impl Variant {
    /// Its constants.
    pub(crate) fn model(&self) -> Model {
        let mut model = Model::default();
        match self {
            Self::Without(signals) => signals.iter().for_each(|one| turn_off(&mut model, *one)),
            Self::Times(name, times) => {
                let (_, change) = CONSTANTS.iter().find(|(known, _)| known == name).unwrap();
                change(&mut model, *times);
            }
            Self::NoSenders => model.senders = false,
            Self::Delivered | Self::NoThrottle | Self::NoFeedback => {}
        }
        model
    }
}

fn turn_off(model: &mut Model, signal: SignalName) {
    let shape = match signal {
        SignalName::UnregisteredSender => &mut model.unregistered,
        SignalName::ForeignFrom => &mut model.foreign,
        SignalName::NewNetworks => &mut model.networks,
        SignalName::UnknownCrowds => &mut model.crowds,
        SignalName::MostRefused => &mut model.most_refused,
        SignalName::ManyRefused => &mut model.many_refused,
        SignalName::UnknownRecipients => &mut model.unknown_recipients,
        SignalName::SpamVerdict => &mut model.spam,
        SignalName::ShiftedNetworks => {
            model.shift = 0.0;
            return;
        }
        SignalName::Volume => {
            model.volume.on = false;
            return;
        }
    };
    shape.on = false;
}

/// A change of a model by a factor.
type Change = fn(&mut Model, f32);

/// What can be multiplied.
pub(crate) const CONSTANTS: [(&str, Change); 36] = [
    ("level of compromised 14", |m, x| m.compromised *= x),
    ("level of suspicious 7", |m, x| {
        m.suspicious *= x;
        m.normal_again *= x;
    }),
    ("normal again 3.5", |m, x| m.normal_again *= x),
    ("U, F weak cap 9.1", |m, x| {
        m.unregistered.weak_cap *= x;
        m.foreign.weak_cap *= x;
    }),
    ("A weak cap 9.1", |m, x| m.networks.weak_cap *= x),
    ("X cap 9.1", |m, x| m.crowds.strong_cap *= x),
    ("R2 cap 9.1", |m, x| m.many_refused.strong_cap *= x),
    ("V cap 9.1", |m, x| m.volume.cap *= x),
    ("U, F floor .01", |m, x| {
        m.unregistered.floor *= x;
        m.foreign.floor *= x;
    }),
    ("U, F p1 .25", |m, x| {
        m.unregistered.p1.least *= x;
        m.foreign.p1.least *= x;
    }),
    ("U, F repeated domain .25", |m, x| m.repeated_domain *= x),
    ("U, F strong from 3 domains", |m, x| m.strong_domains = whole(m.strong_domains, x)),
    ("A floor .05", |m, x| m.networks.floor *= x),
    ("A p1 .5", |m, x| m.networks.p1.least *= x),
    ("A strong from 14 networks", |m, x| m.strong_networks = whole(m.strong_networks, x)),
    ("A free networks 3", |m, x| m.free_networks = whole(m.free_networks, x)),
    ("A2 2", |m, x| m.shift *= x),
    ("X floor .03", |m, x| m.crowds.floor *= x),
    ("X p1 .5", |m, x| m.crowds.p1.least *= x),
    ("X crowd of 5, of a new one 8", |m, x| {
        m.crowd.recipients = whole(m.crowd.recipients, x);
        m.crowd.of_new = whole(m.crowd.of_new, x);
    }),
    ("R1 floor .30", |m, x| m.most_refused.floor *= x),
    ("R2 floor .20", |m, x| m.many_refused.floor *= x),
    ("J floor .30", |m, x| m.unknown_recipients.floor *= x),
    ("R, J recipients a message 5", |m, x| m.refusals_a_message = whole(m.refusals_a_message, x)),
    ("Q floor .02", |m, x| m.spam.floor *= x),
    ("Q p1 .4", |m, x| m.spam.p1.least *= x),
    ("V slope 4", |m, x| m.volume.slope *= x),
    ("V priors 15, 40, 20", |m, x| m.volume.prior = m.volume.prior.map(|prior| prior * x)),
    ("V relay x8", |m, x| m.volume.class *= x),
    ("V 1.5 x busiest hour", |m, x| m.volume.over_busiest *= x),
    ("V recipients a message 20", |m, x| m.volume.a_message = whole(m.volume.a_message, x)),
    ("V weeks of delay 4", |m, x| m.volume.delay_weeks = whole(m.volume.delay_weeks, x)),
    ("old after 7 days", |m, x| m.old_after_days = whole(m.old_after_days, x)),
    ("half-lives of all", |m, x| {
        for shape in [
            &mut m.unregistered,
            &mut m.foreign,
            &mut m.networks,
            &mut m.crowds,
            &mut m.most_refused,
            &mut m.many_refused,
            &mut m.unknown_recipients,
            &mut m.spam,
        ] {
            shape.halflife_s *= x;
        }
    }),
    ("throttle 60/h", |m, x| m.throttle_rate *= x),
    ("throttle, 10 in flight", |m, x| m.throttle_in_flight *= x),
];

fn whole(number: u32, times: f32) -> u32 {
    (number as f32 * times).round() as u32
}
