// SPDX-License-Identifier: GPL-2.0

//! What a receive queue is made of (in C: `struct receive_queue`), for those that fill it, poll it
//! and take it away.
//!
//! Context: any, with the queue's exclusive state.

#![forbid(unsafe_code)]

use crate::{
    pure::{
        eth::{
            frame_len,
            ETH_DATA_LEN, //
        },
        rx::Ewma, //
    },
    virtio::{
        rx_ring::{
            BigBuf,
            RxBuf,
            RxTaken,
            RxUsed, //
        },
        Virtqueue, //
    }, //
};
use kernel::prelude::*;

/// Length of an Ethernet frame with a VLAN tag, without its checksum, in bytes.
pub(crate) const GOOD_PACKET_LEN: u32 = frame_len(ETH_DATA_LEN);

/// How packets are received, which the negotiated features fix.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    /// Packets arrive in fragments of a size that follows the traffic; a packet may take several
    /// (MRG_RXBUF).
    Mergeable,
    /// Packets arrive in lists of pages, each for one packet of any size.
    Big {
        /// Number of pages in a list.
        pages: u32,
        /// Bytes of the header if it needs a descriptor of its own, else 0.
        split: u32,
    },
    /// Packets arrive in one fragment for one Ethernet frame.
    Small,
}

/// Exclusive state of an RX queue, which its NAPI owns.
pub(crate) struct ReceiveQueue {
    /// The ring, or `None` while the device is reset.
    pub(crate) vq: Option<Virtqueue<RxBuf>>,
    /// Buffers that are out of the ring, none of which is left between polls.
    taken: RxTaken,
    /// Page lists, whole or not, that wait to be posted.
    pub(crate) spare: KVVec<KBox<BigBuf>>,
    /// Average length of packets, for the size of mergeable buffers.
    pub(crate) avg: Ewma,
    /// Smallest payload of a mergeable buffer.
    pub(crate) min_len: u32,
    /// Free entries above which the device may wait for buffers, because what is left might not
    /// hold the next packet.
    pub(crate) short_above: u32,
}

impl ReceiveQueue {
    /// Makes the state of a queue without a ring.
    pub(crate) fn new() -> Self {
        Self {
            vq: None,
            taken: RxTaken::new(),
            spare: KVVec::new(),
            avg: Ewma::new(GOOD_PACKET_LEN),
            min_len: GOOD_PACKET_LEN,
            short_above: 0,
        }
    }

    /// Takes the next used buffer, the first of up to `want` that are taken off the ring together,
    /// all of which the caller asks for.
    #[inline(always)]
    pub(crate) fn next_used(&mut self, want: u32) -> Option<RxUsed> {
        self.taken.next(&mut self.vq, want)
    }

    /// Returns whether the device may wait for buffers.
    pub(crate) fn is_short(&self) -> bool {
        self.vq
            .as_ref()
            .is_some_and(|vq| vq.num_free() > self.short_above)
    }
}
