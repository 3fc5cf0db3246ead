//! An alarm where none is needed: a wait of kevent(2) ends in time by itself.

use std::io;
use std::time::Instant;

use mio::event::Source;
use mio::{Interest, Registry, Token};

/// Leaves everything to the time-out of the wait.
#[derive(Debug)]
pub struct Alarm;

impl Alarm {
    pub fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub fn set(&mut self, _: Instant, _: Instant) -> io::Result<()> {
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
