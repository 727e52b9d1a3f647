// SPDX-License-Identifier: GPL-2.0

//! What the owners of a queue pair do with a pool of AF_XDP's ([`super::xsk`]): it comes and goes,
//! packets in its buffers are judged and copied, and user space is notified of what was sent.
//!
//! C header: [`include/net/xdp_sock_drv.h`](srctree/include/net/xdp_sock_drv.h)
//!
//! Context: softirq, in the poll or with the lock of the queue.

use super::{
    device::NetDevice,
    driver::Driver,
    napi::NapiState,
    page_pool::Frag,
    queue::QueuePair,
    rtnl::Rtnl,
    rx_napi::{
        Context,
        InPoll,
        RxNapi, //
    },
    skb::RxSkb,
    tx_queue::{
        Backend,
        TxGuard, //
    },
    xdp::{
        exception,
        Prog,
        XdpFrame, //
    },
    xdp_meta::{
        RxMeta,
        META_AT, //
    },
    xsk::{
        XskMapped,
        XskRemoved,
        XskRx,
        XskTx,
        MAX_HDR, //
    }, //
};
use crate::{
    bindings::{
        self,
        ETH_HLEN, //
    },
    pure::{
        rss::RxHash,
        rx::{
            payload_len,
            LenError, //
        }, //
    },
    sync::fail, //
};
use core::{
    marker::PhantomData,
    mem::{
        ManuallyDrop,
        MaybeUninit, //
    },
    ptr::NonNull, //
};
use kernel::prelude::*;

// CAST: 8.
const _: () = assert!(size_of::<RxMeta>() <= bindings::vnm_xsk_VNM_XSK_IN_RING_AT as usize);

/// A received packet in a buffer of AF_XDP's, or several, inside of a poll, which `'a` is.
///
/// Dropped, it goes back to its pool.
///
/// User space may have posted a chunk again before it came back, and then there may be two of these with one buffer. What one does
/// to the packet shows in the other, whose bytes are user space's anyway; a buffer that is free, or a packet's further one, isn't
/// freed again (`xp_free` looks at its list); and none becomes a packet's further one twice ([`RxNapi::xsk_append`]).
///
/// # Invariants
///
/// The pointer is to a buffer of the pool that the poll's queue uses. It was taken off the ring, and nobody outside of the poll has
/// it, unless the ring has it once more.
pub(crate) struct XskBuff<'a>(
    NonNull<bindings::xdp_buff>,
    PhantomData<(&'a mut (), *mut ())>,
);

impl<'a> XskBuff<'a> {
    /// Takes the C object for a packet that belongs to this.
    ///
    /// # Safety
    ///
    /// The type's invariants hold.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(xdp: NonNull<bindings::xdp_buff>) -> Self {
        // INVARIANT: By this function's contract.
        Self(xdp, PhantomData)
    }

    /// Gives the buffer away.
    #[inline(always)]
    pub(super) fn into_raw(self) -> *mut bindings::xdp_buff {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// Returns the C object.
    #[inline(always)]
    pub(super) fn raw(&self) -> *mut bindings::xdp_buff {
        self.0.as_ptr()
    }
}

impl Drop for XskBuff<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; the poll owns the pool's lists. `xp_free` does nothing with one that is in a list.
        unsafe { bindings::xsk_buff_free(self.raw().cast()) };
    }
}

/// What a program said of a packet.
pub(crate) enum XskVerdict<'a> {
    /// The packet is the stack's.
    Pass(XskBuff<'a>),
    /// The packet is to be sent back.
    Tx(XdpFrame),
    /// The packet is on its way to elsewhere, a socket as a rule.
    Redirected,
    /// The packet is gone.
    Dropped,
}

impl<C: Context> RxNapi<'_, C> {
    /// Returns whether buffers are those of sockets.
    ///
    /// Context: softirq in the queue's poll, or process with the queue at rest.
    #[inline(always)]
    pub(crate) fn has_xsk(&self) -> bool {
        self.xsk.is_some()
    }

    /// Returns the pool that those buffers are of.
    ///
    /// Context: softirq in the queue's poll, or process with the queue at rest.
    #[inline(always)]
    pub(crate) fn xsk(&mut self) -> Option<&mut XskRx> {
        self.xsk.as_deref_mut()
    }
}

