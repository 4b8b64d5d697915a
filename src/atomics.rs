//! The atomics that state is built of: those of the standard library, or
//! loom's under `cfg(connguard_loom)`, with which a test runs every
//! interleaving of its threads.
//!
//! Loom's have no `const` constructor and work only inside a loom model, so
//! only what has loom tests takes its atomics from here. Loom also regards
//! `SeqCst` as `AcqRel`: what it proves here holds with less than we ask for.

#[cfg(connguard_loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
#[cfg(not(connguard_loom))]
pub use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
