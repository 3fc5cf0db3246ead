//! The state machine that makes a connection.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use super::lookup::{self, Answer, Resolve};
use super::order::order;
use super::race::{Race, RaceStep};
use super::{DialProgress, Established, Limits, failures::Failures, no_address, send_header};
use crate::client::drive::Timeout;
use crate::client::idle_timer::IdleTimer;
use crate::net::{Addr, Endpoint, cannot};
use crate::text::format::setting;

/// The time from a round that failed to the next round.
const PAUSE: Duration = Duration::from_millis(200);

/// A look-up has ended. A dialer reads no event: after each one it checks everything.
const LOOKED_UP: Token = Token(0);

/// What a poll of a [`Dialer`] returns.
#[derive(Debug)]
pub enum Step {
    /// Nothing new. Poll the dialer again after an event or its timeout.
    Wait,
    /// Something to show. Poll the dialer again at once.
    Progress(DialProgress),
    /// The connection is made, and the dialer rests.
    Connected(Established),
    /// There is no connection, and the dialer rests. The error is a line for people.
    Failed(io::Error),
}

/// Makes connections to one server, one after the other. It looks the server's name up for each.
///
/// It is an event source for the caller's reactor. The caller calls [`poll`](Self::poll) until that returns
/// [`Step::Wait`]: after [`start`](Self::start), after each event, and after each
/// [timeout](Self::poll_timeout).
pub struct Dialer {
    server: Addr,
    limits: Limits,
    resolve: Resolve,
    /// Becomes ready if anything happens to a look-up or an attempt. The caller polls this poll: epoll(7).
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    /// A look-up without an answer yet. Nothing can stop it, so the next round waits for it too.
    lookup: Option<Receiver<Answer>>,
    /// The address that answered last time.
    preferred: Option<Endpoint>,
    state: State,
    /// The time left for all rounds, if the server may come up later.
    wait: Option<IdleTimer>,
    /// Whether the dialer has reported that the server is not up. Further rounds are silent.
    is_wait_reported: bool,
}

/// Each round of attempts has its own timer.
#[derive(Debug)]
enum State {
    Resting,
    /// The next round begins at this time.
    Due(Instant),
    LookingUp(IdleTimer),
    Connecting(IdleTimer, Race),
}

impl Dialer {
    /// A dialer that rests until its [`start`](Self::start).
    ///
    /// # Errors
    ///
    /// If the system gives no further descriptors: epoll_create1(2), eventfd(2).
    pub fn new(server: &Addr, limits: Limits) -> io::Result<Self> {
        Self::with_resolver(server, limits, Arc::new(Addr::resolve))
    }

