// SPDX-License-Identifier: GPL-2.0

//! The parameters of the module.
//!
//! They are defined in `params.c`, as the kernel crate of 7.2 has neither `bool` ones nor ones that
//! sysfs shows.
//!
//! C header: `params.h`
//!
//! Context: any.

use crate::bindings;

/// Returns `queue_pairs`: active pairs of a new interface, 0 for one per online CPU.
pub(crate) fn queue_pairs() -> u32 {
    // SAFETY: Reads a variable that is set before the module's init.
    unsafe { bindings::vnm_param_queue_pairs() }
}

/// Returns `napi_weight`: packets that one poll may receive, 1 to 64 (what the stack has at most).
pub(crate) fn napi_weight() -> i32 {
    // SAFETY: Reads a variable that is set before the module's init.
    unsafe { bindings::vnm_param_napi_weight() }.clamp(1, 64)
}

/// Returns `csum`: whether checksums are left to the device at first.
pub(crate) fn csum() -> bool {
    // SAFETY: As above.
    unsafe { bindings::vnm_param_csum() }
}

/// Returns `gso`: whether segmentation is left to the device at first.
pub(crate) fn gso() -> bool {
    // SAFETY: As above.
    unsafe { bindings::vnm_param_gso() }
}

/// Returns `napi_tx`, which is without effect, as it was asked for.
pub(crate) fn napi_tx() -> bool {
    // SAFETY: A volatile read.
    unsafe { bindings::vnm_param_napi_tx() }
}

/// Returns `ctrl_timeout_ms`: how long a control command may take, in milliseconds, 1 to 600 000.
pub(crate) fn ctrl_timeout_ms() -> u32 {
    // SAFETY: A volatile read.
    unsafe { bindings::vnm_param_ctrl_timeout_ms() }.clamp(1, 600_000)
}
