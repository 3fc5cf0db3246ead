//! Attempts at several addresses at once. The first that answers wins.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::failures::Failures;
use super::{Established, outcome, unanswered, unreachable};
use crate::net::{Endpoint, Socket};
use crate::text::format::setting;

/// The time from one attempt to the next, if none fails meanwhile: RFC 8305, section 5.
pub(in crate::client) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// After this long, an attempt begins again if a Unix server's accept queue had no room for it.
const RETRY: Duration = Duration::from_millis(10);

/// The token of every socket. Each event advances all attempts, so no event needs to say which socket it is about.
const ATTEMPT: Token = Token(1);

/// The addresses of a server, until one of them answers.
#[derive(Debug)]
pub(super) struct Race {
    /// Addresses without an attempt yet.
    untried: VecDeque<Endpoint>,
    attempts: Vec<ConnectAttempt>,
    failures: Failures,
    /// From one attempt to the next.
    delay: Duration,
    /// When the attempt at the next address begins.
    next: Instant,
}

/// What a poll of a race returns.
#[derive(Debug)]
pub(super) enum RaceStep {
    /// Nothing new.
    Wait,
    /// An attempt at this address begins.
    Connecting(Endpoint),
    /// An address failed, and the next one gets its attempt.
    Failed(io::Error),
    Won(Established),
    /// No address answered.
    Lost(Failures),
}

#[derive(Debug)]
struct ConnectAttempt {
    peer: Endpoint,
    since: Instant,
    state: AttemptState,
}

#[derive(Debug)]
enum AttemptState {
    /// It begins at this time: for the first time, or again if the server's accept queue was full.
    Due(Instant),
    UnderWay(Socket),
}

impl Race {
    /// Begins at `now`. Every address gets its attempt within `left`.
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
            let attempt =
                ConnectAttempt { peer: peer.clone(), since: now, state: AttemptState::Due(now) };
            self.attempts.push(attempt);
            return RaceStep::Connecting(peer);
        }
        if self.attempts.is_empty() {
            return RaceStep::Lost(std::mem::take(&mut self.failures));
        }
        RaceStep::Wait
    }

    /// Ends the race, since no address answered within `limit`.
    pub(super) fn time_out(&mut self, limit: Duration) -> Failures {
        let mut failures = std::mem::take(&mut self.failures);
        for ConnectAttempt { peer, .. } in self.attempts.drain(..) {
            let error = match peer {
                Endpoint::Inet(_) => unanswered(limit),
                // A Unix server answers at once if its accept queue has room.
                _ => io::Error::new(
                    ErrorKind::WouldBlock,
                    format!("no room within {}", setting(limit)),
                ),
            };
            failures.push(peer, error);
        }
        failures
    }

    /// When something is due without an event.
    pub(super) fn due(&self) -> Option<Instant> {
        let next = Some(self.next).filter(|_| !self.untried.is_empty());
        let due = |attempt: &ConnectAttempt| match attempt.state {
            AttemptState::Due(at) => Some(at),
            AttemptState::UnderWay(_) => None,
        };
        self.attempts.iter().filter_map(due).chain(next).min()
    }

    /// Leaves out a time in which the program did not run.
    pub(super) fn discount(&mut self, standstill: Duration) {
        self.next += standstill;
        self.attempts.iter_mut().for_each(|attempt| attempt.since += standstill);
    }
}

impl ConnectAttempt {
    /// Begins to connect if it is time, and returns the connection once it is made. An attempt never does both in
    /// one turn: then `took` would be zero.
    fn advance(&mut self, registry: &Registry, now: Instant) -> io::Result<Option<Established>> {
        if let AttemptState::Due(at) = self.state {
            if now >= at {
                self.begin(registry, now)?;
            }
            return Ok(None);
        }
        let AttemptState::UnderWay(socket) = &mut self.state else { return Ok(None) };
        let Some(local) = outcome(socket)? else { return Ok(None) };
        registry.deregister(socket)?;
        let (peer, took) = (self.peer.clone(), now.saturating_duration_since(self.since));
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
            // A Unix socket does not go on trying, unlike TCP: connect(2).
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
