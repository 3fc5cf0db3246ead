//! An echo server that never blocks, and never rests.
//!
//! The step from `one_client.rs`: a non-blocking socket answers at once. If there is nothing to read, the answer is the
//! error `WouldBlock`, and the server asks the next socket.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

pub fn serve(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let (mut clients, mut buffer) = (Vec::new(), [0; 256]);
    loop {
        match listener.accept() {
            Ok((stream, _)) => clients.extend(non_blocking(stream)),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        clients.retain_mut(|client| is_open(&step(client, &mut buffer)));
    }
}

/// The stream, set to non-blocking. On Linux, an accepted socket is blocking even if its listener is not.
pub fn non_blocking(stream: TcpStream) -> Option<TcpStream> {
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

/// Reads once, and sends back what has come. 0 bytes mean that the client has sent everything.
pub fn step(client: &mut (impl Read + Write), buffer: &mut [u8]) -> io::Result<usize> {
    let n = client.read(buffer)?;
    write_all(client, &buffer[..n])?;
    Ok(n)
}

/// Whether more may come after a step.
pub fn is_open(step: &io::Result<usize>) -> bool {
    match step {
        Ok(n) => *n > 0,
        Err(e) => e.kind() == ErrorKind::WouldBlock,
    }
}

/// Writes all bytes. While the socket takes nothing, it tries again and again.
fn write_all(client: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match client.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
