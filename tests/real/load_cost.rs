//! What `resound load` costs. A server on the same machine does not get the memory and the processor time that the
//! load takes.

use std::io::{self, BufRead, BufReader};

use rustix::process::Signal;

use crate::accuracy::at_high_priority;
use crate::cost::figure;
use crate::loader::{command, fine};
use crate::many::raise_descriptor_limit;
use crate::server::Server;

/// Without the histograms, whose size does not depend on the number of connections.
const MAX_BYTES_PER_CONNECTION: f64 = 1024.0;

/// Peak memory of a run in KiB, once each connection has carried a message.
fn peak_kib(server: &Server, connections: usize) -> usize {
    // The plan, the header, and enough intervals for a message on each connection.
    const LINES: usize = 6;
    let (printed, stdout) = io::pipe().unwrap();
    let connections = connections.to_string();
    // Each source address has its own ports. Ports that another test closed within the last minute are still in use.
    let sources = "127.0.2.1,127.0.2.2,127.0.2.3,127.0.2.4,127.0.2.5,127.0.2.6,127.0.2.7,127.0.2.8";
    let options = ["-c", &connections, "-d", "1h", "-i", "500ms", "--source-ip", sources];
    let args = [&[server.addr()], &options[..]].concat();
    // Not a server, but a process with a log all the same.
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

/// Failed when each connection had room for 64 messages in flight although the depth is one.
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

/// Failed when the client busy-waited for the last millisecond before each message, which was all of the time. Failed
/// also when it relied on the timeout of a wait alone, which is exact only to a millisecond.
#[test]
fn an_open_loop_sends_on_time_and_sleeps_between_messages() {
    const MAX_CPU_SECONDS: f64 = 0.5;
    const MAX_LAG_NANOSECONDS: u64 = 200_000;
    at_high_priority(|| {
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
