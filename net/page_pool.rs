// SPDX-License-Identifier: GPL-2.0

//! Receive memory: page-pool fragments, and skbs made of them.
//!
//! C header: [`include/net/page_pool/helpers.h`](srctree/include/net/page_pool/helpers.h)

use super::{
    napi::NapiRef,
    skb::{
        DropReason,
        RxSkb,
        COPYBREAK, //
    }, //
};
use crate::bindings::{
    self,
    ETH_HLEN, //
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull,
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
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*, //
};

/// Size of a page in bytes.
// CAST: 16384 at most, see below.
pub(crate) const PAGE_SIZE: u32 = kernel::page::PAGE_SIZE as u32;

const _: () = assert!(kernel::page::PAGE_SIZE >= 4096 && kernel::page::PAGE_SIZE <= 16384);

/// Bytes that an skb built around a buffer needs behind the data (`struct skb_shared_info`).
pub(crate) const SHINFO: u32 = {
    let n = core::mem::size_of::<bindings::skb_shared_info>();
    // CAST: A few hundred bytes.
    (n.next_multiple_of(64)) as u32
};

/// Room before the data of a packet in a piece.
///
/// It is for headers that tunnels or the next interface prepend, without which the whole packet
/// would be copied for one, and for XDP.
pub(crate) const HEADROOM: u32 = 192;

/// Sizes of fragments, of which others would leave pieces of pages over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FragSize {
    /// A piece of 2 KiB, which is half a page of 4 KiB.
    ///
    /// It is the same where pages are larger, so that a packet takes up no more there.
    Piece,
    /// A whole page.
    Page,
}

impl FragSize {
    /// Returns the size in bytes.
    ///
    /// Context: any.
    pub(crate) const fn bytes(self) -> u32 {
        match self {
            Self::Piece => bindings::vnm_piece_VNM_PIECE,
            Self::Page => PAGE_SIZE,
        }
    }
}

/// How many fragments a pool keeps at hand at most.
///
/// It is what comes back of a ring of 256 buffers before it is filled again, half of them and a
/// poll's.
const SPARE: usize = 192;

/// How many pages the C pool has places for at least: 4 MiB, which is what it has if not told, where a page has 4 KiB.
///
/// Packets that wait elsewhere, as for another CPU, come back many at a time. Pages that find no place
/// are freed, and others allocated, cleared and counted for them. The usual queue of a cpumap holds 2048 packets, whose pieces
/// are as much.
const PLACES: u32 = (4 << 20) / PAGE_SIZE;

/// The most that it takes.
const MAX_PLACES: u32 = 16384;

/// The number of a page pool, which no other pool has or had.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolId(pub(crate) u32);

impl PoolId {
    /// The number of no pool.
    pub(crate) const NONE: Self = Self(0);

    /// Makes a number that no pool had.
    ///
    /// # Errors
    ///
    /// Returns `ENOSPC` if each number was some pool's.
    pub(super) fn new() -> Result<Self> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_add(1));
        Ok(Self(last.map_err(|_| ENOSPC)?.wrapping_add(1)))
    }
}

/// A receive queue's page pool; [`super::rx_napi::RxNapi`] gives the queue's owner what it can do.
///
/// Pieces that come back in the queue's poll, because what was in them was copied or dropped, are kept
/// at hand and used again first: the C pool would count each one's way out and in. So are the others of a page that
/// was taken for one.
///
/// # Invariants
///
/// The pointer is to a pool made by `page_pool_create`, and fragments with the number `id` are of that pool. The
/// first `spares` of `spare` are pieces of pages of that pool, whose references are owned here. `rxq` is
/// registered with that pool.
///
/// Locking: `&mut self` is the owner of the receive queue (NAPI, or RTNL with NAPI disabled), which
/// is what the pool's lockless cache needs. Lifetime: fragments keep the C pool alive.
pub(super) struct PagePool {
    raw: NonNull<bindings::page_pool>,
    id: PoolId,
    spares: u32,
    spare: [*mut c_void; SPARE],
    /// Whether a packet was redirected in this poll.
    pub(super) redirected: bool,
    rxq: bindings::xdp_rxq_info,
}

// SAFETY: The pool may be used from any CPU by one owner at a time.
unsafe impl Send for PagePool {}

