// SPDX-License-Identifier: GPL-2.0

//! Queue pairs, and the tokens that give access to their state.
//!
//! A device has one [`QueuePair`] for each pair of virtqueues. Each side has *shared* state, which
//! anyone may read, and *exclusive* state, which comes out only of:
//!
//! - [`TxGuard`]: the queue's `_xmit_lock` is held;
//! - [`RxPoll`]: NAPI owns the queue, inside of its poll function;
//! - [`RxQueue::stopped_state`]: RTNL is held and NAPI is disabled.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)
//!
//! Context: process, RTNL held.

use super::{
    dim::Dim,
    driver::Driver,
    napi::{
        Napi,
        NapiState, //
    },
    rtnl::Rtnl,
    tx_queue::Deferral,
    xsk::XskRemoved, //
};
use crate::bindings;
use core::{
    cell::{
        Cell,
        UnsafeCell, //
    },
    ptr::NonNull, //
};
use kernel::prelude::*;

pub(crate) use super::{
    napi::{
        NapiRef,
        PollResult, //
    },
    rx_napi::{
        AtRest,
        Context,
        InPoll,
        RxNapi, //
    },
    rx_queue::{
        RxPoll,
        RxQueue, //
    },
    tx_queue::{
        Backend,
        ByCore,
        KickDeferral,
        Process,
        Softirq,
        TxGuard,
        TxPoll,
        TxQueue, //
    },
};

