//! The scripted socket: gives a pattern, and looks at every byte that it is offered.

use std::io::{self, Read, Write};

use crate::laws::Laws;
use crate::script::{MAX_SCRATCH_BYTES, Script};

/// No power of two is a multiple of it, so a shifted buffer shows.
const PERIOD: usize = 251;

/// What any read or write can be, wherever in the stream it begins.
static PATTERN: [u8; MAX_SCRATCH_BYTES + PERIOD] = {
    let mut bytes = [0; MAX_SCRATCH_BYTES + PERIOD];
    let mut i = 0;
    while i < bytes.len() {
        bytes[i] = (i % PERIOD) as u8;
        i += 1;
    }
    bytes
};

fn sent(at: usize, bytes: usize) -> &'static [u8] {
    &PATTERN[at % PERIOD..][..bytes]
}

pub struct Peer<'a> {
    pub script: Script<'a>,
    pub laws: Laws,
}

impl<'a> Peer<'a> {
    pub fn new(script: Script<'a>, laws: Laws) -> Self {
        Self { script, laws }
    }
}

impl Read for Peer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.laws.may_read(buffer.len());
        let at = self.laws.given();
        let answer = self.script.on_read(buffer.len());
        self.laws.has_read(buffer.len(), answer);
        let n = answer?;
        buffer[..n].copy_from_slice(sent(at, n));
        Ok(n)
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.laws.may_write(bytes.len());
        let expected = sent(self.laws.taken(), bytes.len());
        self.laws.must(bytes == expected, "what is written is what was read");
        let answer = self.script.on_write(bytes.len());
        self.laws.has_written(bytes.len(), answer);
        Ok(answer?)
    }

    fn flush(&mut self) -> io::Result<()> {
        panic!("there is nothing to flush in a socket");
    }
}
