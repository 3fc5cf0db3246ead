//! Datagrams.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

use rustix::process::Signal;

use crate::command::output;
#[cfg(feature = "clients")]
use crate::command::resound;
use crate::server::{Server, TIMEOUT, command};
use crate::wire::{expect_echo, pattern};

const UDP: &str = "udp:127.0.0.1:0";

fn client(ip: &str) -> UdpSocket {
    bound((ip, 0))
}

fn bound(at: (&str, u16)) -> UdpSocket {
    let client = UdpSocket::bind(at).unwrap();
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    client
}

/// The address of one of a server's UDP sockets.
fn udp_addr(server: &Server) -> SocketAddr {
    let addrs = server.addrs().iter();
    addrs.filter_map(|addr| addr.strip_prefix("udp:")).next().unwrap().parse().unwrap()
}

#[track_caller]
fn expect_answer(client: &UdpSocket, to: SocketAddr, bytes: &[u8]) {
    client.send_to(bytes, to).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let (len, from) = client.recv_from(&mut buffer).unwrap();
    assert!(buffer[..len] == *bytes, "{} bytes became {len}", bytes.len());
    assert_eq!(from, to);
}

#[track_caller]
fn expect_nothing(client: &UdpSocket) {
    client.set_nonblocking(true).unwrap();
    let error = client.recv_from(&mut [0; 10]).expect_err("an answer");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

/// Fault 33 of datagrams that are empty, or as long as they can be.
#[test]
fn datagrams_of_every_length_are_echoed_beside_connections() {
    for at in [UDP, "udp:0.0.0.0:0", "udp:[::]:0"] {
        let server = Server::start_at(&["127.0.0.1:0", at], &[]);
        let to = SocketAddr::from(([127, 0, 0, 1], udp_addr(&server).port()));
        let client = client("127.0.0.1");
        for len in [0, 1, 64, 1472, 1473, 9000, 65_507] {
            expect_answer(&client, to, &pattern(len, len));
        }
        expect_echo(server.connect(), b"hello");
        let said = server.stop();
        let expected = "; 7 datagrams of 77,517 bytes echoed, 0 dropped, 0 dropped by the kernel";
        assert!(
            said.contains("stopped: 1 connection, 5 bytes in") && said.ends_with(expected),
            "{said}"
        );
    }
}

#[test]
fn a_name_means_all_of_its_addresses() {
    let mut server = Server::start_at(&["udp:localhost:0"], &[]);
    let first = udp_addr(&server);
    let ip = first.ip().to_string();
    expect_answer(&client(&ip), first, b"hello");
    assert!(server.addr().starts_with("udp:"));
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

/// Fault 33 of bursts: more than the receive queue holds. What is answered is whole, and the rest is counted. Failed when
/// the server asked the kernel for its drops only with the next datagram.
#[test]
fn a_burst_is_answered_whole_or_dropped_and_counted() {
    let server = Server::start_at(&[UDP], &["--udp-rate", "1m"]);
    let (to, client) = (udp_addr(&server), client("127.0.0.1"));
    server.pause();
    for i in 0..2000_u32 {
        client.send_to(&[&i.to_be_bytes()[..], &pattern(i as usize, 500)].concat(), to).unwrap();
    }
    server.resume();
    // The kernel keeps the first ones, and the client's own queue is as long as the server's.
    let mut buffer = [0; 1000];
    let (len, _) = client.recv_from(&mut buffer).unwrap();
    assert!(buffer[..4] == 0_u32.to_be_bytes() && buffer[4..len] == pattern(0, 500));
    let said = server.stop();
    client.set_nonblocking(true).unwrap();
    let mut received = 1;
    while let Ok(len) = client.recv(&mut buffer) {
        assert!(
            buffer[..4] == u32::to_be_bytes(received)
                && buffer[4..len] == pattern(received as usize, 500)
        );
        received += 1;
    }
    assert!((2..2000).contains(&received), "{received}");
    let dropped = 2000 - received;
    let counts = format!(" bytes echoed, 0 dropped, {} dropped by the kernel", commas(dropped));
    assert!(said.contains(&format!("; {} datagrams of ", commas(received))), "{said}");
    assert!(said.ends_with(&counts), "{said}: {counts}");
}

fn commas(n: u32) -> String {
    if n < 1000 { n.to_string() } else { format!("{},{:03}", n / 1000, n % 1000) }
}

/// Fault 32 as far as it needs no rights: two servers with one port, on any hosts.
#[test]
fn a_datagram_from_one_of_the_servers_own_ports_is_not_answered() {
    let mut server = Server::start_at(&[UDP, "udp:[::1]:0"], &[]);
    let to = udp_addr(&server);
    let ports = server.addrs().iter().map(|addr| addr.rsplit_once(':').unwrap().1.parse().unwrap());
    let others: Vec<_> = ports.map(|port| bound(("127.0.0.2", port))).collect();
    for other in &others {
        other.send_to(b"hello", to).unwrap();
    }
    expect_answer(&client("127.0.0.1"), to, b"answered after the others");
    let from = others[0].local_addr().unwrap();
    let expected = format!(
        "udp:{from}: datagram not answered: its source port is one that this server answers on"
    );
    server.expect_line(&expected);
    let said = server.stop();
    assert!(
        said.ends_with(
            "; 1 datagram of 25 bytes echoed, 2 dropped (2 own_port), 0 dropped by the kernel"
        ),
        "{said}"
    );
    others.iter().for_each(expect_nothing);
}

#[test]
fn a_source_that_sends_more_than_its_rate_is_not_answered_and_others_are() {
    let mut server = Server::start_at(&[UDP], &["--udp-rate", "2/h"]);
    let to = udp_addr(&server);
    let greedy = client("127.0.0.1");
    expect_answer(&greedy, to, b"one");
    greedy.send_to(b"two", to).unwrap();
    expect_answer(&client("127.0.0.2"), to, b"three");
    let from = greedy.local_addr().unwrap();
    server.expect_line(&format!(
        "udp:{from}: datagram not answered: its source sends more than the rate allows"
    ));
    let said = server.stop();
    assert!(said.contains("2 datagrams of 8 bytes echoed, 1 dropped (1 rate_limit)"), "{said}");
    expect_nothing(&greedy);
}

/// The answer to a client that is gone makes an error of the network.
#[test]
fn a_client_that_is_gone_harms_no_other() {
    let server = Server::start_at(&[UDP], &[]);
    let to = udp_addr(&server);
    server.pause();
    for _ in 0..10 {
        client("127.0.0.1").send_to(b"gone", to).unwrap();
    }
    let bystander = client("127.0.0.1");
    bystander.send_to(b"here", to).unwrap();
    server.resume();
    let mut buffer = [0; 10];
    assert_eq!(bystander.recv(&mut buffer).unwrap(), 4);
    expect_answer(&bystander, to, b"and again");
    server.stop();
}

/// Failed when a server without connections ended before its services saw that it stops.
#[test]
fn a_server_that_stops_answers_what_has_arrived() {
    let mut server = Server::start_at(&[UDP], &[]);
    let (to, client) = (udp_addr(&server), client("127.0.0.1"));
    server.pause();
    server.signal(Signal::TERM);
    for i in 0..100 {
        client.send_to(&[i], to).unwrap();
    }
    server.resume();
    assert_eq!(server.wait().code(), Some(0));
    for i in 0..100 {
        let mut buffer = [0; 10];
        assert_eq!((client.recv(&mut buffer).unwrap(), buffer[0]), (1, i));
    }
}

/// While connections finish, datagrams are refused, so that their senders learn it.
#[test]
fn a_server_that_stops_closes_its_udp_sockets_before_its_last_connection() {
    let mut server = Server::start_at(&["127.0.0.1:0", UDP], &["--drain-timeout", "1h"]);
    let stream = server.connect();
    expect_echo(&stream, b"open");
    let to = udp_addr(&server);
    server.signal(Signal::TERM);
    server.expect_line("stopping: 1 connection to finish");
    let client = client("127.0.0.1");
    client.connect(to).unwrap();
    // It is refused once the socket is closed. Until then, it can be answered.
    crate::server::eventually(|| {
        let _ = client.send(b"?");
        client.set_nonblocking(true).unwrap();
        let error = client.recv(&mut [0; 10]).err()?;
        (error.kind() == ErrorKind::ConnectionRefused).then_some(())
    });
    drop(stream);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn servers_share_a_udp_address_if_they_are_told_to() {
    let first = Server::start_at(&[UDP], &["--reuse-port"]);
    let at = first.addr().to_string();
    let second = Server::start_at(&[&at], &["--reuse-port"]);
    expect_answer(&client("127.0.0.1"), udp_addr(&first), b"hello");
    let third = output(&mut command(&[&at], &[]));
    let said = String::from_utf8(third.stderr).unwrap();
    let expected = "address already in use; choose another, or port 0 for any free one";
    assert_eq!(said, format!("resound: cannot listen on {at}: {expected}\n"));
    first.stop();
    second.stop();
}

#[test]
fn an_address_of_many_hosts_is_refused() {
    let output = output(&mut command(&["udp:224.0.0.1:7007"], &[]));
    let said = String::from_utf8(output.stderr).unwrap();
    let why = "it stands for many hosts, and a server must not answer what all of them are sent";
    assert_eq!(said, format!("resound: cannot listen on udp:224.0.0.1:7007: {why}\n"));
    assert_eq!(output.status.code(), Some(1));
}

#[cfg(feature = "clients")]
#[test]
fn a_client_that_needs_a_stream_refuses_udp_and_names_those_that_do_not() {
    let output = resound(&["connect", "udp:127.0.0.1:7007"]);
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = "resound: udp:127.0.0.1:7007 is a UDP address, and this command needs a stream: resound ping and \
                    resound load speak UDP\n";
    assert_eq!((&*said, output.status.code()), (expected, Some(2)));
}
