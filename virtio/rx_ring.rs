// SPDX-License-Identifier: GPL-2.0

//! What goes into a receive virtqueue: a page-pool fragment, or a list of pages.
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)
//!
//! Context: softirq in the queue's poll, or process with the queue at rest.

use super::virtqueue::{
    Virtqueue,
    VqBuffer, //
};
use crate::{
    bindings,
    net::{
        page_pool::{
            Frag,
            FragSize,
            PoolId,
            HEADROOM,
            MAX_SKB_FRAGS,
            PAGE_SIZE, //
        },
        queue::{
            Context,
            RxNapi, //
        },
        xsk::{
            untag,
            XskPosted,
            TAG, //
        }, //
    },
    pure::rx::BufShape, //
};
use core::{
    ffi::c_void,
    mem::{
        ManuallyDrop,
        MaybeUninit, //
    },
    ptr::NonNull, //
};
use kernel::prelude::*;

/// Most pages of a big buffer.
pub(crate) const BIG_PAGES: usize = MAX_SKB_FRAGS as usize;

/// A buffer for one packet of any size: pages, and the scatterlist that describes them to the device.
///
/// Small packets leave it whole, larger ones take pages from the front, and only those are replaced
/// before it is posted again.
///
/// # Invariants
///
/// Of the first `count` entries of `pages`, those from `missing` on are there and whole pages, the
/// others are not; `missing <= count`. `sg` has `count` entries, with `split` one more in front for
/// the header; those of the pages that are there describe them, and the last one is marked as such.
///
/// Locking: owned by whoever owns the receive queue. Lifetime: the pages are its own.
pub(crate) struct BigBuf {
    sg: [bindings::scatterlist; BIG_PAGES + 1],
    pages: [Option<Frag>; BIG_PAGES],
    count: usize,
    missing: usize,
    split: u32,
}

impl BigBuf {
    /// Makes one of `pages` pages, at most [`BIG_PAGES`], all of them missing.
    ///
    /// With `split` the first `split` bytes are a descriptor of their own (header of a device
    /// without ANY_LAYOUT).
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(crate) fn new(pages: u32, split: u32, flags: kernel::alloc::Flags) -> Result<KBox<Self>> {
        let count = usize::try_from(pages)?.clamp(1, BIG_PAGES);
        let mut this = KBox::new(
            Self {
                sg: [bindings::scatterlist::default(); BIG_PAGES + 1],
                pages: [const { None }; BIG_PAGES],
                count,
                missing: count,
                split,
            },
            flags,
        )?;
        let n = this.entries();
        // SAFETY: The list has that many entries.
        unsafe { bindings::sg_table_init(this.sg.as_mut_ptr(), n) };
        // INVARIANT: No page is there; the list's end is marked.
        Ok(this)
    }

    /// Returns the entries of the scatterlist.
    #[inline]
    fn entries(&self) -> u32 {
        // CAST: At most 17.
        (self.count as u32).saturating_add(u32::from(self.split != 0))
    }

    /// Puts pages that `alloc` gives where they are missing, or returns false if it gave too few.
    #[inline]
    pub(crate) fn fill(&mut self, mut alloc: impl FnMut() -> Option<Frag>) -> bool {
        while let Some(i) = self.missing.checked_sub(1) {
            let Some(page) = alloc() else {
                return false;
            };
            let (va, len) = (page.va().as_ptr(), page.truesize());
            let header = if i == 0 { self.split.min(len) } else { 0 };
            let at = i.wrapping_add(usize::from(self.split != 0));
            let (Some(e), Some(slot)) = (self.sg.get_mut(at), self.pages.get_mut(i)) else {
                return false;
            };
            // SAFETY: Both ranges are inside of the page; the entries are of an initialised list.
            unsafe {
                // CAST: A header's length.
                bindings::sg_set_buf(e, va.add(header as usize).cast(), len.wrapping_sub(header));
                if header != 0 {
                    if let Some(e) = self.sg.first_mut() {
                        bindings::sg_set_buf(e, va.cast(), header);
                    }
                }
            }
            *slot = Some(page);
            // INVARIANT: Page `i` is there and described.
            self.missing = i;
        }
        true
    }

