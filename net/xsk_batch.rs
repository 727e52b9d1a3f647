// SPDX-License-Identifier: GPL-2.0

//! Packets of AF_XDP's that are judged together, as most are: each in one buffer, with nothing to be
//! done before a program sees it.
//!
//! C header: [`include/net/xdp_sock_drv.h`](srctree/include/net/xdp_sock_drv.h)
//!
//! Context: softirq, in the queue's poll.

use super::{
    page_pool::read_words,
    rx_napi::{
        InPoll,
        RxNapi, //
    },
    xdp::{
        Prog,
        XDP_HEADROOM, //
    },
    xsk_queue::{
        XskBuff,
        XskVerdict, //
    }, //
};
use crate::{
    bindings,
    pure::{
        hdr::RawHdr,
        rx::PayloadLens, //
    }, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr::NonNull, //
};

/// Packets that are judged together, at most.
const TOGETHER: usize = 32;

/// Room for the packets of an [`XskBatch`].
pub(crate) struct XskRoom([MaybeUninit<bindings::vnm_xsk_packet>; TOGETHER]);

impl XskRoom {
    /// Makes room without packets.
    pub(crate) const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; TOGETHER])
    }
}

/// What comes behind a batch.
pub(crate) enum XskNext<'a> {
    /// There may be more.
    Unknown,
    /// There was no more.
    Nothing,
    /// The first buffer of a packet, which was used for so many bytes (unchecked).
    Other(XskBuff<'a>, u32),
}

/// Packets in a poll, which `'a` is, that no program has judged yet.
///
/// Those that are left are dropped with it.
///
/// # Invariants
///
/// `left` packets are described from `next` on. Of each the buffer is this value's as that of an [`XskBuff`] is, one of the pool
/// that the poll's queue uses, and what the device has written to it, which may be read, is as long as a header and `len`.
pub(crate) struct XskBatch<'r, 'a> {
    next: NonNull<bindings::vnm_xsk_packet>,
    left: u32,
    bytes: u64,
    _a: PhantomData<(&'r mut XskRoom, &'a mut (), *mut ())>,
}

impl XskBatch<'_, '_> {
    /// Returns the number of packets.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        self.left
    }

    /// Returns how many bytes there were in all of them when they came.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for XskBatch<'_, '_> {
    #[inline(always)]
    fn drop(&mut self) {
        while self.left != 0 {
            // SAFETY: By the type invariants it is described, and the poll owns the free list.
            unsafe {
                bindings::xsk_buff_free(self.next.as_ref().xdp.cast());
                // INVARIANT: It isn't one of those that are left.
                self.next = self.next.add(1);
            }
            self.left = self.left.wrapping_sub(1);
        }
    }
}

/// A packet of a batch that wasn't redirected.
pub(crate) struct XskJudged<'a> {
    /// What the program said of it.
    pub(crate) verdict: XskVerdict<'a>,
    /// The header that it came with.
    pub(crate) hdr: RawHdr,
    /// Bytes that it came with.
    pub(crate) len: u32,
}

/// Returns how long a packet is and the flags of its header if it can be judged together with
/// others.
///
/// # Safety
///
/// Headers are `hdr_at` bytes behind where the memory of buffers begins, and `lens` are used lengths
/// for which the device was given memory from there on, which needn't be made readable.
#[inline(always)]
unsafe fn plain(
    lens: PayloadLens,
    hdr_at: usize,
    buff: &XskBuff<'_>,
    used: u32,
) -> Option<(u32, u8)> {
    let len = lens.payload(used)?;
    // SAFETY: The buffer is ours. By this function's contract the header is in it, as a packet with such a length has 12 bytes from
    // there on at least. What is between these two words says nothing of a plain header.
    let hdr = unsafe {
        let hard_start = (*buff.raw()).data_hard_start;
        let at = NonNull::new_unchecked(hard_start.byte_add(hdr_at).cast());
        let ([first], [last]) = (read_words(at), read_words(at.add(8)));
        RawHdr::from_words([first, 0, last])
    };
    hdr.is_plain().then(|| (len, hdr.flags()))
}

