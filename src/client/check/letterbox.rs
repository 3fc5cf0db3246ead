//! A UDP socket of a case, and the datagrams that came to it.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;

/// The most datagrams that are kept.
const MOST: usize = 1000;

/// A socket that is connected to nobody: so it sees an answer from another address too.
pub(super) struct Letterbox {
    pub(super) socket: UdpSocket,
    server: SocketAddr,
    /// What came, and from whom.
    pub(super) received: Vec<(SocketAddr, Vec<u8>)>,
    /// What was sent more than once: an answer to it can come late.
    pub(super) repeated: Vec<Vec<u8>>,
    /// What the network says of what was sent: nothing listens there, for example.
    pub(super) refused: Option<io::Error>,
}

impl Letterbox {
    /// # Errors
    ///
    /// If the system gives no further socket.
    pub(super) fn new(server: SocketAddr) -> io::Result<Self> {
        let any = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        Ok(Self {
            socket: UdpSocket::bind(any)?,
            server,
            received: Vec::new(),
            repeated: Vec::new(),
            refused: None,
        })
    }

    /// Sends one datagram.
    pub(super) fn send(&mut self, datagram: &[u8]) {
        if let Err(e) = self.socket.send_to(datagram, self.server) {
            self.refused = Some(e);
        }
    }

    /// Receives what is there.
    pub(super) fn drive(&mut self, scratch: &mut [u8]) {
        while self.received.len() < MOST {
            match self.socket.recv_from(scratch) {
                Ok((len, from)) => self.received.push((from, scratch[..len].to_vec())),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => self.refused = Some(e),
            }
        }
    }
}
