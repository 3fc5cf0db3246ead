//! The part of a ping that connects.

use std::io::{self, ErrorKind};
use std::time::Instant;

use super::super::notice::Notice;
use super::super::schedule::Schedule;
use super::super::watched::Watched;
use super::{Session, State};
use crate::client::dial::{Dialer, Established, Progress, Step};
use crate::client::failure::Failure;
use crate::net::Endpoint;

impl<S: FnMut(&Notice<'_>) -> io::Result<()>> Session<'_, S> {
    /// The next message's turn.
    pub(super) fn begin(&mut self, now: Instant) -> io::Result<()> {
        self.schedule.begin(now);
        self.tally.sent += 1;
        if let State::Idle(token) = self.state {
            return self.send(token);
        }
        self.state = State::Connecting;
        self.dialer()?.start(now);
        self.dial(now)
    }

    pub(super) fn dialer(&mut self) -> io::Result<&mut Dialer> {
        match self.reactor.get_mut(self.dialer) {
            Some(Watched::Dialer(dialer)) => Ok(dialer),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// Goes on with connecting.
    pub(super) fn dial(&mut self, now: Instant) -> io::Result<()> {
        loop {
            match self.dialer()?.poll(now) {
                Step::Wait => return Ok(()),
                Step::Progress(progress) => self.report(&progress)?,
                Step::Connected(connection) => return self.connected(connection),
                Step::Failed(error) => return self.unreachable(error),
            }
        }
    }

    fn report(&mut self, progress: &Progress) -> io::Result<()> {
        match progress {
            Progress::Connecting(peer) if self.peer.is_none() => self.introduce(peer.clone()),
            Progress::Connecting(_) => Ok(()),
            Progress::Failed(_) | Progress::Waiting { .. } => {
                (self.say)(&Notice::Dialing(progress))
            }
        }
    }

    fn introduce(&mut self, peer: Endpoint) -> io::Result<()> {
        let (server, bytes) = (&self.options.server, self.options.size);
        (self.say)(&Notice::Start { server, peer: &peer, bytes })?;
        self.peer = Some(peer);
        Ok(())
    }

    fn connected(&mut self, made: Established) -> io::Result<()> {
        let Established { socket, local, peer, took } = made;
        if self.peer.is_none() {
            self.introduce(peer.clone())?;
        }
        let token = self.reactor.insert(Watched::Server(socket))?;
        let again = self.tally.connect.count() > 0;
        if !again {
            self.dialer()?.set_wait(None);
            let now = Instant::now();
            self.schedule = Schedule::new(self.options.interval, now);
            self.schedule.begin(now);
        }
        self.tally.connect.record(took);
        (self.say)(&Notice::Connected { peer: &peer, local: &local, took, again })?;
        self.peer = Some(peer);
        self.probe.restart();
        self.send(token)
    }

    /// There is no connection for the message that is due.
    fn unreachable(&mut self, error: io::Error) -> io::Result<()> {
        if self.tally.connect.count() == 0 {
            // Nothing was ever sent, so nothing is lost.
            self.tally.sent = 0;
            return Err(error);
        }
        self.failed(Failure::Connect(error))
    }
}
