// SPDX-License-Identifier: GPL-2.0

//! The virtio bus, and what drivers of its devices are made of.
//!
//! - [`Device`]: a `struct virtio_device`, its features and config space.
//! - [`bound`]: what keeps a device bound.
//! - [`driver`]: the bus adapter, for drivers of any kind.
//! - [`binding`]: the binding of a device to a network interface.
//! - [`virtqueue`]: queues whose buffers are owned until they come back.
//! - [`buffer`]: what may be put into a queue of any device.
//! - [`rx_ring`], [`tx_ring`], [`xsk_ring`], [`ctrl_ring`]: what may be put into them; [`hdr`]: what a packet has in
//!   front there.

pub(crate) mod binding;
pub(crate) mod bound;
pub(crate) mod buffer;
pub(crate) mod ctrl_ring;
pub(crate) mod device;
pub(crate) mod driver;
pub(crate) mod hdr;
pub(crate) mod id_table;
pub(crate) mod irq;
pub(crate) mod napi;
pub(crate) mod rx_ring;
pub(crate) mod tx_ring;
pub(crate) mod virtqueue;
pub(crate) mod xsk_ring;

pub(crate) use device::Device;
pub(crate) use virtqueue::{
    Virtqueue,
    VirtqueueSet, //
};
