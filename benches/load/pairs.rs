//! Paired runs: A B B A A B ..., so that what the machine does meanwhile meets
//! both, and the ratio of each pair.
