//! What an echo costs beside the system calls, in instructions: they can be counted to the last one, where
//! times tell apart only what differs by a tenth.
//!
//! Callgrind counts them, and the bench fails where there are more than a limit. What the socket in memory
//! does is left out, as what the system does in its place would be.

#![allow(missing_docs, reason = "of what the macros make, which has none")]
#![allow(
    clippy::boxed_local,
    reason = "what is boxed costs the same to hand over, whatever its size"
)]

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig};
use gungraun::{library_benchmark, library_benchmark_group, main};
use mio::event::Source;
use mio::{Interest, Registry, Token};
use resound::client::probe::{Pattern, Probe, Received};
use resound::conn::{Echo, Next, ShortRead};
use resound::reactor::{Reactor, Ready};

use socket::Socket;

#[allow(dead_code, reason = "another bench shares it, and needs more of it")]
#[path = "support/socket.rs"]
mod socket;

/// The default of `serve --buffer`.
const SCRATCH_BYTES: usize = 256 << 10;

// The limits, in instructions: a few per cent above what was measured with Rust 1.95 on x86-64, so that small
// differences of another compiler pass, and another look at each byte, or at each token, does not.

/// Measured: 65, whatever the size, as long as one read takes all of it. Bytes are only handed on.
const MAX_ECHO: u64 = 68;

/// Measured: 201, for four reads that fill the buffer, each with its write, and one more that finds nothing.
const MAX_ECHO_OF_1M: u64 = 211;

/// Measured: 69, of which a third is the benchmark's own: it calls, and looks for who is busy.
const MAX_TURN: u64 = 74;

/// Measured: 143.
const MAX_TURN_WITH_1: u64 = 155;

/// Measured: 2887, which is 56 for each: to be queued, and to be reported.
const MAX_TURN_WITH_50: u64 = 3000;

/// Measured: 310.
const MAX_PROBE_OF_64: u64 = 325;

/// Measured: 591.
const MAX_PROBE_OF_1K: u64 = 620;

/// Measured: 4911, nearly all of it the comparison with what was sent: 0.28 a byte.
const MAX_PROBE_OF_16K: u64 = 5130;

/// After so many turns everything has the size that it keeps.
const SETTLED: usize = 10;

struct Served {
    echo: Echo,
    socket: Socket,
    scratch: Vec<u8>,
}

/// A connection that has been up for a while, and to which another message has come.
fn served(bytes: usize) -> Box<Served> {
    let (mut echo, mut scratch) = (Echo::new(), vec![0; SCRATCH_BYTES]);
    // What is written to a queue can be read from it. Not with the socket: see `callgrind`.
    let mut endless = VecDeque::from(vec![0; 2 * SCRATCH_BYTES]);
    for _ in 0..SETTLED {
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

/// A source that the system never hears of: only `again` makes it ready.
struct Fake;

impl Source for Fake {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        Ok(())
    }
}

struct Turning {
    reactor: Reactor<Fake>,
    /// Who always has more to do.
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

/// A reactor that has turned for a while, with so many sources.
fn turning(busy: usize) -> Box<Turning> {
    let mut reactor = Reactor::new().expect("the system gives a poll");
    let busy = (0..busy).map(|_| reactor.insert(Fake).expect("a fake can be registered")).collect();
    let mut turning = Box::new(Turning { reactor, busy, ready: Vec::new() });
    for _ in 0..SETTLED {
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

/// A probe, and an echo of whatever it sends.
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

/// Fails where there are more instructions than so many.
fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::default();
    callgrind.hard_limits([(EventKind::Ir, instructions)]);
    LibraryBenchmarkConfig::default().tool(callgrind).clone()
}

/// Counts in the benchmark functions, but not in the socket.
fn counted() -> LibraryBenchmarkConfig {
    // Whatever these names match turns the counting over: off where it is on, and on where it is off. So
    // nothing that prepares a benchmark may use the socket.
    let callgrind = Callgrind::with_args([
        "--cache-sim=no",
        "--toggle-collect=<cost::socket::Socket as *",
        "--toggle-collect=*socket::Socket*::reflect*",
    ]);
    LibraryBenchmarkConfig::default()
        .tool(callgrind)
        // The C library compares with the widest registers that it finds; these every x86-64 has.
        .env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2")
        .clone()
}

library_benchmark_group!(name = costs, benchmarks = [echo, turn, probe]);
main!(config = counted(), library_benchmark_groups = costs);
