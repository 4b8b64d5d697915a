//! Files of cases.

use connguard::{
    case::Book,
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
    assert_eq!(book.get(CaseId(1)).map(|back| back.root), Some(file.root));
}
