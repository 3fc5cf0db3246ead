//! Tells a service manager, such as systemd, how the server is doing: sd_notify(3).

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use sd_notify::NotifyState;

use super::service::{Action, Context, Service, Stage};
use crate::net::{ServiceManager, delegate_source};
use crate::observe::{At, Event};
use crate::text::Plural;

/// How soon the service sends again what the manager had no room for.
const RETRY: Duration = Duration::from_secs(1);

/// The shortest time between two signs of life. A manager that wants more of them would keep the server busy.
const MIN_PING: Duration = Duration::from_millis(5);

/// Tells a service manager that the server is ready, that it stops, and, if the manager wants to know, that its event
/// loop is alive.
///
/// The signs of life come from the loop itself, so they end if the loop hangs. Add this to a server that listens already:
/// it says at once that the server is ready.
pub struct Notify {
    manager: ServiceManager,
    /// How often the manager wants a sign of life.
    ping_every: Option<Duration>,
    /// When the next one is due.
    ping_at: Option<Instant>,
    /// When to send what is not sent yet.
    retry_at: Option<Instant>,
    /// What the manager knows.
    sent: Option<State>,
    has_failed: bool,
}

/// What a manager may know of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    stage: Stage,
    connections: usize,
}

impl Notify {
    /// Tells the manager that the environment names: in `NOTIFY_SOCKET`, and for signs of life in `WATCHDOG_USEC` and
    /// `WATCHDOG_PID`. `None` if there is no manager.
    ///
    /// # Errors
    ///
    /// If the environment names no address, or if there is no descriptor for a socket.
    pub fn from_env(now: Instant) -> io::Result<Option<Self>> {
        let manager = ServiceManager::from_env()?;
        Ok(manager.map(|manager| Self::new(manager, sd_notify::watchdog_enabled(), now)))
    }

    /// `watchdog` is the time after which the manager takes a server without a sign of life for hung.
    fn new(manager: ServiceManager, watchdog: Option<Duration>, now: Instant) -> Self {
        // A zero means none: sd_watchdog_enabled(3), which also asks for two signs in each interval.
        let watchdog = watchdog.filter(|time| !time.is_zero());
        let ping_every = watchdog.map(|time| (time / 2).max(MIN_PING));
        let ping_at = ping_every.map(|every| now + every);
        Self { manager, ping_every, ping_at, retry_at: Some(now), sent: None, has_failed: false }
    }

    fn source(&mut self) -> &mut dyn Source {
        &mut self.manager
    }

    /// Sends what the manager does not know. The number of connections alone is no reason to: it goes with a sign of life.
    fn tell(&mut self, state: State, is_ping_due: bool) -> io::Result<()> {
        let known = self.sent.map(|sent| sent.stage);
        if known == Some(state.stage) && !is_ping_due {
            return Ok(());
        }
        let is_stopping = state.stage.is_stopping();
        let status = state.status();
        let mut message = Vec::new();
        if known.map(Stage::is_stopping) != Some(is_stopping) {
            message.push(if is_stopping { NotifyState::Stopping } else { NotifyState::Ready });
        }
        if is_ping_due {
            message.push(NotifyState::Watchdog);
        }
        if self.sent != Some(state) {
            message.push(NotifyState::Status(&status));
        }
        let lines = message.iter().map(|line| format!("{line}\n"));
        self.manager.send(&lines.collect::<String>())?;
        self.sent = Some(state);
        Ok(())
    }

    /// Sends the same at `at`.
    fn retry(&mut self, is_ping_due: bool, at: Instant) {
        self.retry_at = Some(at);
        if is_ping_due {
            self.ping_at = self.ping_at.map(|next| next.min(at));
        }
    }

    /// Repeats nothing: it would fail again. Reports the first failure.
    fn give_up(&mut self, error: &io::Error, state: State, cx: &mut Context<'_>) {
        self.sent = Some(state);
        if !self.has_failed {
            self.has_failed = true;
            cx.observer.observe(At::server(cx.now), Event::NotifyFailed(error));
        }
    }
}

impl Service for Notify {
    fn ready(&mut self, cx: &mut Context<'_>) -> Action {
        let state = State::of(cx);
        let is_ping_due = self.ping_at.is_some_and(|at| at <= cx.now);
        if is_ping_due {
            self.ping_at = self.ping_every.map(|every| cx.now + every);
        }
        if self.retry_at.is_some_and(|at| at <= cx.now) {
            self.retry_at = None;
        }
        match self.tell(state, is_ping_due) {
            Ok(()) => {}
            // The manager is busy.
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.retry(is_ping_due, cx.now + RETRY),
            Err(e) => self.give_up(&e, state, cx),
        }
        Action::Wait
    }

    fn deadline(&self) -> Option<Instant> {
        self.ping_at.into_iter().chain(self.retry_at).min()
    }
}

impl State {
    fn of(cx: &Context<'_>) -> Self {
        Self { stage: cx.stage, connections: cx.connections }
    }

    /// For `systemctl status`.
    fn status(self) -> String {
        let connections = Plural(self.connections as u64, "connection");
        match self.stage {
            Stage::Serving => format!("serving {connections}"),
            Stage::Leaving => format!("stopping soon: still accepting, {connections}"),
            Stage::Draining => format!("stopping: {connections} to finish"),
        }
    }
}

delegate_source!(Notify);

#[cfg(test)]
mod tests;
