//! The log of what operators need to know.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use log::{error, info, warn};

use super::rate_limit::RateLimit;
use super::{At, DatagramDrop, Event, Observer, Reason, Refused, Status};
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
            | Event::MetricsListening(_)
            | Event::AcceptFailed { .. }
            | Event::ReceiveFailed { .. }
            | Event::DatagramDropped { .. }
            | Event::KernelDropped { .. }
            | Event::ListenerLost(_)
            | Event::NotifyFailed(_)
            | Event::DrainDelayed { .. }
            | Event::Draining { .. }
            | Event::StatusRequested(_)
            | Event::Refused { .. } => self.log(at, event),
            _ => {}
        }
    }
}

impl ServerLog {
    #[cold]
    fn log(&mut self, at: At<'_>, event: Event<'_>) {
        match event {
            Event::Listening { at, is_proxied } => {
                self.expect_failures_of(at);
                let listener = format_args!("{}{at}", if is_proxied { "proxy+" } else { "" });
                info!(event = "listening", listener:%; "listening on {listener}");
            }
            Event::MetricsListening(at) => {
                self.expect_failures_of(at);
                log_metrics(at);
            }
            Event::AcceptFailed { listener, error, .. } => {
                self.warn_of_failure(at.now, listener, error, "accept");
            }
            Event::ReceiveFailed { socket, error } => {
                self.warn_of_failure(at.now, socket, error, "receive");
            }
            Event::DatagramDropped { peer, why, error } => {
                self.warn_of_drop(at.now, peer, why, error);
            }
            Event::KernelDropped { socket, datagrams } => {
                self.warn_of_kernel_drops(at.now, socket, datagrams);
            }
            Event::Refused { refused, start } => self.warn_of_refusal(at, refused, start),
            Event::StatusRequested(status) => log_status(status),
            event => log_stop(event),
        }
    }

    /// From now on, each failure of a listener may be logged.
    fn expect_failures_of(&mut self, listener: &Endpoint) {
        self.accept_failures.push((listener.clone(), RateLimit::new(ACCEPT_FAILURES)));
    }

    /// `what` is what the server cannot do on a listener.
    fn warn_of_failure(&mut self, now: Instant, at: &Endpoint, error: &io::Error, what: &str) {
        if self.may_warn_of(at, now) {
            let error = reason(error);
            warn!(
                event:% = format_args!("{what}_failed"), listener:% = at, error:%;
                "cannot {what} on {at} for now: {error}; trying again"
            );
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
        let limit = &mut self.datagram_drops[why.index()];
        let Some(suppressed) = limit.take_suppressed(now) else { return };
        let error = error.map(reason);
        let said = error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let more = match suppressed {
            0 => String::new(),
            n => format!("; {n} more were dropped for that since the last warning"),
        };
        warn!(
            event = "datagram_dropped", peer:%, reason = why.label(), error = error.as_deref(), suppressed;
            "{peer}: datagram not answered: {why}{said}{more}"
        );
    }

    fn warn_of_kernel_drops(&mut self, now: Instant, socket: &Endpoint, datagrams: u32) {
        self.kernel_dropped += u64::from(datagrams);
        if self.kernel_drops.take_suppressed(now).is_some() {
            let count = std::mem::take(&mut self.kernel_dropped);
            let datagrams = Plural(count, "datagram");
            warn!(
                event = "kernel_dropped", listener:% = socket, count;
                "{socket}: the kernel dropped {datagrams}: the receive queue was full, or a checksum wrong"
            );
        }
    }

    fn warn_of_refusal(&mut self, at: At<'_>, refused: Refused, start: &[u8]) {
        let Some((id, peer)) = at.conn else { return };
        let Some(suppressed) = self.refusals.take_suppressed(at.now) else { return };
        let more = match suppressed {
            0 => String::new(),
            n => format!("; {n} more were refused since the last warning"),
        };
        let Refused { why, limit } = refused;
        warn!(
            event = "refused", conn = id.number(), peer:%, reason = why.label(),
            limit = limit.map(|limit| limit.limit), count = limit.map(|limit| limit.count), suppressed;
            "{id} {peer}: refused: {refused}{}{more}", Sent(start)
        );
    }
}

/// Logs where the metrics are.
fn log_metrics(at: &Endpoint) {
    match at {
        Endpoint::Inet(addr) => {
            info!(event = "metrics", listener:% = at; "metrics on http://{addr}/metrics");
        }
        at => info!(event = "metrics", listener:% = at; "metrics on {at}, path /metrics"),
    }
}

/// Logs how the server is doing.
fn log_status(status: &Status) {
    let Status { counters, connections, pending_bytes, is_stopping } = *status;
    info!(
        event = "status", connections, pending_bytes, is_stopping, accepted = counters.accepted,
        refused = counters.refused.total(), closed = counters.closed.total(), cut = counters.cut,
        bytes_in = counters.bytes_in, bytes_out = counters.bytes_out, datagrams = counters.datagrams,
        datagrams_dropped = counters.datagrams_dropped.total(), kernel_dropped = counters.kernel_drops;
        "status: {status}"
    );
}

/// Logs a step of a server that stops, and what its service manager does not hear of.
fn log_stop(event: Event<'_>) {
    match event {
        Event::ListenerLost(error) => {
            error!(event = "listener_lost", error:%; "{error}; stopping");
        }
        Event::NotifyFailed(error) => {
            let error = reason(error);
            warn!(
                event = "notify_failed", error:%;
                "cannot notify the service manager at NOTIFY_SOCKET: {error}"
            );
        }
        Event::DrainDelayed { delay } => info!(
            event = "drain_delayed", seconds = delay.as_secs_f64();
            "stopping: still accepting for {}; a second signal stops at once", setting(delay)
        ),
        Event::Draining { connections: 0, .. } => {
            info!(event = "draining", connections = 0; "stopping");
        }
        Event::Draining { connections, timeout } => info!(
            event = "draining", connections, seconds = timeout.as_secs_f64();
            "stopping: {} to finish, within {}; a second signal stops at once",
            Plural(connections as u64, "connection"), setting(timeout)
        ),
        _ => {}
    }
}

/// What a peer sent, in a line about it.
pub(super) struct Sent<'a>(pub(super) &'a [u8]);

impl fmt::Display for Sent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            bytes => write!(f, ": it sent \"{}\"", bytes.escape_ascii()),
        }
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
