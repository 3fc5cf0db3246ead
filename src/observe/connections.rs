//! The log of connections and datagrams.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use log::{debug, trace};

use super::closed::Closed;
use super::log::Sent;
use super::{At, ConnId, Event, Observer, Reason, Refused};
use crate::net::Endpoint;
use crate::text::format::{counted, elapsed};

/// Logs connections and dropped datagrams at level `debug`, and each read, write and echoed datagram at level `trace`.
///
/// It remembers what it reports of a connection when that closes: some 50 bytes for each open one.
#[derive(Debug, Default)]
pub struct ConnectionLog {
    open: HashMap<ConnId, Served>,
}

/// What was done for a connection so far.
#[derive(Clone, Copy, Debug)]
struct Served {
    since: Instant,
    bytes_in: u64,
    bytes_out: u64,
}

impl Observer for ConnectionLog {
    #[inline(always)]
    fn observe(&mut self, at: At<'_>, event: Event<'_>) {
        match (at.conn, event) {
            (Some((id, peer)), event) => self.log(at.now, id, peer, event),
            (None, Event::DatagramEchoed { .. } | Event::DatagramDropped { .. }) => {
                log_datagram(event);
            }
            _ => {}
        }
    }
}

impl ConnectionLog {
    // Out of line, so that it does not lengthen the path of an echo.
    #[cold]
    fn log(&mut self, now: Instant, id: ConnId, peer: &Endpoint, event: Event<'_>) {
        let conn = id.number();
        match event {
            Event::Accepted => {
                self.begin(id, now);
                debug!(event = "accepted", conn, peer:%; "{id} {peer}: accepted");
            }
            Event::Proxied { by } => debug!(
                event = "proxied", conn, peer:%, proxy:% = by;
                "{id} {peer}: comes through the proxy {by}"
            ),
            Event::Read(n) => {
                self.count(id, |served| served.bytes_in += n as u64);
                trace!(event = "read", conn, peer:%, bytes = n; "{id} {peer}: read {n} bytes");
            }
            Event::Wrote(n) => {
                self.count(id, |served| served.bytes_out += n as u64);
                trace!(event = "wrote", conn, peer:%, bytes = n; "{id} {peer}: wrote {n} bytes");
            }
            Event::WriteBlocked => {
                trace!(event = "write_blocked", conn, peer:%; "{id} {peer}: takes no more for now");
            }
            Event::HalfClosed => {
                trace!(event = "half_closed", conn, peer:%; "{id} {peer}: writing shut down");
            }
            Event::Refused { refused, start } => log_refusal(id, peer, refused, start),
            Event::Closed { why, is_cut } => {
                let served = self.open.remove(&id);
                log_close(id, peer, why, is_cut, served.map(|served| Total::at(now, served)));
            }
            _ => {}
        }
    }

    fn count(&mut self, id: ConnId, add: impl Fn(&mut Served)) {
        self.open.get_mut(&id).into_iter().for_each(add);
    }

    /// Without memory for this connection, its end is logged without figures.
    fn begin(&mut self, id: ConnId, now: Instant) {
        if self.open.try_reserve(1).is_ok() {
            self.open.insert(id, Served { since: now, bytes_in: 0, bytes_out: 0 });
        }
    }
}

fn log_refusal(id: ConnId, peer: &Endpoint, refused: Refused, start: &[u8]) {
    debug!(
        event = "refused", conn = id.number(), peer:%, reason = refused.why.label(),
        limit = refused.limit.map(|limit| limit.limit), count = refused.limit.map(|limit| limit.count);
        "{id} {peer}: refused: {refused}{}", Sent(start)
    );
}

fn log_close(id: ConnId, peer: &Endpoint, why: &Closed, is_cut: bool, total: Option<Total>) {
    let cut = if is_cut { "; not all that it sent was echoed" } else { "" };
    debug!(
        event = "closed", conn = id.number(), peer:%, reason = why.reason().label(), is_cut,
        bytes_in = total.map(|total| total.bytes_in), bytes_out = total.map(|total| total.bytes_out),
        seconds = total.map(|total| total.time.as_secs_f64());
        "{id} {peer}: closed: {why}{cut}{}", Figures(total)
    );
}

fn log_datagram(event: Event<'_>) {
    match event {
        Event::DatagramEchoed { peer, bytes } => trace!(
            event = "datagram_echoed", peer:%, bytes;
            "{peer}: echoed a datagram of {bytes} bytes"
        ),
        Event::DatagramDropped { peer, why, .. } => debug!(
            event = "datagram_dropped", peer:%, reason = why.label();
            "{peer}: datagram not answered: {why}"
        ),
        _ => {}
    }
}

/// What was done for a connection until it closed.
#[derive(Clone, Copy)]
struct Total {
    bytes_in: u64,
    bytes_out: u64,
    time: Duration,
}

impl Total {
    fn at(now: Instant, Served { since, bytes_in, bytes_out }: Served) -> Self {
        Self { bytes_in, bytes_out, time: now.saturating_duration_since(since) }
    }
}

/// The figures of a connection at the end of a line, if they are known.
struct Figures(Option<Total>);

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Total { bytes_in, bytes_out, time }) = self.0 else { return Ok(()) };
        let bytes = |n| counted(n, "byte", "bytes");
        write!(f, "; {} in, {} out in {}", bytes(bytes_in), bytes(bytes_out), elapsed(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Refusal;

    #[test]
    fn only_open_connections_are_remembered() {
        let (peer, now) = (Endpoint::Unix(None), Instant::now());
        let mut log = ConnectionLog::default();
        let (first, second) = (ConnId::default(), ConnId::default().next());
        let mut observe = |id, event| {
            log.observe(At::conn(now, id, &peer), event);
            log.open.len()
        };
        assert_eq!([observe(first, Event::Accepted), observe(second, Event::Accepted)], [1, 2]);
        // A connection is either refused or accepted.
        let refused = Refusal::NoMemory.into();
        assert_eq!(observe(second.next(), Event::Refused { refused, start: &[] }), 2);
        assert_eq!(observe(second.next(), Event::Read(7)), 2);
        for (id, left) in [(second, 1), (first, 0)] {
            assert_eq!(observe(id, Event::Closed { why: &Closed::Idle, is_cut: false }), left);
        }
    }

    #[test]
    fn the_figures_of_a_connection_are_for_people() {
        let served = Served { since: Instant::now(), bytes_in: 1, bytes_out: 1_234_567 };
        let total = Total::at(served.since + Duration::from_micros(1520), served);
        assert_eq!(Figures(Some(total)).to_string(), "; 1 byte in, 1,234,567 bytes out in 1.52 ms");
        assert_eq!(Figures(None).to_string(), "");
    }
}
