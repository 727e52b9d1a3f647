// SPDX-License-Identifier: GPL-2.0

//! An interface of `net_failover`, on top of a paravirtual one and, while it is there, of a device
//! that is passed through and has the same address.
//!
//! C header: [`include/net/net_failover.h`](srctree/include/net/net_failover.h)

use super::{
    driver::Driver,
    NetDevice, //
};
use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    prelude::*, //
};

/// The failover interface of a standby.
///
/// It takes the standby in when that is registered, and lets it go when it is unregistered.
///
/// # Invariants
///
/// It was made by `net_failover_create` and not destroyed.
///
/// Locking: RTNL is taken inside of creation and drop, so it isn't held there. Lifetime: it is
/// dropped after the standby was unregistered.
pub(crate) struct Failover(NonNull<bindings::failover>);

// SAFETY: Only created and destroyed; either may happen in any thread.
unsafe impl Send for Failover {}

impl Failover {
    /// Registers a failover interface for `standby`, which is not registered yet.
    ///
    /// Context: process, RTNL not held.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`, and what the core says to the registration.
    pub(crate) fn new<T: Driver>(standby: &NetDevice<T>) -> Result<Self> {
        crate::sync::fail::point()?;
        // SAFETY: By the type invariants the device is valid, its parent and address are set. C
        // copies what it needs of it and keeps no pointer before the standby is registered.
        let failover = from_err_ptr(unsafe { bindings::net_failover_create(standby.as_raw()) })?;
        // INVARIANT: Just made.
        Ok(Self(NonNull::new(failover).ok_or(ENOMEM)?))
    }
}

impl Drop for Failover {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, once.
        unsafe { bindings::net_failover_destroy(self.0.as_ptr()) };
    }
}
