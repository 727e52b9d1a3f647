// SPDX-License-Identifier: GPL-2.0

//! The sending side of a queue pair: [`TxGuard`] gives access to its state.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    device::NetDevice,
    driver::Driver,
    napi::{
        Napi,
        NapiState,
        PollResult, //
    },
    rtnl::Rtnl,
    rx_queue::RxPoll,
    skb::{
        ConsumeContext,
        TxSkb, //
    },
    xdp::XmitBatch,
    xsk::XskTx, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ptr::NonNull,
    sync::atomic::{
        AtomicBool,
        AtomicI32,
        Ordering, //
    }, //
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// What of a `napi_struct`'s state tells whether a softirq is going to poll: it is scheduled, and
/// that isn't because it is disabled or has a thread.
const POLL_MASK: usize = 1 << bindings::NAPI_STATE_SCHED
    | 1 << bindings::NAPI_STATE_DISABLE
    | 1 << bindings::NAPI_STATE_NPSVC
    | 1 << bindings::NAPI_STATE_THREADED;

/// What of a queue's state tells that it is stopped.
const STOPPED_MASK: usize = 1 << bindings::netdev_queue_state_t___QUEUE_STATE_DRV_XOFF
    | 1 << bindings::netdev_queue_state_t___QUEUE_STATE_STACK_XOFF;

/// How often another CPU's lock is looked at, which takes some 100 µs.
const TRIES: u32 = 2000;

/// Whether code with softirqs off that runs on a softirq's CPU is part of that softirq.
///
/// Where softirqs can be preempted (PREEMPT_RT) it may be another task's.
const SOFTIRQS_TAKE_TURNS: bool = !cfg!(CONFIG_PREEMPT_RT);

/// The number of no CPU.
const NO_CPU: i32 = -1;

/// The sending side of a queue pair.
///
/// Context: any, unless a function says otherwise.
///
/// # Invariants
///
/// `dev` is the device that owns this queue, valid as long as `self`; `txq` is its TX queue
/// number `index`. `state` and `xsk` are accessed under `txq`'s `_xmit_lock` only.
///
/// In C's order: what the sender writes comes first. `napi` and `deferral` begin cache lines of their own, for
/// they are written by the CPU of the interrupt and by that of each receive poll.
#[pin_data]
#[repr(C)]
pub(crate) struct TxQueue<T: Driver> {
    pub(super) state: UnsafeCell<T::Tx>,
    pub(super) shared: T::TxShared,
    pub(super) dev: NonNull<bindings::net_device>,
    pub(super) txq: NonNull<bindings::netdev_queue>,
    pub(super) xsk: UnsafeCell<Option<KBox<XskTx>>>,
    pub(super) index: u16,
    #[pin]
    pub(super) napi: Napi,
    pub(super) deferral: Deferral,
}

/// Which poll has a [`KickDeferral`].
///
/// # Invariants
///
/// `cpu` is that of that poll, -1 without one; `kick_pending` is written on that CPU, inside of that poll.
#[repr(align(64))]
pub(super) struct Deferral {
    cpu: AtomicI32,
    kick_pending: AtomicBool,
}

impl Deferral {
    /// Makes the state in which no poll has one.
    pub(super) const fn new() -> Self {
        Self {
            cpu: AtomicI32::new(NO_CPU),
            kick_pending: AtomicBool::new(false),
        }
    }
}

impl<T: Driver> TxQueue<T> {
    /// Returns the number of the queue.
    #[inline(always)]
    pub(crate) fn index(&self) -> u16 {
        self.index
    }

    /// Returns the shared state, counters and the like.
    #[inline(always)]
    pub(crate) fn shared(&self) -> &T::TxShared {
        &self.shared
    }

    /// Schedules a poll and calls `before` (which turns the interrupt off) before that, unless a
    /// poll is scheduled already, and returns whether it did.
    ///
    /// Context: hard interrupt or softirq.
    #[inline(always)]
    pub(crate) fn schedule(&self, before: impl FnOnce()) -> bool {
        self.napi.schedule(before)
    }

    /// Schedules a poll from process context, unless NAPI is disabled.
    ///
    /// Context: process.
    pub(crate) fn schedule_now(&self) {
        // SAFETY: Initialised. One that was never added refuses, as a disabled one does.
        unsafe { bindings::napi_kick(self.napi.napi.get()) };
    }

