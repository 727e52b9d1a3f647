// SPDX-License-Identifier: GPL-2.0

//! Counters of each queue, and the one table that `ethtool -S` takes names and values from.
//!
//! Those that the in-tree driver has, too, have its names. Sums of them are for `ip -s link`
//! (stats64), and those of each queue for netlink (qstats).
//!
//! Context: any.

#![forbid(unsafe_code)]

use crate::{
    device::Net,
    hw_stats,
    net::stats::{
        LinkStats,
        RxQueueStats,
        TxQueueStats, //
    },
    sync::counter::Counter, //
};
use core::sync::atomic::AtomicU32;

macro_rules! stats {
    (
        $(#[$doc:meta])* $t:ident { $($(#[$fdoc:meta])* $field:ident,)* }
        $(beside { $($(#[$bdoc:meta])* $beside:ident: $bt:ident,)* })?
    ) => {
        $(#[$doc])*
        #[repr(align(64))]
        pub(crate) struct $t {
            $($(#[$fdoc])* pub(crate) $field: Counter,)*
            $($($(#[$bdoc])* pub(crate) $beside: $bt,)*)?
        }

        impl $t {
            /// Names of the counters, in the order of [`Self::values`].
            pub(crate) const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            /// Makes counters that are all zero.
            pub(crate) const fn new() -> Self {
                Self {
                    $($field: Counter::new(),)*
                    $($($beside: $bt::new(0),)*)?
                }
            }

            /// Returns the values, in the order of [`Self::NAMES`].
            pub(crate) fn values(&self) -> [u64; Self::NAMES.len()] {
                [$(self.$field.get()),*]
            }
        }
    };
}

stats! {
    /// Counters of a receive queue.
    ///
    /// Its NAPI writes them, and its interrupt `callbacks`.
    RxStats {
        /// Packets given to the stack, or consumed by an XDP program.
        packets,
        /// Bytes of these packets.
        bytes,
        /// Notifications of new buffers.
        kicks,
        /// Interrupts of the queue.
        callbacks,
        /// All packets dropped here, whatever the cause.
        drops,
        /// Packets dropped because the used length was shorter than a frame or longer than what was
        /// posted.
        drop_length,
        /// Packets dropped because `num_buffers` was impossible, or more than the ring had.
        drop_num_buffers,
        /// Packets dropped because the header contradicted itself, the features or the packet.
        drop_header,
        /// Packets dropped because there was no memory for an skb.
        drop_nomem,
        /// Buffers that could not be allocated for the ring.
        alloc_fail,
        /// Packets whose checksum the device vouched for.
        csum_unnecessary,
        /// Packets that the device merged of several, or left unsegmented.
        gso_packets,
        /// Bytes of these packets.
        gso_bytes,
        /// Packets that an XDP program has judged.
        xdp_packets,
        /// Packets that a program has sent back.
        xdp_tx,
        /// Packets that a program has sent elsewhere.
        xdp_redirects,
        /// Packets that a program has dropped, and those that couldn't be judged, or go where it
        /// said.
        xdp_drops,
        /// Packets that couldn't be judged because the device merged them, against its settings or
        /// before it had them.
        xdp_drop_merged,
        /// Packets that couldn't be judged because they were larger than what the program takes.
        xdp_drop_size,
        /// Packets that couldn't be sent back because the transmit ring had no room.
        xdp_drop_ring,
    }
    beside {
        /// Bytes, header included, of the mergeable buffers posted last; 0 if there were none yet.
        buffer_size: AtomicU32,
    }
}

stats! {
    /// Counters of a transmit queue.
    ///
    /// They are written under its TX lock, but `callbacks` by its interrupt and `tx_timeouts` by
    /// the watchdog timer.
    TxStats {
        /// Packets that the device has sent.
        packets,
        /// Bytes of these packets.
        bytes,
        /// Notifications of new packets.
        kicks,
        /// Interrupts of the queue.
        callbacks,
        /// Times that the queue was stopped because the ring was full.
        stop,
        /// Times that the queue was woken.
        wake,
        /// All packets dropped here, whatever the cause.
        drops,
        /// Packets dropped because no header can describe them.
        drop_header,
        /// Packets dropped because the ring took no more, or is broken.
        drop_ring,
        /// Times that the queue was stuck.
        tx_timeouts,
        /// Packets that the device is to segment, when given to it.
        gso_packets,
        /// Bytes of these packets.
        gso_bytes,
        /// Packets on the wire that the device makes of them.
        gso_wire_packets,
        /// XDP frames that were to be sent.
        xdp_tx,
        /// XDP frames that couldn't be sent.
        xdp_tx_drops,
    }
}

/// Adds up all queues, those that are not in use now included.
pub(crate) fn stats64(dev: &Net, out: &mut LinkStats<'_>) {
    let (mut rx, mut tx) = (RxSums::default(), TxSums::default());
    for pair in dev.pairs() {
        let r = pair.rx.shared();
        rx.packets = rx.packets.wrapping_add(r.packets.get());
        rx.bytes = rx.bytes.wrapping_add(r.bytes.get());
        rx.drops = rx.drops.wrapping_add(r.drops.get());
        rx.length = rx
            .length
            .wrapping_add(r.drop_length.get())
            .wrapping_add(r.drop_num_buffers.get());
        rx.frame = rx.frame.wrapping_add(r.drop_header.get());
        let t = pair.tx.shared();
        tx.packets = tx.packets.wrapping_add(t.packets.get());
        tx.bytes = tx.bytes.wrapping_add(t.bytes.get());
        tx.drops = tx.drops.wrapping_add(t.drops.get());
        tx.fifo = tx.fifo.wrapping_add(t.drop_ring.get());
        tx.errors = tx.errors.wrapping_add(t.tx_timeouts.get());
    }
    out.rx_packets(rx.packets)
        .rx_bytes(rx.bytes)
        .rx_dropped(rx.drops)
        .rx_length_errors(rx.length)
        .rx_frame_errors(rx.frame)
        .rx_errors(rx.length.wrapping_add(rx.frame))
        .tx_packets(tx.packets)
        .tx_bytes(tx.bytes)
        .tx_dropped(tx.drops)
        .tx_fifo_errors(tx.fifo)
        .tx_errors(tx.errors);
}

#[derive(Default)]
struct RxSums {
    packets: u64,
    bytes: u64,
    drops: u64,
    length: u64,
    frame: u64,
}

#[derive(Default)]
struct TxSums {
    packets: u64,
    bytes: u64,
    drops: u64,
    fifo: u64,
    errors: u64,
}

/// Returns whether a queue is in use or was so once, because the device knows nothing of others.
fn was_used(dev: &Net, index: u16, kicks: &Counter) -> bool {
    index < dev.data().pairs() || kicks.get() > 0
}

/// Returns how many pairs, from the first one on, are in use or were so once.
pub(crate) fn pairs_known(dev: &Net) -> u16 {
    (0..dev.data().max_pairs)
        .zip(dev.pairs())
        .filter(|(i, pair)| {
            was_used(dev, *i, &pair.rx.shared().kicks) || was_used(dev, *i, &pair.tx.shared().kicks)
        })
        .fold(0, |n, (i, _)| n.max(i.saturating_add(1)))
}

/// Writes the counters of RX queue `index`.
///
/// Context: process, RTNL held.
pub(crate) fn rx_queue_stats(dev: &Net, index: u16, out: &mut RxQueueStats<'_>) {
    if let Some(pair) = dev.pair(index) {
        let s = pair.rx.shared();
        out.packets(s.packets.get())
            .bytes(s.bytes.get())
            .alloc_fail(s.alloc_fail.get())
            .hw_drops(s.drops.get())
            .csum_unnecessary(s.csum_unnecessary.get())
            .hw_gro_packets(s.gso_packets.get())
            .hw_gro_bytes(s.gso_bytes.get());
        if was_used(dev, index, &s.kicks) {
            hw_stats::rx_queue_stats(dev, index, s.drops.get(), out);
        }
    }
}

/// Writes the counters of TX queue `index`.
///
/// Context: process, RTNL held.
pub(crate) fn tx_queue_stats(dev: &Net, index: u16, out: &mut TxQueueStats<'_>) {
    if let Some(pair) = dev.pair(index) {
        let s = pair.tx.shared();
        out.packets(s.packets.get())
            .bytes(s.bytes.get())
            .hw_drops(s.drops.get())
            .hw_gso_packets(s.gso_packets.get())
            .hw_gso_bytes(s.gso_bytes.get())
            .hw_gso_wire_packets(s.gso_wire_packets.get())
            .stop(s.stop.get())
            .wake(s.wake.get());
        if was_used(dev, index, &s.kicks) {
            hw_stats::tx_queue_stats(dev, index, s.drops.get(), out);
        }
    }
}
