//! A connected socket in memory.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;

use resound::client::probe::Pattern;
use resound::conn::{Echo, Next, ShortRead};

/// A connected socket whose peer has sent a message.
pub struct Socket {
    incoming: Vec<u8>,
    /// How much of it has been read.
    read: usize,
    written: Vec<u8>,
    /// The most that one read returns, in bytes: what has arrived by then.
    pub read_limit: usize,
    /// The most that one write takes, in bytes. After one that was cut short, the next finds no room.
    pub room: usize,
    full: bool,
}

impl Socket {
    /// One with a message of so many bytes, or with none.
    pub fn new(bytes: usize) -> Self {
        Self {
            incoming: Pattern::new(bytes).piece(0, 0, bytes).into(),
            read: 0,
            written: Vec::with_capacity(bytes),
            read_limit: usize::MAX,
            room: usize::MAX,
            full: false,
        }
    }

    /// Drives its connection after an event, as a server does, until it no longer yields.
    #[inline]
    pub fn handle_event(&mut self, echo: &mut Echo, scratch: &mut [u8]) -> io::Result<Next> {
        loop {
            match echo.drive(self, ShortRead::MeansEmpty, scratch).next {
                Ok(Next::Yield) => {}
                next => return next,
            }
        }
    }

    /// The same message arrives anew.
    pub fn rewind(&mut self) {
        self.read = 0;
        self.written.clear();
    }

    /// What was written comes back.
    #[inline(never)] // See below.
    pub fn reflect(&mut self) {
        mem::swap(&mut self.incoming, &mut self.written);
        self.rewind();
    }

    /// Bytes of the message that were not sent back.
    pub fn missing_bytes(&self) -> usize {
        self.incoming.len() - self.written.len()
    }

    /// Panics unless the whole message was sent back.
    pub fn expect_echo(&self) {
        let bytes = self.incoming.len();
        assert_eq!(self.missing_bytes(), 0, "bytes missing of an echo of {bytes}");
        assert!(self.written == self.incoming, "a wrong echo of {bytes} bytes");
    }
}

// None of these is inlined, as no system call is: what they cost can be told from what their caller does.

impl Read for Socket {
    #[inline(never)]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.incoming[self.read..];
        let n = left.len().min(self.read_limit).min(buffer.len());
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        buffer[..n].copy_from_slice(&left[..n]);
        self.read += n;
        Ok(n)
    }
}

impl Write for Socket {
    #[inline(never)]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if mem::take(&mut self.full) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = bytes.len().min(self.room);
        self.full = n < bytes.len();
        self.written.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
