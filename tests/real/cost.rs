//! What an echo and a connection cost. The figures go past the test harness to standard error, so that
//! they show where a test succeeds.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use std::{fmt, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use socket2::{Domain, SockRef, Socket, Type};

use crate::programs::Under;
use crate::server::{PATIENCE, Server, connect_unix};
use crate::wire::{expect_echo, pattern};

/// recvfrom, sendto, and a share of the epoll_wait that told of all.
const MAX_CALLS_PER_ECHO: f64 = 2.05;

/// recvfrom and sendto, and nothing else.
const MAX_MOVING_CALLS_PER_ECHO: f64 = 2.0;

/// In user space.
const MAX_INSTRUCTIONS_PER_ECHO: f64 = 135.0;

/// Of what is resident when started, the server's own. The rest is program and C library, and how much of
/// those the kernel maps beside the pages that are needed is the kernel's choice, and differs by 160 KiB from
/// one build or boot to the next. The target for all of it is 2048, of which a Rust program that says hello
/// takes 1900.
const MAX_STARTED_OWN_KIB: usize = 400;

/// Of user space.
const MAX_BYTES_PER_CONNECTION: f64 = 120.0;

/// What `--pending-limit` is where nobody says otherwise.
const PENDING_LIMIT_KIB: usize = 64 * 1024;

/// What the allocator may need to keep as much as the limit allows.
const PENDING_SLACK_KIB: usize = 8 * 1024;

const CONNECTIONS: usize = 50;
const MESSAGE_BYTES: usize = 64;

/// The difference of two runs, so that the start and the end of the server do not count.
const SHORT_RUN: usize = 20;
const LONG_RUN: usize = 220;

pub fn figure(what: &str, value: impl fmt::Display) {
    if cfg!(debug_assertions) {
        panic!("the costs of a debug build mean nothing: use ci/real");
    }
    let mut past_the_harness = io::stderr();
    writeln!(past_the_harness, "\n    {what}: {value}").unwrap();
}

/// Connections whose messages are all sent before the first echo is read.
struct Clients {
    streams: Vec<TcpStream>,
    rounds: usize,
}

impl Clients {
    fn connect(server: &Under) -> Self {
        let streams = (0..CONNECTIONS).map(|_| server.connect()).collect();
        Self { streams, rounds: 0 }
    }

    fn play(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.rounds += 1;
            let message = |number| pattern(self.rounds * CONNECTIONS + number, MESSAGE_BYTES);
            for (number, mut stream) in self.streams.iter().enumerate() {
                stream.write_all(&message(number)).unwrap();
            }
            for (number, mut stream) in self.streams.iter().enumerate() {
                let mut echo = [0; MESSAGE_BYTES];
                stream.read_exact(&mut echo).unwrap();
                assert!(echo[..] == message(number), "round {}, connection {number}", self.rounds);
            }
        }
    }
}

/// For this long after a turn that took long the server looks at the clock before each thing that it does
/// (`src/server/clock.rs`). Under valgrind its first turns can take that long.
const WATCH: Duration = Duration::from_secs(11);

/// Whatever `count` finds in the findings of a program that runs the server, for one echo. The clients play
/// when they have been quiet for `pause`.
fn per_echo(start: impl Fn() -> Under, pause: Duration, count: impl Fn(&str) -> u64) -> f64 {
    let [short, long] = [SHORT_RUN, LONG_RUN].map(|rounds| {
        let server = start();
        let mut clients = Clients::connect(&server);
        clients.play(1);
        thread::sleep(pause);
        clients.play(rounds);
        let (findings, _) = server.stop();
        count(&findings)
    });
    (long - short) as f64 / ((LONG_RUN - SHORT_RUN) * CONNECTIONS) as f64
}

/// Makes the server wait for so many microseconds before it asks what is ready. Until then all connections
/// have sent, so each batch is of all of them, whatever the machine does besides.
const BATCHED: [&str; 2] = ["-e", "inject=epoll_wait:delay_enter=3000"];

