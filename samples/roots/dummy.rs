// SPDX-License-Identifier: GPL-2.0

//! The module rust_dummy.ko: the driver `samples/dummy.rs` with the layer below it.

use kernel::prelude::*;

include!("../layer.rs");

#[path = "../dummy.rs"]
mod dummy;

use dummy::RustDummy;

module! {
    type: RustDummy,
    name: "rust_dummy",
    authors: ["The virtio_net_mq developers"],
    description: "Network device that counts and drops",
    license: "GPL",
}
