//! Random runs against random servers: the figures of each must add up.

use std::io::ErrorKind;

use super::super::super::simulated::Answer;
use super::*;
use crate::client::rng::xorshift;

/// Random numbers that follow from a seed.
#[derive(Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number from 0 to `n - 1`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = xorshift(self.0);
        (self.0 >> 16) % n
    }

    /// True once in `n` times.
    pub(super) fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(super) fn time(&mut self, below: Duration) -> Duration {
        Duration::from_micros(self.below(below.as_micros() as u64))
    }
}

/// A server that does anything but send a wrong byte within an echo.
struct Moody {
    dice: Dice,
    /// One message in this many meets a fault, if any does.
    fault_rate: Option<u64>,
    /// After one connection in this many has ended, more bytes come, if that ever happens.
    surplus_rate: Option<u64>,
}

impl Server for Moody {
    fn accept(&mut self, _: usize, at: Duration) -> Answer {
        // The first connections must be made, or there is no run.
        if at < 50 * MS || self.fault_rate.is_none() {
            return Answer::Accept(Duration::ZERO);
        }
        match self.dice.below(12) {
            0 => Answer::Refuse(ErrorKind::ConnectionRefused),
            1 => Answer::QueueFull,
            2 => Answer::Silence,
            _ => Answer::Accept(self.dice.time(20 * MS)),
        }
    }

    fn receive(&mut self, _: usize, _: Duration, bytes: &[u8]) -> Vec<(Duration, Sent)> {
        let delay = self.dice.time(15 * MS);
        let whole = vec![(delay, Sent::Bytes(bytes.to_vec()))];
        if self.fault_rate.is_none_or(|rate| !self.dice.once_in(rate)) {
            return whole;
        }
        let part = (delay, Sent::Bytes(bytes[..bytes.len() / 2].to_vec()));
        match self.dice.below(5) {
            0 => vec![(delay, Sent::Reset)],
            1 => vec![part, (delay, Sent::End)],
            2 => vec![(delay, Sent::Bytes(bytes.to_vec())), (delay * 2, Sent::End)],
            3 => vec![(delay + 200 * MS, Sent::Bytes(bytes.to_vec()))],
            _ => Vec::new(),
        }
    }

    fn end(&mut self, _: usize, _: Duration) -> Vec<(Duration, Sent)> {
        if self.surplus_rate.is_some_and(|rate| self.dice.once_in(rate)) {
            return vec![(self.dice.time(200 * MS), Sent::Bytes(b"surplus".to_vec()))];
        }
        match self.dice.below(3) {
            0 => Vec::new(),
            1 => vec![(self.dice.time(5 * MS), Sent::Reset)],
            _ => vec![(self.dice.time(5 * MS), Sent::End)],
        }
    }
}

fn random_options(dice: &mut Dice) -> Options {
    Options {
        connections: 1 + dice.below(6) as usize,
        length: match dice.below(2) {
            0 => Length::Time(100 * MS + dice.time(600 * MS)),
            _ => Length::Messages(1 + dice.below(300)),
        },
        rate: dice.once_in(2).then(|| 50.0 + dice.below(3000) as f64),
        sizes: 1..=1 + dice.below(2000) as usize,
        depth: 1 + dice.below(5) as usize,
        connect_rate: dice.once_in(3).then_some(300.0),
        warmup: dice.time(200 * MS),
        timeout: 150 * MS,
        reconnect_every: dice.once_in(3).then(|| 1 + dice.below(10)),
        keep_going: dice.once_in(2),
        interval: 10 * MS + dice.time(200 * MS),
        spin: Duration::ZERO,
        ..options()
    }
}

fn random_act(dice: &mut Dice) -> Act {
    match dice.below(3) {
        0 => Act::Signals(&[signal_hook::consts::SIGINT]),
        _ => Act::StandStill(dice.time(S)),
    }
}

/// Each message is answered, late, lost or unsent, and is so once.
#[track_caller]
pub(super) fn check<P>(seed: u64, options: &Options, seen: &Seen<P>) {
    let outcome = &seen.outcome;
    let all = outcome.messages + outcome.unanswered_count();
    seen.assert_messages(outcome.messages, outcome.lost, outcome.unsent);
    match (options.length, options.rate) {
        (Length::Messages(n), _) if outcome.end == End::Complete => assert_eq!(all, n, "{seed}"),
        (Length::Messages(n), _) => assert!(all <= n, "{seed}: {all} of {n}"),
        (Length::Time(_), Some(rate)) => {
            let due = rate * outcome.measured.as_secs_f64();
            assert!((all as f64 - due).abs() <= 1.0, "{seed}: {all} of {due}");
        }
        (Length::Time(_), None) => assert_eq!(outcome.unsent, 0, "{seed}"),
    }
    if let Length::Time(planned) = options.length {
        assert!(outcome.measured <= planned, "{seed}: {:?} of {planned:?}", outcome.measured);
    }
    let lengths: Duration = outcome.intervals.iter().map(|interval| interval.length).sum();
    assert_eq!(lengths, outcome.measured, "{seed}");
    assert_eq!(outcome.connect.count(), outcome.connections_made, "{seed}");
    assert_eq!(outcome.failure_counts.values().sum::<u64>(), outcome.failure_count, "{seed}");
    if options.rate.is_some() {
        assert_eq!(outcome.lag.count(), all, "{seed}");
    }
}

fn run(seed: u64) -> (Options, Seen) {
    let mut dice = Dice(xorshift(seed + 1));
    let mut options = random_options(&mut dice);
    let fault_rate = dice.once_in(2).then(|| 10 + dice.below(100));
    // Without faults nothing fails, however slow the server is.
    options.timeout = if fault_rate.is_some() { options.timeout } else { 10 * S };
    let surplus_rate = fault_rate.filter(|_| dice.once_in(2)).map(|_| 1 + dice.below(8));
    let server = Moody { dice: dice.clone(), fault_rate, surplus_rate };
    let mut run = Run::new(options.clone(), server);
    let mut at = Duration::ZERO;
    while !dice.once_in(3) {
        at += dice.time(400 * MS);
        run = run.at(at, random_act(&mut dice));
    }
    let seen = run.run();
    if fault_rate.is_none() {
        assert_eq!(seen.outcome.failure_count, 0, "{seed}: {:?}", seen.outcome.failures);
    }
    (options, seen)
}

#[test]
fn the_figures_of_every_run_add_up() {
    for seed in 0..500 {
        let (options, seen) = run(seed);
        check(seed, &options, &seen);
    }
}

#[test]
fn a_run_with_the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        let figures = |seen: &Seen| {
            let Outcome { messages, lost, unsent, measured, .. } = seen.outcome;
            (messages, lost, unsent, measured, seen.ended, seen.stages.clone())
        };
        assert_eq!(figures(&run(seed).1), figures(&run(seed).1), "{seed}");
    }
}
