// SPDX-License-Identifier: GPL-2.0

//! Error numbers that the kernel crate of 7.2 has no names for.
//!
//! Kernel 7.3 has some of them; that concerns this file only.

use crate::bindings;
use kernel::error::Error;

fn errno(n: u32) -> Error {
    Error::from_errno(-i32::try_from(n).unwrap_or(0))
}

/// The operation is not supported (`EOPNOTSUPP`).
pub(crate) fn eopnotsupp() -> Error {
    errno(bindings::EOPNOTSUPP)
}

/// The interface is down (`ENETDOWN`).
pub(crate) fn enetdown() -> Error {
    errno(bindings::ENETDOWN)
}

/// The machine ends (`ESHUTDOWN`).
pub(crate) fn eshutdown() -> Error {
    errno(bindings::ESHUTDOWN)
}
