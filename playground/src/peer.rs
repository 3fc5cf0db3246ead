//! The peer: it sends a message in portions, reads its echo in portions, and then sends the next.

use crate::kernel::Kernel;
use crate::log::Log;

/// How the peer behaves. Sizes in bytes, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Habits {
    /// What it sends before it waits for the echo.
    pub(crate) message: usize,
    /// The most that it sends with one call.
    pub(crate) write_portion: usize,
    /// The most that it reads with one call.
    pub(crate) read_portion: usize,
    /// It does not read.
    pub(crate) is_paused: bool,
}

#[derive(Default)]
pub(crate) struct Peer {
    pub(crate) habits: Habits,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// The end of the message that it sends now, counted from the first byte of all.
    target: u64,
    pub(crate) has_ended: bool,
    pub(crate) has_cut: bool,
    /// It has read the server's end of file, or a reset.
    pub(crate) is_over: bool,
    /// The number of the first byte that was not the one sent. The peer gives up there.
    pub(crate) wrong: Option<u64>,
}

/// The byte at a place of the stream. It has a long period, so that a lost part shows at once.
fn byte_at(place: u64) -> u8 {
    (place ^ (place >> 8) ^ (place >> 16)).wrapping_mul(31).to_le_bytes()[0]
}

impl Peer {
    /// Reads and writes once each. Returns whether anything moved.
    pub(crate) fn step(&mut self, kernel: &mut Kernel, log: &mut Log) -> bool {
        if self.is_over || self.wrong.is_some() {
            return false;
        }
        let has_read = !self.habits.is_paused && self.read(kernel, log);
        let has_written = self.write(kernel, log);
        has_read || has_written
    }

    /// The bytes of its messages that it has not sent yet.
    pub(crate) fn unsent(&self) -> u64 {
        self.target - self.sent
    }

    /// Shuts down its writing side. What it did not send of the message is dropped.
    pub(crate) fn end(&mut self, kernel: &mut Kernel, log: &mut Log) {
        if !self.has_ended && !kernel.is_reset {
            (self.has_ended, self.target) = (true, self.sent);
            kernel.end();
            log.peer("peer:ended", "{}");
        }
    }

    /// Cuts the wire.
    pub(crate) fn cut(&mut self, kernel: &mut Kernel, log: &mut Log) {
        if !self.is_over && !kernel.is_reset {
            (self.has_cut, self.is_over, self.target) = (true, true, self.sent);
            kernel.reset();
            log.peer("peer:cut", "{}");
        }
    }

    fn read(&mut self, kernel: &mut Kernel, log: &mut Log) -> bool {
        let mut portion = vec![0; self.habits.read_portion.min(kernel.send.held())];
        let n = kernel.leave(&mut portion);
        if n > 0 {
            self.check(&portion);
            log.peer("peer:received", &format!("{{\"bytes\":{n}}}"));
            return true;
        }
        self.is_over = kernel.is_shut && (self.has_ended || kernel.is_closed) || kernel.is_reset;
        if self.is_over {
            let name = if kernel.is_reset { "peer:reset" } else { "peer:closed" };
            log.peer(name, "{}");
        } else if kernel.is_shut && !self.has_ended {
            self.end(kernel, log); // The server has said that no more comes: the peer ends too.
            return true;
        }
        self.is_over
    }

    fn check(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let is_right = self.received < self.sent && byte == byte_at(self.received);
            if !is_right && self.wrong.is_none() {
                self.wrong = Some(self.received);
            }
            self.received += 1;
        }
    }

    fn write(&mut self, kernel: &mut Kernel, log: &mut Log) -> bool {
        if self.is_over || self.has_ended {
            return false;
        }
        if self.received == self.sent && self.unsent() == 0 {
            self.target += self.habits.message as u64;
        }
        let left = usize::try_from(self.unsent()).unwrap_or(usize::MAX);
        let n = self.habits.write_portion.min(left).min(kernel.receive.room());
        let bytes: Vec<_> = (self.sent..self.sent + n as u64).map(byte_at).collect();
        let n = kernel.arrive(&bytes);
        self.sent += n as u64;
        if n > 0 {
            log.peer("peer:sent", &format!("{{\"bytes\":{n}}}"));
        }
        n > 0
    }
}
