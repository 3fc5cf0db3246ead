//! An echo server on mio, which is edge-triggered.
//!
//! The step from `level_triggered.rs`: the kernel keeps the list of sockets, and reports only what has changed. It
//! reports an *edge* once, when bytes arrive, and not again while they lie there. So each event is followed by reads
//! until one says `WouldBlock`.

use std::collections::HashMap;
use std::io::{self, ErrorKind};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

use crate::busy_loop::{is_open, step};

const LISTENER: Token = Token(0);

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
                && !drain(client, &mut buffer)
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

/// Echoes until the socket is empty. Returns whether the client is still there.
fn drain(client: &mut TcpStream, buffer: &mut [u8]) -> bool {
    loop {
        match step(client, buffer) {
            Ok(n) if n > 0 => {}
            end => return is_open(&end),
        }
    }
}

#[derive(Default)]
struct Clients {
    open: HashMap<Token, TcpStream>,
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
            registry.register(&mut stream, Token(self.last), Interest::READABLE)?;
            self.open.insert(Token(self.last), stream);
        }
    }
}
