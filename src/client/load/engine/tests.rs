//! Runs on a clock that the test moves, against servers that it plays.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::super::simulated::{FakeClock, FakeNetwork, FakeProbe, Sent, Server};
use super::super::tests::options;
use super::super::{End, Interval, Length, Stage};
use super::*;
use crate::client::latency::Latency;
use crate::client::probe::Probe;
use crate::client::probe::datagrams::DatagramProbe;

mod datagrams;
mod ends;
mod figures;
mod interrupts;
mod random;
mod reconnects;
mod standstills;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// The processor time that a wait costs if the client busy-waits for messages, whether it sleeps or not.
const WAIT: Duration = Duration::from_micros(100);

/// What happens to the client in the middle of a run.
#[derive(Clone, Debug)]
enum Act {
    /// These signals come together.
    Signals(&'static [i32]),
    /// It does not run for this long.
    StandStill(Duration),
}

/// A run to simulate.
struct Run<P = Probe> {
    options: Options,
    network: FakeNetwork<P>,
    acts: VecDeque<(Duration, Act)>,
}

/// What was seen of a run.
struct Seen<P = Probe> {
    outcome: Outcome,
    /// When each stage began.
    stages: Vec<(Duration, Stage)>,
    ended: Duration,
    reports: Reports,
    /// When the client began to connect.
    attempts: Vec<Duration>,
    received_bytes: usize,
    network: FakeNetwork<P>,
}

#[derive(Debug, Default)]
struct Reports {
    responses: u64,
    statuses: Vec<Progress>,
    progress: Vec<Progress>,
    is_abandoned: bool,
}

impl Reporter for Reports {
    fn start(&mut self, _: SystemTime) {}

    fn interval(&mut self, interval: &Interval, responses: &Latency) {
        assert_eq!(interval.responses, responses.count());
        self.responses += interval.responses;
    }

    fn progress(&mut self, progress: &Progress) {
        self.progress.push(*progress);
    }

    fn status(&mut self, progress: &Progress) {
        self.statuses.push(*progress);
    }

    fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }
}

impl Run<Probe> {
    fn new(options: Options, server: impl Server + 'static) -> Self {
        Self { options, network: FakeNetwork::new(server), acts: VecDeque::new() }
    }
}

impl Run<DatagramProbe> {
    fn over_udp(options: Options, server: impl Server + 'static) -> Self {
        Self { options, network: FakeNetwork::new(server), acts: VecDeque::new() }
    }
}

impl<P: FakeProbe> Run<P> {
    /// Adds an act, later than those before.
    fn at(mut self, at: Duration, act: Act) -> Self {
        self.acts.push_back((at, act));
        self
    }

    fn run(self) -> Seen<P> {
        self.run_with(Reports::default())
    }

    fn run_with(mut self, mut reports: Reports) -> Seen<P> {
        let mut signals = Signals::new::<[i32; 0], _>([]).unwrap();
        let (network, clock) = (self.network.clone(), self.network.clock.clone());
        let options = self.options.clone();
        let mut engine =
            Engine::new(&options, network, clock.clone(), &mut signals, &mut reports).unwrap();
        let mut stages = vec![(Duration::ZERO, Stage::Connecting)];
        for turn in 0.. {
            assert!(turn < 1_000_000, "it goes on for ever: {stages:?}");
            if engine.phase.is_over() {
                break;
            }
            self.turn(&mut engine);
            if stages.last().unwrap().1 != engine.phase.stage() {
                stages.push((clock.elapsed(), engine.phase.stage()));
            }
        }
        let outcome = engine.finish();
        let (attempts, received_bytes) = (self.network.attempts(), self.network.received_bytes());
        let ended = clock.elapsed();
        Seen { outcome, stages, ended, reports, attempts, received_bytes, network: self.network }
    }

    fn next_act(&self) -> Option<Duration> {
        self.acts.front().map(|(at, _)| *at)
    }

