//! A conversation with the server: messages one after the other, on one connection or on many.
//!
//! It never blocks but in [`Session::turn`], which also returns for what the caller watches beside the
//! server: keys and signals. So a server that closes, speaks unasked or comes back is noticed at once,
//! whether or not anything is due.

use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook_mio::v1_0::Signals;

use super::Options;
use super::exchange::Exchange;
use super::notice::{Notice, Tally, timed_out};
use crate::client::dial::{Connection, Dialer, Limits, Step};
use crate::client::patience::Patience;
use crate::client::standstill::Standstill;
use crate::client::{GOODBYE, attempt};
use crate::net::{Socket, Stream as _, delegate_source};
use crate::reactor::{Reactor, Ready};
use crate::stdio::Standard;

/// Of what a server sends though nothing is owed, no more than this is read: a line or two of a terminal
/// show well enough what it is.
const LOOK_BYTES: usize = 256;

/// From the end of a connection to the first look whether the server takes another. A server that closes
/// after each echo is not asked between messages that are typed one after the other.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// From one such look that failed to the next.
const NEXT_LOOK: Duration = Duration::from_secs(1);

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

/// The connection, or the lack of one.
enum Link {
    /// None. The next message makes one.
    None,
    Up {
        token: Token,
        /// Whether it was made for no message, and has carried none.
        is_spare: bool,
    },
    /// None, and whether the server takes another is found out at this time.
    Lost { look_at: Instant, is_down: bool },
    /// That is being found out.
    Looking { is_down: bool },
}

enum State {
    /// Nothing is owed: a message may be sent.
    Idle,
    /// A connection is being made: the first, or for this exchange.
    Dialing(Option<Talk>),
    Talking(Talk),
    /// All that was owed has come; what comes until the server closes is too much.
    Parting {
        patience: Patience,
        is_last: bool,
    },
    Over,
}

