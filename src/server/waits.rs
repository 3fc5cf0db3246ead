//! The wait: how long it may block, and what an observer that wants to know sees of it.

use std::io;
use std::time::Duration;

use rustix::thread::sched_yield;

use super::spin::Spin;
use super::{Server, Slot};
use crate::net::Listen;
use crate::observe::{At, Event, Observer, WaitsUntil};
use crate::reactor::Ready;

impl<L: Listen, O: Observer> Server<L, O> {
    /// How long the next [`wait`](Self::wait) may block: until the first deadline, or without a limit if there is none.
    pub fn poll_timeout(&mut self) -> Option<Duration> {
        let now = self.clock.now();
        let is_spinning = self.spin.as_mut().is_some_and(|spin| spin.begin_wait(now));
        let must_poll = is_spinning || self.reactor.has_more();
        let deadline = if must_poll { Some(now) } else { self.next_deadline(now) };
        self.clock.begin_wait(deadline, self.woke)
    }

    /// Waits until something is ready or `timeout` has passed, and fills `ready`. A spinning server that finds nothing
    /// gives the processor to another program that wants it.
    ///
    /// # Errors
    ///
    /// If polling fails: epoll_wait(2).
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let is_watched = self.shared.observer.wants_waits();
        if is_watched {
            self.report_wait(timeout);
        }
        self.reactor.wait(timeout, ready)?;
        if is_watched {
            self.report_ready(ready);
        }
        if ready.is_empty() && self.spin.as_ref().is_some_and(Spin::is_spinning) {
            sched_yield();
        }
        Ok(())
    }

    #[cold]
    #[track_caller]
    fn report_wait(&mut self, timeout: Option<Duration>) {
        let until = match timeout {
            _ if self.reactor.has_more() => WaitsUntil::Queue,
            _ if self.spin.as_ref().is_some_and(Spin::is_spinning) => WaitsUntil::Spin,
            Some(_) => WaitsUntil::Deadline,
            None => WaitsUntil::NoLimit,
        };
        let at = At::server(self.clock.now());
        self.shared.observer.observe(at, Event::Waits { timeout, until });
    }

    /// Reports the end of a wait, and all that is ready.
    #[cold]
    #[track_caller]
    fn report_ready(&mut self, ready: &[Ready]) {
        let events = self.reactor.events().count();
        let (at, queued) = (At::server(self.clock.now()), ready.len() - events);
        self.shared.observer.observe(at, Event::Polled { events, queued });
        let queued = ready[events..].iter().map(|ready| (None, self.reactor.get(ready.token)));
        let told = self.reactor.events().map(|(event, slot)| (Some(event), slot));
        for ((event, slot), Ready { token, .. }) in told.chain(queued).zip(ready) {
            let listening = self.listeners.iter().find(|listening| listening.is(*token));
            let listener = listening.map(|listening| listening.at());
            let at = match slot {
                Some(Slot::Connection(c)) => At::conn(at.now, c.id, &c.peer),
                Some(Slot::Proxied(proxied)) => proxied.at(at.now),
                Some(Slot::Listener(_) | Slot::Service(_)) => at,
                None => continue,
            };
            self.shared.observer.observe(at, Event::Ready { listener, event });
        }
    }
}

#[cfg(test)]
mod tests;
