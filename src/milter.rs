//! The milter front-end.

mod params;

pub use params::{Listen, ListenError, Params};
