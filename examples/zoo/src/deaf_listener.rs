//! Mistake: waits for an event after it could not accept.
//!
//! If too many files are open, accepting fails with EMFILE, and the connection stays in the queue. This server waits for
//! the next event of its listener. But the edge was reported already, and a free descriptor is no new one.
//!
//! From outside: clients that waited are not served when others leave, until one more connects. If the queue is full, no
//! new connection gets in, and the server stays deaf. A first test does not show it: it has few clients.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);

pub fn serve(mut listener: TcpListener) -> io::Result<()> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut peers, mut buffer) = (Slab::new(), vec![0; 16 << 10]);
    let mut ready = BTreeSet::new(); // What may have more to do.
    loop {
        let timeout = if ready.is_empty() { None } else { Some(Duration::ZERO) };
        match poll.poll(&mut events, timeout) {
            Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
        ready.extend(events.iter().map(Event::token));
        for token in mem::take(&mut ready) {
            let outcome = match peers.get_mut(token.0) {
                _ if token == LISTENER => accept(&listener, poll.registry(), &mut peers),
                Some(peer) => peer.step(&mut buffer),
                None => continue, // It was closed before.
            };
            match outcome {
                Ok(()) => drop(ready.insert(token)), // There may be more, and no event will say so.
                Err(e) if e.kind() == ErrorKind::WouldBlock => {} // An event will come.
                Err(_) if token == LISTENER => {}    // No more are waiting.
                Err(_) => drop(peers.remove(token.0)),
            }
        }
    }
}

fn accept(listener: &TcpListener, registry: &Registry, peers: &mut Slab<Peer>) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
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
