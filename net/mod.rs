// SPDX-License-Identifier: GPL-2.0

//! Network devices, and what their drivers are made of.
//!
//! - [`device`]: `struct net_device` with private data and one [`queue::QueuePair`] per queue
//!   pair; unregistered and registered devices are different types.
//! - [`driver`]: the trait with the callbacks; [`ops`] and [`ethtool`] are the C tables over it,
//!   [`rxfh`] the part of the latter about hashing.
//! - [`queue`]: pairs of an [`rx_queue`] and a [`tx_queue`], and the tokens that give access to their
//!   state; [`napi`]: what polls them.
//! - [`dim`]: interrupt moderation by the traffic.
//! - [`skb`], [`page_pool`]: packets and the memory that they arrive in; [`rx_napi`]: what the owner of a
//!   receive queue does with both.
//! - [`skb_queue`]: packets that wait.
//! - [`xdp`]: programs that judge packets before there is an skb, and frames; [`xsk`], [`xsk_queue`],
//!   [`xsk_batch`]: sockets with buffers of their own.
//! - [`sysfs`]: files of receive queues.
//! - [`printk`]: messages with the interface's name.
//! - [`handle`]: a way to a device from outside of it.
//! - [`failover`]: an interface on top of this one and of one that is passed through.
//! - [`rtnl`]: the RTNL lock as a token.
//! - [`prelude`]: what drivers name.
//!
//! C header: [`include/linux/net.h`](srctree/include/linux/net.h)

pub(crate) mod addr;
pub(crate) mod device;
pub(crate) mod dim;
pub(crate) mod driver;
pub(crate) mod ethtool;
pub(crate) mod failover;
#[allow(dead_code, reason = "for drivers with devices that know each other")]
pub(crate) mod handle;
pub(crate) mod layout;
pub(crate) mod napi;
pub(crate) mod ops;
pub(crate) mod page_pool;
#[allow(unused_imports, reason = "each driver names some of them")]
pub(crate) mod prelude;
pub(crate) mod printk;
pub(crate) mod queue;
pub(crate) mod rtnl;
pub(crate) mod rx_napi;
pub(crate) mod rx_queue;
pub(crate) mod rxfh;
pub(crate) mod skb;
#[allow(dead_code, reason = "for drivers without rings")]
pub(crate) mod skb_queue;
pub(crate) mod stats;
pub(crate) mod sysfs;
pub(crate) mod tx_queue;
pub(crate) mod xdp;
mod xdp_meta;
pub(crate) mod xsk;
pub(crate) mod xsk_batch;
pub(crate) mod xsk_queue;

/// Returns whether the log may take another message that a device or a peer can provoke.
///
/// Context: any.
pub(crate) fn ratelimit() -> bool {
    // SAFETY: Any context.
    unsafe { crate::bindings::net_ratelimit() != 0 }
}

pub(crate) use device::NetDevice;
pub(crate) use driver::Driver;
pub(crate) use printk::{
    net_err,
    net_info,
    net_warn, //
};
pub(crate) use rtnl::Rtnl;
pub(crate) use skb::{
    DropReason,
    TxSkb,
    Xmit, //
};
