// SPDX-License-Identifier: GPL-2.0

//! Initialisation of a value where it will stay.
//!
//! Kernel 7.3 gives the function for that another name; that concerns this file only.

use kernel::prelude::*;

/// Initialises `*slot` by `init`.
///
/// Context: process.
///
/// # Errors
///
/// Returns those of `init`, after which there is nothing in `*slot`.
///
/// # Safety
///
/// `slot` is valid for writes, aligned, and stays where it is until the value is dropped.
#[inline(always)]
pub(crate) unsafe fn init_at<T, E>(slot: *mut T, init: impl PinInit<T, E>) -> Result<(), E> {
    // SAFETY: By this function's contract; after an error nobody looks at the slot.
    #[cfg(not(kernel_7_3))]
    unsafe {
        init.__pinned_init(slot)
    }
    // SAFETY: As above.
    #[cfg(kernel_7_3)]
    unsafe {
        pin_init::raw_try_init(slot, init)
    }
}
