// SPDX-License-Identifier: GPL-2.0

//! AF_XDP without copies: pools of user space's buffers, which are a queue pair's while sockets are bound to it.
//!
//! A pool is mapped by [`XskNew::map`]. Then its halves are with the exclusive state of the two sides of a pair: [`XskRx`] and
//! [`XskTx`], which count what rings have of it. What their owners do with them is in [`super::xsk_queue`].
//!
//! C header: [`include/net/xdp_sock_drv.h`](srctree/include/net/xdp_sock_drv.h)

use super::page_pool::PoolId;
use crate::{
    bindings::{
        self,
        ETH_HLEN, //
    },
    pure::rx::PayloadLens, //
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::{
        null_mut,
        NonNull, //
    },
    sync::atomic::{
        AtomicU32,
        Ordering, //
    }, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    error::to_result,
    prelude::*,
    sync::barrier::smp_mb, //
};

/// Packets that a device may have of a pool, at most.
const MAX_SLOTS: u32 = 1024;

/// Bytes of the longest header.
pub(crate) const MAX_HDR: usize = bindings::vnm_xsk_VNM_XSK_MAX_HDR as usize;

/// Buffers that a packet may have: as many pieces as an skb can hold, and the first one.
pub(crate) const MAX_SEGS: u32 = super::page_pool::MAX_SKB_FRAGS + 1;

/// A pool that a queue is to use, for as long as `'a`.
///
/// Context: process, RTNL held.
///
/// # Invariants
///
/// The pool is valid until the core is told that the device doesn't use it, and so is the net device.
pub(crate) struct XskNew<'a> {
    pool: NonNull<bindings::xsk_buff_pool>,
    dev: NonNull<bindings::net_device>,
    queue: u16,
    _a: PhantomData<&'a ()>,
}

impl XskNew<'_> {
    /// # Safety
    ///
    /// The type's invariants hold.
    pub(super) unsafe fn new(
        pool: NonNull<bindings::xsk_buff_pool>,
        dev: NonNull<bindings::net_device>,
        queue: u16,
    ) -> Self {
        // INVARIANT: By this function's contract.
        Self {
            pool,
            dev,
            queue,
            _a: PhantomData,
        }
    }

    /// Maps the pool for `dma`.
    ///
    /// Packets have headers of `hdr_len` bytes; the device has at most `slots` of them to send,
    /// whose checksums it completes with `csum`.
    ///
    /// # Errors
    ///
    /// Returns `EINVAL` if there is no room for the header, `ENOMEM`, and the errors of the stack.
    pub(crate) fn map(
        &self,
        dma: &Device<Bound>,
        hdr_len: u32,
        slots: u32,
        csum: bool,
    ) -> Result<XskMapped<'_>> {
        let pool = self.pool.as_ptr();
        // CAST: `Device` is transparent.
        let dma = core::ptr::from_ref(dma)
            .cast_mut()
            .cast::<kernel::bindings::device>();
        // SAFETY: By the type invariants.
        let headroom = unsafe { bindings::xsk_pool_headroom(pool) };
        if hdr_len > headroom || usize::try_from(hdr_len)? > MAX_HDR {
            return Err(EINVAL);
        }
        let slots = slots
            .min(MAX_SLOTS)
            .checked_next_power_of_two()
            .unwrap_or(MAX_SLOTS);
        let tx = XskTx::new(self.pool, dma, hdr_len, slots, csum)?;
        let id = PoolId::new()?;
        let rxq = KBox::new(bindings::xdp_rxq_info::default(), GFP_KERNEL)?;
        let in_ring = KBox::new(AtomicU32::new(0), GFP_KERNEL)?;
        // SAFETY: By the type invariants the pool is valid, the device bound.
        to_result(unsafe { bindings::xsk_pool_dma_map(pool, dma) })?;
        // From here on dropping it undoes what was done.
        // INVARIANT: Mapped; the registration comes below. No buffer is in a ring.
        let mut rx = XskRx {
            pool: self.pool,
            dma,
            id,
            hdr_len,
            len: 0,
            lens: PayloadLens::new(0, 0),
            is_sg: false,
            rxq,
            is_registered: false,
            in_ring,
        };
        rx.register(self.dev, self.queue)?;
        // INVARIANT: As above.
        Ok(XskMapped {
            rx: KBox::new(rx, GFP_KERNEL)?,
            tx: KBox::new(tx, GFP_KERNEL)?,
            dev: self.dev,
            queue: self.queue,
            _a: PhantomData,
        })
    }
}

