// SPDX-License-Identifier: GPL-2.0

//! The module rust_virtio_rng.ko: the driver `samples/virtio_rng.rs` with the layer below it.

use kernel::prelude::*;

include!("../layer.rs");

#[path = "../../char/hw_random.rs"]
mod hw_random;

#[path = "../virtio_rng.rs"]
mod virtio_rng;

use virtio_rng::RustVirtioRng;

/// The virtio device type "entropy source" (specification section 5).
const VIRTIO_ID_RNG: u32 = 4;

virtio::id_table::device_table!(
    ID_TABLE,
    [virtio::id_table::DeviceId::any_vendor(VIRTIO_ID_RNG)]
);

module! {
    type: RustVirtioRng,
    name: "rust_virtio_rng",
    authors: ["The virtio_net_mq developers"],
    description: "Virtio entropy device",
    license: "GPL",
}
