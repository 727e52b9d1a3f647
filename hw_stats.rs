// SPDX-License-Identifier: GPL-2.0

//! Statistics that the device keeps (virtio 1.4, 5.1.6.5 "Device Statistics"), for `ethtool -S` and
//! for per-queue statistics over netlink.
//!
//! Context: process, RTNL held.

#![forbid(unsafe_code)]

use crate::{
    ctrl_vq::{
        StatsGet,
        StatsQuery, //
    },
    device::{
        Net,
        VirtnetInfo, //
    },
    net::{
        ethtool::Strings,
        net_warn,
        ratelimit,
        stats::{
            RxQueueStats,
            TxQueueStats, //
        }, //
    },
    pure::{
        config::{
            ctrl_vq,
            rx_vq,
            tx_vq, //
        },
        features::bit,
        stats::{
            parse,
            supported,
            usable,
            QueueStats,
            VqKind, //
        }, //
    }, //
};
use core::{
    fmt::Display,
    sync::atomic::Ordering, //
};
use kernel::prelude::*;

/// Queues that one command asks for, which makes some 5 KiB of reply.
const BATCH: u16 = 32;

/// Asks the device which statistics it has.
///
/// A device that doesn't answer has none, or those that it had.
pub(crate) fn query(dev: &Net) {
    let info = dev.data();
    if !info.f.has(bit::DEVICE_STATS) {
        return;
    }
    let room = size_of::<u64>();
    let set = info.control().query(&StatsQuery(()), room);
    match set.and_then(|reply| supported(&reply).ok_or(EIO)) {
        Ok(set) => info
            .hw_stats
            .types
            .store(usable(set, info.f.all), Ordering::Relaxed),
        Err(e) => {
            info.hw_stats.errors.inc();
            net_warn!(dev, "device statistics not known: {e:?}\n");
        }
    }
}

/// Returns the number of the virtqueue of pair `i`, or of the control queue.
fn vq(info: &VirtnetInfo, kind: VqKind, i: u16) -> Result<u16> {
    Ok(u16::try_from(match kind {
        VqKind::Rx => rx_vq(i),
        VqKind::Tx => tx_vq(i),
        VqKind::Ctrl => ctrl_vq(info.device_pairs),
    })?)
}

/// Asks for the statistics of `queues`, and leaves out those that don't come.
fn fetch(info: &VirtnetInfo, queues: &mut [QueueStats]) {
    let room = queues
        .iter()
        .fold(0usize, |n, q| n.saturating_add(q.reply_len()));
    // Nothing to ask for, or nobody: the device is reset.
    if room == 0 || info.vqs().is_none() {
        return;
    }
    let wrong = match info.control().query(&StatsGet(queues), room) {
        Ok(reply) => parse(&reply, queues).total(),
        Err(_) => 1,
    };
    if wrong > 0 {
        info.hw_stats.errors.add(u64::from(wrong));
        if ratelimit() {
            dev_warn!(
                info.vdev.dev(),
                "device statistics: {wrong} entries refused, missing or wrong\n"
            );
        }
    }
}

/// The statistics of single queues, read in batches.
pub(crate) struct Reader<'a> {
    info: &'a VirtnetInfo,
    kind: VqKind,
    types: u64,
    /// The next queue to ask for; `end` is the one behind the last.
    next: u16,
    end: u16,
    batch: KVec<QueueStats>,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Makes a reader of queues 0 to `end` of a kind.
    fn new(info: &'a VirtnetInfo, kind: VqKind, end: u16) -> Self {
        Self {
            info,
            kind,
            types: info.hw_stats.types(),
            next: 0,
            end,
            batch: KVec::new(),
            at: 0,
        }
    }

    /// Makes a reader of the first `pairs` receive queues.
    pub(crate) fn rx(info: &'a VirtnetInfo, pairs: u16) -> Self {
        Self::new(info, VqKind::Rx, pairs)
    }

    /// Makes a reader of the first `pairs` transmit queues.
    pub(crate) fn tx(info: &'a VirtnetInfo, pairs: u16) -> Self {
        Self::new(info, VqKind::Tx, pairs)
    }

    /// Asks for the next batch.
    fn fill(&mut self) -> Result {
        self.batch.clear();
        self.at = 0;
        let to = self.next.saturating_add(BATCH).min(self.end);
        for i in self.next..to {
            let q = QueueStats::new(vq(self.info, self.kind, i)?, self.kind, self.types);
            self.batch.push(q, GFP_KERNEL)?;
        }
        self.next = to;
        fetch(self.info, &mut self.batch);
        Ok(())
    }

    /// Calls `put` with the counters of the next queue, and with 0 for those that the device
    /// doesn't give.
    pub(crate) fn next_queue(&mut self, put: &mut dyn FnMut(u64)) {
        let fields = self.kind.fields(self.types);
        if fields == 0 {
            return;
        }
        if self.at >= self.batch.len() && self.fill().is_err() {
            self.batch.clear();
        }
        match self.batch.get(self.at) {
            Some(q) => q.values().for_each(put),
            None => (0..fields).for_each(|_| put(0)),
        }
        self.at = self.at.saturating_add(1);
    }
}

