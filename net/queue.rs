// SPDX-License-Identifier: GPL-2.0

//! Per-queue state and the tokens that give access to it.
//!
//! A device has one [`QueuePair`] for each pair of virtqueues. Each side has *shared* state,
//! which anyone may read, and *exclusive* state, which comes out only of:
//!
//! - [`TxLocked`]: the queue's `_xmit_lock` is held;
//! - [`RxPoll`]: NAPI owns the queue, inside of its poll function;
//! - [`RxQueue::idle`]: RTNL is held and NAPI is disabled.

use super::{
    device::NetDevice,
    dim::Dim,
    driver::Driver,
    rtnl::Rtnl,
    skb::SkBuff, //
};
use crate::{
    bindings,
    sync::params, //
};
use core::{
    cell::{
        Cell,
        UnsafeCell, //
    },
    marker::{
        PhantomData,
        PhantomPinned, //
    },
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

/// Whether a NAPI instance may run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    /// It may.
    On,
    /// `napi_disable` has returned; a poll that completed before may not have returned yet.
    Disabled,
    /// A grace period has passed since: no poll is left.
    Off,
}

/// What of a `napi_struct`'s state tells whether a softirq is going to poll: it is scheduled, and that
/// isn't because it is disabled or has a thread.
const POLL_MASK: usize = 1 << bindings::NAPI_STATE_SCHED
    | 1 << bindings::NAPI_STATE_DISABLE
    | 1 << bindings::NAPI_STATE_NPSVC
    | 1 << bindings::NAPI_STATE_THREADED;

/// One `napi_struct` and what guards it.
///
/// # Invariants
///
/// `napi` is on the device's list while `run` is [`Run::On`], and only then: the core waits for ever for
/// a listed instance that is disabled (`napi_stop_kthread`). Off the list its state has
/// `NAPI_STATE_SCHED`, so that nobody can schedule it. `run` is written under RTNL only.
#[pin_data]
struct Napi {
    #[pin]
    napi: Opaque<bindings::napi_struct>,
    run: Cell<Run>,
    #[pin]
    _pin: PhantomPinned,
}

impl Napi {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            napi <- Opaque::ffi_init(|p: *mut bindings::napi_struct| {
                // SAFETY: `p` is valid for writes; C expects zeroed memory.
                unsafe {
                    p.write(pin_init::zeroed());
                    bindings::napi_init_disabled(p);
                }
            }),
            run: Cell::new(Run::Off),
            _pin: PhantomPinned,
        })
    }

    /// Takes the instance off the device's list and waits for a poll that runs. Polls that have
    /// completed may not have returned: hence [`Run::Disabled`].
    fn disable(&self) {
        if self.run.get() == Run::On {
            self.run.set(Run::Disabled);
            // SAFETY: Added and enabled.
            unsafe {
                bindings::napi_disable(self.napi.get());
                bindings::netif_napi_del_async(self.napi.get());
            }
        }
    }

    /// Schedules a poll and calls `first` before, unless one is scheduled already (or NAPI is
    /// disabled). Any context with interrupts or softirqs off. Returns whether it did.
    #[inline(always)]
    fn schedule(&self, first: impl FnOnce()) -> bool {
        // SAFETY: Added; a disabled NAPI refuses.
        unsafe {
            if bindings::napi_schedule_prep(self.napi.get()) {
                first();
                bindings::__napi_schedule(self.napi.get());
                return true;
            }
        }
        false
    }
}

/// No CPU's number.
const NO_CPU: i32 = -1;

/// Sending side of a queue pair.
///
/// # Invariants
///
/// `dev` is the device that owns this queue, valid as long as `self`; `txq` is its TX queue
/// number `index`. `state` is accessed under `txq`'s `_xmit_lock` only. `held_on` is the CPU of a poll
/// that has an [`RxHold`], -1 without one; `owed` is written on that CPU, inside of that poll.
#[pin_data]
pub(crate) struct TxQueue<T: Driver> {
    #[pin]
    napi: Napi,
    dev: NonNull<bindings::net_device>,
    txq: NonNull<bindings::netdev_queue>,
    index: u16,
    held_on: AtomicI32,
    owed: AtomicBool,
    shared: T::TxShared,
    state: UnsafeCell<T::Tx>,
}