impl PagePool {
    /// Creates a pool of order-0 pages for `napi`.
    ///
    /// `size` is the ring's number of buffers. With `dma` each page is mapped for that device while
    /// it is the pool's.
    ///
    /// Context: process.
    ///
    /// # Safety
    ///
    /// The pool is used only by who owns `napi`'s queue, and dropped a grace period before the instance goes.
    pub(super) unsafe fn new(
        napi: &NapiRef<'_>,
        queue: u16,
        size: u32,
        dma: Option<&Device<Bound>>,
    ) -> Result<Self> {
        crate::sync::fail::point()?;
        let id = PoolId::new()?;
        let mut params = bindings::page_pool_params::default();
        // SAFETY: Plain fields of a zeroed structure; by its type `napi` is valid, and so is its
        // device, and `page_pool_destroy` unlinks them a grace period before they are freed, by
        // this function's contract.
        unsafe {
            let fast = &mut params.__bindgen_anon_1.fast;
            fast.order = 0;
            fast.pool_size = size.clamp(PLACES, MAX_PLACES);
            fast.nid = -1;
            fast.napi = napi.as_raw().cast();
            params.__bindgen_anon_2.slow.netdev = napi.netdev().cast();
        }
        if let Some(dev) = dma {
            // CAST: `Device` is transparent.
            // SAFETY: The structure is ours. The device is this one's parent, or its parent's: bound, it
            // outlives the pool, which unmaps everything when it is destroyed.
            unsafe {
                bindings::page_pool_map_for(&mut params, core::ptr::from_ref(dev).cast_mut().cast())
            };
        }
        // SAFETY: `params` is ours, and the function copies it.
        let p = from_err_ptr(unsafe { bindings::page_pool_create(&params) })?;
        let mut rxq = bindings::xdp_rxq_info::default();
        // SAFETY: The pool was just made, and by the invariants of `NapiRef` the device is valid. The
        // structure may be moved: nobody keeps its address but packets during a poll.
        let registered = to_result(unsafe {
            bindings::__xdp_rxq_info_reg(
                (&raw mut rxq).cast(),
                napi.netdev().cast(),
                u32::from(queue),
                0,
                0,
            )
        })
        .and_then(|()| {
            // SAFETY: As above; registered.
            to_result(unsafe {
                bindings::xdp_rxq_info_reg_mem_model(
                    (&raw mut rxq).cast(),
                    bindings::xdp_mem_type_MEM_TYPE_PAGE_POOL,
                    p.cast(),
                )
            })
            // SAFETY: Registered above.
            .inspect_err(|_| unsafe { bindings::xdp_rxq_info_unreg((&raw mut rxq).cast()) })
        });
        if let Err(e) = registered {
            // SAFETY: Just created, and nobody else's.
            unsafe { bindings::page_pool_destroy(p) };
            return Err(e);
        }
        // INVARIANT: Just created, and registered.
        Ok(Self {
            raw: NonNull::new(p).ok_or(ENOMEM)?,
            id,
            spares: 0,
            spare: [core::ptr::null_mut(); SPARE],
            redirected: false,
            rxq,
        })
    }

    /// Returns what packets of this queue say of where they come from, for C.
    #[inline(always)]
    pub(super) fn xdp_rxq(&mut self) -> *mut bindings::xdp_rxq_info {
        &raw mut self.rxq
    }

    /// Allocates a page, or returns `None` if the pool has none and gets none.
    #[inline]
    pub(super) fn alloc_page(&mut self, gfp: bindings::gfp_t) -> Option<Frag> {
        // SAFETY: By the type invariants the pool is valid and ours.
        let va = unsafe { bindings::page_pool_alloc_page(self.raw.as_ptr(), gfp) };
        // INVARIANT: Fresh from the pool, a page.
        Some(Frag {
            va: NonNull::new(va.cast())?,
            truesize: PAGE_SIZE,
            pool: self.id,
        })
    }

