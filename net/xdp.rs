// SPDX-License-Identifier: GPL-2.0

//! XDP: programs that judge received packets before there is an skb, and frames that are sent without one.
//!
//! A packet in page-pool memory becomes an [`XdpBuff`]; [`RxNapi::run_xdp`] has a program judge it, and each [`Verdict`]
//! owns what it is about. Frames, sent back or redirected here from other devices ([`XmitBatch`]), are
//! [`XdpFrame`]s, and sent as a [`FrameList`].
//!
//! C header: [`include/net/xdp.h`](srctree/include/net/xdp.h)

use super::{
    page_pool::{
        Frag,
        PoolId,
        SHINFO, //
    },
    rtnl::Rtnl,
    rx_napi::{
        InPoll,
        RxNapi, //
    },
    skb::{
        ConsumeContext,
        RxSkb, //
    },
    xdp_meta::{
        RxMeta,
        META_AT, //
    }, //
};
use crate::{
    bindings::{
        self,
        ETH_HLEN, //
    },
    pure::rss::RxHash, //
};
use core::{
    marker::PhantomData,
    mem::{
        size_of,
        ManuallyDrop,
        MaybeUninit, //
    },
    ptr::{
        null_mut,
        NonNull, //
    },
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    },
};
use kernel::{
    fmt,
    prelude::*,
    str::CString, //
};

/// Bytes before the data of a packet in a whole page (`XDP_PACKET_HEADROOM`).
pub(crate) const XDP_HEADROOM: u32 = 256;

/// Bytes at the beginning of a packet's memory that it needs to become a frame.
// CAST: 40.
const FRAME: u32 = size_of::<bindings::xdp_frame>() as u32;

/// What a device can do (`enum netdev_xdp_act`).
///
/// Context: any.
#[derive(Clone, Copy)]
pub(crate) struct XdpFeatures(pub(super) u32);

impl XdpFeatures {
    /// Nothing of XDP.
    pub(crate) const NONE: Self = Self(0);
    /// Programs run, with all verdicts.
    pub(crate) const BASIC: Self = Self(
        bindings::netdev_xdp_act_NETDEV_XDP_ACT_BASIC
            | bindings::netdev_xdp_act_NETDEV_XDP_ACT_REDIRECT,
    );
    /// Programs for packets in pieces run.
    pub(crate) const RX_SG: Self = Self(bindings::netdev_xdp_act_NETDEV_XDP_ACT_RX_SG);
    /// Sockets have buffers of their own (AF_XDP).
    pub(crate) const XSK_ZEROCOPY: Self =
        Self(bindings::netdev_xdp_act_NETDEV_XDP_ACT_XSK_ZEROCOPY);
    /// Frames of other devices are sent, in pieces as well.
    pub(crate) const NDO_XMIT: Self = Self(
        bindings::netdev_xdp_act_NETDEV_XDP_ACT_NDO_XMIT
            | bindings::netdev_xdp_act_NETDEV_XDP_ACT_NDO_XMIT_SG,
    );

    /// Returns what is in one of both sets.
    pub(crate) const fn or(self, o: Self) -> Self {
        Self(self.0 | o.0)
    }
}

/// What a user is told of a request that is refused (`struct netlink_ext_ack`).
///
/// Context: process.
///
/// # Invariants
///
/// The pointer is null, or valid for as long as `'a`.
pub(crate) struct Extack<'a>(*mut bindings::netlink_ext_ack, PhantomData<&'a ()>);

impl Extack<'_> {
    /// # Safety
    ///
    /// The type's invariants hold.
    pub(super) unsafe fn from_raw(extack: *mut bindings::netlink_ext_ack) -> Self {
        // INVARIANT: By this function's contract.
        Self(extack, PhantomData)
    }

    /// Tells the user `what`.
    pub(crate) fn set(&self, what: fmt::Arguments<'_>) {
        if let Ok(text) = CString::try_from_fmt(what) {
            // SAFETY: Valid for the request that it belongs to, or null; the text is copied.
            unsafe { bindings::extack_set(self.0, text.as_char_ptr()) };
        }
    }
}

