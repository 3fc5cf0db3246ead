//! The state machine of a connection that is being made.

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
use super::{Established, Family, Limits, Progress, failures::Failures};
use crate::client::drive::Timeout;
use crate::net::{Addr, Endpoint, cannot};
use crate::text::format::setting;

/// From one round that failed to the next.
const PAUSE: Duration = Duration::from_millis(200);

/// The look-up's end. Nothing reads the events: whatever happens, everything is looked at.
const LOOKED_UP: Token = Token(0);

/// What a [`Dialer`] has come to.
#[derive(Debug)]
pub enum Step {
    /// Nothing new: poll it again after an event, or when [`Dialer::poll_timeout`] says so.
    Wait,
    /// Something to show. Poll it again at once.
    Progress(Progress),
    /// There is a connection, and the dialer rests.
    Connected(Established),
    /// A line for people: there is none, and the dialer rests.
    Failed(io::Error),
}

/// Makes connections to one server, one after the other, and looks its name up for each.
///
/// It is an event source for a reactor of the caller's. After an event, after the time that
/// [`poll_timeout`](Self::poll_timeout) gives and after [`start`](Self::start), the caller calls [`poll`](Self::poll) until
/// that says [`Step::Wait`].
pub struct Dialer {
    server: Addr,
    limits: Limits,
    resolve: Resolve,
    /// Becomes ready when anything happens to a look-up or an attempt; and a poll can be polled: epoll(7).
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    /// A look-up that has not been answered. It cannot be stopped, so the next round waits for it too.
    lookup: Option<Receiver<Answer>>,
    /// The address that answered last time.
    preferred: Option<Endpoint>,
    state: State,
    /// When it was started.
    began: Instant,
    /// When this round of attempts began.
    round_began: Instant,
    /// Whether it was reported that the server is not up. Further rounds are silent.
    is_wait_reported: bool,
}

#[derive(Debug)]
enum State {
    Resting,
    /// The next round begins at this time.
    Due(Instant),
    LookingUp,
    Connecting(Race),
}

