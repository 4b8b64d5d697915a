#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;
use crate::{model::Model, signal::Stage};

const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

fn refused(so_far: f32) -> Told {
    let so_far = crate::pending::Results { refused: so_far, ..Default::default() };
    Told { this: Some(true), weight: 1.0, of: 10, so_far, stage: Stage::Waiting }
}

#[test]
fn a_busy_sender_of_a_busy_connector_is_not_starved() {
    let model = Model::default();
    let of = |profile, busiest| rate(profile, busiest, &model).per_hour();
    assert_eq!(of(Profile::Relay, 0.0), 60.0);
    assert_eq!(of(Profile::Relay, 4000.0), 1500.0);
    assert_eq!(of(Profile::Bulk, 4000.0), 6000.0);
}

#[test]
fn places_fit_their_budget() {
    assert!(size_of::<Slot>() <= 448, "{}", size_of::<Slot>());
}

/// A first bad recipient may weigh next to nothing; its message is counted all
/// the same as long as it is part of the evidence against the connector.
#[test]
fn a_message_that_weighs_little_is_not_forgotten() {
    let (model, usual) = (Model::default(), Trials::default());
    let context = Context::new(&model, Profile::Relay, NOW);
    let life = Life::default();
    let mut senders = Senders::default();
    let who = |hash| Who { address: "bob@example.org", hash, known: true, made_up: false };
    let mut send = |hash, so_far| {
        let told = refused(so_far);
        senders.take(Some(&who(hash)), &Trial::Result(&told), false, &usual, life, &context);
        senders.judge(hash, &Pardon::default(), life, &context).unwrap();
    };
    for _ in 0..3 {
        send(1, 1.0);
        send(1, 2.0);
    }
    send(2, 1.0);
    let bad = |senders: &Senders, hash| senders.get(hash, &context).map(|it| it.bad);
    assert_eq!((bad(&senders, 1), bad(&senders, 2)), (Some(3), Some(1)));
    // What one did is none of the others'.
    assert_eq!(senders.share_without(&[1]), 0.25);
    senders.forget(1);
    assert_eq!(senders.share_without(&[2]), 0.0);
    senders.settle(&context);
    assert_eq!(senders.share_without(&[2]), 1.0);
}
