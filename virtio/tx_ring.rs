// SPDX-License-Identifier: GPL-2.0

//! What goes into a transmit virtqueue: a packet with its virtio-net header.

use super::virtqueue::Virtqueue;
use crate::{
    bindings,
    net::{
        page_pool::MAX_SKB_FRAGS,
        skb::{
            SkBuff,
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

/// Bytes of the longest header.
const MAX_HDR: usize = 24;

/// Scatterlist of one TX queue, used for one packet at a time, and what that packet's control buffer
/// had where its header is.
pub(crate) struct TxSg {
    sg: [bindings::scatterlist; MAX_SG],
    saved: [u8; MAX_HDR],
}

// SAFETY: Between two packets the entries mean nothing.
unsafe impl Send for TxSg {}

impl TxSg {
    /// An empty list.
    pub(crate) fn new() -> Self {
        Self {
            sg: [bindings::scatterlist::default(); MAX_SG],
            saved: [0; MAX_HDR],
        }
    }
}

/// How the device wants headers.
///
/// # Invariants
///
/// The length in it is 10, 12, 20 or 24.
#[derive(Clone, Copy)]
pub(crate) struct HdrLayout(u32);

impl HdrLayout {
    /// For a device with the features `f`.
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

    /// Bytes of the header.
    pub(crate) fn len(&self) -> u32 {
        self.0 & bindings::vnm_hdr_form_VNM_HDR_LEN
    }

    /// Whether the header may share a descriptor with data (VERSION_1 or ANY_LAYOUT).
    pub(crate) fn any_layout(&self) -> bool {
        self.0 & bindings::vnm_hdr_form_VNM_HDR_ANY_LAYOUT != 0
    }
}

impl Virtqueue<TxToken> {
    /// Adds a packet with its header (specification 5.1.6.2). The header goes right before the data where
    /// the skb lets us, else into its control buffer as an entry of its own; either way the skb owns it. A
    /// small packet in pieces is put together there as well.
    ///
    /// Returns how many packets on the wire it makes, 0 if it isn't to be segmented.
    ///
    /// # Errors
    ///
    /// The packet back, with `EINVAL` if no header can describe it, or the ring's error.
    #[inline(always)]
    pub(crate) fn add_skb(
        &mut self,
        sg: &mut TxSg,
        skb: SkBuff,
        layout: HdrLayout,
    ) -> Result<u32, (Error, SkBuff)> {
        // SAFETY: The skb is ours, its control buffer and what may be written of its headroom included.
        // The list has the entries and `saved` the bytes that the helper wants. The list then names
        // memory of the skb only, which the token keeps until the device gives it back.
        let map = unsafe {
            bindings::skb_map_xmit(
                skb.as_raw(),
                sg.sg.as_mut_ptr(),
                sg.saved.as_mut_ptr().cast(),
                layout.0,
            )
        };
        let Ok(map) = u64::try_from(map) else {
            return Err((EINVAL, skb));
        };
        // CAST: Masked to a byte; then 32 bits of which none are lost.
        let n = map as u32 & bindings::vnm_xmit_map_VNM_XMIT_ENTRIES;
        let segs = (map >> bindings::vnm_xmit_map_VNM_XMIT_SEGS_SHIFT) as u32;
        let token = super::virtqueue::Token::into_raw(TxToken::new(skb));
        // SAFETY: `n` entries were filled; the token is given away.
        let err = unsafe {
            bindings::virtqueue_add_outbuf(
                self.as_raw(),
                sg.sg.as_mut_ptr(),
                n,
                token.as_ptr(),
                bindings::GFP_ATOMIC,
            )
        };
        if err != 0 {
            // SAFETY: Refused: the token is still ours.
            let token: TxToken = unsafe { super::virtqueue::Token::from_raw(token) };
            let skb = token.into_skb();
            // CAST: As above.
            if map as u32 & bindings::vnm_xmit_map_VNM_XMIT_HDR_IN_CB != 0 {
                sg.put_back(&skb);
            }
            return Err((Error::from_errno(err), skb));
        }
        Ok(segs)
    }
}

impl TxSg {
    /// A packet that goes back to the stack has its control buffer, which is the qdisc's until the ring
    /// has taken the packet, as it was.
    #[cold]
    fn put_back(&self, skb: &SkBuff) {
        // SAFETY: The skb is ours, and the ring doesn't have it. `cb` has 48 bytes; what is put back was
        // taken from there.
        unsafe {
            let cb = (&raw mut (*skb.as_raw()).cb).cast::<[u8; MAX_HDR]>();
            cb.write(self.saved);
        }
    }
}
