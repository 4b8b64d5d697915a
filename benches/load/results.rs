//! Sections of `benches/RESULTS.md`, each between markers and owned by one bench.
