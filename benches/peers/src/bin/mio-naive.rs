//! mio as its guide suggests: reads until `WouldBlock`, and registers again when its interest changes.

use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use resound_peers::program::{self, BUFFER_BYTES};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);

fn main() -> ExitCode {
    program::run(serve)
}

fn serve(addr: String) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(addr.parse().map_err(io::Error::other)?)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    program::listening_on(listener.local_addr()?);
    let (mut connections, mut buffer) = (Slab::new(), vec![0; BUFFER_BYTES]);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, poll.registry(), &mut connections)?;
                continue;
            }
            let Token(slot) = event.token();
            let connection: &mut Connection = &mut connections[slot];
            // An error ends the connection, as an end of stream does.
            if !connection.drive(poll.registry(), event.token(), &mut buffer).unwrap_or(false) {
                poll.registry().deregister(&mut connection.stream)?;
                connections.remove(slot);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    registry: &Registry,
    connections: &mut Slab<Connection>,
) -> io::Result<()> {
    while let Some((mut stream, _)) = unless_blocked(listener.accept())? {
        stream.set_nodelay(true)?;
        let slot = connections.vacant_entry();
        registry.register(&mut stream, Token(slot.key()), Interest::READABLE)?;
        slot.insert(Connection { stream, pending: Vec::new() });
    }
    Ok(())
}

struct Connection {
    stream: TcpStream,
    /// Bytes that were read and not written yet.
    pending: Vec<u8>,
}

impl Connection {
    /// Echoes until it would block, and returns whether the connection stays open.
    fn drive(&mut self, registry: &Registry, token: Token, buffer: &mut [u8]) -> io::Result<bool> {
        if !self.pending.is_empty() {
            let n = write(&mut self.stream, &self.pending)?;
            self.pending.drain(..n);
            if !self.pending.is_empty() {
                return Ok(true);
            }
            registry.reregister(&mut self.stream, token, Interest::READABLE)?;
        }
        while let Some(n) = unless_blocked(self.stream.read(buffer))? {
            if n == 0 {
                return Ok(false);
            }
            let written = write(&mut self.stream, &buffer[..n])?;
            if written < n {
                self.pending.extend_from_slice(&buffer[written..n]);
                registry.reregister(&mut self.stream, token, Interest::WRITABLE)?;
                break;
            }
        }
        Ok(true)
    }
}

/// Writes until it would block, and returns how many bytes were written.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match unless_blocked(stream.write(&bytes[written..]))? {
            Some(n) => written += n,
            None => break,
        }
    }
    Ok(written)
}

fn unless_blocked<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
        outcome => outcome.map(Some),
    }
}
