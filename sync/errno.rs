// SPDX-License-Identifier: GPL-2.0

//! Error numbers that the kernel crate of 7.2 has no names for.
//!
//! Kernel 7.3 has some of them; that concerns this file only.
//!
//! C header: [`include/uapi/asm-generic/errno.h`](srctree/include/uapi/asm-generic/errno.h)
//!
//! Context: any.

use crate::bindings;
use kernel::error::Error;

fn errno(n: u32) -> Error {
    Error::from_errno(-i32::try_from(n).unwrap_or(0))
}

/// Returns the error of an operation that is not supported (`EOPNOTSUPP`).
pub(crate) fn eopnotsupp() -> Error {
    errno(bindings::EOPNOTSUPP)
}

/// Returns the error of an interface that is down (`ENETDOWN`).
pub(crate) fn enetdown() -> Error {
    errno(bindings::ENETDOWN)
}

/// Returns the error of what can't be done because the machine ends (`ESHUTDOWN`).
pub(crate) fn eshutdown() -> Error {
    errno(bindings::ESHUTDOWN)
}
