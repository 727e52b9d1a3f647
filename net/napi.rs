// SPDX-License-Identifier: GPL-2.0

//! NAPI instances: when they may run, and on whose behalf a function does.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::skb::ReceivedSkb;
use crate::bindings;
use core::{
    cell::Cell,
    marker::{
        PhantomData,
        PhantomPinned, //
    },
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// Whether a NAPI instance may run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NapiState {
    /// The instance may run.
    Enabled,
    /// `napi_disable` has returned; a poll that completed before may not have returned yet.
    Disabled,
    /// A grace period has passed since: no poll is left.
    Quiesced,
}

/// What of a `napi_struct`'s state says that `napi_complete_done` won't give it up.
const KEPT: usize = 1 << bindings::NAPI_STATE_NPSVC | 1 << bindings::NAPI_STATE_IN_BUSY_POLL;

/// What of a `napi_struct`'s state tells whether a poll may be scheduled, and none is.
const IDLE_MASK: usize = 1 << bindings::NAPI_STATE_LISTED
    | 1 << bindings::NAPI_STATE_SCHED
    | 1 << bindings::NAPI_STATE_DISABLE
    | 1 << bindings::NAPI_STATE_NPSVC;

/// One `napi_struct` and what guards it.
///
/// # Invariants
///
/// `napi` is on the device's list while `state` is [`NapiState::Enabled`], and only then, for everybody who holds
/// `netdev_lock`: with it the core waits for ever for a listed instance that is disabled
/// (`napi_stop_kthread`, for which `threaded` in sysfs takes that lock and not RTNL). Off the list its
/// state has `NAPI_STATE_SCHED`, so that nobody can schedule it. `state` is written under RTNL only.
///
/// It begins a cache line: the interrupt's CPU writes to it.
#[pin_data]
#[repr(align(64))]
pub(super) struct Napi {
    #[pin]
    pub(super) napi: Opaque<bindings::napi_struct>,
    pub(super) state: Cell<NapiState>,
    #[pin]
    _pin: PhantomPinned,
}

impl Napi {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            napi <- Opaque::ffi_init(|p: *mut bindings::napi_struct| {
                // SAFETY: `ffi_init` gives a `p` that is valid for writes; C expects zeroed memory.
                unsafe {
                    p.write(pin_init::zeroed());
                    bindings::napi_init_disabled(p);
                }
            }),
            state: Cell::new(NapiState::Quiesced),
            _pin: PhantomPinned,
        })
    }

    /// Takes the instance off the device's list and waits for a poll that runs.
    ///
    /// Polls that have completed may not have returned, hence [`NapiState::Disabled`].
    ///
    /// # Safety
    ///
    /// RTNL and the device's `netdev_lock` are held.
    pub(super) unsafe fn disable(&self) {
        if self.state.get() == NapiState::Enabled {
            self.state.set(NapiState::Disabled);
            // SAFETY: Added and enabled; the lock is held.
            unsafe {
                bindings::napi_disable_locked(self.napi.get());
                bindings::netif_napi_del_async(self.napi.get());
            }
        }
    }

    /// Returns whether a poll that is about to end, having received `work` packets, is followed by
    /// another one without an interrupt.
    ///
    /// Context: softirq, inside of that poll.
    #[inline(always)]
    pub(super) fn is_deferred(&self, work: i32) -> bool {
        let napi = self.napi.get();
        // SAFETY: Initialised; C reads both so as well (READ_ONCE).
        let (state, timeout) = unsafe {
            (
                (&raw const (*napi).state).read_volatile(),
                (&raw const (*napi).gro_flush_timeout).read_volatile(),
            )
        };
        // SAFETY: As above; the rest is the poll's.
        state & KEPT != 0 || (timeout != 0 && unsafe { bindings::napi_defers_irqs(napi, work) })
    }

    /// Schedules a poll and calls `before` first, unless one is scheduled already (or NAPI is
    /// disabled), and returns whether it did.
    ///
    /// Context: any with interrupts or softirqs off.
    #[inline(always)]
    pub(super) fn schedule(&self, before: impl FnOnce()) -> bool {
        // SAFETY: Initialised. One that is disabled, or was never added, has `NAPI_STATE_SCHED` and
        // refuses.
        unsafe {
            if bindings::napi_schedule_prep(self.napi.get()) {
                before();
                bindings::__napi_schedule(self.napi.get());
                return true;
            }
        }
        false
    }

    /// Has the instance polled in `ns` nanoseconds, or sooner if its timer runs already.
    ///
    /// Returns false, with no timer, if a poll is scheduled or the instance is disabled.
    ///
    /// The timer is the core's own for polls that are put off (`gro_flush_timeout`), which does
    /// nothing if a poll is scheduled when it expires: that one ends later.
    ///
    /// # Safety
    ///
    /// Nobody is inside of this function when [`Self::cancel_timer`] is called for a disabled instance,
    /// unless he came when it was disabled already.
    #[inline(always)]
    pub(super) unsafe fn poll_in(&self, ns: i64) -> bool {
        let napi = self.napi.get();
        // SAFETY: Initialised; C reads both so as well (READ_ONCE).
        unsafe {
            if (&raw const (*napi).state).read_volatile() & IDLE_MASK
                != 1 << bindings::NAPI_STATE_LISTED
            {
                return false;
            }
            if !self.timer_runs() {
                // Set up by adding; before that, and while it is added, the state isn't as above.
                bindings::hrtimer_start_range_ns(
                    &raw mut (*napi).timer,
                    ns,
                    0,
                    bindings::hrtimer_mode_HRTIMER_MODE_REL_PINNED,
                );
            }
        }
        true
    }

    /// Returns whether the timer of [`Self::poll_in`] runs.
    #[inline(always)]
    pub(super) fn timer_runs(&self) -> bool {
        // SAFETY: Initialised; C reads it so as well (READ_ONCE).
        unsafe { (&raw const (*self.napi.get()).timer.is_queued).read_volatile() }
    }

    /// Ends the timer of an instance that was disabled, for who called [`Self::poll_in`] meanwhile.
    ///
    /// Context: process.
    ///
    /// # Safety
    ///
    /// The instance has been added; it is disabled, and RTNL held, so that it stays so.
    pub(super) unsafe fn cancel_timer(&self) {
        // SAFETY: Set up by adding.
        unsafe { bindings::hrtimer_cancel(&raw mut (*self.napi.get()).timer) };
    }
}

