//! Long streams of bytes to send, and their comparison with what comes back.

use std::io::{self, Read};
use std::iter;

pub const MIB: u64 = 1024 * 1024;

/// More than all buffers between client and server hold together.
pub const MUCH: u64 = 64 * MIB;

/// A stream of `bytes` bytes, in which a lost or repeated piece shows.
pub fn pattern(bytes: u64) -> impl Read + Send {
    // A prime number, so that no buffer is a multiple of a block.
    const BLOCK_BYTES: usize = 1_048_573;
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let block = iter::repeat_with(random).take(BLOCK_BYTES).collect();
    Cycle { block, at: 0 }.take(bytes)
}

struct Cycle {
    block: Vec<u8>,
    at: usize,
}

impl Read for Cycle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = (&self.block[self.at..]).read(buffer)?;
        self.at = (self.at + n) % self.block.len();
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
