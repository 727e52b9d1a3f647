// SPDX-License-Identifier: GPL-2.0

//! Devices while they are bound, and what keeps them so.
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)

use super::Device;
use crate::{
    bindings,
    sync::host::Entrance, //
};
use core::{
    ffi::c_void,
    ptr::NonNull,
    sync::atomic::{
        AtomicPtr,
        AtomicUsize,
        Ordering, //
    }, //
};
use kernel::{
    device::{
        Bound,
        Core, //
    },
    error::to_result,
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// What is known of a device while it is bound.
pub(super) struct State {
    /// Whom interrupts go to: a function ([`super::irq::IrqFn`]) or null, and what it is given.
    pub(super) call: AtomicPtr<c_void>,
    pub(super) data: AtomicPtr<c_void>,
    refs: AtomicUsize,
    resets: Entrance,
}

impl State {
    /// Gives the device a state, in the place of what other drivers may have left there.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    ///
    /// # Safety
    ///
    /// The device is valid, nobody else drives it, and it has no state.
    pub(super) unsafe fn begin(vdev: *mut bindings::virtio_device) -> Result {
        let state = KBox::new(
            Self {
                call: AtomicPtr::new(core::ptr::null_mut()),
                data: AtomicPtr::new(core::ptr::null_mut()),
                refs: AtomicUsize::new(0),
                resets: Entrance::new(),
            },
            GFP_KERNEL,
        )?;
        // SAFETY: By this function's contract; the field is the driver's.
        unsafe { (*vdev).priv_ = KBox::into_raw(state).cast() };
        Ok(())
    }

    /// Waits until nobody has a [`BoundRef`], and takes the state away.
    ///
    /// # Safety
    ///
    /// The device has a state, which nobody looks at any more but by way of such a reference.
    pub(super) unsafe fn end(vdev: *mut bindings::virtio_device) {
        // SAFETY: By this function's contract.
        let dev: &Device<Bound> = unsafe { Device::from_raw(vdev) };
        let mut ms = 0u32;
        while Self::of(dev).refs.load(Ordering::Acquire) != 0 {
            ms = ms.saturating_add(1);
            if ms == 1000 {
                dev_err!(dev.dev(), "still in use after {ms} ms: waiting\n");
            }
            fsleep(Delta::from_millis(1));
        }
        // SAFETY: `begin` stored a box. No virtqueue is left, as their set has a reference, so no interrupt looks there.
        unsafe {
            let state = (*vdev).priv_.cast::<Self>();
            (*vdev).priv_ = core::ptr::null_mut();
            drop(KBox::from_raw(state));
        }
    }

    /// Returns the state of a bound device.
    pub(super) fn of(dev: &Device<Bound>) -> &Self {
        // SAFETY: A device that is bound to a driver of this layer has one, until `end`.
        unsafe { &*(*dev.as_raw()).priv_.cast::<Self>() }
    }

    /// Lets nobody reset and restore the device any more, and waits for who does.
    ///
    /// Context: process.
    pub(super) fn end_resets(&self) {
        self.resets.close();
    }
}

/// A reference that keeps a device bound: the driver isn't unbound before the last one is gone.
///
/// # Invariants
///
/// `refs` in the device's [`State`] counts this one.
pub(crate) struct BoundRef(NonNull<bindings::virtio_device>);

// SAFETY: `Device` is `Send` and `Sync`, and counting is atomic.
unsafe impl Send for BoundRef {}
// SAFETY: As above.
unsafe impl Sync for BoundRef {}

impl BoundRef {
    /// Resets the device and sets it up again through the driver's `reset_prepare` and `reset_done`.
    ///
    /// Context: process.
    ///
    /// # Errors
    ///
    /// Returns those of the driver and of the transport, and `ENODEV` if the device is about to be
    /// unbound.
    pub(crate) fn reset_and_restore(&self) -> Result {
        let mut result = Err(ENODEV);
        State::of(self).resets.run(|| result = self.reset_inside());
        result
    }

    /// Resets the device and sets it up again while `remove` waits, so that the driver's data
    /// stays.
    fn reset_inside(&self) -> Result {
        // SAFETY: The device is bound.
        to_result(unsafe { bindings::virtio_device_reset_prepare(self.as_raw()) })?;
        // SAFETY: As above; `reset_prepare` succeeded.
        to_result(unsafe { bindings::virtio_device_reset_done(self.as_raw()) })
    }
}

impl From<&Device<Bound>> for BoundRef {
    fn from(dev: &Device<Bound>) -> Self {
        State::of(dev).refs.fetch_add(1, Ordering::Relaxed);
        // INVARIANT: Counted above.
        // SAFETY: A reference's pointer isn't null.
        Self(unsafe { NonNull::new_unchecked(dev.as_raw()) })
    }
}

impl From<&Device<Core<'_>>> for BoundRef {
    fn from(dev: &Device<Core<'_>>) -> Self {
        let bound: &Device<Bound> = dev;
        bound.into()
    }
}

impl core::ops::Deref for BoundRef {
    type Target = Device<Bound>;
    fn deref(&self) -> &Device<Bound> {
        // SAFETY: By the type invariant the device stays bound, which keeps it valid.
        unsafe { Device::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for BoundRef {
    fn drop(&mut self) {
        State::of(self).refs.fetch_sub(1, Ordering::Release);
    }
}
