//! What connguard answers: modes, actions, replies and verdicts.
//!
//! A [`Reply`] can only be built with the code that belongs to its class, so
//! that no reject ever goes out with a 4xx code or a tempfail with a 5xx one
//! (the milter protocol would then fall back to a plain default text).

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Whether a judgement has consequences for mail.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Judge, mark and tell; never refuse.
    #[default]
    Observe,
    /// Restrict what is compromised.
    Enforce,
}

/// What mail of a suspicious connector meets beyond the rate that its history
/// allows.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Throttle {
    /// 451: the client tries again later.
    Tempfail,
    /// Accepted into the hold queue of Postfix.
    Hold,
    /// Nothing.
    Off,
}

/// What a restricted entity's mail meets.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// 451: the client keeps the mail and tries again.
    #[default]
    Tempfail,
    /// 550: the client gives up and tells its sender.
    Reject,
    /// Accepted into the hold queue of Postfix.
    Hold,
}

/// Which recipients of a restricted entity are refused.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Relayed recipients; inbound ones pass.
    #[default]
    Relayed,
    /// All recipients.
    All,
}

impl Scope {
    /// Whether it is for a recipient that is `relayed`, or is not.
    pub fn meets(self, relayed: bool) -> bool {
        relayed || self == Self::All
    }
}

/// A word that is none of the expected ones.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{found:?} is not {expected}")]
pub struct WordError {
    /// What was written.
    pub found: String,
    /// The words that would have been right.
    pub expected: &'static str,
}

macro_rules! words {
    ($name:ident, $expected:literal, $($text:literal => $variant:ident),+) => {
        impl FromStr for $name {
            type Err = WordError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(WordError { found: text.into(), expected: $expected }),
                }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }
    };
}
words!(Mode, "observe or enforce", "observe" => Observe, "enforce" => Enforce);
words!(Action, "tempfail, reject or hold", "tempfail" => Tempfail, "reject" => Reject, "hold" => Hold);
words!(Scope, "relayed or all", "relayed" => Relayed, "all" => All);
words!(Throttle, "tempfail, hold or off", "tempfail" => Tempfail, "hold" => Hold, "off" => Off);

/// The class of a refusal, which settles its code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// 451 4.7.1 (RFC 3463: delivery not authorized), to be tried again.
    Tempfail,
    /// 550 5.7.1, final.
    Reject,
    /// 421 4.7.1: to be tried again, and the session ends here.
    Disconnect,
}

/// A refusal as the SMTP client reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    class: Class,
    text: String,
}

impl Reply {
    /// A refusal of `class` with `text`, of which everything that is not
    /// printable ASCII is left out: a reply line can't carry it.
    pub fn new(class: Class, text: &str) -> Self {
        let text = text.chars().filter(|c| matches!(c, ' '..='~')).collect();
        Self { class, text }
    }

    /// The class, for the status that goes with the reply.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The SMTP reply code (RFC 5321, section 4.2).
    pub fn code(&self) -> &'static str {
        match self.class {
            Class::Tempfail => "451",
            Class::Reject => "550",
            Class::Disconnect => "421",
        }
    }

    /// The enhanced status code (RFC 3463).
    pub fn enhanced(&self) -> &'static str {
        match self.class {
            Class::Tempfail | Class::Disconnect => "4.7.1",
            Class::Reject => "5.7.1",
        }
    }

    /// The text behind the codes.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code(), self.enhanced(), self.text)
    }
}

/// The answer to a recipient or to a whole message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Nothing speaks against it.
    Pass,
    /// It is refused with this reply.
    Refuse(Reply),
    /// It is accepted into the hold queue, with this reason in the log of
    /// Postfix. Only the end of a message can be answered so.
    Hold(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_keeps_code_and_class_together() {
        for (class, line) in [
            (Class::Tempfail, "451 4.7.1 no"),
            (Class::Reject, "550 5.7.1 no"),
            (Class::Disconnect, "421 4.7.1 no"),
        ] {
            assert_eq!(Reply::new(class, "n\u{1b}o\r\n").to_string(), line);
        }
    }
}