/// Receiving side of a queue pair.
///
/// # Invariants
///
/// As for [`TxQueue`]; `state` is accessed by NAPI, or under RTNL while NAPI is disabled.
#[pin_data]
pub(crate) struct RxQueue<T: Driver> {
    #[pin]
    napi: Napi,
    #[pin]
    dim: Dim,
    dev: NonNull<bindings::net_device>,
    index: u16,
    shared: T::RxShared,
    state: UnsafeCell<T::Rx>,
}

/// A pair of queues. Each lives in an allocation of its own, so that queues share no cache line.
#[pin_data]
#[repr(align(64))]
pub(crate) struct QueuePair<T: Driver> {
    /// Receiving side.
    #[pin]
    pub(crate) rx: RxQueue<T>,
    /// Sending side.
    #[pin]
    pub(crate) tx: TxQueue<T>,
}

// SAFETY: The cells are guarded as documented on the types; `T`'s parts are `Send` (exclusive)
// and `Sync` (shared) by the bounds of `Driver`.
unsafe impl<T: Driver> Send for QueuePair<T> {}
// SAFETY: As above.
unsafe impl<T: Driver> Sync for QueuePair<T> {}

/// What a driver supplies for a new pair.
pub(crate) struct PairInit<T: Driver> {
    /// Exclusive state of the sending side.
    pub(crate) tx: T::Tx,
    /// Shared state of the sending side.
    pub(crate) tx_shared: T::TxShared,
    /// Exclusive state of the receiving side.
    pub(crate) rx: T::Rx,
    /// Shared state of the receiving side.
    pub(crate) rx_shared: T::RxShared,
}

impl<T: Driver> QueuePair<T> {
    /// # Safety
    ///
    /// `dev` has more than `index` TX queues and outlives the pair.
    pub(super) unsafe fn new(
        dev: NonNull<bindings::net_device>,
        index: u16,
        init: PairInit<T>,
    ) -> Result<Pin<KBox<Self>>> {
        // SAFETY: By this function's contract.
        let txq =
            NonNull::new(unsafe { bindings::netdev_get_tx_queue(dev.as_ptr(), u32::from(index)) })
                .ok_or(EINVAL)?;
        let PairInit {
            tx,
            tx_shared,
            rx,
            rx_shared,
        } = init;
        KBox::pin_init(
            pin_init!(Self {
                rx <- pin_init!(RxQueue {
                    napi <- Napi::new(),
                    dim <- Dim::new(RxQueue::<T>::dim_work),
                    dev,
                    index,
                    shared: rx_shared,
                    state: UnsafeCell::new(rx),
                }),
                tx <- pin_init!(TxQueue {
                    napi <- Napi::new(),
                    dev,
                    txq,
                    index,
                    held_on: AtomicI32::new(NO_CPU),
                    owed: AtomicBool::new(false),
                    shared: tx_shared,
                    state: UnsafeCell::new(tx),
                }),
            }),
            GFP_KERNEL,
        )
    }

    /// Lets NAPI run on both queues, tells the stack which instance serves which queue and on which
    /// interrupt, and polls once, for what came before. Process context. Nothing if it is on, or if
    /// [`super::device::NetDevice::napi_settle`] wasn't called since it was disabled.
    pub(crate) fn napi_enable(&self, irqs: (Option<i32>, Option<i32>), _rtnl: &mut Rtnl) {
        let (rx, tx) = (&self.rx.napi, &self.tx.napi);
        if rx.run.get() != Run::Off || tx.run.get() != Run::Off {
            return;
        }
        let (dev, i) = (self.rx.dev.as_ptr(), self.rx.index);
        let weight = params::napi_weight();
        // SAFETY: The device is valid and has these queues, RTNL is held. The instances are pinned
        // and off the list, a grace period has passed since they were on it.
        unsafe {
            bindings::napi_forget_threaded(rx.napi.get());
            bindings::napi_forget_threaded(tx.napi.get());
            bindings::netif_napi_add_config(
                dev,
                rx.napi.get(),
                Some(RxQueue::<T>::poll),
                i32::from(i),
                weight,
            );
            bindings::netif_napi_add_tx(dev, tx.napi.get(), Some(TxQueue::<T>::poll), weight);
            bindings::napi_enable(rx.napi.get());
            bindings::napi_enable(tx.napi.get());
            self.link(rx.napi.get(), tx.napi.get());
            bindings::netif_napi_set_irq(rx.napi.get(), irqs.0.unwrap_or(-1));
            bindings::netif_napi_set_irq(tx.napi.get(), irqs.1.unwrap_or(-1));
        }
        // INVARIANT: On the list.
        rx.run.set(Run::On);
        tx.run.set(Run::On);
        // SAFETY: Added and enabled.
        unsafe {
            bindings::napi_kick(rx.napi.get());
            bindings::napi_kick(tx.napi.get());
        }
    }

