//! The socket of a ping over UDP, and how the clients' common loop drives a session on it.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Token;
use signal_hook::consts::SIGQUIT;

use super::lookup::{Found, LookUp, Network};
use super::{DatagramSession, Link};
use crate::client::datagram_socket::DatagramSocket;
use crate::client::dial::lookup::Resolve;
use crate::client::dial::needs_no_lookup;
use crate::client::drive::{Driven, Timeout, drive};
use crate::client::ping::session::Notify;
use crate::client::ping::tally::Tally;
use crate::client::ping::watch::{Watch, Watched};
use crate::client::ping::{End, Options};
use crate::net::{Addr, Endpoint};
use crate::reactor::{Reactor, Ready};
use crate::signals;

/// Pings over UDP from `began` on, until all messages are sent or a signal ends it.
///
/// # Errors
///
/// If the name is unknown, if there is no route to any of its addresses, or if the system gives no further descriptors.
pub(in crate::client::ping) fn run(
    options: &Options,
    tally: &mut Tally,
    notify: impl Notify,
    began: Instant,
) -> io::Result<End> {
    run_with_resolver(options, &(Arc::new(Addr::resolve) as Resolve), tally, notify, began)
}

fn run_with_resolver(
    options: &Options,
    resolve: &Resolve,
    tally: &mut Tally,
    mut notify: impl Notify,
    began: Instant,
) -> io::Result<End> {
    tally.datagrams.get_or_insert_default();
    let mut watch = Watch::new()?;
    let found = if needs_no_lookup(&options.server) {
        Ok(Found { peers: resolve(&options.server)?, at: began })
    } else {
        let mut lookup = LookUp::start(options, resolve, &mut watch, tally, &mut notify, began)?;
        drive(&mut lookup, began)?
    };
    let Found { peers, at } = match found {
        Ok(found) => found,
        Err(end) => return Ok(end),
    };
    let (sockets, peer) = DatagramSockets::new(watch, peers)?;
    let mut session = DatagramSession::new(options, (sockets, peer), tally, notify, at);
    session.start()?;
    drive(&mut session, at)
}

/// Everything that a ping over UDP waits for.
struct DatagramSockets {
    watch: Watch<Network>,
    server: Token,
    /// The server's addresses that come after the one that the socket is connected to.
    others: Vec<Endpoint>,
}

impl DatagramSockets {
    /// Connects a socket to the first of the server's addresses that this machine has a route to, and returns the address.
    ///
    /// # Errors
    ///
    /// If there is no route to any of them, or if the system gives no further descriptors.
    fn new(mut watch: Watch<Network>, mut peers: Vec<Endpoint>) -> io::Result<(Self, Endpoint)> {
        let (socket, peer) = connect_next(&mut peers)?;
        let server = watch.insert(Network::Server(socket))?;
        Ok((Self { watch, server, others: peers }, peer))
    }

    fn server(&mut self) -> io::Result<&mut DatagramSocket> {
        match self.watch.get_mut(self.server) {
            Some(Network::Server(socket)) => Ok(socket),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }
}

/// Connects a socket to the first of `peers` to which there is a route, and leaves in `peers` those after it.
fn connect_next(peers: &mut Vec<Endpoint>) -> io::Result<(DatagramSocket, Endpoint)> {
    let (socket, peer) = DatagramSocket::connect_first(peers)?;
    let used = peers.iter().position(|other| *other == peer).map_or(0, |at| at + 1);
    peers.drain(..used);
    Ok((socket, peer))
}

impl Link for DatagramSockets {
    fn send(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.server()?.write(datagram)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.server()?.read(buffer)
    }

    fn next_address(&mut self) -> Option<Endpoint> {
        let (socket, peer) = connect_next(&mut self.others).ok()?;
        let server = self.watch.insert(Network::Server(socket)).ok()?;
        self.watch.reactor.remove(std::mem::replace(&mut self.server, server));
        Some(peer)
    }
}

impl<S: Notify> Driven for DatagramSession<'_, DatagramSockets, S> {
    type Watched = Watched<Network>;
    type Outcome = End;

    fn reactor(&mut self) -> &mut Reactor<Watched<Network>> {
        &mut self.link.watch.reactor
    }

    fn poll_timeout(&mut self, now: Instant) -> Timeout {
        Self::poll_timeout(self, now)
    }

    fn discount(&mut self, standstill: Duration, now: Instant) {
        Self::discount(self, standstill, now);
    }

    fn handle_ready(&mut self, ready: &[Ready], now: Instant) -> io::Result<()> {
        if self.receive(now)? {
            let server = self.link.server;
            self.link.watch.reactor.requeue(server);
        }
        let signals = self.link.watch.pending_signals(ready);
        if signals.contains(&SIGQUIT) {
            self.report_status(now)?;
        }
        if signals.into_iter().any(signals::is_stop) {
            self.stop();
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
        Self::handle_timeout(self, now)?;
        match self.next_due() {
            Some(due) => self.link.watch.wake_at(due),
            None => Ok(()),
        }
    }

    fn outcome(&mut self) -> Option<End> {
        Self::outcome(self)
    }
}

#[cfg(test)]
mod tests;
