// SPDX-License-Identifier: GPL-2.0

//! The receiving side of a queue pair: [`RxPoll`] and [`RxQueue::stopped_state`] give access to its
//! state.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    device::NetDevice,
    dim::Dim,
    driver::Driver,
    napi::{
        Napi,
        NapiRef,
        NapiState, //
        PollResult,
    },
    page_pool::PagePool,
    rtnl::Rtnl,
    rx_napi::{
        AtRest,
        InPoll,
        RxNapi, //
    },
    xsk::XskRx, //
};
use crate::{
    bindings,
    sync::fail, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// The receiving side of a queue pair.
///
/// Context: any, unless a function says otherwise.
///
/// # Invariants
///
/// As for [`TxQueue`](super::tx_queue::TxQueue); `state` is accessed by whoever has taken
/// `NAPI_STATE_SCHED`: a poll, or who is about to schedule one; or under RTNL while NAPI is disabled.
/// So are `pool`, which was made for `napi` and never leaves this place, and `xsk`.
#[pin_data]
#[repr(C)]
pub(crate) struct RxQueue<T: Driver> {
    #[pin]
    pub(super) napi: Napi,
    #[pin]
    pub(super) dim: Dim,
    pub(super) dev: NonNull<bindings::net_device>,
    pub(super) xsk: UnsafeCell<Option<KBox<XskRx>>>,
    pub(super) index: u16,
    pub(super) shared: T::RxShared,
    pub(super) state: UnsafeCell<T::Rx>,
    pub(super) pool: UnsafeCell<Option<PagePool>>,
}

impl<T: Driver> RxQueue<T> {
    /// Returns the number of the queue.
    #[inline(always)]
    pub(crate) fn index(&self) -> u16 {
        self.index
    }

    /// Returns the shared state, counters and the like.
    #[inline(always)]
    pub(crate) fn shared(&self) -> &T::RxShared {
        &self.shared
    }

    /// Schedules a poll and calls `before` (which turns the interrupt off) before that, unless a
    /// poll is scheduled already, and returns whether it did.
    ///
    /// Context: hard interrupt or softirq.
    #[inline(always)]
    pub(crate) fn schedule(&self, before: impl FnOnce(&mut T::Rx)) -> bool {
        self.napi.schedule(|| {
            // SAFETY: `napi_schedule_prep` has just taken `NAPI_STATE_SCHED`: NAPI, and with it the state,
            // is nobody else's until `__napi_schedule`, which comes after this.
            before(unsafe { &mut *self.state.get() })
        })
    }

    /// Schedules a poll from process context, and runs it before it returns where it can.
    ///
    /// Context: process.
    pub(crate) fn schedule_now(&self) {
        // SAFETY: Initialised. One that was never added refuses, as a disabled one does.
        unsafe { bindings::napi_kick(self.napi.napi.get()) };
    }

    /// Returns the exclusive state and the page pool while the queue is at rest: NAPI disabled, and
    /// [`super::device::NetDevice::synchronize_napi`] called since.
    ///
    /// Returns `None` otherwise.
    ///
    /// Context: process, RTNL held.
    #[allow(clippy::mut_from_ref)]
    pub(crate) fn stopped_state<'a>(
        &'a self,
        _rtnl: &'a mut Rtnl,
    ) -> Option<(&'a mut T::Rx, RxNapi<'a, AtRest>)> {
        if self.napi.state.get() != NapiState::Quiesced {
            return None;
        }
        // SAFETY: RTNL is held (its token is borrowed, so nobody else gets here), NAPI is disabled
        // and a grace period has passed since: no poll is left that has the state, its ring or the pool.
        unsafe {
            Some((
                &mut *self.state.get(),
                RxNapi::new(
                    self.napi_ref(),
                    &mut *self.pool.get(),
                    &mut *self.xsk.get(),
                    self.index,
                ),
            ))
        }
    }

    /// Returns whether interrupts are moderated by the traffic.
    #[inline(always)]
    pub(crate) fn is_adaptive(&self) -> bool {
        self.dim.is_on()
    }

    /// Has interrupts moderated by the traffic, from the first profile on, or not any more.
    pub(crate) fn set_adaptive(&self, on: bool) {
        self.dim.set(on);
    }

    /// # Safety
    ///
    /// Called by the workqueue for the `dim` of a queue that `QueuePair::new` made.
    pub(super) unsafe extern "C" fn dim_work(work: *mut bindings::work_struct) {
        // SAFETY: By this function's contract. `napi_disable` waits for it, and NAPI is disabled
        // before the queue goes, so it is alive.
        let this = unsafe { &*kernel::container_of!(Dim::of_work(work), Self, dim) };
        // SAFETY: As above: the device's private data is there while NAPI is enabled.
        let dev = unsafe { NetDevice::<T>::from_raw(this.dev.as_ptr()) };
        if this.is_adaptive() {
            // SAFETY: This is the work.
            let profile = unsafe { this.dim.profile() };
            if let Some(m) = dev.moderation(profile).filter(|_| T::HAS_MODERATE) {
                T::moderate(dev, this.index, m);
            }
        }
        // SAFETY: This is the work.
        unsafe { this.dim.applied() };
    }

    /// # Safety
    ///
    /// This is inside of the instance's poll; or the result isn't used for what must be.
    #[inline(always)]
    unsafe fn napi_ref(&self) -> NapiRef<'_> {
        // SAFETY: A field's address isn't null; the rest by this function's contract.
        unsafe { NapiRef::new(NonNull::new_unchecked(self.napi.napi.get()), self.dev) }
    }

    /// # Safety
    ///
    /// Called by the NAPI core with an instance that `QueuePair::new` added.
    pub(super) unsafe extern "C" fn poll(napi: *mut bindings::napi_struct, budget: i32) -> i32 {
        // CAST: `Opaque` has the layout of what it holds.
        let napi = napi.cast::<Opaque<bindings::napi_struct>>();
        // SAFETY: This function is registered for instances embedded so, in `QueuePair::new`.
        let this = unsafe {
            let napi = kernel::container_of!(napi, Napi, napi);
            &*kernel::container_of!(napi, Self, napi)
        };
        // SAFETY: The device owns the queue and its private data outlives NAPI.
        let dev = unsafe { NetDevice::<T>::from_raw(this.dev.as_ptr()) };
        let poll = RxPoll {
            q: this,
            budget,
            _not_send: PhantomData,
        };
        T::poll_rx(dev, poll).0.min(budget)
    }
}

