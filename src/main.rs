//! The `connguard` program.

fn main() {}