    /// Posts pieces to a virtqueue by `post`, which is given where they come from.
    ///
    /// Returns what `post` returns, and why not all were posted.
    #[inline(always)]
    pub(super) fn post(
        &mut self,
        gfp: bindings::gfp_t,
        post: impl FnOnce(&mut bindings::vnm_post, PoolId) -> u32,
    ) -> (u32, core::ffi::c_int) {
        let mut from = bindings::vnm_post {
            pool: self.raw.as_ptr(),
            gfp,
            spare: self.spare.as_mut_ptr(),
            spares: self.spares,
            ..Default::default()
        };
        let posted = post(&mut from, self.id);
        // INVARIANT: The helper takes them from the end, and where there are none it puts the other pieces of a page there,
        // eight at most (if none could be posted).
        self.spares = from.spares.min(const { SPARE as u32 });
        (posted, from.err)
    }

    /// Gives a fragment back to the pool that it came from, fast if that is this one.
    ///
    /// # Safety
    ///
    /// This is inside of the poll of the instance that the pool was made for.
    #[inline(always)]
    pub(super) unsafe fn recycle(&mut self, frag: Frag) {
        if frag.pool != self.id {
            return drop(frag);
        }
        // CAST: 32 bits fit.
        match self.spare.get_mut(self.spares as usize) {
            Some(slot) if frag.truesize == FragSize::Piece.bytes() => {
                // INVARIANT: A piece of a page of this pool, whose reference goes over.
                *slot = frag.into_va().as_ptr().cast();
                self.spares = self.spares.wrapping_add(1);
            }
            // SAFETY: The fragment is of this pool and its reference goes; the pool's cache is this poll's,
            // by this function's contract.
            _ => unsafe {
                bindings::page_pool_put_va(self.raw.as_ptr(), frag.into_va().as_ptr().cast())
            },
        }
    }
}

impl Drop for PagePool {
    fn drop(&mut self) {
        for va in self.spare.iter().take(self.spares as usize) {
            // SAFETY: By the invariants.
            unsafe { bindings::page_pool_put_va_own(*va) };
        }
        // SAFETY: Registered and created by `new`, dropped once. Pages still out keep the C object until
        // they return.
        unsafe {
            bindings::xdp_rxq_info_unreg((&raw mut self.rxq).cast());
            bindings::page_pool_destroy(self.raw.as_ptr());
        }
    }
}

/// A piece of a page-pool page.
///
/// Context: softirq in the poll of its queue, or process with the queue at rest.
///
/// # Invariants
///
/// `va..va + truesize` is memory of a page-pool page that this value owns a fragment reference
/// to, with nobody else using that range (the device does while it is posted, and one that breaks the
/// rules after that: so there are no references to these bytes). `truesize` is 0 when it isn't known
/// (then it can only be freed). The page is of the pool that has the number `pool`, of any with
/// [`PoolId::NONE`].
pub(crate) struct Frag {
    va: NonNull<u8>,
    truesize: u32,
    pool: PoolId,
}

// SAFETY: Page memory may be passed between CPUs; the owner is unique.
unsafe impl Send for Frag {}

