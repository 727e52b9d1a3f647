// SPDX-License-Identifier: GPL-2.0

//! Where counters are written for the core.

use crate::bindings;

/// `struct rtnl_link_stats64`, zeroed.
pub(crate) struct LinkStats<'a>(pub(super) &'a mut bindings::rtnl_link_stats64);

/// `struct netdev_queue_stats_rx`; what isn't set is not reported.
pub(crate) struct RxQueueStats<'a>(pub(super) &'a mut bindings::netdev_queue_stats_rx);

/// `struct netdev_queue_stats_tx`; what isn't set is not reported.
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
