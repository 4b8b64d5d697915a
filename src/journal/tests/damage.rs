//! Segments that are torn, damaged or foreign.

use super::*;

/// Two segments' worth of changes; the newest has live lines and changes.
fn written(folder: &Path) -> Vec<(Entity, Standing)> {
    let daemon = Daemon::start(folder);
    for n in 0..3 {
        restrict(&daemon.table, n);
    }
    daemon.handle.stop().unwrap();
    drop(daemon);
    let daemon = Daemon::start(folder);
    for n in 3..6 {
        restrict(&daemon.table, n);
    }
    lift(&daemon.table, 0);
    daemon.handle.stop().unwrap();
    daemon.in_force()
}

fn lines(content: &[u8]) -> Vec<&[u8]> {
    content.split_inclusive(|byte| *byte == b'\n').collect()
}

/// What is restored and what is said when the newest segment is `content`.
fn with_newest(folder: &Path, content: &[u8]) -> (Vec<(Entity, Standing)>, Vec<String>) {
    fs::write(segment(folder, 2), content).unwrap();
    after_crash(folder)
}

fn names(in_force: &[(Entity, Standing)]) -> Vec<String> {
    in_force.iter().map(|(who, _)| who.to_string()).collect()
}

#[test]
fn a_torn_end_costs_only_the_torn_line() {
    let folder = tempfile::tempdir().unwrap();
    let all = written(folder.path());
    let content = fs::read(segment(folder.path(), 2)).unwrap();
    let last = lines(&content).last().unwrap().len();
    let start = content.len() - last;
    // Before the lift of user0, which is the last line.
    let (before, warnings) = with_newest(folder.path(), &content[..start]);
    assert_eq!(warnings, [""; 0]);
    assert!(before[0].1.restriction.is_some() && all[0].1.restriction.is_none());
    for end in start + 1..content.len() - 1 {
        let (restored, warnings) = with_newest(folder.path(), &content[..end]);
        assert_eq!(restored, before, "cut at {end}");
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("journal-000002.log"), "{warnings:?}");
        assert!(warnings[0].contains(&format!("last {} bytes", end - start)));
    }
    // The whole line without its line feed, and a tail of zeros behind it.
    let whole = &content[..content.len() - 1];
    assert_eq!(with_newest(folder.path(), whole), (all.clone(), vec![]));
    let zeros = [&content[..], &[0; 500]].concat();
    let (restored, warnings) = with_newest(folder.path(), &zeros);
    assert_eq!((restored, warnings.len()), (all, 1));
}

#[test]
fn a_torn_end_is_nothing_to_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let content = fs::read(segment(folder.path(), 2)).unwrap();
    fs::write(segment(folder.path(), 2), &content[..content.len() - 5]).unwrap();
    let daemon = Daemon::start(folder.path());
    assert_eq!(daemon.warnings.len(), 1);
    assert_eq!(daemon.handle.status().set_aside, [""; 0].map(PathBuf::from));
}

#[test]
fn a_damaged_line_costs_that_line_and_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let all = written(folder.path());
    let mut content = fs::read(segment(folder.path(), 2)).unwrap();
    // Line 1 is the head, 2 to 4 are live, 5 is the change of user3.
    let at_line: usize = lines(&content)[..4].iter().map(|line| line.len()).sum();
    content[at_line + 40] ^= 1;
    fs::write(segment(folder.path(), 2), &content).unwrap();

    let daemon = Daemon::start(folder.path());
    let mut rest = all.clone();
    rest.retain(|(who, _)| *who != client(3));
    assert_eq!(daemon.in_force(), rest);
    assert!(daemon.warnings[0].contains("line 5"), "{:?}", daemon.warnings);
    let aside = folder.path().join("damaged-000002-1.log");
    assert_eq!(daemon.handle.status().set_aside, std::slice::from_ref(&aside));
    assert_eq!(fs::read(&aside).unwrap(), content);
    assert!(daemon.handle.status().healthy);
    daemon.handle.stop().unwrap();
    drop(daemon);

    // It is reported until somebody removes it, but not found anew.
    let daemon = Daemon::start(folder.path());
    assert_eq!((daemon.warnings.len(), daemon.in_force()), (0, rest));
    assert_eq!(daemon.handle.status().set_aside, std::slice::from_ref(&aside));
    fs::remove_file(aside).unwrap();
    // Seen when it is idle, which it is at times.
    let is_gone = || daemon.handle.status().set_aside.is_empty();
    let pause = Duration::from_millis(10);
    let seen = (0..2000).any(|_| {
        std::thread::sleep(pause);
        is_gone()
    });
    assert!(seen, "nobody sees that it is gone");
}

