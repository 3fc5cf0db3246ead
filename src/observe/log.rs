//! Observers that write to the log.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use log::{Level, debug, error, info, log_enabled, trace, warn};

use super::rate_limit::RateLimit;
use super::{At, DatagramDrop, Event, Observer, Reason};
use crate::net::{Endpoint, reason};
use crate::text::Plural;
use crate::text::format::setting;

/// Refused peers tend to come again at once, so one refusal is logged in this time.
const REFUSALS: Duration = Duration::from_secs(10);

/// A server at the edge of its descriptors fails and recovers all the time, so one failure is logged in this time.
const ACCEPT_FAILURES: Duration = Duration::from_secs(60);

/// Datagrams can come by the million, so one that is dropped is logged in this time, for each reason.
const DATAGRAM_DROPS: Duration = Duration::from_secs(10);

/// Logs what operators need: the addresses on which the server listens, that it stops, and rate-limited warnings of
/// refusals, of dropped datagrams, and of listeners that cannot accept.
#[derive(Clone, Debug)]
pub struct ServerLog {
    refusals: RateLimit,
    /// One for each listener. None is added while accepting fails, since memory can be what it fails for.
    accept_failures: Vec<(Endpoint, RateLimit)>,
    /// One for each reason, so that frequent ones do not hide the others.
    datagram_drops: [RateLimit; DatagramDrop::ALL.len()],
    kernel_drops: RateLimit,
    /// What the kernel dropped since the last warning.
    kernel_dropped: u64,
}

impl Default for ServerLog {
    fn default() -> Self {
        Self {
            refusals: RateLimit::new(REFUSALS),
            accept_failures: Vec::new(),
            datagram_drops: [RateLimit::new(DATAGRAM_DROPS); DatagramDrop::ALL.len()],
            kernel_drops: RateLimit::new(DATAGRAM_DROPS),
            kernel_dropped: 0,
        }
    }
}

impl Observer for ServerLog {
    #[inline(always)]
    fn observe(&mut self, at: At<'_>, event: Event<'_>) {
        match event {
            Event::Listening { .. }
            | Event::AcceptFailed { .. }
            | Event::ReceiveFailed { .. }
            | Event::DatagramDropped { .. }
            | Event::KernelDropped { .. }
            | Event::ListenerLost(_)
            | Event::NotifyFailed(_)
            | Event::DrainDelayed { .. }
            | Event::Draining { .. }
            | Event::StatusRequested(_)
            | Event::Refused(_)
            | Event::HeaderRefused { .. } => self.log(at, event),
            _ => {}
        }
    }
}

impl ServerLog {
    #[cold]
    fn log(&mut self, at: At<'_>, event: Event<'_>) {
        match event {
            Event::Listening { at, is_proxied } => {
                self.accept_failures.push((at.clone(), RateLimit::new(ACCEPT_FAILURES)));
                info!("listening on {}{at}", if is_proxied { "proxy+" } else { "" });
            }
            Event::AcceptFailed { listener, error, .. } if self.may_warn_of(listener, at.now) => {
                warn!("cannot accept on {listener} for now: {}; trying again", reason(error));
            }
            Event::ReceiveFailed { socket, error } if self.may_warn_of(socket, at.now) => {
                warn!("cannot receive on {socket} for now: {}; trying again", reason(error));
            }
            Event::DatagramDropped { peer, why, error } => {
                self.warn_of_drop(at.now, peer, why, error);
            }
            Event::KernelDropped { socket, datagrams } => {
                self.warn_of_kernel_drops(at.now, socket, datagrams);
            }
            Event::ListenerLost(error) => error!("{error}; stopping"),
            Event::NotifyFailed(error) => {
                warn!("cannot notify the service manager at NOTIFY_SOCKET: {}", reason(error));
            }
            Event::DrainDelayed { delay } => info!(
                "stopping: still accepting for {}; a second signal stops at once",
                setting(delay),
            ),
            Event::Draining { connections: 0, .. } => info!("stopping"),
            Event::Draining { connections, timeout } => info!(
                "stopping: {} to finish, within {}; a second signal stops at once",
                Plural(connections as u64, "connection"),
                setting(timeout),
            ),
            Event::StatusRequested(status) => info!("status: {status}"),
            Event::Refused(why) => self.warn_of_refusal(at, &why),
            Event::HeaderRefused { why, start } => {
                self.warn_of_refusal(at, &format_args!("{why}{}", Sent(start)));
            }
            _ => {}
        }
    }

