//! The bytes that a test sends: each follows from its stream and its offset, so no test needs to store them.

use std::iter;
use std::sync::LazyLock;

use super::rng::Rng;

/// The most that [`bytes`] returns at once.
pub const MAX_BYTES: usize = 256 * 1024;

/// A prime number, so that no buffer is a whole number of periods: a lost or repeated piece shows.
const PERIOD: usize = 65_521;

static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut rng = Rng::new(7);
    let period: Vec<u8> = iter::repeat_with(|| rng.next() as u8).take(PERIOD).collect();
    period.iter().copied().cycle().take(PERIOD + MAX_BYTES).collect()
});

/// The first `len` bytes of stream `stream`, however many those are.
pub fn pattern(stream: usize, len: usize) -> Vec<u8> {
    let mut all = Vec::with_capacity(len);
    while all.len() < len {
        all.extend(bytes(stream, all.len() as u64, MAX_BYTES.min(len - all.len())));
    }
    all
}

/// Returns `len` bytes of stream `stream`, from `offset` on. `len` must not exceed [`MAX_BYTES`].
pub fn bytes(stream: usize, offset: u64, len: usize) -> &'static [u8] {
    let start = (stream * 7_919 + (offset % PERIOD as u64) as usize) % PERIOD;
    &TABLE[start..start + len]
}
