//! What a client without a prompt uses: its input, its output, its servers, and signals.

use std::io::{self, BufReader};
use std::time::Instant;

use mio::Token;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::SIGQUIT;
use signal_hook::low_level::signal_name;

use super::Options;
use super::echo_output::EchoOutput;
use super::watched::Watched;
use crate::client::dial::Dialer;
use crate::net::{Socket, Stream as _, cannot};
use crate::reactor::{Reactor, Ready};
use crate::signals;
use crate::stdio::{OUTPUT, Standard, end_if_reader_left};

/// The sources of a client on one reactor.
pub struct ClientIo {
    pub reactor: Reactor<Watched>,
    input: Token,
    output: Token,
    dialer: Token,
    has_reader: bool,
}

/// What signals ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalRequest {
    /// Ctrl-\ asks how things stand.
    Status,
    /// A signal asks the program to stop.
    Stop(i32),
}

impl ClientIo {
    /// Watches standard input and output and signals, and starts to connect to the server.
    ///
    /// # Errors
    ///
    /// If the system cannot watch them.
    pub fn open(options: &Options, now: Instant) -> io::Result<Self> {
        let mut reactor = Reactor::new()?;
        let dialer = reactor.insert(Watched::dialer(options)?)?;
        reactor.insert(Watched::signals(&[SIGQUIT])?)?;
        let input = reactor.insert(Watched::input()?)?;
        let output = reactor.insert(Watched::Output(EchoOutput::new()?))?;
        reactor.dialer(dialer)?.start(now);
        Ok(Self { reactor, input, output, dialer, has_reader: true })
    }

    pub fn dialer(&mut self) -> io::Result<&mut Dialer> {
        self.reactor.dialer(self.dialer)
    }

    pub fn input(&mut self) -> io::Result<&mut BufReader<Standard>> {
        self.reactor.input(self.input)
    }

    pub fn output(&mut self) -> io::Result<&mut EchoOutput> {
        self.reactor.output(self.output)
    }

    pub fn server(&mut self, token: Token) -> io::Result<&mut Socket> {
        self.reactor.server(token)
    }

    /// Watches a new connection. Only the first one waits for a server that is not up.
    pub fn add(&mut self, server: Socket) -> io::Result<Token> {
        self.dialer()?.set_wait(None);
        self.reactor.insert(Watched::Server(server))
    }

    pub fn close(&mut self, server: Token) {
        self.reactor.remove(server);
    }

    pub fn shutdown_write(&mut self, server: Token) {
        if let Ok(socket) = self.server(server) {
            // This fails only if the connection is gone. A read reports that, with its cause.
            let _ = socket.shutdown_write();
        }
    }

    /// Lets the next wait return at once.
    pub fn requeue(&mut self) {
        self.reactor.requeue(self.input);
    }

    /// Handles signals and the end of the output's reader. Returns what signals ask for.
    pub fn handle_ready(&mut self, ready: &[Ready]) -> Option<SignalRequest> {
        let mut asked = None;
        for ready in ready {
            match self.reactor.get_mut(ready.token) {
                Some(Watched::Signals(signals)) => asked = asked_by(signals.pending()),
                Some(Watched::Output(output)) if ready.exceptional => {
                    self.has_reader &= is_read(output)
                }
                _ => {}
            }
        }
        asked
    }

    /// Fails if the output has lost its reader, as far as the client knows. A client with more to do ends then, like
    /// other filters, and does not wait until it writes.
    ///
    /// # Errors
    ///
    /// That the output cannot be written to.
    pub fn check_reader(&self) -> io::Result<()> {
        if self.has_reader { Ok(()) } else { Err(unwritable(&io::ErrorKind::BrokenPipe.into())) }
    }
}

/// One batch of signals is one request. To stop is the more urgent one.
fn asked_by(signals: impl IntoIterator<Item = i32>) -> Option<SignalRequest> {
    signals.into_iter().fold(None, |asked, signal| match asked {
        Some(SignalRequest::Stop(_)) => asked,
        _ if signals::is_stop(signal) => Some(SignalRequest::Stop(signal)),
        _ => Some(SignalRequest::Status),
    })
}

fn is_read(output: &EchoOutput) -> bool {
    let mut fds = [PollFd::new(output, PollFlags::empty())];
    let polled = poll(&mut fds, Some(&Timespec::default()));
    polled.is_err() || !fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// The error of a client that a signal stops.
pub fn interrupted(signal: i32, totals: &dyn std::fmt::Display) -> io::Error {
    let name = signal_name(signal).unwrap_or("a signal");
    io::Error::new(io::ErrorKind::Interrupted, format!("interrupted by {name}: {totals}"))
}

/// The error of a client that cannot write. Ends the program, like other filters, if the output has lost its reader.
pub fn unwritable(error: &io::Error) -> io::Error {
    end_if_reader_left(error);
    cannot("write to", &OUTPUT, error)
}

#[cfg(test)]
mod tests {
    use signal_hook::consts::{SIGHUP, SIGTERM};

    use super::*;

    #[test]
    fn a_batch_of_signals_asks_to_stop_if_any_of_them_does() {
        for (signals, expected) in [
            (&[][..], None),
            (&[SIGQUIT], Some(SignalRequest::Status)),
            (&[SIGTERM, SIGQUIT], Some(SignalRequest::Stop(SIGTERM))),
            (&[SIGQUIT, SIGTERM], Some(SignalRequest::Stop(SIGTERM))),
            (&[SIGHUP, SIGTERM], Some(SignalRequest::Stop(SIGHUP))),
        ] {
            assert_eq!(asked_by(signals.iter().copied()), expected, "{signals:?}");
        }
    }
}