    /// Keeps NAPI from running and waits for a poll that does, and for [`Driver::moderate`]. The
    /// exclusive RX state is free only after [`super::device::NetDevice::napi_settle`]. Process
    /// context, without a lock that [`Driver::moderate`] takes.
    pub(crate) fn napi_disable(&self, _rtnl: &mut Rtnl) {
        let on = self.napi_is_on();
        if on {
            // SAFETY: RTNL is held, the device is valid; null is for "none".
            unsafe { self.link(core::ptr::null_mut(), core::ptr::null_mut()) };
        }
        self.rx.napi.disable();
        self.tx.napi.disable();
        if on {
            // A poll that has completed but not returned doesn't use it any more.
            self.rx.dim.cancel();
        }
    }

    /// # Safety
    ///
    /// RTNL is held; the instances are null or on the device's list.
    unsafe fn link(&self, rx: *mut bindings::napi_struct, tx: *mut bindings::napi_struct) {
        let (dev, i) = (self.rx.dev.as_ptr(), u32::from(self.rx.index));
        // SAFETY: By this function's contract; the device has these queues.
        unsafe {
            bindings::netif_queue_set_napi(
                dev,
                i,
                bindings::netdev_queue_type_NETDEV_QUEUE_TYPE_RX,
                rx,
            );
            bindings::netif_queue_set_napi(
                dev,
                i,
                bindings::netdev_queue_type_NETDEV_QUEUE_TYPE_TX,
                tx,
            );
        }
    }

    /// Whether NAPI is enabled on the pair.
    pub(crate) fn napi_is_on(&self) -> bool {
        self.rx.napi.run.get() == Run::On
    }

    /// A grace period has passed.
    pub(super) fn settled(&self) {
        for napi in [&self.rx.napi, &self.tx.napi] {
            if napi.run.get() == Run::Disabled {
                napi.run.set(Run::Off);
            }
        }
    }
}

/// A NAPI instance, for functions that need to know on whose behalf they run.
#[derive(Clone, Copy)]
pub(crate) struct NapiRef<'a> {
    napi: NonNull<bindings::napi_struct>,
    dev: NonNull<bindings::net_device>,
    polling: bool,
    _a: PhantomData<&'a ()>,
}

impl NapiRef<'_> {
    /// The C object.
    pub(super) fn as_raw(&self) -> *mut bindings::napi_struct {
        self.napi.as_ptr()
    }

    pub(super) fn netdev(&self) -> *mut bindings::net_device {
        self.dev.as_ptr()
    }

    /// Whether this runs inside of the instance's poll function.
    #[inline(always)]
    pub(super) fn in_napi(&self) -> bool {
        self.polling
    }

    /// A new skb with room for `len` bytes. None as well outside of a poll.
    #[inline]
    pub(super) fn alloc_skb(&self, len: u32) -> Option<SkBuff> {
        if !self.polling {
            return None;
        }
        // SAFETY: Inside of the instance's poll.
        let skb = unsafe { bindings::napi_alloc_skb(self.as_raw(), len) };
        // SAFETY: A new skb has one reference.
        Some(unsafe { SkBuff::from_raw(NonNull::new(skb)?) })
    }

    /// Hands up what GRO holds back, which may make the stack send. False if there was nothing, or if
    /// it is to be held for longer than this poll.
    #[inline(always)]
    pub(crate) fn gro_flush(&self) -> bool {
        // SAFETY: Inside of the instance's poll.
        self.polling && unsafe { bindings::napi_gro_flush(self.as_raw()) }
    }

    /// Hands a received packet to the stack, which may merge it with others. Dropped outside of a
    /// poll.
    #[inline(always)]
    pub(crate) fn gro_receive(&self, skb: SkBuff) {
        if !self.polling {
            return skb.drop_with(super::DropReason::DevReady);
        }
        // SAFETY: Inside of the instance's poll; the reference goes.
        unsafe {
            bindings::gro_receive_skb(&raw mut (*self.as_raw()).gro, skb.into_ptr().as_ptr())
        };
    }
}