/// Calls `put` with the names of the counters of one queue.
fn names(info: &VirtnetInfo, kind: VqKind, mut put: impl FnMut(&str)) {
    for (_, t) in kind.types_in(info.hw_stats.types()) {
        t.fields.iter().for_each(|name| put(name));
    }
}

/// Writes the names of the counters of receive queue `queue`, which may be empty.
pub(crate) fn rx_names(info: &VirtnetInfo, queue: &dyn Display, out: &mut Strings<'_>) {
    names(info, VqKind::Rx, |name| {
        out.push(format_args!("rx{queue}_hw_{name}"))
    });
}

/// Writes the names of the counters of transmit queue `queue`, which may be empty.
pub(crate) fn tx_names(info: &VirtnetInfo, queue: &dyn Display, out: &mut Strings<'_>) {
    names(info, VqKind::Tx, |name| {
        out.push(format_args!("tx{queue}_hw_{name}"))
    });
}

/// Returns how many counters a receive queue has.
pub(crate) fn rx_count(info: &VirtnetInfo) -> usize {
    VqKind::Rx.fields(info.hw_stats.types())
}

/// Returns how many counters a transmit queue has.
pub(crate) fn tx_count(info: &VirtnetInfo) -> usize {
    VqKind::Tx.fields(info.hw_stats.types())
}

/// Returns how many counters belong to no pair: those of the control queue, and one of what went
/// wrong.
pub(crate) fn common_count(info: &VirtnetInfo) -> usize {
    if info.f.has(bit::DEVICE_STATS) {
        VqKind::Ctrl.fields(info.hw_stats.types()).saturating_add(1)
    } else {
        0
    }
}

/// Writes the names of the counters that belong to no pair.
pub(crate) fn common_names(info: &VirtnetInfo, out: &mut Strings<'_>) {
    if info.f.has(bit::DEVICE_STATS) {
        names(info, VqKind::Ctrl, |name| {
            out.push(format_args!("cq_hw_{name}"));
        });
        out.push(format_args!("hw_stats_errors"));
    }
}

/// Calls `put` with the values of the counters that belong to no pair.
pub(crate) fn common_values(info: &VirtnetInfo, put: &mut dyn FnMut(u64)) {
    if info.f.has(bit::DEVICE_STATS) {
        Reader::new(info, VqKind::Ctrl, 1).next_queue(put);
        put(info.hw_stats.errors.get());
    }
}

/// Returns what the device has counted for queue `i`.
fn fetch_one(info: &VirtnetInfo, kind: VqKind, i: u16) -> Option<QueueStats> {
    let q = QueueStats::new(vq(info, kind, i).ok()?, kind, info.hw_stats.types());
    let mut queues = [q];
    fetch(info, &mut queues);
    let [q] = queues;
    Some(q)
}

/// Adds what the device has counted for receive queue `i` to what the driver has counted, `drops`
/// of them dropped, for netlink.
///
/// What both have is the device's word, and drops are added up.
pub(crate) fn rx_queue_stats(dev: &Net, i: u16, drops: u64, out: &mut RxQueueStats<'_>) {
    let Some(q) = fetch_one(dev.data(), VqKind::Rx, i) else {
        return;
    };
    if let Some([_, _, _, _, hw, overruns]) = q.type_values(0) {
        out.hw_drops(drops.wrapping_add(*hw))
            .hw_drop_overruns(*overruns);
    }
    if let Some([valid, _, none, bad, ..]) = q.type_values(1) {
        out.csum_unnecessary(*valid).csum_none(*none).csum_bad(*bad);
    }
    if let Some([packets, bytes, wire_packets, wire_bytes, ..]) = q.type_values(2) {
        out.hw_gro_packets(*packets)
            .hw_gro_bytes(*bytes)
            .hw_gro_wire_packets(*wire_packets)
            .hw_gro_wire_bytes(*wire_bytes);
    }
    if let Some([packets, ..]) = q.type_values(3) {
        out.hw_drop_ratelimits(*packets);
    }
}

/// Adds what the device has counted for transmit queue `i`, likewise.
pub(crate) fn tx_queue_stats(dev: &Net, i: u16, drops: u64, out: &mut TxQueueStats<'_>) {
    let Some(q) = fetch_one(dev.data(), VqKind::Tx, i) else {
        return;
    };
    if let Some([_, _, _, _, hw, malformed]) = q.type_values(0) {
        out.hw_drops(drops.wrapping_add(*hw))
            .hw_drop_errors(*malformed);
    }
    if let Some([none, needs, ..]) = q.type_values(1) {
        out.csum_none(*none).needs_csum(*needs);
    }
    if let Some([packets, bytes, wire_packets, wire_bytes, ..]) = q.type_values(2) {
        out.hw_gso_packets(*packets)
            .hw_gso_bytes(*bytes)
            .hw_gso_wire_packets(*wire_packets)
            .hw_gso_wire_bytes(*wire_bytes);
    }
    if let Some([packets, ..]) = q.type_values(3) {
        out.hw_drop_ratelimits(*packets);
    }
}