impl<'a> RxNapi<'a, InPoll> {
    /// Takes up to `most` packets that can be judged together, as long as `take` has such.
    ///
    /// That gives used buffers and the lengths that the device reports.
    #[inline(always)]
    pub(crate) fn xsk_batch<'r>(
        &mut self,
        room: &'r mut XskRoom,
        most: u32,
        mut take: impl FnMut() -> Option<(XskBuff<'a>, u32)>,
    ) -> (XskBatch<'r, 'a>, XskNext<'a>) {
        let mut n = 0u32;
        let mut bytes = 0u64;
        let mut behind = XskNext::Unknown;
        let (lens, hdr_len) = match self.xsk.as_deref() {
            Some(xsk) => (xsk.lens(), xsk.hdr_len()),
            None => (PayloadLens::new(0, 0), 0),
        };
        // CAST: 256 at most.
        let hdr_at = XDP_HEADROOM.saturating_sub(hdr_len) as usize;
        // CAST: Both ways, as it is a small number.
        let most = most.min(const { TOGETHER as u32 }) as usize;
        let places = room.0.get_mut(..most).unwrap_or_default();
        for to in places {
            let Some((buff, used)) = take() else {
                behind = XskNext::Nothing;
                break;
            };
            // SAFETY: By the invariants of `XskRx`: the device was given `hdr_len` bytes before the place where packets begin.
            let Some((len, flags)) = (unsafe { plain(lens, hdr_at, &buff, used) }) else {
                behind = XskNext::Other(buff, used);
                break;
            };
            let xdp = buff.into_raw().cast();
            to.write(bindings::vnm_xsk_packet { xdp, len, flags });
            bytes = bytes.wrapping_add(u64::from(len));
            n = n.wrapping_add(1);
        }
        // INVARIANT: So many were written.
        let batch = XskBatch {
            next: NonNull::from(room).cast(),
            left: n,
            bytes,
            _a: PhantomData,
        };
        (batch, behind)
    }

    /// Has `prog` judge packets of a batch until it doesn't redirect one.
    ///
    /// Returns how many it has redirected, and that one if there is one.
    #[inline(always)]
    pub(crate) fn run_xsk_batch(
        &mut self,
        batch: &mut XskBatch<'_, 'a>,
        prog: Prog<'_>,
    ) -> (u32, Option<XskJudged<'a>>) {
        let (first, left) = (batch.next, batch.left);
        let mut act = 0;
        // SAFETY: This is a poll with a budget; by the invariants of their types program and packets are valid, and the device is
        // the one whose poll this is.
        let n = unsafe {
            bindings::xsk_redirect(
                prog.as_raw().cast(),
                self.netdev().cast(),
                first.as_ptr().cast_const(),
                left,
                &mut act,
            )
        };
        if n != 0 {
            self.set_redirected();
        }
        if n >= left {
            // INVARIANT: None is left.
            batch.left = 0;
            return (n, None);
        }
        // CAST: 32 at most.
        // SAFETY: By the type invariants it is described.
        let (at, packet) = unsafe {
            let at = first.add(n as usize);
            (at, at.read())
        };
        // INVARIANT: Those before it are gone, and it isn't one of those that are left.
        // SAFETY: At the end of what is described at most.
        batch.next = unsafe { at.add(1) };
        batch.left = left.wrapping_sub(n).wrapping_sub(1);
        // SAFETY: By the type invariants its buffer is ours.
        let buff = unsafe { XskBuff::from_raw(NonNull::new_unchecked(packet.xdp.cast())) };
        let judged = XskJudged {
            verdict: self.xsk_verdict(buff, prog, act),
            hdr: RawHdr::plain(packet.flags),
            len: packet.len,
        };
        (n, Some(judged))
    }
}
