// SPDX-License-Identifier: GPL-2.0

//! rust_dummy.ko: the driver `samples/dummy.rs` with the layer below it.

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
