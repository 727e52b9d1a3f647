// SPDX-License-Identifier: GPL-2.0

//! What AF_XDP puts into virtqueues: buffers to receive into, and packets to send.
//!
//! C headers: [`include/linux/virtio.h`](srctree/include/linux/virtio.h),
//! [`include/net/xdp_sock_drv.h`](srctree/include/net/xdp_sock_drv.h)
//!
//! Context: softirq.

use super::{
    rx_ring::{
        NotPosted,
        RxBuf, //
    },
    tx_ring::InFlight,
    virtqueue::Virtqueue, //
};
use crate::{
    bindings,
    net::{
        page_pool::PoolId,
        queue::{
            Context,
            InPoll,
            RxNapi, //
        },
        xsk::{
            untag,
            XskTx, //
        },
        xsk_queue::XskBuff, //
    }, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// Used buffers that are taken off the ring together.
const TOGETHER: usize = 8;

/// Used buffers of sockets, taken off a ring in a poll, which `'a` is, and not asked for yet.
///
/// # Invariants
///
/// `bufs[at..end]` are such buffers, of the pool that the poll's queue uses; no ring has them, and they belong to this value.
pub(crate) struct XskTaken<'a> {
    bufs: [MaybeUninit<bindings::vnm_used_buf>; TOGETHER],
    at: usize,
    end: usize,
    _a: PhantomData<(&'a mut (), *mut ())>,
}

impl<'a> XskTaken<'a> {
    /// Makes one without buffers.
    pub(crate) const fn new() -> Self {
        Self {
            bufs: [const { MaybeUninit::uninit() }; TOGETHER],
            at: 0,
            end: 0,
            _a: PhantomData,
        }
    }

    /// Takes the next used buffer of the sockets' pool that comes with `napi`, from `vq` and with
    /// the length that the device reports, unchecked.
    ///
    /// It is the first of up to `want` that are taken together.
    #[inline(always)]
    pub(crate) fn next(
        &mut self,
        vq: Option<&mut Virtqueue<RxBuf>>,
        napi: &mut RxNapi<'a, InPoll>,
        want: u32,
    ) -> Option<(XskBuff<'a>, u32)> {
        if self.at == self.end {
            self.take(vq?, napi, want);
        }
        self.pop()
    }

    #[inline]
    fn take(&mut self, vq: &mut Virtqueue<RxBuf>, napi: &mut RxNapi<'a, InPoll>, want: u32) {
        let Some(xsk) = napi.xsk() else {
            return;
        };
        if PoolId(vq.tag) != xsk.id() {
            return;
        }
        // CAST: A small constant.
        let want = want.min(const { TOGETHER as u32 });
        let bufs = self.bufs.as_mut_ptr().cast();
        // SAFETY: By the type invariants the queue is valid and ours; there is room for that many.
        let n = unsafe { bindings::virtqueue_get_bufs(vq.as_raw(), bufs, want, 0) };
        // SAFETY: The ring had them, and hasn't any more.
        unsafe { xsk.taken(n) };
        // INVARIANT: So many were written. All in this ring are of this pool, by its tag.
        self.at = 0;
        // CAST: 32 bits fit.
        self.end = n as usize;
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<(XskBuff<'a>, u32)> {
        if self.at == self.end {
            return None;
        }
        let used = self.bufs.get(self.at)?;
        // INVARIANT: It isn't one of those that are left.
        self.at = self.at.wrapping_add(1);
        // SAFETY: By the invariants; each is used once.
        unsafe {
            let used = used.assume_init_ref();
            let xdp = NonNull::new(untag(NonNull::new(used.data)?))?;
            Some((XskBuff::from_raw(xdp.cast()), used.len))
        }
    }
}

impl Drop for XskTaken<'_> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

impl Virtqueue<RxBuf> {
    /// Posts up to `n` buffers of the sockets' pool that comes with `napi`, and returns how many,
    /// and why not all.
    ///
    /// Context: softirq in the queue's poll, or process with the queue at rest.
    #[inline]
    pub(crate) fn post_xsk<C: Context>(
        &mut self,
        napi: &mut RxNapi<'_, C>,
        n: u32,
    ) -> (u32, Option<NotPosted>) {
        let refused = |e| (0, Some(NotPosted::Refused(e)));
        let Some(xsk) = napi.xsk() else {
            return refused(EINVAL);
        };
        let tag = PoolId(self.tag);
        if (tag != PoolId::NONE && tag != xsk.id())
            || self
                .dma_raw()
                .is_none_or(|dma| dma.as_ptr() != xsk.dma_raw())
        {
            return refused(EINVAL);
        }
        self.tag = xsk.id().0;
        let (len, hdr_len) = (xsk.len(), xsk.hdr_len());
        let mut err = 0;
        // SAFETY: By the invariants of their types queue and pool are valid, and they are ours, the
        // pool is mapped for the queue's device, and what the device may write to is of the buffer
        // alone.
        let posted = unsafe {
            bindings::virtqueue_post_xsk(
                self.as_raw(),
                xsk.as_raw(),
                n,
                hdr_len,
                hdr_len.saturating_add(len),
                C::POOL_GFP,
                &mut err,
            )
        };
        xsk.posted(posted);
        let why = match err {
            0 => None,
            e if e == -bindings::ENODATA.cast_signed() => Some(NotPosted::NoMemory),
            e => Some(NotPosted::Refused(Error::from_errno(e))),
        };
        (posted, why)
    }
}

/// What was sent for sockets.
#[derive(Clone, Copy, Default)]
pub(crate) struct XskAdded {
    /// Descriptors that were taken from the sockets.
    pub(crate) taken: u32,
    /// Packets that the ring has got.
    pub(crate) packets: u32,
}

impl Virtqueue<InFlight> {
    /// Adds packets of sockets, from `most` of their descriptors at most, and leaves `reserve` of
    /// the ring's free.
    ///
    /// The device isn't notified. The sockets get back at once what can't be sent.
    #[inline]
    pub(crate) fn add_xsk(&mut self, xsk: &mut XskTx, most: u32, reserve: u32) -> XskAdded {
        let mut added = XskAdded::default();
        if self
            .dma_raw()
            .is_none_or(|dma| dma.as_ptr() != xsk.dma_raw())
        {
            return added;
        }
        // A packet takes a descriptor more than it has parts, unless all are in a table.
        let free = self.num_free().saturating_sub(reserve);
        let room = if self.has_tables() { free } else { free / 2 };
        let budget = most.min(room).min(xsk.room());
        if budget == 0 {
            return added;
        }
        // SAFETY: By the invariants of their types queue and pool are valid, and they are ours, so
        // many slots are free, and the pool is mapped for the queue's device. What is described is
        // of the slot, which keeps it until the token is gone, and of a descriptor that isn't
        // completed before.
        added.taken = unsafe {
            bindings::virtqueue_send_xsk(self.as_raw(), xsk.as_raw(), budget, &mut added.packets)
        };
        added
    }
}
