//! Refusals, and the limits behind them.

use std::fmt;

use super::reason::{Reason, reasons};

reasons! {
    /// Why a connection was refused.
    Refusal {
        /// The server has as many connections as its limit allows.
        MaxConnections = "max_connections",
        /// The server has as many connections from that address as its limit allows.
        MaxPerIp = "max_per_ip",
        /// The system could not register it: epoll_ctl(2).
        RegisterFailed = "register_failed",
        /// There was no memory for it.
        NoMemory = "no_memory",
        /// Its client's address is not allowed, or denied.
        Denied = "denied",
        /// More connections came than the rate allows.
        AcceptRate = "accept_rate",
        /// More connections came from its client's address than the rate allows.
        AcceptRatePerIp = "accept_rate_per_ip",
        /// It came to a proxied listener, and its address is none of a known proxy.
        UnknownProxy = "unknown_proxy",
        /// It did not begin with the header of a proxy.
        HeaderMissing = "header_missing",
        /// Its header breaks the standard.
        HeaderMalformed = "header_malformed",
        /// Its header is longer than the server accepts.
        HeaderOversized = "header_oversized",
        /// It ended within its header.
        HeaderIncomplete = "header_incomplete",
        /// Its header began, and was not complete in time.
        HeaderTimedOut = "header_timed_out",
    }
}

/// Why a connection was refused, and the limit that was reached if that is the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reason.
    pub why: Refusal,
    /// The limit that was reached.
    pub limit: Option<Limit>,
}

/// A limit of connections that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The connections that count for this limit.
    pub count: usize,
    /// The most that there may be.
    pub limit: usize,
}

impl Refused {
    /// A refusal because there are already `count` connections, and may be no more than `limit`.
    pub(crate) fn at_limit(why: Refusal, count: usize, limit: usize) -> Self {
        Self { why, limit: Some(Limit { count, limit }) }
    }
}

impl From<Refusal> for Refused {
    fn from(why: Refusal) -> Self {
        Self { why, limit: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MaxConnections => "max connections reached",
            Self::MaxPerIp => "max connections per IP address reached",
            Self::RegisterFailed => "the system could not register it",
            Self::NoMemory => "there is no memory for it",
            Self::Denied => "its address may not connect",
            Self::AcceptRate => "accept rate reached",
            Self::AcceptRatePerIp => "accept rate per IP address reached",
            Self::UnknownProxy => "not the address of a known proxy",
            Self::HeaderMissing => "no PROXY header",
            Self::HeaderMalformed => "malformed PROXY header",
            Self::HeaderOversized => "PROXY header too long",
            Self::HeaderIncomplete => "ended within its PROXY header",
            Self::HeaderTimedOut => "PROXY header not complete in time",
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Some(Limit { count, limit }) => write!(f, "{} ({count} of {limit})", self.why),
            None => self.why.fmt(f),
        }
    }
}
