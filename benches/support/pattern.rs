//! Bytes that tell where they belong: each follows from its connection and its offset in that
//! connection's stream, so that a byte lost, doubled, late or somebody else's shows.

use std::iter::successors;

/// After this many bytes a stream repeats itself. A prime, so that messages, whose sizes are powers of
/// two, do not repeat each other.
const PERIOD_BYTES: usize = 65_521;

/// Each connection's stream begins this much further on than the last one's.
const STRIDE_BYTES: usize = 131;

/// What every connection sends, in memory that does not depend on how many there are.
pub struct Pattern {
    bytes: Vec<u8>,
}

impl Pattern {
    /// A pattern that can be had in pieces of up to `longest` bytes.
    pub fn new(longest: usize) -> Self {
        let random = successors(Some(0x9e37_79b9_u32), |x| Some(xorshift(*x)));
        let period: Vec<u8> = random.map(|x| (x >> 24) as u8).take(PERIOD_BYTES).collect();
        Self { bytes: period.iter().copied().cycle().take(PERIOD_BYTES + longest).collect() }
    }

    /// The `len` bytes at `offset` in the stream of a connection.
    pub fn piece(&self, connection: usize, offset: usize, len: usize) -> &[u8] {
        let start = (connection * STRIDE_BYTES + offset) % PERIOD_BYTES;
        &self.bytes[start..start + len]
    }

    /// Panics at the first byte of `echoed` that is not what the connection sent at that offset.
    #[track_caller]
    pub fn check(&self, connection: usize, offset: usize, echoed: &[u8]) {
        let sent = self.piece(connection, offset, echoed.len());
        // Slices compare many bytes at a time; which byte it is matters only where they differ.
        if echoed != sent {
            let i = echoed.iter().zip(sent).take_while(|(got, wanted)| got == wanted).count();
            panic!(
                "wrong echo: byte {} of connection {connection} is {:#04x}, not {:#04x}",
                offset + i,
                echoed[i],
                sent[i],
            );
        }
    }
}

/// George Marsaglia, "Xorshift RNGs", 2003.
fn xorshift(mut x: u32) -> u32 {
    x ^= x << 13;
    x ^= x >> 17;
    x ^ (x << 5)
}
