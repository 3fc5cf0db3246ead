//! What a server allows.

use std::time::Duration;

use crate::net::{Access, Networks};

/// What a server allows. The unit of each limit is in its name or its type.
#[derive(Clone, Debug)]
pub struct Config {
    /// Connections beyond these are closed as soon as they are accepted.
    pub max_connections: usize,
    /// The same for connections from one IPv4 address, or from one /64 network of IPv6: a host that has one address
    /// there can take any. Connections over Unix sockets are not counted.
    pub max_per_ip: Option<usize>,
    /// A connection on which nothing moves for this long is asked to end. This and the other timeouts are added to
    /// the time, which must hold them: a century is no problem.
    pub idle_timeout: Option<Duration>,
    /// A peer that takes nothing of its pending echo for this long is closed.
    pub stall_timeout: Option<Duration>,
    /// A server that is asked to stop goes on accepting for this long, so that a load balancer can notice first.
    pub drain_delay: Duration,
    /// A server that stops then waits this long for its connections.
    pub drain_timeout: Duration,
    /// The size of the one buffer that every read goes through, and so the bound of one read. At least 1.
    pub buffer_bytes: usize,
    /// The most memory that pending echoes may hold, over all connections. At least twice
    /// [`max_connections`](Self::max_connections), so that each connection can have a byte of its own.
    pub pending_limit_bytes: usize,
    /// After something was ready, the server polls for this long before it sleeps, if events come close together: then
    /// that takes less time than to sleep and be woken.
    pub spin: Option<Duration>,
    /// Whether to shut down each connection after its first echo.
    pub once: bool,
    /// Which clients may connect over IP. What a proxy says of its client counts.
    pub access: Access,
    /// The most connections accepted a second, more than 0. Others are closed, and so are those of the next field.
    pub accept_rate: Option<f64>,
    /// The same for one IPv4 address, or one /64 network of IPv6.
    pub accept_rate_per_ip: Option<f64>,
    /// The proxies that may connect to a proxied listener. Over Unix sockets, all may.
    pub proxies: Networks,
}

/// The defaults of `resound serve`, except that it derives the limit of connections from the limit of descriptors.
impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_per_ip: None,
            idle_timeout: None,
            stall_timeout: Some(Duration::from_secs(60)),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(8),
            buffer_bytes: 256 << 10,
            pending_limit_bytes: 64 << 20,
            spin: None,
            once: false,
            access: Access::default(),
            accept_rate: None,
            accept_rate_per_ip: None,
            proxies: Networks::default(),
        }
    }
}