/// A pair of queues, in an allocation of its own, so that it shares no cache line with others.
#[pin_data]
#[repr(align(64))]
pub(crate) struct QueuePair<T: Driver> {
    /// Receiving side of the pair.
    #[pin]
    pub(crate) rx: RxQueue<T>,
    /// Sending side of the pair.
    #[pin]
    pub(crate) tx: TxQueue<T>,
    /// Whether both sides use a pool of AF_XDP's, written under RTNL.
    pub(super) uses_xsk: Cell<bool>,
    /// A pool that neither side uses any more and that is still mapped; accessed under RTNL.
    pub(super) xsk_removed: UnsafeCell<Option<XskRemoved>>,
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

/// Interrupts of a pair, as the core shows them to users.
#[derive(Default)]
pub(crate) struct PairIrqs {
    /// The receiving queue's interrupt, if it has one of its own.
    pub(crate) rx: Option<i32>,
    /// The sending queue's interrupt, likewise.
    pub(crate) tx: Option<i32>,
}

impl<T> Default for PairInit<T>
where
    T: Driver<Tx: Default, TxShared: Default, Rx: Default, RxShared: Default>,
{
    fn default() -> Self {
        Self {
            tx: Default::default(),
            tx_shared: Default::default(),
            rx: Default::default(),
            rx_shared: Default::default(),
        }
    }
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
                    xsk: UnsafeCell::new(None),
                    index,
                    shared: rx_shared,
                    state: UnsafeCell::new(rx),
                    pool: UnsafeCell::new(None),
                }),
                tx <- pin_init!(TxQueue {
                    napi <- Napi::new(),
                    dev,
                    txq,
                    index,
                    deferral: Deferral::new(),
                    shared: tx_shared,
                    state: UnsafeCell::new(tx),
                    xsk: UnsafeCell::new(None),
                }),
                uses_xsk: Cell::new(false),
                xsk_removed: UnsafeCell::new(None),
            }),
            GFP_KERNEL,
        )
    }

    /// Lets NAPI run on both queues, says which instance serves which queue and on which interrupt,
    /// and polls once, for what came before.
    ///
    /// Does nothing if it is enabled, or if [`super::device::NetDevice::synchronize_napi`] wasn't
    /// called since it was disabled. A sending side that was left enabled
    /// ([`Self::napi_disable_rx`]) stays so.
    pub(crate) fn napi_enable(&self, irqs: PairIrqs, rtnl: &mut Rtnl) {
        let (rx, tx) = (&self.rx.napi, &self.tx.napi);
        let tx_enabled = tx.state.get() == NapiState::Enabled;
        if rx.state.get() != NapiState::Quiesced || tx.state.get() == NapiState::Disabled {
            return;
        }
        let (dev, i) = (self.rx.dev.as_ptr(), self.rx.index);
        let weight = T::napi_weight();
        // SAFETY: By the type invariants the device is valid and has these queues, RTNL is held.
        // The instances that are added are pinned and off the list, a grace period has passed since
        // they were on it. One lock around all of it, so that nobody sees an instance that is added
        // and not enabled.
        unsafe {
            bindings::netdev_lock(dev);
            bindings::napi_forget_threaded(rx.napi.get());
            bindings::netif_napi_add_config(
                dev,
                rx.napi.get(),
                Some(RxQueue::<T>::poll),
                i32::from(i),
                weight,
            );
            bindings::napi_enable_locked(rx.napi.get());
            if !tx_enabled {
                self.add_tx();
            }
            self.link(rx.napi.get(), tx.napi.get());
            bindings::netif_napi_set_irq(rx.napi.get(), irqs.rx.unwrap_or(-1));
            bindings::netif_napi_set_irq(tx.napi.get(), irqs.tx.unwrap_or(-1));
            bindings::netdev_unlock(dev);
        }
        // INVARIANT: On the list.
        rx.state.set(NapiState::Enabled);
        tx.state.set(NapiState::Enabled);
        self.napi_kick(rtnl);
    }

    /// Lets NAPI run on the sending side alone, and polls it, because the device has something to
    /// send yet.
    ///
    /// Does nothing if it is enabled, or disabled without
    /// [`super::device::NetDevice::synchronize_napi`] since.
    pub(crate) fn napi_enable_tx(&self, irq: Option<i32>, _rtnl: &mut Rtnl) {
        let (dev, tx) = (self.tx.dev.as_ptr(), &self.tx.napi);
        if tx.state.get() != NapiState::Quiesced {
            return;
        }
        // SAFETY: As in `napi_enable`.
        unsafe {
            bindings::netdev_lock(dev);
            self.add_tx();
            bindings::netif_napi_set_irq(tx.napi.get(), irq.unwrap_or(-1));
            bindings::netdev_unlock(dev);
        }
        // INVARIANT: On the list.
        tx.state.set(NapiState::Enabled);
        self.tx.schedule_now();
    }

    /// Adds and enables the sending side's instance.
    ///
    /// # Safety
    ///
    /// RTNL and the device's `netdev_lock` are held; the instance is off the list, and a grace period has
    /// passed since it was on it.
    unsafe fn add_tx(&self) {
        let (dev, napi) = (self.tx.dev.as_ptr(), self.tx.napi.napi.get());
        // SAFETY: By this function's contract, and by the type invariants; the instance is pinned.
        unsafe {
            bindings::napi_forget_threaded(napi);
            bindings::netif_napi_add_tx(dev, napi, Some(TxQueue::<T>::poll), T::napi_weight());
            bindings::napi_enable_locked(napi);
        }
    }

    /// Polls both queues once, if NAPI runs on them.
    pub(crate) fn napi_kick(&self, rtnl: &Rtnl) {
        if self.napi_is_on(rtnl) {
            // SAFETY: Added and enabled, which RTNL keeps.
            unsafe {
                bindings::napi_kick(self.rx.napi.napi.get());
                bindings::napi_kick(self.tx.napi.napi.get());
            }
        }
    }

    /// Keeps NAPI from running and waits for a poll that does, and for [`Driver::moderate`].
    ///
    /// The exclusive RX state is free only after [`super::device::NetDevice::synchronize_napi`].
    ///
    /// Context: process, RTNL held, without a lock that [`Driver::moderate`] takes.
    pub(crate) fn napi_disable(&self, rtnl: &mut Rtnl) {
        self.disable(true, rtnl);
    }

    /// Keeps NAPI from running on the receiving side alone.
    ///
    /// The sending side goes on, until [`Self::napi_disable`], because the device has something to
    /// send yet.
    ///
    /// Context: process, RTNL held, without a lock that [`Driver::moderate`] takes.
    pub(crate) fn napi_disable_rx(&self, rtnl: &mut Rtnl) {
        self.disable(false, rtnl);
    }

    fn disable(&self, tx_too: bool, rtnl: &mut Rtnl) {
        let tx_drains = self.tx_drains(rtnl);
        if self.napi_is_on(rtnl) || (tx_too && tx_drains) {
            let dev = self.rx.dev.as_ptr();
            // SAFETY: By the type invariants the device is valid; RTNL is held; null is for "none".
            // One lock around all of it, so that nobody sees an instance that is disabled and not
            // deleted.
            unsafe {
                bindings::netdev_lock(dev);
                self.link(core::ptr::null_mut(), core::ptr::null_mut());
                self.rx.napi.disable();
                if tx_too {
                    self.tx.napi.disable();
                }
                bindings::netdev_unlock(dev);
            }
            if tx_too {
                self.tx.end_timer(rtnl);
            }
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

    /// Returns whether NAPI is enabled on the sending side alone ([`Self::napi_disable_rx`]).
    pub(crate) fn tx_drains(&self, rtnl: &Rtnl) -> bool {
        self.tx.napi.state.get() == NapiState::Enabled && !self.napi_is_on(rtnl)
    }

    /// Returns whether NAPI is enabled on the pair.
    pub(crate) fn napi_is_on(&self, _rtnl: &Rtnl) -> bool {
        self.rx.napi.state.get() == NapiState::Enabled
    }

    /// Takes note that a grace period has passed.
    pub(super) fn quiesced(&self) {
        for napi in [&self.rx.napi, &self.tx.napi] {
            if napi.state.get() == NapiState::Disabled {
                napi.state.set(NapiState::Quiesced);
            }
        }
    }
}
