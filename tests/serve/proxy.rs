//! The PROXY protocol on real sockets: headers in any pieces, wrong ones, and plain listeners beside proxied ones.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::server::{Server, TIMEOUT, command, connect, eventually};
use crate::wire::{connect_from, expect_bytes, expect_closed, expect_echo, expect_end, pattern};

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 7\r\n";
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x13\x88\x00\x07";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// A server with a proxied listener. Returns it with the listener's address.
#[track_caller]
fn start(args: &[&str]) -> (Server, String) {
    let args = [&["--proxy-from", "127.0.0.1/32", "-v"], args].concat();
    let server = Server::start_at(&["proxy+127.0.0.1:0"], &args);
    let addr = proxied(server.addr());
    (server, addr)
}

/// The address of a proxied listener, which the log shows as it was written.
#[track_caller]
pub fn proxied(shown: &str) -> String {
    shown.strip_prefix("proxy+").expect("it is proxied").to_string()
}

fn send(mut stream: impl Write, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
}

#[test]
fn a_proxied_listener_echoes_what_follows_the_header() {
    let (mut server, addr) = start(&[]);
    for header in [V1, V2] {
        let stream = connect(&addr);
        send(&stream, &[header, b"with the header"].concat());
        expect_bytes(&stream, b"with the header");
        expect_echo(&stream, &pattern(1, 1 << 20));
        stream.shutdown(Shutdown::Write).unwrap();
        expect_end(&stream);
        server.expect_line("192.0.2.7:5000: comes through the proxy 127.0.0.1:");
        server.expect_line("192.0.2.7:5000: accepted");
        server.expect_line("192.0.2.7:5000: closed: all echoed");
    }
    let stream = connect(&addr);
    send(&stream, LOCAL);
    expect_echo(&stream, b"a check");
    let local = stream.local_addr().unwrap();
    server.expect_line(&format!("{local}: accepted"));
    drop(stream);
    let moved = 2 * (15 + (1 << 20)) + 7;
    let said = server.stop();
    assert!(
        said.replace(',', "").contains(&format!("{moved} bytes in {moved} bytes out")),
        "{said}"
    );
}

/// Each byte makes an edge of its own, although those before it are unread: it wakes the server, which sleeps again
/// before the next one comes.
#[test]
fn a_header_that_comes_byte_by_byte_is_complete_at_its_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let unix = format!("proxy+unix:{}", path.display());
    let server = Server::start_at(&["proxy+127.0.0.1:0", &unix], &["--proxy-from", "127.0.0.1"]);
    let tcp = connect(&proxied(server.addr()));
    let unix = UnixStream::connect(&path).unwrap();
    unix.set_read_timeout(Some(TIMEOUT)).unwrap();
    byte_by_byte(&server, &tcp, &tcp);
    byte_by_byte(&server, &unix, &unix);
}

fn byte_by_byte(server: &Server, mut reader: impl Read, mut writer: impl Write) {
    for byte in [V2, b"!"].concat() {
        eventually(|| server.state().starts_with('S').then_some(()));
        let sleeps = server.sleeps();
        writer.write_all(&[byte]).unwrap();
        eventually(|| (server.sleeps() > sleeps).then_some(()));
    }
    expect_bytes(&mut reader, b"!");
}

#[test]
fn each_fault_of_a_header_closes_its_connection_and_is_logged_and_counted() {
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100]].concat();
    let oversized = b"\r\n\r\n\0\r\nQUIT\n\x21\x00\xff\xff";
    for (sent, line) in [
        (&b"hello"[..], "no PROXY header: it sent \"hello\""),
        (b"\x1b[2J\r\n", "no PROXY header: it sent \"\\x1b[2J\\r\\n\""),
        (
            b"PROXY TCP4 localhost\r\n",
            "malformed PROXY header: it sent \"PROXY TCP4 localhost\\r\\n\"",
        ),
        (&long, "PROXY header too long: it sent \"PROXY UNKNOWN xxx"),
        (
            oversized,
            "PROXY header too long: it sent \"\\r\\n\\r\\n\\x00\\r\\nQUIT\\n!\\x00\\xff\\xff\"",
        ),
        (&V2[..V2.len() - 1], "ended within its PROXY header: it sent \"\\r\\n"),
    ] {
        let (mut server, addr) = start(&[]);
        let stream = connect(&addr);
        send(&stream, sent);
        let _ = stream.shutdown(Shutdown::Write);
        expect_closed(stream);
        server.expect_line(&format!("refused: {line}"));
        let said = server.stop();
        assert!(said.contains("0 bytes in, 0 bytes out, 1 refused"), "{said}");
    }
}

