//! Files of cases.

use super::site::START;
use connguard::{
    case::{Book, CaseFile},
    cases::fuzz::{read, write},
    record::CaseId,
    view::CaseView,
};
use std::sync::Arc;

/// The octets of the file of case 1.
pub fn run(octets: &[u8]) {
    let Some(file) = read(octets, CaseId(1)) else { return };
    assert_eq!(file.case, CaseId(1), "a file of another case");
    let written = write(&file).unwrap();
    assert!(written.lines().all(|line| !line.contains(char::is_control)), "{written:?}");
    assert_eq!(read(written.as_bytes(), CaseId(1)).as_ref(), Some(&file), "written and read");
    let view = CaseView::new(file.clone());
    assert!(!view.sentence.is_empty());
    let json = serde_json::to_string(&view).unwrap();
    assert!(!json.bytes().any(|byte| byte < b' '));
    // The book takes it, and gives back the same case.
    let book = Arc::new(Book::default());
    book.restore(vec![file.clone()]);
    assert_eq!(book.get(CaseId(1)).map(|back| back.root), Some(file.root.clone()));
    goes_on(&book, file);
}

/// What comes later is added to whatever the file held.
fn goes_on(book: &Book, file: CaseFile) {
    let now = START;
    book.count(CaseId(1), 3, 1, now);
    book.suspect(CaseId(1), &file.root, Vec::new(), now);
    let mut material = file.material;
    for top in [&material.senders, &material.clients, &material.helos] {
        for count in &top.counts {
            assert!(count.at_least() <= count.count, "{count:?}");
        }
    }
    material.timeline.note(1, 2, now);
    material.senders.note("b@odd.test", true);
    material.since = now;
    book.collect(CaseId(1), material);
    book.close_what_is_over(now, |_| false);
    let after = book.get(CaseId(1)).expect("it is there");
    assert!(after.refused >= 3 && after.held >= 1, "counts went back");
    let written = write(&after).unwrap();
    assert_eq!(read(written.as_bytes(), CaseId(1)).as_ref(), Some(&after), "written later");
}
