//! Random numbers that a seed repeats: splitmix64.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index into a list of `len` items.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// From `low` to `high`, both included. Each power of two is as likely as any other.
    pub fn size(&mut self, low: u64, high: u64) -> u64 {
        let bits = u64::BITS - (high - low).leading_zeros();
        let most = if bits == 0 { 0 } else { u64::MAX >> (64 - 1 - self.below(u64::from(bits))) };
        low + self.below(most + 1).min(high - low)
    }

    /// True with a probability of `of_1024` / 1024.
    pub fn chance(&mut self, of_1024: u32) -> bool {
        of_1024 > 0 && self.next() % 1024 < u64::from(of_1024)
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(low + self.below(high - low + 1))
    }
}