    pub(in crate::client) fn with_resolver(
        server: &Addr,
        limits: Limits,
        resolve: Resolve,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), LOOKED_UP)?);
        Ok(Self {
            server: server.clone(),
            limits,
            resolve,
            poll,
            events: Events::with_capacity(16),
            waker,
            lookup: None,
            preferred: None,
            state: State::Resting,
            wait: None,
            is_wait_reported: false,
        })
    }

    /// Starts to make a connection.
    pub fn start(&mut self, now: Instant) {
        // An answer that came after its round gave up may be old by now.
        if let Some(lookup) = &self.lookup
            && !matches!(lookup.try_recv(), Err(TryRecvError::Empty))
        {
            self.lookup = None;
        }
        self.wait = self.limits.wait.map(|wait| IdleTimer::new(wait, now));
        self.is_wait_reported = false;
        self.state = State::Due(now);
    }

    /// Sets how long to wait for a server that is not up, from the next start on.
    pub fn set_wait(&mut self, wait: Option<Duration>) {
        self.limits.wait = wait;
    }

    /// Whether a look-up of the server's name is under way.
    pub fn is_looking_up(&self) -> bool {
        matches!(self.state, State::LookingUp(_))
    }

    /// Does what can be done without waiting.
    pub fn poll(&mut self, now: Instant) -> Step {
        // This comes first: what happens from here on makes another event.
        if let Err(e) = self.clear_events() {
            self.state = State::Resting;
            return Step::Failed(e);
        }
        loop {
            let step = match &mut self.state {
                State::Resting => return Step::Wait,
                State::Due(at) if now < *at => return Step::Wait,
                State::Due(_) => self.begin_round(now),
                State::LookingUp(_) => self.poll_lookup(now),
                State::Connecting(..) => self.poll_race(now),
            };
            match step {
                // The user knows that the server is not up. Further attempts are no news.
                Some(Step::Progress(DialProgress::Connecting(_) | DialProgress::Failed(_)))
                    if self.is_wait_reported => {}
                Some(step) => return step,
                None => {}
            }
        }
    }

    /// How long until there is something to do without an event.
    pub fn poll_timeout(&self, now: Instant) -> Timeout {
        let until = |at: Instant| at.saturating_duration_since(now);
        match &self.state {
            State::Resting => Timeout::Never,
            State::Due(at) => Timeout::Idle(until(*at)),
            State::LookingUp(_) => Timeout::Owed(self.left_in_round(now)),
            State::Connecting(_, race) => {
                let left = self.left_in_round(now);
                Timeout::Owed(race.due().map_or(left, |at| left.min(until(at))))
            }
        }
    }

    /// Fetches the events that have come, so that the next one makes the poll ready again.
    fn clear_events(&mut self) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(()),
            polled => polled,
        }
    }

    /// Leaves out a time in which the program did not run. It counts against no server.
    pub fn discount(&mut self, standstill: Duration) {
        if let Some(wait) = &mut self.wait {
            wait.discount(standstill);
        }
        match &mut self.state {
            State::Resting | State::Due(_) => {}
            State::LookingUp(round) => round.discount(standstill),
            State::Connecting(round, race) => {
                round.discount(standstill);
                race.discount(standstill);
            }
        }
    }

    fn left_in_round(&self, now: Instant) -> Duration {
        let round = match &self.state {
            State::Resting | State::Due(_) => self.limits.timeout,
            State::LookingUp(round) | State::Connecting(round, _) => round.left(now),
        };
        self.left_to_wait(now).map_or(round, |all| round.min(all))
    }

    fn left_to_wait(&self, now: Instant) -> Option<Duration> {
        self.wait.as_ref().map(|wait| wait.left(now))
    }

    /// The whole timeout of a round.
    fn limit(&self) -> Duration {
        self.limits.wait.map_or(self.limits.timeout, |wait| wait.min(self.limits.timeout))
    }

    fn begin_round(&mut self, now: Instant) -> Option<Step> {
        self.state = State::LookingUp(IdleTimer::new(self.limits.timeout, now));
        if lookup::needs_no_lookup(&self.server) {
            let found = (self.resolve)(&self.server);
            return self.looked_up(found, now);
        }
        if self.lookup.is_none() {
            let waker = Arc::clone(&self.waker);
            let wake = move || {
                // It fails only if the dialer is gone.
                let _ = waker.wake();
            };
            match lookup::start(&self.resolve, &self.server, wake) {
                Ok(lookup) => self.lookup = Some(lookup),
                Err(e) => return self.failed(cannot("look up", &self.server, &e), true, now),
            }
        }
        None
    }

    fn poll_lookup(&mut self, now: Instant) -> Option<Step> {
        let answer = match self.lookup.as_ref().map(Receiver::try_recv) {
            Some(Err(TryRecvError::Empty)) if !self.left_in_round(now).is_zero() => {
                return Some(Step::Wait);
            }
            // The look-up goes on, and the next round may get its answer.
            Some(Err(TryRecvError::Empty)) => Err(self.unanswered_lookup()),
            answer => {
                self.lookup = None;
                answer.and_then(Result::ok).unwrap_or_else(|| Err(self.unanswered_lookup()))
            }
        };
        self.looked_up(answer, now)
    }

    fn unanswered_lookup(&self) -> io::Error {
        lookup::unanswered(&self.server, self.limit())
    }

    fn looked_up(&mut self, answer: Answer, now: Instant) -> Option<Step> {
        let peers = match answer {
            Ok(peers) => order(peers, self.limits.family, self.preferred.as_ref()),
            Err(e) => return self.failed(e, true, now),
        };
        if peers.is_empty() {
            return self.failed(no_address(&self.server, self.limits.family), true, now);
        }
        let race = Race::new(peers, self.left_in_round(now), now);
        if let State::LookingUp(round) = std::mem::replace(&mut self.state, State::Resting) {
            self.state = State::Connecting(round, race);
        }
        None
    }

    fn poll_race(&mut self, now: Instant) -> Option<Step> {
        let is_over = self.left_in_round(now).is_zero();
        let limit = self.limit();
        let State::Connecting(_, race) = &mut self.state else { return None };
        match race.poll(self.poll.registry(), now) {
            // Only after the race's turn: if this program stood still, a connection may be there by now.
            RaceStep::Wait | RaceStep::Connecting(_) if is_over => {
                let failures = race.time_out(limit);
                self.lost(failures, now)
            }
            RaceStep::Wait => Some(Step::Wait),
            RaceStep::Connecting(peer) => Some(Step::Progress(DialProgress::Connecting(peer))),
            RaceStep::Failed(error) => Some(Step::Progress(DialProgress::Failed(error))),
            RaceStep::Lost(failures) => self.lost(failures, now),
            RaceStep::Won(connection) => self.won(connection, now),
        }
    }

    fn won(&mut self, mut connection: Established, now: Instant) -> Option<Step> {
        let version = self.limits.send_proxy;
        let sent = version.map_or(Ok(()), |version| send_header(&mut connection.socket, version));
        if let Err(e) = sent {
            return self.failed(cannot("send a PROXY header to", &connection.peer, &e), true, now);
        }
        self.preferred = Some(connection.peer.clone());
        self.state = State::Resting;
        Some(Step::Connected(connection))
    }

    fn lost(&mut self, failures: Failures, now: Instant) -> Option<Step> {
        let may_pass = failures.may_pass();
        self.failed(failures.error(&self.server), may_pass, now)
    }

    /// Ends a round that failed. Another one follows if the reason may pass and there is time left.
    fn failed(&mut self, error: io::Error, may_pass: bool, now: Instant) -> Option<Step> {
        self.state = State::Resting;
        let Some(wait) = self.limits.wait.filter(|_| may_pass) else {
            return Some(Step::Failed(error));
        };
        if self.left_to_wait(now).is_none_or(|left| left < PAUSE) {
            let line = format!("{error}; waited for {}", setting(wait));
            return Some(Step::Failed(io::Error::new(error.kind(), line)));
        }
        self.state = State::Due(now + PAUSE);
        if std::mem::replace(&mut self.is_wait_reported, true) {
            return Some(Step::Wait);
        }
        Some(Step::Progress(DialProgress::Waiting { error, wait }))
    }
}

impl Source for Dialer {
    fn register(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        SourceFd(&self.poll.as_raw_fd()).register(r, t, i)
    }

    fn reregister(&mut self, r: &Registry, t: Token, i: Interest) -> io::Result<()> {
        SourceFd(&self.poll.as_raw_fd()).reregister(r, t, i)
    }

    fn deregister(&mut self, r: &Registry) -> io::Result<()> {
        SourceFd(&self.poll.as_raw_fd()).deregister(r)
    }
}