/// A pool that is mapped and not in use, for a queue of a device.
///
/// # Invariants
///
/// No ring has anything of the pool's, and nobody else uses it. The pool is valid for as long as `'a`, and that queue uses it
/// until the core is told that it doesn't.
pub(crate) struct XskMapped<'a> {
    pub(super) rx: KBox<XskRx>,
    pub(super) tx: KBox<XskTx>,
    pub(super) dev: NonNull<bindings::net_device>,
    pub(super) queue: u16,
    _a: PhantomData<&'a ()>,
}

/// The receiving half of a pool that a queue uses, which comes with [`super::rx_napi::RxNapi`].
///
/// Context: softirq in the queue's poll, or process with the queue at rest.
///
/// # Invariants
///
/// `pool` is valid and mapped for `dma`, a bound device. With `is_registered` its buffers say that
/// they come from `rxq`, which is registered, and count in `in_ring` while a ring has them; `len`
/// bytes of each, and `hdr_len` before them, may be written by a device; `hdr_len` is [`MAX_HDR`]
/// at most, and `len` at least. `lens` are used
/// lengths of what may be written then, if that needn't be made readable before it is read. `id` is a number
/// that no other pool has. The free list of the pool belongs to who owns this.
///
/// Dropped, it unmaps the pool, unless a ring has buffers of it: then it stays mapped for ever.
pub(crate) struct XskRx {
    pool: NonNull<bindings::xsk_buff_pool>,
    dma: *mut kernel::bindings::device,
    id: PoolId,
    hdr_len: u32,
    len: u32,
    lens: PayloadLens,
    is_sg: bool,
    rxq: KBox<bindings::xdp_rxq_info>,
    is_registered: bool,
    in_ring: KBox<AtomicU32>,
}

// SAFETY: Nothing of it belongs to a thread.
unsafe impl Send for XskRx {}

impl XskRx {
    fn register(&mut self, dev: NonNull<bindings::net_device>, queue: u16) -> Result {
        let pool = self.pool.as_ptr();
        let rxq: *mut bindings::xdp_rxq_info = &raw mut *self.rxq;
        // SAFETY: By the type invariants the pool is valid.
        unsafe {
            self.len = bindings::xsk_pool_rx_frame_size(pool);
            self.is_sg = bindings::xsk_pool_is_sg(pool);
        }
        if self.len < ETH_HLEN || usize::try_from(self.len)? < MAX_HDR {
            return Err(EINVAL);
        }
        // SAFETY: As above; it is mapped.
        if !unsafe { bindings::xsk_pool_needs_sync(pool) } {
            // INVARIANT: So much of each may be written.
            self.lens = PayloadLens::new(self.len.saturating_add(self.hdr_len), self.hdr_len);
        }
        // SAFETY: By the invariants of this type and of `XskNew` pool and device are valid, and the
        // structure stays where it is.
        unsafe {
            let step = bindings::xsk_pool_rx_frag_step(pool);
            to_result(bindings::__xdp_rxq_info_reg(
                rxq.cast(),
                dev.as_ptr().cast(),
                u32::from(queue),
                0,
                step,
            ))?;
        }
        self.is_registered = true;
        // SAFETY: As above; registered. The word is the pool's for as long as it is this half's.
        unsafe {
            to_result(bindings::xdp_rxq_info_reg_mem_model(
                rxq.cast(),
                bindings::xdp_mem_type_MEM_TYPE_XSK_BUFF_POOL,
                null_mut(),
            ))?;
            bindings::xsk_pool_set_rxq(pool, rxq.cast(), self.in_ring.as_ptr());
        }
        Ok(())
    }

    /// Returns the bytes of a packet that a buffer has room for.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Returns which used lengths packets can have whose bytes may be read at once, of which there
    /// are none if those have to be made readable.
    #[inline(always)]
    pub(super) fn lens(&self) -> PayloadLens {
        self.lens
    }

