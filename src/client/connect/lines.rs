//! Lines of standard input. The server echoes each over a connection of its own.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio::Token;

use super::Options;
use super::client_io::{ClientIo, SignalRequest, interrupted, unwritable};
use super::exchange::Exchange;
use super::notice::{Notice, timed_out};
use super::totals::Totals;
use super::unasked::{self, LOOK_BYTES, Unasked};
use super::watched::Watched;
use crate::client::dial::{Established, Step};
use crate::client::drive::{Driven, Timeout, drive};
use crate::client::idle_timer::IdleTimer;
use crate::client::{CLOSE_TIMEOUT, write_rest};
use crate::reactor::{Reactor, Ready};
use crate::stdio::complain;
use input::{LineRead, read_line};

mod input;

/// The most finished connections that the client watches at once for surplus bytes. Each takes a descriptor.
const MAX_FINISHED: usize = 64;

/// Sends each line of standard input on a new connection, and writes what comes back to standard output.
pub fn run(options: &Options) -> io::Result<()> {
    let now = Instant::now();
    let mut lines = LineClient::new(options, now)?;
    let echoed = drive(&mut lines, now);
    log(&Notice::Ended(&lines.totals));
    echoed.and_then(|()| lines.totals.verdict())
}

struct LineClient<'a> {
    options: &'a Options,
    io: ClientIo,
    /// The next line goes to this one.
    connection: Option<Token>,
    /// Connections with a complete echo that the server has not closed yet.
    finished: VecDeque<Token>,
    totals: Totals,
    /// The start of the next line.
    line: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The client connects: first before it reads any line, and then for each line.
    Connecting(Option<Exchange>),
    Reading,
    Talking(Exchange),
    /// The exchange is over, and its echo goes to the output. This many bytes are written.
    Writing(Exchange, usize),
    /// The input has ended, and the output may not have taken everything.
    Ending,
    /// All is written, and the servers have some time to close.
    Closing(IdleTimer),
    Over,
}

impl Driven for LineClient<'_> {
    type Watched = Watched;
    type Outcome = ();

    fn reactor(&mut self) -> &mut Reactor<Watched> {
        &mut self.io.reactor
    }

    fn poll_timeout(&mut self, now: Instant) -> Timeout {
        match &self.state {
            State::Connecting(_) => {
                self.io.dialer().map_or(Timeout::Never, |dialer| dialer.poll_timeout(now))
            }
            State::Talking(exchange) => exchange.poll_timeout(now),
            State::Closing(timer) => Timeout::Owed(timer.left(now)),
            State::Reading | State::Writing(..) | State::Ending | State::Over => Timeout::Never,
        }
    }

    fn discount(&mut self, standstill: Duration, _: Instant) {
        match &mut self.state {
            State::Talking(exchange) => exchange.discount(standstill),
            State::Closing(timer) => timer.discount(standstill),
            _ => {}
        }
        if let Ok(dialer) = self.io.dialer() {
            dialer.discount(standstill);
        }
    }

    fn handle_ready(&mut self, ready: &[Ready], now: Instant) -> io::Result<()> {
        let asked = self.io.handle_ready(ready);
        self.look_at_finished();
        match asked {
            None => {}
            Some(SignalRequest::Status) => complain(&self.totals),
            // Everything has come back.
            Some(SignalRequest::Stop(_)) if matches!(self.state, State::Closing(_)) => {
                self.state = State::Over;
            }
            Some(SignalRequest::Stop(signal)) => return Err(interrupted(signal, &self.totals)),
        }
        while self.advance(now)? {}
        match self.state {
            State::Closing(_) | State::Over => Ok(()),
            // What is left to do ends with a write.
            _ => self.io.check_reader(),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
        match &self.state {
            State::Talking(exchange) if exchange.has_expired(now) => {
                let (received, of) = (exchange.echo().len(), exchange.message().len());
                return Err(timed_out(self.options.timeout, received as u64, of as u64));
            }
            State::Closing(timer) if self.finished.is_empty() || timer.has_expired(now) => {
                self.state = State::Over;
            }
            _ => {}
        }
        Ok(())
    }

    fn outcome(&mut self) -> Option<()> {
        matches!(self.state, State::Over).then_some(())
    }
}

impl<'a> LineClient<'a> {
    fn new(options: &'a Options, now: Instant) -> io::Result<Self> {
        Ok(Self {
            options,
            io: ClientIo::open(options, now)?,
            connection: None,
            finished: VecDeque::new(),
            totals: Totals::default(),
            line: Vec::new(),
            state: State::Connecting(None),
        })
    }

    /// Takes one step, and returns whether another one can follow at once.
    fn advance(&mut self, now: Instant) -> io::Result<bool> {
        match &self.state {
            State::Connecting(_) => self.dial(now),
            State::Reading => self.read(now),
            State::Talking(_) => self.talk(now),
            State::Writing(..) => self.write(),
            State::Ending => self.end(now),
            State::Closing(_) | State::Over => Ok(false),
        }
    }

    fn dial(&mut self, now: Instant) -> io::Result<bool> {
        let again = self.totals.connections > 0;
        loop {
            match self.io.dialer()?.poll(now) {
                Step::Progress(progress) => log(&Notice::Dialing { progress, again }),
                Step::Connected(made) => return self.connected(made, now),
                Step::Failed(error) => return Err(error),
                Step::Wait => return Ok(false),
            }
        }
    }

    fn connected(&mut self, made: Established, now: Instant) -> io::Result<bool> {
        self.totals.connections += 1;
        log(&Notice::Connected { peer: &made.peer, local: &made.local });
        self.connection = Some(self.io.add(made.socket)?);
        self.state = match std::mem::replace(&mut self.state, State::Reading) {
            State::Connecting(Some(mut exchange)) => {
                exchange.restart(now);
                State::Talking(exchange)
            }
            _ => State::Reading,
        };
        Ok(true)
    }