/// A program that is to be attached, for as long as `'a`.
///
/// Context: process, RTNL held.
///
/// # Invariants
///
/// The program is valid for that long.
pub(crate) struct NewProg<'a> {
    prog: NonNull<bindings::bpf_prog>,
    is_first: bool,
    _a: PhantomData<&'a ()>,
}

impl NewProg<'_> {
    /// # Safety
    ///
    /// The type's invariants hold.
    pub(super) unsafe fn new(prog: NonNull<bindings::bpf_prog>, is_first: bool) -> Self {
        // INVARIANT: By this function's contract.
        Self {
            prog,
            is_first,
            _a: PhantomData,
        }
    }

    /// Returns whether the program takes packets in pieces.
    pub(crate) fn has_frags(&self) -> bool {
        // SAFETY: By the type invariants the program is valid.
        unsafe { bindings::bpf_prog_has_frags(self.prog.as_ptr()) }
    }

    /// Returns whether the device has no program yet.
    pub(crate) fn is_first(&self) -> bool {
        self.is_first
    }
}

/// The program of a device.
///
/// # Invariants
///
/// Null, or a program that one reference is owned to. It is given up after it was taken out of here, and freed a
/// grace period later at the earliest (`bpf_prog_put`).
pub(super) struct ProgSlot(AtomicPtr<bindings::bpf_prog>);

impl ProgSlot {
    /// Makes a slot without a program.
    pub(super) const fn new() -> Self {
        // INVARIANT: None.
        Self(AtomicPtr::new(null_mut()))
    }

    /// Returns the program, for a poll.
    ///
    /// # Safety
    ///
    /// `'a` is inside of a poll.
    #[inline(always)]
    pub(super) unsafe fn get<'a>(&self) -> Option<Prog<'a>> {
        // INVARIANT: A poll is a read-side section of RCU: by this type's invariants nobody frees the program in it.
        Some(Prog(
            NonNull::new(self.0.load(Ordering::Acquire))?,
            PhantomData,
        ))
    }

    /// Returns whether there is a program.
    pub(super) fn is_set(&self, _rtnl: &Rtnl) -> bool {
        !self.0.load(Ordering::Relaxed).is_null()
    }

    /// Puts `prog`, or none, in the place of the present one.
    ///
    /// # Safety
    ///
    /// A reference to `prog` is given away.
    pub(super) unsafe fn replace(&self, prog: *mut bindings::bpf_prog, _rtnl: &mut Rtnl) {
        // INVARIANT: By this function's contract.
        let old = self.0.swap(prog, Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: The reference was this slot's.
            unsafe { bindings::bpf_prog_put(old.cast()) };
        }
    }
}

impl Drop for ProgSlot {
    fn drop(&mut self) {
        let prog = *self.0.get_mut();
        if !prog.is_null() {
            // SAFETY: The reference was this slot's.
            unsafe { bindings::bpf_prog_put(prog.cast()) };
        }
    }
}

/// A program during a poll.
///
/// Context: softirq.
///
/// # Invariants
///
/// It is valid for as long as `'a`, which is inside of a poll.
#[derive(Clone, Copy)]
pub(crate) struct Prog<'a>(NonNull<bindings::bpf_prog>, PhantomData<(&'a (), *mut ())>);

impl Prog<'_> {
    /// Returns whether the program takes packets in pieces.
    pub(crate) fn has_frags(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { bindings::bpf_prog_has_frags(self.0.as_ptr()) }
    }

    /// Returns the C object.
    #[inline(always)]
    pub(super) fn as_raw(&self) -> *mut bindings::bpf_prog {
        self.0.as_ptr()
    }
}

/// Where the packets of a poll are described, one after the other.
///
/// It stays where it is: a description of one packet is as large as a cache line, and moving it
/// would cost as much as all else that is done for a packet.
///
/// Context: softirq.
///
/// # Invariants
///
/// `rxq` of `xdp` is valid for as long as `'a`.
#[repr(C)]
pub(crate) struct XdpRoom<'a> {
    xdp: bindings::xdp_buff,
    meta: RxMeta,
    _a: PhantomData<&'a ()>,
}