impl<T: Driver> RxQueue<T> {
    /// Number of the queue.
    #[inline(always)]
    pub(crate) fn index(&self) -> u16 {
        self.index
    }

    /// Counters and the like.
    #[inline(always)]
    pub(crate) fn shared(&self) -> &T::RxShared {
        &self.shared
    }

    /// Schedules a poll and calls `first` (which turns the interrupt off) before that, unless a
    /// poll is scheduled already. Hard interrupt or softirq. Returns whether it did.
    #[inline(always)]
    pub(crate) fn schedule(&self, first: impl FnOnce()) -> bool {
        self.napi.schedule(first)
    }

    /// Schedules a poll from process context, and runs it before it returns where it can.
    pub(crate) fn schedule_now(&self) {
        // SAFETY: The instance was added.
        unsafe { bindings::napi_kick(self.napi.napi.get()) };
    }

    /// The exclusive state while the queue is at rest: NAPI disabled, and
    /// [`super::device::NetDevice::napi_settle`] called since. None else.
    #[allow(clippy::mut_from_ref)]
    pub(crate) fn idle<'a>(&'a self, _rtnl: &'a mut Rtnl) -> Option<(&'a mut T::Rx, NapiRef<'a>)> {
        if self.napi.run.get() != Run::Off {
            return None;
        }
        // SAFETY: RTNL is held (its token is borrowed, so nobody else gets here), NAPI is disabled
        // and a grace period has passed since: no poll is left that has the state or its ring.
        Some((unsafe { &mut *self.state.get() }, self.napi_ref(false)))
    }

    /// Whether interrupts are moderated by the traffic.
    #[inline(always)]
    pub(crate) fn is_adaptive(&self) -> bool {
        self.dim.is_on()
    }

    /// Has interrupts moderated by the traffic, from the first profile on, or not any more. Any
    /// context.
    pub(crate) fn set_adaptive(&self, on: bool) {
        self.dim.set(on);
    }

    /// # Safety
    ///
    /// Called by the workqueue for the `dim` of a queue that `QueuePair::new` made.
    unsafe extern "C" fn dim_work(work: *mut bindings::work_struct) {
        // SAFETY: By this function's contract. `napi_disable` waits for it, and NAPI is disabled
        // before the queue goes, so it is alive.
        let this = unsafe { &*kernel::container_of!(Dim::of_work(work), Self, dim) };
        // SAFETY: As above: the device's private data is there while NAPI is enabled.
        let dev = unsafe { NetDevice::<T>::from_raw(this.dev.as_ptr()) };
        if this.is_adaptive() {
            // SAFETY: This is the work.
            let profile = unsafe { this.dim.profile() };
            if let Some(m) = dev.moderation(profile) {
                T::moderate(dev, this.index, m);
            }
        }
        // SAFETY: This is the work.
        unsafe { this.dim.applied() };
    }

    fn napi_ref(&self, polling: bool) -> NapiRef<'_> {
        NapiRef {
            // SAFETY: A field's address isn't null.
            napi: unsafe { NonNull::new_unchecked(self.napi.napi.get()) },
            dev: self.dev,
            polling,
            _a: PhantomData,
        }
    }

    /// # Safety
    ///
    /// Called by the NAPI core with an instance that `QueuePair::new` added.
    unsafe extern "C" fn poll(napi: *mut bindings::napi_struct, budget: i32) -> i32 {
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

/// What a poll function returns: only `again` and the virtio glue (`virtio::napi`) make one, so that
/// "all of the budget used" and "completed" can't be mixed up.
#[must_use]
pub(crate) struct Polled(pub(super) i32);

impl Polled {
    /// # Safety
    ///
    /// `work` is less than the budget only if `napi_complete_done` was called.
    pub(crate) unsafe fn new(work: i32) -> Self {
        Self(work)
    }
}

/// NAPI owns the receive queue (`NAPI_STATE_SCHED` was taken for this poll).
pub(crate) struct RxPoll<'a, T: Driver> {
    q: &'a RxQueue<T>,
    budget: i32,
    _not_send: PhantomData<*mut ()>,
}