impl Dialer {
    /// A dialer that rests until it is [started](Self::start).
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
        let now = Instant::now();
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
            began: now,
            round_began: now,
            is_wait_reported: false,
        })
    }

    /// Starts to make a connection.
    pub fn start(&mut self, now: Instant) {
        // An answer that came after it was given up may be old by now.
        if let Some(lookup) = &self.lookup
            && !matches!(lookup.try_recv(), Err(TryRecvError::Empty))
        {
            self.lookup = None;
        }
        self.began = now;
        self.is_wait_reported = false;
        self.state = State::Due(now);
    }

    /// Gives up what it does, and rests.
    pub fn stop(&mut self) {
        self.state = State::Resting;
    }

    /// Sets how long to wait for a server that is not up, from the next start on.
    pub fn set_wait(&mut self, wait: Option<Duration>) {
        self.limits.wait = wait;
    }

    /// Whether the server's name is being looked up.
    pub fn is_looking_up(&self) -> bool {
        matches!(self.state, State::LookingUp)
    }

    /// Does what can be done without waiting.
    pub fn poll(&mut self, now: Instant) -> Step {
        // First of all: what happens from here on is another event.
        if let Err(e) = self.clear_events() {
            return Step::Failed(e);
        }
        loop {
            let step = match &mut self.state {
                State::Resting => return Step::Wait,
                State::Due(at) if now < *at => return Step::Wait,
                State::Due(_) => self.begin_round(now),
                State::LookingUp => self.poll_lookup(now),
                State::Connecting(_) => self.poll_race(now),
            };
            match step {
                // It is known that the server is not up; what each further attempt does is not news.
                Some(Step::Progress(Progress::Connecting(_) | Progress::Failed(_)))
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
            State::Due(at) => Timeout::Owed(until(*at)),
            State::LookingUp => Timeout::Owed(self.left_in_round(now)),
            State::Connecting(race) => {
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

    /// The program stood still for this long, which counts against no server.
    pub fn discount(&mut self, standstill: Duration) {
        self.began += standstill;
        self.round_began += standstill;
        if let State::Connecting(race) = &mut self.state {
            race.discount(standstill);
        }
    }

    /// By subtraction: the instant at which the longest of timeouts ends may be past all instants.
    fn left_in_round(&self, now: Instant) -> Duration {
        let round =
            self.limits.timeout.saturating_sub(now.saturating_duration_since(self.round_began));
        self.left_to_wait(now).map_or(round, |all| round.min(all))
    }

    fn left_to_wait(&self, now: Instant) -> Option<Duration> {
        let wait = self.limits.wait?;
        Some(wait.saturating_sub(now.saturating_duration_since(self.began)))
    }

    /// The timeout of a round, as it was asked for.
    fn limit(&self) -> Duration {
        self.limits.wait.map_or(self.limits.timeout, |wait| wait.min(self.limits.timeout))
    }

    fn begin_round(&mut self, now: Instant) -> Option<Step> {
        self.round_began = now;
        if lookup::needs_no_lookup(&self.server) {
            let found = (self.resolve)(&self.server);
            return self.looked_up(found, now);
        }
        if self.lookup.is_none() {
            match lookup::start(&self.resolve, &self.server, &self.waker) {
                Ok(lookup) => self.lookup = Some(lookup),
                Err(e) => return self.failed(cannot("look up", &self.server, &e), true, now),
            }
        }
        self.state = State::LookingUp;
        None
    }

    fn poll_lookup(&mut self, now: Instant) -> Option<Step> {
        let answer = match self.lookup.as_ref().map(Receiver::try_recv) {
            Some(Err(TryRecvError::Empty)) if !self.left_in_round(now).is_zero() => {
                return Some(Step::Wait);
            }
            // It goes on, and the next round may have its answer.
            Some(Err(TryRecvError::Empty)) => Err(self.unanswered_lookup()),
            answer => {
                self.lookup = None;
                answer.and_then(Result::ok).unwrap_or_else(|| Err(self.unanswered_lookup()))
            }
        };
        self.looked_up(answer, now)
    }

    fn unanswered_lookup(&self) -> io::Error {
        let line = format!(
            "cannot resolve {}: no answer within {}; is the name server reachable?",
            self.server,
            setting(self.limit())
        );
        io::Error::new(ErrorKind::TimedOut, line)
    }

    fn looked_up(&mut self, answer: Answer, now: Instant) -> Option<Step> {
        let peers = match answer {
            Ok(peers) => order(peers, self.limits.family, self.preferred.as_ref()),
            Err(e) => return self.failed(e, true, now),
        };
        if peers.is_empty() {
            let family = match self.limits.family {
                Some(Family::V4) => "IPv4 ",
                Some(Family::V6) => "IPv6 ",
                None => "",
            };
            let line = format!("cannot connect to {}: it has no {family}address", self.server);
            return self.failed(io::Error::other(line), true, now);
        }
        self.state = State::Connecting(Race::new(peers, self.left_in_round(now), now));
        None
    }

    fn poll_race(&mut self, now: Instant) -> Option<Step> {
        let is_over = self.left_in_round(now).is_zero();
        let limit = self.limit();
        let State::Connecting(race) = &mut self.state else { return None };
        match race.poll(self.poll.registry(), now) {
            // Only now: after a standstill of this program, a connection may be there all the same.
            RaceStep::Wait | RaceStep::Connecting(_) if is_over => {
                let failures = race.time_out(limit);
                self.lost(failures, now)
            }
            RaceStep::Wait => Some(Step::Wait),
            RaceStep::Connecting(peer) => Some(Step::Progress(Progress::Connecting(peer))),
            RaceStep::Failed(error) => Some(Step::Progress(Progress::Failed(error))),
            RaceStep::Lost(failures) => self.lost(failures, now),
            RaceStep::Won(connection) => {
                self.preferred = Some(connection.peer.clone());
                self.state = State::Resting;
                Some(Step::Connected(connection))
            }
        }
    }

    fn lost(&mut self, failures: Failures, now: Instant) -> Option<Step> {
        let may_pass = failures.may_pass();
        self.failed(failures.error(&self.server), may_pass, now)
    }

    /// A round has failed, and begins again if it may and must.
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
        Some(Step::Progress(Progress::Waiting { error, wait }))
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
