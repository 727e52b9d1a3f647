// SPDX-License-Identifier: GPL-2.0

//! What was negotiated, as the data path and the control path ask for it.
//!
//! Context: any.

#![forbid(unsafe_code)]

use crate::{
    pure::{
        features::{
            bit,
            Features, //
        },
        hdr::RxOffloads, //
    },
    virtio::hdr::HdrLayout, //
};

/// The negotiated features.
#[derive(Clone, Copy)]
pub(crate) struct Negotiated {
    /// All negotiated features, by bit.
    pub(crate) all: Features,
    /// Layout of the header of packets to send.
    pub(crate) layout: HdrLayout,
    /// Receive offloads that packets may use.
    pub(crate) rx: RxOffloads,
    /// Bytes of the virtio-net header.
    pub(crate) hdr_len: u32,
    /// Whether the header of a received packet has a hash (HASH_REPORT).
    pub(crate) hash_report: bool,
}

impl Negotiated {
    /// Takes over the negotiated set.
    pub(crate) fn new(all: Features) -> Self {
        let layout = HdrLayout::new(all);
        Self {
            all,
            layout,
            rx: RxOffloads::from_features(all),
            hdr_len: layout.len(),
            hash_report: all.has(bit::HASH_REPORT),
        }
    }

    /// Returns whether `b` was negotiated.
    pub(crate) fn has(&self, b: u32) -> bool {
        self.all.has(b)
    }
}
