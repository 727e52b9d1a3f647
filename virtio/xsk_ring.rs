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
        xsk_batch::{
            XskBatch,
            XskNext,
            XskRoom, //
        },
        xsk_queue::XskBuff, //
    }, //
};
use core::{
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::prelude::*;

impl Virtqueue<RxBuf> {
    /// Takes the next used buffer of the sockets' pool that comes with `napi`, with the length that
    /// the device reports, unchecked.
    pub(crate) fn next_xsk<'a>(
        &mut self,
        napi: &mut RxNapi<'a, InPoll>,
    ) -> Option<(XskBuff<'a>, u32)> {
        let xsk = napi.xsk().filter(|xsk| PoolId(self.tag) == xsk.id())?;
        // SAFETY: All in this ring are of this pool, by its tag.
        let next = unsafe { self.take_xsk()? };
        // SAFETY: The ring had it, and hasn't any more.
        unsafe { xsk.taken(1) };
        Some(next)
    }

    /// Takes used buffers of that pool, of up to `most` packets, as long as they can be judged
    /// together, and says what comes behind them.
    ///
    /// What does is taken off the ring as well.
    #[inline(always)]
    pub(crate) fn next_xsk_batch<'r, 'a>(
        &mut self,
        napi: &mut RxNapi<'a, InPoll>,
        room: &'r mut XskRoom,
        most: u32,
    ) -> (XskBatch<'r, 'a>, XskNext<'a>) {
        let is_ours = (napi.xsk()).is_some_and(|xsk| PoolId(self.tag) == xsk.id());
        let most = if is_ours { most } else { 0 };
        // SAFETY: If any is asked for, all in this ring are of this pool, by its tag.
        let (batch, behind) = napi.xsk_batch(room, most, || unsafe { self.take_xsk() });
        let n = match behind {
            XskNext::Other(..) => batch.len().wrapping_add(1),
            XskNext::Unknown if !is_ours => return (batch, XskNext::Nothing),
            _ => batch.len(),
        };
        if let Some(xsk) = napi.xsk() {
            // SAFETY: The ring had them, and hasn't any more.
            unsafe { xsk.taken(n) };
        }
        (batch, behind)
    }

    /// # Safety
    ///
    /// All buffers in the ring are of the pool that the queue uses in the poll that `'a` is; they
    /// are counted by the caller.
    #[inline(always)]
    unsafe fn take_xsk<'a>(&mut self) -> Option<(XskBuff<'a>, u32)> {
        let mut used = MaybeUninit::uninit();
        // SAFETY: By the type invariants the queue is valid and ours.
        let data = unsafe { bindings::virtqueue_get_buf(self.as_raw(), used.as_mut_ptr()) };
        let data = NonNull::new(data)?;
        // SAFETY: The core gives each pointer back once, and only for a head that is in use, whatever the device writes into the
        // ring. By this function's contract it is a buffer's of that pool, with the bit.
        // The length was written.
        Some(unsafe {
            let xdp = NonNull::new_unchecked(untag(data));
            (XskBuff::from_raw(xdp.cast()), used.assume_init())
        })
    }

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
        let mut err = 0;
        // SAFETY: By the invariants of their types queue and pool are valid, and they are ours, the
        // pool is mapped for the queue's device, and what the device may write to is of the buffer
        // alone.
        let posted = unsafe {
            bindings::virtqueue_post_xsk(
                self.as_raw(),
                xsk.as_raw(),
                n,
                xsk.hdr_len(),
                xsk.device_len(),
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
    /// Packets that it couldn't take, or nothing could, which are done with.
    pub(crate) lost: u32,
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
            bindings::virtqueue_send_xsk(
                self.as_raw(),
                xsk.as_raw(),
                budget,
                &mut added.packets,
                &mut added.lost,
            )
        };
        added
    }
}