const _: () = assert!(core::mem::offset_of!(XdpRoom<'_>, meta) == META_AT);

impl<'a> XdpRoom<'a> {
    /// Makes one without a packet, for those of the poll's queue, or returns `None` if that has no
    /// pool.
    pub(crate) fn new(napi: &mut RxNapi<'a, InPoll>) -> Option<Self> {
        // INVARIANT: The pool is borrowed by the poll, which is `'a`.
        Some(Self {
            xdp: bindings::xdp_buff {
                rxq: napi.xdp_rxq()?.cast(),
                ..Default::default()
            },
            meta: RxMeta::default(),
            _a: PhantomData,
        })
    }

    /// Says what the device's hash of the next packets is, for programs that ask; none has one
    /// before that.
    #[inline]
    pub(crate) fn set_rx_hash(&mut self, hash: Option<RxHash>) {
        self.meta = hash.map_or_else(RxMeta::default, RxMeta::from);
    }
}

/// A received packet that a program may judge.
///
/// Context: softirq.
///
/// # Invariants
///
/// `xdp` of the room describes a piece of a page of a pool, of which a fragment reference is owned, with `frame_sz` bytes from
/// `data_hard_start` on; `data..data_end` is inside, [`SHINFO`] bytes behind that are free at the end, and [`FRAME`]
/// bytes before it at the beginning. If it says that there are more pieces, those bytes at the end name them, and
/// references to them are owned as well. `meta` is at [`META_AT`]. The pool is the one that has the
/// number `pool`.
pub(crate) struct XdpBuff<'r, 'a> {
    room: &'r mut XdpRoom<'a>,
    pool: PoolId,
}

impl<'r, 'a> XdpBuff<'r, 'a> {
    /// Makes a packet of `at..at + len` of `frag`.
    ///
    /// # Errors
    ///
    /// Returns the room and the fragment if that isn't inside of it, or leaves too little room
    /// before or behind.
    #[inline(always)]
    pub(crate) fn new(
        room: &'r mut XdpRoom<'a>,
        frag: Frag,
        at: u32,
        len: u32,
    ) -> Result<Self, (&'r mut XdpRoom<'a>, Frag)> {
        // Three times 32 bits: that wraps nowhere.
        let end = u64::from(at)
            .wrapping_add(u64::from(len))
            .wrapping_add(u64::from(SHINFO));
        if at < FRAME || end > u64::from(frag.truesize()) {
            return Err((room, frag));
        }
        let (truesize, pool) = (frag.truesize(), frag.pool());
        let va = frag.into_va().as_ptr();
        let xdp = &mut room.xdp;
        // SAFETY: Inside of the fragment, as was checked. CAST: widening.
        unsafe {
            xdp.data_hard_start = va.cast();
            xdp.data = va.add(at as usize).cast();
            xdp.data_end = xdp.data.byte_add(len as usize);
        }
        xdp.data_meta = xdp.data;
        xdp.__bindgen_anon_1.__bindgen_anon_1 = bindings::xdp_buff__bindgen_ty_1__bindgen_ty_1 {
            frame_sz: truesize,
            flags: 0,
        };
        // INVARIANT: As was checked; the reference is the fragment's.
        Ok(Self { room, pool })
    }

    #[inline(always)]
    fn has_frags(&self) -> bool {
        // SAFETY: Both variants are integers.
        let flags = unsafe { self.room.xdp.__bindgen_anon_1.__bindgen_anon_1.flags };
        flags & bindings::xdp_buff_flags_XDP_FLAGS_HAS_FRAGS != 0
    }

    #[inline(always)]
    fn frame_sz(&self) -> u32 {
        // SAFETY: As above.
        unsafe { self.room.xdp.__bindgen_anon_1.__bindgen_anon_1.frame_sz }
    }

    /// Returns where in the first piece the data begins, and how much it is.
    #[inline(always)]
    fn place(&self) -> (u32, u32) {
        let xdp = &self.room.xdp;
        let at = xdp.data.addr().wrapping_sub(xdp.data_hard_start.addr());
        let len = xdp.data_end.addr().wrapping_sub(xdp.data.addr());
        // CAST: Less than a page, by the type invariants.
        (at as u32, len as u32)
    }

    /// Appends `at..at + len` of `frag`.
    ///
    /// # Errors
    ///
    /// Returns the fragment if that isn't inside of it, or the packet is in too many pieces.
    pub(crate) fn append(&mut self, frag: Frag, at: u32, len: u32) -> Result<(), Frag> {
        let Some(va) = frag.range(at, len) else {
            return Err(frag);
        };
        // SAFETY: By the type invariants the room for it is there; the range is inside of the fragment.
        let added = unsafe {
            bindings::xdp_buff_add_frag_va(
                &mut self.room.xdp,
                va.as_ptr().cast(),
                len,
                frag.truesize(),
            )
        };
        if !added {
            return Err(frag);
        }
        // INVARIANT: The reference is the packet's now.
        let _ = frag.into_va();
        Ok(())
    }

    /// Completes the checksum over what comes `start` bytes behind the beginning, which belongs
    /// `offset` bytes behind that.
    ///
    /// Returns false if there is no such place in the first piece.
    #[cold]
    pub(crate) fn complete_csum(&mut self, start: u16, offset: u16) -> bool {
        // SAFETY: The helper stays inside of the packet, which by the type invariants is valid.
        unsafe {
            bindings::xdp_csum_complete(&mut self.room.xdp, u32::from(start), u32::from(offset))
        }
    }

    /// Gives all but the first piece back.
    #[inline(always)]
    fn put_frags(&mut self) {
        if self.has_frags() {
            // SAFETY: By the type invariants; the helper notes that they are gone.
            unsafe { bindings::xdp_buff_put_frags(&mut self.room.xdp) };
        }
    }

    /// Returns the packet as a frame, which is described where the packet's memory begins.
    ///
    /// `xdp_convert_buff_to_frame` asks for the room that there is by the type invariants, and what
    /// kind of memory it is.
    #[inline(always)]
    fn into_frame(self) -> XdpFrame {
        let this = ManuallyDrop::new(self);
        let (at, len) = this.place();
        // SAFETY: Both variants are integers.
        let (flags, frame_sz) = unsafe {
            let word = &this.room.xdp.__bindgen_anon_1.__bindgen_anon_1;
            (word.flags, word.frame_sz)
        };
        let frame = this.room.xdp.data_hard_start.cast::<bindings::xdp_frame>();
        let is = bindings::xdp_frame {
            data: this.room.xdp.data,
            len,
            headroom: at.saturating_sub(FRAME),
            metasize: 0,
            _bitfield_align_1: [],
            // All 32 bits of it are `mem_type`.
            _bitfield_1: bindings::__BindgenBitfieldUnit::new(
                bindings::xdp_mem_type_MEM_TYPE_PAGE_POOL.to_ne_bytes(),
            ),
            dev_rx: null_mut(),
            frame_sz,
            flags,
        };
        // INVARIANT: What was the packet's is the frame's.
        // SAFETY: By the type invariants so many bytes before the data are the packet's and have no other use; the piece begins at a
        // multiple of a power of two that is larger.
        unsafe {
            frame.write(is);
            XdpFrame(NonNull::new_unchecked(frame))
        }
    }

    /// Returns the first piece, without the others.
    #[inline(always)]
    fn into_frag(mut self) -> Frag {
        self.put_frags();
        let this = ManuallyDrop::new(self);
        // SAFETY: By the type invariants; the reference goes over.
        unsafe {
            Frag::from_raw(
                NonNull::new_unchecked(this.room.xdp.data_hard_start.cast()),
                this.frame_sz(),
                this.pool,
            )
        }
    }
}

impl Drop for XdpBuff<'_, '_> {
    fn drop(&mut self) {
        self.put_frags();
        // SAFETY: By the type invariants; the reference goes.
        unsafe { bindings::page_pool_put_va_own(self.room.xdp.data_hard_start.cast()) };
    }
}

/// What a program said of a packet.
pub(crate) enum Verdict<'r, 'a> {
    /// The packet is the stack's.
    Pass(XdpBuff<'r, 'a>),
    /// The packet is to be sent back.
    Tx(XdpFrame),
    /// The packet is on its way to elsewhere.
    Redirected,
    /// The packet is gone.
    Dropped,
}

impl RxNapi<'_, InPoll> {
    /// Has `prog` judge a packet.
    ///
    /// Context: softirq.
    #[inline(always)]
    pub(crate) fn run_xdp<'r, 'a>(
        &mut self,
        buff: XdpBuff<'r, 'a>,
        prog: Prog<'_>,
    ) -> Verdict<'r, 'a> {
        let dev = self.netdev();
        let prog = prog.0.as_ptr();
        // All of it: a program's functions look behind the `struct xdp_buff`.
        let xdp = (&raw mut *buff.room).cast::<bindings::xdp_buff>();
        // INVARIANT: The program moves what `xdp` describes within the bounds that the type names, and its
        // functions give back what they cut off.
        // SAFETY: This is a poll with a budget; by the invariants of their types program and packet
        // are valid, and so is what `rxq` points to.
        let act = unsafe { bindings::bpf_prog_run_xdp(prog, xdp) };
        match act {
            bindings::xdp_action_XDP_PASS => return Verdict::Pass(buff),
            bindings::xdp_action_XDP_TX => {
                return Verdict::Tx(buff.into_frame());
            }
            bindings::xdp_action_XDP_REDIRECT => {
                // SAFETY: As above; the device is the one whose poll this is.
                if unsafe { bindings::xdp_do_redirect(dev.cast(), xdp, prog.cast()) } == 0 {
                    let _ = ManuallyDrop::new(buff);
                    self.set_redirected();
                    return Verdict::Redirected;
                }
            }
            _ => {}
        }
        if act != bindings::xdp_action_XDP_DROP {
            // SAFETY: By the invariants of their types device and program are valid.
            unsafe { exception(dev, prog, act) };
        }
        let frag = buff.into_frag();
        self.recycle(frag);
        Verdict::Dropped
    }

    /// Builds an skb of a packet that may pass, around its memory.
    ///
    /// That costs less than a copy of even the smallest packet, whose memory would have to go back.
    /// The skb has the hash that the device gave.
    ///
    /// Context: softirq.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no memory, or less than an Ethernet header in the packet's
    /// first piece; the packet is gone then.
    #[inline(always)]
    pub(crate) fn xdp_skb(&mut self, buff: XdpBuff<'_, '_>) -> Result<RxSkb> {
        let (_, len) = buff.place();
        let skb = if len < ETH_HLEN {
            null_mut()
        } else {
            // SAFETY: By the type invariants; inside of a poll.
            unsafe { bindings::napi_build_xdp_skb(&buff.room.xdp) }
        };
        match NonNull::new(skb) {
            Some(skb) => {
                let buff = ManuallyDrop::new(buff);
                if let Some((hash, ports)) = buff.room.meta.skb_hash() {
                    // SAFETY: The skb is new and nobody else's.
                    unsafe { bindings::skb_set_rx_hash(skb.as_ptr(), hash, ports) };
                }
                // INVARIANT: New, and the helper has marked it; the pieces are its.
                // SAFETY: A new skb has one reference.
                Ok(unsafe { RxSkb::from_raw(skb.cast()) })
            }
            None => {
                let frag = buff.into_frag();
                self.recycle(frag);
                Err(ENOMEM)
            }
        }
    }
}

/// # Safety
///
/// Both are valid.
#[cold]
pub(super) unsafe fn exception(
    dev: *mut bindings::net_device,
    prog: *mut bindings::bpf_prog,
    act: u32,
) {
    // SAFETY: By this function's contract.
    unsafe {
        if act > bindings::xdp_action_XDP_REDIRECT {
            bindings::bpf_warn_invalid_xdp_action(dev.cast(), prog.cast(), act);
        }
        bindings::trace_xdp_exception(dev.cast(), prog, act);
    }
}

/// A frame that is to be sent, from here or another device.
///
/// Context: softirq.
///
/// # Invariants
///
/// The pointer is to a valid `struct xdp_frame`, which with its memory belongs to this value alone.
pub(crate) struct XdpFrame(NonNull<bindings::xdp_frame>);

// SAFETY: Frames go from one CPU to another; the owner is unique.
unsafe impl Send for XdpFrame {}

impl XdpFrame {
    /// Takes the C object for a frame that belongs to this.
    ///
    /// # Safety
    ///
    /// The type's invariants hold.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(frame: NonNull<bindings::xdp_frame>) -> Self {
        // INVARIANT: By this function's contract.
        Self(frame)
    }

    /// Gives the frame away.
    #[inline(always)]
    pub(crate) fn into_raw(self) -> NonNull<bindings::xdp_frame> {
        ManuallyDrop::new(self).0
    }

    /// Returns the C object.
    #[inline(always)]
    pub(crate) fn as_raw(&self) -> *mut bindings::xdp_frame {
        self.0.as_ptr()
    }

    /// Returns the bytes of all pieces.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        // SAFETY: By the type invariants.
        let (flags, len) = unsafe { ((*self.as_raw()).flags, (*self.as_raw()).len) };
        if flags & bindings::xdp_buff_flags_XDP_FLAGS_HAS_FRAGS == 0 {
            return len;
        }
        // SAFETY: As above.
        unsafe { bindings::xdp_get_frame_len(self.as_raw()) }
    }
}

