//! A conversation with the server: messages one after the other, on one connection or on many.
//!
//! It never blocks but in [`Session::turn`], which also returns for what the caller watches beside the
//! server: keys and signals. So a server that closes, speaks unasked or comes back is noticed at once,
//! whether or not anything is due.

use std::io::{self, ErrorKind};
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook_mio::v1_0::Signals;

use super::Options;
use super::notice::{Notice, Tally};
use crate::client::dial::{Dialer, Limits};
use crate::client::idle_timer::IdleTimer;
use crate::client::standstill::{Standstill, Timeout, processor_time};
use crate::net::{Socket, delegate_source};
use crate::reactor::{Reactor, Ready};
use crate::stdio::Standard;
use link::Link;
use talk::Talk;

mod link;
mod talk;

/// Where a session says what it does.
pub trait Report {
    /// # Errors
    ///
    /// Why it cannot be said, which ends the session.
    fn report(&mut self, notice: &Notice<'_>) -> io::Result<()>;
}

/// Talks to the server of its options, and reports each step.
pub struct Session<'a, R> {
    options: &'a Options,
    pub report: R,
    pub ends: Reactor<End>,
    ready: Vec<Ready>,
    dialer: Token,
    link: Link,
    state: State,
    standstill: Standstill,
    tally: Tally,
}

/// What the reactor polls.
pub enum End {
    Server(Socket),
    Dialer(Box<Dialer>),
    Input(Standard),
    Signals(Signals),
}

enum State {
    /// Nothing is owed: a message may be sent.
    Idle,
    /// A connection is being made: the first, or for this exchange.
    Dialing(Option<Talk>),
    Talking(Talk),
    /// All that was owed has come; what comes until the server closes is too much.
    Parting {
        timer: IdleTimer,
        is_last: bool,
    },
    Over,
}

impl<'a, R: Report> Session<'a, R> {
    /// Begins to connect.
    ///
    /// # Errors
    ///
    /// If the system cannot watch a connection.
    pub fn open(options: &'a Options, report: R) -> io::Result<Self> {
        let now = Instant::now();
        let limits = Limits { wait: options.wait, ..Limits::new(options.timeout) };
        let mut dialer = Dialer::new(&options.server, limits)?;
        dialer.start(now);
        let mut ends = Reactor::new()?;
        let dialer = ends.insert(End::Dialer(Box::new(dialer)))?;
        ends.requeue(dialer);
        Ok(Self {
            options,
            report,
            ends,
            ready: Vec::new(),
            dialer,
            link: Link::None,
            state: State::Dialing(None),
            standstill: Standstill::new(now, processor_time()),
            tally: Tally::default(),
        })
    }

    /// Whether a message can be sent.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether all is done, apart from the [totals](Self::finish).
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Waits until something happens at one of the ends, and goes on with what is due.
    ///
    /// # Errors
    ///
    /// If the first connection cannot be made, or that it cannot be reported.
    pub fn turn(&mut self) -> io::Result<()> {
        let timeout = self.poll_timeout(Instant::now());
        let left = self.standstill.plan(timeout);
        self.ends.wait(left, &mut self.ready)?;
        let now = Instant::now();
        self.discount(now);
        self.go_on(now)
    }

    /// How long until something is due without an event.
    fn poll_timeout(&mut self, now: Instant) -> Timeout {
        match (&self.state, &self.link) {
            (State::Talking(talk), _) => Timeout::Owed(talk.timer.left(now)),
            (State::Parting { timer, .. }, _) => Timeout::Owed(timer.left(now)),
            (State::Idle, Link::Lost { look_at, .. }) => {
                Timeout::Idle(look_at.saturating_duration_since(now))
            }
            (State::Dialing(_), _) | (State::Idle, Link::Looking { .. }) => {
                self.dialer().map_or(Timeout::Never, |dialer| dialer.poll_timeout(now))
            }
            (State::Idle, Link::None | Link::Up { .. }) | (State::Over, _) => Timeout::Never,
        }
    }

