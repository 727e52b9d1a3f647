// SPDX-License-Identifier: GPL-2.0

//! Packets of AF_XDP's sockets that have buffers of their own.
//!
//! User space's descriptors are taken whenever somebody looks at the ring: who wakes the driver (a
//! system call), the queue's poll, and that of the paired receive queue, on which a socket may poll
//! busily.
//!
//! Context: softirq, with the queue's TX lock held.

#![forbid(unsafe_code)]

use crate::{
    device::{
        Net,
        VirtnetInfo, //
    },
    net::queue::{
        Backend,
        QueuePair,
        Softirq,
        TxGuard, //
    },
    tx,
    virtio::xsk_ring::XskAdded, //
};

/// Descriptors that a system call, or the poll of a receive queue, sends at most.
///
/// A poll of the transmit queue goes on.
const MOST: u32 = 128;

/// Sends of at most `most` descriptors, notifies the device, and returns whether there may be more
/// that could be sent now.
#[inline(never)]
pub(crate) fn send<L: Backend>(dev: &Net, tx: &mut TxGuard<'_, VirtnetInfo, L>, most: u32) -> bool {
    let stats = tx.queue().shared();
    let (sq, Some(xsk)) = tx.state_and_xsk() else {
        return false;
    };
    let reserve = sq.xdp_reserve();
    let (Some(vq), false) = (sq.vq.as_mut(), sq.paused || !dev.is_running()) else {
        return false;
    };
    let XskAdded {
        taken,
        packets,
        lost,
    } = vq.add_xsk(xsk, most, reserve);
    if taken == 0 {
        return false;
    }
    stats
        .xdp_tx
        .add(u64::from(packets).wrapping_add(u64::from(lost)));
    if lost > 0 {
        stats.xdp_tx_drops.add(u64::from(lost));
    }
    if packets > 0 && vq.kick() {
        stats.kicks.inc();
    }
    // What was copied, or couldn't be sent.
    xsk.complete();
    tx.touch();
    taken >= most
}

/// Reaps packets and sends what there is.
#[inline]
fn run<L: Backend>(dev: &Net, tx: &mut TxGuard<'_, VirtnetInfo, L>) {
    if let Some(vq) = tx.state().vq.as_mut() {
        vq.disable_cb();
    }
    tx::reap(tx);
    let more = send(dev, tx, MOST);
    let armed = tx
        .state()
        .vq
        .as_mut()
        .is_none_or(|vq| vq.enable_cb_delayed());
    if more || !armed {
        tx.schedule_poll();
    }
}

/// Sends what there is to send here and now, for `ndo_xsk_wakeup`.
///
/// Context: process.
pub(crate) fn wakeup(dev: &Net, pair: &QueuePair<VirtnetInfo>) {
    run(dev, &mut pair.tx.lock_bh());
}

/// Sends what there is to send, from the poll of the paired receive queue.
pub(crate) fn from_rx(dev: &Net, tx: &mut TxGuard<'_, VirtnetInfo, Softirq>) {
    tx::flush_kicks(tx);
    run(dev, tx);
}
