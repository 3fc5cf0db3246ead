//! Sends messages to the server one after the other, and reports each echo.
//!
//! It waits for no server, and it watches the server all the time. So it notices at once if the server closes, speaks
//! unasked or comes back. Only its view can block, on a terminal that takes no output.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::Token;

use super::view::View;
use crate::client::connect::Options;
use crate::client::connect::exchange::Exchange;
use crate::client::connect::notice::Notice;
use crate::client::connect::totals::Totals;
use crate::client::connect::watched::Watched;
use crate::client::dial::Dialer;
use crate::client::drive::Timeout;
use crate::client::idle_timer::IdleTimer;
use crate::reactor::Reactor;
use link::LinkState;

mod link;
mod delivery;

/// Talks to the server of its options, and reports each step to its view.
pub struct Messenger<'a> {
    options: &'a Options,
    pub view: View,
    pub reactor: Reactor<Watched>,
    dialer: Token,
    link: LinkState,
    state: State,
    totals: Totals,
}

#[derive(Debug)]
enum State {
    /// The server owes nothing: the user can send a message.
    Idle,
    /// The messenger connects: at first, or for this exchange.
    Dialing(Option<Exchange>),
    Talking(Exchange),
    /// All that was owed has come. What comes until the server closes is too much.
    Closing {
        timer: IdleTimer,
        is_last: bool,
    },
    Over,
}

impl<'a> Messenger<'a> {
    /// Begins to connect.
    ///
    /// # Errors
    ///
    /// If the system cannot watch a connection.
    pub fn open(options: &'a Options, view: View, now: Instant) -> io::Result<Self> {
        let mut reactor = Reactor::new()?;
        let dialer = reactor.insert(Watched::dialer(options)?)?;
        reactor.dialer(dialer)?.start(now);
        Ok(Self {
            options,
            view,
            reactor,
            dialer,
            link: LinkState::None,
            state: State::Dialing(None),
            totals: Totals::default(),
        })
    }

    /// Whether the user can send a message.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether all is done, apart from the [totals](Self::finish).
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// How long until something is due without an event.
    pub fn poll_timeout(&mut self, now: Instant) -> Timeout {
        match (&self.state, &self.link) {
            (State::Talking(exchange), _) => exchange.poll_timeout(now),
            (State::Closing { timer, .. }, _) => Timeout::Owed(timer.left(now)),
            (State::Idle, LinkState::Lost { look_at, .. }) => {
                Timeout::Idle(look_at.saturating_duration_since(now))
            }
            (State::Dialing(_), _) | (State::Idle, LinkState::Looking { .. }) => {
                self.dialer().map_or(Timeout::Never, |dialer| dialer.poll_timeout(now))
            }
            (State::Idle, LinkState::None | LinkState::Up { .. }) | (State::Over, _) => {
                Timeout::Never
            }
        }
    }

    /// Leaves out a time in which the program did not run. It counts against no server.
    pub fn discount(&mut self, standstill: Duration) {
        match &mut self.state {
            State::Talking(exchange) => exchange.discount(standstill),
            State::Closing { timer, .. } => timer.discount(standstill),
            State::Idle | State::Dialing(_) | State::Over => {}
        }
        if let Ok(dialer) = self.dialer() {
            dialer.discount(standstill);
        }
    }

    /// Goes on as far as it can without blocking.
    ///
    /// # Errors
    ///
    /// If the first connection fails, or the view does.
    pub fn advance(&mut self, now: Instant) -> io::Result<()> {
        match &self.state {
            State::Idle => self.watch(now),
            State::Dialing(_) => self.dial(now),
            State::Talking(_) => self.talk(now),
            State::Closing { .. } => self.close(),
            State::Over => Ok(()),
        }
    }

    /// Handles what is due. What has come by now is not late, so [`advance`](Self::advance) comes first.
    ///
    /// # Errors
    ///
    /// If the view fails.
    pub fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
        match &self.state {
            State::Talking(exchange) if exchange.has_expired(now) => self.late(now),
            State::Closing { timer, .. } if timer.has_expired(now) => self.end_closing(),
            _ => Ok(()),
        }
    }

    /// Sends a message, if the messenger [is idle](Self::is_idle).
    ///
    /// # Errors
    ///
    /// If the view fails.
    pub fn send(&mut self, message: Vec<u8>, now: Instant) -> io::Result<()> {
        self.totals.messages += 1;
        self.begin(Exchange::new(message, self.options.timeout, now), now)
    }

    /// Begins to end the conversation. A second call ends it at once.
    ///
    /// # Errors
    ///
    /// That the user interrupted it before anything came, if something was due; or that the view failed.
    pub fn end(&mut self, now: Instant) -> io::Result<()> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Idle | State::Closing { is_last: false, .. } => self.begin_to_close(true, now),
            State::Closing { is_last: true, .. } | State::Over => Ok(()),
            State::Dialing(None) => Err(interrupted()),
            State::Dialing(Some(exchange)) | State::Talking(exchange) => {
                self.judge(&exchange)?;
                if self.totals.received_bytes > 0 { Ok(()) } else { Err(interrupted()) }
            }
        }
    }

    /// Reports how things stand.
    ///
    /// # Errors
    ///
    /// If the view fails.
    pub fn show_status(&mut self) -> io::Result<()> {
        let waits_for = match &self.state {
            State::Talking(exchange) => Some((exchange.echo().len(), exchange.message().len())),
            _ => None,
        };
        let is_connected = matches!(self.link, LinkState::Up { .. });
        self.view.report(&Notice::Status { totals: &self.totals, is_connected, waits_for })
    }

    /// Reports the totals, if there are any, after an error.
    pub fn abort(&mut self) {
        if self.totals.connections > 0 {
            // The error comes first: if the view cannot be written to, it says so.
            let _ = self.view.report(&Notice::Ended(&self.totals));
        }
    }

    /// Reports the totals.
    ///
    /// # Errors
    ///
    /// What was wrong with the echoes, if anything, or that the view failed.
    pub fn finish(mut self) -> io::Result<()> {
        self.view.report(&Notice::Ended(&self.totals))?;
        self.totals.verdict()
    }

    fn dialer(&mut self) -> io::Result<&mut Dialer> {
        self.reactor.dialer(self.dialer)
    }
}

fn interrupted() -> io::Error {
    io::Error::new(ErrorKind::Interrupted, "interrupted before anything came back")
}

#[cfg(test)]
mod tests;
