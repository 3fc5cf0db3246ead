//! What a server does beside accepting and echoing, as only some deployments want it.

use std::io;
use std::time::Instant;

use mio::Token;
use mio::event::Source;

use super::{Server, Slot};
use crate::net::Listen;
use crate::observe::{Observer, Status};

/// A source on the server's reactor that is neither a listener nor a connection: signals, for example.
///
/// Services are behind a `Box<dyn Service>`, off the path of an echo.
pub trait Service: Source + Send {
    /// The source is ready, the [deadline](Self::deadline) has come, the server begins to stop or to drain, or none of
    /// these: events can be spurious. It must not block, and must bound its work: the connections wait for it.
    fn ready(&mut self, cx: &mut Context<'_>) -> Action;

    /// When to call [`ready`](Self::ready) although there is no event, on the caller's clock. After a call it lies in the
    /// future: a service that has more to do at once asks for that by [`Action::Requeue`].
    fn deadline(&self) -> Option<Instant>;
}

/// How far a server has stopped, as far as it matters to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was not asked to stop.
    Serving,
    /// It was asked to stop, and goes on for the drain delay.
    Leaving,
    /// It takes nothing new, and lets what it has finish.
    Draining,
}

impl Stage {
    /// Whether the server was asked to stop.
    pub fn is_stopping(self) -> bool {
        self != Self::Serving
    }
}

/// What a service may know of the server, and do to it.
pub struct Context<'a> {
    /// The caller's clock.
    pub now: Instant,
    /// How far the server has stopped.
    pub stage: Stage,
    /// Connections that are open.
    pub connections: usize,
    /// Bytes that were read and that their peers have not taken yet.
    pub pending_bytes: usize,
    /// Sees what the service does, and can know the [counts](Observer::counters) of all that the server did.
    pub observer: &'a mut dyn Observer,
}

impl Context<'_> {
    /// How the server is doing, if its observer counts.
    pub fn status(&self) -> Option<Status> {
        Some(Status {
            counters: *self.observer.counters()?,
            connections: self.connections,
            pending_bytes: self.pending_bytes,
            is_stopping: self.stage.is_stopping(),
        })
    }
}

/// What a service wants from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing, until the next event or deadline.
    Wait,
    /// To be called again in the next turn: it has more to do, and lets the others have their turn first.
    Requeue,
    /// That it is removed: its work is done.
    Close,
    /// That it stops: see [`Server::stop`].
    Stop,
}

/// The services on the reactor, with their deadlines.
#[derive(Debug, Default)]
pub(super) struct Services {
    registered: Vec<Registered>,
    /// The first of the deadlines. Derived from them, and kept, since every turn asks for it.
    first_deadline: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Registered {
    token: Token,
    deadline: Option<Instant>,
}

impl Services {
    fn add(&mut self, token: Token, deadline: Option<Instant>) {
        self.registered.push(Registered { token, deadline });
        self.derive_first();
    }

    fn remove(&mut self, token: Token) {
        self.registered.retain(|service| service.token != token);
        self.derive_first();
    }

    fn set_deadline(&mut self, token: Token, deadline: Option<Instant>) {
        let service = self.registered.iter_mut().find(|service| service.token == token);
        if let Some(service) = service.filter(|service| service.deadline != deadline) {
            service.deadline = deadline;
            self.derive_first();
        }
    }

    fn derive_first(&mut self) {
        self.first_deadline = self.registered.iter().filter_map(|service| service.deadline).min();
    }
}

impl<L: Listen, O: Observer> Server<L, O> {
    /// Runs `service` on the server's reactor.
    ///
    /// # Errors
    ///
    /// If the system cannot register it: epoll_ctl(2).
    pub fn add_service(&mut self, service: Box<dyn Service>) -> io::Result<()> {
        let deadline = service.deadline();
        let token = self.reactor.insert(Slot::Service(service))?;
        self.services.add(token, deadline);
        Ok(())
    }

    /// Lets a service do its work.
    pub(super) fn serve(&mut self, token: Token) {
        let Some(Slot::Service(service)) = self.reactor.get_mut(token) else { return };
        let action = service.ready(&mut Context {
            now: self.clock.real(),
            stage: self.shutdown.stage(),
            connections: self.admission.connections(),
            pending_bytes: self.shared.pending.held,
            observer: &mut self.shared.observer,
        });
        let deadline = service.deadline();
        debug_assert!(
            action != Action::Wait || deadline.is_none_or(|at| at > self.clock.real()),
            "in a slow turn, the service would be called after each event"
        );
        self.services.set_deadline(token, deadline);
        match action {
            Action::Wait => {}
            Action::Requeue => self.reactor.requeue(token),
            Action::Close => self.remove_service(token),
            Action::Stop => self.stop(),
        }
    }

    fn remove_service(&mut self, token: Token) {
        self.services.remove(token);
        self.reactor.remove(token);
    }

    /// Lets every service see that the server begins to stop, or to drain. It may be the last thing that they see: a
    /// server without connections ends with this turn.
    pub(super) fn notify_services(&mut self) {
        let tokens: Vec<_> = self.services.registered.iter().map(|service| service.token).collect();
        tokens.into_iter().for_each(|token| self.serve(token));
    }

    /// Lets the services whose deadlines have come do their work.
    pub(super) fn serve_due(&mut self) {
        if self.service_deadline().is_some_and(|at| at <= self.clock.real()) {
            self.serve_each_due();
        }
    }

    #[cold]
    fn serve_each_due(&mut self) {
        for i in (0..self.services.registered.len()).rev() {
            // If one of them stops the server, others are removed meanwhile.
            let Some(Registered { token, deadline }) = self.services.registered.get(i).copied()
            else {
                continue;
            };
            if deadline.is_some_and(|at| at <= self.clock.real()) {
                self.serve(token);
            }
        }
    }

    /// The first deadline of a service, on the caller's clock.
    pub(super) fn service_deadline(&self) -> Option<Instant> {
        self.services.first_deadline
    }
}
