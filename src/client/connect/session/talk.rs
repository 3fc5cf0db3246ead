//! A message and its echo on the connection of a session.

use std::io;
use std::time::{Duration, Instant};

use super::link::{FIRST_LOOK, Link, Unasked};
use super::{Report, Session, State, server};
use crate::client::CLOSE_TIMEOUT;
use crate::client::connect::exchange::Exchange;
use crate::client::connect::notice::{Notice, timed_out};
use crate::client::idle_timer::IdleTimer;
use crate::net::Stream as _;

/// A message, and how far it has come.
pub(super) struct Talk {
    pub(super) exchange: Exchange<'static>,
    began: Instant,
    pub(super) timer: IdleTimer,
    is_sent_reported: bool,
    /// Whether its first connection ended before any of the echo came.
    is_second_try: bool,
}

impl Talk {
    pub(super) fn new(message: Vec<u8>, timeout: Duration, now: Instant) -> Self {
        Self {
            exchange: Exchange::new(message),
            began: now,
            timer: IdleTimer::new(timeout, now),
            is_sent_reported: false,
            is_second_try: false,
        }
    }

    /// Its time begins when its connection is there.
    pub(super) fn restarted(mut self, now: Instant) -> Self {
        self.began = now;
        self.timer.renew(now);
        self
    }

    /// This program stood still for this long, which counts for nothing.
    pub(super) fn discount(&mut self, stood: Duration) {
        self.began += stood;
        self.timer.discount(stood);
    }

    /// The same message once more, from its start.
    fn again(self, now: Instant) -> Self {
        let exchange = Exchange::new(self.exchange.message().to_vec());
        Self { exchange, is_sent_reported: false, is_second_try: true, ..self }.restarted(now)
    }
}

impl<R: Report> Session<'_, R> {
    pub(super) fn begin(&mut self, talk: Talk, now: Instant) -> io::Result<()> {
        if let Link::Up { is_spare, .. } = &mut self.link {
            *is_spare = false;
            self.state = State::Talking(talk);
            return self.talk(now);
        }
        self.link = Link::None;
        self.state = State::Dialing(Some(talk));
        self.dialer()?.start(now);
        self.dial(now)
    }

    /// Goes on with a message and its echo.
    pub(super) fn talk(&mut self, now: Instant) -> io::Result<()> {
        let State::Talking(talk) = &mut self.state else { return Ok(()) };
        let Link::Up { token, .. } = self.link else { return Ok(()) };
        let before = talk.exchange.moved_bytes();
        // Also when the time is over: what has come by now is not late.
        let driven = talk.exchange.drive(server(&mut self.ends, token)?);
        if talk.exchange.is_sent() && !std::mem::replace(&mut talk.is_sent_reported, true) {
            self.report.report(&Notice::Sent { message: talk.exchange.message() })?;
        }
        if talk.exchange.is_complete() {
            let (echo, took) = (talk.exchange.echo(), talk.began.elapsed());
            self.report.report(&Notice::Received { echo, took })?;
            return self.settle(now);
        }
        if let Err(why) = driven {
            return self.cut_short(&why, now);
        }
        if talk.exchange.moved_bytes() != before {
            talk.timer.renew(now);
        }
        if talk.timer.has_expired(now) { self.late(now) } else { Ok(()) }
    }

    /// No further byte of the echo came in time.
    fn late(&mut self, now: Instant) -> io::Result<()> {
        if let State::Talking(talk) = &self.state {
            let (received, of) = (talk.exchange.echo().len(), talk.exchange.message_bytes());
            let late = timed_out(self.options.timeout, received as u64, of as u64);
            self.report.report(&Notice::Late(&late))?;
        }
        // Its echo may still come, and would be taken for the next one.
        self.disconnect();
        self.settle(now)
    }

    fn cut_short(&mut self, why: &io::Error, now: Instant) -> io::Result<()> {
        self.disconnect();
        let State::Talking(talk) = std::mem::replace(&mut self.state, State::Idle) else {
            return Ok(());
        };
        let (echo, of) = (talk.exchange.echo(), talk.exchange.message_bytes());
        self.report.report(&Notice::CutShort { echo, of, why })?;
        if talk.is_second_try || !echo.is_empty() {
            self.state = State::Talking(talk);
            return self.settle(now);
        }
        // As likely as not the server left before the message reached it.
        self.report.report(&Notice::SendingAgain)?;
        self.tally.again += 1;
        self.tally.sent_bytes += talk.exchange.sent_bytes();
        self.begin(talk.again(now), now)
    }

    /// An exchange is over, for good or ill.
    fn settle(&mut self, now: Instant) -> io::Result<()> {
        if let State::Talking(talk) = std::mem::replace(&mut self.state, State::Idle) {
            self.account(&talk.exchange)?;
        }
        match self.link {
            Link::Up { .. } if self.options.reconnect => self.begin_to_part(false, now),
            // The event for what came after the echo may be spent.
            Link::Up { .. } => self.look(now),
            _ if self.options.reconnect => Ok(()),
            _ => {
                self.link = Link::Lost { look_at: now + FIRST_LOOK, is_down: false };
                Ok(())
            }
        }
    }

    pub(super) fn account(&mut self, exchange: &Exchange<'_>) -> io::Result<()> {
        self.tally.sent_bytes += exchange.sent_bytes();
        self.tally.received_bytes += exchange.echo().len();
        let difference = exchange.difference();
        if difference.is_some() || !exchange.is_complete() {
            self.tally.wrong += 1;
        }
        difference.map_or(Ok(()), |difference| self.report.report(&Notice::Differs(difference)))
    }

    pub(super) fn begin_to_part(&mut self, is_last: bool, now: Instant) -> io::Result<()> {
        self.state = State::Parting { timer: IdleTimer::new(CLOSE_TIMEOUT, now), is_last };
        if let Link::Up { token, .. } = self.link {
            // Fails only if the connection is gone, which reading from it reports.
            let _ = server(&mut self.ends, token)?.shutdown_write();
        }
        self.part(now)
    }

    /// Waits for the server to close, for a while: what it sends until then is too much.
    pub(super) fn part(&mut self, now: Instant) -> io::Result<()> {
        let State::Parting { timer, is_last } = &self.state else { return Ok(()) };
        let (is_last, is_over) = (*is_last, timer.has_expired(now));
        let is_connected = matches!(self.link, Link::Up { .. });
        if is_connected && matches!(self.read_unasked()?, Unasked::Nothing) && !is_over {
            return Ok(());
        }
        self.disconnect();
        self.state = if is_last { State::Over } else { State::Idle };
        if is_connected { self.report.report(&Notice::Closed) } else { Ok(()) }
    }
}
