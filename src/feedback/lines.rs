//! Bytes into lines, in bounded memory.

/// The longest line in octets; a longer one is skipped.
pub(super) const LONGEST: usize = 64 * 1024;

/// What was fed since the last line end.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
    /// Octets since the last line end, those that were not kept too.
    open: u64,
    /// The line is too long: nothing of it is kept.
    skipping: bool,
    /// Lines that were too long.
    overlong: u64,
}

impl Lines {
    /// Lines of which the first is given up: reading begins somewhere in it.
    pub(super) fn after_cut() -> Self {
        Self { skipping: true, ..Self::default() }
    }

    /// Takes the next bytes. `line` is called with every line that is whole
    /// now, without its line end.
    pub(super) fn feed(&mut self, bytes: &[u8], line: &mut dyn FnMut(&[u8])) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (head, tail) = rest.split_at(end);
            self.take(head, line);
            rest = tail.get(1..).unwrap_or_default();
        }
        self.open += u64::try_from(rest.len()).unwrap_or(u64::MAX);
        self.keep(rest);
    }

    /// What was fed of the line that is not whole yet, if it is kept.
    pub(super) fn begun(&self) -> &[u8] {
        &self.begun
    }

    /// Octets behind the last line end.
    pub(super) fn open(&self) -> u64 {
        self.open
    }

    /// Lines that were too long since this was asked last.
    pub(super) fn take_overlong(&mut self) -> u64 {
        std::mem::take(&mut self.overlong)
    }

    /// The end of a line.
    fn take(&mut self, end: &[u8], line: &mut dyn FnMut(&[u8])) {
        if self.begun.is_empty() && !self.skipping && end.len() <= LONGEST {
            line(without_nuls(end));
        } else {
            self.keep(end);
            if !self.skipping {
                line(without_nuls(&self.begun));
            }
        }
        self.begun.clear();
        self.skipping = false;
        self.open = 0;
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        if self.begun.len() + bytes.len() > LONGEST {
            self.skipping = true;
            self.overlong += 1;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }
}

/// Whoever goes on writing at its old place in a file that was truncated leaves
/// NULs before.
fn without_nuls(line: &[u8]) -> &[u8] {
    let nuls = line.iter().take_while(|byte| **byte == 0).count();
    line.get(nuls..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests fail by panicking"
    )]
    use super::*;
    use proptest::prelude::*;

    fn fed(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Lines) {
        let (mut found, mut lines) = (Vec::new(), Lines::default());
        for piece in pieces {
            lines.feed(piece, &mut |line| found.push(line.to_vec()));
        }
        (found, lines)
    }

    #[test]
    fn a_half_written_line_waits() {
        let (found, lines) = fed(&[b"one\ntw", b"o", b"\n\nthr"]);
        assert_eq!(found, [b"one".to_vec(), b"two".to_vec(), b"".to_vec()]);
        assert_eq!((lines.begun(), lines.open()), (&b"thr"[..], 3));
    }

    #[test]
    fn an_overlong_line_is_skipped_and_not_kept() {
        let long = vec![b'x'; LONGEST + 1];
        let (found, mut lines) = fed(&[b"a\n", &long, &long, b"y\nb\n"]);
        assert_eq!(found, [b"a".to_vec(), b"b".to_vec()]);
        assert_eq!((lines.take_overlong(), lines.take_overlong()), (1, 0));
        let just = vec![b'x'; LONGEST];
        let (found, mut lines) = fed(&[&just[1..], b"x\n", &just, b"\n"]);
        assert_eq!((found.len(), lines.take_overlong()), (2, 0));
        let (found, mut lines) = fed(&[&[&long[..], b"\nb\n"].concat()]);
        assert_eq!((found, lines.take_overlong()), (vec![b"b".to_vec()], 1));
    }

    #[test]
    fn nuls_of_a_truncated_file_are_no_part_of_its_first_line() {
        let (found, _) = fed(&[b"\0\0\0a\0b\n"]);
        assert_eq!(found, [b"a\0b".to_vec()]);
    }

    #[test]
    fn the_rest_of_a_cut_line_is_given_up() {
        let (mut found, mut lines) = (Vec::new(), Lines::after_cut());
        lines.feed(b"rest", &mut |line| found.push(line.to_vec()));
        lines.feed(b"\nwhole\n", &mut |line| found.push(line.to_vec()));
        assert_eq!((found, lines.take_overlong()), (vec![b"whole".to_vec()], 0));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_bytes_come(
            bytes in prop::collection::vec(prop_oneof![3 => 1_u8..4, 1 => Just(b'\n')], 0..200),
            cuts in prop::collection::vec(0_usize..200, 0..6),
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|it| &bytes[it[0]..it[1]]).collect();
            let (found, lines) = fed(&pieces);
            let mut whole: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            let rest = whole.pop().unwrap();
            prop_assert_eq!(found, whole);
            prop_assert_eq!(lines.begun(), &rest[..]);
        }
    }
}
