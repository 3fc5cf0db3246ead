//! What the peers written in Rust have in common: the argument, the word that they are ready, the
//! complaint. All that concerns echoing stands in each of them.

use std::env;
use std::fmt::Display;
use std::io;
use std::process::ExitCode;

/// As much as most of them read at once, in bytes.
pub const BUFFER_BYTES: usize = 64 << 10;

/// Runs a peer on the address that its only argument names.
pub fn run(serve: impl FnOnce(String) -> io::Result<()>) -> ExitCode {
    let mut args = env::args();
    let name = args.next().unwrap_or_default();
    let (Some(addr), None) = (args.next(), args.next()) else {
        eprintln!("usage: {name} ADDR, such as 127.0.0.1:7007; port 0 takes a free one");
        return ExitCode::from(2);
    };
    match serve(addr.clone()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{name} cannot serve on {addr}: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Says that it can be connected to, and where.
pub fn listening_on(addr: impl Display) {
    eprintln!("listening on {addr}");
}
