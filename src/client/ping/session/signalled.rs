//! What a ping does when a signal comes.

use std::io;
use std::time::Instant;

use signal_hook::consts::SIGQUIT;

use super::super::notice::{Doing, Notice};
use super::super::watched::Watched;
use super::{Session, State};
use crate::signals;

impl<'a, S: FnMut(&Notice<'_>) -> io::Result<()>> Session<'a, S> {
    /// Reads the signals that have come, all of one batch as one, and shows how things stand if asked to.
    pub(super) fn is_told_to_stop(&mut self) -> io::Result<bool> {
        if !self.ready.iter().any(|ready| ready.token == self.signals) {
            return Ok(false);
        }
        let Some(Watched::Signals(signals)) = self.reactor.get_mut(self.signals) else {
            return Ok(false);
        };
        let pending: Vec<_> = signals.pending().collect();
        if pending.contains(&SIGQUIT) {
            let doing = self.doing(Instant::now())?;
            (self.say)(&Notice::Interim { tally: self.tally, doing })?;
        }
        Ok(pending.into_iter().any(signals::is_stop))
    }

    fn doing(&mut self, now: Instant) -> io::Result<Doing<'a>> {
        let (server, sequence) = (&self.options.server, self.tally.sent);
        let is_looking_up = self.dialer()?.is_looking_up();
        Ok(match self.state {
            State::Connecting if is_looking_up => Doing::LookingUp(server),
            State::Connecting => Doing::Connecting(server),
            State::Waiting(_) => Doing::Waiting { sequence, waited: self.waited(now) },
            State::Apart | State::Idle(_) | State::Leaving { .. } => Doing::Nothing,
        })
    }
}
