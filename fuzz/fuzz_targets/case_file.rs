//! See `src/case_file.rs`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| connguard_fuzz::case_file::run(data));
