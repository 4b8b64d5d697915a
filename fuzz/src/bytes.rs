//! Choices out of the bytes of an input. At their end every choice is the first
//! one, so that a shorter input is one with less in it.

/// What is left of an input.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// One of these.
    pub fn byte_of<'o, T>(&mut self, of: &'o [T]) -> &'o T {
        &of[self.below(of.len())]
    }

    /// The next bytes, as many as there are.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// One of these words, or as often some bytes of the input. An upper half of the
    /// byte that chooses makes one of two words.
    pub fn word(&mut self, words: &[&str]) -> Vec<u8> {
        let choice = usize::from(self.byte());
        if let Some(word) = words.get(choice % 128) {
            let mut word = word.as_bytes().to_vec();
            if choice >= 128 {
                word.extend_from_slice(
                    words.get(self.below(words.len())).map_or(b"", |it| it.as_bytes()),
                );
            }
            return word;
        }
        let length = self.below(48);
        self.take(length).to_vec()
    }

    /// The same as text.
    pub fn text(&mut self, words: &[&str]) -> String {
        String::from_utf8_lossy(&self.word(words)).into_owned()
    }
}
