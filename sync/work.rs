// SPDX-License-Identifier: GPL-2.0

//! Work items that can be cancelled and waited for.
//!
//! The kernel crate's `workqueue` takes ownership of a reference-counted item for each run and
//! has no `cancel_work_sync`. A driver needs the opposite: an item embedded in its data, which
//! is certainly idle when the data goes.

use crate::bindings;
use core::{
    marker::PhantomPinned,
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    },
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// What a [`Work`] runs on: a pointer to it is kept while the work may run.
///
/// # Safety
///
/// A `*const Self` given to [`Work::bind`] must stay valid until [`Work::disable_sync`] on that
/// work has returned or the work was dropped.
pub(crate) unsafe trait WorkTarget: Sync {}

/// A work item that calls `func(target)` in process context on the system workqueue, soon or after a
/// time.
///
/// # Invariants
///
/// `work` is initialised; `target` is null or obeys [`WorkTarget`].
///
/// Lifetime: dropping it cancels the work and waits for a running one, so it must not be dropped
/// from inside of its own function.
#[pin_data(PinnedDrop)]
pub(crate) struct Work<T: WorkTarget> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    target: core::cell::Cell<*const T>,
    func: fn(&T),
    /// The task that runs the function now.
    runner: AtomicPtr<bindings::task_struct>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: `target` is written before the first `schedule` only (`bind`), the rest is C's.
unsafe impl<T: WorkTarget> Send for Work<T> {}
// SAFETY: As above; the workqueue functions may be called from any thread.
unsafe impl<T: WorkTarget> Sync for Work<T> {}

impl<T: WorkTarget> Work<T> {
    /// A work item that is not bound to a target yet: scheduling it does nothing. `kind` (0 to 3) tells
    /// lockdep those apart that wait for each other.
    pub(crate) fn new(kind: u32, func: fn(&T)) -> impl PinInit<Self> {
        pin_init!(Self {
            work <- Opaque::ffi_init(|p| {
                // SAFETY: `p` is valid for writes and pinned from now on.
                unsafe { bindings::INIT_DELAYED_WORK(p, Some(Self::run), kind) }
            }),
            target: core::cell::Cell::new(core::ptr::null()),
            func,
            runner: AtomicPtr::new(core::ptr::null_mut()),
            _pin: PhantomPinned,
        })
    }

    /// Sets what the work runs on.
    ///
    /// # Safety
    ///
    /// Called once, before the work can be scheduled by anyone.
    pub(crate) unsafe fn bind(&self, target: *const T) {
        self.target.set(target);
    }

    /// Queues the work if it isn't queued yet. Any context.
    pub(crate) fn schedule(&self) {
        self.schedule_after(0);
    }

    /// Queues the work in `ms` milliseconds if it isn't queued or waiting yet. Any context.
    pub(crate) fn schedule_after(&self, ms: u32) {
        if !self.target.get().is_null() {
            // SAFETY: The item is initialised and pinned by the type invariant.
            unsafe { bindings::schedule_delayed_work(self.work.get(), ms) };
        }
    }

    /// Queues the work now, also if it waits for its time. Any context.
    pub(crate) fn hasten(&self) {
        if !self.target.get().is_null() {
            // SAFETY: The item is initialised and pinned by the type invariant.
            unsafe { bindings::hasten_delayed_work(self.work.get()) };
        }
    }

    /// Cancels the work and keeps it from being queued; one that runs goes on. Any context.
    pub(crate) fn disable(&self) {
        // SAFETY: The item is initialised and pinned by the type invariant.
        unsafe { bindings::disable_delayed_work(self.work.get()) };
    }

    /// Cancels the work, waits for a running one and keeps it from being queued. Process
    /// context, and not while holding a lock that the function takes.
    pub(crate) fn disable_sync(&self) {
        // SAFETY: The item is initialised and pinned by the type invariant.
        unsafe { bindings::disable_delayed_work_sync(self.work.get()) };
    }

    /// Whether the caller is called by this work's function.
    pub(crate) fn is_running_here(&self) -> bool {
        // Only this very task can have stored itself.
        self.runner.load(Ordering::Relaxed) == current()
    }

    /// Undoes one [`Work::disable_sync`].
    pub(crate) fn enable(&self) {
        // SAFETY: The item is initialised and pinned by the type invariant.
        unsafe { bindings::enable_delayed_work(self.work.get()) };
    }

    /// # Safety
    ///
    /// Called by the workqueue with an item that was scheduled as part of a `Work`.
    unsafe extern "C" fn run(work: *mut bindings::work_struct) {
        const { assert!(core::mem::offset_of!(bindings::delayed_work, work) == 0) };
        // CAST: The first field's; and `Opaque` has the layout of what it holds.
        let this = work.cast::<Opaque<bindings::delayed_work>>();
        // SAFETY: The workqueue hands us the item that was queued, which is embedded in `Self`
        // and pinned; `Drop` waits for this function, so it is alive.
        let this = unsafe { &*kernel::container_of!(this, Self, work) };
        // SAFETY: Non-null as it was scheduled; valid by the contract of `WorkTarget`.
        let target = unsafe { &*this.target.get() };
        this.runner.store(current(), Ordering::Relaxed);
        (this.func)(target);
        this.runner.store(core::ptr::null_mut(), Ordering::Relaxed);
    }
}

#[pinned_drop]
impl<T: WorkTarget> PinnedDrop for Work<T> {
    fn drop(self: Pin<&mut Self>) {
        self.disable_sync();
    }
}

/// The current task, as an identity.
fn current() -> *mut bindings::task_struct {
    // SAFETY: Process context always has one.
    unsafe { bindings::get_current() }
}