    /// Returns whether packets may be in several buffers.
    #[inline(always)]
    pub(crate) fn is_sg(&self) -> bool {
        self.is_sg
    }

    /// Returns the number of the pool.
    #[inline(always)]
    pub(crate) fn id(&self) -> PoolId {
        self.id
    }

    /// Returns the device that the pool is mapped for.
    #[inline(always)]
    pub(crate) fn dma_raw(&self) -> *mut kernel::bindings::device {
        self.dma
    }

    /// Returns the bytes of a header.
    #[inline(always)]
    pub(crate) fn hdr_len(&self) -> u32 {
        self.hdr_len
    }

    /// Returns the bytes of a buffer that the device may write to: a header and what comes behind it.
    #[inline(always)]
    pub(crate) fn device_len(&self) -> u32 {
        self.hdr_len.saturating_add(self.len())
    }

    /// Returns the C object.
    #[inline(always)]
    pub(crate) fn as_raw(&self) -> *mut bindings::xsk_buff_pool {
        self.pool.as_ptr()
    }

    /// Counts `n` more buffers that are in a ring.
    #[inline(always)]
    pub(crate) fn posted(&self, n: u32) {
        let was = self.in_ring.load(Ordering::Relaxed);
        self.in_ring.store(was.wrapping_add(n), Ordering::Relaxed);
    }

    /// Counts `n` buffers that were taken out of it.
    ///
    /// # Safety
    ///
    /// They were in a ring, and are none of its any more.
    #[inline(always)]
    pub(crate) unsafe fn taken(&self, n: u32) {
        let was = self.in_ring.load(Ordering::Relaxed);
        self.in_ring.store(was.wrapping_sub(n), Ordering::Relaxed);
    }

    /// Returns whether user space wants to be told when it has to wake the driver for buffers.
    #[inline]
    fn uses_need_wakeup(&self) -> bool {
        // SAFETY: By the type invariants the pool is valid.
        unsafe { bindings::xsk_uses_need_wakeup(self.as_raw()) }
    }

    /// Tells user space that the driver has no buffers and waits to be woken, or returns false if
    /// user space won't do that.
    pub(crate) fn want_wakeup(&mut self) -> bool {
        let will = self.uses_need_wakeup();
        if will {
            // SAFETY: By the type invariants the pool is valid; who owns this half is the only one
            // that sets and clears this flag.
            unsafe { bindings::xsk_set_rx_need_wakeup(self.as_raw()) };
            // Before the next look at what user space has given: one of both sees the other.
            smp_mb();
        }
        will
    }

    /// Tells user space that the driver finds new buffers by itself.
    #[inline]
    pub(crate) fn no_wakeup(&mut self) {
        // SAFETY: As above.
        unsafe { bindings::xsk_clear_rx_need_wakeup(self.as_raw()) };
    }

    /// Returns whether no ring has a buffer of the pool.
    pub(super) fn is_out(&self) -> bool {
        self.in_ring.load(Ordering::Relaxed) == 0
    }
}

impl Drop for XskRx {
    fn drop(&mut self) {
        if !self.is_out() {
            // Not reached by way of `QueuePair::xsk_remove`.
            kernel::pr_err_once!("AF_XDP: a pool is given up while a ring has buffers of it\n");
            return;
        }
        // SAFETY: By the type invariants; no ring has anything of the pool's.
        unsafe {
            if self.is_registered {
                bindings::xdp_rxq_info_unreg((&raw mut *self.rxq).cast());
            }
            bindings::xsk_pool_dma_unmap(self.pool.as_ptr());
        }
    }
}

/// The sending half of a pool that a queue uses, which comes with [`super::tx_queue::TxGuard`].
///
/// User space's descriptors are completed in the order in which they came, each once, whatever the
/// device does: packets have slots, and a slot is done with when those before it are.
///
/// Context: softirq, with the queue's TX lock held.
///
/// # Invariants
///
/// The slots from `completed` to `raw.head` are in use, and no more than there are; those before `freed` may be used again, which
/// is at or before `completed`. Each that a ring has isn't done. `raw.slots` is `slots`, and `raw.bufs` memory for
/// them that is mapped for `dma`, a bound device.
///
/// Dropped while a ring has a slot, it leaks the memory.
pub(crate) struct XskTx {
    raw: bindings::vnm_xsk_tx,
    freed: u32,
    completed: u32,
    slots: ManuallyDrop<KVVec<bindings::vnm_xsk_slot>>,
    dma: *mut kernel::bindings::device,
}

