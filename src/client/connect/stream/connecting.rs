//! The part of a stream that connects.

use std::io;
use std::time::{Duration, Instant};

use mio::Token;

use crate::client::connect::client_io::{ClientIo, SignalRequest, interrupted};
use crate::client::connect::totals::ByteTotals;
use crate::client::connect::watched::Watched;
use crate::client::dial::{DialProgress, Step};
use crate::client::drive::{Driven, Timeout};
use crate::reactor::{Reactor, Ready};
use crate::stdio::complain;

/// Connects to the server. The outcome is the connection's token.
pub(super) struct ConnectingStream {
    pub io: ClientIo,
    server: Option<Token>,
}

impl ConnectingStream {
    pub fn new(io: ClientIo) -> Self {
        Self { io, server: None }
    }

    fn dial(&mut self, now: Instant) -> io::Result<()> {
        loop {
            match self.io.dialer()?.poll(now) {
                Step::Wait => return Ok(()),
                Step::Progress(progress @ DialProgress::Connecting(_)) => log::debug!("{progress}"),
                Step::Progress(progress) => log::warn!("{progress}"),
                Step::Failed(error) => return Err(error),
                Step::Connected(made) => {
                    log::debug!("connected to {} from {}", made.peer, made.local);
                    self.server = Some(self.io.add(made.socket)?);
                    return Ok(());
                }
            }
        }
    }
}

impl Driven for ConnectingStream {
    type Watched = Watched;
    type Outcome = Token;

    fn reactor(&mut self) -> &mut Reactor<Watched> {
        &mut self.io.reactor
    }

    fn poll_timeout(&mut self, now: Instant) -> Timeout {
        self.io.dialer().map_or(Timeout::Never, |dialer| dialer.poll_timeout(now))
    }

    fn discount(&mut self, standstill: Duration, _: Instant) {
        if let Ok(dialer) = self.io.dialer() {
            dialer.discount(standstill);
        }
    }

    fn handle_ready(&mut self, ready: &[Ready], _: Instant) -> io::Result<()> {
        let nothing = ByteTotals::default();
        match self.io.handle_ready(ready) {
            None => {}
            Some(SignalRequest::Status) => complain(&format_args!("connecting; {nothing}")),
            Some(SignalRequest::Stop(signal)) => return Err(interrupted(signal, &nothing)),
        }
        self.io.check_reader()
    }

    fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
        self.dial(now)
    }

    fn outcome(&mut self) -> Option<Token> {
        self.server
    }
}
