//! How fast changes reach the disk: real files in a temporary folder, every sync
//! made; changes that come together are written together.

use super::support::disk::Kept;
use std::{fmt::Write, sync::Arc};

pub(crate) fn measure(table: &mut String, quick: bool) {
    let (runs, changes) = if quick { (2, 256) } else { (10, 2048) };
    let _ = writeln!(
        table,
        "The journal, {changes} changes in a run, files in {}: the fastest of {runs} runs, and \
         syncs a change in all of them.\n\n\
         | who wait | changes/s | syncs a change |\n|---:|---:|---:|",
        std::env::temp_dir().display()
    );
    for waiters in [1, 64] {
        let kept = Arc::new(Kept::new(true));
        let before = kept.syncs();
        let fastest = (0..runs).map(|_| kept.time_of(waiters, changes)).min().unwrap();
        let syncs = (kept.syncs() - before) as f64 / (runs * changes) as f64;
        let rate = changes as f64 / fastest.as_secs_f64();
        let _ = writeln!(table, "| {waiters} | {rate:.0} | {syncs:.3} |");
    }
}