    /// Returns the first page, unless it is missing.
    #[inline]
    pub(crate) fn first(&self) -> Option<&Frag> {
        self.pages.first()?.as_ref()
    }

    /// Takes the first page that is there.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Frag> {
        let page = self.pages.get_mut(self.missing)?.take()?;
        // INVARIANT: It is missing now.
        self.missing = self.missing.wrapping_add(1);
        Some(page)
    }

    /// Returns the bytes that are posted.
    #[inline]
    pub(crate) fn posted(&self) -> u32 {
        // CAST: At most 17.
        (self.count as u32).saturating_mul(PAGE_SIZE)
    }
}

/// A receive buffer while the ring has it.
pub(crate) enum RxBuf {
    /// A single fragment.
    Frag(Frag),
    /// A list of pages.
    Big(KBox<BigBuf>),
    /// A buffer of a socket's.
    Xsk(XskPosted),
}

/// The lowest bit of a raw buffer, which is set for a list of pages.
///
/// All kinds of pointers are aligned.
const BIG: usize = 1;

// SAFETY: Pointers go and come back; the low bits tell the kinds apart. All own their memory.
unsafe impl VqBuffer for RxBuf {
    #[inline(always)]
    fn into_raw(self) -> NonNull<c_void> {
        match self {
            Self::Frag(frag) => frag.into_va().cast(),
            Self::Big(big) => {
                let p = KBox::into_raw(big).cast::<c_void>();
                // SAFETY: A box isn't null, still less with a bit set.
                unsafe { NonNull::new_unchecked(p.map_addr(|a| a | BIG)) }
            }
            Self::Xsk(posted) => {
                let p = posted.into_raw().as_ptr().cast::<c_void>();
                // SAFETY: As above.
                unsafe { NonNull::new_unchecked(p.map_addr(|a| a | TAG)) }
            }
        }
    }

    #[inline(always)]
    unsafe fn from_raw(p: NonNull<c_void>) -> Self {
        let raw = p.as_ptr();
        if raw.addr() & (BIG | TAG) == 0 {
            // SAFETY: Came from a fragment; its size and its pool are not known here (see `RxTaken`).
            Self::Frag(unsafe { Frag::from_raw(p.cast(), 0, PoolId::NONE) })
        } else if raw.addr() & TAG != 0 {
            // SAFETY: Came from such a buffer, the bit is taken off again.
            Self::Xsk(unsafe { XskPosted::from_raw(NonNull::new_unchecked(untag(p).cast())) })
        } else {
            // SAFETY: Came from a box, the bit is taken off again.
            Self::Big(unsafe { KBox::from_raw(raw.map_addr(|a| a & !BIG).cast()) })
        }
    }
}

/// Why a fragment wasn't posted.
pub(crate) enum NotPosted {
    /// The pool had no memory.
    NoMemory,
    /// The queue refused it.
    ///
    /// `ENOSPC` or `EIO` is a ring that is full or broken. `EINVAL` is a shape that is none of a
    /// fragment's, fragments of another pool that were posted since the queue was reset, or a queue
    /// with a [`Virtqueue::dma_dev`] that the pool wasn't made for. `ENOMEM`, or `EIO` of a packed
    /// ring, is a fragment that can't be mapped.
    Refused(Error),
}

/// A used receive buffer.
pub(crate) enum RxUsed {
    /// A fragment, how it was posted, and the length that the device reports.
    Frag(Frag, BufShape, u32),
    /// Pages, and the length that the device reports.
    Big(KBox<BigBuf>, u32),
}

/// The tag of a queue is the number of the pool that all fragments in its ring are of.
impl Virtqueue<RxBuf> {
    /// Returns whether the queue has no buffer, and no fragment was posted since it was reset.
    pub(crate) fn is_clean(&self) -> bool {
        self.is_idle() && PoolId(self.tag) == PoolId::NONE
    }

