//! The command of an administrator that alerts are handed to: it keeps what
//! comes on its standard input, one file a call.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{set_mode, wait_for};

/// The command.
pub(crate) struct Pager {
    script: PathBuf,
    dir: PathBuf,
}

impl Pager {
    /// Makes the command below this directory.
    pub(crate) fn create(dir: &Path) -> Self {
        let pager = Self { script: dir.join("page-me"), dir: dir.join("pages") };
        std::fs::create_dir_all(&pager.dir).expect("a directory for pages");
        let dir = pager.dir.display();
        // Renamed when it is whole, so that a test never reads half of it.
        let text = format!(
            "#!/bin/sh\nset -e\nfile=$(mktemp {dir}/.page.XXXXXX)\ncat >\"$file\"\n\
             mv \"$file\" {dir}/page.\"${{file##*.}}\"\n"
        );
        std::fs::write(&pager.script, text).expect("a script");
        set_mode(&pager.script, 0o755);
        pager
    }

    /// What the configuration calls.
    pub(crate) fn command(&self) -> String {
        self.script.display().to_string()
    }

    /// What it was given, in any order.
    pub(crate) fn pages(&self) -> Vec<Value> {
        let entries = std::fs::read_dir(&self.dir).expect("the directory of pages");
        let paths = entries.map(|entry| entry.expect("a page").path());
        let whole = paths.filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !name.starts_with('.')
        });
        let read = |path: PathBuf| {
            let text = std::fs::read_to_string(path).expect("a page");
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"))
        };
        whole.map(read).collect()
    }

    /// Waits until it was called `n` times; more are a failure.
    #[track_caller]
    pub(crate) fn wait_for(&self, n: usize, deadline: Duration) -> Vec<Value> {
        let pages = wait_for(
            &format!("{n} calls of the alert command"),
            deadline,
            || format!("{:#?}", self.pages()),
            || Some(self.pages()).filter(|pages| pages.len() >= n),
        );
        assert_eq!(pages.len(), n, "{pages:#?}");
        pages
    }
}
