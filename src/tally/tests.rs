use super::*;
use crate::{model::Model, pending::Feedback};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(86_400 * 20_000 + seconds)
}

fn context(model: &Model, now: Timestamp) -> Context<'_> {
    Context::new(model, Profile::Login, now)
}

/// With the two counts of its `Arc` it fits 1,024 octets, for which mimalloc has a
/// size; the next one is 1,280.
#[test]
fn it_fits_its_budget() {
    assert!(size_of::<Tally>() <= 1008, "{}", size_of::<Tally>());
}

#[test]
fn one_warning_in_a_day_without_a_reason_for_one() {
    let model = Model::default();
    let tally = Tally::new(1, at(0));
    let warns =
        |judgement, seconds| tally.set_judgement(judgement, 8.0, &context(&model, at(seconds)));
    assert!(warns(Judgement::Suspicious, 0));
    assert!(!warns(Judgement::Normal, 5));
    assert!(!warns(Judgement::Suspicious, 3600));
    assert!(!warns(Judgement::Suspicious, 89_000), "a day after the first, not the last");
    assert!(warns(Judgement::Suspicious, 200_000));
}

#[test]
fn one_thread_wins_the_roll_of_the_day() {
    let model = Model::default();
    let tally = Tally::new(1, at(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (1..=50).for_each(|day| tally.touch(&context(&model, at(day * 86_400))));
            });
        }
    });
    assert_eq!(tally.days_learned(), 50);
}

#[test]
fn a_day_with_a_restriction_is_not_learned() {
    let model = Model::default();
    let tally = Tally::new(1, at(0));
    tally.reset(true);
    tally.touch(&context(&model, at(86_400)));
    assert_eq!(tally.days_learned(), 0);
    tally.touch(&context(&model, at(2 * 86_400)));
    assert_eq!(tally.days_learned(), 1);
}

#[test]
fn a_suspicious_connector_waits_when_its_tokens_are_gone() {
    let model = Model::default();
    let context = context(&model, at(0));
    let tally = Tally::new(1, at(0));
    tally.charge(100, &context);
    assert!(!tally.must_wait(&context), "who is normal never waits");
    tally.set_judgement(Judgement::Suspicious, 8.0, &context);
    assert!(!tally.must_wait(&context));
    tally.charge(10, &context);
    tally.charge(10, &context);
    assert!(tally.must_wait(&context));
}

#[test]
fn messages_of_unknown_fate_make_it_wait_until_they_have_landed() {
    let model = Model::default();
    let context = Context { feedback: Feedback::Coming, ..context(&model, at(0)) };
    let tally = Tally::new(1, at(0));
    tally.set_judgement(Judgement::Suspicious, 8.0, &context);
    for _ in 0..10 {
        tally.took_off();
    }
    assert!(tally.must_wait(&context));
    for silent in [Feedback::Off, Feedback::Watching] {
        assert!(!tally.must_wait(&Context { feedback: silent, ..context }), "{silent:?}");
    }
    tally.landed();
    assert!(!tally.must_wait(&context));
}

#[test]
fn what_an_operator_declares_usual_ends_a_suspicion() {
    let model = Model::default();
    let context = context(&model, at(0));
    let tally = Tally::new(1, at(0));
    let seen = Observation { recipients: 10, unseen: 10, fresh: 10, ..Observation::default() };
    for _ in 0..30 {
        tally.observe(&seen, &context);
        tally.pass(&seen, &context);
    }
    let z = crate::judge::fuse(&tally.scores(&context));
    assert!(z >= 7.0);
    tally.set_judgement(Judgement::Suspicious, z, &context);
    tally.declare(&context);
    assert_eq!(tally.judgement(), Judgement::Normal);
    for _ in 0..300 {
        tally.observe(&seen, &context);
        tally.pass(&seen, &context);
    }
    assert_eq!(crate::judge::fuse(&tally.scores(&context)), 0.0);
}

#[test]
fn it_survives_its_image() {
    let model = Model::default();
    let tally = Tally::new(7, at(0));
    let seen = Observation {
        sender: crate::signal::Origin::Odd(5),
        network: Some(9),
        recipients: 3,
        unseen: 3,
        fresh: 3,
        ..Observation::default()
    };
    for day in 0..10 {
        let context = context(&model, at(day * 86_400));
        tally.touch(&context);
        tally.observe(&seen, &context);
        tally.pass(&seen, &context);
    }
    let again = Tally::of_image(&tally.image());
    assert_eq!(again.image(), tally.image());
    let context = context(&model, at(9 * 86_400));
    assert_eq!(again.scores(&context), tally.scores(&context));
    assert_eq!(again.all_findings(&context), tally.all_findings(&context));
}

#[test]
fn who_saw_less_and_comes_last_ends_no_suspicion() {
    let model = Model::default();
    let context = context(&model, at(0));
    let tally = Tally::new(1, at(0));
    let seen = Observation { recipients: 10, unseen: 10, fresh: 10, ..Observation::default() };
    for _ in 0..4 {
        tally.observe(&seen, &context);
    }
    assert!(crate::judge::fuse(&tally.scores(&context)) >= 7.0);
    tally.set_judgement(Judgement::Suspicious, 8.0, &context);
    tally.set_judgement(Judgement::Normal, 5.6, &context);
    assert_eq!(tally.judgement(), Judgement::Suspicious);
}
