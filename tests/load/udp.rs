//! Loads over UDP.

use std::net::UdpSocket;
use std::thread;

use crate::loader::{fine, report, run};
use crate::server::Server;

/// Some hundred messages a second: fewer than the server's limit for each source.
const PACE: [&str; 6] = ["-c", "4", "-r", "500", "-n", "200"];

/// With more under way than one, the buffer of a socket could overflow on a busy machine: it holds three large ones.
const ONE_BY_ONE: [&str; 4] = ["-c", "1", "-n", "200"];

fn server(args: &[&str]) -> Server {
    Server::start_at(&["udp:127.0.0.1:0"], args)
}

/// A server that does this with the n-th datagram, counted from 1. It ends with the test.
fn playing(mut act: impl FnMut(usize, Vec<u8>) -> Vec<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = format!("udp:{}", socket.local_addr().unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 2000];
        for n in 1.. {
            let Ok((len, from)) = socket.recv_from(&mut buffer) else { return };
            for echo in act(n, buffer[..len].to_vec()) {
                socket.send_to(&echo, from).unwrap();
            }
        }
    });
    addr
}

fn with<'a>(addr: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    [&[addr], &PACE[..], args].concat()
}

#[test]
fn every_datagram_is_echoed_and_counted_at_both_ends() {
    let server = server(&[]);
    let addr = server.addr();
    for (size, pace) in [("8", &PACE[..]), ("8-1400", &ONE_BY_ONE[..]), ("65507", &ONE_BY_ONE[..])]
    {
        let args = [addr, "-s", size, "--reconnect-every", "10"];
        let report = fine(&[&args[..], pace].concat());
        let counts = ["messages", "lost_messages", "late_messages", "duplicate_messages"];
        assert_eq!(counts.map(|key| report[key].as_u64()), [200, 0, 0, 0].map(Some));
        assert!(report["connections_made"].as_u64() >= Some(20), "{report:#}");
    }
    let closed = fine(&[addr, "-c", "3", "-p", "5", "-n", "300", "-s", "100"]);
    assert_eq!((&closed["messages"], &closed["server"]), (&300.into(), &addr.into()));
    assert!(server.stop().contains("900 datagrams of "));
}

/// A run that loses messages is fine, unless a condition says that it is not.
#[test]
fn losses_are_counted_and_fail_a_run_only_if_asked() {
    let addr = playing(|n, echo| match n % 10 {
        3 => vec![],
        7 => vec![echo.clone(), echo],
        _ => vec![echo],
    });
    let ended = run(&with(&addr, &["-W", "300ms"]));
    let said = String::from_utf8_lossy(&ended.stdout);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{said}");
    let line = "\ndatagrams     20 lost (10.0 %), 0 late, 20 duplicates, 0 reordered\n";
    assert!(said.contains(line), "{said}");
    let (code, report) = report(&with(&addr, &["-W", "300ms", "--fail-if", "lost>9.9%"]));
    assert_eq!((code, &report["lost_messages"]), (Some(1), &20.into()), "{report:#}");
    assert_eq!(report["end"], "complete");
}

#[test]
fn a_wrong_datagram_ends_the_run() {
    let addr = playing(|n, mut echo| {
        echo[20] ^= u8::from(n == 5);
        vec![echo]
    });
    let (code, report) = report(&with(&addr, &["--keep-going"]));
    assert_eq!((code, &report["has_wrong_bytes"]), (Some(1), &true.into()), "{report:#}");
    let trouble = &report["troubles"][0];
    assert_eq!((&trouble["kind"], &trouble["offset"]), (&"altered".into(), &20.into()));
}

#[test]
fn a_closed_port_and_a_silent_one_are_told_apart() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = format!("udp:{}", socket.local_addr().unwrap());
    let ended = run(&[&addr, "-n", "5", "-c", "1", "-W", "50ms"]);
    assert_eq!((ended.code, &*ended.stderr), (Some(1), "resound: no echo came back\n"));
    drop(socket);
    let ended = run(&[&addr, "-n", "5", "-c", "1"]);
    let said = &ended.stderr;
    let why = format!("cannot connect to {addr}: connection refused; nothing listens there");
    assert!(ended.code == Some(1) && said.contains(&why), "{said}");
}

#[test]
fn what_udp_does_not_allow_is_refused_in_a_line() {
    let sizes = "a datagram has 8 to 65507 bytes, and its number takes 8 of them: give --size something between";
    let wait = "UDP has no connection to wait for: leave --wait out, or use TCP";
    let header = "a PROXY header begins a connection, and UDP has none: leave --send-proxy out";
    let family = "--source-ip ::1 cannot be used: udp:127.0.0.1:7 has no IPv6 address";
    for (args, why) in [
        (["--size", "7"], sizes),
        (["--size", "64-65508"], sizes),
        (["--size", "1m"], sizes),
        (["--wait", "1s"], wait),
        (["--send-proxy", "v1"], header),
        (["--source-ip", "::1"], family),
    ] {
        let ended = run(&[&["udp:127.0.0.1:7"], &args[..]].concat());
        let said = &ended.stderr;
        assert_eq!((ended.code, &**said), (Some(2), &*format!("resound: {why}\n")));
    }
}
