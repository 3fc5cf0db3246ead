//! The random bytes that a bench sends.

use crate::client::check::profile::Profile;
use crate::client::rng::xorshift;

/// Random bytes that follow from the seed: in lines of letters, if that is what the server echoes.
pub(super) fn pool(profile: Profile, seed: u64) -> Box<[u8]> {
    let mut bytes = random_bytes(seed);
    if profile == Profile::Line {
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = if (at + 1) % LINE_BYTES == 0 { b'\n' } else { b'a' + *byte % 26 };
        }
    }
    bytes
}

/// The length of a line, with its end.
const LINE_BYTES: usize = 61;

/// The number of random bytes: a prime.
const POOL_BYTES: usize = 1_048_573;

fn random_bytes(seed: u64) -> Box<[u8]> {
    let states = std::iter::successors(Some(seed), |state| Some(xorshift(*state)));
    states.skip(1).take(POOL_BYTES).map(|state| (state >> 56) as u8).collect()
}
