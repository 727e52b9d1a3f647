// SPDX-License-Identifier: GPL-2.0

//! Chance that can be repeated: xorshift64* (Vigna 2016).

/// A sequence of numbers that the seed decides on.
#[derive(Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        // 0 would stay 0.
        let mut r = Self((seed ^ 0x9e37_79b9_7f4a_7c15).max(1));
        for _ in 0..4 {
            r.next();
        }
        r
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// 0 to `n` - 1.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n.max(1)
    }

    /// Once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A number of 32 bits as tests want it: borders and neighbours of `near` as often as anything else.
    pub fn odd32(&mut self, near: u32) -> u32 {
        match self.below(8) {
            0 => 0,
            1 => u32::MAX,
            2 => 1 << self.below(32),
            3 => (1u32 << self.below(32)).wrapping_sub(1),
            4 => near.wrapping_add(1),
            5 => near.wrapping_sub(1),
            6 => near.wrapping_add(self.below(64) as u32).wrapping_sub(32),
            _ => self.next() as u32,
        }
    }

    /// The same with 16 bits.
    pub fn odd16(&mut self, near: u16) -> u16 {
        self.odd32(near.into()) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats() {
        let (mut a, mut b, mut c) = (Rng::new(7), Rng::new(7), Rng::new(8));
        let x: Vec<_> = (0..100).map(|_| a.next()).collect();
        assert_eq!(x, (0..100).map(|_| b.next()).collect::<Vec<_>>());
        assert_ne!(x, (0..100).map(|_| c.next()).collect::<Vec<_>>());
        assert!((0..1000).all(|_| a.below(10) < 10));
        assert_eq!(a.below(0), 0);
    }
}
