//! The socket of a ping over UDP, and how the clients' common loop drives a session on it.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::Token;
use signal_hook::consts::SIGQUIT;

use super::{DatagramSession, Link};
use crate::client::datagram_socket::DatagramSocket;
use crate::client::drive::{Driven, Timeout};
use crate::client::ping::session::Notify;
use crate::client::ping::tally::Tally;
use crate::client::ping::watch::{Watch, Watched};
use crate::client::ping::{End, Options};
use crate::net::Endpoint;
use crate::reactor::{Reactor, Ready};
use crate::signals;

/// Everything that a ping over UDP waits for.
pub(in crate::client::ping) struct DatagramSockets {
    watch: Watch<DatagramSocket>,
    server: Token,
    peer: Endpoint,
}

/// The common loop drives this: a session, whose socket is on the reactor.
pub(in crate::client::ping) type OnSockets<'a, S> = DatagramSession<'a, DatagramSockets, S>;

impl DatagramSockets {
    /// Looks the server up, which blocks, and connects a socket to the first of its addresses that this machine has a
    /// route to. A signal ends the program meanwhile.
    ///
    /// # Errors
    ///
    /// If the name is unknown, if there is no route to any of its addresses, or if the system gives no further
    /// descriptors.
    pub(in crate::client::ping) fn new(options: &Options) -> io::Result<Self> {
        let (socket, peer) = DatagramSocket::connect_first(&options.server.resolve()?)?;
        let mut watch = Watch::new()?;
        let server = watch.insert(socket)?;
        Ok(Self { watch, server, peer })
    }

    /// A session on this socket, which has reported that it begins.
    pub(in crate::client::ping) fn session<'a, S: Notify>(
        self,
        options: &'a Options,
        tally: &'a mut Tally,
        notify: S,
        now: Instant,
    ) -> io::Result<OnSockets<'a, S>> {
        let peer = self.peer.clone();
        let mut session = DatagramSession::new(options, (self, peer), tally, notify, now);
        session.start()?;
        Ok(session)
    }

    fn server(&mut self) -> io::Result<&mut DatagramSocket> {
        self.watch.get_mut(self.server).ok_or(ErrorKind::NotConnected.into())
    }
}

impl Link for DatagramSockets {
    fn send(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.server()?.write(datagram)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.server()?.read(buffer)
    }
}

impl<S: Notify> Driven for OnSockets<'_, S> {
    type Watched = Watched<DatagramSocket>;
    type Outcome = End;

    fn reactor(&mut self) -> &mut Reactor<Watched<DatagramSocket>> {
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
