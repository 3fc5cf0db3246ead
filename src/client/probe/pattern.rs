//! The bytes that a probe sends. Each follows from its stream and its offset there, so a byte that is lost,
//! repeated, late or from another stream is noticed.

use std::iter::successors;

use crate::client::rng::{SEED, xorshift};

/// A stream repeats itself after this many bytes. It is a prime: messages mostly have a power of two as their
/// size, and must differ from each other.
const PERIOD_BYTES: usize = 65_521;

/// Each stream begins this much later in the period than the stream before.
const STRIDE_BYTES: usize = 131;

/// The bytes of all streams. Its memory does not depend on the number of streams.
#[derive(Debug)]
pub struct Pattern {
    bytes: Box<[u8]>,
}

impl Pattern {
    /// A pattern whose [pieces](Self::piece) have up to `longest` bytes.
    pub fn new(longest: usize) -> Self {
        let random = successors(Some(SEED), |x| Some(xorshift(*x)));
        let mut bytes: Vec<u8> = random.map(|x| (x >> 56) as u8).take(PERIOD_BYTES).collect();
        // In slices: byte by byte, this would be most of the time of a short test.
        while bytes.len() < PERIOD_BYTES + longest {
            let missing = PERIOD_BYTES + longest - bytes.len();
            bytes.extend_from_within(..missing.min(PERIOD_BYTES));
        }
        Self { bytes: bytes.into() }
    }

    /// The `len` bytes at `offset` of a stream. `len` must not exceed [`longest`](Self::longest).
    pub fn piece(&self, stream: usize, offset: u64, len: usize) -> &[u8] {
        let start = start(stream, offset);
        &self.bytes[start..start + len]
    }

    /// The byte at `offset` of a stream.
    pub fn byte(&self, stream: usize, offset: u64) -> u8 {
        self.bytes[start(stream, offset)]
    }

    /// The greatest length of a piece, in bytes.
    pub fn longest(&self) -> usize {
        self.bytes.len() - PERIOD_BYTES
    }
}

fn start(stream: usize, offset: u64) -> usize {
    let period = PERIOD_BYTES as u64;
    ((stream as u64 % period * STRIDE_BYTES as u64 + offset) % period) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_consists_of_the_bytes_at_its_offset() {
        let pattern = Pattern::new(100);
        for (stream, offset) in [(0, 0), (3, 65_500), (70_000, u64::from(u32::MAX) * 7)] {
            let bytes: Vec<u8> = (0..100).map(|i| pattern.byte(stream, offset + i)).collect();
            assert_eq!(pattern.piece(stream, offset, 100), bytes, "stream {stream}");
        }
    }

    #[test]
    fn other_streams_and_offsets_have_other_bytes() {
        let pattern = Pattern::new(64);
        let piece = pattern.piece(1, 0, 64);
        for (stream, offset) in [(0, 0), (2, 0), (1, 1), (1, 64), (1, 1024), (1, 1 << 20)] {
            assert_ne!(pattern.piece(stream, offset, 64), piece, "{stream} at {offset}");
        }
    }
}
