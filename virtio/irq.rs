// SPDX-License-Identifier: GPL-2.0

//! From a virtqueue's interrupt to the driver.
//!
//! `find_vqs` is given one C function for all interrupts, whatever the driver. What a device's
//! interrupts are for it finds through `vdev->priv`, which [`set`] and [`clear`] write.

use super::Device;
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::device::DeviceContext;

/// What is called for the interrupt of a virtqueue. It is the first field of a `repr(C)` structure
/// that the function knows, and gets at by casting the pointer.
///
/// Context of the call: hard interrupt.
#[repr(C)]
pub(super) struct IrqTarget {
    /// The function; its argument is the target.
    pub(super) call: unsafe fn(NonNull<IrqTarget>, VqCallback<'_>),
}

/// The callback of every virtqueue that interrupts.
///
/// # Safety
///
/// Called by the virtio core for a queue of a device whose `priv` is null or an [`IrqTarget`].
pub(super) unsafe extern "C" fn vq_callback(vq: *mut bindings::virtqueue) {
    // SAFETY: `priv` is null or valid: it is cleared, and running callbacks are waited for, before the
    // target goes (`clear`).
    unsafe {
        let vdev = (*vq).vdev;
        let target = (&raw const (*vdev).priv_)
            .read_volatile()
            .cast::<IrqTarget>();
        if let (Some(target), Some(vq)) = (NonNull::new(target), NonNull::new(vq)) {
            (target.as_ref().call)(target, VqCallback::new(vq));
        }
    }
}

/// Interrupts of `dev` have no target: another driver may have left its own there.
///
/// # Safety
///
/// Nobody drives the device, or [`clear`] is called.
pub(super) unsafe fn forget<C: DeviceContext>(dev: &Device<C>) {
    // SAFETY: The field is the driver's, by this function's contract ours.
    unsafe { (&raw mut (*dev.as_raw()).priv_).write_volatile(core::ptr::null_mut()) };
}

/// From now on the interrupts of `dev` go to `target`.
///
/// # Safety
///
/// It stays valid until [`clear`] has returned.
pub(super) unsafe fn set<C: DeviceContext>(dev: &Device<C>, target: NonNull<IrqTarget>) {
    // SAFETY: The field is the driver's; interrupts read it once.
    unsafe { (&raw mut (*dev.as_raw()).priv_).write_volatile(target.as_ptr().cast()) };
}

/// The target of the interrupts of `dev`.
pub(super) fn target<C: DeviceContext>(dev: &Device<C>) -> Option<NonNull<IrqTarget>> {
    // SAFETY: The device is valid; reads a pointer.
    NonNull::new(unsafe { (&raw const (*dev.as_raw()).priv_).read_volatile() }.cast())
}

/// No interrupt of `dev` goes anywhere, and none is under way when this returns. Process context.
pub(super) fn clear<C: DeviceContext>(dev: &Device<C>) {
    // SAFETY: The field is the driver's. Callbacks that have read it are waited for.
    unsafe {
        forget(dev);
        bindings::virtio_synchronize_cbs(dev.as_raw());
    }
}

/// A queue's interrupt: all that may be done there.
pub(crate) struct VqCallback<'a> {
    vq: NonNull<bindings::virtqueue>,
    _a: PhantomData<&'a ()>,
}

impl VqCallback<'_> {
    /// # Safety
    ///
    /// `vq` is valid for the lifetime, which is that of the interrupt.
    pub(super) unsafe fn new(vq: NonNull<bindings::virtqueue>) -> Self {
        Self {
            vq,
            _a: PhantomData,
        }
    }

    /// The queue's number.
    #[inline(always)]
    pub(crate) fn index(&self) -> u32 {
        // SAFETY: The queue is valid; the field is constant.
        unsafe { (*self.vq.as_ptr()).index }
    }

    /// Asks the device not to interrupt (a hint).
    #[inline(always)]
    pub(crate) fn disable_cb(&self) {
        // SAFETY: The queue is valid; C allows this from the queue's callback.
        unsafe { bindings::virtqueue_disable_cb(self.vq.as_ptr()) };
    }
}
