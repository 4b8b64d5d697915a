//! What of an entity may be in the queue of Postfix, on a terminal.

use super::Page;
use crate::{text::shell_word, view::ShowView};

/// Messages that are shown; JSON has all.
const MOST: usize = 20;

impl Page {
    /// Queue ids that there is something to do about.
    pub(super) fn queue(&mut self, view: &ShowView) {
        let title = match view.queue.len() {
            1 => "In the queue of Postfix: 1 message".to_owned(),
            all => format!("In the queue of Postfix: {all} messages"),
        };
        let doubt = if view.queue_followed {
            ""
        } else {
            "; without a mail log nobody says which of them left it: see postqueue -p"
        };
        self.heading(&format!("{title}{doubt}"));
        // The newest are those that an operator looks for.
        let older = view.queue.len().saturating_sub(MOST);
        if older > 0 {
            self.item(&format!("{older} older ones (--json has all)"));
        }
        for message in view.queue.iter().skip(older) {
            let held = if message.held { "  on hold" } else { "" };
            self.item(&format!("{}  {}{held}", message.since.local(), message.queue_id));
        }
        let entity = view.entity.to_string();
        let entity = shell_word(&entity);
        self.item(&format!(
            "put on hold: connguard hold {entity}; let go: connguard release {entity}"
        ));
    }
}
