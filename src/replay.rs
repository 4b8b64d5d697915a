//! Replay: old logs of Postfix through the engine.
