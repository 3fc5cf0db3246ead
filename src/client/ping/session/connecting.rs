//! The part of a session that connects.

use std::io;
use std::time::Instant;

use super::{Notify, Session, State};
use crate::client::dial::DialProgress;
use crate::client::failure::Failure;
use crate::client::ping::network::{Connected, Dialed, Network};
use crate::client::ping::notice::Notice;
use crate::client::ping::schedule::Schedule;
use crate::net::Endpoint;

impl<N: Network, S: Notify> Session<'_, N, S> {
    /// Continues to connect.
    pub(super) fn dial(&mut self, now: Instant) -> io::Result<()> {
        loop {
            match self.network.poll(now)? {
                Dialed::Pending => return Ok(()),
                Dialed::Progress(progress) => self.report_progress(&progress)?,
                Dialed::Connected(made) => return self.connected(made, now),
                Dialed::Failed(error) => return self.not_connected(error, now),
            }
        }
    }

    fn report_progress(&mut self, progress: &DialProgress) -> io::Result<()> {
        match progress {
            DialProgress::Connecting(peer) if self.peer.is_none() => {
                self.report_start(peer.clone())
            }
            DialProgress::Connecting(_) => Ok(()),
            DialProgress::Failed(_) | DialProgress::Waiting { .. } => {
                (self.notify)(&Notice::Dialing(progress))
            }
        }
    }

    fn report_start(&mut self, peer: Endpoint) -> io::Result<()> {
        let (server, bytes) = (&self.options.server, self.options.size);
        (self.notify)(&Notice::Start { server, peer: &peer, bytes })?;
        self.peer = Some(peer);
        Ok(())
    }

    fn connected(&mut self, made: Connected, now: Instant) -> io::Result<()> {
        let Connected { peer, local, took } = made;
        if self.peer.is_none() {
            self.report_start(peer.clone())?;
        }
        let again = self.tally.connect_times.count() > 0;
        if !again {
            self.network.stop_retrying();
            self.schedule = Schedule::new(self.options.interval, now);
            self.schedule.begin(now);
        }
        self.tally.connect_times.record(took);
        (self.notify)(&Notice::Connected { peer: &peer, local: &local, took, again })?;
        self.peer = Some(peer);
        self.probe.restart();
        self.state = State::Ready;
        Ok(())
    }

    /// There is no connection for the message.
    fn not_connected(&mut self, error: io::Error, now: Instant) -> io::Result<()> {
        if self.tally.connect_times.count() == 0 {
            // No message was ever sent, so none is lost.
            self.tally.sent = 0;
            return Err(error);
        }
        self.fail(Failure::Connect(error), now)
    }
}
