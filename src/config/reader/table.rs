//! The values of a file, each with its place, from which what they mean is
//! asked for.

use super::{Reader, joined};
use crate::config::fault::{Fault, Position};
use std::{
    fmt::Display,
    ops::{Range, RangeInclusive},
    str::FromStr,
};
use toml::de::{DeTable, DeValue};

/// A place in the file, with the key that it belongs to.
#[derive(Clone, Debug)]
pub(in crate::config) struct Spot<'r, 't> {
    pub(in crate::config) reader: &'r Reader<'t>,
    key: String,
    at: usize,
}

impl Spot<'_, '_> {
    /// Records a fault.
    pub(in crate::config) fn fault(&self, message: impl Display) {
        self.reader.record(self.at, Some(&self.key), message.to_string());
    }

    /// Records a fault that consists in something not being there.
    pub(in crate::config) fn absent(&self, message: impl Display) {
        if self.reader.whole {
            self.fault(message);
        }
    }

    /// Records something odd.
    pub(in crate::config) fn warn(&self, message: impl Display) {
        let position = Some(self.position());
        let warning = Fault {
            file: self.reader.file.to_owned(),
            position,
            key: Some(self.key.clone()),
            message: message.to_string(),
        };
        let mut warnings = self.reader.warnings.borrow_mut();
        warnings.push((position, warning.to_string()));
    }

    /// Where it is.
    pub(in crate::config) fn position(&self) -> Position {
        self.reader.lines.position(self.at)
    }

    fn below(&self, key: &str, span: &Range<usize>) -> Self {
        Self { reader: self.reader, key: joined(&self.key, key), at: span.start }
    }
}

/// A text of the file.
#[derive(Clone, Debug)]
pub(in crate::config) struct Text<'r, 't> {
    pub(in crate::config) spot: Spot<'r, 't>,
    pub(in crate::config) text: String,
}

impl Text<'_, '_> {
    /// What `parse` makes of it; its error is a fault.
    pub(in crate::config) fn parse<T, E: Display>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(&self.text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.spot.fault(error);
                None
            }
        }
    }
}

/// A value of the file.
#[derive(Debug)]
pub(in crate::config) struct Item<'r, 't> {
    pub(in crate::config) spot: Spot<'r, 't>,
    pub(in crate::config) value: DeValue<'t>,
}

impl<'r, 't> Item<'r, 't> {
    /// A text; `expected` says which, where it is something else.
    pub(in crate::config) fn text(self, expected: &str) -> Option<Text<'r, 't>> {
        match self.value {
            DeValue::String(text) => Some(Text { spot: self.spot, text: text.into_owned() }),
            _ => self.mismatch(&format!("{expected}, in quotes")),
        }
    }

    /// An array of texts.
    pub(in crate::config) fn texts(self) -> Option<Vec<Text<'r, 't>>> {
        let DeValue::Array(array) = self.value else {
            return self.mismatch("an array of strings, as [\"a\", \"b\"]");
        };
        let items = array.into_iter().map(|value| Item {
            spot: Spot { at: value.span().start, ..self.spot.clone() },
            value: value.into_inner(),
        });
        Some(items.filter_map(|item| item.text("a string")).collect())
    }

    /// A whole number within a range.
    pub(in crate::config) fn number<T: TryFrom<i64>>(
        self,
        range: RangeInclusive<i64>,
    ) -> Option<T> {
        let (least, most) = (range.start(), range.end());
        let DeValue::Integer(number) = &self.value else {
            return self.mismatch(&format!("an integer from {least} to {most}, without quotes"));
        };
        let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
        let parsed = parsed.filter(|number| range.contains(number));
        if parsed.is_none() {
            self.spot.fault(format!("{number} is out of range; expected {least} to {most}"));
        }
        T::try_from(parsed?).ok()
    }

    /// A table; `None` (and a fault) for anything else.
    fn table(self, expected: &str) -> Option<Table<'r, 't>> {
        match self.value {
            DeValue::Table(entries) => Some(Table { spot: self.spot, entries }),
            _ => self.mismatch(expected),
        }
    }

