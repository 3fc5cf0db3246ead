//! Whether the figures of `resound load` are true. The servers here have known delays, and the figures must match them.
//!
//! Half a millisecond of another program's work would be 1 % of a delay. So both ends run at a higher priority.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;
use serde_json::Value;

use crate::cost::figure;
use crate::kit::rng::Rng;
use crate::loader::fine;
use crate::server::Server;

/// The largest deviation from the true value, in either direction.
const TOLERANCE: f64 = 0.01;

const MESSAGE_BYTES: usize = 64;

/// Keys of percentiles, and the percentiles in hundredths of a per cent.
const PERCENTILES: [(&str, usize); 6] =
    [("p50", 5000), ("p75", 7500), ("p90", 9000), ("p99", 9900), ("p99_9", 9990), ("p99_99", 9999)];

/// What a server knows about a message, by its own clock.
struct Held {
    from: SocketAddr,
    came: Instant,
    /// When the server sent the echo.
    left: Instant,
}

impl Held {
    fn time(&self) -> Duration {
        self.left - self.came
    }
}

/// Starts a server that accepts `connections` connections and holds each message before it echoes it. `hold` makes a
/// function for each connection, by its number; that function turns the time of arrival into the time of the echo.
/// Returns the server's address, and a channel that receives each message.
fn serve_holding<H>(connections: u64, hold: impl Fn(u64) -> H) -> (String, Receiver<Held>)
where
    H: FnMut(Instant) -> Instant + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let (sender, held) = channel();
    let holds: Vec<_> = (0..connections).map(hold).collect();
    thread::spawn(move || {
        for hold in holds {
            let (stream, from) = listener.accept().unwrap();
            let sender = sender.clone();
            thread::spawn(move || hold_each(&stream, from, hold, &sender));
        }
    });
    (addr, held)
}

fn hold_each(
    mut stream: &TcpStream,
    from: SocketAddr,
    mut hold: impl FnMut(Instant) -> Instant,
    held: &Sender<Held>,
) {
    stream.set_nodelay(true).unwrap();
    let mut message = [0; MESSAGE_BYTES];
    // Until the client ends the stream.
    while stream.read_exact(&mut message).is_ok() {
        let came = Instant::now();
        thread::sleep(hold(came).saturating_duration_since(Instant::now())); // The delay of this server.
        held.send(Held { from, came, left: Instant::now() }).unwrap();
        stream.write_all(&message).unwrap();
    }
}

/// Compares the figures of a latency with the true times. Returns the largest relative deviation.
#[track_caller]
fn expect_true(latency: &Value, mut truth: Vec<Duration>) -> f64 {
    truth.sort();
    let count = truth.len();
    assert_eq!(latency["count"], count);
    let mean = truth.iter().sum::<Duration>() / count as u32;
    // By nearest rank. The report leaves out percentiles with too few values above them.
    let reported = PERCENTILES.iter().filter(|(_, part)| count * (10_000 - part) >= 10_000);
    let percentiles =
        reported.map(|(key, part)| (*key, truth[(count * part).div_ceil(10_000) - 1]));
    let others = [("min", truth[0]), ("mean", mean), ("max", truth[count - 1])];
    let mut worst = 0.0_f64;
    for (key, truth) in percentiles.chain(others) {
        let found = latency[key].as_f64().unwrap_or_else(|| panic!("no {key} in {latency:#}"));
        let off = found / truth.as_nanos() as f64 - 1.0;
        assert!(off.abs() <= TOLERANCE, "{key} is {found} ns, and {truth:?} in truth: {off:+.4}");
        worst = if off.abs() > worst.abs() { off } else { worst };
    }
    worst
}

/// Runs `act` at a higher priority. Threads and processes that it starts inherit the priority.
pub fn at_high_priority(act: impl FnOnce() + Send) {
    const PRIORITY: i32 = -15;
    // On a thread of its own, since the priority is that of the thread.
    let act = || {
        setpriority_process(None, PRIORITY).unwrap();
        act();
    };
    thread::scope(|scope| scope.spawn(act).join()).unwrap();
}

/// Delays of 40 ms and more, with a long tail. Beside them, the times for loopback and for waking up are small.
fn delays(connection: u64) -> impl FnMut(Instant) -> Instant {
    const LEAST_MS: f64 = 40.0;
    const TAIL_MS: f64 = 40.0;
    const MOST_MS: f64 = 500.0;
    let mut rng = Rng::new(connection);
    move |came| {
        let unlikely = (rng.below(1 << 32) as f64 + 1.0) / (1_u64 << 32) as f64;
        let delay = (LEAST_MS - TAIL_MS * unlikely.ln()).min(MOST_MS);
        came + Duration::from_secs_f64(delay / 1e3)
    }
}

/// Failed when times were kept to one significant digit instead of three, and when a rounding error took p99.9 one
/// rank too high.
#[test]
fn a_closed_loop_measures_the_delays_of_the_server() {
    const CONNECTIONS: u64 = 80;
    at_high_priority(|| {
        let (addr, held) = serve_holding(CONNECTIONS, delays);
        let report = fine(&[&addr, "-c", &CONNECTIONS.to_string(), "-n", "12k"]);
        let truth: Vec<_> = held.iter().map(|held| held.time()).collect();
        assert_eq!(report["messages"], truth.len());
        let off = expect_true(&report["response_latency_nanoseconds"], truth.clone());
        expect_true(&report["service_latency_nanoseconds"], truth);
        figure("largest deviation of a closed loop", format_args!("{:+.3} %", off * 100.0));
    });
}