// SAFETY: Nothing of it belongs to a thread.
unsafe impl Send for XskTx {}

impl XskTx {
    fn new(
        pool: NonNull<bindings::xsk_buff_pool>,
        dma: *mut kernel::bindings::device,
        hdr_len: u32,
        n: u32,
        csum: bool,
    ) -> Result<Self> {
        let count = usize::try_from(n)?;
        let mut slots = KVVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            slots.push(bindings::vnm_xsk_slot::default(), GFP_KERNEL)?;
        }
        let mut handle = 0;
        // SAFETY: The device is bound; any size is fine.
        let bufs = unsafe {
            bindings::dma_alloc_attrs(dma, Self::bytes(n), &mut handle, bindings::GFP_KERNEL, 0)
        };
        if bufs.is_null() {
            return Err(ENOMEM);
        }
        let raw = bindings::vnm_xsk_tx {
            pool: pool.as_ptr(),
            slots: slots.as_mut_ptr(),
            bufs,
            dma: handle,
            mask: n.wrapping_sub(1),
            head: 0,
            hdr_len,
            csum,
        };
        // INVARIANT: None is in use.
        Ok(Self {
            raw,
            freed: 0,
            completed: 0,
            slots: ManuallyDrop::new(slots),
            dma,
        })
    }

    fn bytes(slots: u32) -> usize {
        // CAST: 256 KiB at most.
        slots.wrapping_mul(bindings::vnm_xsk_VNM_XSK_SLOT_SIZE) as usize
    }

    /// Returns how many packets may be added.
    #[inline]
    pub(crate) fn room(&self) -> u32 {
        let used = self.raw.head.wrapping_sub(self.freed);
        self.raw.mask.wrapping_add(1).saturating_sub(used)
    }

    /// Returns the device that the memory is mapped for.
    #[inline(always)]
    pub(crate) fn dma_raw(&self) -> *mut kernel::bindings::device {
        self.dma
    }

    /// Returns the C object, which adds packets.
    #[inline(always)]
    pub(crate) fn as_raw(&mut self) -> *mut bindings::vnm_xsk_tx {
        &raw mut self.raw
    }

    #[inline(always)]
    fn slot(&self, n: u32) -> *mut bindings::vnm_xsk_slot {
        // CAST: 1024 at most.
        // SAFETY: Masked: inside of the list.
        unsafe { self.raw.slots.add((n & self.raw.mask) as usize) }
    }

    /// Completes what is done for user space, in order.
    #[inline]
    pub(crate) fn complete(&mut self) {
        let mut descs = 0u32;
        while self.completed != self.raw.head {
            let slot = self.slot(self.completed);
            // SAFETY: Inside of the list. A slot that a ring has may be marked as done by who takes it out, which has
            // happened or will be seen the next time.
            let (n, over) = unsafe {
                (
                    (*slot).descs,
                    (*slot).copied || (&raw const (*slot).done).read_volatile(),
                )
            };
            if !over {
                break;
            }
            descs = descs.wrapping_add(n);
            self.completed = self.completed.wrapping_add(1);
        }
        if descs > 0 {
            // SAFETY: By the type invariants the pool is valid, and so many descriptors were taken
            // out of it and not completed. Who owns this half is the only one that completes any.
            unsafe { bindings::xsk_tx_completed(self.raw.pool, descs) };
        }
        while self.freed != self.completed {
            // SAFETY: As above.
            if !unsafe { (&raw const (*self.slot(self.freed)).done).read_volatile() } {
                break;
            }
            // INVARIANT: It was completed, and no ring has it.
            self.freed = self.freed.wrapping_add(1);
        }
    }

    /// Completes what user space is owed, and returns whether no ring has anything of the pool.
    pub(super) fn is_out(&mut self) -> bool {
        self.complete();
        self.freed == self.raw.head
    }
}

