//! Who refuses everybody: where other connectors are refused at the same
//! provider too, it is this host's address that is refused there, and not the
//! mail of one connector.
