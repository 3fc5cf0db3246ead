//! A message and its echo on the connection of a messenger.

use std::io;
use std::time::Instant;

use super::link::{FIRST_LOOK, LinkState};
use super::{Messenger, State};
use crate::client::CLOSE_TIMEOUT;
use crate::client::connect::exchange::Exchange;
use crate::client::connect::notice::{Notice, timed_out};
use crate::client::connect::unasked::{self, LOOK_BYTES, Unasked};
use crate::client::idle_timer::IdleTimer;
use crate::net::Stream as _;

impl Messenger<'_> {
    pub(super) fn begin(&mut self, exchange: Exchange, now: Instant) -> io::Result<()> {
        if let LinkState::Up { is_spare, .. } = &mut self.link {
            *is_spare = false;
            self.state = State::Talking(exchange);
            return self.talk(now);
        }
        self.link = LinkState::None;
        self.state = State::Dialing(Some(exchange));
        self.dialer()?.start(now);
        self.dial(now)
    }

    /// Goes on with a message and its echo.
    pub(super) fn talk(&mut self, now: Instant) -> io::Result<()> {
        let State::Talking(exchange) = &mut self.state else { return Ok(()) };
        let LinkState::Up { token, .. } = self.link else { return Ok(()) };
        let was_sent = exchange.is_sent();
        let driven = self.totals.drive(exchange, self.reactor.server(token)?, now);
        if exchange.is_sent() && !was_sent {
            self.view.report(&Notice::Sent { message: exchange.message() })?;
        }
        match driven {
            Ok(None) => Ok(()),
            Ok(Some(took)) => {
                self.view.report(&Notice::Received { echo: exchange.echo(), took })?;
                self.settle(now)
            }
            Err(why) => self.cut_short(&why, now),
        }
    }

    /// No further byte of the echo came in time.
    pub(super) fn late(&mut self, now: Instant) -> io::Result<()> {
        if let State::Talking(exchange) = &self.state {
            let (received, of) = (exchange.echo().len(), exchange.message().len());
            let late = timed_out(self.options.timeout, received as u64, of as u64);
            self.view.report(&Notice::Late(&late))?;
        }
        // The echo can still come, and would look like the next one.
        self.disconnect();
        self.settle(now)
    }

    /// The connection ended before the echo was complete.
    fn cut_short(&mut self, why: &io::Error, now: Instant) -> io::Result<()> {
        self.disconnect();
        let State::Talking(exchange) = &mut self.state else { return Ok(()) };
        let (echo, of) = (exchange.echo(), exchange.message().len());
        self.view.report(&Notice::CutShort { echo, of, why })?;
        if !exchange.may_retry() {
            return self.settle(now);
        }
        exchange.begin_again();
        self.totals.again += 1;
        self.view.report(&Notice::SendingAgain)?;
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Talking(exchange) => self.begin(exchange, now),
            _ => Ok(()),
        }
    }

    /// Ends an exchange, with or without its echo.
    fn settle(&mut self, now: Instant) -> io::Result<()> {
        if let State::Talking(exchange) = std::mem::replace(&mut self.state, State::Idle) {
            self.judge(&exchange)?;
        }
        match self.link {
            LinkState::Up { .. } if self.options.reconnect => self.begin_to_close(false, now),
            // The event for what came after the echo may be spent.
            LinkState::Up { .. } => self.look(now),
            _ if self.options.reconnect => Ok(()),
            _ => {
                self.link = LinkState::Lost { look_at: now + FIRST_LOOK, is_down: false };
                Ok(())
            }
        }
    }

    /// Counts the result of an exchange that is over, and reports where its echo differs.
    pub(super) fn judge(&mut self, exchange: &Exchange) -> io::Result<()> {
        let difference = self.totals.judge(exchange);
        difference.map_or(Ok(()), |difference| self.view.report(&Notice::Differs(difference)))
    }

    /// Shuts down writing, and waits for the server to close.
    pub(super) fn begin_to_close(&mut self, is_last: bool, now: Instant) -> io::Result<()> {
        self.state = State::Closing { timer: IdleTimer::new(CLOSE_TIMEOUT, now), is_last };
        if let LinkState::Up { token, .. } = self.link {
            // This fails only if the connection is gone, which a read reports.
            let _ = self.reactor.server(token)?.shutdown_write();
        }
        self.close()
    }

    /// Looks whether the server has closed. What it sends until then is too much.
    pub(super) fn close(&mut self) -> io::Result<()> {
        if let LinkState::Up { token, .. } = self.link {
            match unasked::look(self.reactor.server(token)?, &mut [0; LOOK_BYTES]) {
                Unasked::Nothing => return Ok(()),
                Unasked::Bytes(bytes) => self.report_surplus(bytes)?,
                Unasked::End(_) => {}
            }
        }
        self.end_closing()
    }

    pub(super) fn end_closing(&mut self) -> io::Result<()> {
        let is_connected = matches!(self.link, LinkState::Up { .. });
        self.disconnect();
        self.state = match self.state {
            State::Closing { is_last: true, .. } => State::Over,
            _ => State::Idle,
        };
        if is_connected { self.view.report(&Notice::Closed) } else { Ok(()) }
    }
}
