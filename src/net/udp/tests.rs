//! UDP sockets on the loopback interface.

use std::net::{Ipv4Addr, UdpSocket as Client};
use std::time::{Duration, Instant};

use super::*;

/// Fails a test that would otherwise wait forever.
const TIMEOUT: Duration = Duration::from_secs(30);

fn bind(at: &str, options: ListenOptions) -> io::Result<UdpSocket> {
    let (mut sockets, _) = UdpSocket::bind_all(&[Endpoint::udp(at.parse().unwrap())], |_| options)?;
    Ok(sockets.remove(0))
}

fn plain(at: &str) -> UdpSocket {
    bind(at, ListenOptions::default()).unwrap()
}

fn port(socket: &UdpSocket) -> u16 {
    socket.socket.local_addr().unwrap().port()
}

fn client(ip: &str) -> Client {
    let client = Client::bind((ip, 0)).unwrap();
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    client
}

/// Receives one datagram, which is on its way.
fn receive(socket: &mut UdpSocket, buffer: &mut [u8]) -> Received {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match socket.receive(buffer) {
            Ok(received) => return received,
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
        assert!(Instant::now() < deadline, "no datagram came");
        std::thread::yield_now();
    }
}

/// Sends a datagram to `to`, answers it, and expects the answer from there.
fn exchange(socket: &mut UdpSocket, to: &str, bytes: &[u8]) -> Received {
    let to: IpAddr = to.parse().unwrap();
    let client = client(if to.is_ipv4() { "127.0.0.1" } else { "::1" });
    let to = SocketAddr::new(to, port(socket));
    client.send_to(bytes, to).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let received = receive(socket, &mut buffer);
    assert!(buffer[..received.len] == *bytes && !received.is_truncated && !received.is_to_many);
    assert_eq!(Endpoint::udp(received.from), Endpoint::udp(client.local_addr().unwrap()));
    assert_eq!(socket.answer(bytes, &received).unwrap(), bytes.len());
    let (len, from) = client.recv_from(&mut buffer).unwrap();
    assert!(buffer[..len] == *bytes, "the answer to {} bytes has {len}", bytes.len());
    assert_eq!(from, to);
    received
}

#[test]
fn datagrams_of_every_size_are_exchanged_whole() {
    let long = vec![7; 65_507];
    for at in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
        let mut socket = plain(at);
        for len in [0, 1, 1472, 1473, 65_507] {
            exchange(&mut socket, "127.0.0.1", &long[..len]);
        }
    }
    let longest = vec![7; 65_527];
    for at in ["[::1]:0", "[::]:0"] {
        exchange(&mut plain(at), "::1", &longest);
    }
}

/// Failed when the socket had all addresses and the kernel chose one for the answer.
#[test]
fn a_socket_with_all_addresses_answers_from_the_one_that_was_asked() {
    for at in ["0.0.0.0:0", "[::]:0"] {
        let mut socket = plain(at);
        for to in ["127.0.0.1", "127.0.0.2", "127.1.2.3"] {
            let received = exchange(&mut socket, to, b"hello");
            assert_eq!(received.to.map(|to| to.ip), Some(to.parse().unwrap()));
        }
    }
    let received = exchange(&mut plain("[::]:0"), "::1", b"hello");
    assert_eq!(received.to.map(|to| to.ip), Some("::1".parse().unwrap()));
    // A socket with one address needs no such help.
    assert_eq!(exchange(&mut plain("127.0.0.2:0"), "127.0.0.2", b"hello").to, None);
}

#[test]
fn a_datagram_to_many_hosts_is_recognized() {
    for at in ["0.0.0.0:0", "[::]:0"] {
        let mut socket = plain(at);
        let client = client("127.0.0.1");
        client.set_broadcast(true).unwrap();
        client.send_to(b"all", ("127.255.255.255", port(&socket))).unwrap();
        assert!(receive(&mut socket, &mut [0; 9]).is_to_many, "{at}");
    }
}

#[test]
fn a_datagram_that_does_not_fit_is_recognized() {
    for at in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
        let mut socket = plain(at);
        client("127.0.0.1").send_to(b"hello", ("127.0.0.1", port(&socket))).unwrap();
        let received = receive(&mut socket, &mut [0; 4]);
        assert_eq!((received.len, received.is_truncated), (4, true), "{at}");
    }
}

#[test]
fn an_address_of_many_hosts_is_refused() {
    let why = "it stands for many hosts, and a server must not answer what all of them are sent";
    for at in ["224.0.0.1:0", "[ff02::1]:0", "255.255.255.255:0", "127.255.255.255:0"] {
        let error = bind(at, ListenOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on udp:{at}: {why}"));
    }
}

#[test]
fn an_address_is_shared_only_if_all_agree() {
    let shared = ListenOptions { reuse_port: true, ..ListenOptions::default() };
    let first = bind("127.0.0.1:0", shared).unwrap();
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port(&first))).to_string();
    let second = bind(&at, shared).unwrap();
    assert_eq!(second.local_addr().unwrap().to_string(), format!("udp:{at}"));
    let error = bind(&at, ListenOptions::default()).unwrap_err();
    let expected = "address already in use; choose another, or port 0 for any free one";
    assert_eq!(error.to_string(), format!("cannot listen on udp:{at}: {expected}"));
}

#[test]
fn all_ipv6_addresses_leave_ipv4_to_another_socket_if_told_to() {
    let only_v6 = ListenOptions { only_v6: true, ..ListenOptions::default() };
    let six = bind("[::]:0", only_v6).unwrap();
    assert!(bind(&format!("0.0.0.0:{}", port(&six)), ListenOptions::default()).is_ok());
}

#[test]
#[cfg(target_os = "linux")]
fn what_the_kernel_drops_is_counted() {
    let mut socket = plain("127.0.0.1:0");
    assert_eq!(socket.kernel_drops(), Some(0));
    let (client, to) = (client("127.0.0.1"), ("127.0.0.1", port(&socket)));
    for _ in 0..1000 {
        client.send_to(&[7; 1000], to).unwrap();
    }
    let mut received = 0;
    while socket.receive(&mut [0; 2000]).is_ok() {
        received += 1;
    }
    assert!((1..1000).contains(&received), "{received} were received");
    assert_eq!(socket.kernel_drops(), Some(1000 - received));
}
