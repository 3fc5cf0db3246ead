//! Sums over all connections.

use std::fmt;

use super::{At, Event, Observer};
use crate::text::Plural;

/// Sums over all connections since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted and served.
    pub accepted: u64,
    /// Connections accepted and closed at once.
    pub refused: u64,
    /// Bytes read from peers.
    pub bytes_in: u64,
    /// Bytes written to peers.
    pub bytes_out: u64,
    /// Connections that the peer, or something on the way to it, broke off.
    pub reset: u64,
    /// Connections closed because something took too long.
    pub timed_out: u64,
    /// Connections that the server ended although fewer bytes were written than were read.
    pub cut: u64,
}

impl Observer for Counters {
    #[inline(always)]
    fn observe(&mut self, _: At<'_>, event: Event<'_>) {
        match event {
            Event::Read(n) => self.bytes_in += n as u64,
            Event::Wrote(n) => self.bytes_out += n as u64,
            Event::Accepted => self.accepted += 1,
            Event::Refused(_) => self.refused += 1,
            Event::Closed { why, is_cut } => {
                self.cut += u64::from(is_cut);
                self.reset += u64::from(why.is_reset());
                self.timed_out += u64::from(why.is_timeout());
            }
            _ => {}
        }
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, refused, bytes_in, bytes_out, reset, timed_out, cut } = self;
        write!(
            f,
            "{}, {} in, {} out, {refused} refused, {reset} reset, {timed_out} timed out, {cut} cut off",
            Plural(*accepted, "connection"),
            Plural(*bytes_in, "byte"),
            Plural(*bytes_out, "byte"),
        )
    }
}
