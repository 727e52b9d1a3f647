// SPDX-License-Identifier: GPL-2.0

//! What goes into a transmit virtqueue: a packet with its virtio-net header.

use super::virtqueue::Virtqueue;
use crate::{
    bindings,
    net::{
        page_pool::MAX_SKB_FRAGS,
        skb::{
            SkBuff,
            TxHdr,
            TxToken, //
        },
    },
    pure::features::{
        bit,
        hdr_len,
        Features, //
    }, //
};
use kernel::prelude::*;

/// Most entries that a packet takes: header, linear part, fragments.
pub(crate) const MAX_SG: usize = crate::pure::tx::max_sg(MAX_SKB_FRAGS as usize);

/// Up to this many bytes a packet in pieces is copied into its headroom, if that has room: cheaper than
/// the table that more than one descriptor takes.
const COPYBREAK: u32 = 128;

/// Scatterlist of one TX queue, used for one packet at a time.
pub(crate) struct TxSg([bindings::scatterlist; MAX_SG]);

// SAFETY: Between two packets the entries mean nothing.
unsafe impl Send for TxSg {}

impl TxSg {
    /// An empty list.
    pub(crate) fn new() -> Self {
        Self([bindings::scatterlist::default(); MAX_SG])
    }
}

/// How the device wants headers.
///
/// # Invariants
///
/// `len` is 10, 12, 20 or 24.
#[derive(Clone, Copy)]
pub(crate) struct HdrLayout {
    /// Bytes of the header.
    len: u32,
    /// The header may share a descriptor with data (VERSION_1 or ANY_LAYOUT).
    pub(crate) any_layout: bool,
    /// `hdr_len` must be exact (GUEST_HDRLEN).
    pub(crate) exact_hdr_len: bool,
    /// Tunnelled packets may be left to the device for segmentation (HOST_UDP_TUNNEL_GSO).
    pub(crate) tunnel: bool,
}

impl HdrLayout {
    /// For a device with the features `f`.
    pub(crate) fn new(f: Features) -> Self {
        Self {
            // INVARIANT: In each of the cases.
            len: match hdr_len(f) {
                10 => 10,
                20 => 20,
                24 => 24,
                _ => 12,
            },
            any_layout: f.has(bit::VERSION_1) || f.has(bit::ANY_LAYOUT),
            exact_hdr_len: f.has(bit::GUEST_HDRLEN),
            tunnel: f.has(bit::HOST_UDP_TUNNEL_GSO),
        }
    }

    /// Bytes of the header.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }
}

impl Virtqueue<TxToken> {
    /// Adds a packet with its header. The header goes right before the data where the skb lets
    /// us, else into its control buffer as an entry of its own; either way the skb owns it. A small packet
    /// in pieces is put together there as well.
    ///
    /// # Errors
    ///
    /// The packet back, with `EINVAL` if no header can describe it, or the ring's error.
    #[inline]
    pub(crate) fn add_skb(
        &mut self,
        sg: &mut TxSg,
        skb: SkBuff,
        layout: &HdrLayout,
    ) -> Result<u32, (Error, SkBuff)> {
        // With a length that is known when this is compiled, a header is two or three moves.
        let exact = layout.exact_hdr_len;
        if layout.len == 12 {
            let hdr = skb.virtio_net_hdr::<{ TxHdr::<0>::USUAL }>(exact);
            self.add_with_hdr(sg, skb, hdr, layout.any_layout)
        } else {
            self.add_other(sg, skb, layout)
        }
    }

    /// The same for the other forms of the header.
    #[inline(never)]
    fn add_other(
        &mut self,
        sg: &mut TxSg,
        skb: SkBuff,
        layout: &HdrLayout,
    ) -> Result<u32, (Error, SkBuff)> {
        let exact = layout.exact_hdr_len;
        match layout.len {
            24 => {
                let hdr = skb.virtio_net_hdr_tnl(layout.tunnel, exact);
                self.add_with_hdr(sg, skb, hdr, layout.any_layout)
            }
            20 => {
                let hdr = skb.virtio_net_hdr::<{ TxHdr::<0>::HASH }>(exact);
                self.add_with_hdr(sg, skb, hdr, layout.any_layout)
            }
            _ => {
                let hdr = skb.virtio_net_hdr::<{ TxHdr::<0>::SHORTEST }>(exact);
                self.add_with_hdr(sg, skb, hdr, layout.any_layout)
            }
        }
    }

    #[inline(always)]
    fn add_with_hdr<const N: usize>(
        &mut self,
        sg: &mut TxSg,
        skb: SkBuff,
        hdr: Result<TxHdr<N>>,
        any_layout: bool,
    ) -> Result<u32, (Error, SkBuff)> {
        const { assert!(N <= TxHdr::<N>::TUNNEL) };
        let hdr = match hdr {
            Ok(hdr) => hdr,
            Err(e) => return Err((e, skb)),
        };
        let raw = skb.as_raw();
        // CAST: 24 at most.
        let len = const { (N * 2) as u32 };
        let mut saved = [0u16; N];
        let pushed;
        // SAFETY: The skb is ours. With `pushed` there are `len` bytes of headroom, and `skb_flatten`
        // finds more, that nobody else uses; `cb` has 48 bytes and is the driver's while it owns the
        // skb. The scatterlist names memory of the skb only, which the token keeps until the device
        // gives it back.
        let n = unsafe {
            pushed = any_layout && bindings::skb_can_push_hdr(raw, len);
            let flat = if pushed && (*raw).data_len != 0 && (*raw).len <= COPYBREAK {
                bindings::skb_flatten(raw, sg.0.as_mut_ptr(), len).cast::<u8>()
            } else {
                core::ptr::null_mut()
            };
            if !flat.is_null() {
                flat.cast::<[u16; N]>().write_unaligned(hdr.0);
                1
            } else {
                let (at, own) = if pushed {
                    ((*raw).data.sub(const { N * 2 }), core::ptr::null_mut())
                } else {
                    let cb = (&raw mut (*raw).cb).cast::<u8>();
                    // The qdisc's until the ring has taken the packet: see `undo`.
                    saved = cb.cast::<[u16; N]>().read_unaligned();
                    (cb, cb)
                };
                at.cast::<[u16; N]>().write_unaligned(hdr.0);
                bindings::skb_map(raw, sg.0.as_mut_ptr(), own.cast(), len)
            }
        };
        // A packet that goes back to the stack has its control buffer as it was.
        let undo = |skb: SkBuff| {
            if !pushed {
                // SAFETY: As above; the ring doesn't have it. What is put back was taken from there.
                unsafe {
                    let cb = (&raw mut (*skb.as_raw()).cb).cast::<[u16; N]>();
                    cb.write_unaligned(saved);
                }
            }
            skb
        };
        let Ok(n) = u32::try_from(n) else {
            return Err((Error::from_errno(n), undo(skb)));
        };
        let segs = if hdr.is_gso() { skb.gso_segs() } else { 0 };
        let token = super::virtqueue::Token::into_raw(TxToken::new(skb));
        // SAFETY: `n` entries were filled; the token is given away.
        let err = unsafe {
            bindings::virtqueue_add_outbuf(
                self.as_raw(),
                sg.0.as_mut_ptr(),
                n,
                token.as_ptr(),
                bindings::GFP_ATOMIC,
            )
        };
        if err != 0 {
            // SAFETY: Refused: the token is still ours.
            let token: TxToken = unsafe { super::virtqueue::Token::from_raw(token) };
            return Err((Error::from_errno(err), undo(token.into_skb())));
        }
        Ok(segs)
    }
}
