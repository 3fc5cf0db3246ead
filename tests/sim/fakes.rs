//! The simulated listeners and streams. They pass each call on to the [`World`].

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use resound::net::{Endpoint, Listen, Stream};
use resound::observe::{At, Counters, Event, Observer};

use crate::endpoints::socket_of;
use crate::scenario::Queue;
use crate::world::World;

/// The world, as all simulated sockets have it. Some of them must be `Send`, although one thread has them all.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// # Panics
    ///
    /// If it is borrowed already.
    pub fn borrow(&self) -> MutexGuard<'_, World> {
        match self.0.try_lock() {
            Ok(world) => world,
            // A panic ends the run, but the sockets are still dropped.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => panic!("the world is borrowed twice"),
        }
    }
}

pub struct FakeListener {
    pub world: Shared,
    pub id: usize,
}

pub struct FakeStream {
    world: Shared,
    id: usize,
    is_tcp: bool,
}

/// Passes the server's reports on to the world, and counts as a server's own observer does.
pub struct Reporter {
    pub world: Shared,
    pub counters: Counters,
}

impl Listen for FakeListener {
    type Stream = FakeStream;

    fn accept(&mut self) -> io::Result<(FakeStream, Endpoint)> {
        let mut world = self.world.borrow();
        let id = world.sys_accept(self.id)?;
        let socket = &world.sockets[id];
        let stream = FakeStream { world: self.world.clone(), id, is_tcp: socket.is_tcp };
        Ok((stream, socket.endpoint()))
    }

    fn fills_silently(&self) -> bool {
        self.world.borrow().scenario.queues[self.id] == Queue::Shared
    }

    fn has_successor(&self) -> bool {
        self.world.borrow().scenario.queues[self.id] == Queue::Inherited
    }
}

impl Drop for FakeListener {
    fn drop(&mut self) {
        self.world.borrow().sys_close_listener(self.id);
    }
}

impl Stream for FakeStream {
    fn short_read_drains(&self) -> bool {
        self.is_tcp
    }

    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.world.borrow().sys_peek(self.id, buffer)
    }

    fn is_read_closed(&self) -> bool {
        self.world.borrow().sys_is_read_closed(self.id)
    }

    fn reset_on_close(&self) {
        self.world.borrow().sockets[self.id].ledger.is_reset = true;
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.world.borrow().sys_shutdown_write(self.id)
    }

    fn unacknowledged(&self) -> Option<u32> {
        Some(self.world.borrow().sys_unacknowledged(self.id))
    }
}

impl Read for FakeStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.world.borrow().sys_read(self.id, buffer)
    }
}

impl Write for FakeStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.world.borrow().sys_write(self.id, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for FakeStream {
    fn drop(&mut self) {
        self.world.borrow().sys_close(self.id);
    }
}

impl Source for FakeListener {
    fn register(&mut self, _: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.world.borrow().sys_watch_listener(self.id, token);
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        unreachable!("interest never changes")
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        self.world.borrow().listeners[self.id].token = None;
        Ok(())
    }
}

impl Source for FakeStream {
    fn register(&mut self, _: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.world.borrow().sys_watch(self.id, token)
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        unreachable!("interest never changes")
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        self.world.borrow().sockets[self.id].token = None;
        Ok(())
    }
}

impl Observer for Reporter {
    fn observe(&mut self, at: At<'_>, event: Event<'_>) {
        self.counters.observe(at, event);
        let mut world = self.world.borrow();
        let Some((id, peer)) = at.conn else { return world.on_server_event(event) };
        match socket_of(peer) {
            Some(socket) => world.on_event(socket, (id, peer), event),
            None => world.fail(|| format!("{event:?} of an unknown peer, {peer}")),
        }
    }

    fn counters(&self) -> Option<&Counters> {
        Some(&self.counters)
    }
}
