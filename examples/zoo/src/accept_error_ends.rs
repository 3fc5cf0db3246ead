//! Mistake: ends if a connection cannot be accepted.
//!
//! Accepting can fail for reasons that pass: too many files are open, memory is short, or the client is gone already. This
//! server returns from its loop with the error, and the program ends.
//!
//! From outside: when enough clients are connected, the server is gone, and each of them loses its connection. A first
//! test does not show it, since it has fewer clients than the process may have descriptors.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);

pub fn serve(mut listener: TcpListener) -> io::Result<()> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut peers, mut buffer) = (Slab::<Peer>::new(), vec![0; 16 << 10]);
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
        let mut may_accept = false;
        for event in &events {
            let token = event.token();
            if token == LISTENER {
                may_accept = true;
            } else if let Some(peer) = peers.get_mut(token.0)
                && peer.drive(&poll, token, &mut buffer).is_err()
            {
                peers.remove(token.0);
            }
        }
        let outcome = if may_accept { accept(&mut listener, &poll, &mut peers) } else { Ok(()) };
        if outcome.as_ref().is_err_and(|e| e.kind() != ErrorKind::WouldBlock) {
            return outcome;
        }
    }
}

/// Accepts one connection, and asks for another event if more are waiting.
fn accept(listener: &mut TcpListener, poll: &Poll, peers: &mut Slab<Peer>) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    let slot = peers.vacant_entry();
    poll.registry().register(&mut stream, Token(slot.key()), Interest::READABLE)?;
    slot.insert(Peer { stream, pending: Vec::new() });
    poll.registry().reregister(listener, LISTENER, Interest::READABLE)
}

struct Peer {
    stream: TcpStream,
    /// What was read and is not written yet.
    pending: Vec<u8>,
}

impl Peer {
    /// Echoes, and asks for another event if the socket is ready for what comes next.
    fn drive(&mut self, poll: &Poll, token: Token, buffer: &mut [u8]) -> io::Result<()> {
        match self.step(buffer) {
            Err(e) if e.kind() != ErrorKind::WouldBlock => return Err(e),
            _ => {}
        }
        let interest =
            if self.pending.is_empty() { Interest::READABLE } else { Interest::WRITABLE };
        poll.registry().reregister(&mut self.stream, token, interest)
    }

    /// Reads once if `pending` is empty, and writes once. The end is an error too: it closes the connection.
    fn step(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        if self.pending.is_empty() {
            match self.stream.read(buffer)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                n => self.pending.extend_from_slice(&buffer[..n]),
            }
        }
        let n = self.stream.write(&self.pending)?;
        self.pending.drain(..n);
        Ok(())
    }
}
