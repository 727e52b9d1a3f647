// SPDX-License-Identifier: GPL-2.0
//! virtio_net_mq
use kernel::prelude::*;
mod bindings;
module! {
    type: M,
    name: "virtio_net_mq",
    authors: ["The virtio_net_mq developers"],
    description: "Multiqueue virtio-net driver in Rust",
    license: "GPL",
}
struct M;
impl kernel::Module for M { fn init(_m: &'static ThisModule) -> Result<Self> { Ok(M) } }
