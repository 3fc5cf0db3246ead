//! Counts the instructions of an echo outside the system calls. A count is exact; a time shows only differences of a
//! tenth and more.
//!
//! Callgrind counts, and the bench fails if a count exceeds its limit. The socket in memory is not counted: it stands
//! for system calls.

#![allow(missing_docs, reason = "what the macros make has no docs")]
#![allow(clippy::boxed_local, reason = "to pass a box costs the same, whatever it holds")]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig};
use gungraun::{library_benchmark, library_benchmark_group, main};
use mio::Token;
use resound::client::probe::{Pattern, Probe, Received};
use resound::conn::{Echo, Next, ShortRead};
use resound::reactor::{Reactor, Ready};

use kit::source::Unpolled;
use socket::Socket;

#[allow(dead_code, reason = "each user of the kit needs a part of it")]
#[path = "../tests/kit/mod.rs"]
mod kit;
#[allow(dead_code, reason = "another bench shares it, and needs more of it")]
#[path = "support/socket.rs"]
mod socket;

/// The default of `serve --buffer`.
const SCRATCH_BYTES: usize = 256 << 10;

// The limits, in instructions: a few per cent above what was measured with Rust 1.95 on x86-64. Small differences of
// another compiler pass; one more look at each byte, or at each token, does not.

/// Measured: 68 for every size that one read takes, since the echo only passes bytes on.
const MAX_ECHO: u64 = 68;

/// Measured: 237, for four reads that fill the buffer, a write after each, and a read that finds nothing. Each drive
/// returns what it moved.
const MAX_ECHO_OF_1M: u64 = 245;

/// Measured: 69. A third of it is the benchmark itself, which walks the list of busy sources.
const MAX_TURN: u64 = 74;

/// Measured: 156. Three of them keep an entry in the queue if an event has reported its source already.
const MAX_TURN_WITH_1: u64 = 160;

/// Measured: 2655, which is 52 for each source: to queue it and to report it.
const MAX_TURN_WITH_50: u64 = 2800;

/// Measured: 310.
const MAX_PROBE_OF_64: u64 = 325;

/// Measured: 591.
const MAX_PROBE_OF_1K: u64 = 620;

/// Measured: 4911. Nearly all of it compares the echo with what was sent, at 0.28 a byte.
const MAX_PROBE_OF_16K: u64 = 5130;

/// Rounds before the measured one. After them, no buffer grows any more.
const WARM_UP_ROUNDS: usize = 10;

struct Served {
    echo: Echo,
    socket: Socket,
    scratch: Vec<u8>,
}

/// A connection that has echoed before, and has a message of `bytes` bytes to read.
fn served(bytes: usize) -> Box<Served> {
    let (mut echo, mut scratch) = (Echo::new(), vec![0; SCRATCH_BYTES]);
    // A queue returns what is written to it. `Socket` must not be used here: see `counted`.
    let mut endless = VecDeque::from(vec![0; 2 * SCRATCH_BYTES]);
    for _ in 0..WARM_UP_ROUNDS {
        let drive = echo.drive(&mut endless, ShortRead::MeansEmpty, &mut scratch);
        assert!(drive.next.is_ok());
    }
    Box::new(Served { echo, socket: Socket::new(bytes), scratch })
}

fn expect_echo(served: Box<Served>) {
    served.socket.expect_echo();
}

#[library_benchmark(setup = served, teardown = expect_echo)]
#[bench::of_64(args = (64), config = at_most(MAX_ECHO))]
#[bench::of_1k(args = (1 << 10), config = at_most(MAX_ECHO))]
#[bench::of_16k(args = (16 << 10), config = at_most(MAX_ECHO))]
#[bench::of_1m(args = (1 << 20), config = at_most(MAX_ECHO_OF_1M))]
fn echo(mut served: Box<Served>) -> Box<Served> {
    let Served { echo, socket, scratch } = &mut *served;
    let next = socket.handle_event(echo, scratch);
    assert!(matches!(next, Ok(Next::Wait)));
    served
}

