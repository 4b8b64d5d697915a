//! Feedback: follows Postfix's log and tells the engine what became of mail.

mod file;
mod journal;
mod lines;
mod source;
