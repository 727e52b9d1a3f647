// SPDX-License-Identifier: GPL-2.0

//! Notifications that no packet asks for, of rings that a device may have missed to look at.

#![forbid(unsafe_code)]

use crate::{
    device::Net,
    net::rtnl::RtnlGuard,
    pure::config::{
        rx_vq,
        tx_vq, //
    },
    rss,
    virtio::VirtqueueSet, //
};

/// Notifies the device once more that the first `pairs` receive queues have buffers, now that all
/// do.
///
/// A device that steers by hash after it read a packet (QEMU's without vhost) keeps a packet for a
/// queue without buffers, stops reading from where it came, which is another queue's source, and
/// goes on when that other queue is notified. What came before the last ring was filled, or for a
/// ring that ran dry, would wait there, and all that follows it, until that other queue happens to
/// be refilled.
///
/// Context: any.
pub(crate) fn rx_queues(vqs: &VirtqueueSet, pairs: u16) {
    for i in 0..pairs {
        vqs.notify(rx_vq(i));
    }
}

/// Milliseconds from a sign that a ring may have run dry to the notification of all.
const NOTIFY_AFTER: u32 = 50;

/// Has all receive queues notified soon, because one of a device that steers by hash ran short of
/// buffers, or may have.
///
/// Context: softirq.
#[inline]
pub(crate) fn maybe_dry(dev: &Net) {
    dev.schedule_notify_work(NOTIFY_AFTER);
}

/// Notifies all receive queues, a while after [`maybe_dry`].
///
/// Context: process, RTNL not held.
pub(crate) fn work(dev: &Net) {
    // No ring is reset meanwhile, and none is without buffers for long.
    let _rtnl = RtnlGuard::new();
    let info = dev.data();
    if !dev.is_running() || !rss::is_enabled(info) {
        return;
    }
    if let Some(vqs) = info.vqs() {
        rx_queues(&vqs, info.pairs());
    }
}

/// Looks at all rings, notifies the device of them, and has it notified of the next packets, wanted
/// or not.
///
/// With the link, somebody else may have come to serve the rings (vhost-user), who doesn't know
/// what the one before owed: an interrupt for buffers it used, or a look at buffers it was notified
/// of. Who comes should make up for both; a queue where it doesn't would never be looked at again
/// by either side.
///
/// And a device that threw packets away while there was no link may have lost its place in the
/// ring. QEMU (up to 11.1) does in a packed one: it no longer says that it wants to be notified, and
/// takes the next packet for a fault, after which it asks for a reset. Without a notification that
/// nobody asked for, the queue would stand still until it is full.
///
/// Context: process, RTNL not held.
pub(crate) fn catch_up(dev: &Net) {
    let rtnl = RtnlGuard::new();
    let info = dev.data();
    let Some(vqs) = info.vqs().filter(|_| dev.is_running()) else {
        return;
    };
    for (i, pair) in (0..info.pairs()).zip(dev.pairs()) {
        if let Some(vq) = pair.tx.lock_bh().state().vq.as_mut() {
            vq.insist();
        }
        vqs.notify(rx_vq(i));
        vqs.notify(tx_vq(i));
        pair.napi_kick(&rtnl);
    }
}