impl<'a, T: Driver> RxPoll<'a, T> {
    /// The queue.
    #[inline(always)]
    pub(crate) fn queue(&self) -> &'a RxQueue<T> {
        self.q
    }

    /// Packets that may be received in this poll; 0 from netpoll: none.
    #[inline(always)]
    pub(crate) fn budget(&self) -> i32 {
        self.budget
    }

    /// The exclusive state, and NAPI for the functions that want to know.
    #[inline(always)]
    pub(crate) fn state(&mut self) -> (&mut T::Rx, NapiRef<'_>) {
        // SAFETY: NAPI owns the queue while this token exists, and the token is borrowed.
        (unsafe { &mut *self.q.state.get() }, self.q.napi_ref(true))
    }

    /// Tells the moderation algorithm how many interrupts, packets and bytes there were so far. Nothing
    /// from netpoll.
    pub(crate) fn sample(&mut self, interrupts: u64, packets: u64, bytes: u64) {
        if self.budget > 0 {
            // CAST: The algorithm looks at differences, modulo 2^16.
            // SAFETY: NAPI owns the queue while this token exists, with a budget at least.
            unsafe { self.q.dim.sample(interrupts as u16, packets, bytes) };
        }
    }

    /// Polling goes on: the whole budget was used.
    pub(crate) fn again(self) -> Polled {
        Polled(self.budget)
    }

    /// Gives the queue back. True if it is really given up (no poll was asked for meanwhile).
    ///
    /// # Safety
    ///
    /// The caller uses no exclusive state after this, and arms the interrupt.
    #[inline(always)]
    pub(crate) unsafe fn napi_complete_done(self, work: i32) -> bool {
        // SAFETY: Called in the poll function of an added instance that owns its schedule.
        unsafe { bindings::napi_complete_done(self.q.napi.napi.get(), work) }
    }
}

impl<T: Driver> TxQueue<T> {
    /// Number of the queue.
    #[inline(always)]
    pub(crate) fn index(&self) -> u16 {
        self.index
    }

    /// Counters and the like.
    #[inline(always)]
    pub(crate) fn shared(&self) -> &T::TxShared {
        &self.shared
    }

    /// Schedules a poll and calls `first` (which turns the interrupt off) before that, unless a
    /// poll is scheduled already. Hard interrupt or softirq. Returns whether it did.
    #[inline(always)]
    pub(crate) fn schedule(&self, first: impl FnOnce()) -> bool {
        self.napi.schedule(first)
    }

    /// Takes the queue's TX lock. Process context.
    pub(crate) fn lock_bh(&self) -> TxGuard<'_, T> {
        // SAFETY: The queue is valid.
        unsafe { bindings::netif_tx_lock_bh(self.txq.as_ptr()) };
        TxGuard {
            tx: TxLocked::new(self, false),
            unlock: bindings::netif_tx_unlock_bh,
        }
    }

    /// Takes the queue's TX lock. Softirq context.
    #[inline(always)]
    fn lock(&self) -> TxGuard<'_, T> {
        // SAFETY: The queue is valid; BHs are off in softirq context.
        unsafe { bindings::netif_tx_lock(self.txq.as_ptr()) };
        TxGuard {
            tx: TxLocked::new(self, false),
            unlock: bindings::netif_tx_unlock,
        }
    }

    /// Takes the queue's TX lock if it is free. `_in` proves softirq context.
    #[inline(always)]
    pub(crate) fn trylock<U: Driver>(&self, _in: &RxPoll<'_, U>) -> Option<TxGuard<'_, T>> {
        // SAFETY: The queue is valid; BHs are off in softirq context.
        unsafe { bindings::netif_tx_trylock(self.txq.as_ptr()) }.then(|| TxGuard {
            tx: TxLocked::new(self, false),
            unlock: bindings::netif_tx_unlock,
        })
    }

    /// Until the result is gone, who sends on this queue from inside of the poll `_in` may leave the
    /// notification to it.
    #[inline(always)]
    pub(crate) fn hold<U: Driver>(&self, _in: &RxPoll<'_, U>) -> RxHold<'_, T> {
        // INVARIANT: The poll stays on this CPU, with softirqs off.
        // SAFETY: Reads a number.
        let cpu = unsafe { bindings::smp_processor_id() };
        self.held_on.store(cpu, Ordering::Relaxed);
        RxHold(self)
    }

    /// Whether this is inside of a poll with an [`RxHold`], which is told that it has something to do.
    #[inline(always)]
    fn is_held(&self) -> bool {
        let cpu = self.held_on.load(Ordering::Relaxed);
        // Softirqs are off here: on the poll's CPU this can only be inside of it.
        // SAFETY: Reads a number.
        let held = cpu != NO_CPU && cpu == unsafe { bindings::smp_processor_id() };
        if held {
            self.owed.store(true, Ordering::Relaxed);
        }
        held
    }

    /// Whether the stack must not send on this queue now.
    #[inline(always)]
    pub(crate) fn is_stopped(&self) -> bool {
        // SAFETY: The queue is valid; reads a bit.
        unsafe { bindings::netif_tx_queue_stopped(self.txq.as_ptr()) }
    }

    /// Packets that wait in this queue's qdisc.
    pub(crate) fn backlog(&self) -> u32 {
        // SAFETY: The queue is valid.
        unsafe { bindings::netdev_queue_backlog(self.txq.as_ptr()) }
    }

    /// # Safety
    ///
    /// Called by the NAPI core with an instance that `QueuePair::new` added.
    unsafe extern "C" fn poll(napi: *mut bindings::napi_struct, budget: i32) -> i32 {
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
                guard: this.lock(),
                budget,
            },
        )
        .0
        .min(budget)
    }

    /// # Safety
    ///
    /// The queue's `_xmit_lock` is held by the caller for `'a` (`HARD_TX_LOCK`).
    #[inline(always)]
    pub(super) unsafe fn locked_by_core(&self) -> TxLocked<'_, T> {
        // SAFETY: Reads a per-CPU value that `dev_hard_start_xmit` set for this call.
        TxLocked::new(self, unsafe { bindings::netdev_xmit_more() })
    }
}

