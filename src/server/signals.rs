//! Stops the server on signals, and reports how it is doing.

use std::io;
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use signal_hook::consts::SIGHUP;
use signal_hook_mio::v1_0::Signals;

use super::service::{Action, Context, Service};
use crate::net::delegate_source;
use crate::observe::{At, Event};
use crate::signals::{TOGETHER, is_status, is_stop};

/// Asks the server to stop at each signal that stops, except for SIGHUP if the server is stopping already. The server
/// stops at once if it is asked a second time. At the other signals, it reports to the observer how the server is doing.
///
/// Signals that come together are one request, since timeout(1) sends SIGTERM twice, and systemd can send SIGHUP with
/// it. So the service reads them a moment after the first.
pub struct StopOnSignals {
    signals: Signals,
    read_at: Option<Instant>,
}

impl StopOnSignals {
    /// Acts on `signals`.
    pub fn new(signals: Signals) -> Self {
        Self { signals, read_at: None }
    }

    fn source(&mut self) -> &mut dyn Source {
        &mut self.signals
    }
}

impl Service for StopOnSignals {
    fn ready(&mut self, cx: &mut Context<'_>) -> Action {
        let read_at = *self.read_at.get_or_insert(cx.now + TOGETHER);
        if cx.now < read_at {
            return Action::Wait;
        }
        self.read_at = None;
        let batch: Vec<_> = self.signals.pending().collect();
        if batch.iter().any(|signal| is_status(*signal)) {
            report_status(cx);
        }
        if asks_to_stop(&batch, cx.stage.is_stopping()) { Action::Stop } else { Action::Wait }
    }

    fn deadline(&self) -> Option<Instant> {
        self.read_at
    }
}

/// Tells the observer what it counted itself, with what the server holds now.
fn report_status(cx: &mut Context<'_>) {
    if let Some(status) = cx.status() {
        cx.observer.observe(At::server(cx.now), Event::StatusRequested(&status));
    }
}

/// Whether signals that came together ask the server to stop, or, if it is stopping already, to stop at once.
fn asks_to_stop(batch: &[i32], is_stopping: bool) -> bool {
    // A closing terminal can send SIGHUP twice; the second must not mean "stop at once".
    batch.iter().any(|signal| is_stop(*signal) && !(is_stopping && *signal == SIGHUP))
}

delegate_source!(StopOnSignals);

#[cfg(test)]
mod tests {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGURG};

    use super::super::service::Stage;
    use super::*;

    #[test]
    fn signals_that_come_together_are_one_request() {
        assert!(asks_to_stop(&[SIGTERM, SIGTERM, SIGHUP], false));
        assert!(!asks_to_stop(&[], false));
        assert!(!asks_to_stop(&[SIGURG], false));
    }

    #[test]
    fn a_second_sighup_does_not_mean_stop_at_once() {
        assert!(asks_to_stop(&[SIGHUP], false));
        assert!(!asks_to_stop(&[SIGHUP, SIGHUP], true));
        assert!(asks_to_stop(&[SIGHUP, SIGINT], true));
    }

    /// The first event starts a short wait for the others; spurious events do not prolong it.
    #[test]
    fn signals_are_read_a_moment_after_the_first() {
        let mut service = StopOnSignals::new(Signals::new([] as [i32; 0]).unwrap());
        let now = Instant::now();
        let ready = |service: &mut StopOnSignals, now| {
            let observer = &mut ();
            let cx = &mut Context {
                now,
                stage: Stage::Serving,
                connections: 0,
                pending_bytes: 0,
                observer,
            };
            service.ready(cx)
        };
        assert_eq!(service.deadline(), None);
        assert_eq!(ready(&mut service, now), Action::Wait);
        assert_eq!(service.deadline(), Some(now + TOGETHER));
        assert_eq!(ready(&mut service, now + TOGETHER / 2), Action::Wait);
        assert_eq!(service.deadline(), Some(now + TOGETHER));
        assert_eq!(ready(&mut service, now + TOGETHER), Action::Wait, "there was no signal");
        assert_eq!(service.deadline(), None);
    }
}
