//! A run over UDP. What is lost, late, doubled or reordered is counted, and the run goes on.

use std::collections::TryReserveError;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Options;
use super::link::{Attempt, Connect, Link};
use super::probing::Probing;
use super::shared::Shared;
use crate::client::datagram_socket::{DatagramSocket, is_of_network};
use crate::client::dial::lookup::{self, Resolve};
use crate::client::dial::{ATTEMPT_DELAY, Family, no_address, order};
use crate::client::failure::Failure;
use crate::client::probe::Received;
use crate::client::probe::datagrams::{DatagramFault, DatagramProbe};
use crate::client::probe::window::Arrival;
use crate::net::proxy::HeaderVersion;
use crate::net::{Addr, Endpoint};

/// The messages that all connections remember together, so that late and doubled echoes are told from lost ones.
const REMEMBERED: usize = 1 << 20;
/// The messages that each connection remembers at least...
const LEAST_REMEMBERED: usize = 1 << 10;
/// ...and at most, unless more are in flight.
const MOST_REMEMBERED: usize = 1 << 16;

/// The memory of one connection's messages, in bytes, if the number is not too large.
pub(super) fn memory(options: &Options) -> Option<usize> {
    DatagramProbe::memory(options.depth, remembered(options))
}

fn remembered(options: &Options) -> usize {
    let share = REMEMBERED / options.connections.max(1);
    share.clamp(LEAST_REMEMBERED, MOST_REMEMBERED).max(2 * options.depth)
}

/// Looks the server up, and finds out which of its addresses to load. This blocks.
///
/// # Errors
///
/// If the name is unknown or not found in time, or if there is no route to any of its addresses.
pub(super) fn find_peer(options: &Options) -> io::Result<Endpoint> {
    let source = options.sources.first().copied();
    let family = source.map(|source| Family::of(&source.ip()));
    let resolve: Resolve = Arc::new(Addr::resolve);
    let peers = lookup::within(&resolve, &options.server, options.timeout)?;
    let peers = order(peers, family, None);
    if peers.is_empty() {
        return Err(no_address(&options.server, family));
    }
    choose(&peers.into_iter().collect::<Vec<_>>(), source)
}

/// Chooses one of the server's addresses: the first that answers, or else the first that this machine has a route to.
fn choose(peers: &[Endpoint], source: Option<SocketAddr>) -> io::Result<Endpoint> {
    let answers = |peer: &&Endpoint| {
        DatagramSocket::connect(peer, source).is_ok_and(|socket| socket.gets_answer(ATTEMPT_DELAY))
    };
    // The run itself finds out whether a single address answers.
    match peers.iter().filter(|_| peers.len() > 1).find(answers) {
        Some(peer) => Ok(peer.clone()),
        None => Ok(DatagramSocket::connect_first(peers)?.1),
    }
}

/// Makes the sockets of a run. To "connect" one gives it a port, and sends nothing.
#[derive(Debug)]
pub(super) struct DatagramNetwork<'a> {
    peer: Endpoint,
    /// Addresses of this machine to send from, in turn.
    sources: &'a [SocketAddr],
}

impl<'a> DatagramNetwork<'a> {
    pub(super) fn new(peer: &Endpoint, sources: &'a [SocketAddr]) -> Self {
        Self { peer: peer.clone(), sources }
    }
}

impl Connect for DatagramNetwork<'_> {
    type Link = DatagramSocket;

    fn peer(&self) -> &Endpoint {
        &self.peer
    }

    fn connect(&mut self, number: usize) -> io::Result<Attempt<DatagramSocket>> {
        let source = self.sources.get(number % self.sources.len().max(1)).copied();
        let link = DatagramSocket::connect(&self.peer, source)?;
        Ok(Attempt { link, took: Duration::ZERO })
    }
}

impl Link for DatagramSocket {
    type Probe = DatagramProbe;

    fn is_connected(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn send_header(&mut self, _: HeaderVersion) -> io::Result<()> {
        // The command line refuses it.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn local_addr(&self) -> Option<Endpoint> {
        Self::local_addr(self).ok()
    }

    fn short_read_drains(&self) -> bool {
        false
    }

    fn shutdown_write(&self) {}

    fn dropped(&self) -> u64 {
        Self::dropped(self).unwrap_or_default().into()
    }
}

impl Probing for DatagramProbe {
    const READS_PER_TURN: usize = 64;

    fn try_new(number: usize, options: &Options) -> Result<Self, TryReserveError> {
        Self::try_new(number, options.depth, remembered(options))
    }

