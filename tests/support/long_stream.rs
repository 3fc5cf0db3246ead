//! Long streams of bytes to send, and how to compare them with what comes back.

use std::io::{self, Read};

use crate::kit::pattern::{MAX_BYTES, bytes};

pub const MIB: u64 = 1024 * 1024;

/// More than all buffers between client and server hold together.
pub const MUCH: u64 = 64 * MIB;

/// A stream of `len` bytes, in which a lost or repeated piece shows.
pub fn long_stream(len: u64) -> impl Read + Send {
    Endless { offset: 0 }.take(len)
}

struct Endless {
    offset: u64,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = buffer.len().min(MAX_BYTES);
        buffer[..n].copy_from_slice(bytes(0, self.offset, n));
        self.offset += n as u64;
        Ok(n)
    }
}

/// Asserts that two streams are equal up to their ends.
#[track_caller]
pub fn assert_same(mut echo: impl Read, mut sent: impl Read) {
    let (mut a, mut b) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut offset = 0;
    loop {
        let n = echo.read(&mut a).unwrap();
        sent.read_exact(&mut b[..n]).expect("more came than was sent");
        assert!(a[..n] == b[..n], "the bytes from {offset} differ");
        offset += n;
        if n == 0 {
            return assert_eq!(sent.read(&mut b).unwrap(), 0, "less came than was sent");
        }
    }
}
