//! Echoes over loopback: a server in a process of its own, and clients that check every byte.
//!
//! A closed loop: each connection sends a message, waits until it has the whole echo, and sends the
//! next. What is timed is a round: one message of every connection, there and back.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use pattern::Pattern;

#[path = "support/pattern.rs"]
mod pattern;

const CONNECTIONS: [usize; 3] = [1, 50, 500];
const SIZES: [(&str, usize); 4] = [("64", 64), ("1k", 1 << 10), ("16k", 16 << 10), ("1m", 1 << 20)];

/// The most that a client reads or writes at once, in bytes: as much as the server does.
const PIECE_BYTES: usize = 256 << 10;

/// Events fetched by one wait.
const EVENTS_PER_WAIT: usize = 1024;

/// Where nothing happens for this long, the server has forgotten somebody.
const STALLED: Duration = Duration::from_secs(10);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    grid(&mut criterion);
    spin(&mut criterion);
    criterion.final_summary();
}

/// Connections × message size.
fn grid(criterion: &mut Criterion) {
    let server = Server::start(&[]);
    let mut group = criterion.benchmark_group("echo");
    // A round takes from microseconds to nearly a second.
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_secs(1));
    for (size, bytes) in SIZES {
        for connections in CONNECTIONS {
            bench(&mut group, &format!("{connections}x{size}"), &server, connections, bytes);
        }
    }
    group.finish();
}

/// A lone ping-pong, with a server that sleeps at once and with one that first polls for a while.
fn spin(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spin");
    for (name, args) in [("off", &[][..]), ("50us", &["--spin", "50us"])] {
        bench(&mut group, name, &Server::start(args), 1, 64);
    }
    group.finish();
}

fn bench(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    server: &Server,
    connections: usize,
    bytes: usize,
) {
    // Connected when first needed, as not every benchmark may have been asked for.
    let mut clients = None;
    group.throughput(Throughput::ElementsAndBytes {
        elements: connections as u64,
        bytes: (connections * bytes) as u64,
    });
    group.bench_function(name, |b| {
        let clients = clients.get_or_insert_with(|| {
            Clients::connect(server.addr, connections, bytes).expect("the server is listening")
        });
        b.iter_custom(|rounds| clients.play(rounds as usize));
    });
}

/// A server in a process of its own, which ends with this.
struct Server {
    process: Child,
    addr: SocketAddr,
    /// Held open for what else the server may log.
    _log: BufReader<ChildStderr>,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_resound"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cargo has built the server");
        let mut log = BufReader::new(process.stderr.take().expect("it was asked for"));
        let addr = listening_on(&mut log);
        Self { process, addr, _log: log }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only where it has ended by itself, which its clients will have noticed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads the log until it names the address.
fn listening_on(log: &mut impl BufRead) -> SocketAddr {
    let mut text = String::new();
    while log.read_line(&mut text).expect("a log is text") > 0 {
        if let Some((_, addr)) = text.split_once("listening on ") {
            return addr.trim().parse().expect("it listens on a TCP address");
        }
    }
    panic!("the server did not start: {text}");
}

/// Connected clients, all on this one thread.
struct Clients {
    poll: Poll,
    events: Events,
    peers: Vec<Peer>,
    shared: Shared,
}

/// What all clients share.
struct Shared {
    pattern: Pattern,
    scratch: Box<[u8]>,
    message_bytes: usize,
    /// Where in its stream each client is to stop.
    goal: usize,
    /// How many bytes are to come until all have got there.
    missing: usize,
}

impl Clients {
    fn connect(server: SocketAddr, connections: usize, message_bytes: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let peers = (0..connections)
            .map(|number| {
                let mut peer = Peer::connect(server, number)?;
                let interest = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut peer.stream, Token(number), interest)?;
                Ok(peer)
            })
            .collect::<io::Result<_>>()?;
        let shared = Shared {
            pattern: Pattern::new(PIECE_BYTES),
            scratch: vec![0; PIECE_BYTES].into(),
            message_bytes,
            goal: 0,
            missing: 0,
        };
        Ok(Self { poll, events: Events::with_capacity(EVENTS_PER_WAIT), peers, shared })
    }

    /// Has every connection echo so many messages, and says how long that took.
    fn play(&mut self, rounds: usize) -> Duration {
        let Self { peers, shared, .. } = self;
        shared.goal += rounds * shared.message_bytes;
        shared.missing = rounds * shared.message_bytes * peers.len();
        let start = Instant::now();
        for peer in peers {
            peer.send(shared).unwrap_or_else(|e| peer.fail(&e));
        }
        while self.shared.missing > 0 {
            self.turn();
        }
        start.elapsed()
    }

    /// Waits once, and gives everybody who is ready a turn.
    fn turn(&mut self) {
        let Self { poll, events, peers, shared } = self;
        match poll.poll(events, Some(STALLED)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => return,
            polled => polled.expect("the poll works"),
        }
        if events.is_empty() {
            let forgotten = peers.iter().find(|peer| peer.received < shared.goal);
            forgotten.expect("bytes are missing").fail(&ErrorKind::TimedOut.into());
        }
        for event in &*events {
            let peer = &mut peers[event.token().0];
            peer.drive(event, shared).unwrap_or_else(|e| peer.fail(&e));
        }
    }
}

/// One client.
struct Peer {
    number: usize,
    stream: TcpStream,
    /// How far in its stream it has written.
    sent: usize,
    /// How far in its stream it has read and checked.
    received: usize,
}

impl Peer {
    fn connect(server: SocketAddr, number: usize) -> io::Result<Self> {
        let stream = std::net::TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { number, stream: TcpStream::from_std(stream), sent: 0, received: 0 })
    }

    /// Reads and writes in turn, until there is nothing more to read.
    fn drive(&mut self, event: &Event, shared: &mut Shared) -> io::Result<()> {
        // As in the server: see `Readiness`.
        let short_read_drains = !event.is_read_closed() && !event.is_error();
        loop {
            let n = self.receive(shared)?;
            self.send(shared)?;
            if n == 0 || (n < shared.scratch.len() && short_read_drains) {
                return Ok(());
            }
        }
    }

    /// Reads once, and checks what came. Returns 0 where nothing did.
    fn receive(&mut self, shared: &mut Shared) -> io::Result<usize> {
        let Some(n) = unless_blocked(self.stream.read(&mut shared.scratch))? else { return Ok(0) };
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if self.received + n > self.sent {
            return Err(io::Error::other("more came back than was sent"));
        }
        shared.pattern.check(self.number, self.received, &shared.scratch[..n]);
        self.received += n;
        shared.missing -= n;
        Ok(n)
    }

    /// Writes what the socket takes of the message whose echo is not all there.
    fn send(&mut self, shared: &Shared) -> io::Result<()> {
        let next = (self.received / shared.message_bytes + 1) * shared.message_bytes;
        let end = next.min(shared.goal);
        while self.sent < end {
            let len = (end - self.sent).min(PIECE_BYTES);
            let piece = shared.pattern.piece(self.number, self.sent, len);
            let Some(n) = unless_blocked(self.stream.write(piece))? else { break };
            self.sent += n;
        }
        Ok(())
    }

    fn fail(&self, error: &io::Error) -> ! {
        let Self { number, sent, received, .. } = self;
        panic!("connection {number}: {error}, {sent} bytes sent and {received} echoed")
    }
}

/// How much was read or written; `None` where the socket has nothing, or no room.
fn unless_blocked(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
        outcome => outcome.map(Some),
    }
}
