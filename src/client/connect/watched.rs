//! What the reactor of a client watches.

use std::io::{self, BufReader, ErrorKind};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook_mio::v1_0::Signals;

use super::Options;
use super::echo_output::EchoOutput;
use crate::client::dial::{Dialer, Limits};
use crate::net::{Socket, delegate_source};
use crate::reactor::Reactor;
use crate::signals;
use crate::stdio::Standard;

/// A source of events.
pub(super) enum Watched {
    /// A read of more than a few KiB bypasses the buffer.
    Input(BufReader<Standard>),
    Output(EchoOutput),
    Server(Socket),
    Dialer(Box<Dialer>),
    Signals(Signals),
}

impl Watched {
    /// Standard input.
    ///
    /// # Errors
    ///
    /// If the system gives no further descriptor: dup(2).
    pub fn input() -> io::Result<Self> {
        Ok(Self::Input(BufReader::new(Standard::input()?)))
    }

    /// A dialer that connects to the server of `options`.
    ///
    /// # Errors
    ///
    /// If the system gives no further descriptors.
    pub fn dialer(options: &Options) -> io::Result<Self> {
        let limits = Limits {
            wait: options.wait,
            send_proxy: options.send_proxy,
            ..Limits::new(options.timeout)
        };
        Ok(Self::Dialer(Box::new(Dialer::new(&options.server, limits)?)))
    }

    /// The signals that stop a client, and `others`.
    ///
    /// # Errors
    ///
    /// If the system cannot watch them.
    pub fn signals(others: &[i32]) -> io::Result<Self> {
        signals::watch(others).map(Self::Signals)
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Input(input) => input.get_mut(),
            Self::Output(output) => output,
            Self::Server(socket) => socket,
            Self::Dialer(dialer) => dialer.as_mut(),
            Self::Signals(signals) => signals,
        }
    }
}

delegate_source!(Watched);

/// Gives a reactor its sources by what they are. Each fails if the token stands for another source, or for none.
impl Reactor<Watched> {
    pub(super) fn input(&mut self, token: Token) -> io::Result<&mut BufReader<Standard>> {
        match self.get_mut(token) {
            Some(Watched::Input(input)) => Ok(input),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn output(&mut self, token: Token) -> io::Result<&mut EchoOutput> {
        match self.get_mut(token) {
            Some(Watched::Output(output)) => Ok(output),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn server(&mut self, token: Token) -> io::Result<&mut Socket> {
        match self.get_mut(token) {
            Some(Watched::Server(socket)) => Ok(socket),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn dialer(&mut self, token: Token) -> io::Result<&mut Dialer> {
        match self.get_mut(token) {
            Some(Watched::Dialer(dialer)) => Ok(dialer),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }
}