impl Drop for XdpFrame {
    fn drop(&mut self) {
        // SAFETY: By the type invariants; it goes.
        unsafe { bindings::xdp_put_frame(self.as_raw()) };
    }
}

/// Frames that were sent and can't be given back where interrupts are off.
///
/// Context: any with softirqs off.
///
/// # Invariants
///
/// A list: `dev_rx` of each, which nobody looks at any more, points to the next one.
pub(crate) struct SentFrames(*mut bindings::xdp_frame);

// SAFETY: As for a frame.
unsafe impl Send for SentFrames {}

impl SentFrames {
    /// Makes a list without frames.
    pub(crate) const fn new() -> Self {
        Self(null_mut())
    }

    /// Returns whether frames can be given back here, which is not by netpoll with interrupts off.
    #[inline(always)]
    pub(crate) fn can_free(context: &ConsumeContext<'_>) -> bool {
        // SAFETY: Reads this CPU's state.
        context.budget() != 0 || !unsafe { bindings::irqs_disabled() }
    }

    /// Gives back those that were kept, where that is possible.
    #[inline]
    pub(crate) fn flush(&mut self, context: &ConsumeContext<'_>) {
        if !self.0.is_null() && Self::can_free(context) {
            self.clear();
        }
    }

    /// Keeps a frame until frames can be given back.
    #[cold]
    pub(crate) fn keep(&mut self, frame: XdpFrame) {
        let frame = frame.into_raw().as_ptr();
        // INVARIANT: It is the first one now.
        // SAFETY: The frame is ours.
        unsafe { (*frame).dev_rx = self.0.cast() };
        self.0 = frame;
    }

