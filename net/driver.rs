// SPDX-License-Identifier: GPL-2.0

//! The callbacks of a network driver.

use super::{
    addr::AddrList,
    device::{
        Features,
        NetDevice, //
    },
    ethtool,
    queue::{
        Polled,
        RxPoll,
        TxLocked,
        TxPoll, //
    },
    rtnl::Rtnl,
    skb::{
        SkBuff,
        Xmit, //
    },
    stats::{
        LinkStats,
        RxQueueStats,
        TxQueueStats, //
    },
};
use crate::{
    pure::coalesce::Moderation,
    sync::cpus::CpusHeld, //
};
use kernel::prelude::*;

/// A network driver: its private data (`Self`), its per-queue state and what it does.
///
/// The callbacks get `&NetDevice<Self>`, whose [`NetDevice::data`] is `Self`, and tokens for what
/// the core guarantees in that context.
pub(crate) trait Driver: Sized + Send + Sync + 'static {
    /// Exclusive state of a TX queue (guarded by its TX lock).
    type Tx: Send;
    /// Exclusive state of an RX queue (owned by its NAPI).
    type Rx: Send;
    /// Shared state of a TX queue.
    type TxShared: Send + Sync;
    /// Shared state of an RX queue.
    type RxShared: Send + Sync;
    /// Hot-plug, statistics and so on as ethtool sees them.
    type Ethtool: ethtool::Ops<Net = Self>;

    /// Packets that one poll of a queue's NAPI may receive. Process context.
    fn napi_weight() -> i32 {
        64
    }

    /// `ndo_open`. Process context.
    fn open(dev: &NetDevice<Self>, rtnl: &mut Rtnl) -> Result;

    /// `ndo_stop`. Process context.
    fn stop(dev: &NetDevice<Self>, rtnl: &mut Rtnl);

    /// `ndo_start_xmit`. Softirqs off, the queue's TX lock held.
    fn start_xmit(dev: &NetDevice<Self>, skb: SkBuff, tx: TxLocked<'_, Self>) -> Xmit;

    /// The batch of the packet sent last ends with it, whatever [`TxLocked::xmit_more`] said. Context as
    /// for [`Self::start_xmit`].
    fn end_batch(tx: TxLocked<'_, Self>);

    /// NAPI poll of an RX queue. Softirq. A budget of 0 (netpoll): receive nothing.
    fn poll_rx(dev: &NetDevice<Self>, poll: RxPoll<'_, Self>) -> Polled;

    /// NAPI poll of a TX queue. Softirq, the queue's TX lock held.
    fn poll_tx(dev: &NetDevice<Self>, poll: TxPoll<'_, Self>) -> Polled;

    /// `ndo_tx_timeout`: queue `txqueue` has been stopped for too long. Softirq (timer).
    fn tx_timeout(dev: &NetDevice<Self>, txqueue: u32);

    /// `ndo_set_rx_mode_async`: flags or address lists changed. Process context.
    fn set_rx_mode(
        dev: &NetDevice<Self>,
        uc: AddrList<'_>,
        mc: AddrList<'_>,
        rtnl: &mut Rtnl,
    ) -> Result;

    /// `ndo_set_mac_address`: asks the device to take `mac`. Process context.
    fn set_mac_address(dev: &NetDevice<Self>, mac: [u8; 6], rtnl: &mut Rtnl) -> Result;

    /// `ndo_get_phys_port_name`: what tells this interface from others of the same device, if there
    /// are any. RTNL held.
    fn phys_port_name(dev: &NetDevice<Self>) -> Option<&'static CStr>;

    /// `ndo_change_mtu`: whether `mtu` is acceptable; the core sets it then. Process context.
    fn change_mtu(dev: &NetDevice<Self>, mtu: u32, rtnl: &mut Rtnl) -> Result;

    /// `ndo_vlan_rx_add_vid`, `ndo_vlan_rx_kill_vid`. Process context.
    fn vlan_filter(dev: &NetDevice<Self>, vid: u16, add: bool, rtnl: &mut Rtnl) -> Result;

    /// `ndo_set_features`: switches what differs from the present features. Process context.
    fn set_features(dev: &NetDevice<Self>, wanted: Features, rtnl: &mut Rtnl) -> Result;

    /// `ndo_get_stats64`. Any context.
    fn stats64(dev: &NetDevice<Self>, out: &mut LinkStats<'_>);

    /// `netdev_stat_ops`: counters of RX queue `index`. RTNL held.
    fn rx_queue_stats(dev: &NetDevice<Self>, index: u16, out: &mut RxQueueStats<'_>);

    /// `netdev_stat_ops`: counters of TX queue `index`. RTNL held.
    fn tx_queue_stats(dev: &NetDevice<Self>, index: u16, out: &mut TxQueueStats<'_>);

    /// Bytes of the buffers of RX queue `index`, for sysfs ([`super::device::Setup::rx_buffer_size`]).
    /// Process context, no lock held.
    fn rx_buffer_size(dev: &NetDevice<Self>, index: u16) -> u32;

    /// The config work runs: the device's configuration changed. Process context.
    fn config_work(dev: &NetDevice<Self>);

    /// The reset work runs: the device is to be reset and set up again. Process context.
    fn reset_work(dev: &NetDevice<Self>);

    /// The notify work runs: queues are to be notified once more. Process context.
    fn notify_work(dev: &NetDevice<Self>);

    /// The late work runs: an answer that is late may have come. Process context.
    fn late_work(dev: &NetDevice<Self>);

    /// The traffic of RX queue `index` asks for other interrupts. Process context, no lock held; it
    /// must not take RTNL, under which [`super::queue::QueuePair::napi_disable`] waits for it.
    fn moderate(dev: &NetDevice<Self>, index: u16, to: Moderation);

    /// CPUs come or go. Process context, hotplug lock held.
    fn cpus_changed(dev: &NetDevice<Self>, held: &CpusHeld, leaving: Option<u32>);

    /// The interface is gone and the device is reset: let go of the virtqueues. Called once,
    /// before the private data is dropped. Process context, RTNL not held.
    fn released(dev: &NetDevice<Self>);
}
