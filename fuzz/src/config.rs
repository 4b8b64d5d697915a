//! A configuration, and the files that it names.
//!
//! The input is the configuration, then after each NUL a file of lists or secrets:
//! `/1`, `/2` and so on.

use connguard::config::{self, Faults};
use std::path::Path;

const PATH: &str = "/connguard.toml";

/// A configuration with its files.
pub fn run(data: &[u8]) {
    let parts: Vec<&[u8]> = data.split(|byte| *byte == 0).collect();
    let (text, files) = parts.split_first().expect("a split has a part");
    let file = |path: &Path| {
        let number: usize = path.to_str()?.strip_prefix('/')?.parse().ok()?;
        files.get(number.checked_sub(1)?).map(|file| file.to_vec())
    };
    // Programs and the mode of files are looked at on this host: not among devices.
    let read = |text: &[u8]| {
        config::fuzz::parse(Path::new(PATH), text, {
            let files: Vec<Vec<u8>> = files.iter().map(|file| file.to_vec()).collect();
            move |path: &Path| {
                let number: usize = path.to_str()?.strip_prefix('/')?.parse().ok()?;
                files.get(number.checked_sub(1)?).cloned()
            }
        })
    };
    match read(text) {
        Ok(config) => {
            let said = config::summary(&config);
            assert!(!said.is_empty());
            for line in &said {
                assert!(!line.contains(['\n', '\r', '\u{1b}']), "{line:?}");
            }
            assert_eq!(config.sources.first().map(|it| &**it), Some(Path::new(PATH)));
            assert!((16..=10_000_000).contains(&config.state.max_connectors));
            // A line more or less at its end says nothing else.
            let more = [text, &b"\n# the end\n"[..]].concat();
            let again = read(&more).unwrap_or_else(|faults| panic!("{faults}"));
            assert_eq!(config::summary(&again), said, "with a comment behind it");
        }
        Err(faults) => named(&faults, text, &file),
    }
}

/// Each fault names a file that there is, and a place in it.
fn named(faults: &Faults, text: &[u8], file: &dyn Fn(&Path) -> Option<Vec<u8>>) {
    assert!(faults.iter().count() > 0, "no fault, and no configuration");
    for fault in faults.iter() {
        let octets =
            if fault.file == Path::new(PATH) { Some(text.to_vec()) } else { file(&fault.file) };
        let octets = octets.unwrap_or_else(|| panic!("{fault}: there is no such file"));
        let place = fault.position.unwrap_or_else(|| panic!("{fault}: where?"));
        let lines: Vec<&[u8]> = octets.split(|byte| *byte == b'\n').collect();
        assert!((1..=lines.len()).contains(&place.line), "{fault}: has {} lines", lines.len());
        let line = String::from_utf8_lossy(lines[place.line - 1]);
        assert!((1..=line.chars().count() + 1).contains(&place.column), "{fault}: {line:?}");
        assert!(!fault.message.trim().is_empty());
        assert!(!fault.to_string().contains(['\r', '\u{1b}', '\0']), "{:?}", fault.to_string());
    }
}
