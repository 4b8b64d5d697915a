//! connguard: a milter daemon for Postfix that watches every client which
//! Postfix lets relay mail, notices when one has been taken over, and stops
//! the mail it relays.

pub mod header;
