// SPDX-License-Identifier: GPL-2.0

//! The RTNL lock as a token.
//!
//! C header: [`include/linux/rtnetlink.h`](srctree/include/linux/rtnetlink.h)

use crate::bindings;
use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::types::NotThreadSafe;

/// Proof that this thread holds the RTNL mutex.
///
/// At most one `&mut Rtnl` is usable at a time: a function that may call back into the driver
/// with a token of its own takes the caller's by `&mut`.
pub(crate) struct Rtnl(NotThreadSafe);

impl Rtnl {
    /// # Safety
    ///
    /// The RTNL mutex is held by this thread for as long as the token is used, and any other
    /// token is lent to (borrowed by) the C function that calls us.
    pub(super) unsafe fn assume_held() -> Self {
        Self(NotThreadSafe)
    }
}

/// Holds the RTNL mutex until dropped.
pub(crate) struct RtnlGuard(Rtnl);

impl RtnlGuard {
    /// Takes the lock.
    ///
    /// Context: process, the lock not held yet.
    pub(crate) fn new() -> Self {
        // SAFETY: Process context; may sleep.
        unsafe { bindings::rtnl_lock() };
        Self(Rtnl(NotThreadSafe))
    }
}

impl Deref for RtnlGuard {
    type Target = Rtnl;
    fn deref(&self) -> &Rtnl {
        &self.0
    }
}

impl DerefMut for RtnlGuard {
    fn deref_mut(&mut self) -> &mut Rtnl {
        &mut self.0
    }
}

impl Drop for RtnlGuard {
    fn drop(&mut self) {
        // SAFETY: Taken by `new` in this thread (the type is not `Send`).
        unsafe { bindings::rtnl_unlock() };
    }
}