    /// Ends the timer of [`TxGuard::poll_in`], once NAPI is disabled.
    ///
    /// Context: process.
    pub(super) fn end_timer(&self, _rtnl: &mut Rtnl) {
        if self.napi.state.get() == NapiState::Disabled {
            // Who holds the lock after this sees that the instance is disabled.
            drop(self.lock_bh());
            // SAFETY: It has been added, by the type's invariants; RTNL is held.
            unsafe { self.napi.cancel_timer() };
        }
    }

    /// Takes the queue's TX lock.
    ///
    /// Context: process.
    pub(crate) fn lock_bh(&self) -> TxGuard<'_, T, Bh> {
        // SAFETY: By the type invariants the queue is valid.
        unsafe {
            bindings::netif_tx_lock_bh(self.txq.as_ptr());
            TxGuard::new(self, Bh(()))
        }
    }

    /// Takes the queue's TX lock.
    ///
    /// # Safety
    ///
    /// This is a softirq, inside of a poll that has `budget`.
    #[inline(always)]
    unsafe fn lock(&self, budget: i32) -> TxGuard<'_, T, Softirq> {
        // SAFETY: By the type invariants the queue is valid; softirqs are off, by this function's contract.
        unsafe {
            bindings::__netif_tx_lock(self.txq.as_ptr());
            TxGuard::new(self, Softirq { budget })
        }
    }

    /// Takes the queue's TX lock to send frames of other devices.
    ///
    /// Context: softirq.
    #[inline(always)]
    pub(crate) fn lock_for(&self, _frames: &XmitBatch<'_>) -> TxGuard<'_, T, Softirq> {
        // SAFETY: Softirqs are off in `ndo_xdp_xmit`, which this is inside of; 0 is right anywhere.
        unsafe { self.lock(0) }
    }

    /// Takes the queue's TX lock if it is free; `poll` proves the context.
    ///
    /// Context: softirq.
    #[inline(always)]
    pub(crate) fn trylock<U: Driver>(
        &self,
        poll: &RxPoll<'_, U>,
    ) -> Option<TxGuard<'_, T, Softirq>> {
        // SAFETY: A poll runs with softirqs off, and that is its budget.
        unsafe { self.trylock_once(poll.budget()) }
    }

    /// # Safety
    ///
    /// Softirqs are off; `budget` is that of the poll that this is inside of, or 0.
    #[inline(always)]
    unsafe fn trylock_once(&self, budget: i32) -> Option<TxGuard<'_, T, Softirq>> {
        // SAFETY: By the type invariants the queue is valid; the rest by this function's contract.
        unsafe {
            bindings::netif_tx_trylock(self.txq.as_ptr())
                .then(|| TxGuard::new(self, Softirq { budget }))
        }
    }

    /// Takes the queue's TX lock if it is, or gets, free soon.
    ///
    /// # Safety
    ///
    /// Softirqs are off; this CPU doesn't hold the lock.
    #[cold]
    pub(super) unsafe fn trylock_for_a_while(&self) -> Option<TxGuard<'_, T, Softirq>> {
        for _ in 0..TRIES {
            // SAFETY: By this function's contract; 0 is right anywhere.
            if let Some(tx) = unsafe { self.trylock_once(0) } {
                return Some(tx);
            }
            core::hint::spin_loop();
        }
        None
    }

    /// Returns whether nobody may send on this queue now, not even with its lock.
    #[cold]
    pub(super) fn is_frozen_or_stopped(&self) -> bool {
        // SAFETY: By the type invariants the queue is valid; reads its state.
        unsafe { bindings::netif_xmit_frozen_or_drv_stopped(self.txq.as_ptr()) }
    }

    /// Lets who sends on this queue from inside of `poll` leave the notification to it, until the
    /// result is gone.
    ///
    /// Context: softirq.
    #[inline(always)]
    pub(crate) fn defer_kicks<U: Driver>(&self, poll: &RxPoll<'_, U>) -> KickDeferral<'_, T> {
        let deferral = KickDeferral {
            q: self,
            budget: poll.budget(),
            _not_send: PhantomData,
        };
        if !SOFTIRQS_TAKE_TURNS {
            return deferral;
        }
        // INVARIANT: The poll stays on this CPU, with softirqs off.
        // SAFETY: Reads a number.
        let cpu = unsafe { bindings::smp_processor_id() };
        self.deferral.cpu.store(cpu, Ordering::Relaxed);
        deferral
    }

    /// Returns whether this is inside of a poll with a [`KickDeferral`], which finds then that it
    /// has something to do.
    #[inline(always)]
    fn defers_kicks(&self) -> bool {
        let cpu = self.deferral.cpu.load(Ordering::Relaxed);
        // Softirqs are off here: on the poll's CPU this can only be inside of it.
        // SAFETY: Reads a number.
        let inside = cpu != NO_CPU && cpu == unsafe { bindings::smp_processor_id() };
        if inside {
            self.deferral.kick_pending.store(true, Ordering::Relaxed);
        }
        inside
    }

    /// Returns whether the queue has been stopped for longer than the stack's watchdog allows.
    pub(crate) fn is_stuck(&self) -> bool {
        // SAFETY: By the type invariants the queue is valid; reads its state.
        unsafe { bindings::netdev_queue_stuck(self.txq.as_ptr()) }
    }

    /// Returns whether the stack must not send on this queue now.
    #[inline(always)]
    pub(crate) fn is_stopped(&self) -> bool {
        // SAFETY: By the type invariants the queue is valid; reads a bit.
        unsafe { bindings::netif_tx_queue_stopped(self.txq.as_ptr()) }
    }

    /// Returns how many packets wait in this queue's qdisc.
    pub(crate) fn backlog(&self) -> u32 {
        // SAFETY: By the type invariants the queue is valid.
        unsafe { bindings::netdev_queue_backlog(self.txq.as_ptr()) }
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
        T::poll_tx(
            dev,
            TxPoll {
                q: this,
                // SAFETY: This is the poll, a softirq.
                guard: unsafe { this.lock(budget) },
                budget,
            },
        )
        .0
        .min(budget)
    }

    /// Returns the lock that the core took, or `None` if that is another queue's.
    ///
    /// A filter inside of a queue's qdisc may have changed a packet's mapping, and the core goes by
    /// that of the batch's first.
    ///
    /// # Safety
    ///
    /// Inside of `ndo_start_xmit`, for `'_`: whose CPU holds a queue's `_xmit_lock` then holds it on
    /// behalf of this call (`HARD_TX_LOCK`).
    #[inline(always)]
    pub(super) unsafe fn locked_by_core(&self) -> Option<TxGuard<'_, T, ByCore>> {
        // SAFETY: By the type invariants the queue is valid; reads it and a per-CPU value that
        // `dev_hard_start_xmit` set.
        unsafe {
            bindings::netif_tx_owned(self.txq.as_ptr()).then(|| {
                let more = bindings::netdev_xmit_more();
                TxGuard::new(self, ByCore { more })
            })
        }
    }

    /// Returns the same for a packet that is to be sent on this queue, which takes its software
    /// timestamp if it is.
    ///
    /// # Safety
    ///
    /// As for [`TxQueue::locked_by_core`].
    #[inline(always)]
    pub(super) unsafe fn xmit_begin(&self, skb: &mut TxSkb<'_>) -> Option<TxGuard<'_, T, ByCore>> {
        // SAFETY: As above; by its type the skb is valid and ours.
        match unsafe { bindings::netdev_xmit_begin(self.txq.as_ptr(), skb.as_raw()) } {
            -1 => None,
            // SAFETY: The helper found the lock held on behalf of this call.
            more => Some(unsafe { TxGuard::new(self, ByCore { more: more != 0 }) }),
        }
    }
}

