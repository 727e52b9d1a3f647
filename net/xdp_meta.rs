// SPDX-License-Identifier: GPL-2.0

//! What XDP programs can ask of a packet beside its bytes (`struct xdp_metadata_ops`): the device's hash.
//!
//! It is kept behind the `struct xdp_buff`, not read from where the device wrote it: by the time that a program asks, it may
//! have moved the head of the packet there, or written metadata.
//!
//! C header: [`include/net/xdp.h`](srctree/include/net/xdp.h)

use crate::{
    bindings,
    pure::rss::{
        Flow,
        Proto,
        RxHash, //
    }, //
};
use core::ffi::c_int;

/// The type of no hash.
// CAST: 0.
const NO_HASH: u16 = bindings::xdp_rss_hash_type_XDP_RSS_TYPE_NONE as u16;

/// What a device says of a packet, for programs.
///
/// All zeroes is nothing, and so is no `rss_type`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct RxMeta {
    rss_type: u16,
    ports: bool,
    hash: u32,
}

impl RxMeta {
    /// Returns the hash for an skb, and whether it is over ports, too.
    #[inline(always)]
    pub(super) fn skb_hash(&self) -> Option<(u32, bool)> {
        (self.rss_type != NO_HASH).then_some((self.hash, self.ports))
    }
}

impl From<RxHash> for RxMeta {
    #[inline]
    fn from(hash: RxHash) -> Self {
        Self {
            rss_type: rss_type(hash.flow),
            ports: hash.ports(),
            hash: hash.value,
        }
    }
}

/// Returns the `enum xdp_rss_hash_type`, none of which is 0 (`XDP_RSS_TYPE_NONE`).
const fn rss_type(flow: Flow) -> u16 {
    let addrs = if flow.v6 {
        bindings::xdp_rss_hash_type_XDP_RSS_L3_IPV6
    } else {
        bindings::xdp_rss_hash_type_XDP_RSS_L3_IPV4
    };
    let ports = match flow.proto {
        Proto::Tcp => {
            bindings::xdp_rss_hash_type_XDP_RSS_L4 | bindings::xdp_rss_hash_type_XDP_RSS_L4_TCP
        }
        Proto::Udp => {
            bindings::xdp_rss_hash_type_XDP_RSS_L4 | bindings::xdp_rss_hash_type_XDP_RSS_L4_UDP
        }
        Proto::Other | Proto::Any => 0,
    };
    // CAST: Of nine bits.
    (addrs | ports) as u16
}

/// Where it is, directly behind the `struct xdp_buff` that programs are given.
///
/// An XSK pool's buffers have their driver's bytes there, all zeroes at first.
pub(super) const META_AT: usize = size_of::<bindings::xdp_buff>();

/// The table for devices that report hashes, and whose programs find an [`RxMeta`] at [`META_AT`]
/// of each packet.
pub(super) static OPS: bindings::xdp_metadata_ops = bindings::xdp_metadata_ops {
    xmo_rx_hash: Some(rx_hash),
    xmo_rx_timestamp: None,
    xmo_rx_vlan_tag: None,
};

/// Returns the hash (`bpf_xdp_metadata_rx_hash`), or `ENODATA` if the device hasn't hashed the
/// packet.
///
/// # Safety
///
/// Called by a program about its packet, on a device with [`OPS`]. Such programs run nowhere else: they are bound to the device.
unsafe extern "C" fn rx_hash(
    ctx: *const bindings::xdp_md,
    hash: *mut u32,
    rss_type: *mut bindings::xdp_rss_hash_type,
) -> c_int {
    // SAFETY: By this function's contract; what programs call their context is the `struct xdp_buff`, with what lies behind it, and
    // the verifier has seen that both places are the program's.
    unsafe {
        let meta = *ctx.byte_add(META_AT).cast::<RxMeta>();
        if meta.rss_type == NO_HASH {
            // CAST: 61.
            return -(bindings::ENODATA as c_int);
        }
        *hash = meta.hash;
        *rss_type = meta.rss_type.into();
    }
    0
}
