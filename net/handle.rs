// SPDX-License-Identifier: GPL-2.0

//! A way to a device that may be gone by the time it is used.

use core::{
    ptr::{
        null_mut,
        NonNull, //
    },
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        rcu,
        Arc, //
    }, //
};

/// Where a [`Handle`] finds its device.
///
/// # Invariants
///
/// `dev` is null, or a valid device. A grace period passes between the moment when it becomes null and the one
/// when the device ceases to be valid.
struct Place<D> {
    dev: AtomicPtr<D>,
}

/// A way to a device from outside of it: from another one, say, that hands packets over.
///
/// Lifetime: it doesn't keep the device, and may outlive it.
///
/// # Examples
///
/// `samples/loopback.rs` hands packets to the other end of a wire.
pub(crate) struct Handle<D>(Arc<Place<D>>);

impl<D> Clone for Handle<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

// `AtomicPtr` is `Send` and `Sync` whatever it points to: here that is reached from anywhere.
impl<D: Sync> Handle<D> {
    /// Makes a handle to no device yet.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        // INVARIANT: No device.
        let place = Place {
            dev: AtomicPtr::new(null_mut()),
        };
        Ok(Self(Arc::new(place, GFP_KERNEL)?))
    }

    /// Lets the handle, and each copy, lead to `dev` from here on.
    ///
    /// # Safety
    ///
    /// [`Handle::clear`] is called, and a grace period passes, before `dev` ceases to be valid.
    pub(super) unsafe fn set(&self, dev: &D) {
        // INVARIANT: By this function's contract.
        self.0
            .dev
            .store(core::ptr::from_ref(dev).cast_mut(), Ordering::Release);
    }

    /// Lets the handle lead nowhere from here on.
    ///
    /// Who is inside of [`Handle::with`] is there until a grace period has passed.
    pub(super) fn clear(&self) {
        self.0.dev.store(null_mut(), Ordering::Release);
    }

    /// Calls `f` with the device, in a read-side section of RCU, so it must not sleep, or returns
    /// `None` if the device is gone.
    ///
    /// Context: any.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&D) -> R) -> Option<R> {
        let section = rcu::read_lock();
        let dev = NonNull::new(self.0.dev.load(Ordering::Acquire))?;
        // SAFETY: By the type invariant the device stays valid until the section ends; the closure can't keep the
        // reference.
        let result = f(unsafe { dev.as_ref() });
        drop(section);
        Some(result)
    }
}
