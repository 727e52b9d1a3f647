// SPDX-License-Identifier: GPL-2.0

//! A gate for a work that may not go on once the machine ends, and isn't waited for while it waits
//! itself.
//!
//! Context: any.

use core::sync::atomic::{
    AtomicU8,
    Ordering, //
};

/// Nobody is inside.
const FREE: u8 = 0;
/// The work is inside and changes something.
const BUSY: u8 = 1;
/// The work is inside and waits for somebody else.
const WAITING: u8 = 2;
/// Nobody comes in any more, and who waits may not go on.
const CLOSED: u8 = 3;

/// What lies between a work and whoever wants to end it for good, where the latter must not wait
/// for as long as others let the work wait (for a lock that a bug never gives back).
///
/// Locking: one work enters; [`Gate::close`] may come from anywhere. What the work did before it
/// began to wait is seen by who has closed.
pub(crate) struct Gate(AtomicU8);

impl Gate {
    /// Makes a gate that is open, with nobody inside.
    pub(crate) const fn new() -> Self {
        Self(AtomicU8::new(FREE))
    }

    fn step(&self, from: u8, to: u8) -> bool {
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Lets the work in, or returns false if it may not.
    #[must_use]
    pub(crate) fn enter(&self) -> bool {
        self.step(FREE, BUSY)
    }

    /// Lets the work out, which is done.
    pub(crate) fn leave(&self) {
        let _ = self.step(BUSY, FREE);
    }

    /// Calls `wait`, which changes nothing, on behalf of the work, which is inside.
    ///
    /// Returns `None` if the work may not go on after it.
    ///
    /// Context: process.
    pub(crate) fn pause<R>(&self, wait: impl FnOnce() -> R) -> Option<R> {
        if !self.step(BUSY, WAITING) {
            return None;
        }
        let r = wait();
        self.step(WAITING, BUSY).then_some(r)
    }

    /// Closes the gate, unless the work is at it, and returns whether it is closed then.
    #[must_use]
    pub(crate) fn close(&self) -> bool {
        self.step(FREE, CLOSED)
            || self.step(WAITING, CLOSED)
            || self.0.load(Ordering::Acquire) == CLOSED
    }
}
