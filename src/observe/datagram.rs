//! Why datagrams are not answered.

use std::fmt;

use super::reason::{Reason, reasons};

reasons! {
    /// Why a datagram was received and not answered.
    DatagramDrop {
        /// It may have been longer than the buffer. An echo must have all bytes.
        Truncated = "truncated",
        /// Its source port is below 1024. Servers have such ports, and some of them answer an answer.
        LowPort = "low_port",
        /// Its source port is one that this server answers on, on any host: another server like this one would answer the
        /// answer, without an end (CVE-2024-2169).
        OwnPort = "own_port",
        /// Its source is no single host: a broadcast, multicast or unspecified address.
        NoSingleSource = "no_single_source",
        /// It was sent to a broadcast or multicast address. If each host answered, the source would get many answers.
        SentToMany = "sent_to_many",
        /// Its source's address is denied, or not among those that are allowed.
        Denied = "denied",
        /// Its source sends more than the rate allows.
        RateLimit = "rate_limit",
        /// The system has no room for the answer. To wait would hold memory, and UDP promises no delivery.
        NoRoom = "no_room",
        /// The system could not send the answer.
        SendFailed = "send_failed",
    }
}

impl fmt::Display for DatagramDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "it is longer than a datagram can be",
            Self::LowPort => "its source port is below 1024",
            Self::OwnPort => "its source port is one that this server answers on",
            Self::NoSingleSource => "its source is no single host",
            Self::SentToMany => "it was sent to many hosts",
            Self::Denied => "its source is not allowed",
            Self::RateLimit => "its source sends more than the rate allows",
            Self::NoRoom => "the system has no room for the answer",
            Self::SendFailed => "the system could not send the answer",
        })
    }
}
