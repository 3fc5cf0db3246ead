//! A model of what the kernel keeps for one TCP connection: two socket buffers, two bells, and how it ends.
//!
//! It reports readiness as epoll(7) on Linux does. It reports an edge once: when bytes, an end of file or an error
//! arrive, and when a full send buffer has room again. In level mode, each wait reports what is ready. The wire has no
//! length: what the server sends lies in the send buffer until the peer reads it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};

/// When the kernel reports readiness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Once, when it comes: EPOLLET.
    #[default]
    Edge,
    /// At each wait, as long as it lasts.
    Level,
}

/// The directions that the server is registered for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// What a wait reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer's end of file, or a reset.
    pub(crate) read_closed: bool,
    pub(crate) error: bool,
}

/// One socket buffer. Its size, in bytes, can fall below what it holds; then it takes nothing.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: VecDeque<u8>,
    pub(crate) size: usize,
}

impl Buffer {
    pub(crate) fn held(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn room(&self) -> usize {
        self.size.saturating_sub(self.held())
    }

    /// Takes as much as fits, and returns how much that was.
    fn push(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room());
        self.bytes.extend(&bytes[..n]);
        n
    }

    fn pull(&mut self, into: &mut [u8]) -> usize {
        let n = into.len().min(self.held());
        for (to, byte) in into.iter_mut().zip(self.bytes.drain(..n)) {
            *to = byte;
        }
        n
    }
}

/// The kernel's side of the connection.
#[derive(Default)]
pub(crate) struct Kernel {
    /// From the peer to the server.
    pub(crate) receive: Buffer,
    /// From the server to the peer.
    pub(crate) send: Buffer,
    /// The peer's end of file has arrived.
    pub(crate) is_ended: bool,
    /// The server has shut down its writing side, or closed.
    pub(crate) is_shut: bool,
    pub(crate) is_reset: bool,
    pub(crate) is_closed: bool,
    /// A write did not fit: the kernel rings when there is room (`SOCK_NOSPACE` in Linux).
    pub(crate) wants_room: bool,
    /// Edges that no wait has reported yet.
    pub(crate) rung: Interest,
    mode: Mode,
    interest: Interest,
}

impl Kernel {
    /// Changes what the kernel reports, and returns whether that is a change. As with `EPOLL_CTL_MOD`, it reports again
    /// what is ready now.
    pub(crate) fn register(&mut self, mode: Mode, interest: Interest) -> bool {
        let is_change = (mode, interest) != (self.mode, self.interest);
        if is_change {
            (self.mode, self.interest) = (mode, interest);
            let ready = self.look();
            self.rung = Interest { readable: ready.readable, writable: ready.writable };
        }
        is_change
    }

    pub(crate) fn interest(&self) -> Interest {
        self.interest
    }

    /// The report of a wait now. It uses the edges up.
    pub(crate) fn poll(&mut self) -> Option<Ready> {
        let (rung, ready) = (std::mem::take(&mut self.rung), self.look());
        let is_due = self.mode == Mode::Level || rung.readable || rung.writable;
        Some(ready).filter(|_| is_due && ready != Ready::default())
    }

    /// What is ready. As with tcp_poll() in Linux, a socket that is found to be full rings when it has room.
    fn look(&mut self) -> Ready {
        let ready = self.ready();
        self.wants_room |= !ready.writable;
        ready
    }

    /// What is ready in the directions of interest. Errors are reported in any case.
    pub(crate) fn ready(&self) -> Ready {
        // Linux counts a socket as writable if a third of its send buffer is free.
        let has_room = self.send.room() > 0 && 2 * self.send.room() >= self.send.held();
        let (ended, reset) = (self.is_ended, self.is_reset);
        Ready {
            readable: self.interest.readable && (self.receive.held() > 0 || ended || reset),
            writable: self.interest.writable && (has_room || reset),
            read_closed: self.interest.readable && ended || reset,
            error: reset,
        }
    }

    /// The server's recv(2).
    pub(crate) fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.receive.pull(into) {
            _ if self.is_reset => Err(ErrorKind::ConnectionReset.into()),
            0 if !self.is_ended => Err(ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }

    /// The server's send(2).
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_reset || self.is_shut {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let n = self.send.push(bytes);
        self.wants_room |= n < bytes.len();
        if n == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(n) }
    }

    pub(crate) fn shutdown_write(&mut self) {
        self.is_shut = true;
    }

    /// The server's close(2). Unread bytes make it a reset, which destroys what is still on its way.
    pub(crate) fn close(&mut self) {
        if self.receive.held() > 0 {
            self.reset();
        }
        (self.is_shut, self.is_closed) = (true, true);
    }

    /// Bytes from the peer. Returns how many fit.
    pub(crate) fn arrive(&mut self, bytes: &[u8]) -> usize {
        let n = if self.is_closed || self.is_reset { 0 } else { self.receive.push(bytes) };
        self.rung.readable |= n > 0 && self.interest.readable;
        n
    }

    /// Bytes that the peer reads.
    pub(crate) fn leave(&mut self, into: &mut [u8]) -> usize {
        let n = self.send.pull(into);
        self.ring_if_room();
        n
    }

    pub(crate) fn resize(&mut self, receive: usize, send: usize) {
        (self.receive.size, self.send.size) = (receive, send);
        self.ring_if_room();
    }

    fn ring_if_room(&mut self) {
        if self.wants_room && self.ready().writable {
            (self.wants_room, self.rung.writable) = (false, true);
        }
    }

    /// The peer's end of file.
    pub(crate) fn end(&mut self) {
        self.is_ended = true;
        self.rung.readable |= self.interest.readable;
    }

    /// The wire is cut: both buffers are lost.
    pub(crate) fn reset(&mut self) {
        self.is_reset = true;
        self.receive.bytes.clear();
        self.send.bytes.clear();
        self.rung = Interest { readable: true, writable: true };
    }
}