impl Frag {
    /// Takes a reference to a piece for what it is.
    ///
    /// Context: any.
    ///
    /// # Safety
    ///
    /// The type's invariants hold.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(va: NonNull<u8>, truesize: u32, pool: PoolId) -> Self {
        // INVARIANT: By this function's contract.
        Self { va, truesize, pool }
    }

    /// Returns the address, with which the reference goes.
    ///
    /// Context: any.
    #[inline(always)]
    pub(crate) fn into_va(self) -> NonNull<u8> {
        ManuallyDrop::new(self).va
    }

    /// Returns the address of the piece.
    ///
    /// Context: any.
    #[inline(always)]
    pub(crate) fn va(&self) -> NonNull<u8> {
        self.va
    }

    /// Returns how many bytes the piece has.
    ///
    /// Context: any.
    #[inline(always)]
    pub(crate) fn truesize(&self) -> u32 {
        self.truesize
    }

    /// Returns the number of its pool.
    #[inline(always)]
    pub(super) fn pool(&self) -> PoolId {
        self.pool
    }

    /// Copies `from..from + len` of another fragment to `at`, or returns false if that isn't all
    /// inside of both.
    pub(crate) fn copy_from(&mut self, at: u32, other: &Self, from: u32, len: u32) -> bool {
        let (Some(to), Some(from)) = (self.range(at, len), other.range(from, len)) else {
            return false;
        };
        // SAFETY: Inside of two fragments, which are two pieces of memory. CAST: Less than a page.
        unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), to.as_ptr(), len as usize) };
        true
    }

    /// Makes what the device wrote to `at..at + len` readable, for a fragment of a pool that maps.
    #[inline(always)]
    pub(crate) fn sync_for_cpu(&self, at: u32, len: u32) {
        if let Some(va) = self.range(at, len) {
            // SAFETY: Inside of the fragment, whose page has a pool.
            unsafe { bindings::page_pool_sync_for_cpu(va.as_ptr().cast(), len) };
        }
    }

    /// Returns its bytes, to be looked at.
    #[inline(always)]
    pub(crate) fn bytes(&self) -> FragBytes<'_> {
        // INVARIANT: The fragment is borrowed.
        FragBytes {
            va: self.va,
            truesize: self.truesize,
            _a: PhantomData,
        }
    }

    /// Copies the `N` bytes from `at` on, or returns `None` if they aren't all inside.
    #[inline(always)]
    pub(crate) fn copy<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        self.bytes().copy(at)
    }

    /// Returns where the bytes `at..at + len` are, or `None` if that is not all inside.
    ///
    /// It is a pointer, for a reference would promise that nobody writes there, and a device may.
    #[inline(always)]
    pub(super) fn range(&self, at: u32, len: u32) -> Option<NonNull<u8>> {
        self.bytes().range(at, len)
    }

    /// Builds an skb around the fragment, with `len` bytes of data and `headroom` bytes before
    /// them.
    ///
    /// The head comes from NAPI's cache.
    ///
    /// # Errors
    ///
    /// Returns the fragment if it has no room for the shared info, there is no memory, or `len` is
    /// less than an Ethernet header's.
    #[inline]
    pub(crate) fn build_skb(
        self,
        _napi: &NapiRef<'_>,
        headroom: u32,
        len: u32,
    ) -> Result<RxSkb, Self> {
        let need = headroom
            .checked_add(len)
            .and_then(|n| n.checked_add(SHINFO));
        let fits = need.is_some_and(|n| n <= self.truesize);
        if !fits || len < ETH_HLEN {
            return Err(self);
        }
        // SAFETY: The fragment has `truesize` bytes, of which the end is left for the shared info, and
        // `headroom + len` fit before that; a poll, by `napi`'s type. Its page is from a pool.
        let skb = unsafe {
            bindings::napi_build_pp_skb(self.va.as_ptr().cast(), self.truesize, headroom, len)
        };
        let Some(skb) = NonNull::new(skb) else {
            return Err(self);
        };
        // The skb has the fragment's reference now.
        self.into_va();
        // INVARIANT: New, and the helper has marked it.
        // SAFETY: A new skb has one reference.
        Ok(unsafe { RxSkb::from_raw(skb) })
    }

    /// Copies `at..at + len`, an Ethernet header at least, into a new skb.
    #[inline]
    pub(crate) fn copy_skb(&self, napi: &NapiRef<'_>, at: u32, len: u32) -> Option<RxSkb> {
        self.copy_skb_with_room(napi, at, len, len)
    }

    /// Copies `at..at + len` into a new skb that has room for `size` bytes.
    ///
    /// It is marked as one of a page pool though its head isn't: GRO and TCP's receive queue merge
    /// only packets that are marked alike, and those around it of the same flow are built around
    /// fragments.
    #[inline]
    fn copy_skb_with_room(
        &self,
        napi: &NapiRef<'_>,
        at: u32,
        len: u32,
        size: u32,
    ) -> Option<RxSkb> {
        // Whole cache lines if the fragment has as much.
        let lines = len.saturating_add(63) & !63;
        let (va, copied) = match self.range(at, lines) {
            Some(va) => (va, lines),
            None => (self.range(at, len)?, len),
        };
        let size = size.max(copied);
        if len < ETH_HLEN {
            return None;
        }
        // SAFETY: Inside of the poll, by `napi`'s type. `copied` bytes from there on are inside of the fragment, and not more
        // than `size`; `len` isn't more than `copied`.
        //
        // The mark doesn't say whose each piece of memory is, only that
        // whoever gives one back has to ask its page: a head of the slab (`head_frag` is 0, as for this
        // length) goes to `kfree` without being asked, and for a head or fragment whose page has no pool
        // `napi_pp_put_page` returns false, after which the page itself is put. `skb_pp_frag_ref` asks in
        // the same way before it takes a reference, and the functions that move pieces from one skb
        // to another (`skb_gro_receive`, `skb_try_coalesce`) want the same mark of both.
        let skb = unsafe {
            let data = va.as_ptr().cast();
            bindings::napi_copy_pp_skb(napi.as_raw(), data, len, copied, size)
        };
        // INVARIANT: New, and the helper has marked it.
        // SAFETY: A new skb has one reference.
        Some(unsafe { RxSkb::from_raw(NonNull::new(skb)?) })
    }

    /// Makes a new skb with the Ethernet header copied to its linear part and the rest of `at..at +
    /// len` as its first fragment (`len` above the header's).
    ///
    /// # Errors
    ///
    /// Returns the fragment if the range is not inside or there is no memory.
    pub(crate) fn head_skb(self, napi: &NapiRef<'_>, at: u32, len: u32) -> Result<RxSkb, Self> {
        let rest = len.saturating_sub(ETH_HLEN);
        let from = at.saturating_add(ETH_HLEN);
        if rest == 0 || self.range(at, len).is_none() {
            return Err(self);
        }
        // The stack copies the headers that follow to the linear part as well.
        let Some(mut skb) = self.copy_skb_with_room(napi, at, ETH_HLEN, COPYBREAK) else {
            return Err(self);
        };
        match skb.add_frag(self, from, rest) {
            Ok(()) => Ok(skb),
            Err(frag) => {
                skb.drop_with(DropReason::NoMem);
                Err(frag)
            }
        }
    }
}

