// SPDX-License-Identifier: GPL-2.0

//! Failure injection, in a module built with `VNM_FAILPOINTS=1` only.
//!
//! [`point`] stands before each step of probe and open that can fail, and where sockets' buffers
//! are taken out of use. The module parameter `fail_at` counts down with each of them; the one that
//! brings it to 0 fails, with -2 each one. A test walks through all of them and looks for what a
//! failed step leaves behind.
//!
//! [`no_memory`] makes receive queues do without memory for as long as a parameter says.
//!
//! [`delay_before_complete`], [`delay_after_complete`] and [`delay_after_restore`] make races that
//! are narrow wide ones.
//!
//! The parameter `delay_irq_moves`, which nothing here asks for, does the same to the kernel's own code
//! that moves interrupts between CPUs.
//!
//! C counterpart: `helpers/fail.c`

use kernel::prelude::*;

/// Fails if it is this step's turn, as if there were no memory.
///
/// Context: any.
///
/// # Errors
///
/// Returns `ENOMEM` if it is this step's turn.
#[inline(always)]
pub(crate) fn point() -> Result {
    #[cfg(vnm_failpoints)]
    // SAFETY: Changes an atomic counter.
    if unsafe { crate::bindings::fail_point() } {
        return Err(ENOMEM);
    }
    Ok(())
}

/// Returns whether receive queues get no memory for buffers (`no_memory`).
///
/// Context: any.
#[inline(always)]
pub(crate) fn no_memory() -> bool {
    #[cfg(vnm_failpoints)]
    // SAFETY: Reads a parameter of the module.
    if unsafe { crate::bindings::fail_no_memory() } {
        return true;
    }
    false
}

/// Holds this CPU up for as long as `delay_before_complete` says, because a poll expects that its
/// interrupt is deferred, which may change until it ends.
///
/// Context: softirq.
#[inline(always)]
pub(crate) fn delay_before_complete() {
    #[cfg(vnm_failpoints)]
    // SAFETY: Waits, for a millisecond at most.
    unsafe {
        crate::bindings::fail_delay_before_complete()
    };
}

/// Holds this CPU up, if it is this refusal's turn (`delay_after_complete`), because a poll of
/// `napi` was told that it doesn't own the instance any more, perhaps.
///
/// Context: softirq.
///
/// # Safety
///
/// `napi` is alive.
#[inline(always)]
pub(crate) unsafe fn delay_after_complete(_napi: *mut crate::bindings::napi_struct) {
    #[cfg(vnm_failpoints)]
    // SAFETY: By this function's contract; reads its state.
    unsafe {
        crate::bindings::fail_delay(_napi)
    };
}

/// Sleeps for as long as `delay_after_restore` says, while the device works again, whoever resets it
/// may do so, and the virtio core doesn't know yet.
///
/// Context: process.
#[inline(always)]
pub(crate) fn delay_after_restore() {
    #[cfg(vnm_failpoints)]
    // SAFETY: This may sleep.
    unsafe {
        crate::bindings::fail_delay_restore()
    };
}
