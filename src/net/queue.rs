//! The bytes that were written to a TCP socket and that its peer has not acknowledged.
//!
//! ioctl(2) with `SIOCOUTQ` returns that number too, but no crate wraps it safely. sock_diag(7) returns it over a
//! netlink socket, with one message each way about one connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Socket, Type};

const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const IPPROTO_TCP: u8 = 6;
const TCP_LISTEN: u8 = 10;

/// A `nlmsghdr` and an `inet_diag_req_v2`.
const REQUEST_BYTES: usize = 72;

/// A `nlmsghdr` and an `inet_diag_msg`; attributes follow.
const ANSWER_BYTES: usize = 88;

/// The bytes of the connection between these ends that its peer has not acknowledged. The end of the stream counts
/// as one byte.
///
/// # Errors
///
/// If the system has no such connection, or no netlink sockets for this process.
pub(super) fn unacknowledged(local: SocketAddr, peer: SocketAddr) -> io::Result<u32> {
    let kind = Type::RAW.nonblocking();
    let mut kernel = Socket::new(AF_NETLINK.into(), kind, Some(NETLINK_SOCK_DIAG.into()))?;
    kernel.write_all(&request(local, peer))?;
    // The kernel answers before the write returns.
    let mut answer = [0; 512];
    let n = kernel.read(&mut answer)?;
    parse(&answer[..n]).ok_or_else(|| ErrorKind::NotFound.into())
}

fn request(local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    let family = i32::from(Domain::for_address(local)) as u8;
    let scope = if let SocketAddr::V6(peer) = peer { peer.scope_id() } else { 0 };
    [
        // nlmsghdr: length, type, flags, sequence number, port.
        &(REQUEST_BYTES as u32).to_ne_bytes()[..],
        &SOCK_DIAG_BY_FAMILY.to_ne_bytes(),
        &NLM_F_REQUEST.to_ne_bytes(),
        &[0; 8],
        // inet_diag_req_v2: family, protocol, no extensions, padding, all states.
        &[family, IPPROTO_TCP, 0, 0],
        &[0xff; 4],
        // inet_diag_sockid: ports, addresses, interface, no cookie.
        &local.port().to_be_bytes(),
        &peer.port().to_be_bytes(),
        &address(local.ip()),
        &address(peer.ip()),
        &scope.to_ne_bytes(),
        &[0xff; 8],
    ]
    .concat()
}

/// IPv4 fills the first four bytes.
fn address(ip: IpAddr) -> [u8; 16] {
    let mut bytes = [0; 16];
    match ip {
        IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes = ip.octets(),
    }
    bytes
}

fn parse(answer: &[u8]) -> Option<u32> {
    let is_answer = answer.get(4..6)? == SOCK_DIAG_BY_FAMILY.to_ne_bytes();
    let state = *answer.get(17)?;
    // If there is no such connection, the kernel may answer with a listener at its address.
    let is_connection = is_answer && state != TCP_LISTEN && answer.len() >= ANSWER_BYTES;
    let queued = answer.get(76..80)?.try_into().ok()?;
    is_connection.then(|| u32::from_ne_bytes(queued))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::*;

    fn of(stream: &TcpStream) -> io::Result<u32> {
        unacknowledged(stream.local_addr().unwrap(), stream.peer_addr().unwrap())
    }

    #[track_caller]
    fn eventually(is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_so() {
            assert!(Instant::now() < deadline, "it did not happen in 20 s");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_kernel_counts_the_bytes_that_a_peer_has_not_acknowledged() {
        for (listen, connect) in
            [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")]
        {
            let Ok(listener) = TcpListener::bind(listen) else { continue };
            let port = listener.local_addr().unwrap().port();
            let peer = TcpStream::connect((connect, port)).unwrap();
            let (stream, _) = listener.accept().unwrap();
            assert_eq!(of(&stream).unwrap(), 0, "{listen}");
            stream.set_nonblocking(true).unwrap();
            let mut written = 0;
            while let Ok(n) = (&stream).write(&[0; 65536]) {
                written += n;
            }
            eventually(|| of(&stream).is_ok_and(|left| left > 0 && (left as usize) < written));
            let before = of(&stream).unwrap();
            (&peer).read_exact(&mut vec![0; written / 2]).unwrap();
            eventually(|| of(&stream).unwrap() < before);
            (&peer).read_exact(&mut vec![0; written - written / 2]).unwrap();
            eventually(|| of(&stream).unwrap() == 0);
        }
    }

    #[test]
    fn a_connection_that_does_not_exist_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        assert!(unacknowledged(here, "127.0.0.1:1".parse().unwrap()).is_err());
    }
}