impl<'a> RxNapi<'a, InPoll> {
    /// Takes the first buffer of a packet, which was used for `used` bytes.
    ///
    /// These are the header, which is copied, and the packet's, of which there are as many as are
    /// returned. Where the header is shorter than the copy, bytes of the packet follow.
    ///
    /// # Errors
    ///
    /// Returns a [`LenError`], and the buffer goes back.
    #[inline(always)]
    pub(crate) fn xsk_begin(
        &mut self,
        buff: XskBuff<'a>,
        used: u32,
    ) -> Result<(XskBuff<'a>, u32, [u8; MAX_HDR]), LenError> {
        let xsk = self.xsk.as_deref().ok_or(LenError::Long)?;
        let hdr_len = xsk.hdr_len();
        let len = payload_len(used, xsk.len().saturating_add(hdr_len), hdr_len)?;
        let mut hdr = MaybeUninit::<[u8; MAX_HDR]>::uninit();
        // SAFETY: The buffer is ours, and the pool's; what was posted of it is at least that much. All of the copy is written: by
        // `XskRx`'s invariants what was posted is that long.
        let hdr = unsafe {
            bindings::xsk_buff_begin(buff.raw().cast(), hdr_len, len, hdr.as_mut_ptr().cast());
            hdr.assume_init()
        };
        Ok((buff, len, hdr))
    }

    /// Takes a later buffer of a packet, which has `len` bytes of it that are to be copied.
    ///
    /// # Errors
    ///
    /// Returns `EINVAL` if it isn't as long, and the buffer goes back.
    pub(crate) fn xsk_go_on(&mut self, buff: XskBuff<'a>, len: u32) -> Result<XskBuff<'a>> {
        let xsk = self.xsk.as_deref().ok_or(EINVAL)?;
        if len > xsk.device_len() {
            return Err(EINVAL);
        }
        // SAFETY: As above.
        unsafe { bindings::xsk_buff_go_on(buff.raw().cast(), xsk.hdr_len(), len) };
        Ok(buff)
    }

    /// Appends a later buffer to a packet, which has `len` bytes of it.
    ///
    /// # Errors
    ///
    /// Returns an error if the packet has too many, or this one already, if it isn't as long, or the pool is none for
    /// such packets. The buffer goes back, and if it is the packet's first one, so do all of them.
    pub(crate) fn xsk_append(
        &mut self,
        head: &mut XskBuff<'a>,
        buff: XskBuff<'a>,
        len: u32,
    ) -> Result {
        let xsk = self.xsk.as_deref().ok_or(EINVAL)?;
        if !xsk.is_sg() || len > xsk.device_len() {
            return Err(EINVAL);
        }
        let (head, next) = (head.raw().cast(), buff.raw().cast());
        // SAFETY: Both are buffers of the pool, whose lists are ours, and may be the same: the helper looks. The pool leaves room for
        // `skb_shared_info` behind the first one's data, where user space can write at any time. The helper writes there, at most
        // MAX_SKB_FRAGS entries, and believes nothing of it.
        if unsafe { bindings::xsk_buff_append(head, next, xsk.hdr_len(), len) } {
            let _ = buff.into_raw();
            Ok(())
        } else {
            Err(E2BIG)
        }
    }

    /// Takes the second buffer out of a packet.
    pub(crate) fn xsk_next(&mut self, head: &mut XskBuff<'a>) -> Option<XskBuff<'a>> {
        // SAFETY: The packet is ours, and so are its buffers: the pool's list has them.
        let next = unsafe { bindings::xsk_buff_get_frag(head.raw().cast()) };
        // INVARIANT: It was the packet's.
        NonNull::new(next.cast()).map(|next| XskBuff(next, PhantomData))
    }

    /// Has `prog` judge a packet, of which the device has this `hash`.
    #[inline(always)]
    pub(crate) fn run_xsk(
        &mut self,
        buff: XskBuff<'a>,
        hash: Option<RxHash>,
        prog: Prog<'_>,
    ) -> XskVerdict<'a> {
        let xdp = buff.raw();
        let meta = hash.map_or_else(RxMeta::default, RxMeta::from);
        // SAFETY: A pool's buffers have 24 bytes for their driver there, of which the first eight are for this.
        unsafe { xdp.byte_add(META_AT).cast::<RxMeta>().write(meta) };
        // SAFETY: This is a poll with a budget; by the invariants of their types program and packet
        // are valid.
        let act = unsafe { bindings::bpf_prog_run_xdp(prog.as_raw(), xdp.cast()) };
        if act == bindings::xdp_action_XDP_REDIRECT {
            let (dev, prog) = (self.netdev().cast(), prog.as_raw().cast());
            // SAFETY: As above; the device is the one whose poll this is.
            if unsafe { bindings::xdp_do_redirect(dev, xdp.cast(), prog) } == 0 {
                let _ = buff.into_raw();
                self.set_redirected();
                return XskVerdict::Redirected;
            }
        }
        self.xsk_verdict(buff, prog, act)
    }

    /// Does what `prog` said of a packet, but for redirecting it, which has failed.
    ///
    /// The core may have freed it then. Once more at once does no harm: nobody else has it yet.
    #[inline(always)]
    pub(super) fn xsk_verdict(
        &mut self,
        buff: XskBuff<'a>,
        prog: Prog<'_>,
        act: u32,
    ) -> XskVerdict<'a> {
        match act {
            bindings::xdp_action_XDP_PASS => return XskVerdict::Pass(buff),
            bindings::xdp_action_XDP_DROP => return XskVerdict::Dropped,
            bindings::xdp_action_XDP_TX => {
                // SAFETY: By the type invariants the packet is valid.
                let frame = unsafe { bindings::xsk_to_frame(buff.raw().cast()) };
                if let Some(frame) = NonNull::new(frame) {
                    let _ = buff.into_raw();
                    // INVARIANT: New; the buffer went back.
                    // SAFETY: As above.
                    return XskVerdict::Tx(unsafe { XdpFrame::from_raw(frame.cast()) });
                }
            }
            _ => {}
        }
        // SAFETY: By the invariants of their types device and program are valid.
        unsafe { exception(self.netdev(), prog.as_raw(), act) };
        XskVerdict::Dropped
    }

