//! An echo on a scripted socket, under the laws.

use std::io::ErrorKind;

use resound::conn::{Echo, Next, ShortRead};

use super::laws::Laws;
use super::socket::{Script, Socket};

/// A connection, its socket and its scratch. Every drive is checked against the [laws](Laws).
pub struct Checked<S> {
    pub echo: Echo,
    pub socket: Socket<S>,
    pub scratch: Vec<u8>,
    laws: Laws,
}

impl<S: Script> Checked<S> {
    /// A connection that echoes until its peer's end of file.
    pub fn new(scratch_bytes: usize, script: S) -> Self {
        Self {
            echo: Echo::new(),
            socket: Socket::new(script),
            scratch: vec![0; scratch_bytes],
            laws: Laws::new(false),
        }
    }

    /// A connection that echoes its first read only.
    pub fn once(scratch_bytes: usize, script: S) -> Self {
        Self { echo: Echo::once(), laws: Laws::new(true), ..Self::new(scratch_bytes, script) }
    }

    pub fn finish(&mut self) {
        self.laws.finish();
        self.echo.finish();
    }

    pub fn abandon(&mut self) {
        self.laws.abandon();
        self.echo.abandon();
    }

    /// Drives the connection once.
    pub fn drive(&mut self, short_read: ShortRead) -> Result<Next, ErrorKind> {
        // What one drive leaves in the scratch must not matter to the next.
        self.scratch.fill(0xff);
        let made = self.socket.calls.len();
        let drive = self.echo.drive(&mut self.socket, short_read, &mut self.scratch);
        let hints = (short_read, self.scratch.len());
        self.laws.check(hints, &self.socket.calls[made..], &drive, &self.echo);
        drive.next.map_err(|e| e.kind())
    }
}
