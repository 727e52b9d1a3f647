// SPDX-License-Identifier: GPL-2.0

//! The callbacks of a network driver.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use super::{
    addr::AddrList,
    device::{
        Features,
        NetDevice, //
    },
    ethtool,
    queue::{
        ByCore,
        PollResult,
        RxPoll,
        TxGuard,
        TxPoll, //
    },
    rtnl::Rtnl,
    skb::{
        TxSkb,
        Xmit, //
    },
    stats::{
        LinkStats,
        RxQueueStats,
        TxQueueStats, //
    },
    xdp::{
        Extack,
        NewProg,
        XmitBatch, //
    },
    xsk::XskNew, //
};
use crate::pure::coalesce::Moderation;
use kernel::{
    build_error,
    error::VTABLE_DEFAULT_ERROR,
    prelude::*, //
};

/// A network driver: its private data (`Self`), its per-queue state and what it does.
///
/// The callbacks get `&NetDevice<Self>`, whose [`NetDevice::data`] is `Self`, and tokens for what
/// the core guarantees in that context. [`Driver::open`], [`Driver::stop`] and [`Driver::start_xmit`] are
/// required; the core sees of the others what the driver has.
///
/// # Examples
///
/// `samples/dummy.rs` is a driver with the three; `samples/loopback.rs` one that receives in a NAPI poll.
#[vtable]
pub(crate) trait Driver: Sized + Send + Sync + 'static {
    /// Exclusive state of a TX queue (guarded by its TX lock).
    type Tx: Send;
    /// Exclusive state of an RX queue (owned by its NAPI).
    type Rx: Send;
    /// Shared state of a TX queue.
    type TxShared: Send + Sync;
    /// Shared state of an RX queue.
    type RxShared: Send + Sync;
    /// What calls into the driver by itself, works and hotplug nodes, `()` for nothing. Before anything of
    /// the private data is dropped, what runs is waited for.
    type Deferred: Send + Sync;
    /// What ethtool shows and sets, `()` for nothing but the link.
    type Ethtool: ethtool::Ops<Self>;

    /// Packets that one poll of a queue's NAPI may receive. Process context.
    fn napi_weight() -> i32 {
        64
    }

    /// `ndo_open`. Process context.
    fn open(dev: &NetDevice<Self>, rtnl: &mut Rtnl) -> Result;

    /// `ndo_stop`. Process context.
    fn stop(dev: &NetDevice<Self>, rtnl: &mut Rtnl);

    /// `ndo_start_xmit`. Softirqs off, the queue's TX lock held.
    fn start_xmit<'x>(
        dev: &NetDevice<Self>,
        skb: TxSkb<'x>,
        tx: TxGuard<'_, Self, ByCore>,
    ) -> Xmit<'x>;

    /// The batch of the packet sent last ends with it, whatever [`TxGuard::xmit_more`] said. Context as
    /// for [`Self::start_xmit`].
    fn end_batch(_tx: TxGuard<'_, Self, ByCore>) {}

    /// NAPI poll of an RX queue. Softirq. A budget of 0 (netpoll): receive nothing.
    fn poll_rx(_dev: &NetDevice<Self>, poll: RxPoll<'_, Self>) -> PollResult {
        poll.complete(0)
    }

    /// NAPI poll of a TX queue. Softirq, the queue's TX lock held.
    fn poll_tx(_dev: &NetDevice<Self>, poll: TxPoll<'_, Self>) -> PollResult {
        poll.complete()
    }

    /// `ndo_tx_timeout`: queue `txqueue` has been stopped for too long. Softirq (timer).
    fn tx_timeout(_dev: &NetDevice<Self>, _txqueue: u32) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ndo_set_rx_mode_async`: flags or address lists changed. Process context.
    fn set_rx_mode(
        _dev: &NetDevice<Self>,
        _uc: AddrList<'_>,
        _mc: AddrList<'_>,
        _rtnl: &mut Rtnl,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ndo_set_mac_address`: asks the device to take `mac`. Without it the address is the core's alone.
    /// Process context.
    fn set_mac_address(_dev: &NetDevice<Self>, _mac: [u8; 6], _rtnl: &mut Rtnl) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ndo_get_phys_port_name`: what tells this interface from others of the same device, if there
    /// are any. RTNL held.
    fn phys_port_name(_dev: &NetDevice<Self>) -> Option<&'static CStr> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ndo_change_mtu`: whether `mtu`, within the device's limits, is acceptable; the core sets it then. Without
    /// it each one is. Process context.
    fn change_mtu(_dev: &NetDevice<Self>, _mtu: u32, _rtnl: &mut Rtnl) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ndo_vlan_rx_add_vid`, `ndo_vlan_rx_kill_vid`. Process context.
    fn vlan_filter(_dev: &NetDevice<Self>, _vid: u16, _add: bool, _rtnl: &mut Rtnl) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ndo_fix_features`: those of `wanted` that there can be for now. Process context.
    fn fix_features(_dev: &NetDevice<Self>, _wanted: Features) -> Features {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ndo_set_features`: switches what differs from the present features. Process context.
    fn set_features(_dev: &NetDevice<Self>, _wanted: Features, _rtnl: &mut Rtnl) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ndo_get_stats64`. Any context.
    fn stats64(_dev: &NetDevice<Self>, _out: &mut LinkStats<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `netdev_stat_ops`: counters of RX queue `index`. RTNL held. It goes with [`Self::tx_queue_stats`].
    fn rx_queue_stats(_dev: &NetDevice<Self>, _index: u16, _out: &mut RxQueueStats<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `netdev_stat_ops`: counters of TX queue `index`. RTNL held. It goes with [`Self::rx_queue_stats`].
    fn tx_queue_stats(_dev: &NetDevice<Self>, _index: u16, _out: &mut TxQueueStats<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ndo_bpf`: `prog` is going to be the device's from the next poll on, unless this fails. Process context.
    fn xdp_attach(
        _dev: &NetDevice<Self>,
        _prog: &NewProg<'_>,
        _extack: &Extack<'_>,
        _rtnl: &mut Rtnl,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The device has no program any more, and no poll runs one. Process context.
    fn xdp_detached(_dev: &NetDevice<Self>, _rtnl: &mut Rtnl) {}

    /// `ndo_xdp_xmit`: sends what it takes out of `frames`, now if `flush`. Frames that are left there are the
    /// caller's. The interface is up. Softirqs off.
    fn xdp_xmit(_dev: &NetDevice<Self>, _frames: &mut XmitBatch<'_>, _flush: bool) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ndo_bpf`: the sockets of AF_XDP that are bound to queue pair `index` have buffers of their own from now on, which
    /// [`super::queue::QueuePair::xsk_install`] says. After an error [`Self::xsk_disable`] is called if it did. It goes with that and
    /// with [`Self::xsk_wakeup`]. Process context.
    fn xsk_enable(
        _dev: &NetDevice<Self>,
        _index: u16,
        _pool: &XskNew<'_>,
        _rtnl: &mut Rtnl,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Not any more: [`super::queue::QueuePair::xsk_remove`] has to succeed, whatever the device does. Process context.
    fn xsk_disable(_dev: &NetDevice<Self>, _index: u16, _rtnl: &mut Rtnl) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `ndo_xsk_wakeup`: user space asks to look at what there is to send, or at new buffers to receive into. The interface is
    /// up. Process context.
    fn xsk_wakeup(_dev: &NetDevice<Self>, _index: u16, _rx: bool, _tx: bool) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The traffic of RX queue `index` asks for other interrupts. Process context, no lock held; it
    /// must not take RTNL, under which [`super::queue::QueuePair::napi_disable`] waits for it.
    fn moderate(_dev: &NetDevice<Self>, _index: u16, _to: Moderation) {}

    /// Stops what calls into the driver by itself ([`Self::Deferred`]) before the interface is unregistered. It may be
    /// called more than once. Process context, RTNL not held.
    fn quiesce(_dev: &NetDevice<Self>) {}

    /// The interface is gone and no interrupt of the device comes any more: the last call, before the
    /// private data is dropped. Process context, RTNL not held.
    fn released(_dev: &NetDevice<Self>) {}
}
