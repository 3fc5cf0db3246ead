//! `resound trace`: what can be done with traces.

use clap::{Args, Subcommand};

use super::Failure;
use import::Import;
use lint::Lint;
use view::View;

mod import;
mod lint;
mod view;

/// The arguments of `resound trace`.
#[derive(Args, Debug)]
pub struct Trace {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a page to step through a trace, or through two side by side
    ///
    /// The page is one file. It needs no network: open it in a browser, and press ? for its keys.
    View(View),
    /// Name the mistakes that a trace shows
    ///
    /// The trace is one of serve --trace, or of any server, from trace import. Exit code 0 if it shows no mistake, 1 if
    /// it shows one.
    Lint(Lint),
    /// Make a trace of what strace wrote about any server
    ///
    /// Record the server with strace -f -ttt -T -yy -o STRACE PROGRAM. With -k too, the trace names the lines of source
    /// behind the calls, if the program has symbols and addr2line is installed.
    Import(Import),
}

impl Trace {
    /// Does what was asked for.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or written, or `lint` finds a mistake.
    pub fn run(self) -> Result<(), Failure> {
        match self.what {
            What::View(view) => view.run(),
            What::Lint(lint) => lint.run(),
            What::Import(import) => import.run(),
        }
    }
}
