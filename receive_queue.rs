// SPDX-License-Identifier: GPL-2.0

//! What a receive queue is made of (in C: `struct receive_queue`), for those that fill it, poll it and
//! take it away.

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

/// An Ethernet frame with a VLAN tag, without its checksum, in bytes.
pub(crate) const GOOD_PACKET_LEN: u32 = frame_len(ETH_DATA_LEN);

/// How packets are received; fixed by the negotiated features.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    /// Fragments of a size that follows the traffic; a packet may take several (MRG_RXBUF).
    Mergeable,
    /// Lists of pages, each for one packet of any size.
    Big {
        /// Pages in a list.
        pages: u32,
        /// Bytes of the header if it needs a descriptor of its own, else 0.
        split: u32,
    },
    /// One fragment for one Ethernet frame.
    Small,
}

/// Exclusive state of an RX queue; owned by its NAPI.
pub(crate) struct ReceiveQueue {
    /// The ring, none while the device is reset.
    pub(crate) vq: Option<Virtqueue<RxBuf>>,
    /// Buffers that are out of the ring; none between polls.
    taken: RxTaken,
    /// Page lists, whole or not, waiting to be posted.
    pub(crate) spare: KVVec<KBox<BigBuf>>,
    /// Average length of packets, for the size of mergeable buffers.
    pub(crate) avg: Ewma,
    /// Smallest payload of a mergeable buffer.
    pub(crate) min_len: u32,
    /// With more free entries than this the device may wait for buffers: what is left might not hold
    /// the next packet.
    pub(crate) short_above: u32,
}

impl ReceiveQueue {
    /// Without a ring.
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

    /// The next used buffer, the first of up to `want` that are taken off the ring together and are all
    /// asked for by the caller.
    #[inline(always)]
    pub(crate) fn next_used(&mut self, want: u32) -> Option<RxUsed> {
        self.taken.next(self.vq.as_mut()?, want)
    }

    /// Whether the device may wait for buffers.
    pub(crate) fn is_short(&self) -> bool {
        self.vq
            .as_ref()
            .is_some_and(|vq| vq.num_free() > self.short_above)
    }
}
