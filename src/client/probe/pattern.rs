//! Bytes that tell where they belong: each follows from its stream and its offset there, so that a byte
//! lost, doubled, late or somebody else's shows.

use std::iter::successors;

use crate::client::rng::{SEED, xorshift};

/// After this many bytes a stream repeats itself. A prime, so that messages, whose sizes are mostly powers
/// of two, do not repeat each other.
const PERIOD_BYTES: usize = 65_521;

/// Each stream begins this much further on than the last one.
const STRIDE_BYTES: usize = 131;

/// What all streams consist of, in memory that does not depend on how many there are.
#[derive(Debug)]
pub struct Pattern {
    bytes: Box<[u8]>,
}

impl Pattern {
    /// A pattern that can be had in pieces of up to `longest` bytes.
    pub fn new(longest: usize) -> Self {
        let random = successors(Some(SEED), |x| Some(xorshift(*x)));
        let mut bytes: Vec<u8> = random.map(|x| (x >> 56) as u8).take(PERIOD_BYTES).collect();
        // By whole slices: byte by byte, this is most of what a short test takes.
        while bytes.len() < PERIOD_BYTES + longest {
            let missing = PERIOD_BYTES + longest - bytes.len();
            bytes.extend_from_within(..missing.min(PERIOD_BYTES));
        }
        Self { bytes: bytes.into() }
    }

    /// The `len` bytes at `offset` of a stream, at most as many as [`new`](Self::new) was told.
    pub fn piece(&self, stream: usize, offset: u64, len: usize) -> &[u8] {
        let start = start(stream, offset);
        &self.bytes[start..start + len]
    }

    /// The byte at `offset` of a stream.
    pub fn byte(&self, stream: usize, offset: u64) -> u8 {
        self.bytes[start(stream, offset)]
    }

    /// The longest piece, in bytes.
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
    fn pieces_are_what_their_bytes_are() {
        let pattern = Pattern::new(100);
        for (stream, offset) in [(0, 0), (3, 65_500), (70_000, u64::from(u32::MAX) * 7)] {
            let bytes: Vec<u8> = (0..100).map(|i| pattern.byte(stream, offset + i)).collect();
            assert_eq!(pattern.piece(stream, offset, 100), bytes, "stream {stream}");
        }
    }

    #[test]
    fn streams_and_offsets_differ() {
        let pattern = Pattern::new(64);
        let piece = pattern.piece(1, 0, 64);
        for (stream, offset) in [(0, 0), (2, 0), (1, 1), (1, 64), (1, 1024), (1, 1 << 20)] {
            assert_ne!(pattern.piece(stream, offset, 64), piece, "{stream} at {offset}");
        }
    }
}
