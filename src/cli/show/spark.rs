//! Numbers over time as one line of characters.

/// From nothing to the largest number.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII: [char; 9] = [' ', '.', ':', '-', '=', '+', '*', '#', '@'];

/// One character a number, as high as the number is. What is not nothing is seen.
pub(super) fn line(numbers: &[u32], utf8: bool) -> String {
    let largest = u64::from(numbers.iter().copied().max().unwrap_or(0).max(1));
    let steps = if utf8 { BLOCKS } else { ASCII };
    let height = |number: &u32| (u64::from(*number) * 8).div_ceil(largest);
    let step = |number| usize::try_from(height(number)).ok().and_then(|at| steps.get(at));
    numbers.iter().filter_map(step).collect()
}

/// Whether the terminal shows UTF-8, by the locale.
pub(super) fn is_utf8() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_highest_and_nothing_is_empty() {
        assert_eq!(line(&[0, 1, 50, 100], true), " ▁▄█");
        assert_eq!(line(&[0, 1, 50, 100], false), " .=@");
        assert_eq!(line(&[0, 0], true), "  ");
        assert_eq!(line(&[], true), "");
        assert_eq!(line(&[u32::MAX, 1], true), "█▁");
    }
}
