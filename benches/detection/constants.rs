//! The constants of the judgement by name, to be multiplied one at a time.

use connguard::{model::Model, signal::Shape};

/// One constant: its name, and what it is in a model.
type Constant = (&'static str, fn(&mut Model) -> Vec<Place<'_>>);

/// Where a constant is.
pub(crate) enum Place<'a> {
    /// A value.
    Of(&'a mut f32),
    /// A count.
    Count(&'a mut u32),
}

/// All that are turned.
pub(crate) const CONSTANTS: [Constant; 29] = [
    ("B 14", |model| vec![Place::Of(&mut model.compromised)]),
    ("S 7", |model| vec![Place::Of(&mut model.suspicious), Place::Of(&mut model.normal_again)]),
    ("weak cap 9.1", |model| {
        vec![
            Place::Of(&mut model.unregistered.weak_cap),
            Place::Of(&mut model.foreign.weak_cap),
            Place::Of(&mut model.networks.weak_cap),
            Place::Of(&mut model.crowds.strong_cap),
            Place::Of(&mut model.many_refused.strong_cap),
            Place::Of(&mut model.volume.cap),
        ]
    }),
    ("U, F floor .01", |model| {
        vec![Place::Of(&mut model.unregistered.floor), Place::Of(&mut model.foreign.floor)]
    }),
    ("U, F p1 .25", |model| {
        vec![Place::Of(&mut model.unregistered.p1.least), Place::Of(&mut model.foreign.p1.least)]
    }),
    ("repeated domain .25", |model| vec![Place::Of(&mut model.repeated_domain)]),
    ("A floor .05", |model| vec![Place::Of(&mut model.networks.floor)]),
    ("A p1 .5", |model| vec![Place::Of(&mut model.networks.p1.least)]),
    ("A strong from 14", |model| vec![Place::Count(&mut model.strong_networks)]),
    ("A2 2", |model| vec![Place::Of(&mut model.shift)]),
    ("X floor .03", |model| vec![Place::Of(&mut model.crowds.floor)]),
    ("X p1 .5", |model| vec![Place::Of(&mut model.crowds.p1.least)]),
    ("X cap 9.1", |model| vec![Place::Of(&mut model.crowds.strong_cap)]),
    ("X half-life 4 h", |model| vec![Place::Of(&mut model.crowds.halflife_s)]),
    ("R1 floor .30", |model| vec![Place::Of(&mut model.most_refused.floor)]),
    ("R2 floor .20", |model| vec![Place::Of(&mut model.many_refused.floor)]),
    ("R2 cap 9.1", |model| vec![Place::Of(&mut model.many_refused.strong_cap)]),
    ("R a message 5", |model| vec![Place::Count(&mut model.refusals_a_message)]),
    ("Q floor .02", |model| vec![Place::Of(&mut model.spam.floor)]),
    ("Q p1 .4", |model| vec![Place::Of(&mut model.spam.p1.least)]),
    ("V slope 4", |model| vec![Place::Of(&mut model.volume.slope)]),
    ("V prior 15/40/20", |model| model.volume.prior.iter_mut().map(Place::Of).collect()),
    ("V class 8", |model| vec![Place::Of(&mut model.volume.class)]),
    ("V 1.5 x busiest", |model| vec![Place::Of(&mut model.volume.over_busiest)]),
    ("V a message 20", |model| vec![Place::Count(&mut model.volume.a_message)]),
    ("V delay 4 weeks", |model| vec![Place::Count(&mut model.volume.delay_weeks)]),
    ("half-lives of U, F, A, R, Q", |model| {
        let [u, f, a, _, r1, r2, q] = shapes(model);
        [u, f, a, r1, r2, q].map(|shape| Place::Of(&mut shape.halflife_s)).into()
    }),
    ("throttle 60/h", |model| vec![Place::Of(&mut model.throttle_rate)]),
    ("in flight 10", |model| vec![Place::Of(&mut model.throttle_in_flight)]),
];

/// Multiplies the constant of this name.
pub(crate) fn multiply(model: &mut Model, name: &str, times: f32) {
    let (_, places) = CONSTANTS.iter().find(|(known, _)| *known == name).unwrap();
    for place in places(model) {
        match place {
            Place::Of(value) => *value *= times,
            Place::Count(count) => *count = (*count as f32 * times).round() as u32,
        }
    }
}

fn shapes(model: &mut Model) -> [&mut Shape; 7] {
    [
        &mut model.unregistered,
        &mut model.foreign,
        &mut model.networks,
        &mut model.crowds,
        &mut model.most_refused,
        &mut model.many_refused,
        &mut model.spam,
    ]
}