/// The size of the open loop.
const CONNECTIONS: usize = 40;
const MESSAGES: usize = 2000;
const RATE: u32 = 200;

/// Each connection has its own source address, so that the server knows which one it is.
fn source(connection: usize) -> IpAddr {
    IpAddr::from([127, 0, 1, connection as u8])
}

/// The true response times, counted from when each message was due. Messages are due at the rate, on all connections
/// in turn. The first message was due when it arrived, or earlier if the arrival of a later one proves that.
fn responses(held: &[Held]) -> Vec<Duration> {
    let gap = Duration::from_secs(1) / RATE;
    let mut begun = [0; CONNECTIONS];
    let number = |held: &Held| {
        let connection = (0..CONNECTIONS).find(|c| source(*c) == held.from.ip()).unwrap();
        begun[connection] += 1;
        ((begun[connection] - 1) * CONNECTIONS + connection) as u32
    };
    let numbers: Vec<_> = held.iter().map(number).collect();
    let first = held.iter().zip(&numbers).map(|(held, number)| held.came - gap * *number).min();
    held.iter()
        .zip(numbers)
        .map(|(held, number)| held.left - (first.unwrap() + gap * number))
        .collect()
}

/// A server that freezes for a second. Echoes that would be sent in that second are sent at its end. Most messages
/// that are due in that second wait for a connection that has nothing in flight.
fn freezing() -> impl FnMut(Instant) -> Instant {
    const HOLD: Duration = Duration::from_millis(100);
    const FREEZE: Range<Duration> = Duration::from_secs(2)..Duration::from_secs(3);
    static START: OnceLock<Instant> = OnceLock::new();
    |came| {
        let start = *START.get_or_init(|| came);
        let left = came - start + HOLD;
        start + if FREEZE.contains(&left) { FREEZE.end } else { left }
    }
}

/// Failed when a message counted as due only when it was sent. That makes most clients blind to such a pause: nine of
/// ten responses then took 100 ms, and not half a second and more.
#[test]
fn an_open_loop_measures_a_pause_for_all_messages_that_are_due() {
    at_high_priority(|| {
        let (addr, held) = serve_holding(CONNECTIONS as u64, |_| freezing());
        let sources: Vec<_> = (0..CONNECTIONS).map(|c| source(c).to_string()).collect();
        let [connections, messages] = [CONNECTIONS, MESSAGES].map(|n| n.to_string());
        let (rate, sources) = (RATE.to_string(), sources.join(","));
        let options = ["-c", &connections, "-n", &messages, "-r", &rate, "--source-ip", &sources];
        let report = fine(&[&[&*addr], &options[..]].concat());
        let held: Vec<_> = held.iter().collect();
        assert_eq!((&report["messages"], held.len()), (&MESSAGES.into(), MESSAGES));
        let [response, service] =
            [&report["response_latency_nanoseconds"], &report["service_latency_nanoseconds"]];
        let off = expect_true(response, responses(&held));
        let service_off = expect_true(service, held.iter().map(Held::time).collect());
        let p90 = |latency: &Value| latency["p90"].as_u64().unwrap();
        assert!(
            p90(response) > 5 * p90(service),
            "the pause delayed too few messages to show anything"
        );
        figure(
            "largest deviation of an open loop",
            format_args!("{:+.3} %, of service times {:+.3} %", off * 100.0, service_off * 100.0),
        );
    });
}

/// Reads a log with the standard reader. Prints the number of intervals, and the count and percentiles of all of them
/// together.
const READER: &str = "
import sys
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
whole = HdrHistogram(1, 24 * 60 * 60 * 10**9, 3)
reader = HistogramLogReader(sys.argv[1], whole)
intervals = 0
while reader.add_next_interval_histogram():
    intervals += 1
print(intervals, whole.get_total_count())
print(*(whole.get_value_at_percentile(float(p)) for p in sys.argv[2:]))
";

/// Failed when the log left out the last interval, and when p99.9 was taken one rank too high.
#[test]
fn the_standard_reader_of_the_log_agrees_with_the_json() {
    let server = Server::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log.hdr");
    // With this count, a whole number of messages lies below each percentile. Readers round other numbers differently.
    let report = fine(&[server.addr(), "-n", "20k", "--hdr", log.to_str().unwrap()]);
    let latency = &report["response_latency_nanoseconds"];
    let [counts, values] = read_log(&log);
    assert_eq!(counts, [report["intervals"].as_array().unwrap().len() as u64, 20_000]);
    let reported = PERCENTILES.map(|(key, _)| latency[key].as_u64().unwrap());
    assert_eq!(values, reported, "{latency:#}");
}

fn read_log(log: &Path) -> [Vec<u64>; 2] {
    let percentiles = PERCENTILES.map(|(_, part)| (part as f64 / 100.0).to_string());
    let mut python = crate::programs::python();
    let read = python.args(["-c", READER]).arg(log).args(percentiles).output().unwrap();
    let stdout = String::from_utf8(read.stdout).unwrap();
    let numbers = |line: &str| line.split(' ').map(|n| n.parse().unwrap()).collect();
    let lines: Vec<_> = stdout.lines().map(numbers).collect();
    lines.try_into().unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&read.stderr)))
}
