//! What each ping waits for beside its server: signals, and the time of the next message.

use std::io;
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook::consts::SIGQUIT;
use signal_hook_mio::v1_0::Signals;

use crate::client::alarm::Alarm;
use crate::net::{cannot, delegate_source};
use crate::reactor::{Reactor, Ready};
use crate::signals;

/// A reactor with the signals and an alarm, and with what else a ping waits for.
pub(super) struct Watch<T> {
    pub(super) reactor: Reactor<Watched<T>>,
    signals: Token,
    /// Goes off when the next message is due.
    alarm: Token,
}

pub(super) enum Watched<T> {
    Signals(Signals),
    Alarm(Alarm),
    Network(T),
}

impl<T: Source> Watch<T> {
    /// Watches for signals, and for nothing else yet.
    ///
    /// # Errors
    ///
    /// If the system gives no further descriptors.
    pub(super) fn new() -> io::Result<Self> {
        let mut reactor = Reactor::new()?;
        let signals = reactor
            .insert(Watched::Signals(signals::watch(&[SIGQUIT])?))
            .map_err(|e| signals::cannot_watch(&e))?;
        let alarm = Alarm::new().map_err(|e| cannot("watch", &"the time", &e))?;
        let alarm = reactor.insert(Watched::Alarm(alarm))?;
        Ok(Self { reactor, signals, alarm })
    }

    /// Waits for `source` too.
    ///
    /// # Errors
    ///
    /// If the system cannot register it: epoll_ctl(2).
    pub(super) fn insert(&mut self, source: T) -> io::Result<Token> {
        self.reactor.insert(Watched::Network(source))
    }

    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        match self.reactor.get_mut(token) {
            Some(Watched::Network(source)) => Some(source),
            _ => None,
        }
    }

    /// Ends the wait at `due`. The timeout of a wait is exact to a millisecond only.
    pub(super) fn wake_at(&mut self, due: Instant) -> io::Result<()> {
        match self.reactor.get_mut(self.alarm) {
            Some(Watched::Alarm(alarm)) => alarm.set(due),
            _ => Ok(()),
        }
    }

    /// The signals that have come.
    pub(super) fn pending_signals(&mut self, ready: &[Ready]) -> Vec<i32> {
        let is_ready = ready.iter().any(|ready| ready.token == self.signals);
        match self.reactor.get_mut(self.signals) {
            Some(Watched::Signals(signals)) if is_ready => signals.pending().collect(),
            _ => Vec::new(),
        }
    }
}

impl<T: Source> Watched<T> {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Signals(signals) => signals,
            Self::Alarm(alarm) => alarm,
            Self::Network(source) => source,
        }
    }
}

delegate_source!(Watched<T>, T: Source);