/// The bytes of a fragment: two words, which are handed on in registers where a reference would be
/// to memory.
///
/// Context: softirq in the poll of its queue, or process with the queue at rest.
///
/// # Invariants
///
/// `va..va + truesize` is memory of a fragment for as long as `'a`.
#[derive(Clone, Copy)]
pub(crate) struct FragBytes<'a> {
    va: NonNull<u8>,
    truesize: u32,
    _a: PhantomData<&'a Frag>,
}

impl FragBytes<'_> {
    /// Returns where `at..at + len` are (see [`Frag::range`]).
    #[inline(always)]
    fn range(self, at: u32, len: u32) -> Option<NonNull<u8>> {
        let end = at.checked_add(len)?;
        if end > self.truesize {
            return None;
        }
        // SAFETY: Inside of the fragment.
        Some(unsafe { self.va.add(usize::try_from(at).ok()?) })
    }

    /// Copies the `N` bytes from `at` on, or returns `None` if they aren't all inside.
    #[inline(always)]
    pub(crate) fn copy<const N: usize>(self, at: u32) -> Option<[u8; N]> {
        // CAST: `N` is a small constant.
        let va = self.range(at, N as u32)?;
        let mut out = [0; N];
        let (words, rest) = out.as_chunks_mut::<4>();
        let whole = words.len();
        for (i, to) in words.iter_mut().enumerate() {
            // SAFETY: One of the words that are inside of the fragment.
            let [word] = unsafe { read_words(va.add(i.wrapping_mul(4))) };
            *to = word.to_ne_bytes();
        }
        for (i, to) in rest.iter_mut().enumerate() {
            // SAFETY: One of the bytes behind those, and inside as well.
            *to = unsafe { va.add(whole.wrapping_mul(4)).add(i).read_volatile() };
        }
        Some(out)
    }

    /// Reads the `N` words from `at` on, or returns `None` if they aren't all inside.
    #[inline(always)]
    pub(crate) fn words<const N: usize>(self, at: u32) -> Option<[u32; N]> {
        // CAST: `N` is a small constant.
        let va = self.range(at, (N as u32).wrapping_mul(4))?;
        // SAFETY: Inside of the fragment.
        Some(unsafe { read_words(va) })
    }
}

/// Reads the `N` words at `va`, each of four bytes.
///
/// What is read is what was there once, and isn't read again: a device, or user space, may write
/// there though the buffer came back.
///
/// # Safety
///
/// So much is memory that can be read.
#[inline(always)]
pub(super) unsafe fn read_words<const N: usize>(va: NonNull<u8>) -> [u32; N] {
    /// Four bytes, wherever they are.
    ///
    /// A volatile array would be read byte by byte.
    #[repr(C, packed)]
    struct Word(u32);
    let mut out = [0; N];
    for (i, to) in out.iter_mut().enumerate() {
        // SAFETY: By this function's contract, as it is one of the words of them.
        *to = unsafe { va.cast::<Word>().add(i).read_volatile() }.0;
    }
    out
}

