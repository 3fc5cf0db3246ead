//! The client's end of a scripted connection.

use std::io::{self, ErrorKind, Read, Write};

use mio::event::Source;
use mio::{Interest, Registry, Token};

use super::super::link::Link;
use super::{FakeNetwork, FakeProbe, Wire};
use crate::net::Endpoint;
use crate::net::proxy::HeaderVersion;

/// The client's end of a connection.
pub(in crate::client::load) struct FakeLink<P> {
    pub(super) number: usize,
    pub(super) network: FakeNetwork<P>,
}

impl<P> FakeLink<P> {
    fn with<T>(&self, act: impl FnOnce(&mut Wire) -> T) -> T {
        act(&mut self.network.world.borrow_mut().wires[self.number])
    }

    fn check(&self) -> io::Result<()> {
        self.with(|wire| wire.error.map_or(Ok(()), |kind| Err(kind.into())))
    }
}

impl<P> Drop for FakeLink<P> {
    fn drop(&mut self) {
        self.network.world.borrow_mut().open -= 1;
    }
}

impl<P: FakeProbe> Read for FakeLink<P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.network.world.borrow_mut().reads += 1;
        self.check()?;
        if P::HAS_DATAGRAMS {
            let datagram = self.with(|wire| wire.datagrams.pop_front());
            let datagram = datagram.ok_or(ErrorKind::WouldBlock)?;
            buffer[..datagram.len()].copy_from_slice(&datagram);
            return Ok(datagram.len());
        }
        self.with(|wire| match wire.incoming.read(buffer)? {
            0 if wire.has_ended => Ok(0),
            0 => Err(ErrorKind::WouldBlock.into()),
            n => Ok(n),
        })
    }
}

impl<P: FakeProbe> Write for FakeLink<P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        let now = self.network.clock.elapsed();
        let world = &mut *self.network.world.borrow_mut();
        world.received_bytes += bytes.len();
        let answers = world.server.receive(self.number, now, bytes);
        world.send_all(self.number, now, answers);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<P: FakeProbe> Link for FakeLink<P> {
    type Probe = P;

    fn is_connected(&self) -> io::Result<bool> {
        self.check()?;
        Ok(self.with(|wire| wire.is_connected))
    }

    fn send_header(&mut self, _: HeaderVersion) -> io::Result<()> {
        unreachable!("no test asks for it")
    }

    fn local_addr(&self) -> Option<Endpoint> {
        None
    }

    fn short_read_drains(&self) -> bool {
        true
    }

    fn shutdown_write(&self) {
        let now = self.network.clock.elapsed();
        let world = &mut *self.network.world.borrow_mut();
        let answers = world.server.end(self.number, now);
        world.send_all(self.number, now, answers);
    }
}

/// No poll watches it: the test injects its events.
impl<P> Source for FakeLink<P> {
    fn register(&mut self, _: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.with(|wire| wire.token = Some(token));
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        self.with(|wire| wire.token = None);
        Ok(())
    }
}
