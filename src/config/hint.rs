//! What somebody may have meant who wrote a key that is none.

/// The word of `known` that `typed` is a misspelling of, if there is one.
pub(super) fn nearest<'k>(typed: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if typed.len() > 64 {
        return None;
    }
    let typed = typed.to_ascii_lowercase().replace('-', "_");
    let allowed = (typed.chars().count() / 3).clamp(1, 3);
    known
        .map(|word| (distance(&typed, word), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, word)| word)
}

/// How many characters to insert, drop, replace or swap with their neighbour
/// turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (row, left) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, right) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX);
            let mut best = at(&above, column) + usize::from(left != *right);
            best = best.min(at(&above, column + 1) + 1);
            best = best.min(at(&current, column) + 1);
            let swapped = column
                .checked_sub(1)
                .filter(|earlier| previous == Some(*right) && b.get(*earlier) == Some(&left));
            if let Some(earlier) = swapped {
                best = best.min(at(&before, earlier).saturating_add(1));
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
        previous = Some(left);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_are_recognized() {
        let known = ["action", "reject_after", "organization", "grace", "listen"];
        for (typed, meant) in [
            ("actoin", Some("action")),
            ("Action", Some("action")),
            ("reject-after", Some("reject_after")),
            ("organisation", Some("organization")),
            ("gracee", Some("grace")),
            ("lsten", Some("listen")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known.into_iter()), meant, "{typed}");
        }
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [("", "abc", 3), ("ab", "ba", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }
}
