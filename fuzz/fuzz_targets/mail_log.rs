//! See `src/mail_log.rs`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| connguard_fuzz::mail_log::run(data));
