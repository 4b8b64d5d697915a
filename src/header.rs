//! What connguard reads from the headers of a message: the addresses of
//! `From` ([`from_addresses`], [`Addresses`]), the `Message-ID` ([`message_id`]), the
//! verdict of a spam filter ([`SpamHeaders`]) and whether it is a delivery report
//! ([`is_delivery_report`]).
//!
//! Every function takes the bytes as they came: folded, with leading white
//! space, of any charset or none. Promises for any input: no panic, time
//! linear in its length (Postfix limits a header to `header_size_limit`,
//! 102,400 bytes by default), and a result of bounded size without control
//! characters. Encoded words (RFC 2047) are never decoded: they are text for
//! display, and nothing that is read here may depend on it. A header
//! that occurs several times is the caller's: one call for each.

mod from;
mod lexer;
mod message_id;
mod plain;
mod report;
mod spam;

pub use from::{Addresses, FromField, MAX_ADDRESSES, MAX_DOMAIN, MAX_LOCAL, from_addresses};
pub use message_id::{MAX_MESSAGE_ID, message_id};
pub use report::is_delivery_report;
pub use spam::{DEFAULT_SPAM_HEADERS, SpamHeaderError, SpamHeaders};
