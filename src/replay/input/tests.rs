#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
use super::*;
use crate::maillog::Event;
use std::fs::File;
use tempfile::TempDir;

fn line(stamp: &str, id: &str) -> String {
    format!("{stamp} mx postfix/qmgr[9]: {id}: removed\n")
}

/// Files with their content and the time of their last change.
fn files(folder: &TempDir, files: &[(&str, String, &str)]) -> Vec<PathBuf> {
    let write = |(name, content, changed): &(&str, String, &str)| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let at: Timestamp = changed.parse().unwrap();
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(at.as_millis());
        File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
        path
    };
    files.iter().map(write).collect()
}

fn read(paths: &[PathBuf], year: Option<i16>) -> (Vec<(String, String)>, Input) {
    let now = "2026-11-22T00:00:00Z".parse().unwrap();
    let mut input = Input::open(paths, year, now, &Arc::default()).unwrap();
    let mut lines = Vec::new();
    loop {
        match input.next_line() {
            Next::Line(at, line) => {
                let Event::Removed { queue_id } = line.line().unwrap().event else { continue };
                lines.push((at.to_string()[..10].to_owned(), queue_id.to_owned()));
            }
            Next::NotYet => {}
            Next::End => return (lines, input),
        }
    }
}

fn ids(lines: &[(String, String)]) -> Vec<&str> {
    lines.iter().map(|(_, id)| id.as_str()).collect()
}

#[test]
fn logs_are_merged_by_time_whatever_their_order() {
    let folder = TempDir::new().unwrap();
    let stamp = |second: u32| format!("2026-03-02T10:00:{second:02}Z");
    let of = |lines: &[(u32, &str)]| {
        lines.iter().map(|(second, id)| line(&stamp(*second), id)).collect::<String>()
    };
    let changed = "2026-03-03T00:00:00Z";
    let paths = files(
        &folder,
        &[
            ("late", of(&[(30, "AAAA06"), (40, "AAAA07")]), changed),
            ("other", of(&[(5, "AAAA02"), (35, "AAAA08")]), changed),
            ("nothing", "no line\n".into(), changed),
            ("early", of(&[(1, "AAAA01"), (10, "AAAA03")]), changed),
        ],
    );
    let (lines, input) = read(&paths, None);
    assert_eq!(ids(&lines), ["AAAA01", "AAAA02", "AAAA03", "AAAA06", "AAAA08", "AAAA07"]);
    assert_eq!((input.counts().lines, input.counts().all_skipped()), (7, 1));
    let (read, total) = input.octets();
    assert_eq!(Some(read), total);
}

#[test]
fn a_file_that_is_named_twice_is_read_once() {
    let folder = TempDir::new().unwrap();
    let log = line("2026-03-02T10:00:01Z", "AAAA01");
    let mut paths = files(&folder, &[("mail.log", log, "2026-03-03T00:00:00Z")]);
    std::os::unix::fs::symlink("mail.log", folder.path().join("link")).unwrap();
    paths.push(folder.path().join("link"));
    let (lines, input) = read(&paths, None);
    assert_eq!(ids(&lines), ["AAAA01"]);
    let [warning] = input.warnings() else { return assert_eq!(input.warnings(), [""]) };
    assert!(warning.contains("link is a file that was named before"), "{warning}");
}

#[test]
fn nuls_of_a_truncated_file_are_no_part_of_its_first_line() {
    let folder = TempDir::new().unwrap();
    let log = "\0".repeat(1 << 20) + &line("2026-03-02T10:00:01Z", "AAAA01");
    let paths = files(&folder, &[("mail.log", log, "2026-03-03T00:00:00Z")]);
    let (lines, input) = read(&paths, None);
    assert_eq!((ids(&lines), input.counts().all_skipped()), (vec!["AAAA01"], 0));
}

#[test]
fn the_year_is_that_of_the_file_or_the_given_one() {
    let folder = TempDir::new().unwrap();
    let paths = files(
        &folder,
        &[
            (
                "mail.log.1",
                line("Dec 31 23:59:59", "AAAA01") + &line("Jan  1 00:00:01", "AAAA02"),
                "2024-01-01T12:00:00Z",
            ),
            ("mail.log", line("Jan  2 00:00:01", "AAAA03"), "2024-01-02T12:00:00Z"),
        ],
    );
    let years = |year| {
        let (lines, _) = read(&paths, year);
        lines.iter().map(|(date, _)| date[..4].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(years(None), ["2023", "2024", "2024"]);
    assert_eq!(years(Some(2019)), ["2019", "2020", "2020"]);
    let now = Timestamp::from_seconds(1_790_000_000);
    assert!(matches!(
        Input::open(&paths, Some(-3), now, &Arc::default()),
        Err(InputError::Year(-3))
    ));
}
