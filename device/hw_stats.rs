// SPDX-License-Identifier: GPL-2.0

//! What is known of the statistics that the device keeps.
//!
//! Context: any.

#![forbid(unsafe_code)]

use crate::sync::counter::Counter;
use core::sync::atomic::{
    AtomicU64,
    Ordering, //
};

/// What is known of the device's statistics.
///
/// Locking: written under RTNL.
pub(crate) struct HwStats {
    /// Types that the device has and that may be asked for.
    pub(crate) types: AtomicU64,
    /// Replies, or entries of one, that were refused, missing or wrong.
    pub(crate) errors: Counter,
}

impl HwStats {
    /// Makes one that knows of no statistics.
    pub(crate) const fn new() -> Self {
        Self {
            types: AtomicU64::new(0),
            errors: Counter::new(),
        }
    }

    /// Returns the types, one bit for each.
    pub(crate) fn types(&self) -> u64 {
        self.types.load(Ordering::Relaxed)
    }
}
