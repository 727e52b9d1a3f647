// SPDX-License-Identifier: GPL-2.0

//! Dynamic interrupt moderation (`lib/dim`): for each RX queue the kernel's algorithm watches what
//! arrives and picks one of five profiles.
//!
//! `net_dim` runs inside of the queue's poll and schedules a work when it wants another profile;
//! the work calls the driver ([`super::Driver::moderate`]). The profiles are the device's
//! (`dev->irq_moder`), where ethtool shows and changes them.
//!
//! C header: [`include/linux/dim.h`](srctree/include/linux/dim.h)

use crate::bindings;
use core::sync::atomic::{
    AtomicU8,
    Ordering, //
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// The user has not asked for it.
const OFF: u8 = 0;
/// The user has asked for it; the next sample starts from the first profile.
const FRESH: u8 = 1;
/// Moderation is at work.
const ON: u8 = 2;

/// One `struct dim`.
///
/// # Invariants
///
/// `dim` is initialised. Its work is queued or runs only while NAPI of the queue that embeds it is
/// enabled, or in `cancel`. While `state` is `DIM_APPLY_NEW_PROFILE` the work reads the other
/// fields and nobody writes them; else NAPI owns them, or `cancel` once NAPI is disabled.
#[pin_data]
pub(super) struct Dim {
    #[pin]
    dim: Opaque<bindings::dim>,
    mode: AtomicU8,
}

impl Dim {
    /// Makes one that is off, whose work calls `work` with the C object's work.
    pub(super) fn new(
        work: unsafe extern "C" fn(*mut bindings::work_struct),
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            dim <- Opaque::ffi_init(move |p: *mut bindings::dim| {
                // SAFETY: `ffi_init` gives a `p` that is valid for writes, and pinned from now on.
                // Zero is the first profile, parked, about to measure, counting from the first
                // packet of an interrupt.
                unsafe {
                    p.write(pin_init::zeroed());
                    bindings::INIT_WORK(&raw mut (*p).work, Some(work));
                }
            }),
            mode: AtomicU8::new(OFF),
        })
    }

    /// Returns the object that embeds the C object whose work is `work`.
    ///
    /// # Safety
    ///
    /// `work` is that of a `Dim`.
    pub(super) unsafe fn of_work(work: *mut bindings::work_struct) -> *const Self {
        // SAFETY: By this function's contract.
        let dim = unsafe { kernel::container_of!(work, bindings::dim, work) };
        // CAST: `Opaque` has the layout of what it holds.
        let dim = dim.cast::<Opaque<bindings::dim>>();
        // SAFETY: As above.
        unsafe { kernel::container_of!(dim, Self, dim) }
    }

    /// Returns whether it is asked for.
    #[inline(always)]
    pub(super) fn is_on(&self) -> bool {
        self.mode.load(Ordering::Relaxed) != OFF
    }

    /// Switches it on, from the first profile on, or off.
    pub(super) fn set(&self, on: bool) {
        self.mode
            .store(if on { FRESH } else { OFF }, Ordering::Relaxed);
    }

    /// Gives the algorithm another sample.
    ///
    /// # Safety
    ///
    /// NAPI owns the queue.
    pub(super) unsafe fn sample(&self, events: u16, packets: u64, bytes: u64) {
        let d = self.dim.get();
        if self.mode.load(Ordering::Relaxed) == FRESH {
            // SAFETY: The object is initialised; C reads the state so as well.
            let state = unsafe { bindings::dim_state_get(d) };
            if u32::from(state) != bindings::dim_state_DIM_APPLY_NEW_PROFILE {
                // SAFETY: NAPI owns the fields in that state.
                unsafe { forget(d) };
                // Unless it was switched off meanwhile.
                let _ = self
                    .mode
                    .compare_exchange(FRESH, ON, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
        // SAFETY: NAPI owns the queue.
        unsafe { bindings::net_dim_sample(d, events, packets, bytes) };
    }

    /// Returns the profile that is wanted.
    ///
    /// # Safety
    ///
    /// Called by the object's work.
    pub(super) unsafe fn profile(&self) -> u8 {
        // SAFETY: Nobody writes it until `applied`.
        unsafe { (*self.dim.get()).profile_ix }
    }

    /// Ends the work, after which NAPI may measure again.
    ///
    /// # Safety
    ///
    /// Called by the object's work, or with NAPI disabled.
    pub(super) unsafe fn applied(&self) {
        // SAFETY: By this function's contract the state is ours to give up.
        unsafe { bindings::dim_start_measure(self.dim.get()) };
    }

    /// Cancels the work and waits for a running one.
    ///
    /// NAPI is disabled, and no lock is held that the work takes.
    ///
    /// Context: process.
    pub(super) fn cancel(&self) {
        let d = self.dim.get();
        // SAFETY: The work is initialised. With NAPI disabled nobody queues it.
        unsafe {
            bindings::cancel_work_sync(&raw mut (*d).work);
            // A cancelled work never gave the state back.
            self.applied();
        }
    }
}

/// Goes back to the first profile.
///
/// # Safety
///
/// The fields are the caller's.
unsafe fn forget(d: *mut bindings::dim) {
    // SAFETY: By this function's contract.
    unsafe {
        (*d).prev_stats = bindings::dim_stats::default();
        (*d).profile_ix = 0;
        (*d).tune_state = 0;
        (*d).steps_left = 0;
        (*d).steps_right = 0;
        (*d).tired = 0;
        bindings::dim_start_measure(d);
    }
}
