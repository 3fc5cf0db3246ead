//! The bytes of a stream, known by their place in it, so that nobody needs to store them.

use std::iter;
use std::sync::LazyLock;

use crate::rng::Rng;

/// The most that [`bytes`] gives at once.
pub const MOST: usize = 64 * 1024;

/// A prime, so that no buffer is a whole number of periods: a lost or repeated piece shows.
const PERIOD: usize = 65_521;

static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut rng = Rng::new(7);
    let period: Vec<u8> = iter::repeat_with(|| rng.next() as u8).take(PERIOD).collect();
    period.iter().copied().cycle().take(PERIOD + MOST).collect()
});

/// The bytes of stream `stream` from `offset` on, `len` of them, [`MOST`] at the most.
pub fn bytes(stream: usize, offset: u64, len: usize) -> &'static [u8] {
    let start = (stream * 7_919 + (offset % PERIOD as u64) as usize) % PERIOD;
    &TABLE[start..start + len]
}