/// The promise of a poll of the paired RX queue to look after the TX queue before it ends: to
/// notify the device of packets that are sent meanwhile and to reap them (see
/// [`TxQueue::defer_kicks`]).
///
/// Lifetime: inside of one poll, on its CPU. Packets sent by others take no notice.
///
/// Context: softirq.
#[must_use]
pub(crate) struct KickDeferral<'a, T: Driver> {
    q: &'a TxQueue<T>,
    budget: i32,
    _not_send: PhantomData<*mut ()>,
}

impl<'a, T: Driver> KickDeferral<'a, T> {
    /// Takes the TX lock, if packets were left to this poll since the last call.
    #[inline(always)]
    pub(crate) fn take_pending(&self) -> Option<TxGuard<'a, T, Softirq>> {
        if !self.q.deferral.kick_pending.load(Ordering::Relaxed) {
            return None;
        }
        self.q.deferral.kick_pending.store(false, Ordering::Relaxed);
        // SAFETY: A deferral is made inside of a poll with this budget, whose thread it can't leave and whose
        // end, where what it borrows ends, it can't outlive.
        Some(unsafe { self.q.lock(self.budget) })
    }

    /// Takes the TX lock.
    #[inline(always)]
    pub(crate) fn lock(&self) -> TxGuard<'a, T, Softirq> {
        // SAFETY: As above.
        unsafe { self.q.lock(self.budget) }
    }

    /// Ends the promise, with a last look.
    #[inline(always)]
    pub(crate) fn end(self) -> Option<TxGuard<'a, T, Softirq>> {
        // INVARIANT: Nobody leaves anything to this poll from here on.
        self.q.deferral.cpu.store(NO_CPU, Ordering::Relaxed);
        self.take_pending()
    }
}

