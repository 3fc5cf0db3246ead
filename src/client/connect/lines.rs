//! Lines of standard input, each echoed over a connection of its own.

use std::collections::VecDeque;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::time::Instant;

use mio::Token;

use super::Options;
use super::ends::{Ends, Woken, interrupted};
use super::exchange::Exchange;
use super::notice::{Notice, Tally, timed_out};
use super::stream::unwritable;
use crate::client::dial::Step;
use crate::client::idle_timer::IdleTimer;
use crate::client::{CLOSE_TIMEOUT, attempt};
use crate::net::cannot;
use crate::stdio::{INPUT, complain};

/// The longest line, in bytes: it is held in memory twice, as sent and as received, to be compared.
const MAX_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// The most that is read of what a server sends though it owes nothing: enough to see what it is.
const LOOK_BYTES: usize = 256;

/// The most finished connections that are watched at once for surplus bytes. Each takes a descriptor.
const MAX_FINISHED: usize = 64;

/// Sends each line of standard input on a new connection, and writes what comes back to standard output.
pub fn run(options: &Options) -> io::Result<()> {
    let mut lines = Lines {
        options,
        ends: Ends::open(options)?,
        connection: None,
        finished: VecDeque::new(),
        tally: Tally::default(),
    };
    let echoed = lines.echo_all();
    log(&Notice::Ended(&lines.tally));
    echoed.and_then(|()| lines.tally.verdict())
}

struct Lines<'a> {
    options: &'a Options,
    ends: Ends,
    /// The one that the next line goes to.
    connection: Option<Token>,
    /// Those whose echo is complete and whose end has not come yet.
    finished: VecDeque<Token>,
    tally: Tally,
}

impl Lines<'_> {
    fn echo_all(&mut self) -> io::Result<()> {
        self.connect()?;
        let mut line = Vec::new();
        while self.next_line(&mut line)? {
            self.look();
            self.tally.messages += 1;
            let exchange = self.send(&line)?;
            self.write(exchange.echo())?;
            self.part();
        }
        self.look();
        self.part();
        self.ends.output()?.end().map_err(|e| unwritable(&e))?;
        self.see_the_end()
    }

    fn connect(&mut self) -> io::Result<()> {
        let again = self.tally.connections > 0;
        self.ends.start_dialing()?;
        loop {
            match self.ends.dial()? {
                Step::Progress(progress) => log(&Notice::Dialing { progress, again }),
                Step::Connected(made) => {
                    self.tally.connections += 1;
                    log(&Notice::Connected { peer: &made.peer, local: &made.local });
                    self.connection = Some(self.ends.add(made.socket)?);
                    return Ok(());
                }
                Step::Failed(error) => return Err(error),
                Step::Wait => {
                    self.see_reader()?;
                    let woken = self.ends.wait_to_connect()?;
                    self.heed(woken)?;
                }
            }
        }
    }

    /// Waits for the next line, and returns whether there is one.
    fn next_line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        loop {
            match read_line(self.ends.input()?, line)? {
                Some(is_line) => return Ok(is_line),
                None => self.wait(None)?,
            }
        }
    }

    /// Sends a line, and gives its echo.
    fn send<'m>(&mut self, line: &'m [u8]) -> io::Result<Exchange<'m>> {
        let mut exchange = self.exchange(line)?;
        if exchange.echo().is_empty() && !exchange.is_complete() {
            // As likely as not the server left before the line reached it.
            log(&Notice::SendingAgain);
            self.tally.again += 1;
            exchange = self.exchange(line)?;
        }
        if let Some(difference) = exchange.difference() {
            log(&Notice::Differs(difference));
        }
        if exchange.difference().is_some() || !exchange.is_complete() {
            self.tally.wrong += 1;
        }
        Ok(exchange)
    }

    /// Sends a line until its echo is complete, or its connection has ended.
    fn exchange<'m>(&mut self, line: &'m [u8]) -> io::Result<Exchange<'m>> {
        let mut exchange = Exchange::new(line);
        if self.connection.is_none() {
            self.connect()?;
        }
        let began = Instant::now();
        let mut timer = IdleTimer::new(self.options.timeout, began);
        while let Some(connection) = self.connection {
            let before = (exchange.sent_bytes(), exchange.echo().len());
            let driven = exchange.drive(self.ends.server(connection)?);
            let after = (exchange.sent_bytes(), exchange.echo().len());
            self.tally.sent_bytes += after.0 - before.0;
            self.tally.received_bytes += after.1 - before.1;
            if exchange.is_complete() {
                log(&Notice::Received { echo: exchange.echo(), took: began.elapsed() });
                break;
            }
            if let Err(why) = &driven {
                self.close();
                let of = exchange.message_bytes();
                log(&Notice::CutShort { echo: exchange.echo(), of, why });
                break;
            }
            if after != before {
                timer.renew(Instant::now());
            }
            if self.ends.is_over(&mut timer) {
                let (received, of) = (exchange.echo().len(), exchange.message_bytes());
                return Err(timed_out(self.options.timeout, received as u64, of as u64));
            }
            self.wait(Some(&mut timer))?;
        }
        Ok(exchange)
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let output = self.ends.output()?;
            match attempt(|| output.write(bytes)).map_err(|e| unwritable(&e))? {
                Some(0) => return Err(unwritable(&ErrorKind::WriteZero.into())),
                Some(n) => bytes = &bytes[n..],
                None => self.wait(None)?,
            }
        }
        Ok(())
    }

    fn wait(&mut self, timer: Option<&mut IdleTimer>) -> io::Result<()> {
        self.see_reader()?;
        let woken = self.ends.wait(timer)?;
        self.look_at_finished();
        self.heed(woken)
    }

    /// Fails if the output has no reader any more: what is left to do must be written in the end.
    fn see_reader(&self) -> io::Result<()> {
        if self.ends.has_reader() { Ok(()) } else { Err(unwritable(&ErrorKind::BrokenPipe.into())) }
    }

    /// Does what a signal asks for.
    fn heed(&mut self, woken: Woken) -> io::Result<()> {
        match woken {
            Woken::Plain => Ok(()),
            Woken::Status => {
                complain(&self.tally);
                Ok(())
            }
            Woken::Stop(signal) => Err(interrupted(signal, &self.tally)),
        }
    }

    /// Sees what the server did while it owed nothing.
    fn look(&mut self) {
        if let Some(connection) = self.connection
            && self.has_ended(connection)
        {
            self.close();
        }
    }

    /// Whether a connection has ended, or is out of step, while the server owed nothing.
    fn has_ended(&mut self, connection: Token) -> bool {
        let Ok(socket) = self.ends.server(connection) else { return true };
        let mut unasked = [0; LOOK_BYTES];
        match attempt(|| socket.read(&mut unasked)) {
            Ok(None) => return false,
            Ok(Some(0)) => log(&Notice::ServerLeft(&ErrorKind::UnexpectedEof.into())),
            Err(e) => log(&Notice::ServerLeft(&e)),
            Ok(Some(n)) => {
                self.tally.surplus_bytes += n;
                log(&Notice::Surplus(&unasked[..n]));
            }
        }
        // More may be on its way, and would be taken for the next echo: only a new connection is in step.
        true
    }

    fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.ends.close(connection);
            log(&Notice::Closed);
        }
    }

    /// Ends the connection from this side. What the server sends from here on is too much.
    fn part(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        self.ends.half_close(connection);
        self.finished.push_back(connection);
        if self.finished.len() > MAX_FINISHED {
            self.look_at_finished();
        }
        if self.finished.len() > MAX_FINISHED
            && let Some(oldest) = self.finished.pop_front()
        {
            self.ends.close(oldest);
        }
    }

    fn look_at_finished(&mut self) {
        for _ in 0..self.finished.len() {
            let Some(connection) = self.finished.pop_front() else { break };
            if self.has_ended(connection) {
                self.ends.close(connection);
                log(&Notice::Closed);
            } else {
                self.finished.push_back(connection);
            }
        }
    }

    /// Goes on until the server has ended each connection, for as long as it has for that.
    fn see_the_end(&mut self) -> io::Result<()> {
        let mut timer = IdleTimer::new(CLOSE_TIMEOUT, Instant::now());
        self.look_at_finished();
        while !self.finished.is_empty() && !self.ends.is_over(&mut timer) {
            let woken = self.ends.wait(Some(&mut timer))?;
            self.look_at_finished();
            match self.heed(woken) {
                // Everything has come back.
                Err(e) if e.kind() == ErrorKind::Interrupted => break,
                heeded => heeded?,
            }
        }
        Ok(())
    }
}

