//! `resound trace import`: from an strace to a trace.

use std::path::PathBuf;

use clap::Args;

use crate::cli::Failure;
use crate::output::Output;
use crate::stdio::complain;
use crate::trace::import::import;

/// The arguments of `resound trace import`.
#[derive(Args, Debug)]
pub struct Import {
    /// What strace wrote with -f -ttt -T -yy -o STRACE
    #[arg(value_name = "STRACE")]
    strace: PathBuf,

    /// Write the trace to this file; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

impl Import {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut output = Output::open(&self.output)?;
        let mut is_unwritten = false;
        let mut append = |bytes: &[u8]| output.append(bytes).inspect_err(|_| is_unwritten = true);
        let imported = import(&self.strace, &mut append);
        let imported = imported.map_err(|e| match is_unwritten {
            true => Failure::from(e),
            false => Failure::usage(&e.to_string()),
        })?;
        output.finish()?;
        imported.remarks.iter().for_each(|remark| complain(&format!("resound: {remark}")));
        Ok(())
    }
}
