//! The real network of a ping, and how the clients' common loop drives a session on it.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook::consts::SIGQUIT;

use super::network::{Connected, Dialed, Network};
use super::session::{Notify, Session};
use super::watch::{Watch, Watched};
use super::{End, Options};
use crate::client::dial::{Dialer, Established, Limits, Step};
use crate::client::drive::{Driven, Timeout};
use crate::net::{Socket, Stream as _, delegate_source};
use crate::reactor::{Reactor, Ready};
use crate::signals;

/// Everything that a ping waits for.
pub(super) struct Sockets {
    watch: Watch<Connection>,
    dialer: Token,
    connection: Option<Token>,
}

/// A connection under way, or made.
pub(super) enum Connection {
    Dialing(Box<Dialer>),
    Made(Socket),
}

impl Sockets {
    /// Watches for signals, and connects to nothing yet.
    ///
    /// # Errors
    ///
    /// If the system gives no further descriptors.
    pub(super) fn new(options: &Options) -> io::Result<Self> {
        let limits = Limits {
            wait: options.wait,
            send_proxy: options.send_proxy,
            ..Limits::new(options.timeout)
        };
        Self::with_dialer(Dialer::new(&options.server, limits)?)
    }

    fn with_dialer(dialer: Dialer) -> io::Result<Self> {
        let mut watch = Watch::new()?;
        let dialer = watch.insert(Connection::Dialing(Box::new(dialer)))?;
        Ok(Self { watch, dialer, connection: None })
    }

    fn dialer(&mut self) -> io::Result<&mut Dialer> {
        match self.watch.get_mut(self.dialer) {
            Some(Connection::Dialing(dialer)) => Ok(dialer),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn adopt(&mut self, made: Established) -> io::Result<Connected> {
        let Established { socket, local, peer, took } = made;
        self.connection = Some(self.watch.insert(Connection::Made(socket))?);
        Ok(Connected { peer, local, took })
    }
}

impl Network for Sockets {
    type Stream = Socket;

    fn connect(&mut self, now: Instant) -> io::Result<()> {
        self.dialer()?.start(now);
        Ok(())
    }

    fn poll(&mut self, now: Instant) -> io::Result<Dialed> {
        Ok(match self.dialer()?.poll(now) {
            Step::Wait => Dialed::Pending,
            Step::Progress(progress) => Dialed::Progress(progress),
            Step::Connected(made) => Dialed::Connected(self.adopt(made)?),
            Step::Failed(error) => Dialed::Failed(error),
        })
    }

    fn poll_timeout(&mut self, now: Instant) -> Timeout {
        self.dialer().map_or(Timeout::Never, |dialer| dialer.poll_timeout(now))
    }

    fn is_looking_up(&mut self) -> bool {
        self.dialer().is_ok_and(|dialer| dialer.is_looking_up())
    }

    fn discount(&mut self, standstill: Duration) {
        if let Ok(dialer) = self.dialer() {
            dialer.discount(standstill);
        }
    }

    fn stop_retrying(&mut self) {
        if let Ok(dialer) = self.dialer() {
            dialer.set_wait(None);
        }
    }

    fn stream(&mut self) -> io::Result<&mut Socket> {
        match self.connection.and_then(|token| self.watch.get_mut(token)) {
            Some(Connection::Made(socket)) => Ok(socket),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn shutdown_write(&mut self) {
        if let Ok(socket) = self.stream() {
            let _ = socket.shutdown_write();
        }
    }

    fn close(&mut self) {
        if let Some(token) = self.connection.take() {
            self.watch.reactor.remove(token);
        }
    }
}

impl<S: Notify> Driven for Session<'_, Sockets, S> {
    type Watched = Watched<Connection>;
    type Outcome = End;

    fn reactor(&mut self) -> &mut Reactor<Watched<Connection>> {
        &mut self.network.watch.reactor
    }

    fn poll_timeout(&mut self, now: Instant) -> Timeout {
        Self::poll_timeout(self, now)
    }

    fn discount(&mut self, standstill: Duration, now: Instant) {
        Self::discount(self, standstill, now);
    }

    /// Handles the signals, and then tries the socket: only the system call shows whether it is ready.
    fn handle_ready(&mut self, ready: &[Ready], now: Instant) -> io::Result<()> {
        let signals = self.network.watch.pending_signals(ready);
        if signals.contains(&SIGQUIT) {
            self.report_status(now)?;
        }
        if signals.into_iter().any(signals::is_stop) {
            self.stop();
        }
        self.handle_echo(now)
    }

    fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
        Self::handle_timeout(self, now)?;
        match self.next_due() {
            Some(due) => self.network.watch.wake_at(due),
            None => Ok(()),
        }
    }

    fn outcome(&mut self) -> Option<End> {
        Self::outcome(self)
    }
}

impl Connection {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Dialing(dialer) => dialer.as_mut(),
            Self::Made(socket) => socket,
        }
    }
}

delegate_source!(Connection);

#[cfg(test)]
mod tests;
