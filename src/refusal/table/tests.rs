use super::{TABLE, WORDS};

#[test]
fn every_row_can_fit_and_has_a_reason() {
    for row in TABLE {
        assert!(!row.why.is_empty() && !row.by.is_empty());
        for words in row.words.split('|') {
            assert_eq!(words, words.to_lowercase(), "{}", row.why);
            assert!(row.words.is_empty() || words.len() > 2, "{words:?}: {}", row.why);
        }
    }
}

#[test]
fn the_words_of_a_row_are_found_wherever_they_stand() {
    assert_eq!(WORDS.len(), TABLE.len());
    for (at, row) in TABLE.iter().enumerate().filter(|(_, row)| !row.words.is_empty()) {
        for words in row.words.split('|') {
            assert!(WORDS.matches(&format!("so {words}, said it")).matched(at), "{words:?}");
        }
    }
    assert!(!WORDS.is_match("nothing of note"));
}
