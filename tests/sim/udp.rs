//! The simulated UDP sockets. They pass each call on to the [`World`].

use std::io;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use resound::net::{Datagrams, Received};

use crate::fakes::Shared;

pub struct FakeDatagrams {
    pub world: Shared,
    pub epoch: u64,
    pub id: usize,
}

impl Datagrams for FakeDatagrams {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        self.world.borrow().sys_receive(self.id, buffer)
    }

    fn answer(&mut self, bytes: &[u8], received: &Received) -> io::Result<usize> {
        self.world.borrow().sys_answer(self.id, bytes, received)
    }

    fn kernel_drops(&self) -> Option<u32> {
        Some(self.world.borrow().sys_kernel_drops(self.id))
    }
}

impl Source for FakeDatagrams {
    fn register(&mut self, _: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.world.borrow().sys_watch_udp(self.id, token);
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        unreachable!("interest never changes")
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        self.world.borrow().udp.queues[self.id].token = None;
        Ok(())
    }
}

impl Drop for FakeDatagrams {
    fn drop(&mut self) {
        self.world.borrow().sys_close_udp(self.id, self.epoch);
    }
}
