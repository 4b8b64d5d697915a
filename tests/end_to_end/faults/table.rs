//! Every row of README's table of what fails is above a test, word by word, and every
//! row that is above a test is in the table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The rows of the table, without its head.
fn rows(readme: &str) -> Vec<String> {
    let (_, section) = readme.split_once("## When something fails").expect("the section");
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let lines = section.lines().filter(|line| line.starts_with("| "));
    lines.skip(1).map(plain).collect()
}

/// A row however its lines are broken.
fn plain(row: &str) -> String {
    row.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The rows above tests, with the test.
fn shown(file: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(file).expect("a test file");
    let mut shown = BTreeMap::new();
    let mut docs = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            docs.push(doc.trim());
        } else if line == "#[test]" {
            is_test = true;
        } else if !line.starts_with("#[") {
            // Behind a row others may follow.
            let doc = docs.join(" ");
            for row in doc.split(" || ").filter(|row| row.trim().starts_with("| ")) {
                let ends = row.rfind('|').expect("a row") + 1;
                assert!(is_test, "{}: a row above what is no test: {row}", file.display());
                shown.insert(plain(&row[..ends]), line.to_owned());
            }
            docs.clear();
            is_test = false;
        }
    }
    shown
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the tests");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let files = paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|it| it == "rs")).collect()
}

#[test]
fn every_row_of_the_readme_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows = rows(&std::fs::read_to_string(root.join("README.md")).expect("README.md"));
    assert!(rows.len() > 20, "{rows:#?}");
    let files = sources(&root.join("tests/end_to_end"));
    let shown: BTreeMap<_, _> = files.iter().flat_map(|file| shown(file)).collect();
    let bare: Vec<_> = rows.iter().filter(|row| !shown.contains_key(*row)).collect();
    assert!(bare.is_empty(), "rows without a test: {bare:#?}");
    let stale: Vec<_> = shown.iter().filter(|(row, _)| !rows.contains(row)).collect();
    assert!(stale.is_empty(), "tests whose row is not in README.md: {stale:#?}");
}
