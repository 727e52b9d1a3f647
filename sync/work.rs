// SPDX-License-Identifier: GPL-2.0

//! Work items that can be cancelled and waited for.
//!
//! The kernel crate's `workqueue` takes ownership of a reference-counted item for each run and has
//! no `cancel_work_sync`. A driver needs the opposite: an item embedded in its data, which is
//! certainly idle when the data goes.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)
//!
//! Context: any.

use super::host::Host;
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
    sync::LockClassKey,
    types::Opaque, //
};

/// A work item that calls `func(host)` in process context on the system workqueue, soon or after a
/// time.
///
/// # Invariants
///
/// `work` is initialised; `host` is null, or what holds this ([`Host`]). It isn't null once the work was scheduled.
///
/// Lifetime: dropping it cancels the work and waits for a running one, so it must not be dropped
/// from inside of its own function.
#[pin_data(PinnedDrop)]
pub(crate) struct Work<T: Host> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    host: AtomicPtr<T>,
    func: fn(&T),
    /// The task that runs the function now.
    runner: AtomicPtr<bindings::task_struct>,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: There is nothing that belongs to a thread; the host is `Sync`, as it is used by the workqueue's.
unsafe impl<T: Host> Send for Work<T> {}
// SAFETY: As above; the workqueue functions may be called from any thread.
unsafe impl<T: Host> Sync for Work<T> {}

impl<T: Host> Work<T> {
    /// Makes a work item that isn't scheduled.
    ///
    /// By `class` lockdep tells those apart that wait for each other.
    pub(crate) fn new(class: Pin<&'static LockClassKey>, func: fn(&T)) -> impl PinInit<Self> {
        pin_init!(Self {
            work <- Opaque::ffi_init(|p| {
                // SAFETY: `ffi_init` gives a `p` that is valid for writes, and pinned from now on.
                // The class is in static memory.
                unsafe { bindings::INIT_DELAYED_WORK(p, Some(Self::run), class.as_ptr().cast()) }
            }),
            host: AtomicPtr::new(core::ptr::null_mut()),
            func,
            runner: AtomicPtr::new(core::ptr::null_mut()),
            _pin: PhantomPinned,
        })
    }

    /// Takes note of the host, or returns false if `host` doesn't hold this work, which must not be
    /// scheduled for it then.
    fn is_of(&self, host: &T) -> bool {
        let held = host.holds(core::ptr::from_ref(self).cast());
        if held {
            // INVARIANT: It does. It is the same each time.
            self.host
                .store(core::ptr::from_ref(host).cast_mut(), Ordering::Relaxed);
        }
        held
    }

    /// Queues the work if it isn't queued yet, and if `host` is what holds it.
    pub(crate) fn schedule(&self, host: &T) {
        self.schedule_after(host, 0);
    }

    /// Queues the work in `ms` milliseconds if it isn't queued or waiting yet, and if `host` is
    /// what holds it.
    pub(crate) fn schedule_after(&self, host: &T, ms: u32) {
        if self.is_of(host) {
            // SAFETY: The item is initialised and pinned by the type invariant.
            unsafe { bindings::schedule_delayed_work(self.work.get(), ms) };
        }
    }

    /// Queues the work now, also if it waits for its time, if `host` is what holds it.
    pub(crate) fn hasten(&self, host: &T) {
        if self.is_of(host) {
            // SAFETY: The item is initialised and pinned by the type invariant.
            unsafe { bindings::hasten_delayed_work(self.work.get()) };
        }
    }

    /// Cancels the work and keeps it from being queued, but lets one that runs go on.
    pub(crate) fn disable(&self) {
        // SAFETY: The item is initialised and pinned by the type invariant.
        unsafe { bindings::disable_delayed_work(self.work.get()) };
    }

    /// Cancels the work, waits for a running one and keeps it from being queued.
    ///
    /// Context: process, without a lock that the function takes.
    pub(crate) fn disable_sync(&self) {
        // SAFETY: The item is initialised and pinned by the type invariant.
        unsafe { bindings::disable_delayed_work_sync(self.work.get()) };
    }

    /// Returns whether the caller is called by this work's function.
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
        // SAFETY: Not null, as it was scheduled. It holds this work, whose drop waits for this function, so its entrance is
        // there, and the rest while the entrance lets somebody in.
        let host = unsafe { &*this.host.load(Ordering::Relaxed) };
        host.entrance().run(|| {
            this.runner.store(current(), Ordering::Relaxed);
            (this.func)(host);
            this.runner.store(core::ptr::null_mut(), Ordering::Relaxed);
        });
    }
}

#[pinned_drop]
impl<T: Host> PinnedDrop for Work<T> {
    fn drop(self: Pin<&mut Self>) {
        self.disable_sync();
    }
}

/// Returns the current task, as an identity.
fn current() -> *mut bindings::task_struct {
    // SAFETY: Process context always has one.
    unsafe { bindings::get_current() }
}
