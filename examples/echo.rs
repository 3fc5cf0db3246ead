//! An echo server from [`Echo`] and [`Reactor`] alone: no limits, no timeouts, no log.
//!
//! Start it with `cargo run --example echo`, and try it with `nc 127.0.0.1 7007` in another terminal.

use std::io::{self, ErrorKind};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use resound::conn::{Echo, Next, ShortRead};
use resound::reactor::{Reactor, Ready};

/// What the reactor polls.
enum Slot {
    Listener(TcpListener),
    Connection(TcpStream, Echo),
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(([127, 0, 0, 1], 7007).into())?;
    println!("listening on {}", listener.local_addr()?);
    serve(listener)
}

/// The event loop.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    let mut reactor = Reactor::new()?;
    reactor.insert(Slot::Listener(listener))?;
    let (mut ready, mut scratch) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        reactor.wait(None, &mut ready)?;
        for Ready { token, .. } in &ready {
            match reactor.get_mut(*token) {
                Some(Slot::Listener(listener)) => match listener.accept() {
                    Ok((stream, _)) => {
                        reactor.requeue(*token); // The accept queue may hold more, and no event says so.
                        let _ = reactor.insert(Slot::Connection(stream, Echo::new()));
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    Err(e) => eprintln!("cannot accept: {e}"), // Tries again with the next event.
                },
                Some(Slot::Connection(stream, echo)) => {
                    let drive = echo.drive(stream, ShortRead::ProvesNothing, &mut scratch);
                    apply(&mut reactor, *token, drive.next);
                }
                None => {} // A stale event: the connection was closed.
            }
        }
    }
}

/// Does what a drive asks for.
fn apply(reactor: &mut Reactor<Slot>, token: Token, next: io::Result<Next>) {
    match next {
        Ok(Next::Wait) => {}
        Ok(Next::Yield) => reactor.requeue(token),
        Ok(Next::ShutdownWrite | Next::Close) | Err(_) => drop(reactor.remove(token)),
    }
}

impl Slot {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Listener(listener) => listener,
            Self::Connection(stream, _) => stream,
        }
    }
}

impl Source for Slot {
    fn register(&mut self, r: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.source().register(r, token, interest)
    }
    fn reregister(&mut self, r: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.source().reregister(r, token, interest)
    }
    fn deregister(&mut self, r: &Registry) -> io::Result<()> {
        self.source().deregister(r)
    }
}
