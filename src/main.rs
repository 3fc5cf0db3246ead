//! The `resound` command: see [`resound::cli`].

use std::process::ExitCode;

use resound::cli::Cli;

fn main() -> ExitCode {
    Cli::from_env().map_or_else(|code| code, Cli::run)
}
