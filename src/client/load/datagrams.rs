//! A run over UDP. What is lost, late, doubled or reordered is counted, and the run goes on.

use std::collections::TryReserveError;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Options;
use super::link::{Attempt, Connect, Link};
use super::probing::Probing;
use super::shared::Shared;
use crate::client::datagram_socket::{DatagramSocket, is_of_network};
use crate::client::dial::Family;
use crate::client::failure::Failure;
use crate::client::probe::Received;
use crate::client::probe::datagrams::{DatagramFault, DatagramProbe};
use crate::client::probe::window::Arrival;
use crate::net::Endpoint;
use crate::net::proxy::HeaderVersion;

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

/// Looks the server up, which blocks, and takes the first of its addresses that this machine has a route to.
///
/// # Errors
///
/// If the name is unknown, or there is no route to any of its addresses.
pub(super) fn find_peer(options: &Options) -> io::Result<Endpoint> {
    let family = options.sources.first().map(|source| Family::of(&source.ip()));
    let is_usable =
        |peer: &Endpoint| family.is_none() || peer.ip().map(|ip| Family::of(&ip)) == family;
    let mut peers = options.server.resolve()?;
    peers.retain(is_usable);
    let (_, peer) = DatagramSocket::connect_first(&peers)?;
    Ok(peer)
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