impl<T: Driver> Drop for KickDeferral<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.q.deferral.cpu.store(NO_CPU, Ordering::Relaxed);
    }
}

/// How a TX queue's lock was taken, and with that how it is given back and in which context its
/// holder runs; compare `kernel::sync::lock::Backend`.
///
/// Context: any with softirqs off.
pub(crate) trait Backend {
    /// Gives the lock back.
    ///
    /// # Safety
    ///
    /// It was taken in this way and isn't used any more.
    unsafe fn unlock(txq: *mut bindings::netdev_queue);

    /// Returns the budget that `napi_consume_skb` may be given where the lock is held.
    fn budget(&self) -> i32;
}

/// The core took the lock, around `ndo_start_xmit`, and gives it back.
pub(crate) struct ByCore {
    more: bool,
}

impl Backend for ByCore {
    #[inline(always)]
    unsafe fn unlock(_txq: *mut bindings::netdev_queue) {}

    #[inline(always)]
    fn budget(&self) -> i32 {
        0
    }
}

/// The core took the lock for a sender in process context: softirqs are off and interrupts on, so
/// the CPU's cache of skbs may be used.
pub(crate) struct Process(());

impl Backend for Process {
    #[inline(always)]
    unsafe fn unlock(_txq: *mut bindings::netdev_queue) {}

    #[inline(always)]
    fn budget(&self) -> i32 {
        1
    }
}

/// The lock was taken in process context, with softirqs off.
pub(crate) struct Bh(());

impl Backend for Bh {
    #[inline(always)]
    unsafe fn unlock(txq: *mut bindings::netdev_queue) {
        // SAFETY: By this function's contract.
        unsafe { bindings::netif_tx_unlock_bh(txq) };
    }

    #[inline(always)]
    fn budget(&self) -> i32 {
        0
    }
}

/// The lock was taken in a softirq, inside of a poll with this budget.
pub(crate) struct Softirq {
    budget: i32,
}

impl Backend for Softirq {
    #[inline(always)]
    unsafe fn unlock(txq: *mut bindings::netdev_queue) {
        // SAFETY: By this function's contract.
        unsafe { bindings::__netif_tx_unlock(txq) };
    }

    #[inline(always)]
    fn budget(&self) -> i32 {
        self.budget
    }
}

/// A TX queue's `_xmit_lock`, which is held until this is dropped, and with it the queue's
/// exclusive state.
///
/// Context: softirq.
///
/// # Invariants
///
/// The lock of `q` is held in the way that `lock` says, on behalf of this guard or of the one that this one
/// borrows from.
#[must_use = "the lock is given back at once if the guard isn't kept"]
pub(crate) struct TxGuard<'a, T: Driver, L: Backend> {
    q: &'a TxQueue<T>,
    lock: L,
    _not_send: PhantomData<*mut ()>,
}

impl<'a, T: Driver, L: Backend> TxGuard<'a, T, L> {
    /// # Safety
    ///
    /// The type's invariants hold.
    #[inline(always)]
    unsafe fn new(q: &'a TxQueue<T>, lock: L) -> Self {
        if cfg!(CONFIG_LOCKDEP) {
            // SAFETY: By its type's invariants the queue is valid.
            unsafe { bindings::netif_tx_assert_held(q.txq.as_ptr()) };
        }
        // INVARIANT: By this function's contract.
        Self {
            q,
            lock,
            _not_send: PhantomData,
        }
    }

