//! What is kept of a connector across a restart. Totals and the throttle begin
//! afresh.

use super::Tally;
use crate::{
    day, day::Days, own_domains, own_domains::OwnDomains, signal, signal::Signals,
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering::Relaxed;

/// What is kept of a connector across a restart.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Image {
    id: u64,
    first_seen: u64,
    last_seen: u64,
    days: day::Image,
    suspicious: bool,
    warned: u32,
    forwarder_since: u32,
    settling_until: u32,
    passed: (u32, u32),
    met_senders: u8,
    own_domains: own_domains::Image,
    signals: signal::Image,
}

impl Tally {
    /// What is kept of it across a restart.
    pub fn image(&self) -> Image {
        Image {
            id: self.id,
            first_seen: self.first_seen.as_millis(),
            last_seen: self.last_seen.load(Relaxed),
            days: self.days.image(),
            suspicious: self.suspicious.load(Relaxed),
            warned: self.warned.load(Relaxed),
            forwarder_since: self.forwarder_since.load(Relaxed),
            settling_until: self.settling_until.load(Relaxed),
            passed: self.passed(),
            met_senders: self.senders_met(),
            own_domains: self.own_domains.image(),
            signals: self.signals.image(),
        }
    }

    /// The tally of an image. Totals begin at zero.
    pub fn of_image(image: &Image) -> Self {
        Self {
            signals: Signals::of_image(&image.signals),
            own_domains: OwnDomains::of_image(&image.own_domains),
            passed_messages: image.passed.0.into(),
            passed_recipients: image.passed.1.into(),
            last_seen: image.last_seen.into(),
            days: Days::restore(&image.days),
            suspicious: image.suspicious.into(),
            met_senders: image.met_senders.into(),
            warned: image.warned.into(),
            forwarder_since: image.forwarder_since.into(),
            settling_until: image.settling_until.into(),
            ..Self::new(image.id, Timestamp::from_millis(image.first_seen))
        }
    }
}