#[test]
fn only_known_proxies_may_connect_to_a_proxied_listener() {
    let (mut server, addr) = start(&[]);
    let addr: SocketAddr = addr.parse().unwrap();
    let stranger = connect_from(Ipv4Addr::new(127, 0, 0, 2), &addr.to_string());
    expect_closed(stranger);
    server.expect_line("refused: not the address of a known proxy");
    let known = connect(&addr.to_string());
    send(&known, V1);
    expect_echo(&known, b"hello");
}

#[test]
fn a_plain_listener_beside_a_proxied_one_echoes_headers() {
    let addrs = ["127.0.0.1:0", "proxy+127.0.0.1:0"];
    let server = Server::start_at(&addrs, &["--proxy-from", "127.0.0.0/8"]);
    expect_echo(server.connect(), V1);
    let stream = connect(&proxied(&server.addrs()[1]));
    send(&stream, V1);
    expect_echo(&stream, V1);
}

#[test]
fn a_limit_for_each_address_counts_the_clients() {
    let (server, addr) = start(&["--max-per-ip", "1"]);
    let client = |host: &str| {
        let stream = connect(&addr);
        send(&stream, format!("PROXY TCP4 {host} 10.0.0.1 5000 7\r\n").as_bytes());
        stream
    };
    let first = client("192.0.2.1");
    expect_echo(&first, b"first");
    expect_closed(client("192.0.2.1"));
    expect_echo(client("192.0.2.2"), b"another");
    // Connections that wait for their header are no client's.
    let _waiting: [TcpStream; 3] = std::array::from_fn(|_| connect(&addr));
    expect_echo(client("192.0.2.3"), b"a third");
    assert!(server.stop().contains("1 refused"));
}

/// The deadline runs from the first byte: a proxy may send the header with the first bytes of its client.
#[test]
fn a_header_that_stops_halfway_is_given_up_and_one_that_has_not_begun_is_not() {
    let (mut server, addr) = start(&[]);
    let [silent, halfway] = [connect(&addr), connect(&addr)];
    let began = Instant::now();
    send(&halfway, &V1[..10]);
    expect_closed(&halfway);
    assert!(began.elapsed() >= Duration::from_secs(5), "after {:?}", began.elapsed());
    server.expect_line("refused: PROXY header not complete in time: it sent \"PROXY TCP4\"");
    send(&silent, V1);
    expect_echo(&silent, b"late");
}

#[test]
fn a_server_that_stops_does_not_wait_for_headers() {
    let (mut server, addr) = start(&["--drain-timeout", "60s"]);
    let [silent, halfway, client] = std::array::from_fn(|_| connect(&addr));
    send(&halfway, &V1[..10]);
    send(&client, V1);
    expect_echo(&client, b"hello");
    server.signal(Signal::TERM);
    expect_end(&client);
    drop(client);
    expect_closed(&silent);
    expect_closed(&halfway);
    assert!(server.wait().success());
    let said = server.log().last().unwrap();
    assert!(said.contains("1 refused") && said.contains("0 cut off"), "{said}");
}

#[test]
fn contradictions_of_the_options_are_explained() {
    for (args, line) in [
        (
            &["--listen", "proxy+127.0.0.1:0"][..],
            "--listen proxy+127.0.0.1:0 needs the networks of its proxies: give, say, --proxy-from 10.0.0.0/8",
        ),
        (
            &["--listen", "proxy+udp:127.0.0.1:0"],
            "a proxy names the client of a stream, and UDP has none; write udp:HOST:PORT",
        ),
        (
            &["--proxy-from", "10.0.0.0/33"],
            "after the slash, write the bits of the prefix, 0 to 32",
        ),
        (
            &["--proxy-from", "lan"],
            "write an IP address or a network, such as 10.0.0.0/8 or fd00::/8",
        ),
    ] {
        let output = command(&[], args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(line), "{args:?}: {said}");
    }
}

#[test]
fn options_that_may_mean_something_else_are_warned_of() {
    let args = ["--proxy-from", "127.0.0.1/8"];
    let mut server = Server::start_at(&["127.0.0.1:0"], &args);
    server.expect_line("--proxy-from has no effect: no --listen begins with proxy+");
    server.expect_line("--proxy-from 127.0.0.1/8 means all of 127.0.0.0/8");
}
