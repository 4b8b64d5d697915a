//! An alert without its words: what is told where writing them fails, so that one
//! thing that can't be put into words does not keep all others from being told.

use super::due::Item;
use crate::{case::AlertKind, text::quoted, timestamp::Timestamp, view::Alert};
use serde_json::json;

/// Things that are named.
const MOST: usize = 30;
/// Columns of a name.
const NAME: usize = 70;

/// Says no more than whom it is about.
pub(super) fn alert(items: &[Item], id: String, now: Timestamp) -> Alert {
    let (kind, entity, case) = match items {
        [item] => {
            let case = item.due.case.as_ref().map(|file| file.case);
            (item.due.kind, item.due.entity.clone(), case)
        }
        _ => (AlertKind::Digest, None, None),
    };
    let subject = format!("[connguard] {} to be told, and no words for it", items.len());
    let mut text = "connguard failed to write what happened; please report that.\n\n".to_owned();
    for Item { due, .. } in items.iter().take(MOST) {
        let kind = json!(due.kind);
        let name = due.entity.as_ref().map(|entity| quoted(&entity.to_string(), NAME));
        let case = due.case.as_ref().map(|file| file.case.to_string());
        let of = [name, case].into_iter().flatten().collect::<Vec<_>>().join(" ");
        text.push_str(&format!("  - {} {of}\n", kind.as_str().unwrap_or_default()));
    }
    text.push_str("\n     connguard list --all\n");
    let data = json!({ "kind": kind, "at": now, "entity": entity, "case": case });
    Alert { id, kind, at: now, entity, case, in_reply_to: None, subject, text, data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{About, Due};

    #[test]
    fn it_names_whom_it_is_about() {
        let item = |name: &str| Item {
            due: Due {
                kind: AlertKind::Restricted,
                entity: name.parse().ok(),
                case: None,
                about: About::Case,
            },
            covers: Vec::new(),
            trouble: None,
        };
        let now = Timestamp::from_seconds(1_795_000_000);
        let one = alert(&[item("login:alice")], "1@mx".into(), now);
        assert_eq!(one.kind, AlertKind::Restricted);
        assert!(one.text.contains("  - restricted \"login:alice\"\n"), "{}", one.text);
        let two = alert(&[item("login:alice"), item("login:bob")], "2@mx".into(), now);
        assert_eq!((two.kind, two.entity), (AlertKind::Digest, None));
        assert!(two.text.contains("login:alice") && two.text.contains("login:bob"));
    }
}
