//! The control socket: how the command line reaches the daemon.
//!
//! One request a connection, one line; the answer streams as lines (see
//! [`crate::command`]). A client that does not write its request or does not
//! read its answer is dropped after a deadline, or as soon as others need its place,
//! and only so many are served at once (see `places.rs`): none of that reaches the
//! mail, nor keeps an operator waiting.
//!
//! Who may ask is settled by the socket's mode (0660) and group
//! (`connguard-admin` where it exists), and once more by the credentials of
//! the peer, under whose account name its actions are recorded.

mod client;
mod places;
mod server;

pub use client::{Answer, AskError, ask};
pub use server::{Answers, BindError, Control, Handler, Items, Peer};
