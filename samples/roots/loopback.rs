// SPDX-License-Identifier: GPL-2.0

//! rust_loopback.ko: the driver `samples/loopback.rs` with the layer below it.

use kernel::prelude::*;

#[path = "../../bindings.rs"]
mod bindings;
#[path = "../../net/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod net;
#[path = "../../pure/mod.rs"]
#[allow(dead_code)]
mod pure;
#[path = "../../sync/mod.rs"]
#[allow(dead_code)]
mod sync;
#[path = "../../virtio/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod virtio;

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