    /// Posts up to `n` fragments of the pool that comes with `napi`, of each the part that `shape`
    /// says, and returns how many, and why not all.
    #[inline]
    pub(crate) fn post_frags<C: Context>(
        &mut self,
        napi: &mut RxNapi<'_, C>,
        n: u32,
        shape: BufShape,
    ) -> (u32, Option<NotPosted>) {
        let piece = match shape.truesize() {
            size if size == FragSize::Piece.bytes() => true,
            size if size == FragSize::Page.bytes() => false,
            _ => return (0, Some(NotPosted::Refused(EINVAL))),
        };
        if !shape.fits() {
            return (0, Some(NotPosted::Refused(EINVAL)));
        }
        let dev = self
            .dma_raw()
            .map_or(core::ptr::null(), |dev| dev.as_ptr().cast_const());
        let ctx = core::ptr::without_provenance_mut(shape.into_usize());
        let (vq, phys) = (self.as_raw(), self.takes_phys());
        let tag = &mut self.tag;
        let result = napi.post(|from, pool| {
            if *tag != pool.0 {
                if PoolId(*tag) != PoolId::NONE {
                    from.err = EINVAL.to_errno();
                    return 0;
                }
                *tag = pool.0;
            }
            from.dev = dev;
            from.phys = phys;
            from.piece = piece;
            from.offset = shape.offset();
            from.len = shape.posted();
            from.ctx = ctx;
            // SAFETY: By the invariants of their types queue and pool are valid, and they are ours.
            // What the device may write to is inside of each fragment, as the shape fits, and the
            // fragment is the buffer's. The helper refuses a pool that doesn't map for the queue's
            // device.
            unsafe { bindings::virtqueue_post_frags(vq, from, n) }
        });
        let Some((posted, err)) = result else {
            return (0, Some(NotPosted::NoMemory));
        };
        let why = match err {
            0 => None,
            e if e == -bindings::ENODATA.cast_signed() => Some(NotPosted::NoMemory),
            e => Some(NotPosted::Refused(Error::from_errno(e))),
        };
        (posted, why)
    }

    /// Posts a list of pages.
    ///
    /// # Errors
    ///
    /// Returns the pages with `EINVAL` if some are missing, `ENOSPC` or `EIO` if the ring is full
    /// or broken, or `ENOMEM`, also if they can't be mapped (`EIO` of a packed ring).
    #[inline]
    pub(crate) fn add_big(&mut self, mut big: KBox<BigBuf>) -> Result<(), (Error, KBox<BigBuf>)> {
        if big.missing != 0 {
            return Err((EINVAL, big));
        }
        let (sg, n) = (big.sg.as_mut_ptr(), big.entries());
        let raw = RxBuf::Big(big).into_raw();
        // SAFETY: All `n` entries describe pages that the buffer owns; the list is in the buffer's
        // box, and read in this call only.
        let err = unsafe {
            bindings::virtqueue_add_inbuf(self.as_raw(), sg, n, raw.as_ptr(), bindings::GFP_ATOMIC)
        };
        if err != 0 {
            // SAFETY: Refused: the buffer is still ours.
            if let RxBuf::Big(big) = unsafe { RxBuf::from_raw(raw) } {
                return Err((Error::from_errno(err), big));
            }
        }
        Ok(())
    }
}

/// Where a cache line begins that has the header of a packet in a piece, with the packet behind it.
const HEADER_AT: u32 = HEADROOM - 64;

/// Used buffers that are taken off the ring together.
///
/// Their entries in a split ring share a cache line, and what the device wrote to the later ones is
/// fetched while the first are dealt with.
const TOGETHER: usize = 8;

/// Used buffers of one queue that were taken off its ring and not asked for yet.
///
/// # Invariants
///
/// `bufs[at..end]` are such buffers: each is a raw buffer, with the context word that it was added with. Those that
/// are fragments are of the pool with the number `pool`. `at <= end <= TOGETHER`.
///
/// Locking: owned by whoever owns the receive queue.
pub(crate) struct RxTaken {
    bufs: [MaybeUninit<bindings::vnm_used_buf>; TOGETHER],
    at: usize,
    end: usize,
    pool: PoolId,
}

// SAFETY: The buffers are `Send`.
unsafe impl Send for RxTaken {}

