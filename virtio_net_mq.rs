// SPDX-License-Identifier: GPL-2.0

//! The multiqueue virtio-net driver.
//!
//! A network driver for virtio network devices (specification section 5.1) with one TX and one RX
//! queue for each pair of virtqueues. `Documentation/architecture.rst` has the layers, the tokens
//! that guard state, the locks and the drop order; this file has the module list, the tables and
//! the module itself.
//!
//! C counterpart: `drivers/net/virtio_net.c`.

use kernel::{
    prelude::*,
    InPlaceModule,
    ThisModule, //
};

// The fields of legacy devices have the guest's byte order, which nothing here converts to.
#[cfg(not(target_endian = "little"))]
compile_error!("virtio_net_mq is for little-endian machines only");

// Raw C; for the safe layer only.
mod bindings;

// The safe layer.
mod net;
mod sync;
mod virtio;

// Arithmetic without the kernel.
mod pure;

// The driver.
mod affinity;
mod channels;
mod coalesce;
mod ctrl_vq;
mod device;
mod ethtool;
mod filter;
mod hw_stats;
mod late;
mod link;
mod netdev;
mod notify;
mod probe;
mod queue_pairs;
mod receive_queue;
mod refill;
mod renegotiate;
mod reset;
mod rings;
mod rss;
mod rx;
mod rx_poll;
mod stats;
mod tx;
mod vqs;
mod works;
mod xdp;
mod xdp_rx;
mod xsk;
mod xsk_rx;
mod xsk_tx;

use sync::cpus::HotplugRegistration;

/// The virtio device type "network card" (specification section 5).
const VIRTIO_ID_NET: u32 = 1;

virtio::id_table::device_table!(
    ID_TABLE,
    [virtio::id_table::DeviceId::any_vendor(VIRTIO_ID_NET)]
);

/// The module with its driver.
///
/// Drop order: the driver, which unbinds all devices, then the hotplug state that they use.
#[pin_data]
struct VirtioNetMq {
    #[pin]
    data: virtio::binding::ModuleData<probe::VirtioNet>,
    hotplug: HotplugRegistration<device::Net>,
}

impl InPlaceModule for VirtioNetMq {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            hotplug: affinity::HOTPLUG.register()?,
            data <- virtio::binding::ModuleData::new(c"virtio_net_mq", module),
        })
    }
}

module! {
    type: VirtioNetMq,
    name: "virtio_net_mq",
    authors: ["The virtio_net_mq developers"],
    description: "Multiqueue virtio-net driver",
    license: "GPL",
}
