//! The history file: what was learned of connectors.
//!
//! The input is blocks, each a byte for the kind, two for the length and the payload;
//! the checksums are put in, unless the kind has its highest bit set: then the block
//! is damaged.

use super::{
    bytes::Bytes,
    site::{self, START, Shared},
};
use connguard::{
    connector::{ConnectorKey, Entity, Identities},
    daemon::HISTORY_SCHEMA,
    engine::{self, Engine, MUTED, Memory, Session},
    history::{Loaded, Saved, fuzz},
    message::{Fate, Message, Recipient, Sender},
    tally,
    timestamp::Timestamp,
    view,
};
use serde::Serialize;
use std::{cell::RefCell, sync::Arc, time::Duration};

thread_local! {
    static WORLD: RefCell<Shared<Arc<Engine>>> = const { RefCell::new(Shared::new(site::engine)) };
}

type Read = Loaded<tally::Image, engine::Filters, engine::Waiting>;

/// The blocks of a history.
pub fn run(data: &[u8]) {
    let bytes = file(data);
    let Some(loaded) = read(&bytes) else { return };
    let written = write(&loaded);
    let again = read(&written).expect("what was written is a history");
    // A history without filters can't be written: they stand for nothing there.
    if loaded.filters.is_some() {
        assert!(again.losses.is_empty(), "what was written is damaged");
    }
    assert_eq!(write(&again), written, "written, read and written");
    assert_eq!(again.connectors.len(), loaded.connectors.len());
    WORLD.with_borrow_mut(|shared| shared.run(data, |world| recalled(world, loaded, START)));
}

fn read(bytes: &[u8]) -> Option<Read> {
    fuzz::read(bytes, HISTORY_SCHEMA)
}

fn file(data: &[u8]) -> Vec<u8> {
    let mut blocks = Bytes(data);
    let mut bytes = fuzz::prelude(HISTORY_SCHEMA);
    while !blocks.is_empty() {
        let (kind, low, high) = (blocks.byte(), blocks.byte(), blocks.byte());
        let payload = blocks.take(usize::from(low) | usize::from(high & 15) << 8);
        match fuzz::block(kind & 0x7f, payload) {
            Some(mut block) => {
                if kind & 0x80 != 0 {
                    let at = usize::from(high) % block.len();
                    block[at] ^= 1 << (low % 8);
                }
                bytes.extend(block);
            }
            // As it is.
            None => bytes.extend_from_slice(payload),
        }
    }
    bytes
}

fn write(loaded: &Read) -> Vec<u8> {
    match &loaded.filters {
        Some(filters) => write_with(loaded, filters),
        // A history has always some: without them its filters are damaged.
        None => write_with(loaded, ()),
    }
}

fn write_with(loaded: &Read, filters: impl Serialize) -> Vec<u8> {
    let saved = Saved {
        key: loaded.key.unwrap_or_default(),
        connectors: loaded.connectors.iter().map(|(key, learned)| (key.clone(), learned)),
        filters,
        messages: loaded.messages.iter(),
        place: loaded.place.clone(),
        saved_at: loaded.saved_at.unwrap_or_default(),
        muted_until: loaded.muted_until,
    };
    fuzz::write(HISTORY_SCHEMA, saved).unwrap()
}

/// An engine that recalls it judges, shows and keeps what it has, and it restricts
/// nobody: no message came yet.
fn recalled(world: &mut Arc<Engine>, loaded: Read, now: Timestamp) {
    let engine = Arc::get_mut(world).expect("nobody else has it");
    let keys: Vec<ConnectorKey> = loaded.connectors.iter().map(|(key, _)| key.clone()).collect();
    let muted_until = loaded.mute(now);
    let memory =
        Memory { key: loaded.key.unwrap_or_default(), filters: loaded.filters, muted_until };
    engine.recall(Some(memory), loaded.connectors, now);
    let messages = loaded.messages.len();
    assert!(engine.recall_waiting(loaded.messages, now) <= messages);
    assert!(engine.muted_until(now).is_none_or(|until| until <= now.plus(MUTED)));
    for key in keys {
        let entity = Entity::from(key);
        if let Some(view) = view::explain(engine, &entity, now) {
            let text = serde_json::to_string(&view).unwrap();
            // What is no number is written as null: a reader of ours would refuse it.
            let back = serde_json::from_str::<view::ExplainView>(&text);
            assert!(back.is_ok(), "{}: {text}", back.unwrap_err());
        }
    }
    mail(engine, now);
    engine.sweep(now);
    assert!(engine.table().is_empty(), "a history restricts nobody");
    for (_, image) in world.histories() {
        let _ = tally::Tally::of_image(&image);
    }
    drop(world.table().changes().take(Duration::ZERO));
}

/// An ordinary message of a connector that may have been recalled.
fn mail(engine: &Engine, now: Timestamp) {
    let mut session = Session::default();
    session.identify(Identities { client: Some([192, 0, 2, 1].into()), ..Identities::default() });
    let sender = Sender::Address { address: "a@example.org", qualified: true };
    let mut transaction = engine.begin(&mut session, &sender);
    let recipient =
        Recipient { address: "u@y.test", transport: Some("smtp"), fate: Fate::Accepted };
    let _ = engine.at_recipient(&mut session, &mut transaction, &recipient, now);
    let message = Message {
        sender,
        queue_id: Some("4F4F4F4F"),
        message_id: None,
        from: &[],
        spam: None,
        size: None,
        report: false,
        host: Some("mx.example.org"),
    };
    let _ = engine.at_end(&mut session, transaction, &message, now);
}