struct Turning {
    reactor: Reactor<Unpolled>,
    /// The sources that always have more to do.
    busy: Vec<Token>,
    ready: Vec<Ready>,
}

impl Turning {
    #[inline(always)]
    fn turn(&mut self) {
        for token in &self.busy {
            self.reactor.requeue(*token);
        }
        self.reactor.wait(Some(Duration::ZERO), &mut self.ready).expect("the poll works");
    }
}

/// A reactor that has run before, with `busy` sources.
fn turning(busy: usize) -> Box<Turning> {
    let mut reactor = Reactor::new().expect("the system gives a poll");
    let busy = (0..busy).map(|_| reactor.insert(Unpolled).expect("it can be registered")).collect();
    let mut turning = Box::new(Turning { reactor, busy, ready: Vec::new() });
    for _ in 0..WARM_UP_ROUNDS {
        turning.turn();
    }
    turning.ready.clear();
    turning
}

fn expect_ready(turning: Box<Turning>) {
    let ready: Vec<_> = turning.ready.iter().map(|ready| ready.token).collect();
    assert_eq!(ready, turning.busy);
}

#[library_benchmark(setup = turning, teardown = expect_ready)]
#[bench::with_none(args = (0), config = at_most(MAX_TURN))]
#[bench::with_1(args = (1), config = at_most(MAX_TURN_WITH_1))]
#[bench::with_50(args = (50), config = at_most(MAX_TURN_WITH_50))]
fn turn(mut turning: Box<Turning>) -> Box<Turning> {
    turning.turn();
    turning
}

struct Probing {
    probe: Probe,
    socket: Socket,
    pattern: Pattern,
    scratch: Vec<u8>,
    bytes: usize,
    now: Instant,
}

/// A probe, and a socket that returns all that the probe sends.
fn probing(bytes: usize) -> Box<Probing> {
    Box::new(Probing {
        probe: Probe::new(0, 1),
        socket: Socket::new(0),
        pattern: Pattern::new(SCRATCH_BYTES),
        scratch: vec![0; SCRATCH_BYTES],
        bytes,
        now: Instant::now(),
    })
}

fn expect_all(probing: Box<Probing>) {
    let bytes = probing.bytes as u64;
    assert_eq!(probing.probe.progress(), (bytes, bytes));
    assert_eq!(probing.probe.in_flight(), 0);
}

#[library_benchmark(setup = probing, teardown = expect_all)]
#[bench::of_64(args = (64), config = at_most(MAX_PROBE_OF_64))]
#[bench::of_1k(args = (1 << 10), config = at_most(MAX_PROBE_OF_1K))]
#[bench::of_16k(args = (16 << 10), config = at_most(MAX_PROBE_OF_16K))]
fn probe(mut probing: Box<Probing>) -> Box<Probing> {
    let Probing { probe, socket, pattern, scratch, bytes, now } = &mut *probing;
    probe.begin(*bytes, *now);
    probe.send(socket, pattern, *now).expect("the socket takes all");
    socket.reflect();
    let received = probe.receive(socket, pattern, scratch);
    assert!(matches!(received, Ok(Received::Short(_))));
    assert!(probe.complete().is_some());
    probing
}

/// Fails if there are more than `instructions`.
fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, instructions)]);
    LibraryBenchmarkConfig::default().tool(callgrind).clone()
}

/// Counts in the benchmark functions, but not in the socket.
fn counted() -> LibraryBenchmarkConfig {
    // A function whose name matches toggles the counting: off within a benchmark, but on outside one. So the setup of
    // a benchmark must not call the socket.
    let callgrind = Callgrind::with_args([
        "--cache-sim=no",
        "--toggle-collect=<cost::socket::Socket as *",
        "--toggle-collect=*socket::Socket*::reflect*",
    ]);
    LibraryBenchmarkConfig::default()
        .tool(callgrind)
        // The C library uses the widest registers that it finds. Every x86-64 processor has the others.
        .env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2")
        .clone()
}

library_benchmark_group!(name = costs, benchmarks = [echo, turn, probe]);
main!(config = counted(), library_benchmark_groups = costs);
