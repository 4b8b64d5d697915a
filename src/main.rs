//! The `connguard` program: see [`connguard::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    connguard::cli::main()
}
