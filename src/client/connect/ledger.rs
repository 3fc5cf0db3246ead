//! What was sent and has not come back yet, to compare with what comes back.
//!
//! The ledger keeps the bytes of [`KEPT_BLOCKS`] blocks, and compares them one by one. A server can owe more than that,
//! for example if it reads everything before it answers. Of further blocks, the ledger keeps only a keyed hash. So a
//! stream of any length takes little memory, and the client still verifies each byte before it writes it.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::io::{self, Write};

use super::exchange::Difference;

/// The size of a block of the stream: what a pipe holds by default, pipe(7).
pub const BLOCK_BYTES: usize = 64 * 1024;

/// The blocks that the ledger keeps byte by byte: 1 MiB. Four times as many are no faster, and take more memory.
const KEPT_BLOCKS: usize = 16;

/// The bytes that the server owes, and what is wrong with those that it sent.
#[derive(Debug)]
pub struct Ledger {
    /// Some of the first block may have come back.
    blocks: VecDeque<Block>,
    /// How many bytes of the first block have come back.
    verified_of_first: usize,
    kept_blocks: usize,
    verified_bytes: u64,
    mismatch: Option<Mismatch>,
    /// Random, and known only to this process. So no peer can choose bytes that collide.
    keys: RandomState,
    /// Buffers to use again.
    spare: Vec<Vec<u8>>,
}

#[derive(Debug)]
enum Block {
    /// It has [`BLOCK_BYTES`] bytes. Only the last block can have fewer, since it grows, and it has at least one.
    Kept(Vec<u8>),
    /// The hash of [`BLOCK_BYTES`] bytes.
    Hashed(u64),
}

/// What is wrong with an echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    Byte(Difference),
    /// Some byte from `offset` on, in a block of which the ledger has only a hash.
    Block {
        offset: u64,
    },
    /// More bytes than were sent.
    Surplus,
}

impl Ledger {
    pub fn new() -> Self {
        Self {
            blocks: VecDeque::new(),
            verified_of_first: 0,
            kept_blocks: 0,
            verified_bytes: 0,
            mismatch: None,
            keys: RandomState::new(),
            spare: Vec::new(),
        }
    }