impl RxTaken {
    /// Makes one without buffers.
    pub(crate) const fn new() -> Self {
        Self {
            bufs: [const { MaybeUninit::uninit() }; TOGETHER],
            at: 0,
            end: 0,
            pool: PoolId::NONE,
        }
    }

    /// Takes the next used buffer, out of the ring if none is left here, or returns `None` if there
    /// is neither.
    ///
    /// Up to `want` are then taken together, all of which the caller is going to ask for. The
    /// length is what the device says, unchecked.
    #[inline(always)]
    pub(crate) fn next(&mut self, vq: &mut Option<Virtqueue<RxBuf>>, want: u32) -> Option<RxUsed> {
        if self.at == self.end && !self.fetch(vq.as_mut()?, want) {
            return None;
        }
        // SAFETY: There is one.
        unsafe { self.take() }
    }

    /// Takes up to `want` buffers out of the ring, and returns whether there was one.
    #[inline(always)]
    fn fetch(&mut self, vq: &mut Virtqueue<RxBuf>, want: u32) -> bool {
        // CAST: A small constant.
        let want = want.min(const { TOGETHER as u32 });
        let bufs = self.bufs.as_mut_ptr().cast();
        // SAFETY: By the type invariants the queue is valid and ours; there is room for that many.
        let n = unsafe { bindings::virtqueue_get_bufs(vq.as_raw(), bufs, want, HEADER_AT) };
        self.at = 0;
        // CAST: 32 bits fit.
        // INVARIANT: So many were written, not more than there is room for. The virtio core gives each pointer back
        // once, and only for a head that is in use, whatever the device writes into the ring.
        self.end = n as usize;
        self.pool = PoolId(vq.tag);
        if vq.dma_raw().is_some() {
            self.sync_for_cpu();
        }
        n != 0
    }

    /// Makes readable what the device wrote to those that are fragments, which are of a pool that
    /// maps.
    #[inline(never)]
    fn sync_for_cpu(&self) {
        for used in self.bufs.iter().take(self.end) {
            // SAFETY: By the invariants, as none was taken since.
            let used = unsafe { used.assume_init_ref() };
            if used.data.addr() & (BIG | TAG) == 0 {
                let shape = BufShape::from_usize(used.ctx.addr());
                // SAFETY: As in `take`; it stays what it is.
                let frag = ManuallyDrop::new(unsafe {
                    Frag::from_raw(
                        NonNull::new_unchecked(used.data.cast()),
                        shape.truesize(),
                        self.pool,
                    )
                });
                frag.sync_for_cpu(shape.offset(), used.len.min(shape.posted()));
            }
        }
    }

    /// Takes the next of those that were taken out of the ring, or returns `None` if it is no kind
    /// of buffer that is asked for here.
    ///
    /// # Safety
    ///
    /// There is one.
    #[inline(always)]
    unsafe fn take(&mut self) -> Option<RxUsed> {
        // SAFETY: By the invariants, of which this function's contract says that there is one; each is used once, and none is null.
        let (used, buf) = unsafe {
            let used = self.bufs.get_unchecked(self.at).assume_init_ref();
            // INVARIANT: It isn't one of those that are left.
            self.at = self.at.wrapping_add(1);
            (used, RxBuf::from_raw(NonNull::new_unchecked(used.data)))
        };
        Some(match buf {
            RxBuf::Frag(frag) => {
                let shape = BufShape::from_usize(used.ctx.addr());
                let frag = ManuallyDrop::new(frag);
                // SAFETY: The context word is the one that this fragment was posted with: the
                // virtio core keeps it in memory that the device can't write to. The pool is the one of all
                // that were in the ring.
                let frag = unsafe { Frag::from_raw(frag.va(), shape.truesize(), self.pool) };
                RxUsed::Frag(frag, shape, used.len)
            }
            RxBuf::Big(big) => RxUsed::Big(big, used.len),
            // Sockets' are taken otherwise (`xsk_ring.rs`).
            RxBuf::Xsk(_) => return None,
        })
    }
}

impl Drop for RxTaken {
    fn drop(&mut self) {
        while self.at != self.end {
            // SAFETY: There is one.
            drop(unsafe { self.take() });
        }
    }
}
