//! What the fuzz targets do with the bytes that they are given: each module has a
//! `run` that panics where a promise is broken, not only where the product panics.
//!
//! The targets in `fuzz_targets/` call these, and so does `tests/hostile_input`
//! with every file of `corpus/`. `tests/fuzz` runs them.

pub mod bytes;
pub mod case_file;
pub mod config;
pub mod control;
pub mod from_header;
pub mod history;
pub mod journal;
pub mod mail_log;
pub mod milter;
pub mod old_log;
pub mod policy;
pub mod site;