/// The poll of the paired RX queue promises to look after the TX queue before it ends: to tell the
/// device of packets that are sent meanwhile and to reap them. See [`TxQueue::hold`].
///
/// Lifetime: inside of one poll, on its CPU. Packets sent by others take no notice.
pub(crate) struct RxHold<'a, T: Driver>(&'a TxQueue<T>);

impl<'a, T: Driver> RxHold<'a, T> {
    /// The TX lock, if packets were left to this poll since the last call.
    #[inline(always)]
    pub(crate) fn owed(&self) -> Option<TxGuard<'a, T>> {
        if !self.0.owed.load(Ordering::Relaxed) {
            return None;
        }
        self.0.owed.store(false, Ordering::Relaxed);
        Some(self.0.lock())
    }

    /// Ends the promise, with a last look.
    #[inline(always)]
    pub(crate) fn end(self) -> Option<TxGuard<'a, T>> {
        // INVARIANT: Nobody leaves anything to this poll from here on.
        self.0.held_on.store(NO_CPU, Ordering::Relaxed);
        self.owed()
    }
}

impl<T: Driver> Drop for RxHold<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.held_on.store(NO_CPU, Ordering::Relaxed);
    }
}

/// The queue's `_xmit_lock` is held.
pub(crate) struct TxLocked<'a, T: Driver> {
    q: &'a TxQueue<T>,
    more: bool,
    _not_send: PhantomData<*mut ()>,
}

impl<'a, T: Driver> TxLocked<'a, T> {
    #[inline(always)]
    fn new(q: &'a TxQueue<T>, more: bool) -> Self {
        Self {
            q,
            more,
            _not_send: PhantomData,
        }
    }

