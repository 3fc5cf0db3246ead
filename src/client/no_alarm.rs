//! An alarm for systems that need none: a wait of kevent(2) ends in time by itself.

use std::io;
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Registry, Token};

/// Does nothing: the timeout of the wait is exact enough.
#[derive(Debug)]
pub struct Alarm;

impl Alarm {
    pub fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub fn set(&mut self, _: Instant) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Alarm {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        Ok(())
    }
}
