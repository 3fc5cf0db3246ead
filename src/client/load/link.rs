//! What the engine connects to: sockets in a run, and scripted streams in a test.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Source;

use super::contact::Contact;
use super::probing::Probing;
use crate::client::dial;
use crate::client::probe::Probe;
use crate::net::proxy::HeaderVersion;
use crate::net::{Endpoint, Socket, Stream};

/// A socket that is connected, or about to be.
pub(super) trait Link: Source + Read + Write {
    /// What its messages are sent and checked by.
    type Probe: Probing;

    /// Whether the connection is made.
    ///
    /// # Errors
    ///
    /// Why it cannot be made.
    fn is_connected(&self) -> io::Result<bool>;

    /// Sends a PROXY header, before everything else.
    ///
    /// # Errors
    ///
    /// If the connection is gone already.
    fn send_header(&mut self, version: HeaderVersion) -> io::Result<()>;

    /// The address of this end, if it has one.
    fn local_addr(&self) -> Option<Endpoint>;

    /// Whether a read that returns less than it asked for has emptied the socket: [`Stream::short_read_drains`].
    fn short_read_drains(&self) -> bool;

    /// Ends this direction. If that fails, the connection is gone, as the next read finds.
    fn shutdown_write(&self);

    /// Datagrams that this machine has dropped, since it had no room for them.
    fn dropped(&self) -> u64 {
        0
    }
}

/// What makes the connections of a run.
pub(super) trait Connect {
    /// What it makes.
    type Link: Link;

    /// The server.
    fn peer(&self) -> &Endpoint;

    /// Begins to connect for the connection with this number, and does not wait.
    ///
    /// # Errors
    ///
    /// What connect(2) reports. `WouldBlock` means that the accept queue of a Unix socket is full.
    fn connect(&mut self, number: usize) -> io::Result<Attempt<Self::Link>>;
}

/// A connection that is being made.
#[derive(Debug)]
pub(super) struct Attempt<L> {
    pub(super) link: L,
    /// How long that has taken so far.
    pub(super) took: Duration,
}

/// Connects to a server over TCP or a Unix socket.
#[derive(Debug)]
pub(super) struct Network<'a> {
    contact: Contact,
    /// Addresses of this machine to connect from, in turn.
    sources: &'a [SocketAddr],
}

impl<'a> Network<'a> {
    pub(super) fn new(contact: Contact, sources: &'a [SocketAddr]) -> Self {
        Self { contact, sources }
    }

    fn socket(&self, number: usize) -> io::Result<Socket> {
        match self.sources.get(number % self.sources.len().max(1)) {
            Some(source) => Socket::connect_from(*source, self.peer()),
            None => Socket::connect(self.peer()),
        }
    }
}

impl Connect for Network<'_> {
    type Link = Socket;

    fn peer(&self) -> &Endpoint {
        &self.contact.peer
    }

    fn connect(&mut self, number: usize) -> io::Result<Attempt<Socket>> {
        match self.contact.first.take() {
            Some(made) => Ok(Attempt { link: made.socket, took: made.took }),
            None => Ok(Attempt { link: self.socket(number)?, took: Duration::ZERO }),
        }
    }
}

impl Link for Socket {
    type Probe = Probe;

    fn is_connected(&self) -> io::Result<bool> {
        dial::outcome(self).map(|local| local.is_some())
    }

    fn send_header(&mut self, version: HeaderVersion) -> io::Result<()> {
        dial::send_header(self, version)
    }

    fn local_addr(&self) -> Option<Endpoint> {
        Self::local_addr(self).ok()
    }

    #[inline]
    fn short_read_drains(&self) -> bool {
        Stream::short_read_drains(self)
    }

    fn shutdown_write(&self) {
        let _ = Stream::shutdown_write(self);
    }
}
