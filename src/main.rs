//! The `connguard` program: see [`connguard::cli`].
#![forbid(unsafe_code)]

use mimalloc::MiMalloc;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    connguard::cli::main()
}
