//! Made-up runs to report.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::conditions::Conditions;
use super::json::Report;
use crate::client::failure::Failure;
use crate::client::latency::Latency;
use crate::client::load::{
    ConnectionFailure, End, Interval, Length, Objective, Options, Outcome, Search, Trial, Verdict,
    tests,
};
use crate::client::probe::{Fault, Pattern, Probe};

/// An open loop of 10 s.
pub fn options() -> Options {
    Options {
        server: "127.0.0.1:7007".parse().unwrap(),
        connections: 50,
        length: Length::Time(Duration::from_secs(10)),
        rate: Some(2_000.0),
        warmup: Duration::from_secs(1),
        ..tests::options()
    }
}

/// The same in a closed loop.
pub fn closed_loop() -> Options {
    Options { rate: None, ..options() }
}

/// A run without a measured part.
pub fn nothing() -> Outcome {
    let began = UNIX_EPOCH + Duration::from_millis(1_764_068_072_500);
    Outcome { end: End::Failed, ..Outcome::nothing(began) }
}

/// A run of `seconds` with 2000 messages in each. A `slower` of 2 doubles their latency.
pub fn run(seconds: u64, slower: f64) -> Outcome {
    let mut outcome = Outcome { end: End::Complete, connections_made: 50, ..nothing() };
    for second in 0..seconds {
        let (mut response, mut service) = (Latency::new(), Latency::new());
        for i in 0..2_000_u64 {
            // Mostly about 80 µs, with a tail.
            let unlikely = 1.0 / (1.0 - ((second * 2_000 + i) % 9_973) as f64 / 9_973.0);
            let time = Duration::from_secs_f64(60e-6 * slower * unlikely.powf(0.6));
            service.record(time);
            response.record(time.mul_f64(1.2) + Duration::from_micros(second % 7));
        }
        outcome.intervals.push(interval(second, &response));
        outcome.response.add(&response);
        outcome.service.add(&service);
    }
    (1..=50).for_each(|i| outcome.connect.record(Duration::from_micros(100 + 3 * i)));
    (1..=1_000).for_each(|i| outcome.lag.record(Duration::from_nanos(40 * i)));
    outcome.measured = Duration::from_secs(seconds);
    outcome.messages = 2_000 * seconds;
    (outcome.messages_in_time, outcome.bytes_in_time) = (2_000 * seconds, 128_000 * seconds);
    (outcome.busy, outcome.cpu) = (outcome.measured.mul_f64(0.34), outcome.measured.mul_f64(0.3));
    outcome
}

fn interval(second: u64, response: &Latency) -> Interval {
    Interval {
        start: Duration::from_secs(second),
        length: Duration::from_secs(1),
        messages: 2_000 - second % 3 * 40,
        bytes: 128_000,
        responses: response.count(),
        p50: response.percentile(50.0),
        p99: response.percentile(99.0),
        max: response.max(),
    }
}

/// The failures of a run whose server changed a byte, and then could not be reached.
pub fn failures() -> Vec<ConnectionFailure> {
    let local = Some("127.0.0.1:40001".parse::<std::net::SocketAddr>().unwrap().into());
    let refused = io::Error::from(ErrorKind::ConnectionRefused);
    vec![
        ConnectionFailure {
            connection: Some(7),
            local,
            failure: Failure::Fault(altered()),
            is_fatal: true,
        },
        ConnectionFailure {
            connection: Some(8),
            local: None,
            failure: Failure::Connect(refused),
            is_fatal: false,
        },
        ConnectionFailure {
            connection: Some(9),
            local: None,
            failure: Failure::TimedOut {
                timeout: Duration::from_secs(10),
                received: 64,
                expected: 128,
            },
            is_fatal: false,
        },
    ]
}

/// A run in which all of them happened.
pub fn with_failures() -> Outcome {
    Outcome {
        failures: failures(),
        failure_count: 3,
        has_wrong_bytes: true,
        lost: 2,
        failure_counts: [("altered", 1), ("timeout", 2)].into(),
        ..run(3, 1.0)
    }
}

/// The byte at offset 5 comes back with all its bits flipped.
fn altered() -> Fault {
    let (pattern, now) = (Pattern::new(64), Instant::now());
    let (mut probe, mut echo) = (Probe::new(7, 1), Vec::new());
    probe.begin(32, now);
    probe.send(&mut echo, &pattern, now).unwrap();
    echo[5] = !echo[5];
    probe.receive(&mut &echo[..], &pattern, &mut [0; 64]).unwrap_err()
}

/// A search with two trials.
pub fn search() -> Search {
    let objective = Objective { percentile: 99.0, limit: Duration::from_millis(5) };
    let (fast, slow) = (Duration::from_millis(1), Duration::from_micros(4_900));
    let tried = [(2_000.0, Verdict::Kept(fast)), (4_000.0, Verdict::Unsent(slow, 312))];
    let trial = |(rate, verdict)| Trial { objective, rate, verdict, client_note: None };
    Search { objective, trials: tried.map(trial).into(), is_interrupted: false }
}

/// The machine of all these runs.
pub fn conditions() -> Conditions {
    Conditions {
        os: "linux".into(),
        arch: "x86_64".into(),
        kernel: Some("6.1.0".into()),
        cpu: Some("Some CPU @ 2.80GHz".into()),
        logical_cpus: Some(2),
    }
}

/// The report of a run.
pub fn report<'a>(outcome: &'a Outcome, options: &'a Options) -> Report<'a> {
    let command = ["resound", "load", "127.0.0.1:7007", "-c", "50"].map(Into::into);
    Report::new(outcome, options, None, command.into(), conditions())
}
