// SPDX-License-Identifier: GPL-2.0

//! The callbacks of the net device, and which function of the driver each one is.
//!
//! This file is above all those that it calls. Nothing imports it: the implementation goes with the
//! type.

#![forbid(unsafe_code)]

use crate::{
    coalesce,
    device::{
        Net,
        VirtnetInfo, //
    },
    ethtool,
    filter,
    net::{
        self,
        addr::AddrList,
        device::Features as NetFeatures,
        queue::{
            ByCore,
            PollResult,
            RxPoll,
            TxGuard,
            TxPoll, //
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
        xsk::XskNew,
        Rtnl,
        TxSkb,
        Xmit, //
    },
    pure::{
        coalesce::Moderation,
        features::bit, //
    },
    queue_pairs,
    receive_queue::ReceiveQueue,
    reset,
    rss,
    rx_poll,
    stats::{
        self,
        RxStats,
        TxStats, //
    },
    sync::params,
    tx,
    vqs,
    works::Works,
    xdp,
    xsk,
    xsk_tx, //
};
use kernel::prelude::*;

#[vtable]
impl net::Driver for VirtnetInfo {
    type Tx = tx::SendQueue;
    type Rx = ReceiveQueue;
    type TxShared = TxStats;
    type RxShared = RxStats;
    type Deferred = Works;
    type Ethtool = ethtool::Ethtool;

    fn napi_weight() -> i32 {
        params::napi_weight()
    }

    fn open(dev: &Net, rtnl: &mut Rtnl) -> Result {
        queue_pairs::open(dev, rtnl)
    }

    fn stop(dev: &Net, rtnl: &mut Rtnl) {
        queue_pairs::stop(dev, rtnl);
    }

    #[inline(always)]
    fn start_xmit<'x>(dev: &Net, skb: TxSkb<'x>, tx: TxGuard<'_, Self, ByCore>) -> Xmit<'x> {
        tx::start_xmit(dev, skb, tx)
    }

    fn end_batch(tx: TxGuard<'_, Self, ByCore>) {
        tx::end_batch(tx);
    }

    #[inline(always)]
    fn poll_rx(dev: &Net, poll: RxPoll<'_, Self>) -> PollResult {
        rx_poll::poll(dev, poll)
    }

    #[inline(always)]
    fn poll_tx(dev: &Net, poll: TxPoll<'_, Self>) -> PollResult {
        tx::poll(poll, |tx, most| xsk_tx::send(dev, tx, most))
    }

    fn tx_timeout(dev: &Net, txqueue: u32) {
        reset::tx_timeout(dev, txqueue);
    }

    fn set_rx_mode(dev: &Net, uc: AddrList<'_>, mc: AddrList<'_>, rtnl: &mut Rtnl) -> Result {
        filter::set_rx_mode(dev, uc, mc, rtnl)
    }

    fn set_mac_address(dev: &Net, mac: [u8; 6], rtnl: &mut Rtnl) -> Result {
        filter::set_mac_address(dev, mac, rtnl)
    }

    fn phys_port_name(dev: &Net) -> Option<&'static CStr> {
        // As distributions' rules for names expect it.
        dev.data().f.has(bit::STANDBY).then_some(c"sby")
    }

    fn vlan_filter(dev: &Net, vid: u16, add: bool, rtnl: &mut Rtnl) -> Result {
        filter::vlan_filter(dev, vid, add, rtnl)
    }

    fn fix_features(dev: &Net, wanted: NetFeatures) -> NetFeatures {
        filter::fix_features(dev, wanted)
    }

    fn set_features(dev: &Net, wanted: NetFeatures, rtnl: &mut Rtnl) -> Result {
        rss::set_features(dev, wanted)?;
        filter::set_features(dev, wanted, rtnl).inspect_err(|_| {
            // Then none of the features changes.
            let _ = rss::set_features(dev, dev.features());
        })
    }

    fn change_mtu(dev: &Net, mtu: u32, _rtnl: &mut Rtnl) -> Result {
        xdp::change_mtu(dev, mtu)
    }

    fn xdp_attach(dev: &Net, prog: &NewProg<'_>, extack: &Extack<'_>, rtnl: &mut Rtnl) -> Result {
        xdp::attach(dev, prog, extack, rtnl)
    }

    fn xdp_detached(dev: &Net, rtnl: &mut Rtnl) {
        xdp::detached(dev, rtnl);
    }

    fn xdp_xmit(dev: &Net, frames: &mut XmitBatch<'_>, flush: bool) -> Result {
        xdp::xmit(dev, frames, flush)
    }

    fn xsk_enable(dev: &Net, index: u16, pool: &XskNew<'_>, rtnl: &mut Rtnl) -> Result {
        xsk::enable(dev, index, pool, rtnl)
    }

    fn xsk_disable(dev: &Net, index: u16, rtnl: &mut Rtnl) {
        xsk::disable(dev, index, rtnl);
    }

    fn xsk_wakeup(dev: &Net, index: u16, rx: bool, tx: bool) -> Result {
        xsk::wakeup(dev, index, rx, tx)
    }

    fn stats64(dev: &Net, out: &mut LinkStats<'_>) {
        stats::stats64(dev, out);
    }

    fn rx_queue_stats(dev: &Net, index: u16, out: &mut RxQueueStats<'_>) {
        stats::rx_queue_stats(dev, index, out);
    }

    fn tx_queue_stats(dev: &Net, index: u16, out: &mut TxQueueStats<'_>) {
        stats::tx_queue_stats(dev, index, out);
    }

    fn moderate(dev: &Net, index: u16, to: Moderation) {
        coalesce::moderate(dev, index, to);
    }

    fn quiesce(dev: &Net) {
        dev.stop_works();
        reset::leave(dev);
    }

    fn released(dev: &Net) {
        vqs::detach(dev);
    }
}
