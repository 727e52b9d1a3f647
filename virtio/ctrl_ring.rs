// SPDX-License-Identifier: GPL-2.0

//! What goes into the control virtqueue: one command with its reply.
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)
//!
//! Context: process.

use super::{
    buffer::{
        Descs,
        SgBuffer, //
    },
    virtqueue::{
        Virtqueue,
        VqBuffer, //
    }, //
};
use crate::{
    bindings,
    pure::ctrl::parts, //
};
use core::{
    ffi::c_void,
    ptr::NonNull, //
};
use kernel::prelude::*;

/// What the device reads of a command: class and command, then data in one part or two.
///
/// Each part gets a descriptor of its own. Drivers must cut commands so where ANY_LAYOUT wasn't
/// negotiated (specification 5.1.6.6), and there are devices that count on it whatever was.
pub(crate) struct Request {
    bytes: KVec<u8>,
    /// Bytes of data in the first part.
    cut: usize,
}

impl Request {
    /// A request with nothing in it yet.
    const EMPTY: Self = Self {
        bytes: KVec::new(),
        cut: usize::MAX,
    };

    /// Makes a command without data so far.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(crate) fn new(class: u8, cmd: u8) -> Result<Self> {
        let mut this = Self::EMPTY;
        this.reserve(16)?;
        this.push(&[class, cmd])?;
        Ok(this)
    }

    /// Makes room for `n` more bytes at once.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(crate) fn reserve(&mut self, n: usize) -> Result {
        Ok(self.bytes.reserve(n, GFP_KERNEL)?)
    }

    /// Appends to the data.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(crate) fn push(&mut self, data: &[u8]) -> Result {
        Ok(self.bytes.extend_from_slice(data, GFP_KERNEL)?)
    }

    /// Begins the second part of the data with what is appended from now on.
    pub(crate) fn cut(&mut self) {
        self.cut = self.bytes.len().saturating_sub(2);
    }

    /// Returns the parts in order, any of which may be empty.
    fn parts(&self) -> [&[u8]; 3] {
        parts(&self.bytes, self.cut)
    }
}

/// A command buffer: what the device reads, and where it writes.
///
/// The ring owns it while the device has it. A device that answers late, after the driver has
/// stopped waiting, still writes into this memory and no other.
///
/// A device may also write after it has said that it is done: one that says so twice for a command
/// seems to have answered the next one, which it is only about to. So buffers are used again and
/// again rather than freed, and go when the device is reset or gone.
///
/// For the same reason nothing refers to the reply's bytes: they are read one by one, each once.
///
/// # Invariants
///
/// `reply` stays empty, so it stays where it is too: it is the memory that it has room for, the
/// first `reply_len` bytes of which were written. `reply_len` is within its capacity.
pub(crate) struct Command {
    request: Request,
    reply: KVec<u8>,
    reply_len: usize,
    /// The smaller one that was used before.
    older: Option<KBox<Command>>,
}

impl Command {
    /// Makes an empty command that can take replies of `room` bytes, the ack included, or more.
    ///
    /// It takes the place of `older`, which is kept if this fails.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(crate) fn replace(older: &mut Option<KBox<Self>>, room: usize) -> Result<KBox<Self>> {
        let room = room.max(64).checked_next_power_of_two().ok_or(EINVAL)?;
        let mut new = KBox::new(
            Self {
                request: Request::EMPTY,
                // INVARIANT: Empty, and 0 bytes of it written.
                reply: KVec::with_capacity(room, GFP_KERNEL)?,
                reply_len: 0,
                older: None,
            },
            GFP_KERNEL,
        )?;
        new.older = older.take();
        Ok(new)
    }

    /// Returns the bytes of the largest reply, the ack included.
    pub(crate) fn room(&self) -> usize {
        self.reply.capacity()
    }

    /// Becomes the command `request`, with room for a reply of `reply_len` bytes.
    fn load(&mut self, request: Request, reply_len: usize) -> Result {
        if reply_len == 0 || reply_len > self.room() {
            return Err(EINVAL);
        }
        self.request = request;
        let reply = self.reply.as_mut_ptr();
        for at in 0..reply_len {
            // SAFETY: Within the capacity, which was checked. Volatile as for `byte`.
            unsafe { reply.add(at).write_volatile(0xff) };
        }
        // INVARIANT: They were just written, within the capacity.
        self.reply_len = reply_len;
        Ok(())
    }

    /// Returns byte `at` of the reply, whatever the device made of it.
    fn byte(&self, at: usize) -> Option<u8> {
        // SAFETY: Written before and within the capacity, by the type's invariants. Volatile since a
        // device may write there though it said that it is done: what is read is what was there once.
        (at < self.reply_len).then(|| unsafe { self.reply.as_ptr().add(at).read_volatile() })
    }

    /// Returns the answer, the first byte of the reply, or `None` before [`Virtqueue::submit`].
    pub(crate) fn ack(&self) -> Option<u8> {
        self.byte(0)
    }

    /// Returns a copy of what is behind the answer, `len` bytes or as many as there is room for.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(crate) fn result(&self, len: usize) -> Result<KVec<u8>> {
        let len = len.min(self.reply_len.saturating_sub(1));
        let mut copy = KVec::with_capacity(len, GFP_KERNEL)?;
        for at in 1..=len {
            copy.push(self.byte(at).ok_or(EIO)?, GFP_KERNEL)?;
        }
        Ok(copy)
    }
}

// SAFETY: A box's pointer goes and comes back; it owns both vectors.
unsafe impl VqBuffer for KBox<Command> {
    fn into_raw(self) -> NonNull<c_void> {
        // SAFETY: A box isn't null.
        unsafe { NonNull::new_unchecked(KBox::into_raw(self).cast()) }
    }

    unsafe fn from_raw(p: NonNull<c_void>) -> Self {
        // SAFETY: Came from a box.
        unsafe { KBox::from_raw(p.as_ptr().cast()) }
    }
}

// SAFETY: Both vectors are from kmalloc and the command's, which neither moves them nor frees them before it
// comes back. Nothing refers to the reply's bytes.
unsafe impl SgBuffer for KBox<Command> {
    /// Describes class and command, and the data; then the answer's byte, and the result.
    fn describe(&mut self, descs: &mut Descs) {
        for part in self.request.parts() {
            descs.readable(part.as_ptr(), part.len());
        }
        let reply = self.reply.as_mut_ptr().cast_const();
        descs.writable(reply, self.reply_len.min(1));
        descs.writable(reply.wrapping_add(1), self.reply_len.saturating_sub(1));
    }
}

impl Virtqueue<KBox<Command>> {
    /// Adds the command `request` to the ring, with room for a reply of `reply_len` bytes (the ack
    /// included), and notifies the device.
    ///
    /// A queue that is found broken then is so for good.
    ///
    /// # Errors
    ///
    /// Returns the command with `EINVAL` for a reply larger than [`Command::room`] or none,
    /// `ENOSPC` if the ring is full or too small, `EIO` if it is broken, or `ENOMEM`.
    pub(crate) fn submit(
        &mut self,
        mut cmd: KBox<Command>,
        request: Request,
        reply_len: usize,
    ) -> Result<(), (Error, KBox<Command>)> {
        if let Err(e) = cmd.load(request, reply_len) {
            return Err((e, cmd));
        }
        self.add(cmd)?;
        // SAFETY: By the type invariants the queue is valid and ours. False is a broken queue,
        // which `is_broken` tells.
        unsafe { bindings::virtqueue_kick(self.as_raw()) };
        Ok(())
    }
}
