// SPDX-License-Identifier: GPL-2.0

//! Buffers of any virtqueue: what describes itself to the device, and one way in for all of it.
//!
//! Rings with a form of their own for speed ([`super::rx_ring`], [`super::tx_ring`]) need none of
//! this.
//!
//! C headers: [`include/linux/virtio.h`](srctree/include/linux/virtio.h),
//! [`include/linux/scatterlist.h`](srctree/include/linux/scatterlist.h)

use super::{
    virtqueue::{
        Virtqueue,
        VqBuffer, //
    },
    Device, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    ffi::c_void,
    ptr::NonNull, //
};
use kernel::{
    alloc::Flags,
    prelude::*, //
};

/// The most descriptors of a buffer.
const MAX_DESCS: usize = 8;
/// The bit of the transport's feature INDIRECT_DESC.
const INDIRECT_DESC: u32 = 28;

/// Memory that a buffer consists of, in the order of its descriptors.
pub(crate) struct Descs {
    sg: [bindings::scatterlist; MAX_DESCS],
    readable: usize,
    used: usize,
    full: bool,
}

impl Descs {
    fn new() -> Self {
        Self {
            sg: [bindings::scatterlist::default(); MAX_DESCS],
            readable: 0,
            used: 0,
            full: false,
        }
    }

    fn push(&mut self, buf: *const u8, len: usize) {
        // No descriptor may be empty.
        if len == 0 {
            return;
        }
        let (Some(sg), Ok(len)) = (self.sg.get_mut(self.used), u32::try_from(len)) else {
            self.full = true;
            return;
        };
        // SAFETY: A list of one entry, which only notes where the memory is.
        unsafe {
            bindings::sg_table_init(sg, 1);
            bindings::sg_set_buf(sg, buf.cast(), len);
        }
        self.used = self.used.saturating_add(1);
    }

    /// Adds memory that the device reads, which comes before all that the device writes.
    pub(super) fn readable(&mut self, buf: *const u8, len: usize) {
        self.full |= self.readable != self.used;
        self.push(buf, len);
        self.readable = self.used;
    }

    /// Adds memory that the device writes.
    pub(super) fn writable(&mut self, buf: *const u8, len: usize) {
        self.push(buf, len);
    }
}

/// A buffer that says itself what memory it consists of.
///
/// # Safety
///
/// What `describe` adds is memory from kmalloc that the buffer owns, and that neither moves nor goes before
/// the buffer comes back or is dropped; nothing refers to what the device writes meanwhile.
///
/// # Examples
///
/// `samples/virtio_rng.rs` has a queue of [`WriteBuf`]s.
pub(crate) unsafe trait SgBuffer: VqBuffer {
    /// Adds the buffer's memory to `descs`.
    ///
    /// Context: process.
    fn describe(&mut self, descs: &mut Descs);
}

impl<T: VqBuffer> Virtqueue<T> {
    /// Returns whether a buffer's descriptors may be in a table of their own, which takes one of
    /// the ring's (INDIRECT_DESC, 2.7.5.3).
    pub(super) fn has_tables(&self) -> bool {
        // SAFETY: By the type invariants the queue is valid; its device outlives it.
        let dev: &Device = unsafe { Device::from_raw((*self.as_raw()).vdev) };
        dev.features().has(INDIRECT_DESC)
    }
}

impl<T: SgBuffer> Virtqueue<T> {
    /// Adds a buffer, of which [`Virtqueue::kick`] notifies the device.
    ///
    /// Context: process.
    ///
    /// # Errors
    ///
    /// Returns the buffer with `ENOSPC` if the ring is full or too small, `EIO` if it is broken,
    /// `ENOMEM`, or `EINVAL` if it is empty or has more than eight parts.
    pub(crate) fn add(&mut self, mut buf: T) -> Result<(), (Error, T)> {
        let mut descs = Descs::new();
        buf.describe(&mut descs);
        if descs.full || descs.used == 0 {
            return Err((EINVAL, buf));
        }
        // CAST: At most eight.
        let (used, readable) = (descs.used as u32, descs.readable as u32);
        if used > self.size() && !self.has_tables() {
            // The virtio core would warn.
            return Err((ENOSPC, buf));
        }
        let mut sgs = [core::ptr::null_mut(); MAX_DESCS];
        for (list, sg) in sgs.iter_mut().zip(&mut descs.sg) {
            *list = core::ptr::from_mut(sg);
        }
        let raw = buf.into_raw();
        // SAFETY: That many lists, the readable ones first, of memory that the buffer owns; the buffer is given
        // away.
        let err = unsafe {
            bindings::virtqueue_add_sgs(
                self.as_raw(),
                sgs.as_mut_ptr(),
                readable,
                used.wrapping_sub(readable),
                raw.as_ptr(),
                bindings::GFP_KERNEL,
            )
        };
        if err != 0 {
            // SAFETY: Refused: the buffer is still ours.
            return Err((Error::from_errno(err), unsafe { T::from_raw(raw) }));
        }
        Ok(())
    }
}

/// Memory that the device writes to.
///
/// # Invariants
///
/// Nothing refers to the bytes in the cell: a device may write there though it said that it is done.
#[allow(dead_code, reason = "for drivers of other devices")]
pub(crate) struct WriteBuf<const N: usize>(KBox<UnsafeCell<[u8; N]>>);

// SAFETY: The box has one owner, and through a shared reference its bytes are only read, without a reference to them.
unsafe impl<const N: usize> Sync for WriteBuf<N> {}

#[allow(dead_code, reason = "as above")]
impl<const N: usize> WriteBuf<N> {
    /// Makes a buffer of zeros.
    ///
    /// Context: process.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(crate) fn new(flags: Flags) -> Result<Self> {
        Ok(Self(KBox::new(UnsafeCell::new([0; N]), flags)?))
    }

    /// Copies the first `len` bytes to the beginning of `out`, or as many as there are and find
    /// room, and returns how many.
    ///
    /// Context: any.
    pub(crate) fn copy_to(&self, out: &mut [u8], len: u32) -> usize {
        // CAST: A `usize` has 64 bits.
        let n = (len as usize).min(N).min(out.len());
        let bytes = self.0.get().cast::<u8>();
        for (at, to) in out.iter_mut().take(n).enumerate() {
            // SAFETY: Below `N`. Volatile, since a device may write there at any time: what is read is what was there once.
            *to = unsafe { bytes.add(at).read_volatile() };
        }
        n
    }
}

// SAFETY: A box's pointer goes and comes back.
unsafe impl<const N: usize> VqBuffer for WriteBuf<N> {
    fn into_raw(self) -> NonNull<c_void> {
        // SAFETY: A box isn't null.
        unsafe { NonNull::new_unchecked(KBox::into_raw(self.0).cast()) }
    }

    unsafe fn from_raw(p: NonNull<c_void>) -> Self {
        // SAFETY: Came from a box.
        Self(unsafe { KBox::from_raw(p.as_ptr().cast()) })
    }
}

// SAFETY: The box's memory is from kmalloc and its own.
unsafe impl<const N: usize> SgBuffer for WriteBuf<N> {
    fn describe(&mut self, descs: &mut Descs) {
        descs.writable(self.0.get().cast(), N);
    }
}
