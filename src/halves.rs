//! Two values in one word, so that a single atomic operation reads or replaces
//! both at once: the upper and the lower 32 bits. A float goes in by its bits.

/// Upper and lower half of a word.
pub fn split(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

/// A word of two halves.
pub fn join(upper: u32, lower: u32) -> u64 {
    u64::from(upper) << 32 | u64::from(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_survive_their_word() {
        for halves in [(0, 0), (1, u32::MAX), (f32::MAX.to_bits(), 7)] {
            assert_eq!(split(join(halves.0, halves.1)), halves);
        }
    }
}
