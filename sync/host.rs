// SPDX-License-Identifier: GPL-2.0

//! What holds the things that call a driver by themselves.

use core::sync::atomic::{
    AtomicU32,
    Ordering, //
};
use kernel::time::{
    delay::fsleep,
    Delta, //
};

/// Holds works and hotplug nodes, whose functions get a reference to it.
///
/// # Safety
///
/// [`Host::holds`] is true only of what is part of a value in `self` that is pinned. Nothing that a reference to `self`
/// leads to goes before the [`Entrance`] was closed, which is never opened again; the entrance itself goes after the
/// parts, whose drop waits for their functions.
pub(crate) unsafe trait Host: Sync {
    /// Returns whether what begins at `part` is held by this.
    ///
    /// Context: any.
    fn holds(&self, part: *const ()) -> bool;

    /// Returns where functions enter.
    ///
    /// Context: any.
    fn entrance(&self) -> &Entrance;
}

/// The bit that says that nobody comes in any more.
const CLOSED: u32 = 1 << 31;

/// Counts the functions that run on behalf of a [`Host`].
pub(crate) struct Entrance(AtomicU32);

impl Entrance {
    /// Makes an entrance that is open, with nobody inside.
    ///
    /// Context: any.
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Calls `function`, unless closed.
    ///
    /// Context: any, but that of `function`.
    pub(crate) fn run(&self, function: impl FnOnce()) {
        let enter = |n: u32| {
            if n & CLOSED != 0 {
                None
            } else {
                n.checked_add(1)
            }
        };
        if self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, enter)
            .is_ok()
        {
            function();
            self.0.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Closes for good and waits for those inside, of whom there are none if all works and nodes were stopped.
    ///
    /// Context: process, without a lock that a function takes.
    pub(crate) fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::AcqRel);
        while self.0.load(Ordering::Acquire) != CLOSED {
            fsleep(Delta::from_millis(1));
        }
    }
}
