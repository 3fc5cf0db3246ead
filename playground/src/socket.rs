//! The server's socket: it records each call, and can make the mistakes that are made around a call.

use std::io::{self, ErrorKind, Read, Write};

use crate::kernel::Kernel;
use crate::log::Log;

/// Classic mistakes, one bit each. Those that `resound check` can find have the names of the servers in
/// `examples/zoo`.
pub(crate) mod mistake {
    /// Sleeps after one read, though it has not emptied the socket.
    pub(crate) const UNDRAINED_EDGE: u32 = 1;
    /// Takes a short write for a whole one.
    pub(crate) const LOST_TAIL: u32 = 2;
    /// Sends all of it again after a short write.
    pub(crate) const SENT_TWICE: u32 = 4;
    /// Closes when the event says that the peer has ended, before it reads.
    pub(crate) const HANG_UP_FIRST: u32 = 8;
    /// Takes a short read for an empty socket, even if the event says that the peer has ended.
    pub(crate) const TRUSTED_SHORT_READ: u32 = 16;
    /// Does not register for room while bytes are pending.
    pub(crate) const STUCK_BACK_PRESSURE: u32 = 32;
    /// Registers for room even if nothing is pending.
    pub(crate) const ALWAYS_WRITABLE: u32 = 64;
    /// All of them.
    pub(crate) const ALL: u32 = 127;
}

/// What `Echo::drive` gets for a socket.
pub(crate) struct Socket<'a> {
    pub(crate) kernel: &'a mut Kernel,
    pub(crate) log: &'a mut Log,
    pub(crate) mistakes: u32,
    /// Bytes that the kernel has taken, whatever the server believes.
    pub(crate) wrote: &'a mut u64,
}

impl Socket<'_> {
    #[track_caller]
    fn record(&mut self, name: &str, asked: usize, held: (usize, usize), result: &str) {
        let (receive, send) = held;
        let data = format!(
            "{{\"asked\":{asked},\"result\":{result},\
             \"kernel\":{{\"receive_queue\":{receive},\"send_queue\":{send}}}}}"
        );
        self.log.connection(name, "", &data);
    }

    fn held(&self) -> (usize, usize) {
        (self.kernel.receive.held(), self.kernel.send.held())
    }
}

// With `track_caller`, the place of a record is the line of `src/conn.rs` that led to the call.
impl Read for Socket<'_> {
    #[track_caller]
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let held = self.held();
        let result = self.kernel.recv(into);
        let is_end = matches!(result, Ok(0));
        let text = if is_end { "\"end\"".into() } else { text(&result) };
        self.record("connection:read", into.len(), held, &text);
        result
    }
}

impl Write for Socket<'_> {
    #[track_caller]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let held = self.held();
        let result = self.kernel.send(bytes);
        self.record("connection:write", bytes.len(), held, &text(&result));
        *self.wrote += result.as_ref().map_or(0, |&n| n as u64);
        match result {
            Ok(n) if n < bytes.len() && self.mistakes & mistake::LOST_TAIL != 0 => Ok(bytes.len()),
            Ok(n) if n < bytes.len() && self.mistakes & mistake::SENT_TWICE != 0 => {
                Err(ErrorKind::WouldBlock.into())
            }
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The result of a call as JSON.
fn text(result: &io::Result<usize>) -> String {
    match result {
        Ok(n) => n.to_string(),
        Err(e) if e.kind() == ErrorKind::WouldBlock => "\"would_block\"".into(),
        Err(e) => format!("\"{e}\""),
    }
}
