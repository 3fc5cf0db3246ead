//! An echo server with a thread for each client.
//!
//! The step from `one_client.rs`: a call that blocks stops one thread, and all others go on.

use std::io;
use std::net::TcpListener;
use std::thread;

use crate::one_client::echo;

pub fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        let thread = thread::Builder::new().spawn(move || echo(stream));
        if let Err(e) = thread {
            eprintln!("cannot start a thread: {e}"); // The connection is closed.
        }
    }
}
