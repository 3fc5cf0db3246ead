//! What a ping needs of the network.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use crate::client::dial::DialProgress;
use crate::client::drive::Timeout;
use crate::net::Endpoint;

/// A network with one server. It makes connections, and holds one at a time. No method blocks.
///
/// [`Sockets`](super::sockets::Sockets) is the real one. Tests simulate another.
pub(super) trait Network {
    /// A connection.
    type Stream: Read + Write;

    /// Starts to connect.
    fn connect(&mut self, now: Instant) -> io::Result<()>;

    /// Continues to connect. The caller repeats this until the answer is [`Dialed::Pending`].
    fn poll(&mut self, now: Instant) -> io::Result<Dialed>;

    /// How long to wait before the next [`poll`](Self::poll) if no event comes.
    fn poll_timeout(&mut self, now: Instant) -> Timeout;

    /// Whether the server's name is being looked up.
    fn is_looking_up(&mut self) -> bool;

    /// Leaves out a time in which the program did not run.
    fn discount(&mut self, standstill: Duration);

    /// From now on, does not retry if the server is not up.
    fn stop_retrying(&mut self);

    /// The connection, or an error if there is none.
    fn stream(&mut self) -> io::Result<&mut Self::Stream>;

    /// Shuts down writing on the connection. Does nothing if the connection is gone: the next read shows that.
    fn shutdown_write(&mut self);

    /// Closes the connection, if there is one.
    fn close(&mut self);
}

/// How far connecting has come.
#[derive(Debug)]
pub(super) enum Dialed {
    /// Nothing new.
    Pending,
    /// A step to report.
    Progress(DialProgress),
    /// There is a connection.
    Connected(Connected),
    /// No connection could be made.
    Failed(io::Error),
}

/// A connection that was just made.
#[derive(Debug)]
pub(super) struct Connected {
    /// The server's address.
    pub(super) peer: Endpoint,
    /// The client's address.
    pub(super) local: Endpoint,
    /// How long it took to connect.
    pub(super) took: Duration,
}