    #[cold]
    fn clear(&mut self) {
        while let Some(frame) = NonNull::new(self.0) {
            // INVARIANT: The first one is taken out.
            // SAFETY: By the type invariants.
            unsafe {
                self.0 = (*frame.as_ptr()).dev_rx.cast();
                drop(XdpFrame::from_raw(frame));
            }
        }
    }
}

impl Drop for SentFrames {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Frames that are to be sent, in their order.
///
/// Context: softirq.
///
/// # Invariants
///
/// `frames` are `n`; those before `at` were taken, those from there on are frames that nobody else does anything with for as long
/// as `'a`.
pub(crate) struct FrameList<'a> {
    frames: *mut *mut bindings::xdp_frame,
    n: u32,
    at: u32,
    _a: PhantomData<(&'a (), *mut ())>,
}

impl FrameList<'_> {
    /// # Safety
    ///
    /// The type's invariants hold, with none taken.
    #[inline(always)]
    unsafe fn new(frames: *mut *mut bindings::xdp_frame, n: u32) -> Self {
        // INVARIANT: By this function's contract.
        Self {
            frames,
            n,
            at: 0,
            _a: PhantomData,
        }
    }

    /// Returns how many there are, those that were taken included.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        self.n
    }

    /// Returns how many were taken.
    #[inline(always)]
    pub(crate) fn taken(&self) -> u32 {
        self.at
    }

    /// Returns those that are left: the first, and how many.
    #[inline(always)]
    pub(crate) fn left(&mut self) -> (*mut *mut bindings::xdp_frame, u32) {
        // SAFETY: Inside of the list, or at its end, by the type invariants. CAST: widening.
        let first = unsafe { self.frames.add(self.at as usize) };
        (first, self.n.saturating_sub(self.at))
    }

    /// Takes the next `n`.
    ///
    /// # Safety
    ///
    /// So many are left, and have another owner now.
    #[inline(always)]
    pub(crate) unsafe fn take(&mut self, n: u32) {
        // INVARIANT: By this function's contract.
        self.at = self.at.wrapping_add(n);
    }
}

