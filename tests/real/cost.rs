//! What an echo and a connection cost: system calls, instructions, memory. The tests write their figures straight to
//! standard error, so that they show even if a test succeeds.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fmt, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use socket2::SockRef;

use crate::many::{fill, raise_descriptor_limit};
use crate::programs::Under;
use crate::server::{Server, command};
use crate::unix::{SocketPath, connect_unix};
use crate::wire::{connect_from, expect_echo, pattern};

/// recvfrom, sendto, and a share of the epoll_wait that reported all connections.
const MAX_CALLS_PER_ECHO: f64 = 2.05;

/// recvfrom and sendto alone.
const MAX_MOVING_CALLS_PER_ECHO: f64 = 2.0;

/// Instructions in user space.
const MAX_INSTRUCTIONS_PER_ECHO: f64 = 135.0;

/// What `--metrics` may add to that. The 50 echoes of a turn share the look at one more service's deadline. That
/// takes some 20 instructions.
const MAX_INSTRUCTIONS_FOR_METRICS: f64 = 1.0;

/// Anonymous memory of a server that has just started. The rest of what is resident is program and C library. The
/// kernel decides how many of their pages it maps around those that are needed, and that differs by 160 KiB between
/// builds or boots. The target for all resident memory is 2048 KiB; a Rust program that prints "hello" takes 1900.
const MAX_STARTED_OWN_KIB: usize = 400;

/// Memory in user space.
const MAX_BYTES_PER_CONNECTION: f64 = 120.0;

/// The default of `--pending-limit`.
const PENDING_LIMIT_KIB: usize = 64 * 1024;

/// What the allocator needs beside the bytes that the limit allows.
const PENDING_SLACK_KIB: usize = 8 * 1024;

const CONNECTIONS: usize = 50;
const MESSAGE_BYTES: usize = 64;

/// Rounds of two runs. Their difference excludes the start and the end of the server.
const SHORT_RUN: usize = 20;
const LONG_RUN: usize = 220;

