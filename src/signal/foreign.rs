//! F: the domain of the From header is not registered. One trial a message that
//! has a From header.
//!
//! Where no domains are registered, From is foreign if its organizational
//! domain is neither that of MAIL FROM nor one that the connector used on quiet
//! days for a week ([`crate::own_domains`]). How domains are remembered:
//! [`super::domains`].

use super::{Shape, unregistered};

/// The constants: as those of U, with a memory of its own.
pub const SHAPE: Shape = unregistered::SHAPE;