/// The inside of the receive queue's poll function.
///
/// With a budget NAPI owns the queue (`NAPI_STATE_SCHED` was taken for this poll); without one this
/// is netpoll, beside whoever does.
///
/// Context: softirq.
pub(crate) struct RxPoll<'a, T: Driver> {
    q: &'a RxQueue<T>,
    budget: i32,
    _not_send: PhantomData<*mut ()>,
}

impl<'a, T: Driver> RxPoll<'a, T> {
    /// Returns the queue that is polled.
    #[inline(always)]
    pub(crate) fn queue(&self) -> &'a RxQueue<T> {
        self.q
    }

    /// Returns how many packets may be received in this poll, which is 0 from netpoll.
    #[inline(always)]
    pub(crate) fn budget(&self) -> i32 {
        self.budget
    }

    /// Returns the exclusive state, and NAPI with the page pool, or `None` to netpoll.
    #[inline(always)]
    pub(crate) fn state(&mut self) -> Option<(&mut T::Rx, RxNapi<'_, InPoll>)> {
        if self.budget <= 0 {
            return None;
        }
        let q = self.q;
        // SAFETY: NAPI owns the queue while this token exists, with a budget, and the token is borrowed.
        unsafe {
            Some((
                &mut *q.state.get(),
                RxNapi::new(q.napi_ref(), &mut *q.pool.get(), &mut *q.xsk.get(), q.index),
            ))
        }
    }

    /// Gives the moderation algorithm how many interrupts, packets and bytes there were so far,
    /// unless this is netpoll.
    pub(crate) fn sample(&mut self, interrupts: u64, packets: u64, bytes: u64) {
        if self.budget > 0 {
            // CAST: The algorithm looks at differences, modulo 2^16.
            // SAFETY: NAPI owns the queue while this token exists, with a budget at least.
            unsafe { self.q.dim.sample(interrupts as u16, packets, bytes) };
        }
    }

    /// Ends the poll, which has received `work` packets.
    ///
    /// [`RxQueue::schedule`] makes another one: for what comes later that is up to whoever brings
    /// it. With the whole budget used the poll goes on instead.
    #[inline]
    pub(crate) fn complete(self, work: i32) -> PollResult {
        if work >= self.budget {
            return self.again();
        }
        let work = work.max(0);
        self.flush();
        // SAFETY: Called in the poll function of an added instance that owns its schedule, or of netpoll,
        // for which the budget is 0 and this isn't reached.
        unsafe { bindings::napi_complete_done(self.q.napi.napi.get(), work) };
        PollResult(work)
    }

    /// Has sent what was redirected in this poll.
    #[inline(always)]
    fn flush(&self) {
        if self.budget <= 0 {
            return;
        }
        // SAFETY: NAPI owns the queue while this token exists, with a budget; what `state` gave is borrowed from the
        // token, which is used up.
        let pool = unsafe { &mut *self.q.pool.get() };
        if let Some(pool) = pool.as_mut().filter(|pool| pool.redirected) {
            pool.redirected = false;
            // SAFETY: This is a poll with a budget.
            unsafe { bindings::xdp_do_flush() };
        }
    }

    /// Has polling go on, because the whole budget was used.
    pub(crate) fn again(self) -> PollResult {
        self.flush();
        PollResult(self.budget)
    }

    /// Returns whether the poll is going to be followed by another one without an interrupt,
    /// because somebody polls in a loop, or interrupts are deferred and a timer polls.
    ///
    /// What is asked for in sysfs may change until [`RxPoll::napi_complete_done`].
    #[inline(always)]
    pub(crate) fn is_deferred(&self, work: i32) -> bool {
        self.q.napi.is_deferred(work)
    }

    /// Gives the queue back, and returns true if it is really given up, and an interrupt is to come
    /// for what the device does from now on.
    ///
    /// False says nothing about who owns it: this poll's caller (busy polling), a poll that
    /// somebody asked for meanwhile, or nobody until a timer ends.
    ///
    /// # Safety
    ///
    /// The caller has armed the interrupt, or [`RxPoll::is_deferred`] and it schedules a poll if this
    /// returns true all the same.
    #[inline(always)]
    pub(crate) unsafe fn napi_complete_done(self, work: i32) -> bool {
        let napi = self.q.napi.napi.get();
        self.flush();
        // SAFETY: Called in the poll function of an added instance that owns its schedule.
        let gone = unsafe { bindings::napi_complete_done(napi, work) };
        if !gone {
            // SAFETY: The instance is alive while this poll runs.
            unsafe { fail::delay_after_complete(napi) };
        }
        gone
    }
}
