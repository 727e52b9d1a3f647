// SPDX-License-Identifier: GPL-2.0

//! From a virtqueue's interrupt to the driver.
//!
//! `find_vqs` is given one C function for all interrupts, whatever the driver. Whom a device's
//! interrupts are for it finds in the device's [`State`].
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)

use super::{
    bound::State,
    Device, //
};
use crate::bindings;
use core::{
    ffi::c_void,
    marker::PhantomData,
    ptr::NonNull,
    sync::atomic::Ordering, //
};
use kernel::{
    device::Bound,
    prelude::*, //
};

/// What is called for the interrupt of a virtqueue, with the pointer that [`set`] was given.
///
/// Context: hard interrupt.
pub(super) type IrqFn = unsafe fn(NonNull<c_void>, VqCallback<'_>);

/// Passes the interrupt of any virtqueue on to its driver.
///
/// # Safety
///
/// Called by the virtio core for a queue of a [`super::VirtqueueSet`].
pub(super) unsafe extern "C" fn vq_callback(vq: *mut bindings::virtqueue) {
    // SAFETY: The set keeps the device bound, so it has a state.
    let state = unsafe { &*(*(*vq).vdev).priv_.cast::<State>() };
    let call = state.call.load(Ordering::Acquire);
    let data = NonNull::new(state.data.load(Ordering::Relaxed));
    if let (false, Some(data), Some(vq)) = (call.is_null(), data, NonNull::new(vq)) {
        // SAFETY: `set` stored such a function, and what it is given before that; `clear` waits for this
        // call before the latter goes.
        unsafe {
            let call = core::mem::transmute::<*mut c_void, IrqFn>(call);
            call(data, VqCallback::new(vq));
        }
    }
}

/// Has the interrupts of `dev` call `call` with `data` from now on.
///
/// # Errors
///
/// Returns `EBUSY` if they go elsewhere.
///
/// # Safety
///
/// It may be called so until [`clear`] has returned. Two callers don't come at the same time.
pub(super) unsafe fn set(dev: &Device<Bound>, call: IrqFn, data: NonNull<c_void>) -> Result {
    let state = State::of(dev);
    if target(dev).is_some() {
        return Err(EBUSY);
    }
    state.data.store(data.as_ptr(), Ordering::Relaxed);
    // CAST: Made a function again in `vq_callback`.
    state.call.store(call as *mut c_void, Ordering::Release);
    Ok(())
}

/// Returns what the function for the interrupts of `dev` is given, if there is one.
pub(super) fn target(dev: &Device<Bound>) -> Option<NonNull<c_void>> {
    let state = State::of(dev);
    if state.call.load(Ordering::Relaxed).is_null() {
        return None;
    }
    NonNull::new(state.data.load(Ordering::Relaxed))
}

/// Lets no interrupt of `dev` go anywhere any more, and none is under way when this returns.
///
/// Context: process.
pub(super) fn clear(dev: &Device<Bound>) {
    State::of(dev)
        .call
        .store(core::ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: The device is bound. Callbacks that have read the function are waited for.
    unsafe { bindings::virtio_synchronize_cbs(dev.as_raw()) };
}

/// The interrupt of a queue, with all that may be done there.
///
/// # Invariants
///
/// `vq` is valid for as long as `'a`, which is inside of its interrupt.
pub(crate) struct VqCallback<'a> {
    vq: NonNull<bindings::virtqueue>,
    _a: PhantomData<&'a ()>,
}

impl VqCallback<'_> {
    /// # Safety
    ///
    /// `vq` is valid for the lifetime, which is that of the interrupt.
    pub(super) unsafe fn new(vq: NonNull<bindings::virtqueue>) -> Self {
        // INVARIANT: By this function's contract.
        Self {
            vq,
            _a: PhantomData,
        }
    }

    /// Returns the queue's number.
    ///
    /// Context: hard interrupt.
    #[inline(always)]
    pub(crate) fn index(&self) -> u32 {
        // SAFETY: By the type invariants the queue is valid; the field is constant.
        unsafe { (*self.vq.as_ptr()).index }
    }

    /// Asks the device not to interrupt (a hint).
    ///
    /// Context: hard interrupt.
    #[inline(always)]
    pub(crate) fn disable_cb(&self) {
        // SAFETY: By the type invariants the queue is valid; C allows this from the queue's
        // callback.
        unsafe { bindings::virtqueue_disable_cb(self.vq.as_ptr()) };
    }
}
