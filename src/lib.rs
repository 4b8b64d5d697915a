//! connguard: a milter daemon for Postfix that watches every client which
//! Postfix lets relay mail, notices when one has been taken over, and stops
//! the mail it relays.
//!
//! The modules stand on seven floors and import only from floors below their
//! own; `tests/layering.rs` holds the table. ARCHITECTURE.md is the map.
#![forbid(unsafe_code)]

// Floor 0: vocabulary. No I/O, no state.
mod arrivals;
pub mod atomics;
pub mod command;
pub mod connector;
pub mod domain;
pub mod header;
pub mod histogram;
pub mod maillog;
pub mod message;
pub mod record;
pub mod refusal;
pub mod sender;
pub mod short;
pub mod stripes;
pub mod text;
pub mod timestamp;
pub mod verdict;

// Floor 1: state. Pure, no I/O; time is an argument.
pub mod baseline;
pub mod case;
pub mod day;
pub mod directory;
pub mod fingerprint;
pub mod halves;
pub mod handover;
pub mod intake;
pub mod judge;
pub mod known;
pub mod model;
pub mod organization;
pub mod own_domains;
pub mod passes;
pub mod pending;
pub mod provider;
pub mod queued;
pub mod restriction;
pub mod roster;
pub mod score;
pub mod senders;
pub mod signal;
pub mod tally;
pub mod throttle;
pub mod trail;
pub mod window;

// Floor 2: the calls that every message takes.
pub mod engine;
pub mod view;

// Floor 3: what edges share: sockets that nobody else gets at, files that survive a
// crash, and faults that tests ask for.
pub mod fault;
mod quiet;
pub mod socket;
pub mod storage;

// Floor 4: edges. Each is the only place that knows its protocol or file, and
// none imports another.
pub mod alert;
pub mod cases;
pub mod clock;
pub mod control;
pub mod feedback;
pub mod history;
pub mod journal;
pub mod manager;
pub mod metrics;
pub mod milter;
pub mod panics;
pub mod policy;
pub mod replay;

// Floor 5: the configuration, the commands of operators, and a configuration
// from old logs.
pub mod config;
pub mod operator;
pub mod suggest;

// Floor 6: the process.
pub mod cli;
pub mod daemon;
