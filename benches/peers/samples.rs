//! What one measurement gives.

/// One measurement of one filter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Messages in a second.
    pub(crate) rate: f64,
    /// 99 of 100 messages take no longer, in milliseconds; where it was measured.
    pub(crate) p99: Option<f64>,
    /// Processor seconds of all its processes for 10,000 messages.
    pub(crate) cpu: f64,
    /// Memory of all its processes, in MiB.
    pub(crate) memory: f64,
}
