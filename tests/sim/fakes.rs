//! The simulated listeners and streams. They pass each call on to the [`World`].

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use resound::net::{Endpoint, Listen, Stream};
use resound::observe::{At, Event, Observer};

use crate::endpoints::socket_of;
use crate::scenario::Queue;
use crate::world::World;

pub type Shared = Rc<RefCell<World>>;

pub struct FakeListener {
    pub world: Shared,
    pub id: usize,
}

pub struct FakeStream {
    world: Shared,
    id: usize,
    is_tcp: bool,
}

/// Passes the server's reports on to the world.
pub struct Reporter(pub Shared);

impl Listen for FakeListener {
    type Stream = FakeStream;

    fn accept(&mut self) -> io::Result<(FakeStream, Endpoint)> {
        let mut world = self.world.borrow_mut();
        let id = world.sys_accept(self.id)?;
        let socket = &world.sockets[id];
        let stream = FakeStream { world: Rc::clone(&self.world), id, is_tcp: socket.is_tcp };
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
        self.world.borrow_mut().sys_close_listener(self.id);
    }
}

impl Stream for FakeStream {
    fn short_read_drains(&self) -> bool {
        self.is_tcp
    }

    fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.world.borrow_mut().sys_peek(self.id, buffer)
    }

    fn is_read_closed(&self) -> bool {
        self.world.borrow_mut().sys_is_read_closed(self.id)
    }

    fn reset_on_close(&self) {
        self.world.borrow_mut().sockets[self.id].ledger.is_reset = true;
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.world.borrow_mut().sys_shutdown_write(self.id)
    }

    fn unacknowledged(&self) -> Option<u32> {
        Some(self.world.borrow_mut().sys_unacknowledged(self.id))
    }
}

impl Read for FakeStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.world.borrow_mut().sys_read(self.id, buffer)
    }
}

impl Write for FakeStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.world.borrow_mut().sys_write(self.id, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for FakeStream {
    fn drop(&mut self) {
        self.world.borrow_mut().sys_close(self.id);
    }
}

impl Source for FakeListener {
    fn register(&mut self, _: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.world.borrow_mut().sys_watch_listener(self.id, token);
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        unreachable!("interest never changes")
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        self.world.borrow_mut().listeners[self.id].token = None;
        Ok(())
    }
}

impl Source for FakeStream {
    fn register(&mut self, _: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.world.borrow_mut().sys_watch(self.id, token)
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        unreachable!("interest never changes")
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        self.world.borrow_mut().sockets[self.id].token = None;
        Ok(())
    }
}

impl Observer for Reporter {
    fn observe(&mut self, at: At<'_>, event: Event<'_>) {
        let mut world = self.0.borrow_mut();
        world.counters.observe(at, event);
        let Some((id, peer)) = at.conn else { return world.on_server_event(event) };
        match socket_of(peer) {
            Some(socket) => world.on_event(socket, (id, peer), event),
            None => world.fail(|| format!("{event:?} of an unknown peer, {peer}")),
        }
    }
}
