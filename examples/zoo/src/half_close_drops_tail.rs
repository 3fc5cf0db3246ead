//! Mistake: closes at the end of the stream, although bytes are pending.
//!
//! A client that shuts down writing has sent everything, but still reads. This server closes the connection as soon as
//! it reads the end, and drops what it could not write yet.
//!
//! From outside: a client that sends much, shuts down writing and reads late gets a clean end too early. The last part of
//! its echo is missing. A first test does not show it: it sends little, or it never shuts down writing.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::time::Duration;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
/// How long it waits after a failure to accept. If descriptors ran out, no event says that some are free.
const PAUSE: Duration = Duration::from_millis(100);
/// A peer that has not taken this many bytes of its echo has to wait.
const PENDING_LIMIT: usize = 4 << 20;

pub fn serve(mut listener: TcpListener) -> io::Result<()> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
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

fn accept(listener: &TcpListener, registry: &Registry, peers: &mut Slab<Peer>) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    let slot = peers.vacant_entry();
    registry.register(&mut stream, Token(slot.key()), Interest::READABLE | Interest::WRITABLE)?;
    slot.insert(Peer { stream, pending: VecDeque::new() });
    Ok(())
}

struct Peer {
    stream: TcpStream,
    /// What was read and is not written yet.
    pending: VecDeque<u8>,
}

impl Peer {
    /// Writes once, and reads once if there is room. The end is an error too: it closes the connection.
    fn step(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let (front, mut moved) = (self.pending.as_slices().0, 0);
        match self.stream.write(&front[..front.len().min(buffer.len())]) {
            Ok(n) => moved += self.pending.drain(..n).len(),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        if self.pending.len() >= PENDING_LIMIT {
            return more(moved);
        }
        match self.stream.read(buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                self.pending.extend(&buffer[..n]);
                moved += n;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        more(moved)
    }
}

/// If nothing moved, each wanted direction is blocked, and an event will come.
fn more(moved: usize) -> io::Result<()> {
    if moved > 0 { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
}
