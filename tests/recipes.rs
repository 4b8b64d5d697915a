//! What docs/recipes.md tells an operator to write is taken by connguard and by Postfix.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use connguard::config;
use std::{fs, path::Path, process::Command};

/// The blocks of a kind, each with the heading above it.
fn blocks(kind: &str) -> Vec<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes.md");
    let (mut heading, mut block, mut blocks) = (String::new(), None::<String>, Vec::new());
    for line in fs::read_to_string(page).unwrap().lines() {
        if let Some(text) = &mut block {
            if line == "```" {
                blocks.extend(block.take().map(|text| (heading.clone(), text)));
            } else {
                text.push_str(line);
                text.push('\n');
            }
        } else if let Some(text) = line.strip_prefix("## ") {
            text.clone_into(&mut heading);
        } else if line == format!("```{kind}") {
            block = Some(String::new());
        }
    }
    blocks
}

#[test]
fn configurations_are_accepted_and_as_they_are_meant() {
    let blocks = blocks("toml");
    assert!(blocks.len() >= 10, "{blocks:?}");
    let folder = tempfile::tempdir().unwrap();
    let domains = folder.path().join("domains");
    fs::write(&domains, "brewery.example\n").unwrap();
    let names = ["mx.example.org".to_owned()];
    for (heading, text) in blocks {
        // Files of the operator's own.
        let lines = text.lines().map(|line| match line.split_once("_file = ") {
            Some((key, _)) => format!("{key}_file = {:?}\n", domains.display().to_string()),
            None => format!("{line}\n"),
        });
        let text: String = lines.collect();
        let path = folder.path().join("connguard.toml");
        let config = config::parse(&path, text.as_bytes(), &names);
        let config = config.unwrap_or_else(|faults| panic!("{heading}: {faults}"));
        // A fragment may lack what other sections say; nothing else may be odd.
        let expected = ["registered", "inbound_domains is empty", "forwarder"];
        for warning in config.warnings {
            let is_expected = expected.iter().any(|part| warning.contains(part));
            assert!(is_expected, "{heading}: {warning}");
        }
    }
}

#[test]
fn postfix_knows_the_parameters() {
    let blocks = blocks("main.cf");
    assert!(blocks.len() >= 6, "{blocks:?}");
    for (heading, text) in blocks {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("main.cf"), &text).unwrap();
        fs::write(folder.path().join("master.cf"), "smtp inet n - y - - smtpd\n").unwrap();
        check(&heading, folder.path(), "-n", text.matches("\n").count());
    }
    for (heading, text) in self::blocks("master.cf") {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("main.cf"), "compatibility_level = 3.6\n").unwrap();
        fs::write(folder.path().join("master.cf"), &text).unwrap();
        check(&heading, folder.path(), "-P", text.matches(" -o ").count());
    }
}

/// postconf shows this many settings and complains of none.
fn check(heading: &str, folder: &Path, what: &str, settings: usize) {
    let output = Command::new("postconf").arg("-c").arg(folder).arg(what).output().unwrap();
    let (said, complaints) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && complaints.is_empty(), "{heading}: {complaints}");
    let said = String::from_utf8_lossy(&said);
    let of_ours = said.lines().filter(|line| !line.starts_with("config_directory = "));
    assert_eq!(of_ours.count(), settings, "{heading}: {said}");
}
