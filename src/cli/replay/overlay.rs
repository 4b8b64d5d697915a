//! The configuration with other values laid over it, key by key.
//!
//! What is laid over is TOML as in the file, so it is checked as the file is.

use super::super::Error;
use crate::{
    config::{self, Config},
    daemon,
    verdict::Mode,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use toml_edit::{DocumentMut, Item, Key, Table, TableLike, Value};

/// The file, as it stands.
#[derive(Debug)]
pub(super) struct Layer {
    path: PathBuf,
    text: String,
    is_missing: bool,
}

impl Layer {
    /// Reads the file, which may be missing where nobody named it.
    pub(super) fn read(path: &Path, may_be_missing: bool) -> Result<Self, Error> {
        let layer = |text, is_missing| Self { path: path.to_owned(), text, is_missing };
        match fs::read(path) {
            Ok(bytes) => {
                // Its own faults are told as `check` tells them.
                config::parse(path, &bytes, &daemon::own_names()).map_err(faults)?;
                Ok(layer(String::from_utf8_lossy(&bytes).into_owned(), false))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_be_missing => {
                Ok(layer(String::new(), true))
            }
            Err(_) => match config::load(path, &daemon::own_names()) {
                Ok(_) => Ok(layer(String::new(), true)),
                Err(error) => Err(faults(error)),
            },
        }
    }

    /// What to say of the file.
    pub(super) fn note(&self) -> Option<String> {
        self.is_missing.then(|| {
            format!(
                "there is no {}: this is what the defaults would have done; connguard suggest \
                 makes a configuration from the log",
                self.path.display()
            )
        })
    }

    /// The configuration with all of `sets` laid over it, in their order, and all
    /// connectors in one mode.
    pub(super) fn config(&self, sets: &[&[String]], mode: Mode) -> Result<Config, Error> {
        let mut document: DocumentMut = self
            .text
            .trim_start_matches('\u{feff}')
            .parse()
            .map_err(|error| Error::No(format!("{}: {error}", self.path.display())))?;
        let sets = || sets.iter().copied().flatten();
        for set in sets() {
            lay(&mut document, set).map_err(|why| Error::Usage(format!("{set:?}: {why}")))?;
        }
        one_mode(&mut document, mode);
        let text = document.to_string();
        config::parse(&self.path, text.as_bytes(), &daemon::own_names()).map_err(|faults| {
            let given: Vec<&str> = sets().map(String::as_str).collect();
            let told = faults.iter().map(|fault| match &fault.key {
                Some(key) => format!("{key}: {}", fault.message),
                None => fault.message.clone(),
            });
            let told: Vec<String> = told.collect();
            Error::Usage(format!("with {}: {}", given.join(" "), told.join("\n")))
        })
    }
}

fn faults(faults: config::Faults) -> Error {
    Error::No(faults.to_string())
}

/// Replay judges all in one mode, whatever each has.
fn one_mode(document: &mut DocumentMut, mode: Mode) {
    document.insert("mode", toml_edit::value(mode.to_string()));
    match document.get_mut("connector") {
        Some(Item::ArrayOfTables(tables)) => {
            for table in tables.iter_mut() {
                table.remove("mode");
            }
        }
        Some(Item::Value(Value::Array(array))) => {
            for table in array.iter_mut().filter_map(Value::as_inline_table_mut) {
                table.remove("mode");
            }
        }
        _ => {}
    }
}

/// Lays one `KEY=VALUE` over a document.
fn lay(document: &mut DocumentMut, set: &str) -> Result<(), String> {
    let (key, text) = set.split_once('=').ok_or("write KEY=VALUE, as judgement.throttle=false")?;
    let path = Key::parse(key.trim()).map_err(|_| {
        "the key is none; write it with its sections, as judgement.throttle".to_owned()
    })?;
    let names: Vec<&str> = path.iter().map(Key::get).collect();
    if matches!(&*names, ["mode"] | ["connector", _, "mode"]) {
        return Err("replay refuses all that is restricted; --observe refuses nothing".into());
    }
    let value = value(text)?;
    match &*names {
        [list @ ("connector" | "organization"), name, rest @ ..] => {
            lay_at(named(document, list, name)?, rest, value)
        }
        all => lay_at(document.as_table_mut(), all, value),
    }
}

/// A value as TOML writes it; a bare word is text.
fn value(text: &str) -> Result<Value, String> {
    let text = text.trim();
    let is_bare = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '[' | ']' | '{' | '}');
    match text.parse::<Value>() {
        Ok(value) => Ok(value),
        Err(_) if !text.is_empty() && text.chars().all(is_bare) => Ok(Value::from(text)),
        Err(_) => Err("the value is none; write it as in the file, as 5, true, word, \"text\" or \
                       [\"a.example\", \"b.example\"]"
            .into()),
    }
}

/// The table of a list that has this name.
fn named<'a>(
    document: &'a mut DocumentMut,
    list: &str,
    name: &str,
) -> Result<&'a mut dyn TableLike, String> {
    let is_it = |table: &dyn TableLike| {
        table.get("name").and_then(Item::as_str).is_some_and(|other| other == name)
    };
    if list == "organization" && name == "default" && !document.contains_key(list) {
        let mut table = Table::new();
        table.insert("name", toml_edit::value("default"));
        let mut tables = toml_edit::ArrayOfTables::new();
        tables.push(table);
        document.insert(list, Item::ArrayOfTables(tables));
    }
    let found: Option<&mut dyn TableLike> = match document.get_mut(list) {
        Some(Item::ArrayOfTables(tables)) => {
            tables.iter_mut().map(|table| table as &mut dyn TableLike).find(|table| is_it(*table))
        }
        Some(Item::Value(Value::Array(array))) => array
            .iter_mut()
            .filter_map(Value::as_inline_table_mut)
            .map(|table| table as &mut dyn TableLike)
            .find(|table| is_it(*table)),
        _ => None,
    };
    found.ok_or_else(|| format!("no [[{list}]] of the configuration is called {name:?}"))
}