    /// Records bytes that were sent.
    pub fn sent(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let block = self.growing_block();
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - block.len()));
            block.extend_from_slice(now);
            bytes = later;
            self.hash_last_if_too_many();
        }
    }

    /// Compares bytes that came with those that are owed, and returns how many of them are right. The caller passes the
    /// others again, with what follows them, unless they are [wrong](Self::mismatch).
    pub fn verify(&mut self, bytes: &[u8]) -> usize {
        let mut right = 0;
        while right < bytes.len() && self.mismatch.is_none() {
            match self.verify_one_block(&bytes[right..]) {
                0 => break,
                n => right += n,
            }
        }
        right
    }

    /// What is wrong with the bytes that came, if anything.
    pub fn mismatch(&self) -> Option<Mismatch> {
        self.mismatch
    }

    /// Whether the server owes nothing.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether the ledger would keep only hashes of more bytes.
    pub fn is_full(&self) -> bool {
        self.kept_blocks >= KEPT_BLOCKS
    }

    fn verify_one_block(&mut self, bytes: &[u8]) -> usize {
        let (right, mismatch) = match self.blocks.front() {
            None => (0, Some(Mismatch::Surplus)),
            Some(Block::Kept(block)) => self.compare(&block[self.verified_of_first..], bytes),
            // A hash can verify only the whole block.
            Some(Block::Hashed(_)) if bytes.len() < BLOCK_BYTES => (0, None),
            Some(Block::Hashed(hash)) if self.keys.hash_one(&bytes[..BLOCK_BYTES]) == *hash => {
                (BLOCK_BYTES, None)
            }
            Some(Block::Hashed(_)) => (0, Some(Mismatch::Block { offset: self.verified_bytes })),
        };
        self.mismatch = mismatch;
        self.advance(right);
        right
    }

    /// How many bytes are right, and the first that is not.
    fn compare(&self, owed: &[u8], bytes: &[u8]) -> (usize, Option<Mismatch>) {
        let common = owed.len().min(bytes.len());
        // First all at once, which is many times as fast.
        if owed[..common] == bytes[..common] {
            return (common, None);
        }
        let pairs = owed.iter().zip(bytes);
        let right = pairs.take_while(|(sent, received)| sent == received).count();
        let offset = self.verified_bytes + right as u64;
        let difference = Difference { offset, sent: owed[right], received: bytes[right] };
        (right, Some(Mismatch::Byte(difference)))
    }

    fn advance(&mut self, right: usize) {
        self.verified_bytes += right as u64;
        self.verified_of_first += right;
        let first_bytes = match self.blocks.front() {
            None => return,
            Some(Block::Kept(block)) => block.len(),
            Some(Block::Hashed(_)) => BLOCK_BYTES,
        };
        if self.verified_of_first == first_bytes {
            self.verified_of_first = 0;
            if let Some(Block::Kept(block)) = self.blocks.pop_front() {
                self.recycle(block);
            }
        }
    }

    /// The last block, if it can grow, or a new one.
    fn growing_block(&mut self) -> &mut Vec<u8> {
        let grows = matches!(self.blocks.back(), Some(Block::Kept(b)) if b.len() < BLOCK_BYTES);
        if !grows {
            let empty = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK_BYTES));
            self.blocks.push_back(Block::Kept(empty));
            self.kept_blocks += 1;
        }
        match self.blocks.back_mut() {
            Some(Block::Kept(block)) => block,
            _ => unreachable!("the last block grows: it was just made or checked"),
        }
    }

    fn hash_last_if_too_many(&mut self) {
        if self.kept_blocks <= KEPT_BLOCKS {
            return;
        }
        let Some(Block::Kept(block)) = self.blocks.back_mut() else { return };
        if block.len() == BLOCK_BYTES {
            let block = std::mem::take(block);
            let hash = self.keys.hash_one(&block[..]);
            self.blocks.pop_back();
            self.blocks.push_back(Block::Hashed(hash));
            self.recycle(block);
        }
    }

    fn recycle(&mut self, mut block: Vec<u8>) {
        self.kept_blocks -= 1;
        block.clear();
        self.spare.push(block);
    }
}

/// Writes to `sink`, and records in `ledger` what that took.
pub struct Recorded<'a, W> {
    pub sink: W,
    pub ledger: &'a mut Ledger,
}

