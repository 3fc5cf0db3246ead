//! What a ping's reactor watches.

use std::io::{self, ErrorKind};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook_mio::v1_0::Signals;

use crate::client::alarm::Alarm;
use crate::client::dial::Dialer;
use crate::net::{Socket, delegate_source};
use crate::reactor::Reactor;

pub(super) enum Watched {
    Signals(Signals),
    /// Has done all that it can do when it has ended a wait.
    Alarm(Alarm),
    Dialer(Box<Dialer>),
    Server(Socket),
}

impl Watched {
    /// The socket behind `token`.
    pub(super) fn socket(reactor: &mut Reactor<Self>, token: Token) -> io::Result<&mut Socket> {
        match reactor.get_mut(token) {
            Some(Self::Server(socket)) => Ok(socket),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

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