/// Prints a figure past the test harness.
pub fn figure(what: &str, value: impl fmt::Display) {
    if cfg!(debug_assertions) {
        panic!("the costs of a debug build mean nothing: use ci/real");
    }
    // The harness captures what eprintln! prints.
    let mut stderr = io::stderr();
    writeln!(stderr, "\n    {what}: {value}").unwrap();
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

/// After a slow turn, the server reads the clock before each action for this long (`src/server/clock.rs`). Under
/// valgrind, its first turns can be slow.
const WATCH: Duration = Duration::from_secs(11);

/// What `count` reads from the findings of the program that runs the server, per echo. The clients play after a pause
/// of `pause`.
fn per_echo(start: impl Fn() -> Under, pause: Duration, count: impl Fn(&str) -> u64) -> f64 {
    let [short, long] = [SHORT_RUN, LONG_RUN].map(|rounds| {
        let server = start();
        let mut clients = Clients::connect(&server);
        clients.play(1);
        thread::sleep(pause); // The server must not have a slow turn in this time: see WATCH.
        clients.play(rounds);
        let (findings, _) = server.stop();
        count(&findings)
    });
    (long - short) as f64 / ((LONG_RUN - SHORT_RUN) * CONNECTIONS) as f64
}

/// Delays each epoll_wait by this many microseconds. In that time all connections send, so each batch holds all of
/// them, even on a busy machine.
const BATCHED: [&str; 2] = ["-e", "inject=epoll_wait:delay_enter=10000"];

#[test]
fn an_echo_takes_two_system_calls_and_a_share_of_a_third() {
    let calls = per_echo(
        || Under::strace(&[&["-c"], &BATCHED[..]].concat(), &[]),
        Duration::ZERO,
        all_calls,
    );
    figure("system calls an echo", format_args!("{calls:.3}"));
    assert!(calls <= MAX_CALLS_PER_ECHO);
    // With the delay, a superfluous read would find the next message and go unnoticed. Without it, the number of
    // epoll_wait and accept4 calls depends on what else the machine does, so only the other two count.
    let count = |findings: &str| calls_of("recvfrom", findings) + calls_of("sendto", findings);
    let calls = per_echo(|| Under::strace(&["-c"], &[]), Duration::ZERO, count);
    figure("of them recvfrom and sendto", format_args!("{calls:.3}"));
    assert!(calls <= MAX_MOVING_CALLS_PER_ECHO);
}

fn all_calls(summary: &str) -> u64 {
    calls_of("total", summary)
}

/// Parses the line `99.00 SECONDS USECS CALLS ERRORS NAME`. ERRORS is missing if there were none.
fn calls_of(name: &str, summary: &str) -> u64 {
    let line = summary.lines().find(|line| line.split_whitespace().last() == Some(name));
    line.expect(summary).split_whitespace().nth(3).unwrap().parse().unwrap()
}

/// Instructions in user space per echo of the server that a command starts.
pub fn instructions_per_echo(serve: &Command) -> f64 {
    let strace = [&["-D", "-f", "-o", "/dev/null"], &BATCHED[..]].concat();
    let valgrind = ["valgrind", "-q", "--tool=callgrind", "--callgrind-out-file={findings}"];
    let words = [&strace, &valgrind[..]].concat();
    let count = |findings: &str| -> u64 {
        let total = findings.lines().find_map(|line| line.strip_prefix("totals: "));
        total.expect(findings).parse().unwrap()
    };
    per_echo(|| Under::start_command("strace", &words, serve), WATCH, count)
}

#[test]
fn an_echo_takes_few_instructions() {
    let attempt = |args: &[&str]| instructions_per_echo(&command(&["127.0.0.1:0"], args));
    // If another program delays a turn, the server reads the clock more often. That only adds instructions, so the
    // lesser count is the true one.
    let instructions = attempt(&[]).min(attempt(&[]));
    figure("instructions an echo, in user space", format_args!("{instructions:.1}"));
    assert!(instructions <= MAX_INSTRUCTIONS_PER_ECHO);
    let allowed = instructions + MAX_INSTRUCTIONS_FOR_METRICS;
    let mut attempts = (0..3).map(|_| attempt(&["--metrics", "127.0.0.1:0"]));
    let with_metrics = attempts.find(|count| *count <= allowed);
    figure("instructions an echo, with --metrics", format_args!("{with_metrics:.1?}"));
    assert!(with_metrics.is_some(), "more than {allowed:.1} in each attempt");
}

/// `-R` switches off the random layout of the address space. The layout decides how many pages of a library the kernel
/// maps around one that is needed, and that makes a difference of 160 KiB.
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
    // Linux gives each source address 28,000 ports by default.
    const PER_SOURCE: usize = 5000;
    raise_descriptor_limit();
    let server = Server::start(&[]);
    let before = server.status_kib("RssAnon");
    let idle: Vec<_> = (0..IDLE)
        .map(|i| {
            let stream = connect_from([127, 0, 0, 2 + (i / PER_SOURCE) as u8], server.addr());
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

/// More than the server reads from each connection at a time with 1000 of them. The kernel doubles it.
const SEND_BUFFER_BYTES: usize = 192 << 10;

/// The peers use a Unix socket, whose buffers do not grow. With TCP, this many peers could use up the kernel's memory for
/// all sockets. Without the limit, the server would hold twice as much. Failed when the server read a full buffer,
/// however much was pending, and when it tried a connection again at once although its peer took no more.
#[test]
fn stuck_peers_stay_within_the_limit_and_cost_no_processor_time() {
    const STUCK: usize = 1000;
    const WATCHED: Duration = Duration::from_secs(2);
    const MAX_USED: Duration = Duration::from_millis(20);
    let unix = SocketPath::new();
    let server = Server::start_at(&["127.0.0.1:0", &unix.addr], &["--buffer", "1m"]);
    let bystander = server.connect();
    expect_echo(&bystander, b"before");
    let at_start = server.status_kib("VmRSS");
    let stuck: Vec<_> = (0..STUCK).map(|_| connect_unix(&unix.path)).collect();
    let bytes = pattern(1, 1 << 20);
    fill_while_stopped(&server, &stuck, &bytes);
    fill_until_stuck(&stuck, &bytes);
    let (since, before) = (Instant::now(), server.cpu_time());
    while since.elapsed() < WATCHED {
        expect_echo(&bystander, b"am I served?");
        thread::sleep(Duration::from_millis(100)); // Few echoes, so that stuck connections would show.
    }
    let used = server.cpu_time() - before;
    let grown = server.status_kib("VmHWM") - at_start;
    figure("peak growth in KiB with 1000 stuck peers", grown);
    figure("processor time while they are stuck, in 2 s with 20 echoes", format_args!("{used:?}"));
    assert!(
        grown >= PENDING_LIMIT_KIB / 16,
        "hardly anything is pending, so this test shows nothing"
    );
    assert!(grown <= PENDING_LIMIT_KIB + PENDING_SLACK_KIB);
    assert!(used <= MAX_USED);
}

/// Fills every socket before the server looks.
fn fill_while_stopped(server: &Server, streams: &[UnixStream], bytes: &[u8]) {
    server.pause();
    for stream in streams {
        SockRef::from(stream).set_send_buffer_size(SEND_BUFFER_BYTES).unwrap();
        fill(stream, bytes).unwrap();
    }
    server.resume();
}

/// Sends on all connections until the server has taken nothing from any of them for half a second.
fn fill_until_stuck(streams: &[UnixStream], bytes: &[u8]) {
    const STUCK: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
    let mut polled: Vec<_> = streams.iter().map(|s| PollFd::new(s, PollFlags::OUT)).collect();
    while poll(&mut polled, Some(&STUCK)).unwrap() > 0 {
        for (polled, stream) in polled.iter().zip(streams) {
            if !polled.revents().is_empty() {
                fill(stream, bytes).unwrap();
            }
        }
    }
}

/// How many processors server and client have, and how long the client waits before each message.
type Setting = (&'static str, usize, Duration);

const SETTINGS: [Setting; 3] = [
    ("a processor each", 2, Duration::ZERO),
    ("one shared processor", 1, Duration::ZERO),
    ("a processor each, one message in a millisecond", 2, Duration::from_millis(1)),
];

/// The figures are only printed: times that are taken beside other tests prove nothing.
#[test]
fn spinning_pays_for_a_single_connection_and_costs_little_if_it_does_not() {
    const ROUNDS: usize = 7;
    let servers = [Server::start(&[]), Server::start(&["--spin", "50us"])];
    let streams = servers.each_ref().map(Server::connect);
    for (what, processors, pause) in SETTINGS {
        servers.iter().for_each(|server| pin(Some(server.pid()), 0));
        pin(None, processors - 1);
        let mut ratios = [vec![], vec![]];
        for round in 0..ROUNDS {
            let message = pattern(round, MESSAGE_BYTES);
            let play = |i: usize| costs(&servers[i], &streams[i], &message, pause);
            let [(time, cpu), (spun_time, spun_cpu)] = [0, 1].map(play);
            ratios[0].push(time.div_duration_f64(spun_time));
            ratios[1].push(spun_cpu.div_duration_f64(cpu));
        }
        let [rate, cpu] = ratios.map(|mut ratios| {
            ratios.sort_by(f64::total_cmp);
            ratios[ROUNDS / 2]
        });
        let value = format!("{rate:.2} × the rate, {cpu:.2} × the processor time");
        figure(&format!("--spin 50us, one connection, {what}"), value);
    }
}

/// How long some echoes take, and the processor time that the server takes for them.
fn costs(
    server: &Server,
    stream: &TcpStream,
    message: &[u8],
    pause: Duration,
) -> (Duration, Duration) {
    let echoes = if pause.is_zero() { 2000 } else { 200 };
    let (since, before) = (Instant::now(), server.cpu_time());
    for _ in 0..echoes {
        if !pause.is_zero() {
            thread::sleep(pause);
        }
        expect_echo(stream, message);
    }
    (since.elapsed(), server.cpu_time() - before)
}

/// The server polls between messages only if they come close together. Each poll that finds nothing yields.
#[test]
fn messages_that_come_seldom_are_not_spun_for() {
    let yields = |pause| {
        let server = Under::strace(&["-c"], &["--spin", "200us"]);
        let stream = server.connect();
        for i in 0..200 {
            thread::sleep(pause);
            expect_echo(&stream, &pattern(i, MESSAGE_BYTES));
        }
        drop(stream);
        let (findings, _) = server.stop();
        if findings.contains("sched_yield") { calls_of("sched_yield", &findings) } else { 0 }
    };
    assert!(yields(Duration::ZERO) > 0);
    // The first events and the last come close together: one spin each, with some ten polls under strace.
    let yields = yields(Duration::from_millis(5));
    assert!(yields < 100, "{yields} yields for 200 messages");
}

/// Binds a process, or this thread if `None`, to one processor.
fn pin(process: Option<Pid>, processor: usize) {
    let mut processors = CpuSet::new();
    processors.set(processor);
    sched_setaffinity(process, &processors).unwrap();
}
