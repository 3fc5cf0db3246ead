//! How a server is doing.

use std::fmt;

use super::Counters;
use super::counters::DatagramSums;
use super::reason::Reasons;
use crate::text::format::{count, counted, elapsed};

/// How a server is doing: what it did since the start, and what it holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Sums since the start.
    pub counters: Counters,
    /// Connections that are open.
    pub connections: usize,
    /// Bytes that were read and that their peers have not taken yet.
    pub pending_bytes: usize,
    /// Whether the server is stopping.
    pub is_stopping: bool,
}

/// All of it in one line.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counters, connections, pending_bytes, is_stopping } = self;
        let bytes = |n| counted(n, "byte", "bytes");
        if *is_stopping {
            f.write_str("stopping, ")?;
        }
        write!(
            f,
            "{} open, {} pending; {} accepted, {} refused{}, {} closed{}, {} cut off; ",
            counted(*connections as u64, "connection", "connections"),
            bytes(*pending_bytes as u64),
            count(counters.accepted),
            count(counters.refused.total()),
            Reasons(&counters.refused),
            count(counters.closed.total()),
            Reasons(&counters.closed),
            count(counters.cut),
        )?;
        write!(
            f,
            "{} in, {} out, {}, {}; {}, {}",
            bytes(counters.bytes_in),
            bytes(counters.bytes_out),
            counted(counters.blocked_writes, "blocked write", "blocked writes"),
            counted(counters.accept_back_offs, "accept back-off", "accept back-offs"),
            counted(counters.turns, "turn", "turns"),
            counted(counters.events, "event", "events"),
        )?;
        if let Some(time) = counters.turn_times.mean() {
            write!(f, ", {} a timed turn", elapsed(time))?;
        }
        DatagramSums(counters).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::observe::{At, Closed, Event, Observer, Refusal};

    #[test]
    fn all_figures_are_on_one_line() {
        let mut status = Status {
            counters: Counters::default(),
            connections: 0,
            pending_bytes: 0,
            is_stopping: false,
        };
        assert_eq!(
            status.to_string(),
            "0 connections open, 0 bytes pending; 0 accepted, 0 refused, 0 closed, 0 cut off; \
             0 bytes in, 0 bytes out, 0 blocked writes, 0 accept back-offs; 0 turns, 0 events"
        );
        let mut observe = |event| status.counters.observe(At::server(Instant::now()), event);
        observe(Event::Accepted);
        observe(Event::Refused { refused: Refusal::MaxPerIp.into(), start: &[] });
        observe(Event::Closed { why: &Closed::Idle, is_cut: true });
        observe(Event::Closed { why: &Closed::Finished, is_cut: false });
        observe(Event::Read(1_234));
        observe(Event::Wrote(1));
        observe(Event::WriteBlocked);
        observe(Event::Woke { ready: 2 });
        observe(Event::TurnTimed(Duration::from_micros(12)));
        (status.connections, status.pending_bytes, status.is_stopping) = (1, 1_233, true);
        assert_eq!(
            status.to_string(),
            "stopping, 1 connection open, 1,233 bytes pending; 1 accepted, 1 refused (1 max_per_ip), \
             2 closed (1 finished, 1 idle), 1 cut off; 1,234 bytes in, 1 byte out, 1 blocked write, \
             0 accept back-offs; 1 turn, 2 events, 12.0 µs a timed turn"
        );
    }
}
