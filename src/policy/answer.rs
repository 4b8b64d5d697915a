//! From a verdict to what Postfix is told: an action of access(5), never `OK`.

use crate::verdict::Verdict;

/// What lets the next restriction decide.
pub(super) const PASS: &str = "DUNNO";

/// The action that a verdict is. At a recipient, what is held is the whole message.
pub(super) fn action(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => PASS.to_owned(),
        Verdict::Refuse(reply) => {
            format!("{} {} {}", reply.code(), reply.enhanced(), one_line(reply.text()))
        }
        Verdict::Hold(reason) => format!("HOLD {}", one_line(reason)),
    }
}

/// A line break would begin another attribute.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Class, Reply};

    #[test]
    fn actions() {
        let refused = |class| action(&Verdict::Refuse(Reply::new(class, "50% off, case C-000001")));
        assert_eq!(action(&Verdict::Pass), "DUNNO");
        assert_eq!(refused(Class::Tempfail), "451 4.7.1 50% off, case C-000001");
        assert_eq!(refused(Class::Reject), "550 5.7.1 50% off, case C-000001");
        assert_eq!(refused(Class::Disconnect), "421 4.7.1 50% off, case C-000001");
        assert_eq!(action(&Verdict::Hold("a\n\naction=OK".into())), "HOLD a  action=OK");
    }
}
