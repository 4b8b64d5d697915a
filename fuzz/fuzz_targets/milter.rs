//! See `src/milter.rs`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| connguard_fuzz::milter::run(data));