    /// Returns the queue that is locked.
    #[inline(always)]
    pub(crate) fn queue(&self) -> &'a TxQueue<T> {
        self.q
    }

    /// Returns the exclusive state.
    #[inline(always)]
    pub(crate) fn state(&mut self) -> &mut T::Tx {
        // SAFETY: By the type invariant the lock is held while this guard exists, and the guard is borrowed.
        unsafe { &mut *self.q.state.get() }
    }

    /// Returns the exclusive state, and in which context packets are freed here.
    #[inline(always)]
    pub(crate) fn state_to_reap(&mut self) -> (&mut T::Tx, ConsumeContext<'_>) {
        let budget = self.lock.budget();
        // SAFETY: The backend says it for as long as the guard exists.
        let context = unsafe { ConsumeContext::new(budget) };
        (self.state(), context)
    }

    /// Stops the queue, on which the stack sends no more until it is woken.
    pub(crate) fn stop(&mut self) {
        // SAFETY: By the type invariants the queue is valid and locked.
        unsafe { bindings::netif_tx_stop_queue(self.q.txq.as_ptr()) };
    }

    /// Undoes a [`TxGuard::stop`], and has what waits in the queue's qdisc sent.
    pub(crate) fn wake(&mut self) {
        // SAFETY: By the type invariants the queue is valid.
        unsafe { bindings::netif_tx_wake_queue(self.q.txq.as_ptr()) };
    }

    /// Accounts for what was sent (BQL), and returns whether the queue is stopped
    /// ([`TxGuard::stop`]).
    #[inline(always)]
    pub(crate) fn completed(&mut self, packets: u32, bytes: u32) -> bool {
        // SAFETY: By the type invariants the queue is valid and locked.
        unsafe { bindings::netdev_tx_completed_queue(self.q.txq.as_ptr(), packets, bytes) }
    }

    /// Accounts for what will never complete (BQL).
    pub(crate) fn reset_bql(&mut self) {
        // SAFETY: By the type invariants the queue is valid and locked.
        unsafe { bindings::netdev_tx_reset_queue(self.q.txq.as_ptr()) };
    }

    /// Keeps the stack's watchdog from looking after the queue now, because something was sent that
    /// isn't the stack's.
    #[inline(always)]
    pub(crate) fn touch(&mut self) {
        // SAFETY: By the type invariants the queue is valid and locked.
        unsafe { bindings::txq_trans_cond_update(self.q.txq.as_ptr()) };
    }

    /// Schedules the queue's own poll (softirqs are off here, so it runs later).
    pub(crate) fn schedule_poll(&self) {
        self.q.schedule(|| {});
    }
}

impl<T: Driver> TxGuard<'_, T, ByCore> {
    /// Returns whether the stack has more packets for this queue right now.
    #[inline(always)]
    pub(crate) fn xmit_more(&self) -> bool {
        self.lock.more
    }

    /// Accounts for `bytes` that were given to the device (BQL), and returns whether it is time to
    /// kick.
    #[inline(always)]
    pub(crate) fn sent(&mut self, bytes: u32) -> bool {
        // SAFETY: By the type invariants the queue is valid and locked.
        unsafe { bindings::netdev_tx_sent_queue(self.q.txq.as_ptr(), bytes, self.lock.more) }
    }

    /// Returns whether a poll is certain to look after the ring before the softirq ends that this
    /// is.
    ///
    /// It is the paired RX queue's, which this is inside of, or the queue's own. The latter takes
    /// this lock and completes NAPI with it held, so what is scheduled now hasn't looked at the
    /// ring yet. Returns false if a thread or another CPU is to poll, which may take longer.
    /// Returns false with interrupts off, too, because that is netpoll, in the middle of anything
    /// and perhaps with the machine's last words.
    #[inline(always)]
    pub(crate) fn poll_follows(&self) -> bool {
        (self.q.defers_kicks() || self.own_poll_follows())
            // SAFETY: Reads this CPU's state.
            && !unsafe { bindings::irqs_disabled() }
    }

    #[inline(always)]
    fn own_poll_follows(&self) -> bool {
        let napi = self.q.napi.napi.get();
        // SAFETY: By the type invariants the instance is valid; C reads its state so as well
        // (READ_ONCE).
        let state = unsafe { (&raw const (*napi).state).read_volatile() };
        state & POLL_MASK == 1 << bindings::NAPI_STATE_SCHED
            // SAFETY: By the type invariants the instance is valid; softirqs are off, so the CPU
            // stays the same.
            && unsafe { bindings::napi_is_next_here(napi) }
    }

    /// Returns the guard, if the packet is sent in process context, with softirqs off and
    /// interrupts on: not by a softirq, and not by netpoll.
    #[inline(always)]
    pub(crate) fn in_process(&mut self) -> Option<TxGuard<'_, T, Process>> {
        // SAFETY: Reads this CPU's state.
        unsafe { bindings::in_process_bh() }
            // SAFETY: The core holds the lock; this guard is borrowed for as long as that one exists.
            .then(|| unsafe { TxGuard::new(self.q, Process(())) })
    }
}

