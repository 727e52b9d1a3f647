// SPDX-License-Identifier: GPL-2.0

//! Primitives that the kernel crate lacks.
//!
//! C header: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h)

pub(crate) mod counter;
pub(crate) mod cpus;
pub(crate) mod errno;
pub(crate) mod fail;
pub(crate) mod gate;
pub(crate) mod host;
pub(crate) mod init;
pub(crate) mod params;
pub(crate) mod work;

/// Returns the seconds of the monotonic clock.
///
/// Context: any.
pub(crate) fn ktime_get_seconds() -> u64 {
    // SAFETY: Any context.
    let seconds = unsafe { kernel::bindings::ktime_get_seconds() };
    // It starts at 0.
    u64::try_from(seconds).unwrap_or(0)
}
