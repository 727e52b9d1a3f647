// SPDX-License-Identifier: GPL-2.0

//! What goes into a transmit virtqueue: a packet with its virtio-net header.
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)
//!
//! Context: softirq, with the queue's TX lock held.

use super::{
    hdr::HdrLayout,
    virtqueue::{
        Virtqueue,
        VqBuffer, //
    }, //
};
use crate::{
    bindings,
    net::{
        self,
        page_pool::MAX_SKB_FRAGS,
        skb::{
            DropReason,
            SentSkb,
            TxSkb,
            COPYBREAK, //
        },
        xdp::{
            FrameList,
            XdpFrame, //
        },
        xsk::{
            untag,
            XskSent,
            TAG, //
        },
        NetDevice, //
    }, //
};
use core::{
    ffi::c_void,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// Most entries that a packet takes: header, linear part, fragments.
pub(crate) const MAX_SG: usize = crate::pure::tx::max_sg(MAX_SKB_FRAGS as usize);

/// Bytes of the longest header.
const MAX_HDR: usize = 24;

/// Scatterlist of one TX queue, used for one packet at a time, and what that packet's control
/// buffer had where its header is.
pub(crate) struct TxSg {
    sg: [bindings::scatterlist; MAX_SG],
    saved: [u8; MAX_HDR],
}

// SAFETY: Between two packets the entries mean nothing.
unsafe impl Send for TxSg {}

impl TxSg {
    /// Makes an empty list.
    ///
    /// Context: any.
    pub(crate) fn new() -> Self {
        Self {
            sg: [bindings::scatterlist::default(); MAX_SG],
            saved: [0; MAX_HDR],
        }
    }
}

/// What was in a TX ring.
pub(crate) enum SentPacket {
    /// A packet of the stack's.
    Skb(SentSkb),
    /// A frame of XDP's.
    Frame(XdpFrame),
    /// A packet of a socket's.
    Xsk(XskSent),
}

/// A packet while the TX ring has it, which is given up if this is dropped (queue torn down).
///
/// # Invariants
///
/// The pointer is to an skb, or with [`FRAME`] in its address to a frame, or with [`TAG`] to a socket's packet, that belongs to
/// this value. All are aligned.
pub(crate) struct InFlight(NonNull<c_void>);

/// The lowest bit of a frame's pointer.
// CAST: One bit.
const FRAME: usize = bindings::vnm_tag_VNM_TAG_FRAME as usize;

// SAFETY: All of them are `Send`.
unsafe impl Send for InFlight {}

// SAFETY: The pointer goes and comes back; an skb or frame owns the memory that its scatterlist names, and what a socket sends is
// its slot's and the socket's until it is done with.
unsafe impl VqBuffer for InFlight {
    #[inline(always)]
    fn into_raw(self) -> NonNull<c_void> {
        ManuallyDrop::new(self).0
    }

    #[inline(always)]
    unsafe fn from_raw(p: NonNull<c_void>) -> Self {
        // INVARIANT: `into_raw` gave it away.
        Self(p)
    }

    fn give_up(self) {
        let packet = self.into_packet();
        if let SentPacket::Skb(skb) = &packet {
            // SAFETY: The skb is ours by its type's invariants. Its device is the one that was to send it, whose
            // queue is reset on its own behalf: it is there. The counter is this CPU's.
            unsafe { bindings::skb_tx_dropped_inc(skb.as_raw()) };
        }
        packet.discard();
    }
}

impl SentPacket {
    /// Gives up what wasn't sent.
    fn discard(self) {
        match self {
            Self::Skb(skb) => skb.drop_with(DropReason::DevReady),
            Self::Frame(frame) => drop(frame),
            Self::Xsk(sent) => drop(sent),
        }
    }
}

impl InFlight {
    /// Returns the packet that this is.
    #[inline(always)]
    pub(crate) fn into_packet(self) -> SentPacket {
        let raw = ManuallyDrop::new(self).0;
        let bits = raw.as_ptr().addr();
        // SAFETY: By the type invariants; it is taken once.
        unsafe {
            if bits & (FRAME | TAG) == 0 {
                SentPacket::Skb(SentSkb::from_raw(raw.cast()))
            } else if bits & TAG != 0 {
                let slot = NonNull::new_unchecked(untag(raw).cast());
                SentPacket::Xsk(XskSent::from_raw(slot))
            } else {
                let frame = raw.as_ptr().map_addr(|bits| bits & !FRAME);
                SentPacket::Frame(XdpFrame::from_raw(NonNull::new_unchecked(frame.cast())))
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // Taken once: this is the end.
        Self(self.0).into_packet().discard();
    }
}

impl Virtqueue<InFlight> {
    /// Gives up a ring whose device was reset, and what is in it, which `dev` was to send and counts as dropped.
    ///
    /// Context: process.
    pub(crate) fn discard<T: net::Driver>(mut self, dev: &NetDevice<T>) {
        self.detach_reset(|sent| match sent.into_packet() {
            SentPacket::Skb(skb) => dev.drop_tx(skb),
            other => other.discard(),
        });
    }

    /// Returns how headers are laid out, and which addresses the entries of a list have
    /// ([`Self::add_list`]).
    #[inline(always)]
    fn form(&self, layout: HdrLayout) -> u32 {
        let phys = bindings::vnm_hdr_form_VNM_SG_PHYS;
        layout.as_raw() | if self.takes_phys() { phys } else { 0 }
    }

    /// Adds the first `n` entries of a list, and returns 0 or the error of the queue.
    ///
    /// # Safety
    ///
    /// They were filled for [`Self::form`], with memory that is the packet's; `raw` is what [`InFlight`] has, and is given
    /// away unless there is an error.
    #[inline(always)]
    unsafe fn add_list(&mut self, sg: &mut TxSg, n: u32, raw: NonNull<c_void>) -> i32 {
        let (vq, list, gfp) = (self.as_raw(), sg.sg.as_mut_ptr(), bindings::GFP_ATOMIC);
        // Two calls: a pointer to one of two functions would be an indirect one.
        // SAFETY: By this function's contract. A queue that takes physical addresses has them in the place of mapped ones.
        unsafe {
            if self.takes_phys() {
                bindings::virtqueue_add_outbuf_premapped(vq, list, n, raw.as_ptr(), gfp)
            } else {
                bindings::virtqueue_add_outbuf(vq, list, n, raw.as_ptr(), gfp)
            }
        }
    }

    /// Adds a packet with its header (specification 5.1.6.2), and returns how many packets on the
    /// wire it makes, which is 0 if it isn't to be segmented.
    ///
    /// The header goes right before the data where the skb lets us, else into its control buffer as
    /// an entry of its own; either way the skb owns it. A small packet in pieces is put together
    /// there as well.
    ///
    /// # Errors
    ///
    /// Returns the packet with `EINVAL` if no header can describe it, or with the ring's error.
    #[inline(always)]
    pub(crate) fn add_skb<'x>(
        &mut self,
        sg: &mut TxSg,
        skb: TxSkb<'x>,
        layout: HdrLayout,
    ) -> Result<u32, (Error, TxSkb<'x>)> {
        let (raw, list, form) = (skb.as_raw(), sg.sg.as_mut_ptr(), self.form(layout));
        let mut map = 0;
        if skb.is_nonlinear() && skb.len() <= COPYBREAK {
            // SAFETY: The skb is ours, what may be written of its headroom included. The list then names memory
            // of the skb only, which `InFlightSkb` keeps until the device gives it back.
            map = unsafe { bindings::skb_copy_xmit(raw, list, form) };
        }
        if map == 0 {
            // SAFETY: As above, and the control buffer is ours as well. The list has the entries and `saved` the
            // bytes that the helper wants.
            map = unsafe { bindings::skb_map_xmit(raw, list, sg.saved.as_mut_ptr().cast(), form) };
        }
        let Ok(map) = u64::try_from(map) else {
            return Err((EINVAL, skb));
        };
        // CAST: Masked to a byte; then 32 bits of which none are lost.
        let n = map as u32 & bindings::vnm_xmit_map_VNM_XMIT_ENTRIES;
        let segs = (map >> bindings::vnm_xmit_map_VNM_XMIT_SEGS_SHIFT) as u32;
        let raw = skb.into_raw();
        // SAFETY: `n` entries were filled; the pointer is what `InFlight` has, and is given away.
        let err = unsafe { self.add_list(sg, n, raw.cast()) };
        if err != 0 {
            // INVARIANT: The same that came.
            // SAFETY: Refused: the reference is still ours.
            let skb = unsafe { TxSkb::<'x>::from_raw(raw) };
            // CAST: As above.
            if map as u32 & bindings::vnm_xmit_map_VNM_XMIT_HDR_IN_CB != 0 {
                sg.put_back(&skb);
            }
            return Err((Error::from_errno(err), skb));
        }
        Ok(segs)
    }

    /// Adds frames, each with an empty header before it, until one can't be added, and takes those
    /// that were out of `frames`.
    ///
    /// One can't be added if it has no room for the header, or if fewer than `reserve` descriptors
    /// would stay free.
    #[inline]
    pub(crate) fn add_frames(
        &mut self,
        sg: &mut TxSg,
        frames: &mut FrameList<'_>,
        layout: HdrLayout,
        reserve: u32,
    ) {
        let (vq, list, form) = (self.as_raw(), sg.sg.as_mut_ptr(), self.form(layout));
        let (first, n) = frames.left();
        // SAFETY: By the type invariants the queue is valid and ours, and so are the frames, each
        // with what is before its data. The list has the entries that the helper wants, and then
        // names memory of the frame only, which is the buffer's until the device gives it back. The
        // form is this queue's.
        let added = unsafe { bindings::virtqueue_add_frames(vq, first, n, list, form, reserve) };
        // INVARIANT: Each was given to the queue with the tag of a frame.
        // SAFETY: So many were.
        unsafe { frames.take(added) };
    }

    /// Gives back a frame that was in the ring, and those that come next off it.
    ///
    /// Returns what comes behind them, how many they were, and of how many bytes.
    #[inline(always)]
    pub(crate) fn put_frames(&mut self, frame: XdpFrame) -> (Option<InFlight>, u32, u32) {
        let mut sent = bindings::vnm_sent::default();
        let first = frame.into_raw().as_ptr().map_addr(|bits| bits | FRAME);
        // SAFETY: By the type invariants the queue is valid and ours, and the frame is ours. The
        // virtio core gives each pointer back once, and only for a head that is in use, whatever
        // the device writes into the ring; those with the tag of a frame are `InFlight`'s.
        let next =
            unsafe { bindings::virtqueue_put_frames(self.as_raw(), first.cast(), &mut sent) };
        // INVARIANT: `into_raw` gave it away.
        (NonNull::new(next).map(InFlight), sent.frames, sent.bytes)
    }
}

impl TxSg {
    /// Restores the control buffer of a packet that goes back to the stack.
    ///
    /// It is the qdisc's until the ring has taken the packet.
    #[cold]
    fn put_back(&self, skb: &TxSkb<'_>) {
        // SAFETY: The skb is ours, and the ring doesn't have it. `cb` has 48 bytes; what is put back was
        // taken from there.
        unsafe {
            let cb = (&raw mut (*skb.as_raw()).cb).cast::<[u8; MAX_HDR]>();
            cb.write(self.saved);
        }
    }
}