impl<T: Driver> TxGuard<'_, T, Process> {
    /// Has the queue's own poll run in `ns` nanoseconds at the latest.
    ///
    /// Returns false, and does nothing, if the queue is stopped, by the driver or by BQL, or NAPI
    /// disabled, or a poll scheduled already.
    #[inline(always)]
    pub(crate) fn poll_in(&mut self, ns: i64) -> bool {
        // SAFETY: `end_timer`, which is called for each instance that is disabled, takes this lock before
        // it cancels the timer.
        self.may_send() && unsafe { self.q.napi.poll_in(ns) }
    }

    /// Returns whether the stack may send, and [`Self::poll_in`] has begun a time that isn't over.
    #[inline(always)]
    pub(crate) fn poll_is_timed(&self) -> bool {
        self.may_send() && self.q.napi.timer_runs()
    }

    /// Returns whether neither the driver nor BQL has stopped the queue.
    #[inline(always)]
    fn may_send(&self) -> bool {
        // SAFETY: By the type invariants the queue is valid; C reads its state so as well.
        let state = unsafe { (&raw const (*self.q.txq.as_ptr()).state).read_volatile() };
        state & STOPPED_MASK == 0
    }
}

impl<T: Driver> TxGuard<'_, T, Softirq> {
    /// Returns the guard, for what otherwise has the core's.
    pub(super) fn for_xmit(&mut self) -> TxGuard<'_, T, ByCore> {
        // SAFETY: The lock is held by this guard, which is borrowed for as long as that one exists.
        unsafe { TxGuard::new(self.q, ByCore { more: false }) }
    }
}

impl<T: Driver, L: Backend> Drop for TxGuard<'_, T, L> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: By the type invariants the lock is held in this way.
        unsafe { L::unlock(self.q.txq.as_ptr()) };
    }
}

/// The inside of the poll function of a TX queue, with the lock held.
///
/// Context: softirq.
pub(crate) struct TxPoll<'a, T: Driver> {
    q: &'a TxQueue<T>,
    guard: TxGuard<'a, T, Softirq>,
    budget: i32,
}

impl<'a, T: Driver> TxPoll<'a, T> {
    /// Returns the lock that is held.
    #[inline(always)]
    pub(crate) fn locked(&mut self) -> &mut TxGuard<'a, T, Softirq> {
        &mut self.guard
    }

    /// Returns NAPI's budget, which is 0 from netpoll.
    #[inline(always)]
    pub(crate) fn budget(&self) -> i32 {
        self.budget
    }

    /// Ends the poll, after which [`TxQueue::schedule`] makes another one.
    #[inline]
    pub(crate) fn complete(self) -> PollResult {
        // SAFETY: Called in the poll function of an added instance that owns its schedule; with netpoll's
        // budget of 0 the core refuses.
        unsafe { bindings::napi_complete_done(self.q.napi.napi.get(), 0) };
        PollResult(0)
    }

    /// Has polling go on.
    pub(crate) fn again(self) -> PollResult {
        PollResult(self.budget)
    }

    /// Completes NAPI, with the lock still held, and returns true if the queue is really given up
    /// (no poll was asked for meanwhile).
    ///
    /// # Safety
    ///
    /// The caller has armed the interrupt, and disables it again if this returns false.
    #[inline(always)]
    pub(crate) unsafe fn napi_complete(&mut self) -> bool {
        // SAFETY: Called in the poll function of an added instance that owns its schedule.
        unsafe { bindings::napi_complete_done(self.q.napi.napi.get(), 0) }
    }
}
