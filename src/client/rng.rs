//! Numbers that look random, and are the same each time.

/// The first of them.
pub const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The one after this one. George Marsaglia, "Xorshift RNGs", 2003.
pub fn xorshift(mut x: u64) -> u64 {
    x ^= x << 13;
    x ^= x >> 7;
    x ^ (x << 17)
}
