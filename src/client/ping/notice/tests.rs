use std::io::ErrorKind;
use std::net::SocketAddr;

use super::*;
use crate::client::probe::Fault;

fn peer() -> Endpoint {
    SocketAddr::from(([127, 0, 0, 1], 7007)).into()
}

fn server() -> Addr {
    "localhost:7007".parse().unwrap()
}

fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

#[track_caller]
fn check(notice: &Notice<'_>, expected: &str) {
    assert_eq!(notice.to_string(), expected);
}

#[track_caller]
fn check_failure(failure: Failure, expected: &str) {
    check(&Notice::Failed(&MessageFailure { sequence: 4, offsets: (168, 223), failure }), expected);
}

fn timed_out(sequence: u64) -> MessageFailure {
    let failure = Failure::TimedOut { timeout: us(1), received: 0, expected: 56 };
    MessageFailure { sequence, offsets: (0, 55), failure }
}

fn unreachable() -> Failure {
    Failure::Connect(io::Error::other("nothing is there"))
}

#[test]
fn the_first_line_reads_like_that_of_ping() {
    let (server, peer) = (server(), peer());
    let start = |bytes| Notice::Start { server: &server, peer: &peer, bytes };
    check(&start(56), "PING localhost:7007 (127.0.0.1:7007) 56 bytes over TCP");
    check(&start(1), "PING localhost:7007 (127.0.0.1:7007) 1 byte over TCP");
    let addr = "unix:/run/echo".parse().unwrap();
    let peer = Endpoint::Unix(Some(std::path::Path::new("/run/echo").into()));
    check(
        &Notice::Start { server: &addr, peer: &peer, bytes: 56 },
        "PING unix:/run/echo (unix:/run/echo) 56 bytes over a Unix socket",
    );
}

#[test]
fn connections_and_echoes_are_shown_with_their_times() {
    let (peer, local) = (peer(), SocketAddr::from(([127, 0, 0, 1], 43210)).into());
    let connected = |again| Notice::Connected { peer: &peer, local: &local, took: us(113), again };
    check(&connected(false), "connected to 127.0.0.1:7007 from 127.0.0.1:43210 in 0.113 ms");
    check(&connected(true), "reconnected to 127.0.0.1:7007 from 127.0.0.1:43210 in 0.113 ms");
    let echo = Notice::Echo { sequence: 1, bytes: 56, peer: &peer, took: us(82) };
    check(&echo, "56 bytes from 127.0.0.1:7007: seq=1 time=0.082 ms");
}

#[test]
fn each_failure_is_described_with_the_number_of_its_message() {
    let timeout = Duration::from_secs(10);
    check_failure(
        Failure::TimedOut { timeout, received: 12, expected: 56 },
        "no echo for seq=4 within 10 s: 12 of 56 bytes came back",
    );
    let ended = |error| Failure::Fault(Fault::Ended { received: 0, sent: 56, error });
    check_failure(ended(None), "seq=4: the server closed the connection after 0 of 56 bytes");
    check_failure(
        ended(Some(ErrorKind::ConnectionReset.into())),
        "seq=4: the connection broke after 0 of 56 bytes: connection reset",
    );
    check_failure(
        Failure::Fault(Fault::Surplus { offset: 224, bytes: b"\x1b!"[..].into() }),
        "seq=4 (offsets 168 to 223): more came back than was sent, from offset 224 on: 1b 21",
    );
    check_failure(unreachable(), "seq=4: nothing is there");
}

#[test]
fn a_connection_that_ends_between_echoes_is_reported() {
    check(
        &Notice::ServerClosed { error: None, next: 3 },
        "the server closed the connection; reconnecting for seq=3",
    );
    let error = io::Error::from_raw_os_error(rustix::io::Errno::CONNRESET.raw_os_error());
    check(
        &Notice::ServerClosed { error: Some(&error), next: 3 },
        "the connection broke: connection reset by peer; reconnecting for seq=3",
    );
}

