//! What of a [`super::Memory`] is kept on disk: plain data that says itself
//! how it was made, so that filters of another make are refused instead of
//! answering at random.

use super::{
    State,
    filter::Filter,
    generation::{Generation, Layer, Plan},
    pair,
};
use crate::timestamp::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, sync::Arc};

/// A whole memory.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Image {
    /// What the hash functions made of a constant; another value means that
    /// the bits were set by other functions.
    pub check: u64,
    /// Number of the present generation.
    pub number: u32,
    /// When it began, in milliseconds since 1970-01-01 00:00 UTC.
    pub start_ms: u64,
    /// The generation that takes in.
    pub present: GenerationImage,
    /// The one before.
    pub old: GenerationImage,
}

/// One generation.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct GenerationImage {
    /// Its layers, smallest first.
    pub layers: Vec<LayerImage>,
}

/// One Bloom filter.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LayerImage {
    /// Pairs for which it was made.
    pub capacity: u32,
    /// Bits that a pair sets.
    pub hashes: u32,
    /// Pairs in it.
    pub pairs: u64,
    /// Its bits.
    pub bits: Bits,
}

/// The bits of a filter: words of 64 bits, each in eight octets, the lowest
/// first.
#[derive(Clone, Eq, PartialEq)]
pub struct Bits(pub Vec<u8>);

/// Why an image can't be taken over.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RestoreError {
    /// The filters were filled by other hash functions.
    #[error(
        "they were filled by other hash functions (check value {found:016x}, here {expected:016x})"
    )]
    Check {
        /// The image's value.
        found: u64,
        /// This program's.
        expected: u64,
    },
    /// There are more layers than this memory may have.
    #[error("the {generation} generation has {found} filters, here it has {expected} at most")]
    Layers {
        /// `present` or `old`.
        generation: &'static str,
        /// In the image.
        found: usize,
        /// Of this memory.
        expected: usize,
    },
    /// A layer was made for another size or error rate.
    #[error("{what} of filter {layer} of the {generation} generation is {found}, here {expected}")]
    Layer {
        /// `present` or `old`.
        generation: &'static str,
        /// Counted from 1.
        layer: usize,
        /// What of it.
        what: &'static str,
        /// The image's value.
        found: u64,
        /// This memory's.
        expected: u64,
    },
}

/// The image of a state. Pairs that come in meanwhile may be missing.
pub(super) fn of(state: &State) -> Image {
    Image {
        check: check(),
        number: state.number,
        start_ms: state.start.as_millis(),
        present: of_generation(&state.present),
        old: of_generation(&state.old),
    }
}

/// The state of an image, where it was made by `plans`.
pub(super) fn into_state(image: Image, plans: &[Plan]) -> Result<State, RestoreError> {
    let expected = check();
    if image.check != expected {
        return Err(RestoreError::Check { found: image.check, expected });
    }
    Ok(State {
        number: image.number,
        start: Timestamp::from_millis(image.start_ms),
        present: Arc::new(into_generation(image.present, "present", plans)?),
        old: Arc::new(into_generation(image.old, "old", plans)?),
    })
}

fn of_generation(generation: &Generation) -> GenerationImage {
    GenerationImage { layers: generation.layers().map(of_layer).collect() }
}

fn of_layer(layer: &Layer) -> LayerImage {
    LayerImage {
        capacity: layer.plan().capacity,
        hashes: layer.plan().hashes,
        // Before the bits: too few counted only fill it a little more.
        pairs: layer.pairs(),
        bits: Bits(layer.words().flat_map(u64::to_le_bytes).collect()),
    }
}

fn into_generation(
    image: GenerationImage,
    generation: &'static str,
    plans: &[Plan],
) -> Result<Generation, RestoreError> {
    let (found, expected) = (image.layers.len(), plans.len());
    if found > expected {
        return Err(RestoreError::Layers { generation, found, expected });
    }
    if found == 0 {
        return Ok(Generation::empty());
    }
    let mut layers = Vec::with_capacity(found);
    for (at, (layer, plan)) in image.layers.into_iter().zip(plans).enumerate() {
        let octets = layer.bits.0.len() as u64;
        for (what, found, expected) in [
            ("the capacity", layer.capacity.into(), plan.capacity.into()),
            ("the number of hashes", layer.hashes.into(), plan.hashes.into()),
            ("the size in octets", octets, plan.words as u64 * 8),
        ] {
            if found != expected {
                let layer = at + 1;
                return Err(RestoreError::Layer { generation, layer, what, found, expected });
            }
        }
        let (words, _) = layer.bits.0.as_chunks();
        let words: Vec<u64> = words.iter().map(|octets| u64::from_le_bytes(*octets)).collect();
        layers.push(Layer::from_words(*plan, &words, layer.pairs));
    }
    Ok(Generation::from_layers(plans, layers))
}

/// Digests which bits of a filter of odd size some constants set: it changes
/// with [`pair`] and with how the filter derives its bits from it.
fn check() -> u64 {
    let filter = Filter::from_words(&[0; 8 * 1001], 16);
    for recipient in 0..8 {
        filter.insert(pair(0x636f_6e6e_6775_6172, recipient));
    }
    filter.words().fold(0, pair)
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", self.0.len())
    }
}

impl Serialize for Bits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(BitsVisitor)
    }
}

struct BitsVisitor;

impl<'de> de::Visitor<'de> for BitsVisitor {
    type Value = Bits;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("octets")
    }

    fn visit_bytes<E: de::Error>(self, octets: &[u8]) -> Result<Bits, E> {
        Ok(Bits(octets.to_vec()))
    }

    fn visit_byte_buf<E: de::Error>(self, octets: Vec<u8>) -> Result<Bits, E> {
        Ok(Bits(octets))
    }

    /// Formats without octets, as JSON, have a list of numbers.
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Bits, A::Error> {
        let mut octets = Vec::new();
        while let Some(octet) = list.next_element()? {
            octets.push(octet);
        }
        Ok(Bits(octets))
    }
}
