// SPDX-License-Identifier: GPL-2.0

//! A work that may not go on once the machine ends, and isn't waited for while it waits itself.

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

/// What lies between a work and whoever wants to end it for good, where the latter must not wait for as long as
/// others let the work wait (for a lock that a bug never gives back).
///
/// Locking: one work enters; [`Gate::close`] may come from anywhere. What the work did before it began to wait
/// is seen by who has closed.
pub(crate) struct Gate(AtomicU8);

impl Gate {
    /// Open, nobody inside.
    pub(crate) const fn new() -> Self {
        Self(AtomicU8::new(FREE))
    }

    fn step(&self, from: u8, to: u8) -> bool {
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The work comes in. False if it may not.
    #[must_use]
    pub(crate) fn enter(&self) -> bool {
        self.step(FREE, BUSY)
    }

    /// The work is done.
    pub(crate) fn leave(&self) {
        let _ = self.step(BUSY, FREE);
    }

    /// The work, which is inside, calls `wait`, which changes nothing. None if it may not go on after it.
    pub(crate) fn pause<R>(&self, wait: impl FnOnce() -> R) -> Option<R> {
        if !self.step(BUSY, WAITING) {
            return None;
        }
        let r = wait();
        self.step(WAITING, BUSY).then_some(r)
    }

    /// Closes, unless the work is at it. Whether it is closed then.
    #[must_use]
    pub(crate) fn close(&self) -> bool {
        self.step(FREE, CLOSED)
            || self.step(WAITING, CLOSED)
            || self.0.load(Ordering::Acquire) == CLOSED
    }
}
