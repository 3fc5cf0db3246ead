//! The real network of a ping, and how the clients' common loop drives a session on it.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook::consts::SIGQUIT;
use signal_hook_mio::v1_0::Signals;

use super::network::{Connected, Dialed, Network};
use super::session::{Notify, Session};
use super::{End, Options};
use crate::client::alarm::Alarm;
use crate::client::dial::{Dialer, Established, Limits, Step};
use crate::client::drive::{Driven, Timeout};
use crate::net::{Socket, Stream as _, cannot, delegate_source};
use crate::reactor::{Reactor, Ready};
use crate::signals;

/// A reactor with everything that a ping waits for.
pub(super) struct Sockets {
    reactor: Reactor<Watched>,
    signals: Token,
    /// Goes off when the next message is due.
    alarm: Token,
    dialer: Token,
    connection: Option<Token>,
}

pub(super) enum Watched {
    Signals(Signals),
    Alarm(Alarm),
    Dialer(Box<Dialer>),
    Server(Socket),
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
        let mut reactor = Reactor::new()?;
        let signals = reactor
            .insert(Watched::Signals(signals::watch(&[SIGQUIT])?))
            .map_err(|e| signals::cannot_watch(&e))?;
        let alarm = Alarm::new().map_err(|e| cannot("watch", &"the time", &e))?;
        let alarm = reactor.insert(Watched::Alarm(alarm))?;
        let dialer = reactor.insert(Watched::Dialer(Box::new(dialer)))?;
        Ok(Self { reactor, signals, alarm, dialer, connection: None })
    }

    fn dialer(&mut self) -> io::Result<&mut Dialer> {
        match self.reactor.get_mut(self.dialer) {
            Some(Watched::Dialer(dialer)) => Ok(dialer),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// Ends the wait at `due`. The timeout of a wait is exact to a millisecond only.
    fn wake_at(&mut self, due: Instant) -> io::Result<()> {
        match self.reactor.get_mut(self.alarm) {
            Some(Watched::Alarm(alarm)) => alarm.set(due),
            _ => Ok(()),
        }
    }

    /// The signals that have come.
    fn pending_signals(&mut self, ready: &[Ready]) -> Vec<i32> {
        if !ready.iter().any(|ready| ready.token == self.signals) {
            return Vec::new();
        }
        match self.reactor.get_mut(self.signals) {
            Some(Watched::Signals(signals)) => signals.pending().collect(),
            _ => Vec::new(),
        }
    }

    fn adopt(&mut self, made: Established) -> io::Result<Connected> {
        let Established { socket, local, peer, took } = made;
        self.connection = Some(self.reactor.insert(Watched::Server(socket))?);
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
        match self.connection.and_then(|token| self.reactor.get_mut(token)) {
            Some(Watched::Server(socket)) => Ok(socket),
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
            self.reactor.remove(token);
        }
    }
}

impl<S: Notify> Driven for Session<'_, Sockets, S> {
    type Watched = Watched;
    type Outcome = End;

    fn reactor(&mut self) -> &mut Reactor<Watched> {
        &mut self.network.reactor
    }

    fn poll_timeout(&mut self, now: Instant) -> Timeout {
        Self::poll_timeout(self, now)
    }

    fn discount(&mut self, standstill: Duration, now: Instant) {
        Self::discount(self, standstill, now);
    }

    /// Handles the signals, and then tries the socket: only the system call shows whether it is ready.
    fn handle_ready(&mut self, ready: &[Ready], now: Instant) -> io::Result<()> {
        let signals = self.network.pending_signals(ready);
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
            Some(due) => self.network.wake_at(due),
            None => Ok(()),
        }
    }

    fn outcome(&mut self) -> Option<End> {
        Self::outcome(self)
    }
}

impl Watched {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Signals(signals) => signals,
            Self::Alarm(alarm) => alarm,
            Self::Dialer(dialer) => dialer.as_mut(),
            Self::Server(socket) => socket,
        }
    }
}

delegate_source!(Watched);

#[cfg(test)]
mod tests;