    /// Records that another type was expected.
    pub(in crate::config) fn mismatch<T>(&self, expected: &str) -> Option<T> {
        let found = match &self.value {
            DeValue::String(text) => {
                let short: String = text.chars().take(60).collect();
                format!("the string {short:?}")
            }
            DeValue::Integer(number) => format!("the integer {number}"),
            DeValue::Float(number) => format!("the float {number}"),
            DeValue::Boolean(flag) => format!("the boolean {flag}"),
            DeValue::Datetime(time) => format!("the date or time {time}"),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        self.spot.fault(format!("is {found}; expected {expected}"));
        None
    }
}

/// A table of the file, whose keys are taken out.
#[derive(Debug)]
pub(in crate::config) struct Table<'r, 't> {
    pub(in crate::config) spot: Spot<'r, 't>,
    entries: DeTable<'t>,
}

impl<'r, 't> Table<'r, 't> {
    /// All of a file.
    pub(super) fn top(reader: &'r Reader<'t>, entries: DeTable<'t>) -> Self {
        let (key, at) = (String::new(), 0);
        let spot = Spot { reader, key, at };
        Table { spot, entries }
    }

    /// The value of `key`, if it is there.
    pub(in crate::config) fn take(&mut self, key: &'static str) -> Option<Item<'r, 't>> {
        let mut known = self.spot.reader.known.borrow_mut();
        known.entry(self.spot.key.clone()).or_default().insert(key);
        let value = self.entries.remove(key)?;
        Some(Item { spot: self.spot.below(key, &value.span()), value: value.into_inner() })
    }

    /// Whether `key` is there, right or wrong, and no empty array.
    pub(in crate::config) fn says(&self, key: &str) -> bool {
        let value = self.entries.get(key).map(toml::Spanned::get_ref);
        value.is_some_and(|value| value.as_array().is_none_or(|array| !array.is_empty()))
    }

    /// The text of `key`; `expected` says which, where it is something else.
    pub(in crate::config) fn text(
        &mut self,
        key: &'static str,
        expected: &str,
    ) -> Option<Text<'r, 't>> {
        self.take(key)?.text(expected)
    }

    /// The texts of `key`; nothing where it is absent.
    pub(in crate::config) fn texts(&mut self, key: &'static str) -> Option<Vec<Text<'r, 't>>> {
        self.take(key)?.texts()
    }

    /// The text of `key`, or its texts: one may do without the brackets. Nothing where it
    /// is absent.
    pub(in crate::config) fn text_or_texts(
        &mut self,
        key: &'static str,
        expected: &str,
    ) -> Option<Vec<Text<'r, 't>>> {
        let item = self.take(key)?;
        match &item.value {
            DeValue::Array(_) => item.texts(),
            _ => item.text(expected).map(|text| vec![text]),
        }
    }

    /// The word of `key`.
    pub(in crate::config) fn word<T: FromStr<Err: Display>>(
        &mut self,
        key: &'static str,
        expected: &str,
    ) -> Option<T> {
        self.text(key, expected)?.parse(str::parse)
    }

    /// The whole number of `key`.
    pub(in crate::config) fn number<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<T> {
        self.take(key)?.number(range)
    }

    /// Yes or no.
    pub(in crate::config) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let item = self.take(key)?;
        match item.value {
            DeValue::Boolean(flag) => Some(flag),
            _ => item.mismatch("true or false, without quotes"),
        }
    }

    /// The table of `key`, if it is there.
    pub(in crate::config) fn table(&mut self, key: &'static str, expected: &str) -> Option<Self> {
        self.take(key)?.table(expected)
    }

    /// The table of `key`, an empty one where it is absent.
    pub(in crate::config) fn section(&mut self, key: &'static str) -> Self {
        let expected = format!("a section that begins with [{key}]");
        self.table(key, &expected).unwrap_or_else(|| Table {
            spot: self.spot.below(key, &(0..0)),
            entries: DeTable::new(),
        })
    }

    /// The tables of `[[key]]`.
    pub(in crate::config) fn tables(&mut self, key: &'static str) -> Vec<Self> {
        let expected = format!("tables, each of which begins with [[{key}]]");
        let Some(item) = self.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = item.value else {
            item.mismatch::<()>(&expected);
            return Vec::new();
        };
        let table = |at: usize, value: DeValue<'t>| {
            let spot = Spot { at, ..item.spot.clone() };
            match value {
                DeValue::Table(entries) => Some(Table { spot, entries }),
                value => Item { spot, value }.mismatch(&expected),
            }
        };
        array
            .into_iter()
            .filter_map(|value| table(value.span().start, value.into_inner()))
            .collect()
    }
}

impl Drop for Table<'_, '_> {
    fn drop(&mut self) {
        let mut unknown = self.spot.reader.unknown.borrow_mut();
        for (key, _) in std::mem::take(&mut self.entries) {
            let at = key.span().start;
            unknown.push((self.spot.key.clone(), key.into_inner().into_owned(), at));
        }
    }
}
