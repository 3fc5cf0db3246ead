//! Sums over all connections.

use std::fmt;

use super::reason::Reasons;
use super::{
    At, ByReason, CloseReason, DatagramDrop, Event, Observer, Refusal, Refused, TurnTimes,
};
use crate::net::Endpoint;
use crate::text::format::{count, counted};

/// Sums since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted and served.
    pub accepted: u64,
    /// Connections accepted and closed at once.
    pub refused: ByReason<Refusal>,
    /// Connections closed after they were served.
    pub closed: ByReason<CloseReason>,
    /// Connections that the server ended although fewer bytes were written than were read.
    pub cut: u64,
    /// Bytes read from peers.
    pub bytes_in: u64,
    /// Bytes written to peers.
    pub bytes_out: u64,
    /// Writes that took less than there was to write.
    pub blocked_writes: u64,
    /// Times that the server backed a listener or a UDP socket off.
    pub accept_back_offs: u64,
    /// UDP sockets that the server answers on.
    pub udp_sockets: u64,
    /// Datagrams answered.
    pub datagrams: u64,
    /// Their bytes.
    pub datagram_bytes: u64,
    /// Datagrams received and not answered.
    pub datagrams_dropped: ByReason<DatagramDrop>,
    /// Datagrams that the kernel dropped, since the server was slower or their checksum was wrong.
    pub kernel_drops: u64,
    /// Turns of the event loop in which something was ready.
    pub turns: u64,
    /// Sources that were ready in these turns.
    pub events: u64,
    /// How long the turns took that the server timed.
    pub turn_times: TurnTimes,
}

impl Counters {
    /// Connections that the peer, or something on the way to it, broke off.
    pub fn reset(&self) -> u64 {
        self.closed.get(CloseReason::Reset)
    }

    /// Connections closed because something took too long: by a timeout of the server, or by the kernel, which gives
    /// silent peers up.
    pub fn timed_out(&self) -> u64 {
        let timeouts = [CloseReason::Idle, CloseReason::Stalled, CloseReason::TimedOut];
        timeouts.into_iter().map(|reason| self.closed.get(reason)).sum()
    }
}

impl Observer for Counters {
    #[inline(always)]
    fn observe(&mut self, _: At<'_>, event: Event<'_>) {
        match event {
            Event::Read(n) => self.bytes_in += n as u64,
            Event::Wrote(n) => self.bytes_out += n as u64,
            Event::WriteBlocked => self.blocked_writes += 1,
            Event::Woke { ready } => {
                self.turns += u64::from(ready > 0);
                self.events += ready as u64;
            }
            Event::TurnTimed(time) => self.turn_times.record(time),
            Event::Accepted => self.accepted += 1,
            Event::Refused { refused: Refused { why, .. }, .. } => {
                self.refused.add(why);
            }
            Event::AcceptFailed { .. } | Event::ReceiveFailed { .. } => self.accept_back_offs += 1,
            Event::Listening { at: Endpoint::Udp(_), .. } => self.udp_sockets += 1,
            Event::DatagramEchoed { bytes, .. } => {
                self.datagrams += 1;
                self.datagram_bytes += bytes as u64;
            }
            Event::DatagramDropped { why, .. } => self.datagrams_dropped.add(why),
            Event::KernelDropped { datagrams, .. } => self.kernel_drops += u64::from(datagrams),
            Event::Closed { why, is_cut } => {
                self.cut += u64::from(is_cut);
                self.closed.add(why.reason());
            }
            _ => {}
        }
    }

    fn counters(&self) -> Option<&Self> {
        Some(self)
    }
}

/// The sums of all connections and datagrams, in one line.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |n| counted(n, "byte", "bytes");
        write!(
            f,
            "{}, {} in, {} out, {} refused, {} reset, {} timed out, {} cut off",
            counted(self.accepted, "connection", "connections"),
            bytes(self.bytes_in),
            bytes(self.bytes_out),
            count(self.refused.total()),
            count(self.reset()),
            count(self.timed_out()),
            count(self.cut),
        )?;
        DatagramSums(self).fmt(f)
    }
}

/// The sums of all datagrams, if the server has UDP sockets.
pub(super) struct DatagramSums<'a>(pub(super) &'a Counters);

impl fmt::Display for DatagramSums<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counters {
            udp_sockets,
            datagrams,
            datagram_bytes,
            datagrams_dropped,
            kernel_drops,
            ..
        } = self.0;
        if *udp_sockets == 0 {
            return Ok(());
        }
        write!(
            f,
            "; {} of {} echoed, {} dropped{}, {} dropped by the kernel",
            counted(*datagrams, "datagram", "datagrams"),
            counted(*datagram_bytes, "byte", "bytes"),
            count(datagrams_dropped.total()),
            Reasons(datagrams_dropped),
            count(*kernel_drops),
        )
    }
}
