// SPDX-License-Identifier: GPL-2.0

//! A virtqueue has one owner, and is moved from where it was found.

#![forbid(unsafe_code)]

use crate::virtio::{
    tx_ring::InFlight,
    virtqueue::UnusedVirtqueue,
    Virtqueue, //
};
use kernel::prelude::*;

fn twice(handle: UnusedVirtqueue) -> (Virtqueue<InFlight>, Virtqueue<InFlight>) {
    (handle.with_buffers(), handle.with_buffers()) //~ use of moved value
}
