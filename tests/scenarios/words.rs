//! Words of a line, taken one after the other.

use std::{fmt::Display, str::FromStr};

/// What goes wrong in a line, for the person who wrote it.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// The rest of a line.
pub(crate) struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self(text.trim())
    }

    /// All that was not taken yet.
    pub(crate) fn rest(&self) -> &'a str {
        self.0
    }

    /// The next word, whatever it is.
    pub(crate) fn any(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let (word, rest) = self.0.split_once(char::is_whitespace).unwrap_or((self.0, ""));
        self.0 = rest.trim_start();
        Some(word)
    }

    pub(crate) fn next(&mut self, what: &str) -> Outcome<&'a str> {
        self.any().ok_or_else(|| format!("here should be {what}"))
    }

    /// Takes the next word where it is `word`.
    pub(crate) fn skip(&mut self, word: &str) -> bool {
        let is_next = self.0.split_whitespace().next() == Some(word);
        is_next.then(|| self.any()).is_some()
    }

    pub(crate) fn parse<T>(&mut self, what: &str) -> Outcome<T>
    where
        T: FromStr<Err: Display>,
    {
        parse(self.next(what)?)
    }

    pub(crate) fn end(&mut self) -> Outcome {
        match self.any() {
            None => Ok(()),
            Some(word) => Err(format!("{word:?} is not understood here")),
        }
    }
}

pub(crate) fn parse<T>(word: &str) -> Outcome<T>
where
    T: FromStr<Err: Display>,
{
    word.parse().map_err(|error: T::Err| format!("{word:?}: {error}"))
}

/// `text` with `{n}` and `{n%K}` replaced.
pub(crate) fn substitute(text: &str, n: u64) -> Outcome<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{n") {
        let (inside, behind) = after.split_once('}').ok_or("{n without }")?;
        let value = match inside.strip_prefix('%') {
            Some(modulus) => n % parse::<u64>(modulus)?.max(1),
            None if inside.is_empty() => n,
            None => return Err(format!("{{n{inside}}} is neither {{n}} nor {{n%K}}")),
        };
        out += before;
        out += &value.to_string();
        rest = behind;
    }
    Ok(out + rest)
}

/// Recipients apart, with `3 of a{k}@x.test` for three.
pub(crate) fn expand(recipients: &str) -> Outcome<Vec<String>> {
    let mut all = Vec::new();
    for recipient in recipients.split(',').map(str::trim) {
        match recipient.split_once(" of ") {
            Some((count, each)) => {
                let count = parse::<u64>(count)?;
                all.extend((1..=count).map(|k| each.replace("{k}", &k.to_string())));
            }
            None => all.push(recipient.to_owned()),
        }
    }
    Ok(all)
}

/// Whether every word of `expected` is a word of `actual`.
pub(crate) fn has_words(actual: &str, expected: &str) -> bool {
    let trim = |word: &'_ str| word.trim_matches([',', ':', ';', '.']).to_owned();
    let actual: Vec<String> = actual.split_whitespace().map(trim).collect();
    expected.split_whitespace().all(|word| actual.contains(&trim(word)))
}