#[test]
fn an_echo_takes_two_system_calls_and_a_share_of_a_third() {
    let calls = per_echo(
        || Under::strace(&[&["-c"], &BATCHED[..]].concat(), &[]),
        Duration::ZERO,
        all_calls,
    );
    figure("system calls an echo", format_args!("{calls:.3}"));
    assert!(calls <= MAX_CALLS_PER_ECHO);
    // In a server that is made to wait, a read in vain would find the next message. Now it does not wait,
    // and how often it asks what is ready, or who has come, depends on what else the machine does.
    let count = |findings: &str| calls_of("recvfrom", findings) + calls_of("sendto", findings);
    let calls = per_echo(|| Under::strace(&["-c"], &[]), Duration::ZERO, count);
    figure("of them recvfrom and sendto", format_args!("{calls:.3}"));
    assert!(calls <= MAX_MOVING_CALLS_PER_ECHO);
}

fn all_calls(summary: &str) -> u64 {
    calls_of("total", summary)
}

/// Reads the line `99.00 SECONDS USECS CALLS ERRORS NAME`, which has ERRORS only where there were any.
fn calls_of(name: &str, summary: &str) -> u64 {
    let line = summary.lines().find(|line| line.split_whitespace().last() == Some(name));
    line.expect(summary).split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn an_echo_takes_few_instructions() {
    let strace = [&["-D", "-f", "-o", "/dev/null"], &BATCHED[..]].concat();
    let valgrind = ["valgrind", "-q", "--tool=callgrind", "--callgrind-out-file={findings}"];
    let start = || Under::start("strace", &[&strace, &valgrind[..]].concat(), &[]);
    let count = |findings: &str| -> u64 {
        let total = findings.lines().find_map(|line| line.strip_prefix("totals: "));
        total.expect(findings).parse().unwrap()
    };
    // Another program that delays a turn has the server look at the clock more often, which only adds.
    let attempts = (0..3).map(|_| per_echo(start, WATCH, count));
    let instructions = attempts.reduce(f64::min).expect("there are attempts");
    figure("instructions an echo, in user space", format_args!("{instructions:.1}"));
    assert!(instructions <= MAX_INSTRUCTIONS_PER_ECHO);
}

/// Without its address space being laid out at random (`-R`): how many of a library's pages the kernel maps
/// around one that is needed depends on where it lies, and makes a difference of 160 KiB.
#[test]
fn a_started_server_is_small() {
    let server = Under::start("setarch", &["-R"], &[]).server;
    let (all, own) = (server.status_kib("VmRSS"), server.status_kib("RssAnon"));
    figure("KiB resident when started", format_args!("{all}, of them its own: {own}"));
    assert!(own <= MAX_STARTED_OWN_KIB);
}

#[test]
fn fifteen_thousand_idle_connections_take_little_memory() {
    const IDLE: usize = 15_000;
    // Ports of one address: Linux gives out 28,000 where nobody says otherwise.
    const PER_SOURCE: usize = 5000;
    raise_descriptor_limit();
    let server = Server::start(&[]);
    let before = server.status_kib("RssAnon");
    let idle: Vec<_> = (0..IDLE)
        .map(|i| {
            let stream = connect_from(2 + i / PER_SOURCE, server.addr());
            expect_echo(&stream, b"and now it is idle");
            stream
        })
        .collect();
    let grown = (server.status_kib("RssAnon") - before) * 1024;
    let each = grown as f64 / IDLE as f64;
    figure("bytes an idle connection, in user space", format_args!("{each:.1}"));
    assert!(each <= MAX_BYTES_PER_CONNECTION);
    idle.iter().step_by(100).for_each(|stream| expect_echo(stream, b"idle no longer"));
}

pub fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// A connection from another of this machine's addresses: each has ports of its own.
pub fn connect_from(host: usize, addr: &str) -> TcpStream {
    connect_with(Socket::new(Domain::IPV4, Type::STREAM, None).unwrap(), host, addr)
}

/// The same with a socket that something was set on.
pub fn connect_with(socket: Socket, host: usize, addr: &str) -> TcpStream {
    socket.bind(&SocketAddr::from(([127, 0, 0, host as u8], 0)).into()).unwrap();
    socket.connect(&addr.parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// As much as the server reads from each at a time then, and some more. The kernel doubles it.
const SEND_BUFFER_BYTES: usize = 192 << 10;

/// FAULTS 21 and 7. Over a Unix socket, whose buffers do not grow: so many peers over TCP could use up the
/// kernel's memory for all sockets. The server would hold twice the limit if there were none. Failed when
/// reads were as large as the buffer, however much was pending, and when whoever would take no more was tried
/// again at once.
#[test]
fn stuck_peers_stay_within_the_limit_and_cost_no_processor_time() {
    const STUCK: usize = 1000;
    const WATCHED: Duration = Duration::from_secs(2);
    const MAX_USED: Duration = Duration::from_millis(20);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let unix = format!("unix:{}", path.display());
    let server = Server::start_at(&["127.0.0.1:0", &unix], &["--buffer", "1m"]);
    let bystander = server.connect();
    expect_echo(&bystander, b"before");
    let at_start = server.status_kib("VmRSS");
    let stuck: Vec<_> = (0..STUCK).map(|_| connect_unix(&path)).collect();
    let bytes = pattern(1, 1 << 20);
    fill_while_stopped(&server, &stuck, &bytes);
    fill_until_stuck(&stuck, &bytes);
    let (since, before) = (Instant::now(), server.cpu_time());
    while since.elapsed() < WATCHED {
        expect_echo(&bystander, b"am I served?");
        thread::sleep(Duration::from_millis(100)); // How often it asks.
    }
    let used = server.cpu_time() - before;
    let grown = server.status_kib("VmHWM") - at_start;
    figure("KiB at the most for 1000 that read no more", grown);
    figure("processor time while they are stuck, in 2 s with 20 echoes", format_args!("{used:?}"));
    assert!(grown >= PENDING_LIMIT_KIB / 16, "hardly anything is pending: this shows nothing");
    assert!(grown <= PENDING_LIMIT_KIB + PENDING_SLACK_KIB);
    assert!(used <= MAX_USED);
}

/// Sends as much as fits in before the server looks, and says how much that is for each.
fn fill_while_stopped(server: &Server, streams: &[UnixStream], bytes: &[u8]) -> Vec<usize> {
    server.signal(Signal::STOP);
    let sent = streams.iter().map(|stream| {
        SockRef::from(stream).set_send_buffer_size(SEND_BUFFER_BYTES).unwrap();
        fill(stream, bytes).unwrap()
    });
    let sent = sent.collect();
    server.signal(Signal::CONT);
    sent
}

/// Sends as much as fits in now, and says how much that is.
pub fn fill<S: AsFd>(mut stream: &S, bytes: &[u8]) -> io::Result<usize>
where
    for<'a> &'a S: Write,
{
    SockRef::from(stream).set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(n) => sent += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        }
    }
    SockRef::from(stream).set_nonblocking(false).unwrap();
    Ok(sent)
}

/// Sends on all of them, until the server has taken nothing from any for a while.
fn fill_until_stuck(streams: &[UnixStream], bytes: &[u8]) {
    const A_WHILE: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
    let mut polled: Vec<_> = streams.iter().map(|s| PollFd::new(s, PollFlags::OUT)).collect();
    while poll(&mut polled, Some(&A_WHILE)).unwrap() > 0 {
        for (polled, stream) in polled.iter().zip(streams) {
            if !polled.revents().is_empty() {
                fill(stream, bytes).unwrap();
            }
        }
    }
}

/// Printed only: what is timed beside other tests proves nothing. Each end has a processor of its own, as
/// on two machines; on one, they take turns, and a server that spins is in the way.
#[test]
fn spinning_speeds_up_a_single_connection() {
    const ROUNDS: usize = 7;
    const ECHOES: usize = 2000;
    let servers = [Server::start(&[]), Server::start(&["--spin", "50us"])];
    servers.iter().for_each(|server| pin(Some(server.pid()), 0));
    let streams = servers.each_ref().map(Server::connect);
    pin(None, 1);
    let mut rates = [vec![], vec![]];
    for round in 0..ROUNDS {
        for (rates, stream) in rates.iter_mut().zip(&streams) {
            let message = pattern(round, MESSAGE_BYTES);
            let since = Instant::now();
            (0..ECHOES).for_each(|_| expect_echo(stream, &message));
            rates.push(ECHOES as f64 / since.elapsed().as_secs_f64());
        }
    }
    let [without, with] = rates.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates[ROUNDS / 2]
    });
    figure(
        "echoes a second of a lone ping-pong",
        format_args!("{without:.0}, with --spin 50us {with:.0}: {:.2} ×", with / without),
    );
}

/// Keeps a process, or this thread, on one processor.
fn pin(process: Option<Pid>, processor: usize) {
    let mut processors = CpuSet::new();
    processors.set(processor);
    sched_setaffinity(process, &processors).unwrap();
}
