// SPDX-License-Identifier: GPL-2.0

//! The module rust_loopback.ko: the driver `samples/loopback.rs` with the layer below it.

use kernel::prelude::*;

include!("../layer.rs");

#[path = "../loopback.rs"]
mod loopback;

use loopback::RustLoopback;

module! {
    type: RustLoopback,
    name: "rust_loopback",
    authors: ["The virtio_net_mq developers"],
    description: "Pair of network devices",
    license: "GPL",
}
