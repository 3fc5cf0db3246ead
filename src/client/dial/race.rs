//! Several addresses at once, of which the first that answers wins.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::failures::Failures;
use super::{Established, outcome, unanswered, unreachable};
use crate::net::{Endpoint, Socket};
use crate::text::format::setting;

/// From one attempt to the next, if nothing fails meanwhile: RFC 8305, section 5.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// An attempt for which there was no room in a Unix server's accept queue is made again after this long.
const RETRY: Duration = Duration::from_millis(10);

/// All sockets are looked at whenever something happens, so no event needs to say which one it is about.
const ATTEMPT: Token = Token(1);

/// The addresses of a server while none has answered yet.
#[derive(Debug)]
pub(super) struct Race {
    /// Addresses that have not been tried.
    untried: VecDeque<Endpoint>,
    attempts: Vec<Attempt>,
    failures: Failures,
    /// From one attempt to the next.
    delay: Duration,
    /// When the next address must be tried.
    next: Instant,
}

/// What a race has come to.
#[derive(Debug)]
pub(super) enum RaceStep {
    /// Nothing new.
    Wait,
    /// An attempt at this address begins.
    Connecting(Endpoint),
    /// An address failed, and another is tried next.
    Failed(io::Error),
    Won(Established),
    /// No address answered.
    Lost(Failures),
}

#[derive(Debug)]
struct Attempt {
    peer: Endpoint,
    since: Instant,
    state: AttemptState,
}

#[derive(Debug)]
enum AttemptState {
    /// To be made at this time: at first, and again if the server's accept queue is full.
    Due(Instant),
    UnderWay(Socket),
}

impl Race {
    /// Begins at `now`, and tries every address within `left`.
    pub(super) fn new(peers: VecDeque<Endpoint>, left: Duration, now: Instant) -> Self {
        let shares = u32::try_from(peers.len()).unwrap_or(u32::MAX).saturating_add(1);
        Self {
            delay: ATTEMPT_DELAY.min(left / shares),
            untried: peers,
            attempts: Vec::new(),
            failures: Failures::default(),
            next: now,
        }
    }

    /// Does what can be done without waiting.
    pub(super) fn poll(&mut self, registry: &Registry, now: Instant) -> RaceStep {
        let mut index = 0;
        while let Some(attempt) = self.attempts.get_mut(index) {
            match attempt.advance(registry, now) {
                Ok(Some(connection)) => return RaceStep::Won(connection),
                Ok(None) => index += 1,
                Err(error) => {
                    let attempt = self.attempts.remove(index);
                    self.next = now;
                    let line = unreachable(&attempt.peer, &error);
                    self.failures.push(attempt.peer, error);
                    if !self.untried.is_empty() {
                        return RaceStep::Failed(line);
                    }
                }
            }
        }
        if now >= self.next
            && let Some(peer) = self.untried.pop_front()
        {
            self.next = now + self.delay;
            let attempt = Attempt { peer: peer.clone(), since: now, state: AttemptState::Due(now) };
            self.attempts.push(attempt);
            return RaceStep::Connecting(peer);
        }
        if self.attempts.is_empty() {
            return RaceStep::Lost(std::mem::take(&mut self.failures));
        }
        RaceStep::Wait
    }

    /// Ends it: no address answered within `limit`.
    pub(super) fn time_out(&mut self, limit: Duration) -> Failures {
        let mut failures = std::mem::take(&mut self.failures);
        for Attempt { peer, .. } in self.attempts.drain(..) {
            let error = match peer {
                Endpoint::Inet(_) => unanswered(limit),
                // It would have answered at once if there were room in its accept queue.
                _ => io::Error::new(
                    ErrorKind::WouldBlock,
                    format!("no room within {}", setting(limit)),
                ),
            };
            failures.push(peer, error);
        }
        failures
    }

    /// When there is something to do without an event.
    pub(super) fn due(&self) -> Option<Instant> {
        let next = Some(self.next).filter(|_| !self.untried.is_empty());
        let due = |attempt: &Attempt| match attempt.state {
            AttemptState::Due(at) => Some(at),
            AttemptState::UnderWay(_) => None,
        };
        self.attempts.iter().filter_map(due).chain(next).min()
    }

    /// The program stood still: nothing was due meanwhile.
    pub(super) fn discount(&mut self, standstill: Duration) {
        self.next += standstill;
        self.attempts.iter_mut().for_each(|attempt| attempt.since += standstill);
    }
}

impl Attempt {
    /// The connection, if it is made by now.
    fn advance(&mut self, registry: &Registry, now: Instant) -> io::Result<Option<Established>> {
        if let AttemptState::Due(at) = self.state {
            if now < at {
                return Ok(None);
            }
            self.begin(registry, now)?;
        }
        let AttemptState::UnderWay(socket) = &mut self.state else { return Ok(None) };
        let Some(local) = outcome(socket)? else { return Ok(None) };
        registry.deregister(socket)?;
        // Not from `now`: a Unix socket is connected at once, and that takes its time too.
        let (peer, took) = (self.peer.clone(), self.since.elapsed());
        match std::mem::replace(&mut self.state, AttemptState::Due(now)) {
            AttemptState::UnderWay(socket) => Ok(Some(Established { socket, local, peer, took })),
            AttemptState::Due(_) => Ok(None),
        }
    }

    fn begin(&mut self, registry: &Registry, now: Instant) -> io::Result<()> {
        match Socket::connect(&self.peer) {
            Ok(mut socket) => {
                socket.register(registry, ATTEMPT, Interest::READABLE | Interest::WRITABLE)?;
                self.state = AttemptState::UnderWay(socket);
            }
            // connect(2): unlike TCP, a Unix socket does not go on trying.
            Err(e) if e.kind() == ErrorKind::WouldBlock && !self.is_inet() => {
                self.state = AttemptState::Due(now + RETRY);
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn is_inet(&self) -> bool {
        matches!(self.peer, Endpoint::Inet(_))
    }
}
