//! Times an echo without its system calls: [`Echo::drive`] on a socket in memory.

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use resound::conn::{Echo, Next};

use socket::Socket;

#[allow(dead_code, reason = "another bench shares it, and needs more of it")]
#[path = "support/socket.rs"]
mod socket;

/// The default of `serve --buffer`.
const SCRATCH_BYTES: usize = 256 << 10;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("conn");
    for (name, bytes) in
        [("64", 64), ("1k", 1 << 10), ("16k", 16 << 10), ("256k", 256 << 10), ("1m", 1 << 20)]
    {
        bench(&mut group, &format!("echo/{name}"), bytes, |_| {});
    }
    bench(&mut group, "dribble/1k", 1 << 10, |socket| socket.read_limit = 1);
    bench(&mut group, "short_writes/64k", 64 << 10, |socket| socket.room = 1 << 10);
    group.finish();
    criterion.final_summary();
}

/// Times one echo of `bytes` bytes after another, on a socket that `limit` may restrict.
fn bench(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    bytes: usize,
    limit: impl FnOnce(&mut Socket),
) {
    let mut socket = Socket::new(bytes);
    limit(&mut socket);
    let mut scratch = vec![0; SCRATCH_BYTES];
    let mut echo = Echo::new();
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(name, |b| {
        b.iter(|| {
            // This costs two stores. A new socket for each echo, or a look at the clock around each, would
            // disturb the small ones more.
            socket.rewind();
            echo_message(&mut echo, black_box(&mut socket), &mut scratch);
        });
        socket.expect_echo();
    });
}

/// Drives the connection at each event until the whole message is echoed.
#[inline]
fn echo_message(echo: &mut Echo, socket: &mut Socket, scratch: &mut [u8]) {
    // Each event means bytes to read or room to write, so at least one byte moves.
    for _event in 0..2 * socket.missing_bytes() {
        let next = socket.handle_event(echo, scratch);
        assert!(matches!(next, Ok(Next::Wait)), "an echo ended with {next:?}");
        if socket.missing_bytes() == 0 {
            return;
        }
    }
    panic!("{} bytes are missing of an echo", socket.missing_bytes());
}