    /// Makes an skb with a copy of a packet's first buffer.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`, and `EINVAL` if there is less than an Ethernet header.
    pub(crate) fn xsk_skb(&mut self, buff: &XskBuff<'a>) -> Result<RxSkb> {
        let xdp = buff.raw();
        // SAFETY: The packet is ours.
        let len = unsafe { (*xdp).data_end.addr().wrapping_sub((*xdp).data.addr()) };
        // CAST: 14.
        if len < const { ETH_HLEN as usize } {
            return Err(EINVAL);
        }
        // SAFETY: Inside of the poll; by the invariants of its type the packet is valid.
        let skb = unsafe { bindings::napi_copy_xsk_skb(self.as_raw(), xdp.cast_const().cast()) };
        // INVARIANT: New, and the helper has marked it, as is fine for a head of any kind (see
        // `Frag::copy_skb_with_room`).
        // SAFETY: A new skb has one reference.
        Ok(unsafe { RxSkb::from_raw(NonNull::new(skb.cast()).ok_or(ENOMEM)?) })
    }

    /// Completes the checksum over what comes `start` bytes behind the packet's beginning, which
    /// belongs `offset` bytes behind that.
    ///
    /// Returns false if that isn't in its first buffer.
    pub(crate) fn xsk_complete_csum(
        &mut self,
        buff: &mut XskBuff<'a>,
        start: u16,
        offset: u16,
    ) -> bool {
        // SAFETY: The packet is ours. The helper stays inside of it: it goes by the pool's list, whose buffers say where their bytes
        // are in memory of the kernel's, and not by `skb_shared_info`, which user space can write to.
        unsafe {
            bindings::xsk_csum_complete(buff.raw().cast(), u32::from(start), u32::from(offset))
        }
    }
}

impl XskBuff<'_> {
    /// Copies the bytes of this buffer to the beginning of `page`, and returns how many.
    pub(crate) fn copy_to(&self, page: &mut Frag) -> u32 {
        let xdp = self.raw();
        // SAFETY: The packet is ours.
        let (data, len) = unsafe {
            (
                (*xdp).data,
                (*xdp).data_end.addr().wrapping_sub((*xdp).data.addr()),
            )
        };
        // CAST: A chunk is a page at most.
        let len = (len as u32).min(page.truesize());
        // SAFETY: Inside of both. CAST: 32 bits fit.
        unsafe {
            core::ptr::copy_nonoverlapping(data.cast::<u8>(), page.va().as_ptr(), len as usize)
        };
        len
    }
}

