//! Mistake: takes a short read for the end of the stream.
//!
//! A read returns what has arrived, which may be less than the buffer holds. Only 0 means the end. This server takes any
//! read that does not fill the buffer for the last one, writes what it has, and closes.
//!
//! From outside: the first short message comes back, and then the connection is closed; a second message is lost. A
//! first test that sends one message does not show it, nor does a file that is sent at once and ends.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
/// How long it waits after a failure to accept. If descriptors ran out, no event says that some are free.
const PAUSE: Duration = Duration::from_millis(100);

pub fn serve(mut listener: TcpListener) -> io::Result<()> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut peers, mut buffer, mut pause) = (Slab::<Peer>::new(), vec![0; 16 << 10], None);
    loop {
        match poll.poll(&mut events, pause) {
            Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
            _ => {}
        }
        let mut may_accept = pause.take().is_some();
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
        if outcome.is_err_and(|e| e.kind() != ErrorKind::WouldBlock) {
            pause = Some(PAUSE);
        }
    }
}

/// Accepts one connection, and asks for another event if more are waiting.
fn accept(listener: &mut TcpListener, poll: &Poll, peers: &mut Slab<Peer>) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    let slot = peers.vacant_entry();
    poll.registry().register(&mut stream, Token(slot.key()), Interest::READABLE)?;
    slot.insert(Peer { stream, pending: Vec::new(), ended: false });
    poll.registry().reregister(listener, LISTENER, Interest::READABLE)
}

struct Peer {
    stream: TcpStream,
    /// What was read and is not written yet.
    pending: Vec<u8>,
    /// Whether the peer has sent everything.
    ended: bool,
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
            let n = self.stream.read(buffer)?;
            self.ended = n < buffer.len();
            self.pending.extend_from_slice(&buffer[..n]);
        }
        let n = self.stream.write(&self.pending)?;
        self.pending.drain(..n);
        if self.ended && self.pending.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}
