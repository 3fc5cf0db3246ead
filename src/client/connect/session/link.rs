//! The connection of a session: made for a message, watched while nothing is owed, and made anew.

use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

use mio::Token;

use super::{End, Report, Session, State, server};
use crate::client::attempt;
use crate::client::connect::notice::Notice;
use crate::client::dial::{Established, Step};
use crate::net::Socket;

/// Of what a server sends though nothing is owed, no more than this is read: a line or two of a terminal
/// show well enough what it is.
const LOOK_BYTES: usize = 256;

/// From the end of a connection to the first look whether the server takes another. A server that closes
/// after each echo is not asked between messages that are typed one after the other.
pub(super) const FIRST_LOOK: Duration = Duration::from_secs(2);
/// From one such look that failed to the next.
const NEXT_LOOK: Duration = Duration::from_millis(500);

/// The connection, or the lack of one.
pub(super) enum Link {
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

/// What came though nothing is owed.
pub(super) enum Unasked {
    Nothing,
    Bytes,
    /// The end of the connection, and why.
    End(io::Error),
}

impl<R: Report> Session<'_, R> {
    pub(super) fn dial(&mut self, now: Instant) -> io::Result<()> {
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

    fn connected(&mut self, made: Established, now: Instant) -> io::Result<()> {
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
    pub(super) fn watch(&mut self, now: Instant) -> io::Result<()> {
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
    pub(super) fn look(&mut self, now: Instant) -> io::Result<()> {
        match self.read_unasked()? {
            Unasked::Nothing => return Ok(()),
            Unasked::End(why) => self.report.report(&Notice::ServerLeft(&why))?,
            // More may be on its way, and would be taken for the next echo: only a new connection is in
            // step.
            Unasked::Bytes => {}
        }
        let is_spare = matches!(self.link, Link::Up { is_spare: true, .. });
        self.disconnect();
        if !is_spare {
            self.link = Link::Lost { look_at: now + FIRST_LOOK, is_down: false };
        }
        Ok(())
    }

    /// Reads what comes though nothing is owed, and reports bytes.
    pub(super) fn read_unasked(&mut self) -> io::Result<Unasked> {
        let Link::Up { token, .. } = self.link else { return Ok(Unasked::Nothing) };
        let mut unasked = [0; LOOK_BYTES];
        let socket = server(&mut self.ends, token)?;
        match attempt(|| socket.read(&mut unasked)) {
            Ok(None) => Ok(Unasked::Nothing),
            Ok(Some(0)) => Ok(Unasked::End(ErrorKind::UnexpectedEof.into())),
            Err(e) => Ok(Unasked::End(e)),
            Ok(Some(n)) => {
                self.tally.surplus_bytes += n;
                self.report.report(&Notice::Surplus(&unasked[..n]))?;
                Ok(Unasked::Bytes)
            }
        }
    }

    pub(super) fn disconnect(&mut self) {
        if let Link::Up { token, .. } = std::mem::replace(&mut self.link, Link::None) {
            self.ends.remove(token);
        }
    }
}