impl<T: Driver, L: Backend> TxGuard<'_, T, L> {
    /// Returns the queue's state, and what sockets send by, if any do.
    #[inline(always)]
    pub(crate) fn state_and_xsk(&mut self) -> (&mut T::Tx, Option<&mut XskTx>) {
        let q = self.queue();
        // SAFETY: By the type invariant the lock is held while this guard exists, and the guard is borrowed.
        unsafe { (&mut *q.state.get(), (*q.xsk.get()).as_deref_mut()) }
    }

    /// Returns whether sockets send on this queue.
    #[inline(always)]
    pub(crate) fn has_xsk(&mut self) -> bool {
        self.state_and_xsk().1.is_some()
    }

    /// Completes what was sent for user space.
    #[inline(never)]
    pub(crate) fn xsk_complete(&mut self) {
        if let Some(xsk) = self.state_and_xsk().1 {
            xsk.complete();
        }
    }
}

impl<T: Driver> QueuePair<T> {
    /// Returns whether the pair uses a pool.
    ///
    /// Context: process, RTNL held.
    pub(crate) fn has_xsk(&self, _rtnl: &Rtnl) -> bool {
        self.uses_xsk.get()
    }

    /// Takes a pool into use on the pair.
    ///
    /// Context: process, RTNL held.
    ///
    /// # Errors
    ///
    /// Returns `EINVAL` if it isn't for this pair, and `EBUSY` if that has one, or its receiving
    /// side isn't at rest.
    pub(crate) fn xsk_install(&self, pool: XskMapped<'_>, rtnl: &mut Rtnl) -> Result {
        if pool.dev != self.rx.dev || pool.queue != self.rx.index {
            return Err(EINVAL);
        }
        if self.has_xsk(rtnl) || self.rx.napi.state.get() != NapiState::Quiesced {
            return Err(EBUSY);
        }
        let XskMapped { rx, tx, .. } = pool;
        // SAFETY: RTNL is held, and no poll is left that has the state.
        unsafe { *self.rx.xsk.get() = Some(rx) };
        let guard = self.tx.lock_bh();
        // SAFETY: The lock is held.
        unsafe { *guard.queue().xsk.get() = Some(tx) };
        self.uses_xsk.set(true);
        Ok(())
    }

    /// Gives up the pool of the pair, though the device may still have memory of it, which is never
    /// freed.
    ///
    /// Context: process, RTNL held.
    pub(super) fn xsk_abandon(&self, dev: &NetDevice<T>, rtnl: &mut Rtnl) {
        self.napi_disable(rtnl);
        dev.synchronize_napi(rtnl);
        if self.rx.napi.state.get() != NapiState::Quiesced {
            return;
        }
        // SAFETY: RTNL is held, and no poll is left that has the state.
        let rx = unsafe { (*self.rx.xsk.get()).take() };
        let guard = self.tx.lock_bh();
        // SAFETY: The lock is held.
        let tx = unsafe { (*guard.queue().xsk.get()).take() };
        drop(guard);
        self.uses_xsk.set(false);
        core::mem::forget(tx);
        if let Some(rx) = rx {
            rx.abandon();
        }
    }

    /// Takes the pool of the pair out of use.
    ///
    /// It stays mapped until [`Self::xsk_unmap`], which takes as long as the pool is large, while the
    /// pair may be at work again.
    ///
    /// Context: process, RTNL held.
    ///
    /// # Errors
    ///
    /// Returns `EBUSY` if the receiving side isn't at rest, or a ring has something of the pool's.
    pub(crate) fn xsk_remove(&self, _rtnl: &mut Rtnl) -> Result {
        fail::point()?;
        if self.rx.napi.state.get() != NapiState::Quiesced {
            return Err(EBUSY);
        }
        // SAFETY: As above.
        let rx = unsafe { &mut *self.rx.xsk.get() };
        if rx.as_deref().is_some_and(|rx| !rx.is_out()) {
            return Err(EBUSY);
        }
        let mut guard = self.tx.lock_bh();
        if (guard.state_and_xsk().1).is_some_and(|tx| !tx.is_out()) {
            return Err(EBUSY);
        }
        // SAFETY: The lock is held.
        let tx = unsafe { (*guard.queue().xsk.get()).take() };
        drop(guard);
        self.uses_xsk.set(false);
        // SAFETY: RTNL is held.
        unsafe { *self.xsk_removed.get() = Some(XskRemoved::new(tx, rx.take())) };
        Ok(())
    }

    /// Completes what the pool that was taken out of use sent for sockets, and unmaps it.
    ///
    /// The core's request to take it out of use is still under way.
    ///
    /// Context: process, RTNL held.
    pub(super) fn xsk_unmap(&self, _rtnl: &mut Rtnl) {
        // SAFETY: RTNL is held.
        drop(unsafe { (*self.xsk_removed.get()).take() });
    }
}