#[test]
fn the_summary_reads_like_that_of_ping() {
    let mut tally = Tally { sent: 4, elapsed: us(3_004_000), ..Tally::default() };
    [us(100), us(300)].into_iter().for_each(|took| tally.connect_times.record(took));
    [us(1000), us(2000), us(3000)].into_iter().for_each(|took| tally.record_echo(took));
    tally.record_failure(&timed_out(4));
    // A percentile can be a thousandth too long.
    let expected = "\
--- localhost:7007 ping statistics ---
4 sent, 3 received, 1 lost (25 %), 0 wrong, 1 reconnect, time 3004 ms
failures: 1 timeout
connect min/avg/max = 0.100/0.200/0.300 ms
echo min/avg/max/mdev = 1.000/2.000/3.000/0.816 ms
echo p50 = 2.001 ms, jitter 1.000 ms";
    assert_eq!(Summary { server: &server(), tally: &tally }.to_string(), expected);
    check(
        &Notice::Status { tally: &tally, activity: Activity::None },
        "4 sent, 3 received, 1 lost (25 %), 0 wrong, 1 reconnect; \
         echo min/avg/max/mdev = 1.000/2.000/3.000/0.816 ms",
    );
}

#[test]
fn the_status_names_what_the_ping_waits_for() {
    let (server, tally) = (server(), Tally { sent: 1, ..Tally::default() });
    let counts = "1 sent, 0 received, 0 lost (0 %), 0 wrong, 0 reconnects";
    for (activity, expected) in [
        (Activity::None, ""),
        (Activity::LookingUp(&server), "; looking up localhost:7007"),
        (Activity::Connecting(&server), "; connecting to localhost:7007"),
        (Activity::Waiting { sequence: 1, waited: us(1500) }, "; waiting for seq=1 since 1.500 ms"),
    ] {
        check(&Notice::Status { tally: &tally, activity }, &format!("{counts}{expected}"));
    }
}

#[test]
fn only_percentiles_that_the_number_of_echoes_can_give_are_shown() {
    let shown = |n: u64| {
        let mut tally = Tally::default();
        (0..n).for_each(|_| tally.record_echo(us(500)));
        Summary { server: &server(), tally: &tally }.to_string().lines().last().unwrap().to_string()
    };
    assert_eq!(shown(1), "echo min/avg/max/mdev = 0.500/0.500/0.500/0.000 ms");
    assert_eq!(shown(9), "echo p50 = 0.500 ms, jitter 0.000 ms");
    assert_eq!(shown(10), "echo p50/p90 = 0.500/0.500 ms, jitter 0.000 ms");
    assert_eq!(shown(100), "echo p50/p90/p99 = 0.500/0.500/0.500 ms, jitter 0.000 ms");
    let all = "echo p50/p90/p99/p99.9 = 0.500/0.500/0.500/0.500 ms, jitter 0.000 ms";
    assert_eq!(shown(1000), all);
}

#[test]
fn the_summary_has_failures_by_kind_and_the_standstill() {
    let mut tally = Tally { sent: 9, standstill: us(3_000_000), ..Tally::default() };
    (1..=7).for_each(|sequence| tally.record_failure(&timed_out(sequence)));
    tally.record_failure(&MessageFailure { sequence: 8, offsets: (0, 55), failure: unreachable() });
    let summary = Summary { server: &server(), tally: &tally }.to_string();
    let expected = "\nthis program was stopped for 3000 ms, which counts against no echo\n\
                    failures: 1 connect, 7 timeout";
    assert!(summary.ends_with(expected), "{summary}");
}

#[test]
fn a_summary_without_echoes_has_no_times() {
    let tally = Tally { sent: 1, is_under_way: true, skipped: 1, ..Tally::default() };
    let expected = "\
--- localhost:7007 ping statistics ---
1 sent, 0 received, 0 lost (0 %), 0 wrong, 0 reconnects, 1 still under way, 1 due time skipped, time 0 ms";
    assert_eq!(Summary { server: &server(), tally: &tally }.to_string(), expected);
}

#[test]
fn a_share_is_0_percent_only_if_it_is_zero_and_100_percent_only_if_it_is_all() {
    for (part, whole, expected) in [
        (0, 0, "0 %"),
        (0, 10, "0 %"),
        (1, 10, "10 %"),
        (1, 3, "33.3 %"),
        (2, 3, "66.7 %"),
        (10, 10, "100 %"),
        (1, 100_000, "<0.1 %"),
        (99_999, 100_000, ">99.9 %"),
        (1, 1000, "0.1 %"),
        (999, 1000, "99.9 %"),
    ] {
        assert_eq!(Percent(part, whole).to_string(), expected, "{part} of {whole}");
    }
}