    fn may_warn_of(&mut self, listener: &Endpoint, now: Instant) -> bool {
        let mut limits = self.accept_failures.iter_mut();
        let limit = limits.find(|(at, _)| at == listener);
        limit.is_some_and(|(_, limit)| limit.take_suppressed(now).is_some())
    }

    fn warn_of_drop(
        &mut self,
        now: Instant,
        peer: &Endpoint,
        why: DatagramDrop,
        error: Option<&io::Error>,
    ) {
        let Some(n) = self.datagram_drops[why.index()].take_suppressed(now) else { return };
        let error = error.map(|e| format!(": {}", reason(e))).unwrap_or_default();
        let more = match n {
            0 => String::new(),
            n => format!("; {n} more were dropped for that since the last warning"),
        };
        warn!("{peer}: datagram not answered: {why}{error}{more}");
    }

    fn warn_of_kernel_drops(&mut self, now: Instant, socket: &Endpoint, datagrams: u32) {
        self.kernel_dropped += u64::from(datagrams);
        if self.kernel_drops.take_suppressed(now).is_some() {
            let datagrams = Plural(std::mem::take(&mut self.kernel_dropped), "datagram");
            warn!(
                "{socket}: the kernel dropped {datagrams}: the receive queue was full, or a checksum wrong"
            );
        }
    }

    fn warn_of_refusal(&mut self, at: At<'_>, why: &dyn fmt::Display) {
        let Some((_, peer)) = at.conn else { return };
        match self.refusals.take_suppressed(at.now) {
            None => {}
            Some(0) => warn!("{peer}: refused: {why}"),
            Some(n) => {
                warn!("{peer}: refused: {why}; {n} more were refused since the last warning")
            }
        }
    }
}

/// What a peer sent, in a line about it.
struct Sent<'a>(&'a [u8]);

impl fmt::Display for Sent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            bytes => write!(f, ": it sent \"{}\"", bytes.escape_ascii()),
        }
    }
}

/// Logs connections and dropped datagrams at level `debug`, and each read, write and echoed datagram at level `trace`.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLog;

impl Observer for ConnectionLog {
    #[inline(always)]
    fn observe(&mut self, at: At<'_>, event: Event<'_>) {
        let is_about_bytes =
            matches!(event, Event::Read(_) | Event::Wrote(_) | Event::DatagramEchoed { .. });
        let datagrams_peer = match event {
            Event::DatagramEchoed { peer, .. } | Event::DatagramDropped { peer, .. } => Some(peer),
            _ => None,
        };
        if let Some(peer) = at.conn.map(|(_, peer)| peer).or(datagrams_peer)
            && (!is_about_bytes || log_enabled!(Level::Trace))
        {
            log_connection(peer, event);
        }
    }
}

// Out of line, so that it does not lengthen the path of an echo.
#[cold]
fn log_connection(peer: &Endpoint, event: Event<'_>) {
    match event {
        Event::Read(n) => trace!("{peer}: read {n} bytes"),
        Event::Wrote(n) => trace!("{peer}: wrote {n} bytes"),
        Event::DatagramEchoed { bytes, .. } => trace!("{peer}: echoed a datagram of {bytes} bytes"),
        Event::DatagramDropped { why, .. } => debug!("{peer}: datagram not answered: {why}"),
        Event::WriteBlocked => trace!("{peer}: takes no more for now"),
        Event::HalfClosed => trace!("{peer}: writing shut down"),
        Event::Accepted => debug!("{peer}: accepted"),
        Event::Proxied { by } => debug!("{peer}: comes through the proxy {by}"),
        Event::Refused(why) => debug!("{peer}: refused: {why}"),
        Event::HeaderRefused { why, start } => debug!("{peer}: refused: {why}{}", Sent(start)),
        Event::Closed { why, is_cut: true } => {
            debug!("{peer}: closed: {why}; not all that it sent was echoed");
        }
        Event::Closed { why, is_cut: false } => debug!("{peer}: closed: {why}"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server at the edge of its descriptors fails and recovers all the time.
    #[test]
    fn each_failing_listener_is_logged_once_a_minute() {
        let start = Instant::now();
        let listeners = [Endpoint::Unix(None), Endpoint::Abstract((*b"echo").into())];
        let mut log = ServerLog::default();
        for listener in &listeners {
            log.observe(At::server(start), Event::Listening { at: listener, is_proxied: false });
        }
        for listener in &listeners {
            let may_warn =
                |second: &u64| log.may_warn_of(listener, start + Duration::from_secs(*second));
            assert_eq!((0..130).filter(may_warn).collect::<Vec<_>>(), [0, 60, 120]);
        }
    }
}
