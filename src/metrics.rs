//! Metrics for Prometheus, over HTTP.
//!
//! - `GET /metrics` gives the figures as OpenMetrics text to who asks for that, and to
//!   everybody else as the text that Prometheus had before it; `/` says where they are.
//!   All else is answered with 404 or 405.
//! - No message ever waits for a scrape: figures come from counters that are kept anyway,
//!   gathered on a thread of their own, by one scrape at a time.
//! - What clients can occupy is bounded: [`CONNECTIONS`] at a time (more wait in the
//!   system's queue), one request each, [`HEAD_TAKES`] for its head of 8 KiB at the most,
//!   [`ALL_TAKES`] for all of it.
//! - What is shown of single connectors is bounded too: [`connectors`].
//!
//! Which figures there are is told by who has them: this knows only families of them.

mod connectors;
mod server;
mod text;

pub use connectors::{BUSIEST, connectors};
pub use server::{ALL_TAKES, CONNECTIONS, HEAD_TAKES, Metrics};
pub use text::{Family, Kind, Sample, classic, open};

/// What can be set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Params {
    /// Where figures are served.
    pub listen: std::net::SocketAddr,
}