/// A message, and how far it has come.
struct Talk {
    exchange: Exchange<'static>,
    began: Instant,
    patience: Patience,
    is_sent_reported: bool,
    /// Whether its first connection ended before any of the echo came.
    is_second_try: bool,
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
        ends.again(dialer);
        Ok(Self {
            options,
            report,
            ends,
            ready: Vec::new(),
            dialer,
            link: Link::None,
            state: State::Dialing(None),
            standstill: Standstill::new(now),
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
    /// If the first connection cannot be made, and whatever the report says.
    pub fn turn(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let left = self.left(now).map(|left| self.standstill.plan(left, now));
        self.ends.wait(left, &mut self.ready)?;
        let now = Instant::now();
        if left.is_some() {
            self.discount(now);
        }
        self.go_on(now)
    }

    /// How long until something is due without an event.
    fn left(&mut self, now: Instant) -> Option<Duration> {
        let patience = match &self.state {
            State::Talking(talk) => talk.patience.left(now),
            State::Parting { patience, .. } => patience.left(now),
            State::Dialing(_) => return self.dialer().ok()?.left(now),
            State::Idle => return self.left_at_prompt(now),
            State::Over => None,
        };
        Some(patience.unwrap_or_default())
    }

    fn left_at_prompt(&mut self, now: Instant) -> Option<Duration> {
        match self.link {
            Link::Lost { look_at, .. } => Some(look_at.saturating_duration_since(now)),
            Link::Looking { .. } => self.dialer().ok()?.left(now),
            Link::None | Link::Up { .. } => None,
        }
    }

    /// The time in which this program stood still counts against no server.
    fn discount(&mut self, now: Instant) {
        let stood = self.standstill.end(now);
        match &mut self.state {
            State::Talking(talk) => talk.patience.discount(stood),
            State::Parting { patience, .. } => patience.discount(stood),
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
    /// Whatever the report says.
    pub fn send(&mut self, message: Vec<u8>) -> io::Result<()> {
        let now = Instant::now();
        self.tally.messages += 1;
        self.begin(Talk::new(message, self.options.timeout, now), now)
    }

    fn begin(&mut self, talk: Talk, now: Instant) -> io::Result<()> {
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

    fn dial(&mut self, now: Instant) -> io::Result<()> {
        let again = self.tally.connections > 0;
        loop {
            match self.dialer()?.poll(now) {
                Step::Wait => return Ok(()),
                Step::Progress(progress) => {
                    self.report.report(&Notice::Dialing { progress, again })?;
                }
                Step::Connected(made) => return self.connected(made, now),
                Step::Failed(error) => return self.not_connected(error, now),
            }
        }
    }

    fn connected(&mut self, made: Connection, now: Instant) -> io::Result<()> {
        // From here on, a message that finds no server is not kept waiting.
        self.dialer()?.set_wait(None);
        self.report.report(&Notice::Connected { peer: &made.peer, local: &made.local })?;
        self.adopt(made.socket, false)?;
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Dialing(Some(talk)) => self.begin(talk.restarted(now), now),
            _ => self.look(now),
        }
    }

    fn adopt(&mut self, socket: Socket, is_spare: bool) -> io::Result<()> {
        self.tally.connections += 1;
        let token = self.ends.insert(End::Server(socket))?;
        self.link = Link::Up { token, is_spare };
        Ok(())
    }

    fn not_connected(&mut self, error: io::Error, now: Instant) -> io::Result<()> {
        let State::Dialing(Some(_)) = std::mem::replace(&mut self.state, State::Idle) else {
            return Err(error);
        };
        self.tally.wrong += 1;
        self.link = Link::Lost { look_at: now + NEXT_LOOK, is_down: true };
        self.report.report(&Notice::NotSent(&error))
    }

    /// Looks after the connection, or for one, while nothing is owed.
    fn watch(&mut self, now: Instant) -> io::Result<()> {
        match self.link {
            Link::Up { .. } => self.look(now),
            Link::Lost { look_at, is_down } if look_at <= now => {
                self.link = Link::Looking { is_down };
                self.dialer()?.start(now);
                self.look_for_server(is_down, now)
            }
            Link::Looking { is_down } => self.look_for_server(is_down, now),
            Link::Lost { .. } | Link::None => Ok(()),
        }
    }

    fn look_for_server(&mut self, is_down: bool, now: Instant) -> io::Result<()> {
        loop {
            match self.dialer()?.poll(now) {
                Step::Wait => return Ok(()),
                Step::Progress(_) => {}
                Step::Connected(made) => {
                    self.adopt(made.socket, true)?;
                    let (peer, local) = (&made.peer, &made.local);
                    return self.report.report(&Notice::Back { peer, local, is_down });
                }
                Step::Failed(error) => {
                    self.link = Link::Lost { look_at: now + NEXT_LOOK, is_down: true };
                    let news = Notice::Down(&error);
                    return if is_down { Ok(()) } else { self.report.report(&news) };
                }
            }
        }
    }

    /// Notices what the server did while nothing was owed: nothing, if all is well.
    fn look(&mut self, now: Instant) -> io::Result<()> {
        let Some(ended) = self.read_unasked()? else { return Ok(()) };
        if let Some(why) = ended {
            self.report.report(&Notice::ServerLeft(&why))?;
        }
        // Of surplus, more may be on its way, and would be taken for the next echo: only a new connection
        // is in step.
        let is_spare = matches!(self.link, Link::Up { is_spare: true, .. });
        self.disconnect();
        if !is_spare {
            self.link = Link::Lost { look_at: now + FIRST_LOOK, is_down: false };
        }
        Ok(())
    }

    /// What comes though nothing is owed: nothing, `Some(None)` for bytes, which are reported, or the end.
    fn read_unasked(&mut self) -> io::Result<Option<Option<io::Error>>> {
        let Link::Up { token, .. } = self.link else { return Ok(None) };
        let mut unasked = [0; LOOK_BYTES];
        let socket = server(&mut self.ends, token)?;
        match attempt(|| socket.read(&mut unasked)) {
            Ok(None) => Ok(None),
            Ok(Some(0)) => Ok(Some(Some(ErrorKind::UnexpectedEof.into()))),
            Err(e) => Ok(Some(Some(e))),
            Ok(Some(n)) => {
                self.tally.surplus_bytes += n;
                self.report.report(&Notice::Surplus(&unasked[..n]))?;
                Ok(Some(None))
            }
        }
    }

    /// Goes on with a message and its echo.
    fn talk(&mut self, now: Instant) -> io::Result<()> {
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
            talk.patience.renew(now);
        }
        if talk.patience.left(now).is_some() {
            return Ok(());
        }
        let (received, of) = (talk.exchange.echo().len(), talk.exchange.message_bytes());
        let late = timed_out(self.options.timeout, received as u64, of as u64);
        self.report.report(&Notice::Late(&late))?;
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

    fn account(&mut self, exchange: &Exchange<'_>) -> io::Result<()> {
        self.tally.sent_bytes += exchange.sent_bytes();
        self.tally.received_bytes += exchange.echo().len();
        let difference = exchange.difference();
        if difference.is_some() || !exchange.is_complete() {
            self.tally.wrong += 1;
        }
        difference.map_or(Ok(()), |difference| self.report.report(&Notice::Differs(difference)))
    }

    fn begin_to_part(&mut self, is_last: bool, now: Instant) -> io::Result<()> {
        self.state = State::Parting { patience: Patience::new(GOODBYE, now), is_last };
        if let Link::Up { token, .. } = self.link {
            // Fails only if the connection is gone, which reading from it reports.
            let _ = server(&mut self.ends, token)?.shutdown_write();
        }
        self.part(now)
    }

    /// Waits for the server to close, for a while: what it sends until then is too much.
    fn part(&mut self, now: Instant) -> io::Result<()> {
        let State::Parting { patience, is_last } = &self.state else { return Ok(()) };
        let (is_last, is_over) = (*is_last, patience.left(now).is_none());
        let is_connected = matches!(self.link, Link::Up { .. });
        if is_connected && self.read_unasked()?.is_none() && !is_over {
            return Ok(());
        }
        self.disconnect();
        self.state = if is_last { State::Over } else { State::Idle };
        if is_connected { self.report.report(&Notice::Closed) } else { Ok(()) }
    }

    /// Begins to end the session, in order. Asked a second time, it ends at once.
    ///
    /// # Errors
    ///
    /// That it was interrupted before anything came, if something was due; and whatever the report says.
    pub fn end(&mut self) -> io::Result<()> {
        let now = Instant::now();
        match std::mem::replace(&mut self.state, State::Over) {
            State::Idle | State::Parting { is_last: false, .. } => self.begin_to_part(true, now),
            State::Parting { is_last: true, .. } | State::Over => Ok(()),
            State::Dialing(None) => Err(interrupted()),
            State::Dialing(Some(talk)) | State::Talking(talk) => {
                self.account(&talk.exchange)?;
                if self.tally.received_bytes > 0 {
                    return Ok(());
                }
                self.report.report(&Notice::Ended(&self.tally))?;
                Err(interrupted())
            }
        }
    }

    /// Reports how things stand.
    ///
    /// # Errors
    ///
    /// Whatever the report says.
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

    /// Reports what was done.
    ///
    /// # Errors
    ///
    /// What was wrong with the echoes, if anything, and whatever the report says.
    pub fn finish(mut self) -> io::Result<()> {
        self.report.report(&Notice::Ended(&self.tally))?;
        self.tally.verdict()
    }

    fn disconnect(&mut self) {
        if let Link::Up { token, .. } = std::mem::replace(&mut self.link, Link::None) {
            self.ends.remove(token);
        }
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

impl Talk {
    fn new(message: Vec<u8>, timeout: Duration, now: Instant) -> Self {
        Self {
            exchange: Exchange::new(message),
            began: now,
            patience: Patience::new(timeout, now),
            is_sent_reported: false,
            is_second_try: false,
        }
    }

    /// Its time begins when its connection is there.
    fn restarted(mut self, now: Instant) -> Self {
        self.began = now;
        self.patience.renew(now);
        self
    }

    /// The same message once more, from its start.
    fn again(self, now: Instant) -> Self {
        let exchange = Exchange::new(self.exchange.message().to_vec());
        Self { exchange, is_sent_reported: false, is_second_try: true, ..self }.restarted(now)
    }
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