    /// As the engine's own, but for the wait: that moves the clock.
    fn turn(&mut self, engine: &mut Engine<'_, FakeNetwork<P>, FakeClock, Reports>) {
        let clock = &self.network.clock;
        let timeout = engine.poll_timeout(clock.now()).unwrap();
        let act = self.next_act();
        if !engine.connections.reactor.has_more() {
            let end = clock.elapsed() + timeout;
            let first = [Some(end), self.network.next_arrival(), act].into_iter().flatten().min();
            clock.pass(first.unwrap().saturating_sub(clock.elapsed()));
            if !self.options.spin.is_zero() && self.options.rate.is_some() {
                clock.work(WAIT);
            }
        }
        while self.next_act().is_some_and(|at| at <= clock.elapsed()) {
            match self.acts.pop_front().unwrap().1 {
                Act::Signals(batch) => engine.handle_signals(batch),
                Act::StandStill(time) => clock.pass(time),
            }
        }
        for ready in self.network.deliver() {
            engine.connections.reactor.inject(ready);
        }
        engine.wait(Duration::ZERO).unwrap();
        engine.handle(clock.now());
    }
}

impl<P> Seen<P> {
    /// Expects this end, and failures of these kinds.
    #[track_caller]
    fn assert_end(&self, end: End, kinds: &[(&'static str, u64)]) {
        let Outcome { end: found, failure_counts, .. } = &self.outcome;
        assert_eq!((*found, failure_counts), (end, &kinds.iter().copied().collect()));
    }

    /// Expects these numbers of messages: answered, lost and unsent.
    #[track_caller]
    fn assert_messages(&self, answered: u64, lost: u64, unsent: u64) {
        let outcome = &self.outcome;
        assert_eq!((outcome.messages, outcome.lost, outcome.unsent), (answered, lost, unsent));
        assert_eq!([&outcome.response, &outcome.service].map(Latency::count), [answered; 2]);
        assert_eq!(outcome.unanswered.count(), lost + outcome.late + unsent);
        let intervals = &outcome.intervals;
        assert_eq!(intervals.iter().map(|interval| interval.responses).sum::<u64>(), answered);
        let in_time = intervals.iter().map(|interval| interval.messages).sum::<u64>();
        assert_eq!(in_time, outcome.messages_in_time);
        assert_eq!(self.reports.responses, answered);
    }
}

/// Expects the shortest and the longest of these times, which are kept to a thousandth.
#[track_caller]
fn assert_times(times: &Latency, min: Duration, max: Duration) {
    for (found, truth) in [(times.min(), min), (times.max(), max)] {
        assert!(found.abs_diff(truth) <= truth / 1000, "{found:?} instead of {truth:?}");
    }
}

/// A server that echoes after this long.
fn echo(delay: Duration) -> impl Server {
    move |_: usize, _: Duration, bytes: &[u8]| vec![(delay, Sent::Bytes(bytes.to_vec()))]
}

/// A server that echoes at once, except from `from` on for `length`, when it pauses.
fn pausing(from: Duration, length: Duration) -> impl Server {
    move |_: usize, at: Duration, bytes: &[u8]| {
        let is_paused = (from..from + length).contains(&at);
        let delay = if is_paused { from + length - at } else { Duration::ZERO };
        vec![(delay, Sent::Bytes(bytes.to_vec()))]
    }
}

/// A server that echoes after a millisecond, and answers to the end of the client's stream like this.
struct Ending<F>(F);

impl<F: FnMut(Duration) -> Vec<(Duration, Sent)>> Server for Ending<F> {
    fn receive(&mut self, _: usize, _: Duration, bytes: &[u8]) -> Vec<(Duration, Sent)> {
        vec![(MS, Sent::Bytes(bytes.to_vec()))]
    }

    fn end(&mut self, _: usize, at: Duration) -> Vec<(Duration, Sent)> {
        self.0(at)
    }
}

fn silent() -> impl Server {
    |_: usize, _: Duration, _: &[u8]| Vec::new()
}

fn for_time(time: Duration) -> Options {
    Options { length: Length::Time(time), ..options() }
}

fn open_loop(rate: f64, time: Duration) -> Options {
    Options { rate: Some(rate), spin: Duration::ZERO, ..for_time(time) }
}
