//! See `src/from_header.rs`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| connguard_fuzz::from_header::run(data));
