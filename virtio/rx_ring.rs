// SPDX-License-Identifier: GPL-2.0

//! What goes into a receive virtqueue: a page-pool fragment, or a list of pages.

use super::virtqueue::{
    Token,
    Used,
    Virtqueue, //
};
use crate::{
    bindings,
    net::page_pool::{
        Frag,
        MAX_SKB_FRAGS, //
    },
    pure::rx::BufShape, //
};
use core::{
    ffi::c_void,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// Pages of one big buffer, in order; allocated once and used again and again.
pub(crate) struct BigBuf {
    pages: KVec<Frag>,
}

/// Most pages of a big buffer.
pub(crate) const BIG_PAGES: u32 = MAX_SKB_FRAGS;

impl BigBuf {
    /// An empty one with room for [`BIG_PAGES`] pages.
    pub(crate) fn new(flags: kernel::alloc::Flags) -> Result<KBox<Self>> {
        Ok(KBox::new(
            Self {
                // CAST: 17.
                pages: KVec::with_capacity(BIG_PAGES as usize, flags)?,
            },
            flags,
        )?)
    }

    /// Adds a page; false if it is full.
    pub(crate) fn push(&mut self, page: Frag) -> bool {
        self.pages.push_within_capacity(page).is_ok()
    }

    /// Number of pages.
    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    /// Bytes that were posted.
    pub(crate) fn posted(&self) -> u32 {
        self.pages
            .iter()
            .fold(0u32, |sum, p| sum.saturating_add(p.truesize()))
    }

    /// Takes all pages out, in order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Frag> + '_ {
        self.pages.drain_all()
    }
}

/// A receive buffer while the ring has it.
pub(crate) enum RxBuf {
    /// One fragment.
    Frag(Frag),
    /// A list of pages.
    Big(KBox<BigBuf>),
}

/// Lowest bit of a raw token: set for a list of pages. Both kinds of pointers are aligned.
const BIG: usize = 1;

// SAFETY: Pointers go and come back; the low bit tells the kinds apart. Both own their memory.
unsafe impl Token for RxBuf {
    #[inline(always)]
    fn into_raw(self) -> NonNull<c_void> {
        match self {
            Self::Frag(frag) => frag.into_raw().0.cast(),
            Self::Big(big) => {
                let p = KBox::into_raw(big).cast::<c_void>();
                // SAFETY: A box isn't null, still less with a bit set.
                unsafe { NonNull::new_unchecked(p.map_addr(|a| a | BIG)) }
            }
        }
    }

    #[inline(always)]
    unsafe fn from_raw(p: NonNull<c_void>) -> Self {
        let raw = p.as_ptr();
        if raw.addr() & BIG == 0 {
            // SAFETY: Came from a fragment; its size is not known here (see `get_frag`).
            Self::Frag(unsafe { Frag::from_raw(p.cast(), 0) })
        } else {
            // SAFETY: Came from a box, the bit is taken off again.
            Self::Big(unsafe { KBox::from_raw(raw.map_addr(|a| a & !BIG).cast()) })
        }
    }
}

/// A used receive buffer.
pub(crate) enum RxUsed {
    /// A fragment, how it was posted, and the length that the device reports.
    Frag(Frag, BufShape, u32),
    /// Pages, and the length that the device reports.
    Big(KBox<BigBuf>, u32),
}

impl Virtqueue<RxBuf> {
    /// Posts the part of a fragment that `shape` says. Softirq, or process context with the queue
    /// at rest.
    ///
    /// # Errors
    ///
    /// The fragment back if the ring is full or broken, or `shape` isn't the fragment's.
    #[inline(always)]
    pub(crate) fn add_frag(&mut self, frag: Frag, shape: BufShape) -> Result<(), Frag> {
        let truesize = frag.truesize();
        if truesize != shape.truesize() {
            return Err(frag);
        }
        let va = frag.va();
        // CAST: 32 bits fit.
        // SAFETY: Inside of the fragment, as the shape is.
        let start = unsafe { va.as_ptr().add(shape.offset() as usize) };
        let token = RxBuf::Frag(frag).into_raw();
        // SAFETY: The range is inside of the fragment, which the token owns.
        let err = unsafe {
            bindings::virtqueue_add_inbuf_one(
                self.as_raw(),
                start.cast(),
                shape.posted(),
                token.as_ptr(),
                core::ptr::without_provenance_mut(shape.into_usize()),
                bindings::GFP_ATOMIC,
            )
        };
        if err != 0 {
            // SAFETY: Refused: the fragment is still ours.
            return Err(unsafe { Frag::from_raw(va, truesize) });
        }
        Ok(())
    }

    /// Posts a list of pages; with `split` the first `split` bytes are a descriptor of their own
    /// (header of a device without ANY_LAYOUT).
    ///
    /// # Errors
    ///
    /// The pages back if the ring is full or broken.
    pub(crate) fn add_big(&mut self, big: KBox<BigBuf>, split: u32) -> Result<(), KBox<BigBuf>> {
        // CAST: 18.
        const N: usize = BIG_PAGES as usize + 1;
        let mut sg = [bindings::scatterlist::default(); N];
        let mut n = 0usize;
        // SAFETY: The list has `N` entries; each range is inside of a page that the token owns.
        unsafe {
            bindings::sg_table_init(sg.as_mut_ptr(), N as u32);
            let mut at = split;
            for page in big.pages.iter() {
                let va = page.va().as_ptr();
                if at != 0 {
                    if let Some(e) = sg.get_mut(n) {
                        bindings::sg_set_buf(e, va.cast(), at);
                        n = n.wrapping_add(1);
                    }
                }
                if let Some(e) = sg.get_mut(n) {
                    let at = at.min(page.truesize());
                    bindings::sg_set_buf(
                        e,
                        // CAST: u32 fits.
                        va.add(at as usize).cast(),
                        page.truesize().saturating_sub(at),
                    );
                    n = n.wrapping_add(1);
                }
                at = 0;
            }
            match n.checked_sub(1).and_then(|last| sg.get_mut(last)) {
                Some(last) => bindings::sg_mark_end(last),
                None => return Err(big),
            }
        }
        let token = RxBuf::Big(big).into_raw();
        // SAFETY: `n` entries were filled; the token is given away.
        let err = unsafe {
            bindings::virtqueue_add_inbuf(
                self.as_raw(),
                sg.as_mut_ptr(),
                // CAST: At most 18.
                n as u32,
                token.as_ptr(),
                bindings::GFP_ATOMIC,
            )
        };
        if err != 0 {
            // SAFETY: Refused: the token is still ours.
            if let RxBuf::Big(big) = unsafe { RxBuf::from_raw(token) } {
                return Err(big);
            }
        }
        Ok(())
    }

    /// Takes the next used buffer. The length is what the device says, unchecked.
    #[inline(always)]
    pub(crate) fn get_rx(&mut self) -> Option<RxUsed> {
        let Used { token, len, ctx } = self.get_buf()?;
        Some(match token {
            RxBuf::Frag(frag) => {
                let shape = BufShape::from_usize(ctx);
                let frag = ManuallyDrop::new(frag);
                // SAFETY: The context word is the one that this fragment was posted with: the
                // virtio core keeps it in memory that the device can't write to.
                let frag = unsafe { Frag::from_raw(frag.va(), shape.truesize()) };
                RxUsed::Frag(frag, shape, len)
            }
            RxBuf::Big(big) => RxUsed::Big(big, len),
        })
    }
}
