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
/// the core guarantees in that context. [`Driver::open`], [`Driver::stop`] and
/// [`Driver::start_xmit`] are required; the core sees of the others what the driver has.
///
/// Context: process, RTNL held, unless a callback says otherwise.
///
/// # Examples
///
/// `samples/dummy.rs` is a driver with the three; `samples/loopback.rs` one that receives in a NAPI
/// poll.
///
/// # Errors
///
/// The core gives errors to whoever asked.
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
    /// What calls into the driver by itself, works and hotplug nodes, or `()` for nothing.
    ///
    /// Before anything of the private data is dropped, what runs is waited for.
    type Deferred: Send + Sync;
    /// What ethtool shows and sets, or `()` for nothing but the link.
    type Ethtool: ethtool::Ops<Self>;

    /// Returns how many packets one poll of a queue's NAPI may receive.
    fn napi_weight() -> i32 {
        64
    }

    /// Brings the interface up (`ndo_open`).
    fn open(dev: &NetDevice<Self>, rtnl: &mut Rtnl) -> Result;

    /// Takes the interface down (`ndo_stop`).
    fn stop(dev: &NetDevice<Self>, rtnl: &mut Rtnl);

    /// Sends a packet (`ndo_start_xmit`).
    ///
    /// Context: softirq, the queue's TX lock held.
    fn start_xmit<'x>(
        dev: &NetDevice<Self>,
        skb: TxSkb<'x>,
        tx: TxGuard<'_, Self, ByCore>,
    ) -> Xmit<'x>;

    /// Ends the batch of the packet sent last, whatever [`TxGuard::xmit_more`] said.
    ///
    /// Context: softirq, the queue's TX lock held.
    fn end_batch(_tx: TxGuard<'_, Self, ByCore>) {}

    /// Polls an RX queue for NAPI, and receives nothing with a budget of 0 (netpoll).
    ///
    /// Context: softirq.
    fn poll_rx(_dev: &NetDevice<Self>, poll: RxPoll<'_, Self>) -> PollResult {
        poll.complete(0)
    }

    /// Polls a TX queue for NAPI.
    ///
    /// Context: softirq, the queue's TX lock held.
    fn poll_tx(_dev: &NetDevice<Self>, poll: TxPoll<'_, Self>) -> PollResult {
        poll.complete()
    }

    /// Sees to queue `txqueue`, which has been stopped for too long (`ndo_tx_timeout`).
    ///
    /// Context: softirq (timer).
    fn tx_timeout(_dev: &NetDevice<Self>, _txqueue: u32) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sends the receive filter, of which flags or address lists have changed
    /// (`ndo_set_rx_mode_async`).
    fn set_rx_mode(
        _dev: &NetDevice<Self>,
        _uc: AddrList<'_>,
        _mc: AddrList<'_>,
        _rtnl: &mut Rtnl,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Asks the device to take `mac` (`ndo_set_mac_address`).
    ///
    /// Without it the address is the core's alone.
    fn set_mac_address(_dev: &NetDevice<Self>, _mac: [u8; 6], _rtnl: &mut Rtnl) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns what tells this interface from others of the same device, if there are any
    /// (`ndo_get_phys_port_name`).
    fn phys_port_name(_dev: &NetDevice<Self>) -> Option<&'static CStr> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns whether `mtu`, within the device's limits, is acceptable, which the core sets then
    /// (`ndo_change_mtu`).
    ///
    /// Without it each one is.
    fn change_mtu(_dev: &NetDevice<Self>, _mtu: u32, _rtnl: &mut Rtnl) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Adds a VLAN to the filter or removes it (`ndo_vlan_rx_add_vid`, `ndo_vlan_rx_kill_vid`).
    fn vlan_filter(_dev: &NetDevice<Self>, _vid: u16, _add: bool, _rtnl: &mut Rtnl) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns those of `wanted` that there can be for now (`ndo_fix_features`).
    fn fix_features(_dev: &NetDevice<Self>, _wanted: Features) -> Features {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Switches what differs from the present features (`ndo_set_features`).
    fn set_features(_dev: &NetDevice<Self>, _wanted: Features, _rtnl: &mut Rtnl) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Writes the counters of the interface (`ndo_get_stats64`).
    ///
    /// Context: any.
    fn stats64(_dev: &NetDevice<Self>, _out: &mut LinkStats<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Writes the counters of RX queue `index` (`netdev_stat_ops`).
    ///
    /// It goes with [`Self::tx_queue_stats`].
    fn rx_queue_stats(_dev: &NetDevice<Self>, _index: u16, _out: &mut RxQueueStats<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Writes the counters of TX queue `index` (`netdev_stat_ops`).
    ///
    /// It goes with [`Self::rx_queue_stats`].
    fn tx_queue_stats(_dev: &NetDevice<Self>, _index: u16, _out: &mut TxQueueStats<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Prepares the device for `prog`, which is its program from the next poll on, unless this
    /// fails (`ndo_bpf`).
    fn xdp_attach(
        _dev: &NetDevice<Self>,
        _prog: &NewProg<'_>,
        _extack: &Extack<'_>,
        _rtnl: &mut Rtnl,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sees to what the last program left to do: the device has none any more, and no poll runs
    /// one.
    fn xdp_detached(_dev: &NetDevice<Self>, _rtnl: &mut Rtnl) {}

    /// Sends what it takes out of `frames`, now if `flush` (`ndo_xdp_xmit`).
    ///
    /// Frames that are left there are the caller's. The interface is up.
    ///
    /// Context: softirq.
    fn xdp_xmit(_dev: &NetDevice<Self>, _frames: &mut XmitBatch<'_>, _flush: bool) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Takes buffers of sockets of AF_XDP into use, which are bound to queue pair `index`
    /// (`ndo_bpf`).
    ///
    /// [`super::queue::QueuePair::xsk_install`] gives them to the pair. After an error
    /// [`Self::xsk_disable`] is called if it did. It goes with that and with [`Self::xsk_wakeup`].
    fn xsk_enable(
        _dev: &NetDevice<Self>,
        _index: u16,
        _pool: &XskNew<'_>,
        _rtnl: &mut Rtnl,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Takes those buffers out of use: [`super::queue::QueuePair::xsk_remove`] has to succeed,
    /// whatever the device does.
    fn xsk_disable(_dev: &NetDevice<Self>, _index: u16, _rtnl: &mut Rtnl) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Looks at what user space has to send, or at its new buffers to receive into
    /// (`ndo_xsk_wakeup`).
    ///
    /// The interface is up.
    ///
    /// Context: process.
    fn xsk_wakeup(_dev: &NetDevice<Self>, _index: u16, _rx: bool, _tx: bool) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets what the traffic of RX queue `index` asks for.
    ///
    /// It must not take RTNL, under which [`super::queue::QueuePair::napi_disable`] waits for it.
    ///
    /// Context: process, no lock held.
    fn moderate(_dev: &NetDevice<Self>, _index: u16, _to: Moderation) {}

    /// Stops what calls into the driver by itself ([`Self::Deferred`]) before the interface is
    /// unregistered.
    ///
    /// It may be called more than once.
    ///
    /// Context: process, RTNL not held.
    fn quiesce(_dev: &NetDevice<Self>) {}

    /// Lets go of the device: the interface is gone and no interrupt comes any more.
    ///
    /// It is the last call, before the private data is dropped.
    ///
    /// Context: process, RTNL not held.
    fn released(_dev: &NetDevice<Self>) {}
}