impl<W: Write> Write for Recorded<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.sink.write(bytes)?;
        self.ledger.sent(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(difference) => difference.fmt(f),
            Self::Block { offset } => write!(
                f,
                "the echo is wrong: of the {BLOCK_BYTES} bytes from offset {offset} on, some differ \
                 from what was sent"
            ),
            Self::Surplus => f.write_str("the server sent more than it got"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes in which no two blocks are equal.
    fn stream(bytes: usize) -> Vec<u8> {
        (0..bytes as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
    }

    /// More than the ledger keeps, by some blocks and a piece.
    const MUCH: usize = (KEPT_BLOCKS + 5) * BLOCK_BYTES + 777;

    /// Verifies as a pump does: passes what was not verified again, with what follows.
    fn verify_in_pieces(ledger: &mut Ledger, bytes: &[u8], piece: usize) -> usize {
        let (mut right, mut shown) = (0, 0);
        while shown < bytes.len() && ledger.mismatch().is_none() {
            shown = bytes.len().min(shown + piece);
            right += ledger.verify(&bytes[right..shown]);
            let waiting = if ledger.mismatch().is_some() { 0 } else { shown - right };
            assert!(waiting < BLOCK_BYTES, "less than a block waits");
        }
        right
    }

    #[test]
    fn bytes_in_pieces_of_any_size_are_verified_and_then_nothing_is_owed() {
        let sent = stream(MUCH);
        for (out, back) in [(1000, 1000), (BLOCK_BYTES, 9999), (MUCH, MUCH), (33_333, BLOCK_BYTES)]
        {
            let mut ledger = Ledger::new();
            sent.chunks(out).for_each(|piece| ledger.sent(piece));
            assert!(ledger.is_full());
            assert!(
                ledger.spare.len() + ledger.kept_blocks <= KEPT_BLOCKS + 1,
                "memory is bounded"
            );
            assert_eq!(verify_in_pieces(&mut ledger, &sent, back), MUCH);
            assert!(ledger.is_empty() && ledger.mismatch().is_none(), "{out} {back}");
        }
    }

    #[test]
    fn bytes_that_come_back_at_once_leave_nothing_owed() {
        let sent = stream(3 * BLOCK_BYTES);
        let mut ledger = Ledger::new();
        for piece in sent.chunks(7) {
            ledger.sent(piece);
            assert_eq!(ledger.verify(piece), piece.len());
            assert!(ledger.is_empty());
        }
    }

    /// At the edges of blocks, in kept and in hashed ones, and in the piece at the end.
    #[test]
    fn a_changed_byte_is_found_anywhere_and_nothing_after_it_is_verified() {
        let sent = stream(MUCH);
        let kept = KEPT_BLOCKS * BLOCK_BYTES;
        for at in
            [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, kept - 1, kept, MUCH - 778, MUCH - 777, MUCH - 1]
        {
            let mut ledger = Ledger::new();
            ledger.sent(&sent);
            let mut echo = sent.clone();
            echo[at] ^= 0x20;
            let right = verify_in_pieces(&mut ledger, &echo, 50_000);
            let in_hashed = (kept..MUCH - 777).contains(&at);
            let expected = if in_hashed {
                Mismatch::Block { offset: (at / BLOCK_BYTES * BLOCK_BYTES) as u64 }
            } else {
                Mismatch::Byte(Difference { offset: at as u64, sent: sent[at], received: echo[at] })
            };
            assert_eq!(ledger.mismatch(), Some(expected), "{at}");
            let verified = if in_hashed { at / BLOCK_BYTES * BLOCK_BYTES } else { at };
            assert_eq!(right, verified, "{at}");
        }
    }

    #[test]
    fn swapped_bytes_are_found_in_a_hashed_block_too() {
        let sent = stream(MUCH);
        let mut ledger = Ledger::new();
        ledger.sent(&sent);
        let mut echo = sent;
        let at = (KEPT_BLOCKS + 2) * BLOCK_BYTES;
        let other = (1..).find(|i| echo[at + i] != echo[at]).unwrap();
        echo.swap(at, at + other);
        verify_in_pieces(&mut ledger, &echo, BLOCK_BYTES);
        assert_eq!(ledger.mismatch(), Some(Mismatch::Block { offset: at as u64 }));
    }

    #[test]
    fn more_than_was_sent_is_surplus() {
        let mut ledger = Ledger::new();
        ledger.sent(b"hello");
        assert_eq!(ledger.verify(b"hello..."), 5);
        assert_eq!(ledger.mismatch(), Some(Mismatch::Surplus));
        let mut ledger = Ledger::new();
        assert_eq!(ledger.verify(b""), 0);
        assert_eq!(ledger.mismatch(), None);
        assert_eq!(ledger.verify(b"x"), 0);
        assert_eq!(ledger.mismatch(), Some(Mismatch::Surplus));
    }

    #[test]
    fn each_ledger_hashes_with_its_own_keys() {
        let hash = |ledger: Ledger| ledger.keys.hash_one(&b"the same"[..]);
        assert_ne!(hash(Ledger::new()), hash(Ledger::new()));
    }
}