/// A NAPI instance, for functions that need to know on whose behalf they run.
///
/// Context: softirq, inside of its poll.
///
/// # Invariants
///
/// `napi` is an instance of the device `dev`, and this is inside of its poll, in a softirq, for as long as `'a`.
#[derive(Clone, Copy)]
pub(crate) struct NapiRef<'a> {
    napi: NonNull<bindings::napi_struct>,
    dev: NonNull<bindings::net_device>,
    _a: PhantomData<&'a ()>,
}

impl NapiRef<'_> {
    /// # Safety
    ///
    /// The type's invariants hold.
    #[inline(always)]
    pub(super) unsafe fn new(
        napi: NonNull<bindings::napi_struct>,
        dev: NonNull<bindings::net_device>,
    ) -> Self {
        // INVARIANT: By this function's contract.
        Self {
            napi,
            dev,
            _a: PhantomData,
        }
    }

    /// Returns the C object.
    pub(super) fn as_raw(&self) -> *mut bindings::napi_struct {
        self.napi.as_ptr()
    }

    pub(super) fn netdev(&self) -> *mut bindings::net_device {
        self.dev.as_ptr()
    }

    /// Allocates an skb with room for `len` bytes and one reference, the caller's.
    #[inline]
    pub(super) fn alloc_skb(&self, len: u32) -> Option<NonNull<bindings::sk_buff>> {
        // SAFETY: Inside of the instance's poll, by the type invariants.
        NonNull::new(unsafe { bindings::napi_alloc_skb(self.as_raw(), len) })
    }

    /// Hands up what GRO holds back, which may make the stack send.
    ///
    /// Returns false if there was nothing, or if it is to be held for longer than this poll.
    #[inline(always)]
    pub(crate) fn gro_flush(&self) -> bool {
        // SAFETY: Inside of the instance's poll, by the type invariants.
        unsafe { bindings::napi_gro_flush(self.as_raw()) }
    }

    /// Hands a received packet to the stack, which may merge it with others.
    #[inline(always)]
    pub(crate) fn gro_receive(&self, skb: ReceivedSkb) {
        let skb = skb.into_raw().as_ptr();
        // SAFETY: Inside of the instance's poll, by the type invariants; the reference goes. The instance's device is there, as
        // any other that the packet was once for need not be.
        unsafe {
            (*skb)
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_1
                .dev = self.dev.as_ptr().cast();
            bindings::gro_receive_skb(&raw mut (*self.as_raw()).gro, skb)
        };
    }
}

/// What a poll function returns.
///
/// Only `again` and the virtio glue (`virtio::napi`) make one, so that "all of the budget used" and
/// "completed" can't be mixed up.
#[must_use]
pub(crate) struct PollResult(pub(super) i32);

impl PollResult {
    /// Makes the result of a poll that has received `work` packets.
    ///
    /// Context: softirq.
    ///
    /// # Safety
    ///
    /// `work` is less than the budget if, and only if, `napi_complete_done` was called.
    pub(crate) unsafe fn new(work: i32) -> Self {
        Self(work)
    }
}
