//! Of which recipient of which message a result is.

use super::*;

#[test]
fn nobody_claims_a_message_of_a_client_for_another() {
    let mut world = World::new();
    // A client that also receives mail, at its own address, and answers what it
    // likes: that this was its other message.
    world.sends("ABCDE01", &["accomplice@b.test"]);
    world.came("ABCDE01", "client.test[10.0.0.7]");
    world.sends("ABCDE02", &["x@b.test"]);
    world.came("ABCDE02", "client.test[10.0.0.7]");
    let said = "250 2.0.0 Ok: queued as ABCDE02";
    world.sent("ABCDE01", "accomplice@b.test", "client.test[10.0.0.7]", said);
    world.bounced("ABCDE02", "x@b.test");
    world.look();
    assert_eq!((world.refused(), world.in_flight()), ((1, 1), 0));
}

#[test]
fn whom_postfix_added_or_an_alias_leads_to_is_no_evidence() {
    let mut world = World::new();
    world.sends("ABCDE01", &["list@b.test", "team@b.test", "x@b.test"]);
    world.came("ABCDE01", "client.test[10.0.0.7]");
    world.bounced("ABCDE01", "x@b.test");
    // always_bcc
    world.bounced("ABCDE01", "archive@example.org");
    // An alias to another domain, with `orig_to`.
    world.bounced("ABCDE01", "dead@elsewhere.test>, orig_to=<list@b.test");
    world.look();
    assert_eq!(world.refused(), (1, 1));
    // A canonical map: the same recipient.
    world.bounced("ABCDE01", "T.Eam@B.test>, orig_to=<team@b.test");
    world.look();
    assert_eq!((world.refused(), world.in_flight()), ((2, 2), 0));
}

#[test]
fn an_odd_spelling_hides_no_recipient() {
    let mut world = World::new();
    // So Postfix shows them to milters, resolved.
    let recipients = ["a@b.test", "b@b.test", "c@b.test", "d@b.test", "e@b.test"];
    world.sends("ABCDE01", &recipients);
    let spellings = [
        "a%b.test",
        "b%b.test@mx.example.org",
        "b.test!c",
        "@mx.example.org:d@b.test",
        "e@b.test.",
    ];
    for (to, spelling) in recipients.iter().zip(spellings) {
        world.bounced("ABCDE01", &format!("{to}>, orig_to=<{spelling}"));
    }
    world.look();
    // One of five is no evidence yet: the counts begin with the second.
    assert_eq!((world.refused(), world.in_flight()), ((4, 4), 0));
}

#[test]
fn a_result_of_an_earlier_message_with_the_queue_id_is_none() {
    let mut world = World::new();
    world.bounced("ABCDE01", "x@b.test");
    world.second = 60;
    world.sends("ABCDE01", &["x@b.test"]);
    assert_eq!(world.look().results, 0);
    assert_eq!(world.in_flight(), 1);
}
