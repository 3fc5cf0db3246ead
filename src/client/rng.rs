//! Pseudo-random numbers, the same in each run.

/// The first number.
pub const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number after `x`. George Marsaglia, "Xorshift RNGs", 2003.
pub fn xorshift(mut x: u64) -> u64 {
    x ^= x << 13;
    x ^= x >> 7;
    x ^ (x << 17)
}