/// Reads a line with its line break, which only the last may lack, and returns whether there was one; or
/// `None` if it must be called again for the rest of it.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    let room = MAX_LINE_BYTES - line.len() as u64;
    match input.take(room).read_until(b'\n', line) {
        Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
        Err(e) => return Err(cannot("read from", &INPUT, &e)),
        Ok(_) => {}
    }
    if line.len() as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") {
        let line = format!(
            "a line of the input is longer than {MAX_LINE_BYTES} bytes; break it up, or leave out \
             --reconnect to stream the input whole"
        );
        return Err(io::Error::other(line));
    }
    Ok(Some(!line.is_empty()))
}

fn log(notice: &Notice<'_>) {
    if notice.is_trouble() { log::warn!("{notice}") } else { log::debug!("{notice}") }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Gives, Scripted};
    use super::*;

    #[test]
    fn lines_come_with_their_line_breaks_and_the_last_as_it_is() {
        let mut input = &b"one\n\ntwo"[..];
        for expected in ["one\n", "\n", "two"] {
            let mut line = Vec::new();
            assert_eq!(read_line(&mut input, &mut line).unwrap(), Some(true));
            assert_eq!(line, expected.as_bytes());
        }
        assert_eq!(read_line(&mut input, &mut Vec::new()).unwrap(), Some(false));
    }

    #[test]
    fn a_line_that_comes_in_pieces_is_read_on() {
        let gives = [Gives::Bytes(2), Gives::Blocks, Gives::Bytes(3), Gives::End];
        let mut input = io::BufReader::new(Scripted::new(&gives, &[]));
        let mut line = Vec::new();
        assert_eq!(read_line(&mut input, &mut line).unwrap(), None);
        assert_eq!(read_line(&mut input, &mut line).unwrap(), Some(true));
        assert_eq!(line, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let error = read_line(&mut io::BufReader::new(io::repeat(b'x')), &mut Vec::new());
        assert!(error.unwrap_err().to_string().contains("longer than 16777216 bytes"));
    }
}
