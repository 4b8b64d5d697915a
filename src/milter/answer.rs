//! From a verdict to what the MTA is told, in one place: a status and a reply
//! text that do not belong together would go out as the plain default, and the
//! text would wait for the next refusal.

use crate::verdict::{Class, Reply};
use indymilter::{SetErrorReply, Status};

/// Sets the reply and gives the status that goes with it.
pub(super) fn refuse(slot: &mut impl SetErrorReply, reply: &Reply) -> Status {
    let text = wire_text(reply.text());
    // It fails only for a text that no reply line can carry. The status stands
    // without it.
    let set = slot.set_error_reply(reply.code(), Some(reply.enhanced()), [text.as_str()]);
    if let Err(error) = set {
        tracing::warn!(%error, reply = reply.text(), "can't set the text of a refusal");
    }
    match reply.class() {
        // 421 is a transient code too, and Postfix hangs up at it.
        Class::Tempfail | Class::Disconnect => Status::Tempfail,
        Class::Reject => Status::Reject,
    }
}

/// Postfix takes a single `%` for the begin of something that it expands, and
/// leaves it out.
fn wire_text(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;
    use indymilter::{IntoCString, SmtpReplyError};

    #[derive(Default)]
    struct Slot(Vec<String>);

    impl SetErrorReply for Slot {
        fn set_error_reply<I, T>(
            &mut self,
            code: &str,
            enhanced: Option<&str>,
            message: I,
        ) -> Result<(), SmtpReplyError>
        where
            I: IntoIterator<Item = T>,
            T: IntoCString,
        {
            let lines = message.into_iter().map(IntoCString::into_c_string);
            let text: Vec<_> = lines.map(|line| line.to_string_lossy().into_owned()).collect();
            self.0.push(format!("{code} {} {}", enhanced.unwrap_or(""), text.join("|")));
            Ok(())
        }
    }

    #[test]
    fn code_and_status_belong_together() {
        for (class, line, status) in [
            (Class::Tempfail, "451 4.7.1 50%% off", Status::Tempfail),
            (Class::Reject, "550 5.7.1 50%% off", Status::Reject),
            (Class::Disconnect, "421 4.7.1 50%% off", Status::Tempfail),
        ] {
            let mut slot = Slot::default();
            assert_eq!(refuse(&mut slot, &Reply::new(class, "50% off")), status);
            assert_eq!(slot.0, [line]);
        }
    }
}
