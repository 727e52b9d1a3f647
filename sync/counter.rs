// SPDX-License-Identifier: GPL-2.0

//! Statistics counters that one writer at a time adds to.
//!
//! Context: any.

use core::cell::UnsafeCell;

/// A 64-bit statistics counter: one writer at a time, readers anywhere.
///
/// Adding is a plain load and store (`READ_ONCE`, `WRITE_ONCE`), no locked instruction. Two
/// writers at once would lose counts and do no other harm; each counter of a queue is written
/// under that queue's TX lock or by its NAPI only.
#[repr(transparent)]
pub(crate) struct Counter(UnsafeCell<u64>);

// SAFETY: All accesses are volatile and of machine-word size, which the kernel's memory model
// (`READ_ONCE`/`WRITE_ONCE`) allows to race.
unsafe impl Sync for Counter {}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

impl Counter {
    /// Makes a counter at zero.
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    /// Adds `n`, wrapping.
    #[inline(always)]
    pub(crate) fn add(&self, n: u64) {
        // SAFETY: The pointer is valid and aligned for as long as `self` is.
        unsafe {
            let v = self.0.get().read_volatile();
            self.0.get().write_volatile(v.wrapping_add(n));
        }
    }

    /// Adds one to the counter.
    #[inline(always)]
    pub(crate) fn inc(&self) {
        self.add(1);
    }

    /// Returns the value at some recent moment.
    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        // SAFETY: The pointer is valid and aligned for as long as `self` is.
        unsafe { self.0.get().read_volatile() }
    }
}