impl Drop for Frag {
    fn drop(&mut self) {
        // SAFETY: The reference is ours and goes; the page knows its pool.
        unsafe { bindings::page_pool_put_va_own(self.va.as_ptr().cast()) };
    }
}

/// Page fragments that an skb can hold.
pub(crate) const MAX_SKB_FRAGS: u32 = 17;

impl RxSkb {
    /// Appends `at..at + len` of a page-pool fragment to an skb made by this module's functions.
    ///
    /// # Errors
    ///
    /// Returns the fragment if the range is not inside or the skb has no slot left.
    fn add_frag(&mut self, frag: Frag, at: u32, len: u32) -> Result<(), Frag> {
        if self.nr_frags() >= MAX_SKB_FRAGS {
            return Err(frag);
        }
        let Some(va) = frag.range(at, len) else {
            return Err(frag);
        };
        let truesize = frag.truesize;
        frag.into_va();
        // SAFETY: The skb is ours and has a slot; the range is inside of the fragment, whose
        // reference goes to the slot.
        unsafe { bindings::skb_add_rx_frag_va(self.as_raw(), va.as_ptr().cast(), len, truesize) };
        Ok(())
    }
}

/// A received packet that grows buffer by buffer: a head skb, and more skbs on its `frag_list` when
/// the head's slots are used up.
///
/// Context: softirq.
///
/// # Invariants
///
/// `last` is null or the last skb on `head`'s `frag_list`. All of them are marked for recycling, so
/// fragments of a pool go back there.
pub(crate) struct SkbChain {
    head: RxSkb,
    last: *mut bindings::sk_buff,
}

impl SkbChain {
    /// Makes a chain of one packet.
    #[inline(always)]
    pub(crate) fn new(head: RxSkb) -> Self {
        // INVARIANT: The head is marked by its type's invariants.
        Self {
            head,
            last: core::ptr::null_mut(),
        }
    }

    /// Appends `at..at + len` of `frag`.
    ///
    /// # Errors
    ///
    /// Returns the fragment if it is shorter or there is no memory.
    pub(crate) fn append(
        &mut self,
        napi: &NapiRef<'_>,
        frag: Frag,
        at: u32,
        len: u32,
    ) -> Result<(), Frag> {
        let Some(va) = frag.range(at, len) else {
            return Err(frag);
        };
        let head = self.head.as_raw();
        let mut cur = if self.last.is_null() { head } else { self.last };
        // SAFETY: `cur` is the head or on its list, all ours.
        let slots = unsafe { bindings::skb_nr_frags(cur) };
        if slots >= MAX_SKB_FRAGS {
            let Some(next) = napi.alloc_skb(0) else {
                return Err(frag);
            };
            let next = next.as_ptr();
            // SAFETY: Both are ours; the list takes the new one, which is empty. `last` is its end, or there is
            // no list.
            unsafe {
                bindings::skb_mark_for_recycle(next);
                match NonNull::new(self.last) {
                    Some(last) => (*last.as_ptr()).__bindgen_anon_1.__bindgen_anon_1.next = next,
                    None => (*bindings::skb_shinfo(head)).frag_list = next,
                }
                (*head).truesize = (*head).truesize.wrapping_add((*next).truesize);
            }
            // INVARIANT: `next` ends the list now.
            self.last = next;
            cur = next;
        }
        let truesize = frag.truesize;
        frag.into_va();
        // SAFETY: `cur` has a free slot, the range is inside of the fragment, whose reference
        // goes to the slot. The head accounts for what is on its list.
        unsafe {
            bindings::skb_add_rx_frag_va(cur, va.as_ptr().cast(), len, truesize);
            if cur != head {
                (*head).len = (*head).len.wrapping_add(len);
                (*head).data_len = (*head).data_len.wrapping_add(len);
                (*head).truesize = (*head).truesize.wrapping_add(truesize);
            }
        }
        Ok(())
    }

    /// Returns the packet as an skb.
    #[inline(always)]
    pub(crate) fn into_skb(self) -> RxSkb {
        self.head
    }
}
