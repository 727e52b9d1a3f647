// SPDX-License-Identifier: GPL-2.0

//! The virtio-net header (specification 5.1.6): how the device wants it, and what a received one
//! says of its packet.
//!
//! C header: [`include/linux/virtio_net.h`](srctree/include/linux/virtio_net.h)
//!
//! Context: any.

use crate::{
    bindings,
    net::{
        skb::{
            ReceivedSkb,
            RxSkb, //
        },
        Driver,
        NetDevice, //
    },
    pure::{
        features::{
            bit,
            hdr_len,
            Features, //
        },
        hdr::RawHdr, //
    }, //
};

/// How the device wants headers.
///
/// # Invariants
///
/// The length in it is 10, 12, 20 or 24.
#[derive(Clone, Copy)]
pub(crate) struct HdrLayout(u32);

impl HdrLayout {
    /// Returns the layout for a device with the features `f`.
    pub(crate) fn new(f: Features) -> Self {
        let flag = |on, flag| if on { flag } else { 0 };
        let any_layout = f.has(bit::VERSION_1) || f.has(bit::ANY_LAYOUT);
        // INVARIANT: In each of the cases.
        let len = match hdr_len(f) {
            10 => 10,
            20 => 20,
            24 => 24,
            _ => 12,
        };
        Self(
            len | flag(any_layout, bindings::vnm_hdr_form_VNM_HDR_ANY_LAYOUT)
                | flag(
                    f.has(bit::GUEST_HDRLEN),
                    bindings::vnm_hdr_form_VNM_HDR_EXACT,
                )
                | flag(
                    f.has(bit::HOST_UDP_TUNNEL_GSO),
                    bindings::vnm_hdr_form_VNM_HDR_TUNNEL,
                ),
        )
    }

    /// Returns the layout for C (`enum vnm_hdr_form`).
    #[inline(always)]
    pub(super) fn as_raw(self) -> u32 {
        self.0
    }

    /// Returns the bytes of the header.
    pub(crate) fn len(&self) -> u32 {
        self.0 & bindings::vnm_hdr_form_VNM_HDR_LEN
    }

    /// Returns whether the header may share a descriptor with data (VERSION_1 or ANY_LAYOUT).
    pub(crate) fn any_layout(&self) -> bool {
        self.0 & bindings::vnm_hdr_form_VNM_HDR_ANY_LAYOUT != 0
    }
}

/// Bytes that are aligned as a `struct virtio_net_hdr` is.
#[repr(align(8))]
struct Aligned<const N: usize>([u8; N]);

/// Does what [`rx_prepare`] does for a frame in a tunnel, and returns 0, or what C says against it.
#[cold]
fn prepare_tunnelled<T: Driver>(
    skb: &RxSkb,
    dev: &NetDevice<T>,
    hdr: RawHdr,
    queue: u16,
) -> core::ffi::c_int {
    let mut raw = Aligned(hdr.to_tunnel_bytes());
    let (skb, dev, hdr) = (skb.as_raw(), dev.as_raw(), raw.0.as_mut_ptr());
    // SAFETY: The skb is ours; the header is aligned and has the longest form.
    unsafe { bindings::skb_rx_prepare_tunnel(skb, dev, hdr.cast(), queue) }
}

/// Gives a received frame its metadata: device, queue, checksum and GSO state from the header `hdr`
/// (a copy that the device can't change), protocol.
///
/// Context: softirq.
///
/// # Errors
///
/// Returns the packet if its headers contradict `hdr`, or if it has no room for an Ethernet header.
#[inline(always)]
pub(crate) fn rx_prepare<T: Driver>(
    skb: RxSkb,
    dev: &NetDevice<T>,
    hdr: RawHdr,
    queue: u16,
) -> Result<ReceivedSkb, RxSkb> {
    let err = if hdr.is_tunnelled() {
        prepare_tunnelled(&skb, dev, hdr, queue)
    } else {
        let mut raw = Aligned(hdr.to_bytes());
        let (skb, dev, hdr) = (skb.as_raw(), dev.as_raw(), raw.0.as_mut_ptr());
        // SAFETY: The skb is ours; the header is aligned.
        unsafe { bindings::skb_rx_prepare(skb, dev, hdr.cast(), queue) }
    };
    if err != 0 {
        return Err(skb);
    }
    // INVARIANT: The helper did all of that.
    // SAFETY: The reference goes over.
    Ok(unsafe { ReceivedSkb::from_raw(skb.into_raw()) })
}
