//! What `resound load` costs itself: what it takes, the server beside it cannot have.

use std::io::{self, BufRead, BufReader};

use rustix::process::Signal;

use crate::accuracy::before_others;
use crate::cost::{figure, raise_descriptor_limit};
use crate::loader::{command, fine};
use crate::server::Server;

/// Beside its histograms, which do not depend on how many connections there are.
const MAX_BYTES_PER_CONNECTION: f64 = 1024.0;

/// The most that a run needed until each of its connections had had a message, in KiB.
fn peak_kib(server: &Server, connections: usize) -> usize {
    // The plan, the header, and so many intervals that a message on each connection took less.
    const LINES: usize = 6;
    let (printed, stdout) = io::pipe().unwrap();
    let connections = connections.to_string();
    // Each address has ports of its own, and not even all of them where others were closed a minute ago.
    let sources = "127.0.2.1,127.0.2.2,127.0.2.3,127.0.2.4,127.0.2.5,127.0.2.6,127.0.2.7,127.0.2.8";
    let options = ["-c", &connections, "-d", "1h", "-i", "500ms", "--source-ip", sources];
    let args = [&[server.addr()], &options[..]].concat();
    // Not a server, but what can be done with a process is the same.
    let mut load = Server::spawn(command(&args).stdout(stdout));
    let mut printed = BufReader::new(printed).lines();
    for _ in 0..LINES {
        let Some(line) = printed.next() else { panic!("{}: {:#?}", load.wait(), load.log()) };
        line.unwrap();
    }
    let peak = load.status_kib("VmHWM");
    load.signal(Signal::INT);
    assert_eq!(load.wait().code(), Some(130), "{:#?}", load.log());
    peak
}

/// Failed when each connection had room for 64 messages in flight where it may have one.
#[test]
fn fifteen_thousand_connections_of_a_load_take_little_memory() {
    const FEW: usize = 1000;
    const MANY: usize = 15_000;
    raise_descriptor_limit();
    let server = Server::start(&[]);
    let [few, many] = [FEW, MANY].map(|connections| peak_kib(&server, connections));
    let each = (many - few) as f64 * 1024.0 / (MANY - FEW) as f64;
    figure(
        "bytes a connection of a load",
        format_args!("{each:.1}; KiB in all with {FEW} {few}, with {MANY} {many}"),
    );
    assert!(each <= MAX_BYTES_PER_CONNECTION);
}

/// Failed when the last millisecond before each message was spent asking, which was all of the time, and when
/// nothing but the time-out of a wait, which is exact to a millisecond, saw to it that messages were sent.
#[test]
fn an_open_loop_sends_on_time_and_sleeps_between_messages() {
    const MAX_CPU_SECONDS: f64 = 0.5;
    const MAX_LAG_NANOSECONDS: u64 = 200_000;
    before_others(|| {
        let server = Server::start(&[]);
        let report = fine(&[server.addr(), "-c", "10", "-r", "1k", "-d", "2s"]);
        let lag = report["lag_nanoseconds"]["p50"].as_u64().unwrap();
        let cpu = report["generator"]["cpu_seconds"].as_f64().unwrap();
        figure(
            "processor time of a load of 1000 messages/s",
            format_args!("{:.1} %, late by {lag} ns (p50)", cpu / 2.0 * 100.0),
        );
        assert!(cpu <= MAX_CPU_SECONDS);
        assert!(lag <= MAX_LAG_NANOSECONDS);
    });
}