/// The frames of one call of `ndo_xdp_xmit`, which runs with softirqs off.
///
/// Those that aren't taken are the caller's.
///
/// Context: softirq.
pub(crate) struct XmitBatch<'a>(FrameList<'a>);

impl<'a> XmitBatch<'a> {
    /// # Safety
    ///
    /// Inside of `ndo_xdp_xmit`, with its arguments.
    pub(super) unsafe fn new(frames: *mut *mut bindings::xdp_frame, n: i32) -> Self {
        // SAFETY: The core's list, whose frames are ours to take during the call.
        Self(unsafe { FrameList::new(frames, n.max(0).cast_unsigned()) })
    }

    /// Returns the frames of the call.
    #[inline(always)]
    pub(crate) fn frames(&mut self) -> &mut FrameList<'a> {
        &mut self.0
    }

    /// Returns the CPU that this runs on.
    pub(crate) fn cpu(&self) -> u32 {
        // SAFETY: Reads a number, which stays the same with softirqs off.
        unsafe { bindings::smp_processor_id() }.cast_unsigned()
    }
}

/// Frames that a [`Bulk`] has room for.
const BULK: usize = 16;

/// Frames that are to be sent together.
///
/// Context: softirq.
///
/// # Invariants
///
/// The first `n` are frames that belong to this value; there is room for [`BULK`].
pub(crate) struct Bulk {
    frames: [MaybeUninit<*mut bindings::xdp_frame>; BULK],
    n: usize,
}