    /// Reads the next line and begins its exchange, or begins to close after the last line.
    fn read(&mut self, now: Instant) -> io::Result<bool> {
        match read_line(self.io.input()?, &mut self.line)? {
            LineRead::Partial => return Ok(false),
            LineRead::Whole => {
                self.look();
                self.totals.messages += 1;
                let line = std::mem::take(&mut self.line);
                self.begin(Exchange::new(line, self.options.timeout, now), now)?;
            }
            LineRead::End => {
                self.look();
                self.finish_connection();
                self.state = State::Ending;
            }
        }
        Ok(true)
    }

    /// Ends the output, and begins to close once it has taken everything.
    fn end(&mut self, now: Instant) -> io::Result<bool> {
        let is_done = self.io.output()?.end().map_err(|e| unwritable(&e))?;
        if is_done {
            self.state = State::Closing(IdleTimer::new(CLOSE_TIMEOUT, now));
            self.look_at_finished();
        }
        Ok(is_done)
    }

    fn begin(&mut self, exchange: Exchange, now: Instant) -> io::Result<()> {
        if self.connection.is_some() {
            self.state = State::Talking(exchange);
        } else {
            self.io.dialer()?.start(now);
            self.state = State::Connecting(Some(exchange));
        }
        Ok(())
    }

    fn talk(&mut self, now: Instant) -> io::Result<bool> {
        let State::Talking(exchange) = &mut self.state else { return Ok(false) };
        let Some(connection) = self.connection else { return Ok(false) };
        match self.totals.drive(exchange, self.io.server(connection)?, now) {
            Ok(None) => return Ok(false),
            Ok(Some(took)) => log(&Notice::Received { echo: exchange.echo(), took }),
            Err(why) => return self.cut_short(&why, now),
        }
        self.judge();
        Ok(true)
    }

    /// The connection ended before the echo was complete.
    fn cut_short(&mut self, why: &io::Error, now: Instant) -> io::Result<bool> {
        self.close();
        let State::Talking(exchange) = &self.state else { return Ok(false) };
        let of = exchange.message().len();
        log(&Notice::CutShort { echo: exchange.echo(), of, why });
        if !exchange.may_retry() {
            self.judge();
        } else if let State::Talking(mut exchange) =
            std::mem::replace(&mut self.state, State::Reading)
        {
            log(&Notice::SendingAgain);
            exchange.begin_again();
            self.totals.again += 1;
            self.begin(exchange, now)?;
        }
        Ok(true)
    }

    /// Counts the result of an exchange that is over, and begins to write its echo.
    fn judge(&mut self) {
        let State::Talking(exchange) = std::mem::replace(&mut self.state, State::Reading) else {
            return;
        };
        if let Some(difference) = self.totals.judge(&exchange) {
            log(&Notice::Differs(difference));
        }
        self.state = State::Writing(exchange, 0);
    }

    fn write(&mut self) -> io::Result<bool> {
        let State::Writing(exchange, written) = &mut self.state else { return Ok(false) };
        let all = write_rest(self.io.output()?, exchange.echo(), written);
        if !all.map_err(|e| unwritable(&e))? {
            return Ok(false);
        }
        self.finish_connection();
        self.state = State::Reading;
        Ok(true)
    }

    /// Notices what the server did while it owed nothing.
    fn look(&mut self) {
        if let Some(connection) = self.connection
            && self.has_ended(connection)
        {
            self.close();
        }
    }

    /// Whether a connection has ended, or is out of step, while the server owed nothing.
    fn has_ended(&mut self, connection: Token) -> bool {
        let Ok(socket) = self.io.server(connection) else { return true };
        match unasked::look(socket, &mut [0; LOOK_BYTES]) {
            Unasked::Nothing => return false,
            Unasked::End(why) => log(&Notice::ServerLeft(&why)),
            Unasked::Bytes(bytes) => {
                self.totals.surplus_bytes += bytes.len();
                log(&Notice::Surplus(bytes));
            }
        }
        true
    }

    fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.io.close(connection);
            log(&Notice::Closed);
        }
    }

    /// Shuts down writing, and leaves it to the server to close. What the server sends from now on is too much.
    fn finish_connection(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        self.io.shutdown_write(connection);
        self.finished.push_back(connection);
        if self.finished.len() > MAX_FINISHED {
            self.look_at_finished();
        }
        if self.finished.len() > MAX_FINISHED
            && let Some(oldest) = self.finished.pop_front()
        {
            self.io.close(oldest);
        }
    }

    fn look_at_finished(&mut self) {
        for _ in 0..self.finished.len() {
            let Some(connection) = self.finished.pop_front() else { break };
            if self.has_ended(connection) {
                self.io.close(connection);
                log(&Notice::Closed);
            } else {
                self.finished.push_back(connection);
            }
        }
    }
}

fn log(notice: &Notice<'_>) {
    if notice.is_warning() { log::warn!("{notice}") } else { log::debug!("{notice}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::connect::scripted::unanswered;
    use crate::client::drive::assert_discounts;

    #[test]
    fn a_standstill_counts_against_no_server_in_any_state() {
        let ((_listener, options), now) = (unanswered(), Instant::now());
        let mut client = LineClient::new(&options, now).unwrap();
        client.handle_ready(&[], now).unwrap();
        assert_discounts(&mut client, now);
        client.state = State::Talking(Exchange::new(vec![0], options.timeout, now));
        assert_discounts(&mut client, now);
        client.state = State::Closing(IdleTimer::new(CLOSE_TIMEOUT, now));
        assert_discounts(&mut client, now);
    }
}
