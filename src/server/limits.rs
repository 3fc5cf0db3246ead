//! What the server allows, and the accounts that it keeps to hold to it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::net::Endpoint;
use crate::observe::Refusal;

/// What a server allows. Every limit has its unit in its name or its type.
#[derive(Clone, Debug)]
pub struct Config {
    /// Connections beyond these are closed as soon as they are accepted.
    pub max_connections: usize,
    /// The same for connections from one IPv4 address, or from one /64 network of IPv6: a host
    /// that has one address there can take any. Unix sockets have none.
    pub max_per_ip: Option<usize>,
    /// How long a connection on which nothing moves is kept. This and the other timeouts are added to the
    /// time, which must hold them: a century is no problem.
    pub idle_timeout: Option<Duration>,
    /// How long a peer that takes nothing of its pending echo is kept.
    pub stall_timeout: Option<Duration>,
    /// How long a server that was told to stop waits for its peers.
    pub drain_timeout: Duration,
    /// The size of the one buffer that every read goes through, and so the most that one read and one
    /// connection's turn can take. At least 1.
    pub buffer_bytes: usize,
    /// The most memory that pending echoes may hold, over all connections. At least twice
    /// [`max_connections`](Self::max_connections), so that each connection can have a byte of its own.
    pub pending_limit_bytes: usize,
    /// How long to poll without blocking after something was ready: lower latency for CPU time.
    pub spin: Option<Duration>,
    /// Whether to close each connection after its first echo.
    pub once: bool,
}

/// How much smaller a read gets while pending echoes hold half of what can be shared, compared with what
/// is left. The more of it, the more gently the stuck are dealt out what is left to all: with the
/// defaults, somebody who reads beside 300 who don't still gets some 20 KiB at a time.
const PRESSURE: u128 = 128;

/// Keeps all that is pending within the limit, without ever closing anybody for it.
///
/// What is read can become pending, so reads are kept small enough: half of the limit is dealt out to
/// connections in equal parts that each can always use, and from the other half they take larger reads
/// while it lasts, the smaller the less there is left. A connection with pending bytes reads no more, so
/// it holds the result of one read at the most, and the sum of all stays within both halves.
#[derive(Debug)]
pub(super) struct PendingLimit {
    buffer_bytes: usize,
    own_bytes: usize,
    shared_bytes: usize,
    held_bytes: usize,
    /// Follows from the others, and is asked for far more often than they change.
    room: usize,
}

impl PendingLimit {
    pub(super) fn new(config: &Config) -> Self {
        let half = config.pending_limit_bytes / 2;
        let mut new = Self {
            buffer_bytes: config.buffer_bytes,
            own_bytes: (half / config.max_connections.max(1)).max(1),
            shared_bytes: half,
            held_bytes: 0,
            room: 0,
        };
        new.hold(0, 0);
        new
    }

    /// How many bytes the next read may ask for.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// A connection that held `before` bytes now holds `after`.
    pub(super) fn hold(&mut self, before: usize, after: usize) {
        self.held_bytes = self.held_bytes - before + after;
        let left = self.shared_bytes.saturating_sub(self.held_bytes);
        // left / (1 + 2 * PRESSURE * held / shared), in whole numbers.
        let (shared, held) = (self.shared_bytes as u128, self.held_bytes as u128);
        let share = left as u128 * shared / (shared + 2 * PRESSURE * held).max(1);
        self.room = self.buffer_bytes.min(self.own_bytes.max(share as usize));
    }
}

/// Counts connections, and decides whether there may be one more.
#[derive(Debug)]
pub(super) struct Admission {
    max_connections: usize,
    max_per_ip: Option<usize>,
    connections: usize,
    /// Kept only where there is a limit.
    per_network: HashMap<IpAddr, usize>,
}

impl Admission {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            max_connections: config.max_connections,
            max_per_ip: config.max_per_ip,
            connections: 0,
            per_network: HashMap::new(),
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections
    }

    /// Counts a connection in, if there may be one more. It is to be [released](Self::release) once.
    pub(super) fn admit(&mut self, peer: &Endpoint) -> Result<(), Refusal> {
        if self.connections >= self.max_connections {
            return Err(Refusal::MaxConnections);
        }
        if let (Some(most), Some(network)) = (self.max_per_ip, network(peer)) {
            self.per_network.try_reserve(1).map_err(|_| Refusal::NoMemory)?;
            let count = self.per_network.entry(network).or_default();
            if *count >= most {
                return Err(Refusal::MaxPerIp);
            }
            *count += 1;
        }
        self.connections += 1;
        Ok(())
    }

    pub(super) fn release(&mut self, peer: &Endpoint) {
        self.connections -= 1;
        if let Some(network) = network(peer)
            && let Some(count) = self.per_network.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                self.per_network.remove(&network);
            }
        }
    }
}

/// What a peer's connections are counted under: an IPv4 address, or the first address of a /64 network.
fn network(peer: &Endpoint) -> Option<IpAddr> {
    const PREFIX: Ipv6Addr = Ipv6Addr::new(0xffff, 0xffff, 0xffff, 0xffff, 0, 0, 0, 0);
    Some(match peer.ip()? {
        IpAddr::V6(ip) => (ip & PREFIX).into(),
        ip => ip,
    })
}

#[cfg(test)]
mod tests;