    /// The queue.
    #[inline(always)]
    pub(crate) fn queue(&self) -> &'a TxQueue<T> {
        self.q
    }

    /// The exclusive state.
    #[inline(always)]
    pub(crate) fn state(&mut self) -> &mut T::Tx {
        // SAFETY: The lock is held while this token exists, and the token is borrowed.
        unsafe { &mut *self.q.state.get() }
    }

    /// Whether the stack has more packets for this queue right now.
    #[inline(always)]
    pub(crate) fn xmit_more(&self) -> bool {
        self.more
    }

    /// Stops the queue: the stack sends no more until it is woken.
    pub(crate) fn stop(&mut self) {
        // SAFETY: The queue is valid and locked.
        unsafe { bindings::netif_tx_stop_queue(self.q.txq.as_ptr()) };
    }

    /// Undoes [`TxLocked::stop`] where nothing waits yet.
    pub(crate) fn start(&mut self) {
        // SAFETY: The queue is valid and locked.
        unsafe { bindings::netif_tx_start_queue(self.q.txq.as_ptr()) };
    }

    /// Lets the stack send again and makes it try.
    pub(crate) fn wake(&mut self) {
        // SAFETY: The queue is valid.
        unsafe { bindings::netif_tx_wake_queue(self.q.txq.as_ptr()) };
    }

    /// BQL: `bytes` were given to the device. True: it is time to kick.
    #[inline(always)]
    pub(crate) fn sent(&mut self, bytes: u32) -> bool {
        // SAFETY: The queue is valid and locked.
        unsafe { bindings::netdev_tx_sent_queue(self.q.txq.as_ptr(), bytes, self.more) }
    }

    /// BQL: that much was sent.
    #[inline(always)]
    pub(crate) fn completed(&mut self, packets: u32, bytes: u32) {
        // SAFETY: The queue is valid and locked.
        unsafe { bindings::netdev_tx_completed_queue(self.q.txq.as_ptr(), packets, bytes) };
    }

    /// BQL: what was sent will never complete.
    pub(crate) fn reset_bql(&mut self) {
        // SAFETY: The queue is valid and locked.
        unsafe { bindings::netdev_tx_reset_queue(self.q.txq.as_ptr()) };
    }

    /// Whether a poll is certain to look after the ring before the softirq ends that this is: the paired
    /// RX queue's, which this is inside of, or the queue's own. The latter takes this lock and completes
    /// NAPI with it held, so what is scheduled now hasn't looked at the ring yet. False if a thread or
    /// another CPU is to poll: they may take longer.
    #[inline(always)]
    pub(crate) fn poll_follows(&self) -> bool {
        self.q.is_held() || self.own_poll_follows()
    }

    #[inline(always)]
    fn own_poll_follows(&self) -> bool {
        let napi = self.q.napi.napi.get();
        // SAFETY: The instance is valid; C reads its state so as well (READ_ONCE).
        let state = unsafe { (&raw const (*napi).state).read_volatile() };
        state & POLL_MASK == 1 << bindings::NAPI_STATE_SCHED
            // SAFETY: The instance is valid; softirqs are off, so the CPU stays the same.
            && unsafe { bindings::napi_is_next_here(napi) }
    }

    /// Whether the packet is sent in process context, with softirqs off and interrupts on: not by a
    /// softirq, and not by netpoll.
    #[inline(always)]
    pub(crate) fn in_process(&self) -> bool {
        // SAFETY: Reads this CPU's state.
        unsafe { bindings::in_process_bh() }
    }

    /// Schedules the queue's own poll (softirqs are off here, so it runs later).
    pub(crate) fn schedule_poll(&self) {
        self.q.schedule(|| {});
    }
}

/// A [`TxLocked`] that unlocks when dropped.
pub(crate) struct TxGuard<'a, T: Driver> {
    tx: TxLocked<'a, T>,
    unlock: unsafe extern "C" fn(*mut bindings::netdev_queue),
}

impl<'a, T: Driver> core::ops::Deref for TxGuard<'a, T> {
    type Target = TxLocked<'a, T>;
    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        &self.tx
    }
}

impl<T: Driver> core::ops::DerefMut for TxGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.tx
    }
}

impl<T: Driver> Drop for TxGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: Locked by the function that `unlock` is the counterpart of.
        unsafe { (self.unlock)(self.tx.q.txq.as_ptr()) };
    }
}

/// The poll function of a TX queue, lock held.
pub(crate) struct TxPoll<'a, T: Driver> {
    guard: TxGuard<'a, T>,
    budget: i32,
}

impl<'a, T: Driver> TxPoll<'a, T> {
    /// The lock's token.
    #[inline(always)]
    pub(crate) fn locked(&mut self) -> &mut TxLocked<'a, T> {
        &mut self.guard
    }

    /// NAPI budget; 0 from netpoll.
    #[inline(always)]
    pub(crate) fn budget(&self) -> i32 {
        self.budget
    }

    /// Polling goes on.
    pub(crate) fn again(self) -> Polled {
        Polled(self.budget)
    }

    /// Completes, with the lock still held. True if the queue is really given up (no poll was asked
    /// for meanwhile).
    ///
    /// # Safety
    ///
    /// The caller has armed the interrupt, and disables it again if this returns false.
    #[inline(always)]
    pub(crate) unsafe fn napi_complete(&mut self) -> bool {
        // SAFETY: Called in the poll function of an added instance that owns its schedule.
        unsafe { bindings::napi_complete_done(self.guard.queue().napi.napi.get(), 0) }
    }
}
