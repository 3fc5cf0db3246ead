//! Whether the figures of `resound load` are true: on servers whose delays are known, they are those delays.
//!
//! Half a millisecond of anybody else's work would be 1 % of a delay, so both ends go before others.

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
use crate::loader::fine;
use crate::rng::Rng;
use crate::server::Server;

/// Of the truth, both ways.
const TOLERANCE: f64 = 0.01;

const MESSAGE_BYTES: usize = 64;

/// Percentiles by their keys, in hundredths of a per cent.
const PERCENTILES: [(&str, usize); 6] =
    [("p50", 5000), ("p75", 7500), ("p90", 9000), ("p99", 9900), ("p99_9", 9990), ("p99_99", 9999)];

/// What a server knows of a message, by its own clock.
struct Held {
    from: SocketAddr,
    came: Instant,
    /// When its echo was sent.
    left: Instant,
}

impl Held {
    fn time(&self) -> Duration {
        self.left - self.came
    }
}

/// Starts a server for so many connections that echoes each message when `hold`, made for the connection of
/// that number, says so of its arrival. Gives its address, and tells of each message.
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
    // Until the client says goodbye.
    while stream.read_exact(&mut message).is_ok() {
        let came = Instant::now();
        // The delay that this server has.
        thread::sleep(hold(came).saturating_duration_since(Instant::now()));
        held.send(Held { from, came, left: Instant::now() }).unwrap();
        stream.write_all(&message).unwrap();
    }
}

/// Expects the figures of a latency to be those of the truth, and gives how far the worst is off.
#[track_caller]
fn expect_true(latency: &Value, mut truth: Vec<Duration>) -> f64 {
    truth.sort();
    let count = truth.len();
    assert_eq!(latency["count"], count);
    let mean = truth.iter().sum::<Duration>() / count as u32;
    // The nearest rank. Of percentiles behind which too few stand nothing is said.
    let said = PERCENTILES.iter().filter(|(_, part)| count * (10_000 - part) >= 10_000);
    let percentiles = said.map(|(key, part)| (*key, truth[(count * part).div_ceil(10_000) - 1]));
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

/// Does something before others: what it starts goes before them too.
pub fn before_others(act: impl FnOnce() + Send) {
    const PRIORITY: i32 = -15;
    // Of a thread's own, so that it ends with the thread.
    let act = || {
        setpriority_process(None, PRIORITY).unwrap();
        act();
    };
    thread::scope(|scope| scope.spawn(act).join()).unwrap();
}

/// From 40 ms on, with a long tail, so that what loopback and waking up take is little beside it.
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

/// Failed when times were kept to one digit instead of three, and when p99.9 was taken a rank too high by an
/// error of rounding, as it once was.
#[test]
fn a_closed_loop_measures_the_delays_of_the_server() {
    const CONNECTIONS: u64 = 80;
    before_others(|| {
        let (addr, held) = serve_holding(CONNECTIONS, delays);
        let report = fine(&[&addr, "-c", &CONNECTIONS.to_string(), "-n", "12k"]);
        let truth: Vec<_> = held.iter().map(|held| held.time()).collect();
        assert_eq!(report["messages"], truth.len());
        let off = expect_true(&report["response_latency_nanoseconds"], truth.clone());
        expect_true(&report["service_latency_nanoseconds"], truth);
        figure("worst figure of a closed loop, off by", format_args!("{:+.3} %", off * 100.0));
    });
}

/// Of the open loop.
const CONNECTIONS: usize = 40;
const MESSAGES: usize = 2000;
const RATE: u32 = 200;

/// Connection by connection, so that the server knows which is which.
fn source(connection: usize) -> IpAddr {
    IpAddr::from([127, 0, 1, connection as u8])
}

/// What responses take in truth, from when each message was due: by the rate, one after the other on all
/// connections in turn. The first was due when it came, or a later one shows that it was before that.
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

/// Whatever would be echoed meanwhile is echoed when it is over, and most of what falls due meanwhile waits for
/// a connection that has nothing in flight.
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

/// Failed when a message counted as due only when it was sent, which is what makes most clients blind to such
/// a pause: nine of ten responses then took 100 ms, and not up to more than half a second.
#[test]
fn an_open_loop_measures_a_pause_for_all_messages_that_are_due() {
    before_others(|| {
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
        assert!(p90(response) > 5 * p90(service), "a pause that delays few shows nothing");
        figure(
            "worst figures of an open loop, off by",
            format_args!("{:+.3} %, of services {:+.3} %", off * 100.0, service_off * 100.0),
        );
    });
}

/// Reads a log as its standard tools do, and prints how many intervals it has, and the count and percentiles
/// of all of them together.
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

/// Failed when the last interval was left out of the log, and when p99.9 was taken a rank too high.
#[test]
fn the_standard_reader_of_the_log_agrees_with_the_json() {
    let server = Server::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log.hdr");
    // So many that each percentile has a whole number of messages below it: readers round otherwise.
    let report = fine(&[server.addr(), "-n", "20k", "--hdr", log.to_str().unwrap()]);
    let latency = &report["response_latency_nanoseconds"];
    let [counts, values] = read_log(&log);
    assert_eq!(counts, [report["intervals"].as_array().unwrap().len() as u64, 20_000]);
    let said = PERCENTILES.map(|(key, _)| latency[key].as_u64().unwrap());
    assert_eq!(values, said, "{latency:#}");
}

fn read_log(log: &Path) -> [Vec<u64>; 2] {
    let percentiles = PERCENTILES.map(|(_, part)| (part as f64 / 100.0).to_string());
    let mut python = crate::programs::python();
    let read = python.args(["-c", READER]).arg(log).args(percentiles).output().unwrap();
    let said = String::from_utf8(read.stdout).unwrap();
    let numbers = |line: &str| line.split(' ').map(|n| n.parse().unwrap()).collect();
    let lines: Vec<_> = said.lines().map(numbers).collect();
    lines.try_into().unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&read.stderr)))
}
