//! An echo server for one client at a time.
//!
//! Each call blocks: the program stops in `accept` until a client connects, and in `read` until that client sends.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

pub fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        if let Err(e) = echo(stream) {
            eprintln!("a connection failed: {e}");
        }
    }
}

/// Sends back what comes in, until the client has sent everything.
pub fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 256];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n])?;
    }
}
