// SPDX-License-Identifier: GPL-2.0

//! Where counters are written for the core.
//!
//! C headers: [`include/uapi/linux/if_link.h`](srctree/include/uapi/linux/if_link.h),
//! [`include/net/netdev_queues.h`](srctree/include/net/netdev_queues.h)
//!
//! Context: any.

use crate::{
    bindings,
    sync::counter::Counter, //
};

/// Packets of a queue, one way: those that went, and those that were dropped.
///
/// There is one writer at a time: who has the queue's lock, or its poll.
///
/// # Examples
///
/// `samples/dummy.rs` counts nothing else.
#[allow(dead_code, reason = "for drivers that count no more than this")]
#[derive(Default)]
pub(crate) struct Traffic {
    packets: Counter,
    bytes: Counter,
    dropped: Counter,
}

#[allow(dead_code, reason = "as above")]
impl Traffic {
    /// Counts a packet of `len` bytes that went.
    #[inline(always)]
    pub(crate) fn count(&self, len: u32) {
        self.packets.inc();
        self.bytes.add(len.into());
    }

    /// Counts a packet that was dropped.
    #[inline(always)]
    pub(crate) fn count_drop(&self) {
        self.dropped.inc();
    }
}

#[allow(dead_code, reason = "as above")]
impl LinkStats<'_> {
    /// Adds what a queue has received.
    pub(crate) fn add_rx(&mut self, rx: &Traffic) {
        let out = &mut *self.0;
        out.rx_packets = out.rx_packets.wrapping_add(rx.packets.get());
        out.rx_bytes = out.rx_bytes.wrapping_add(rx.bytes.get());
        out.rx_dropped = out.rx_dropped.wrapping_add(rx.dropped.get());
    }

    /// Adds what a queue has sent.
    pub(crate) fn add_tx(&mut self, tx: &Traffic) {
        let out = &mut *self.0;
        out.tx_packets = out.tx_packets.wrapping_add(tx.packets.get());
        out.tx_bytes = out.tx_bytes.wrapping_add(tx.bytes.get());
        out.tx_dropped = out.tx_dropped.wrapping_add(tx.dropped.get());
    }
}

/// Counters of an interface (`struct rtnl_link_stats64`), zeroed.
pub(crate) struct LinkStats<'a>(pub(super) &'a mut bindings::rtnl_link_stats64);

/// Counters of a receive queue (`struct netdev_queue_stats_rx`); what isn't set is not reported.
pub(crate) struct RxQueueStats<'a>(pub(super) &'a mut bindings::netdev_queue_stats_rx);

/// Counters of a transmit queue (`struct netdev_queue_stats_tx`); what isn't set is not reported.
pub(crate) struct TxQueueStats<'a>(pub(super) &'a mut bindings::netdev_queue_stats_tx);

macro_rules! setters {
    ($t:ident: $($name:ident),* $(,)?) => {
        impl $t<'_> {
            $(
                #[doc = concat!("Sets `", stringify!($name), "`.")]
                pub(crate) fn $name(&mut self, n: u64) -> &mut Self {
                    self.0.$name = n;
                    self
                }
            )*
        }
    };
}

setters!(LinkStats: rx_packets, rx_bytes, rx_dropped, rx_errors, rx_length_errors,
    rx_frame_errors, tx_packets, tx_bytes, tx_dropped, tx_errors, tx_fifo_errors);
setters!(RxQueueStats: packets, bytes, alloc_fail, hw_drops, hw_drop_overruns,
    csum_unnecessary, csum_none, csum_bad, hw_gro_packets, hw_gro_bytes, hw_gro_wire_packets,
    hw_gro_wire_bytes, hw_drop_ratelimits);
setters!(TxQueueStats: packets, bytes, hw_drops, hw_drop_errors, csum_none, needs_csum,
    hw_gso_packets, hw_gso_bytes, hw_gso_wire_packets, hw_gso_wire_bytes, hw_drop_ratelimits, stop,
    wake);
