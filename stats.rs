// SPDX-License-Identifier: GPL-2.0

//! Per-queue counters, and the one table that `ethtool -S` takes names and values from. Those that the
//! in-tree driver has, too, have its names.

#![forbid(unsafe_code)]

use crate::sync::counter::Counter;
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
            /// Names, in the order of [`Self::values`].
            pub(crate) const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];

            /// All zero.
            pub(crate) const fn new() -> Self {
                Self {
                    $($field: Counter::new(),)*
                    $($($beside: $bt::new(0),)*)?
                }
            }

            /// Values, in the order of [`Self::NAMES`].
            pub(crate) fn values(&self) -> [u64; Self::NAMES.len()] {
                [$(self.$field.get()),*]
            }
        }
    };
}

stats! {
    /// Counters of a receive queue. Written by its NAPI (`callbacks`: by its interrupt).
    RxStats {
        /// Packets given to the stack.
        packets,
        /// Their bytes.
        bytes,
        /// Times that the device was told of new buffers.
        kicks,
        /// Interrupts.
        callbacks,
        /// All packets dropped here, whatever the cause.
        drops,
        /// ... used length shorter than a frame or longer than what was posted.
        drop_length,
        /// ... `num_buffers` impossible, or more than the ring had.
        drop_num_buffers,
        /// ... header that contradicts itself, the features or the packet.
        drop_header,
        /// ... no memory for an skb.
        drop_nomem,
        /// Buffers that could not be allocated for the ring.
        alloc_fail,
        /// Packets whose checksum the device vouched for.
        csum_unnecessary,
        /// Packets that the device merged of several, or left unsegmented.
        gso_packets,
        /// Their bytes.
        gso_bytes,
    }
    beside {
        /// Bytes, header included, of the mergeable buffers posted last; 0 if there were none yet.
        buffer_size: AtomicU32,
    }
}

stats! {
    /// Counters of a transmit queue. Written under its TX lock (`callbacks`: by its interrupt;
    /// `tx_timeouts`: by the watchdog timer).
    TxStats {
        /// Packets that the device has sent.
        packets,
        /// Their bytes.
        bytes,
        /// Times that the device was told of new packets.
        kicks,
        /// Interrupts.
        callbacks,
        /// Times that the queue was stopped because the ring was full.
        stop,
        /// Times that it was woken.
        wake,
        /// All packets dropped here, whatever the cause.
        drops,
        /// ... no header can describe the packet.
        drop_header,
        /// ... the ring took no more, or is broken.
        drop_ring,
        /// Times that the queue was stuck.
        tx_timeouts,
        /// Packets that the device is to segment, when given to it.
        gso_packets,
        /// Their bytes.
        gso_bytes,
        /// The packets that it makes of them.
        gso_wire_packets,
    }
}
