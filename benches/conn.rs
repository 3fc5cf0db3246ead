//! What an echo costs beside the system calls: [`Echo::drive`] on a socket in memory.
//!
//! The connection has been up for a while: how much it reads at a time has settled.

use std::hint::black_box;
use std::io::{self, ErrorKind, Read, Write};

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use resound::conn::{Echo, Readiness, Turn};

use pattern::Pattern;

#[path = "support/pattern.rs"]
mod pattern;

/// The default of `serve --buffer`.
const SCRATCH_BYTES: usize = 256 << 10;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("conn");
    for (name, bytes) in
        [("64", 64), ("1k", 1 << 10), ("16k", 16 << 10), ("256k", 256 << 10), ("1m", 1 << 20)]
    {
        bench(&mut group, &format!("echo/{name}"), bytes, Socket::default());
    }
    bench(&mut group, "dribble/1k", 1 << 10, Socket { read_limit: 1, ..Socket::default() });
    bench(&mut group, "short_writes/64k", 64 << 10, Socket { room: 1 << 10, ..Socket::default() });
    group.finish();
    criterion.final_summary();
}

/// Times one echo of so many bytes after the other.
fn bench(group: &mut BenchmarkGroup<WallTime>, name: &str, bytes: usize, mut socket: Socket) {
    let pattern = Pattern::new(bytes);
    socket.incoming = pattern.piece(0, 0, bytes).into();
    socket.echoed.reserve_exact(bytes);
    let mut scratch = vec![0; SCRATCH_BYTES];
    let mut echo = Echo::new();
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(name, |b| {
        b.iter(|| {
            // Two stores: setting a fresh socket up for each echo, or reading the clock around each,
            // would disturb the small ones more.
            socket.rewind();
            echo_message(&mut echo, black_box(&mut socket), &mut scratch);
        });
        assert_eq!(socket.echoed.len(), bytes, "bytes echoed");
        pattern.check(0, 0, &socket.echoed);
    });
}

/// Drives the connection at each event, as a server would, until all that came has been echoed.
#[inline]
fn echo_message(echo: &mut Echo, socket: &mut Socket, scratch: &mut [u8]) {
    // An event tells of something to read or of room to write, so each moves a byte at the least.
    for _event in 0..2 * socket.incoming.len() {
        let turn = loop {
            match echo.drive(socket, Readiness::ShortReadDrains, scratch) {
                Ok(Turn::Again) => {}
                turn => break turn,
            }
        };
        assert!(matches!(turn, Ok(Turn::Wait)), "an echo ended with {turn:?}");
        if socket.echoed.len() >= socket.incoming.len() {
            return;
        }
    }
    panic!("lost bytes: {} came, {} were echoed", socket.incoming.len(), socket.echoed.len());
}

/// A connected socket whose peer has sent a message.
struct Socket {
    incoming: Box<[u8]>,
    /// How much of it has been read.
    read: usize,
    echoed: Vec<u8>,
    /// The most that one read returns, in bytes: what has arrived by then.
    read_limit: usize,
    /// The most that one write takes, in bytes. After one that was cut short, the next finds no room.
    room: usize,
    full: bool,
}

impl Default for Socket {
    fn default() -> Self {
        Self {
            incoming: Box::default(),
            read: 0,
            echoed: Vec::new(),
            read_limit: usize::MAX,
            room: usize::MAX,
            full: false,
        }
    }
}

impl Socket {
    /// The same message arrives anew.
    fn rewind(&mut self) {
        self.read = 0;
        self.echoed.clear();
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.incoming[self.read..];
        let n = left.len().min(self.read_limit).min(buffer.len());
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer[..n].copy_from_slice(&left[..n]);
        self.read += n;
        Ok(n)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.full) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = bytes.len().min(self.room);
        self.full = n < bytes.len();
        self.echoed.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
