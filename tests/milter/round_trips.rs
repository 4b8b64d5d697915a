//! How often Postfix waits: once to negotiate, once a recipient, once at the
//! end of a message.

use crate::{
    harness::Daemon,
    load::{Address, Figures, Mail, Profile, Until, noop, process::Group, run},
};
use std::sync::Arc;

async fn sessions(address: Address, profile: Profile) -> Figures {
    let mail = Arc::new(Mail::new(10, 1));
    let work = move || run(&address, &Group::default(), &profile, &mail, Until::Sessions(20));
    tokio::task::spawn_blocking(work).await.unwrap().unwrap()
}

fn profile(messages_a_session: usize, recipients: usize) -> Profile {
    Profile { messages_a_session, recipients, ..Profile::default() }
}

#[tokio::test]
async fn one_for_each_recipient_and_one_at_the_end() {
    let daemon = Daemon::start();
    for (messages, recipients, waits) in [(1, 1, 2), (5, 1, 2), (1, 10, 11), (5, 10, 11)] {
        let figures = sessions(Address::Unix(daemon.socket()), profile(messages, recipients)).await;
        assert_eq!(figures.complaint(), None);
        assert_eq!(figures.sessions, 20);
        assert_eq!(figures.negotiations, 20, "one a session");
        assert_eq!(figures.messages, 20 * u64::try_from(messages).unwrap());
        assert_eq!(figures.round_trips, figures.messages * waits, "{recipients} recipients");
    }
}

/// Else the comparison of the two says nothing.
#[tokio::test]
async fn the_milter_that_does_nothing_asks_for_the_same() {
    let daemon = Daemon::start();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("noop.sock");
    let serving = tokio::spawn({
        let socket = socket.clone();
        async move { noop::serve(&socket).await }
    });
    daemon.until("the other one listens", |_| socket.exists()).await;
    let ours = sessions(Address::Unix(daemon.socket()), profile(1, 1)).await;
    let nothing = sessions(Address::Unix(socket), profile(1, 1)).await;
    assert!(ours.negotiated.is_some());
    assert_eq!(ours.negotiated, nothing.negotiated);
    assert_eq!(ours.round_trips, nothing.round_trips);
    serving.abort();
}
