//! An echo server that closes a connection only after everything is written.
//!
//! The step from `back_pressure.rs`: a read of 0 bytes says that the client sends no more. The client still reads, and
//! has a right to what is pending.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

const LISTENER: Token = Token(0);

/// The server reads from a client only while fewer bytes than this are pending for it.
const PENDING_LIMIT: usize = 4 << 20;

pub fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut clients, mut buffer) = (Clients::default(), [0; 256]);
    loop {
        wait(&mut poll, &mut events)?;
        for event in &events {
            let token = event.token();
            if token == LISTENER {
                clients.accept_all(&listener, poll.registry())?;
            } else if let Some(client) = clients.open.get_mut(&token)
                && !matches!(client.drive(&mut buffer), Ok(false))
            {
                clients.open.remove(&token);
            }
        }
    }
}

fn wait(poll: &mut Poll, events: &mut Events) -> io::Result<()> {
    match poll.poll(events, None) {
        Err(e) if e.kind() == ErrorKind::Interrupted => Ok(()), // By a signal.
        polled => polled,
    }
}

struct Client {
    stream: TcpStream,
    /// What was read and is not written yet.
    pending: VecDeque<u8>,
    /// A read has returned 0: the client has sent everything.
    has_ended: bool,
}

impl Client {
    /// Writes and reads until nothing moves: the next edge then says when to go on. Returns whether the connection is
    /// done: the client has ended, and has its whole echo.
    fn drive(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        while self.write(buffer.len())? + self.read(buffer)? > 0 {}
        Ok(self.has_ended && self.pending.is_empty())
    }

    /// Writes the first part of what is pending, as far as the socket takes it. Returns how much that was.
    fn write(&mut self, most: usize) -> io::Result<usize> {
        if self.pending.is_empty() {
            return Ok(0);
        }
        let (first, _) = self.pending.as_slices();
        let n = or_nothing(self.stream.write(&first[..first.len().min(most)]))?;
        self.pending.drain(..n);
        Ok(n)
    }

    /// Reads once, unless the client has ended or too much is pending. Returns how much that was.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.has_ended || self.pending.len() >= PENDING_LIMIT {
            return Ok(0);
        }
        let read = self.stream.read(buffer);
        self.has_ended = matches!(read, Ok(0));
        let n = or_nothing(read)?;
        self.pending.extend(&buffer[..n]);
        Ok(n)
    }
}

/// 0 for a call that would block.
fn or_nothing(moved: io::Result<usize>) -> io::Result<usize> {
    match moved {
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(0),
        moved => moved,
    }
}

#[derive(Default)]
struct Clients {
    open: HashMap<Token, Client>,
    /// The token of the last one. No two clients have the same token, also one after the other.
    last: usize,
}

impl Clients {
    /// Accepts until no connection is waiting.
    fn accept_all(&mut self, listener: &TcpListener, registry: &Registry) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            self.last += 1;
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut stream, Token(self.last), both)?;
            let client = Client { stream, pending: VecDeque::new(), has_ended: false };
            self.open.insert(Token(self.last), client);
        }
    }
}
