//! What a client without a prompt waits for: its input, its output, its servers, and signals.

use std::io::{self, BufReader, ErrorKind};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::SIGQUIT;
use signal_hook::low_level::signal_name;
use signal_hook_mio::v1_0::Signals;

use super::Options;
use super::output::Output;
use crate::client::dial::{Dialer, Limits, Step};
use crate::client::idle_timer::IdleTimer;
use crate::client::standstill::{Standstill, Timeout, processor_time};
use crate::net::{Socket, Stream as _, cannot, delegate_source};
use crate::reactor::{Reactor, Ready};
use crate::signals;
use crate::stdio::Standard;

/// The two ends of this program, the servers it is connected to, and the signals.
pub struct Ends {
    reactor: Reactor<End>,
    ready: Vec<Ready>,
    input: Token,
    output: Token,
    dialer: Token,
    has_reader: bool,
    standstill: Standstill,
}

/// What ended a wait, apart from bytes that may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Nothing else.
    Plain,
    /// Ctrl-\ asks how things stand.
    Status,
    /// A signal asks the program to end.
    Stop(i32),
}

impl Ends {
    /// Watches standard input and output, signals, and what connects to the server.
    ///
    /// # Errors
    ///
    /// If the system cannot watch them.
    pub fn open(options: &Options) -> io::Result<Self> {
        let limits = Limits { wait: options.wait, ..Limits::new(options.timeout) };
        let dialer = Dialer::new(&options.server, limits)?;
        let mut reactor = Reactor::new()?;
        let signals = signals::watch(&[SIGQUIT]);
        let signals = signals.map_err(|e| cannot("watch for", &"signals", &e))?;
        reactor.insert(End::Signals(signals))?;
        Ok(Self {
            input: reactor.insert(End::Input(BufReader::new(Standard::input()?)))?,
            output: reactor.insert(End::Output(Output::new()?))?,
            dialer: reactor.insert(End::Dialer(Box::new(dialer)))?,
            reactor,
            ready: Vec::new(),
            has_reader: true,
            standstill: Standstill::new(Instant::now(), processor_time()),
        })
    }

    /// Starts to connect. Only the first time does it wait for a server that is not up yet.
    pub fn start_dialing(&mut self) -> io::Result<()> {
        self.dialer()?.start(Instant::now());
        Ok(())
    }

    /// Connects as far as goes without waiting. [`wait_to_connect`](Self::wait_to_connect) waits for the
    /// rest.
    pub fn dial(&mut self) -> io::Result<Step> {
        Ok(self.dialer()?.poll(Instant::now()))
    }

    /// Watches a connection that was made.
    pub fn add(&mut self, server: Socket) -> io::Result<Token> {
        self.dialer()?.set_wait(None);
        self.reactor.insert(End::Server(server))
    }

    fn dialer(&mut self) -> io::Result<&mut Dialer> {
        match self.reactor.get_mut(self.dialer) {
            Some(End::Dialer(dialer)) => Ok(dialer),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// Closes a connection.
    pub fn close(&mut self, server: Token) {
        self.reactor.remove(server);
    }

    /// Shuts down writing on a connection.
    pub fn half_close(&mut self, server: Token) {
        if let Some(End::Server(socket)) = self.reactor.get_mut(server) {
            // Fails only if the connection is gone, which reading from it reports with its cause.
            let _ = socket.shutdown_write();
        }
    }

    /// The connection behind `token`.
    pub fn server(&mut self, token: Token) -> io::Result<&mut Socket> {
        match self.reactor.get_mut(token) {
            Some(End::Server(socket)) => Ok(socket),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// Standard input. A read of more than a few KiB bypasses its buffer.
    pub fn input(&mut self) -> io::Result<&mut BufReader<Standard>> {
        match self.reactor.get_mut(self.input) {
            Some(End::Input(input)) => Ok(input),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// Standard output.
    pub fn output(&mut self) -> io::Result<&mut Output> {
        match self.reactor.get_mut(self.output) {
            Some(End::Output(output)) => Ok(output),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }

    /// Lets the next wait return at once.
    pub fn requeue(&mut self) {
        self.reactor.requeue(self.input);
    }

    /// Waits until something may move, or a signal comes, or for a part of `timer` if there is one.
    pub fn wait(&mut self, timer: Option<&mut IdleTimer>) -> io::Result<Woken> {
        let now = Instant::now();
        let left = timer.as_ref().map_or(Timeout::Never, |timer| Timeout::Owed(timer.left(now)));
        let (woken, standstill) = self.wait_at_most(left)?;
        if let Some(timer) = timer {
            timer.discount(standstill);
        }
        Ok(woken)
    }

    /// Whether the server has had its time, less that in which this program stood still. Ask after reading
    /// what has come.
    pub fn is_over(&mut self, timer: &mut IdleTimer) -> bool {
        let now = Instant::now();
        timer.has_expired(now)
    }

    /// Waits until [`dial`](Self::dial) may go on, or a signal comes.
    pub fn wait_to_connect(&mut self) -> io::Result<Woken> {
        let left = self.dialer()?.poll_timeout(Instant::now());
        let (woken, standstill) = self.wait_at_most(left)?;
        self.dialer()?.discount(standstill);
        Ok(woken)
    }

    /// Gives the time in which this program stood still, too.
    fn wait_at_most(&mut self, timeout: Timeout) -> io::Result<(Woken, Duration)> {
        let left = self.standstill.plan(timeout);
        self.reactor.wait(left, &mut self.ready)?;
        let standstill = self.standstill.end(Instant::now(), processor_time());
        let mut woken = Woken::Plain;
        for ready in &self.ready {
            match self.reactor.get_mut(ready.token) {
                Some(End::Signals(signals)) => woken = asked_by(signals),
                Some(End::Output(output)) if ready.exceptional => {
                    self.has_reader &= is_read(output)
                }
                _ => {}
            }
        }
        Ok((woken, standstill))
    }

    /// Whether the output still has a reader, as far as was seen. A client that has something left to do
    /// must end if it has none, as other filters do; and need not wait until it writes.
    pub fn has_reader(&self) -> bool {
        self.has_reader
    }
}

/// One batch is one request, and to stop is the more urgent.
fn asked_by(signals: &mut Signals) -> Woken {
    signals.pending().fold(Woken::Plain, |asked, signal| match asked {
        Woken::Stop(_) => asked,
        _ if signals::is_stop(signal) => Woken::Stop(signal),
        _ => Woken::Status,
    })
}

fn is_read(output: &Output) -> bool {
    let mut fds = [PollFd::new(output, PollFlags::empty())];
    let polled = poll(&mut fds, Some(&Timespec::default()));
    polled.is_err() || !fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// The line to end with after a signal to stop.
pub fn interrupted(signal: i32, totals: &dyn std::fmt::Display) -> io::Error {
    let name = signal_name(signal).unwrap_or("a signal");
    io::Error::new(ErrorKind::Interrupted, format!("interrupted by {name}: {totals}"))
}

/// What the reactor polls.
enum End {
    Input(BufReader<Standard>),
    Output(Output),
    Server(Socket),
    Dialer(Box<Dialer>),
    Signals(Signals),
}

impl End {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Input(input) => input.get_mut(),
            Self::Output(output) => output,
            Self::Server(socket) => socket,
            Self::Dialer(dialer) => dialer.as_mut(),
            Self::Signals(signals) => signals,
        }
    }
}

delegate_source!(End);
