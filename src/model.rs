//! The constants of the judgement in one place. They are no configuration:
//! [`Model::default`] is what every installation runs with, and measurement
//! (the detection bench) turns them one at a time to show what each is worth.

use crate::signal::{
    STRONG_CAP, Shape,
    crowds::{self, Crowd},
    domains, foreign, networks, refused, spam, unknown, unregistered,
    volume::{VOLUME, VolumeModel},
};

/// All constants.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// B: the level of `compromised`, in nats.
    pub compromised: f32,
    /// S: the level of `suspicious`, in nats.
    pub suspicious: f32,
    /// A suspicious entity is normal again below this, in nats.
    pub normal_again: f32,
    /// In grace this many times B is needed.
    pub grace_times: f32,
    /// After a block by hand, which no signal made, this level is needed, in
    /// nats.
    pub grace_by_hand: f32,
    /// U.
    pub unregistered: Shape,
    /// F.
    pub foreign: Shape,
    /// A.
    pub networks: Shape,
    /// X.
    pub crowds: Shape,
    /// R1.
    pub most_refused: Shape,
    /// R2.
    pub many_refused: Shape,
    /// J.
    pub unknown_recipients: Shape,
    /// Q.
    pub spam: Shape,
    /// V.
    pub volume: VolumeModel,
    /// A2 at the most, in nats.
    pub shift: f32,
    /// U and F: what a repeated domain counts.
    pub repeated_domain: f32,
    /// U and F: different domains from which on the evidence is strong.
    pub strong_domains: u32,
    /// A: networks of a new connector that are free.
    pub free_networks: u32,
    /// A: so many new networks in a row count a quarter each.
    pub journey: u32,
    /// A: new networks from which on the evidence is strong.
    pub strong_networks: u32,
    /// X: what makes a crowd.
    pub crowd: Crowd,
    /// R and J: recipients that a message weighs at the most.
    pub refusals_a_message: u32,
    /// Days after which a connector is no longer new to A and X, and a declared
    /// forwarder has learned.
    pub old_after_days: u32,
    /// Whether senders of a connector are judged apart.
    pub senders: bool,
    /// Throttle: recipients an hour that a suspicious login may send anyway.
    pub throttle_rate: f32,
    /// Throttle: messages of unknown fate that it may have anyway.
    pub throttle_in_flight: f32,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            compromised: 14.0,
            suspicious: 7.0,
            normal_again: 3.5,
            grace_times: 2.0,
            grace_by_hand: STRONG_CAP,
            unregistered: unregistered::SHAPE,
            foreign: foreign::SHAPE,
            networks: networks::SHAPE,
            crowds: crowds::SHAPE,
            most_refused: refused::MOST,
            many_refused: refused::MANY,
            unknown_recipients: unknown::SHAPE,
            spam: spam::SHAPE,
            volume: VOLUME,
            shift: networks::SHIFT,
            repeated_domain: domains::REPEATED,
            strong_domains: domains::STRONG_FROM,
            free_networks: networks::FREE,
            journey: networks::JOURNEY,
            strong_networks: networks::STRONG_FROM,
            crowd: crowds::CROWD,
            refusals_a_message: refused::A_MESSAGE,
            old_after_days: 7,
            senders: true,
            throttle_rate: 60.0,
            throttle_in_flight: 10.0,
        }
    }
}
