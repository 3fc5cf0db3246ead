//! What the peers written in Rust share: the argument, the line that reports where they listen, and the error. The
//! echoing is in each of them.

use std::env;
use std::fmt::Display;
use std::io;
use std::process::ExitCode;

/// How much most of them read at a time, in bytes.
pub const BUFFER_BYTES: usize = 64 << 10;

/// Runs a peer on the address in its only argument.
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

/// Reports where the peer listens.
pub fn listening_on(addr: impl Display) {
    eprintln!("listening on {addr}");
}
