//! The counts and times of a session on a simulated clock and network. No test waits.

use std::time::{Duration, Instant};

use super::*;
use crate::client::alarm::Alarm;
use crate::client::drive::{Driven, Host, drive_on};
use crate::reactor::{Reactor, Ready};

use simulated::{
    Arrival, Attempt, CLOSE, CONNECT, Clock, ECHO, MS, Reply, Simulated, echo, silence,
};

mod simulated;

mod times;
mod failures;
mod schedule;
mod standstills;
mod interruptions;
mod exhaustive;

const SIZE: usize = 8;

/// A ping to run.
struct Run {
    options: Options,
    clock: Clock,
    server: Simulated,
    /// When the program is stopped and continues, as by SIGSTOP and SIGCONT.
    stopped: Option<(Duration, Duration)>,
    /// When SIGINT comes.
    interrupted: Option<Duration>,
    /// How long the output of a line takes.
    line: Duration,
}

/// What a ping found.
struct Report {
    tally: Tally,
    end: io::Result<End>,
    /// When each message was sent, counted from the first.
    sent: Vec<Duration>,
    lines: Vec<String>,
    /// When the ping ended, counted from its start.
    took: Duration,
    turns: u32,
    /// The standstills that the network was notified of.
    discounted: Duration,
}

/// A ping of `count` messages, one each second, with a timeout of half a second.
fn run(count: u64) -> Run {
    let clock = Clock::new();
    Run {
        options: Options {
            server: "127.0.0.1:7".parse().unwrap(),
            count: Some(count),
            interval: MS * 1000,
            size: SIZE,
            timeout: MS * 500,
            wait: None,
            send_proxy: None,
        },
        server: Simulated::new(&clock, SIZE),
        clock,
        stopped: None,
        interrupted: None,
        line: Duration::ZERO,
    }
}

impl Run {
    fn replies(mut self, replies: impl IntoIterator<Item = Reply>) -> Self {
        self.server.replies = replies.into_iter().collect();
        self
    }

    fn attempts(mut self, attempts: impl IntoIterator<Item = Attempt>) -> Self {
        self.server.attempts = attempts.into_iter().collect();
        self
    }

    /// Runs the ping to its end.
    fn report(self) -> Report {
        let Self { options, clock, server, stopped, interrupted, line } = self;
        let (start, mut lines, mut tally) = (clock.now(), Vec::new(), Tally::default());
        let notify = |notice: &Notice<'_>| {
            clock.advance(line);
            lines.push(notice.to_string());
            Ok(())
        };
        let mut session = Session::new(&options, server, &mut tally, notify, start);
        let mut host = SimulatedHost { clock: &clock, start, stopped, interrupted, turns: 0 };
        let end = drive_on(&mut host, &mut session, start);
        session.network.close();
        let discounted = session.network.discounted;
        let sent = session.network.sent_at.clone();
        let sent = sent.iter().map(|at| *at - sent[0]).collect();
        drop(session);
        let (took, turns) = (clock.now() - start, host.turns);
        Report { tally, end, sent, lines, took, turns, discounted }
    }
}

/// Waits on the simulated clock. The session uses no processor time.
struct SimulatedHost<'a> {
    clock: &'a Clock,
    start: Instant,
    stopped: Option<(Duration, Duration)>,
    interrupted: Option<Duration>,
    turns: u32,
}

impl<S: Notify> Host<Session<'_, Simulated, S>> for SimulatedHost<'_> {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn processor_time(&self) -> Duration {
        Duration::ZERO
    }

    fn wait(
        &mut self,
        session: &mut Session<'_, Simulated, S>,
        timeout: Option<Duration>,
        _: &mut Vec<Ready>,
    ) -> io::Result<()> {
        self.turns += 1;
        assert!(self.turns < 100_000, "the session spins");
        let timeout = timeout.map(|timeout| self.clock.now() + timeout);
        let signal = self.interrupted.map(|at| self.start + at);
        let wake = [timeout, session.network.next_event(), signal].into_iter().flatten().min();
        self.clock.advance_to(wake.expect("a wait without an end"));
        if let Some((from, to)) = self.stopped
            && self.clock.now() >= self.start + from
        {
            self.clock.advance_to(self.start + to);
        }
        if signal.is_some_and(|at| self.clock.now() >= at) {
            session.stop();
        }
        Ok(())
    }
}

impl<S: Notify> Driven for Session<'_, Simulated, S> {
    type Watched = Alarm;
    type Outcome = End;

    fn reactor(&mut self) -> &mut Reactor<Alarm> {
        unreachable!("a simulated network has no reactor")
    }

    fn poll_timeout(&mut self, now: Instant) -> Timeout {
        Self::poll_timeout(self, now)
    }

    fn discount(&mut self, standstill: Duration, now: Instant) {
        Self::discount(self, standstill, now);
    }

    fn handle_ready(&mut self, _: &[Ready], now: Instant) -> io::Result<()> {
        self.handle_echo(now)
    }

    fn handle_timeout(&mut self, now: Instant) -> io::Result<()> {
        Self::handle_timeout(self, now)
    }

    fn outcome(&mut self) -> Option<End> {
        Self::outcome(self)
    }
}

impl Report {
    #[track_caller]
    fn assert_counts(&self, received: u64, lost: u64, wrong: u64, reconnects: u64) {
        let Tally { received: r, lost: l, wrong: w, .. } = self.tally;
        let found = (r, l, w, self.tally.reconnects());
        assert_eq!(found, (received, lost, wrong, reconnects), "{:#?}", self.lines);
    }

    #[track_caller]
    fn assert_complete(&self) {
        assert!(matches!(self.end, Ok(End::Complete)), "{:?} {:#?}", self.end, self.lines);
    }

    #[track_caller]
    fn assert_sent_at(&self, milliseconds: &[u32]) {
        let expected: Vec<_> = milliseconds.iter().map(|ms| MS * *ms).collect();
        assert_eq!(self.sent, expected, "{:#?}", self.lines);
    }

    #[track_caller]
    fn assert_line(&self, line: &str) {
        assert!(self.lines.iter().any(|found| found == line), "{:#?}", self.lines);
    }

    fn failures(&self) -> Vec<&str> {
        self.tally.failures.iter().map(|failure| &*failure.text).collect()
    }
}