#[test]
fn a_start_that_fails_midway_does_not_set_aside_twice() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let mut content = fs::read(segment(folder.path(), 2)).unwrap();
    content[20] ^= 1;
    fs::write(segment(folder.path(), 2), &content).unwrap();
    for _ in 0..3 {
        let (_, recovered) = Journal::open(folder.path()).unwrap();
        assert_eq!(recovered.set_aside.len(), 1);
    }
}

#[test]
fn any_damaged_byte_costs_at_most_the_change_that_it_hits() {
    let folder = tempfile::tempdir().unwrap();
    let all = names(&written(folder.path()));
    let content = fs::read(segment(folder.path(), 2)).unwrap();
    let starts: Vec<usize> = lines(&content)
        .iter()
        .scan(0, |start, line| Some(std::mem::replace(start, *start + line.len())))
        .collect();
    // All bytes about the ends of lines, and a sample of the others.
    let near = |at: usize| starts.iter().any(|start| start.abs_diff(at) <= 2);
    let hits = (0..content.len()).filter(|at| at % 11 == 0 || near(*at));
    for (hit, byte) in hits.flat_map(|at| [(at, b'\n'), (at, 0), (at, b'{')]) {
        let mut damaged = content.clone();
        damaged[hit] = byte;
        let (restored, warnings) = with_newest(folder.path(), &damaged);
        let line = starts.iter().filter(|start| **start <= hit).count();
        let missing: Vec<_> = all.iter().filter(|name| !names(&restored).contains(name)).collect();
        // Lines 5 to 7 restrict user3 to user5; all that is before them is in
        // the first segment too, and line 8 lifts user0.
        let is_feed = content[hit] == b'\n';
        let allowed = match line {
            5..=7 if !is_feed => vec![format!("login:user{}", line - 2)],
            _ => vec![],
        };
        assert!(
            missing.is_empty() || missing.len() == 1 && *missing[0] == allowed[0],
            "byte {hit} of line {line}: {missing:?} is missing"
        );
        // The last line feed is not missed.
        let changed = damaged != content && hit + 1 < content.len();
        assert!(!changed || !warnings.is_empty(), "byte {hit}");
    }
}

#[test]
fn a_lost_beginning_is_completed_from_the_segments_before() {
    let folder = tempfile::tempdir().unwrap();
    let all = written(folder.path());
    let content = fs::read(segment(folder.path(), 2)).unwrap();
    for cut in [0, 10, 200, 700] {
        let (restored, warnings) = with_newest(folder.path(), &content[cut + 1..]);
        assert_eq!(restored, all, "without the first {cut} bytes");
        assert!(warnings[0].contains("segments before"), "{warnings:?}");
    }
    let (restored, warnings) = with_newest(folder.path(), b"");
    assert_eq!(names(&restored), ["login:user0", "login:user1", "login:user2"]);
    assert_eq!(warnings.len(), 1);
}

#[test]
fn without_earlier_segments_what_is_good_is_kept_and_no_number_comes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let all = written(folder.path());
    fs::remove_file(segment(folder.path(), 1)).unwrap();
    let mut content = fs::read(segment(folder.path(), 2)).unwrap();
    content[30] ^= 1;
    fs::write(segment(folder.path(), 2), &content).unwrap();
    let daemon = Daemon::start(folder.path());
    assert_eq!(daemon.in_force(), all);
    assert_eq!(restrict(&daemon.table, 50), 8);
    let case = daemon.table.in_force(&client(50), at(3)).unwrap();
    assert_eq!(case.restriction.case, CaseId(7));
}

#[test]
fn history_leaves_out_what_is_damaged_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let mut content = fs::read(segment(folder.path(), 1)).unwrap();
    let at_line: usize = lines(&content)[..2].iter().map(|line| line.len()).sum();
    content[at_line + 40] ^= 1;
    fs::write(segment(folder.path(), 1), &content).unwrap();
    let all = history(folder.path(), None).unwrap();
    let numbers: Vec<_> = all.records.iter().map(|it| it.seq).collect();
    assert_eq!(numbers, [1, 3, 4, 5, 6, 7]);
    assert_eq!(all.warnings.len(), 1);
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path());
    let mut newer = Vec::new();
    let head = serde_json::json!({"connguard_journal": 2, "anything": []});
    format::write_line(&mut newer, &head).unwrap();
    fs::write(segment(folder.path(), 3), newer).unwrap();
    let error = Journal::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("journal-000003.log"), "{error}");
    assert!(error.contains("format 2"), "{error}");
    let trail = history(folder.path(), None).unwrap();
    assert_eq!((trail.records.len(), trail.warnings.len()), (7, 1));
}
