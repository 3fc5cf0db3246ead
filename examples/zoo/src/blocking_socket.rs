//! Mistake: leaves accepted sockets blocking.
//!
//! This server accepts with the standard library. On Linux, an accepted socket does not take over from the listener that
//! it does not block, and `TcpStream::from_std` does not change that. So a read without bytes stops the whole server.
//!
//! From outside: while one client is connected and silent, no other gets an answer until it sends or ends. A first test
//! with one client does not show it: each of its messages comes back.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
/// How long it waits after a failure to accept. If descriptors ran out, no event says that some are free.
const PAUSE: Duration = Duration::from_millis(100);

pub fn serve(listener: TcpListener) -> io::Result<()> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    let listener = net::TcpListener::from(listener);
    poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), LISTENER, Interest::READABLE)?;
    let (mut peers, mut buffer) = (Slab::new(), vec![0; 16 << 10]);
    // What may have more to do, and when to try to accept again.
    let (mut ready, mut pause) = (BTreeSet::new(), None);
    loop {
        let timeout = if ready.is_empty() { pause } else { Some(Duration::ZERO) };
        match poll.poll(&mut events, timeout) {
            Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
        ready.extend(events.iter().map(Event::token));
        ready.extend(pause.take().map(|_| LISTENER));
        for token in mem::take(&mut ready) {
            let outcome = match peers.get_mut(token.0) {
                _ if token == LISTENER => accept(&listener, poll.registry(), &mut peers),
                Some(peer) => peer.step(&mut buffer),
                None => continue, // It was closed before.
            };
            match outcome {
                Ok(()) => drop(ready.insert(token)), // There may be more, and no event will say so.
                Err(e) if e.kind() == ErrorKind::WouldBlock => {} // An event will come.
                Err(_) if token == LISTENER => pause = Some(PAUSE),
                Err(_) => drop(peers.remove(token.0)),
            }
        }
    }
}

fn accept(
    listener: &net::TcpListener,
    registry: &Registry,
    peers: &mut Slab<Peer>,
) -> io::Result<()> {
    let (stream, _) = listener.accept()?;
    let mut stream = TcpStream::from_std(stream);
    let slot = peers.vacant_entry();
    registry.register(&mut stream, Token(slot.key()), Interest::READABLE | Interest::WRITABLE)?;
    slot.insert(Peer { stream, pending: Vec::new() });
    Ok(())
}

struct Peer {
    stream: TcpStream,
    /// What was read and is not written yet.
    pending: Vec<u8>,
}

impl Peer {
    /// Writes what is pending, or else reads once. The end is an error too: it closes the connection.
    fn step(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        if !self.pending.is_empty() {
            let n = self.stream.write(&self.pending)?;
            self.pending.drain(..n);
            return Ok(());
        }
        match self.stream.read(buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            n => {
                self.pending.extend_from_slice(&buffer[..n]);
                Ok(())
            }
        }
    }
}
