//! Counts connections and pending memory against the configured limits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU64;

use super::config::Config;
use crate::net::Endpoint;
use crate::observe::{Refusal, Refused};

/// How strongly held memory shrinks the reads of all. If pending echoes hold half of the shared memory, a read may ask
/// for one part in 129 of the rest. With the defaults, a connection that reads beside 300 stuck ones still gets
/// some 20 KiB at a time.
const PRESSURE: u128 = 128;

/// Keeps pending memory within the limit without closing a connection for it.
///
/// All that is read can become pending, so reads are kept small enough. Half of the limit is reserved: each connection
/// has an equal part of it that it can always use. The other half is shared: larger reads are taken from it while it
/// lasts, the smaller the less is left. A connection with pending bytes reads no more, so it holds the result of one
/// read, and the sum stays within both halves.
#[derive(Debug)]
pub(super) struct PendingLimit {
    buffer_bytes: usize,
    reserved: usize,
    shared: usize,
    /// Bytes that connections hold.
    pub(super) held: usize,
    /// Derived from the others. Kept, since every drive asks for it, and it seldom changes.
    read_budget: usize,
}

impl PendingLimit {
    pub(super) fn new(config: &Config) -> Self {
        let half = config.pending_limit_bytes / 2;
        let mut new = Self {
            buffer_bytes: config.buffer_bytes,
            reserved: (half / config.max_connections.max(1)).max(1),
            shared: half,
            held: 0,
            read_budget: 0,
        };
        new.account(0, 0);
        new
    }

    /// The most bytes that the next read may ask for.
    pub(super) fn read_budget(&self) -> usize {
        self.read_budget
    }

    /// A connection that held `before` bytes now holds `after`.
    pub(super) fn account(&mut self, before: usize, after: usize) {
        self.held = self.held - before + after;
        let left = self.shared.saturating_sub(self.held);
        // left / (1 + 2 * PRESSURE * held / shared), in whole numbers.
        let (shared, held) = (self.shared as u128, self.held as u128);
        let share = left as u128 * shared / (shared + 2 * PRESSURE * held).max(1);
        self.read_budget = self.buffer_bytes.min(self.reserved.max(share as usize));
    }
}

/// Counts connections, and decides whether there may be one more.
#[derive(Debug)]
pub(super) struct Admission {
    max_connections: usize,
    max_per_ip: Option<usize>,
    connections: usize,
    /// Empty unless there is a limit.
    per_network: HashMap<Network, usize>,
}

/// Allows one connection, until it is [released](Admission::release). It knows the network that the connection is
/// counted under, even if another address is shown for its peer.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(super) struct Permit(Option<Network>);

/// The network of a peer: an IPv4 address, or the first 64 bits of an IPv6 address.
///
/// IPv4 addresses stand behind a prefix of 0000::/8, which is reserved (RFC 4291), so no IPv6 network has the same. It is
/// never zero, which makes a [`Permit`] as small as this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network(NonZeroU64);

impl Network {
    const IPV4: u64 = 1 << 32;

    fn of(peer: &Endpoint) -> Option<Self> {
        peer.ip().map(Self::of_ip)
    }

    pub(super) fn of_ip(ip: IpAddr) -> Self {
        let number = match ip.to_canonical() {
            IpAddr::V4(ip) => Self::IPV4 | u64::from(ip.to_bits()),
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
        };
        // The network of ::1 is the only zero. Its neighbour, 0:0:0:1::, is reserved.
        Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN))
    }
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

    /// Counts a connection in, if there may be one more.
    pub(super) fn admit(&mut self, peer: &Endpoint) -> Result<Permit, Refused> {
        let permit = self.admit_unnamed()?;
        let named = self.name(peer);
        if named.is_err() {
            self.release(permit);
        }
        named
    }

    /// Counts a connection in whose client is not known yet.
    pub(super) fn admit_unnamed(&mut self) -> Result<Permit, Refused> {
        if self.connections >= self.max_connections {
            let why = Refusal::MaxConnections;
            return Err(Refused::at_limit(why, self.connections, self.max_connections));
        }
        self.connections += 1;
        Ok(Permit(None))
    }

    /// Counts a connection that was admitted unnamed under the network of its client. The permit is instead of the first
    /// one, which stays valid if this fails.
    pub(super) fn name(&mut self, peer: &Endpoint) -> Result<Permit, Refused> {
        let network = Network::of(peer);
        if let (Some(most), Some(network)) = (self.max_per_ip, network) {
            self.per_network.try_reserve(1).map_err(|_| Refusal::NoMemory)?;
            let count = self.per_network.entry(network).or_default();
            if *count >= most {
                return Err(Refused::at_limit(Refusal::MaxPerIp, *count, most));
            }
            *count += 1;
        }
        Ok(Permit(network))
    }

    /// Counts a connection out.
    pub(super) fn release(&mut self, Permit(network): Permit) {
        self.connections -= 1;
        if let Some(network) = network
            && let Some(count) = self.per_network.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                self.per_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests;
