//! Who may connect: `--allow` and `--deny`.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::os::unix::net::UnixStream;

use crate::server::{Server, command};
use crate::wire::{connect_from, expect_echo};

fn host(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// Failed when the connection was closed with an end of stream.
#[track_caller]
fn expect_reset(mut stream: TcpStream) {
    match stream.read_exact(&mut [0]) {
        Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("it is not reset: {other:?}"),
    }
}

#[test]
fn clients_that_are_denied_or_not_allowed_are_reset_logged_and_counted() {
    let args = ["--allow", "127.0.0.0/30,127.0.0.9", "--deny", "127.0.0.2"];
    let mut server = Server::start(&args);
    for (last, is_allowed) in [(1, true), (2, false), (3, true), (4, false), (9, true), (8, false)]
    {
        let stream = connect_from(host(last), server.addr());
        if is_allowed {
            expect_echo(stream, b"hello");
        } else {
            expect_reset(stream);
        }
    }
    server.expect_line("refused: its address may not connect");
    assert!(server.stop().contains("3 connections, 15 bytes in, 15 bytes out, 3 refused"));
}

#[test]
fn ipv4_is_judged_as_ipv4_on_a_listener_of_both() {
    let server = Server::start_at(&["[::]:0"], &["--deny", "127.0.0.2", "--deny", "::1"]);
    let port = server.addr().rsplit_once(':').unwrap().1;
    expect_reset(connect_from(host(2), &format!("127.0.0.1:{port}")));
    expect_reset(connect_from(Ipv6Addr::LOCALHOST, &format!("[::1]:{port}")));
    expect_echo(connect_from(host(3), &format!("127.0.0.1:{port}")), b"hello");
}

#[test]
fn clients_of_unix_sockets_are_not_judged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let at = format!("unix:{}", path.display());
    let _server = Server::start_at(&[&at], &["--allow", "192.0.2.1", "--deny", "0.0.0.0/0,::/0"]);
    expect_echo(UnixStream::connect(path).unwrap(), b"hello");
}

/// Failed when the rate was that of each client.
#[test]
fn connections_over_the_rate_are_reset_whoever_makes_them() {
    // A rate at which no token comes during the test.
    let mut server = Server::start(&["--accept-rate", "2/h"]);
    expect_echo(connect_from(host(1), server.addr()), b"hello");
    for last in 2..5 {
        expect_reset(connect_from(host(last), server.addr()));
    }
    server.expect_line("refused: accept rate reached");
    assert!(server.stop().contains("1 connection, 5 bytes in, 5 bytes out, 3 refused"));
}

/// A client that comes too often uses up no part of the rate of all.
#[test]
fn each_address_has_its_own_rate() {
    let args = ["--accept-rate-per-ip", "2/h", "--accept-rate", "3"];
    let mut server = Server::start(&args);
    expect_echo(connect_from(host(1), server.addr()), b"hello");
    for _ in 0..10 {
        expect_reset(connect_from(host(1), server.addr()));
    }
    server.expect_line("refused: accept rate per IP address reached");
    expect_echo(connect_from(host(2), server.addr()), b"hello");
    expect_echo(connect_from(host(3), server.addr()), b"hello");
}

/// The client of a proxy has the rate, and not its proxy.
#[test]
fn the_clients_of_a_proxy_have_rates_of_their_own() {
    let args = ["--proxy-from", "127.0.0.1", "--accept-rate-per-ip", "2/h"];
    let server = Server::start_at(&["proxy+127.0.0.1:0"], &args);
    let addr = server.addr().strip_prefix("proxy+").unwrap();
    for (client, is_first) in [(1, true), (2, true), (1, false), (3, true)] {
        let stream = connect_from(host(1), addr);
        let header = format!("PROXY TCP4 192.0.2.{client} 10.0.0.1 5000 7\r\n");
        (&stream).write_all(header.as_bytes()).unwrap();
        if is_first {
            expect_echo(stream, b"hello");
        } else {
            expect_reset(stream);
        }
    }
}

#[test]
fn a_rate_that_is_none_is_explained() {
    for option in ["--accept-rate", "--accept-rate-per-ip"] {
        for text in ["0", "-1", "fast", "1/week"] {
            let output = command(&[], &[&format!("{option}={text}")]).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(option) && said.trim().lines().count() == 1, "{said}");
        }
    }
}

#[test]
fn a_network_that_is_none_is_explained() {
    for option in ["--allow", "--deny"] {
        for (text, line) in [
            ("10.0.0.0/33", "after the slash, write the bits of the prefix, 0 to 32"),
            ("10.0.0.1,", "write an IP address or a network, such as 10.0.0.0/8 or fd00::/8"),
            ("\u{1b}", "write an IP address or a network, such as 10.0.0.0/8 or fd00::/8"),
        ] {
            let output = command(&[], &[option, text]).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(line) && !said.contains('\u{1b}'), "{text:?}: {said}");
            assert_eq!(said.trim().lines().count(), 1, "{said}");
        }
    }
    let mut server = Server::start(&["--allow", "127.0.0.1/8"]);
    server.expect_line("--allow 127.0.0.1/8 means all of 127.0.0.0/8");
}