impl Bulk {
    /// Makes one without frames.
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        // INVARIANT: None.
        Self {
            frames: [const { MaybeUninit::uninit() }; BULK],
            n: 0,
        }
    }

    /// Returns whether there are none.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Returns whether there is no room for another one.
    #[inline(always)]
    pub(crate) fn is_full(&self) -> bool {
        self.n >= BULK
    }

    /// Takes a frame.
    ///
    /// A frame that there is no room for is dropped.
    #[inline(always)]
    pub(crate) fn push(&mut self, frame: XdpFrame) {
        let n = self.n;
        if let Some(slot) = self.frames.get_mut(n) {
            slot.write(frame.into_raw().as_ptr());
            // INVARIANT: It is the last one now.
            self.n = n.wrapping_add(1);
        }
    }

    /// Has `add` take frames, from the first on, drops those that it doesn't take, and returns how
    /// many there were, and how many were dropped.
    #[inline(always)]
    pub(crate) fn send(&mut self, add: impl FnOnce(&mut FrameList<'_>)) -> (u32, u32) {
        // CAST: 16 at most.
        let n = core::mem::take(&mut self.n) as u32;
        // INVARIANT: All of them are the list's now.
        // SAFETY: So many there are.
        let mut list = unsafe { FrameList::new(self.frames.as_mut_ptr().cast(), n) };
        add(&mut list);
        let (first, left) = list.left();
        if left != 0 {
            // SAFETY: They were this value's, and nobody has taken them.
            unsafe { discard(first, left) };
        }
        (n, left)
    }
}

impl Drop for Bulk {
    #[inline(always)]
    fn drop(&mut self) {
        if self.n != 0 {
            let _ = self.send(|_| {});
        }
    }
}

/// Drops `n` frames.
///
/// # Safety
///
/// They are the caller's, who has no more use for them.
#[cold]
unsafe fn discard(mut frame: *mut *mut bindings::xdp_frame, n: u32) {
    for _ in 0..n {
        // SAFETY: By this function's contract.
        unsafe {
            bindings::xdp_put_frame(*frame);
            frame = frame.add(1);
        }
    }
}