    fn restart(&mut self) {
        self.restart();
    }

    fn hand_on(&mut self) -> Self {
        self.hand_on()
    }

    fn has_room(&self) -> bool {
        self.has_room()
    }

    fn in_flight(&self) -> usize {
        self.in_flight()
    }

    fn dues(&self) -> impl Iterator<Item = Instant> {
        self.dues()
    }

    fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since()
    }

    fn begin(&mut self, bytes: usize, due: Instant) {
        self.begin(bytes, due);
    }

    fn is_sent(&self) -> bool {
        self.is_sent()
    }

    fn send(
        &mut self,
        io: &mut impl Write,
        shared: &mut Shared,
        now: Instant,
    ) -> Result<(), Failure> {
        let Shared { pattern, scratch, .. } = shared;
        Ok(self.send(io, pattern, scratch, now)?)
    }

    fn receive(&mut self, io: &mut impl Read, shared: &mut Shared) -> Result<Received, Failure> {
        let Shared { pattern, scratch, .. } = shared;
        let received = self.receive(io, pattern, scratch)?;
        Ok(received.map_or(Received::Nothing, Received::More))
    }

    fn complete(&mut self, now: Instant, shared: &mut Shared) -> Result<(), Failure> {
        let Some((arrival, message)) = self.complete(now) else { return Ok(()) };
        match (arrival, message) {
            (Arrival::Echo { is_reordered, .. }, Some(message)) => {
                shared.note_order(message.due, is_reordered);
                // It may be overdue already, and not given up yet.
                if shared.finish(&message, now).is_err() {
                    shared.record_late(message.due);
                }
            }
            (Arrival::Late { .. }, Some(message)) => shared.record_late(message.due),
            (_, message) => shared.record_duplicate(message.map_or(now, |message| message.due)),
        }
        Ok(())
    }

    fn give_up_overdue(&mut self, now: Instant, shared: &mut Shared) -> Result<(), Failure> {
        while let Some(due) = self.expire(|sent| shared.is_overdue(sent, now)) {
            shared.in_flight -= 1;
            shared.record_lost(due, now);
        }
        Ok(())
    }

    /// Nothing ends an exchange of datagrams, but the echo of each message that was given up can still come.
    fn read_rest(
        &mut self,
        io: &mut impl Read,
        now: Instant,
        shared: &mut Shared,
    ) -> Result<bool, Failure> {
        while Probing::receive(self, io, shared)? != Received::Nothing {
            Probing::complete(self, now, shared)?;
        }
        Ok(!self.expects_late())
    }
}

impl From<DatagramFault> for Failure {
    fn from(fault: DatagramFault) -> Self {
        match fault {
            DatagramFault::Bad(bad) => Self::Datagram(bad),
            DatagramFault::Refused(e) if is_of_network(&e) => Self::Connect(e),
            DatagramFault::Refused(e) => Self::System(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::thread;

    use super::super::tests::options;
    use super::*;

    /// Fault 53. Failed when the first address was taken because there was a route to it.
    #[test]
    fn of_several_addresses_the_first_that_answers_is_loaded() {
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let peers = [closed, server.local_addr().unwrap()].map(Endpoint::udp);
        thread::spawn(move || {
            let (len, from) = server.recv_from(&mut [0]).unwrap();
            assert_eq!(len, 0);
            server.send_to(&[], from).unwrap();
        });
        assert_eq!(choose(&peers, None).unwrap(), peers[1]);
        let two = [peers[0].clone(), peers[0].clone()];
        assert_eq!(choose(&two, None).unwrap(), two[0], "none answers");
    }

    /// Failed when the line was that an entity is not found.
    #[test]
    fn a_server_without_an_address_of_the_sources_family_is_named() {
        let (server, sources) =
            ("udp:127.0.0.1:7".parse().unwrap(), vec!["[::1]:0".parse().unwrap()]);
        let refused = find_peer(&Options { server, sources, ..options() }).unwrap_err();
        let line = "cannot connect to udp:127.0.0.1:7: it has no IPv6 address";
        assert_eq!(refused.to_string(), line);
    }

    /// The run itself finds out whether it answers.
    #[test]
    fn nothing_is_sent_to_a_single_address_before_the_run() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = Endpoint::udp(server.local_addr().unwrap());
        assert_eq!(choose(std::slice::from_ref(&peer), None).unwrap(), peer);
        server.set_nonblocking(true).unwrap();
        assert_eq!(server.recv(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
