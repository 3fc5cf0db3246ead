//! A connected socket in memory.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;

use resound::client::probe::Pattern;
use resound::conn::{Echo, Next, ShortRead};

/// A connected socket whose peer has sent a message.
pub struct Socket {
    incoming: Vec<u8>,
    /// Bytes of it that are read.
    read: usize,
    written: Vec<u8>,
    /// The most bytes that one read returns.
    pub read_limit: usize,
    /// The most bytes that one write takes. After a write that is cut short, the next one returns `WouldBlock`.
    pub room: usize,
    full: bool,
}

impl Socket {
    /// A socket with a message of `bytes` bytes to read.
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

    /// Drives `echo` after an event, as a server does, until it stops yielding.
    #[inline]
    pub fn handle_event(&mut self, echo: &mut Echo, scratch: &mut [u8]) -> io::Result<Next> {
        loop {
            // Compiled twice, as in the server: if the connection just echoes, the compiler leaves out all the rest.
            let next = if echo.is_echoing_freely() {
                echo.drive(self, ShortRead::MeansEmpty, scratch).next
            } else {
                self.drive_apart(echo, scratch)
            };
            match next {
                Ok(Next::Yield) => {}
                next => return next,
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn drive_apart(&mut self, echo: &mut Echo, scratch: &mut [u8]) -> io::Result<Next> {
        echo.drive(self, ShortRead::MeansEmpty, scratch).next
    }

    /// Lets the same message arrive again.
    pub fn rewind(&mut self) {
        self.read = 0;
        self.written.clear();
    }

    /// Lets what was written arrive in turn.
    #[inline(never)] // As below.
    pub fn reflect(&mut self) {
        mem::swap(&mut self.incoming, &mut self.written);
        self.rewind();
    }

    /// Bytes of the message that are not echoed yet.
    pub fn missing_bytes(&self) -> usize {
        self.incoming.len() - self.written.len()
    }

    /// Panics unless the whole message is echoed.
    pub fn expect_echo(&self) {
        let bytes = self.incoming.len();
        assert_eq!(self.missing_bytes(), 0, "bytes missing of an echo of {bytes}");
        assert!(self.written == self.incoming, "a wrong echo of {bytes} bytes");
    }
}

// None of these is inlined, so that callgrind can leave them out of their caller's count.

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