impl Drop for XskTx {
    fn drop(&mut self) {
        if !self.is_out() {
            kernel::pr_err_once!("AF_XDP: a pool is given up while a ring has packets of it\n");
            return;
        }
        // SAFETY: Allocated by `new` so; no ring has it. The list is dropped once.
        unsafe {
            bindings::dma_free_attrs(
                self.dma,
                Self::bytes(self.raw.mask.wrapping_add(1)),
                self.raw.bufs,
                self.raw.dma,
                0,
            );
            ManuallyDrop::drop(&mut self.slots);
        }
    }
}

/// A packet of AF_XDP's that a TX ring has, or had, which is done with if this is dropped.
///
/// Context: softirq, with the queue's TX lock held.
///
/// # Invariants
///
/// The pointer is to a slot of an [`XskTx`] that isn't done, which keeps that slot's memory.
pub(crate) struct XskSent(NonNull<bindings::vnm_xsk_slot>);

// SAFETY: Slots are marked from anywhere.
unsafe impl Send for XskSent {}

impl XskSent {
    /// Takes a slot for a packet that this is.
    ///
    /// # Safety
    ///
    /// The type's invariants hold.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(slot: NonNull<bindings::vnm_xsk_slot>) -> Self {
        // INVARIANT: By this function's contract.
        Self(slot)
    }

    /// Returns the bytes of the packet.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        // SAFETY: By the type invariants.
        unsafe { (*self.0.as_ptr()).bytes }
    }
}

impl Drop for XskSent {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { (&raw mut (*self.0.as_ptr()).done).write_volatile(true) };
    }
}

/// Both halves of a pool that a queue pair has used, which no ring has anything of.
///
/// The sending half is dropped first.
pub(super) struct XskRemoved {
    _tx: Option<KBox<XskTx>>,
    _rx: Option<KBox<XskRx>>,
}

impl XskRemoved {
    pub(super) fn new(tx: Option<KBox<XskTx>>, rx: Option<KBox<XskRx>>) -> Self {
        Self { _tx: tx, _rx: rx }
    }
}

/// A buffer of AF_XDP's that a receive ring has, which goes back to its pool if this is dropped.
///
/// Context: softirq in the queue's poll, or process with the queue at rest.
///
/// # Invariants
///
/// The pointer is to a buffer of a pool whose [`XskRx`] counts it, or was given up ([`XskRx::abandon`]). Whoever drops it owns
/// the pool's free list, as who owns the ring does.
pub(crate) struct XskPosted(NonNull<bindings::xdp_buff>);

// SAFETY: As for what owns the ring.
unsafe impl Send for XskPosted {}

impl XskPosted {
    /// Takes the C object for a buffer that belongs to this.
    ///
    /// # Safety
    ///
    /// The type's invariants hold.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(xdp: NonNull<bindings::xdp_buff>) -> Self {
        // INVARIANT: By this function's contract.
        Self(xdp)
    }

    /// Gives the buffer away.
    #[inline(always)]
    pub(crate) fn into_raw(self) -> NonNull<bindings::xdp_buff> {
        ManuallyDrop::new(self).0
    }
}

impl XskRx {
    /// Gives the pool up without taking back what rings have: its memory is never freed, and stays
    /// mapped.
    ///
    /// Context: process.
    pub(super) fn abandon(self: KBox<Self>) {
        // Rings that let go of its buffers later change nothing of a pool: they do that under RTNL, as does who calls this.
        self.in_ring
            .store(bindings::vnm_xsk_VNM_XSK_ABANDONED, Ordering::Relaxed);
        // SAFETY: By the type invariants the pool is valid, and uses no buffer any more: no poll is
        // left, and its sockets have no device.
        unsafe { bindings::xsk_pool_abandon(self.pool.as_ptr()) };
        // The word stays as well.
        core::mem::forget(self);
    }
}

impl Drop for XskPosted {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; of a pool that was given up, what says so is still there.
        unsafe { bindings::xsk_buff_unpost(self.0.as_ptr().cast()) };
    }
}

/// The bit of raw words that are [`XskSent`] or [`XskPosted`].
pub(crate) const TAG: usize = bindings::vnm_tag_VNM_TAG_XSK as usize;

/// Returns the address without [`TAG`].
///
/// Context: any.
#[inline(always)]
pub(crate) fn untag(p: NonNull<c_void>) -> *mut c_void {
    p.as_ptr().map_addr(|bits| bits & !TAG)
}