    /// The time in which this program stood still counts against no server: within a wait, or after it.
    fn discount(&mut self, now: Instant) {
        let stood = self.standstill.end(now, processor_time());
        match &mut self.state {
            State::Talking(talk) => talk.discount(stood),
            State::Parting { timer, .. } => timer.discount(stood),
            State::Idle | State::Dialing(_) | State::Over => {}
        }
        if let Ok(dialer) = self.dialer() {
            dialer.discount(stood);
        }
    }

    fn go_on(&mut self, now: Instant) -> io::Result<()> {
        match &self.state {
            State::Idle => self.watch(now),
            State::Dialing(_) => self.dial(now),
            State::Talking(_) => self.talk(now),
            State::Parting { .. } => self.part(now),
            State::Over => Ok(()),
        }
    }

    /// Sends a message, if the session [is idle](Self::is_idle).
    ///
    /// # Errors
    ///
    /// If it cannot be reported.
    pub fn send(&mut self, message: Vec<u8>) -> io::Result<()> {
        let now = Instant::now();
        self.tally.messages += 1;
        self.begin(Talk::new(message, self.options.timeout, now), now)
    }

    /// Begins to end the session, in order. Asked a second time, it ends at once.
    ///
    /// # Errors
    ///
    /// That it was interrupted before anything came, if something was due; or that it cannot be reported.
    pub fn end(&mut self) -> io::Result<()> {
        let now = Instant::now();
        match std::mem::replace(&mut self.state, State::Over) {
            State::Idle | State::Parting { is_last: false, .. } => self.begin_to_part(true, now),
            State::Parting { is_last: true, .. } | State::Over => Ok(()),
            State::Dialing(None) => Err(interrupted()),
            State::Dialing(Some(talk)) | State::Talking(talk) => {
                self.account(&talk.exchange)?;
                if self.tally.received_bytes > 0 { Ok(()) } else { Err(interrupted()) }
            }
        }
    }

    /// Reports how things stand.
    ///
    /// # Errors
    ///
    /// If it cannot be reported.
    pub fn show_status(&mut self) -> io::Result<()> {
        let waits_for = match &self.state {
            State::Talking(talk) => {
                Some((talk.exchange.echo().len(), talk.exchange.message_bytes()))
            }
            _ => None,
        };
        let is_connected = matches!(self.link, Link::Up { .. });
        self.report.report(&Notice::Status { tally: &self.tally, is_connected, waits_for })
    }

    /// Reports what was done, if anything, although the session has failed.
    pub fn abort(&mut self) {
        if self.tally.connections > 0 {
            // The error that ended the session comes first: if nothing can be written, it says so.
            let _ = self.report.report(&Notice::Ended(&self.tally));
        }
    }

    /// Reports what was done.
    ///
    /// # Errors
    ///
    /// What was wrong with the echoes, if anything, or that it cannot be reported.
    pub fn finish(mut self) -> io::Result<()> {
        self.report.report(&Notice::Ended(&self.tally))?;
        self.tally.verdict()
    }

    fn dialer(&mut self) -> io::Result<&mut Dialer> {
        match self.ends.get_mut(self.dialer) {
            Some(End::Dialer(dialer)) => Ok(dialer),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }
}

fn server(ends: &mut Reactor<End>, token: Token) -> io::Result<&mut Socket> {
    match ends.get_mut(token) {
        Some(End::Server(socket)) => Ok(socket),
        _ => Err(ErrorKind::NotConnected.into()),
    }
}

fn interrupted() -> io::Error {
    io::Error::new(ErrorKind::Interrupted, "interrupted before anything came back")
}

impl End {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Server(socket) => socket,
            Self::Dialer(dialer) => &mut **dialer,
            Self::Input(input) => input,
            Self::Signals(signals) => signals,
        }
    }
}

delegate_source!(End);
