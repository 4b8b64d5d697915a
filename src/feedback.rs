//! Feedback: follows Postfix's log and tells the engine what became of mail.

mod choose;
mod file;
mod journal;
mod lines;
mod program;
mod source;
