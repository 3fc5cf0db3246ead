//! The connection of a messenger: makes it for a message, watches it in between, and makes another one.

use std::io;
use std::time::{Duration, Instant};

use mio::Token;

use super::{Messenger, State};
use crate::client::connect::notice::Notice;
use crate::client::connect::unasked::{self, LOOK_BYTES, Unasked};
use crate::client::connect::watched::Watched;
use crate::client::dial::{Established, Step};
use crate::net::Socket;

/// From the end of a connection to the first look whether the server takes another. So a server that closes after each
/// echo gets no look between messages that the user types one after the other.
pub(super) const FIRST_LOOK: Duration = Duration::from_secs(2);
/// From a look that failed to the next look.
const NEXT_LOOK: Duration = Duration::from_millis(500);

/// The connection, or the lack of one.
#[derive(Debug)]
pub(super) enum LinkState {
    /// There is none, and the next message makes one.
    None,
    Up {
        token: Token,
        /// Whether a look made it, and it has carried no message.
        is_spare: bool,
    },
    /// There is none. At this time, the messenger looks whether the server takes another.
    Lost { look_at: Instant, is_down: bool },
    /// The messenger looks whether the server takes another.
    Looking { is_down: bool },
}

impl Messenger<'_> {
    pub(super) fn dial(&mut self, now: Instant) -> io::Result<()> {
        let again = self.totals.connections > 0;
        loop {
            match self.dialer()?.poll(now) {
                Step::Wait => return Ok(()),
                Step::Progress(progress) => {
                    self.view.report(&Notice::Dialing { progress, again })?;
                }
                Step::Connected(made) => return self.connected(made, now),
                Step::Failed(error) => return self.not_connected(error, now),
            }
        }
    }

    fn connected(&mut self, made: Established, now: Instant) -> io::Result<()> {
        // From here on, a message does not wait for a server that is not up.
        self.dialer()?.set_wait(None);
        self.view.report(&Notice::Connected { peer: &made.peer, local: &made.local })?;
        self.adopt(made.socket, false)?;
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Dialing(Some(mut exchange)) => {
                exchange.restart(now);
                self.begin(exchange, now)
            }
            _ => self.look(now),
        }
    }

    fn adopt(&mut self, socket: Socket, is_spare: bool) -> io::Result<()> {
        self.totals.connections += 1;
        let token = self.reactor.insert(Watched::Server(socket))?;
        self.link = LinkState::Up { token, is_spare };
        Ok(())
    }

    fn not_connected(&mut self, error: io::Error, now: Instant) -> io::Result<()> {
        let State::Dialing(Some(_)) = std::mem::replace(&mut self.state, State::Idle) else {
            return Err(error);
        };
        self.totals.wrong += 1;
        self.link = LinkState::Lost { look_at: now + NEXT_LOOK, is_down: true };
        self.view.report(&Notice::NotSent(&error))
    }

    /// Watches the connection while the server owes nothing. If there is none, looks for the server.
    pub(super) fn watch(&mut self, now: Instant) -> io::Result<()> {
        match self.link {
            LinkState::Up { .. } => self.look(now),
            LinkState::Lost { look_at, is_down } if look_at <= now => {
                self.link = LinkState::Looking { is_down };
                self.dialer()?.start(now);
                self.look_for_server(is_down, now)
            }
            LinkState::Looking { is_down } => self.look_for_server(is_down, now),
            LinkState::Lost { .. } | LinkState::None => Ok(()),
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
                    return self.view.report(&Notice::Back { peer, local, is_down });
                }
                Step::Failed(error) => {
                    self.link = LinkState::Lost { look_at: now + NEXT_LOOK, is_down: true };
                    let news = Notice::Down(&error);
                    return if is_down { Ok(()) } else { self.view.report(&news) };
                }
            }
        }
    }

    /// Notices what the server did while it owed nothing. All is well if nothing came.
    pub(super) fn look(&mut self, now: Instant) -> io::Result<()> {
        let LinkState::Up { token, .. } = self.link else { return Ok(()) };
        match unasked::look(self.reactor.server(token)?, &mut [0; LOOK_BYTES]) {
            Unasked::Nothing => return Ok(()),
            Unasked::End(why) => self.view.report(&Notice::ServerLeft(&why))?,
            Unasked::Bytes(bytes) => self.report_surplus(bytes)?,
        }
        let is_spare = matches!(self.link, LinkState::Up { is_spare: true, .. });
        self.disconnect();
        // A server that closes each connection at once must not get one after the other.
        if !is_spare {
            self.link = LinkState::Lost { look_at: now + FIRST_LOOK, is_down: false };
        }
        Ok(())
    }

    pub(super) fn report_surplus(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.totals.surplus_bytes += bytes.len();
        self.view.report(&Notice::Surplus(bytes))
    }

    pub(super) fn disconnect(&mut self) {
        if let LinkState::Up { token, .. } = std::mem::replace(&mut self.link, LinkState::None) {
            self.reactor.remove(token);
        }
    }
}
