// SPDX-License-Identifier: GPL-2.0

//! Failure injection, in a module built with `VNM_FAILPOINTS=1` only.
//!
//! [`point`] stands before each step of probe and open that can fail. The module parameter
//! `fail_at` counts down with each of them; the one that brings it to 0 fails. A test walks
//! through all of them and looks for what a failed step leaves behind.

use kernel::prelude::*;

/// Fails if it is this step's turn, as if there were no memory.
#[inline(always)]
pub(crate) fn point() -> Result {
    #[cfg(vnm_failpoints)]
    // SAFETY: Changes an atomic counter.
    if unsafe { crate::bindings::fail_point() } {
        return Err(ENOMEM);
    }
    Ok(())
}