fn lay_at(table: &mut dyn TableLike, path: &[&str], value: Value) -> Result<(), String> {
    match path {
        [] => Err("the key names a whole table; name one of its keys".into()),
        [key] => {
            table.insert(key, Item::Value(value));
            Ok(())
        }
        [key, rest @ ..] => {
            let item = table.entry(key).or_insert_with(toml_edit::table);
            let below = item
                .as_table_like_mut()
                .ok_or_else(|| format!("{key} is no section of the configuration"))?;
            lay_at(below, rest, value)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
    use super::*;

    fn laid(text: &str, sets: &[&str]) -> Result<String, String> {
        let mut document: DocumentMut = text.parse().unwrap();
        for set in sets {
            lay(&mut document, set)?;
        }
        Ok(document.to_string())
    }

    #[test]
    fn values_are_laid_over_sections_and_named_tables() {
        let file = "[judgement]\nthrottle = true\n\n[[connector]]\nname = \"erp\"\n";
        let text = laid(
            file,
            &[
                "judgement.throttle=false",
                "connector.erp.profile=bulk",
                "connector.erp.limits.messages_per_hour = 5",
                "milter.inbound_domains=[\"example.org\"]",
                "organization.default.registered_domains=[\"example.org\"]",
            ],
        );
        let parsed: toml_edit::DocumentMut = text.unwrap().parse().unwrap();
        assert_eq!(parsed["judgement"]["throttle"].as_bool(), Some(false));
        assert_eq!(parsed["connector"][0]["profile"].as_str(), Some("bulk"));
        assert_eq!(parsed["connector"][0]["limits"]["messages_per_hour"].as_integer(), Some(5));
        assert_eq!(parsed["milter"]["inbound_domains"][0].as_str(), Some("example.org"));
        assert_eq!(parsed["organization"][0]["name"].as_str(), Some("default"));
    }

    #[test]
    fn what_can_t_be_laid_is_said() {
        for (set, word) in [
            ("judgement.throttle", "KEY=VALUE"),
            ("=5", "key is none"),
            ("judgement.throttle=", "value is none"),
            ("milter.listen=[\"a", "value is none"),
            ("connector.nobody.profile=bulk", "no [[connector]]"),
            ("connector.erp=5", "whole table"),
            ("judgement.throttle.x=5", "no section"),
            ("mode=observe", "--observe"),
        ] {
            let file = "[judgement]\nthrottle = true\n[[connector]]\nname = \"erp\"\n";
            let error = laid(file, &[set]).unwrap_err();
            assert!(error.contains(word), "{set}: {error}");
        }
    }

    #[test]
    fn all_get_one_mode() {
        let mut document: DocumentMut =
            "[[connector]]\nname = \"erp\"\nmode = \"observe\"\n".parse().unwrap();
        one_mode(&mut document, Mode::Enforce);
        assert_eq!(document["mode"].as_str(), Some("enforce"));
        assert!(!document.to_string().contains("observe"));
    }
}
