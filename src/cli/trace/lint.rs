//! `resound trace lint`: the report and the exit code.

use std::path::PathBuf;

use clap::Args;

use crate::cli::Failure;

/// The arguments of `resound trace lint`.
#[derive(Args, Debug)]
pub struct Lint {
    /// A trace, from serve --trace or trace import
    #[arg(value_name = "FILE")]
    trace: PathBuf,
}

impl Lint {
    pub(super) fn run(self) -> Result<(), Failure> {
        Err(Failure::usage(&format!("{}", self.trace.display())))
    }
}
