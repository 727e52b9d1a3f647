// SPDX-License-Identifier: GPL-2.0

//! What goes into the control virtqueue: one command with its reply.

use super::virtqueue::{
    Token,
    Virtqueue, //
};
use crate::bindings;
use core::{
    ffi::c_void,
    ptr::NonNull, //
};
use kernel::prelude::*;

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
    out: KVec<u8>,
    reply: KVec<u8>,
    reply_len: usize,
    /// The smaller one that was used before.
    older: Option<KBox<Command>>,
}

impl Command {
    /// An empty command that can take replies of `room` bytes, the ack included, or more. Takes the
    /// place of `older`, which is kept if this fails.
    pub(crate) fn replace(older: &mut Option<KBox<Self>>, room: usize) -> Result<KBox<Self>> {
        let room = room.max(64).checked_next_power_of_two().ok_or(EINVAL)?;
        let mut new = KBox::new(
            Self {
                out: KVec::new(),
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

    /// Bytes of the largest reply, the ack included.
    pub(crate) fn room(&self) -> usize {
        self.reply.capacity()
    }

    /// Makes it a command of the bytes `out`, with room for a reply of `reply_len` bytes.
    fn load(&mut self, out: KVec<u8>, reply_len: usize) -> Result {
        if reply_len == 0 || reply_len > self.room() {
            return Err(EINVAL);
        }
        self.out = out;
        let reply = self.reply.as_mut_ptr();
        for at in 0..reply_len {
            // SAFETY: Within the capacity, which was checked. Volatile as for `byte`.
            unsafe { reply.add(at).write_volatile(0xff) };
        }
        // INVARIANT: They were just written, within the capacity.
        self.reply_len = reply_len;
        Ok(())
    }

    /// Byte `at` of the reply, whatever the device made of it.
    fn byte(&self, at: usize) -> Option<u8> {
        // SAFETY: Written before and within the capacity, by the type's invariants. Volatile since a
        // device may write there though it said that it is done: what is read is what was there once.
        (at < self.reply_len).then(|| unsafe { self.reply.as_ptr().add(at).read_volatile() })
    }

    /// The answer, the first byte of the reply; none before [`Virtqueue::submit`].
    pub(crate) fn ack(&self) -> Option<u8> {
        self.byte(0)
    }

    /// A copy of the `len` bytes behind the answer.
    ///
    /// # Errors
    ///
    /// `EIO` if the reply has no room for so many, `ENOMEM`.
    pub(crate) fn result(&self, len: usize) -> Result<KVec<u8>> {
        if len >= self.reply_len {
            return Err(EIO);
        }
        let mut copy = KVec::with_capacity(len, GFP_KERNEL)?;
        for at in 1..=len {
            copy.push(self.byte(at).ok_or(EIO)?, GFP_KERNEL)?;
        }
        Ok(copy)
    }
}

// SAFETY: A box's pointer goes and comes back; it owns both vectors.
unsafe impl Token for KBox<Command> {
    fn into_raw(self) -> NonNull<c_void> {
        // SAFETY: A box isn't null.
        unsafe { NonNull::new_unchecked(KBox::into_raw(self).cast()) }
    }

    unsafe fn from_raw(p: NonNull<c_void>) -> Self {
        // SAFETY: Came from a box.
        unsafe { KBox::from_raw(p.as_ptr().cast()) }
    }
}

impl Virtqueue<KBox<Command>> {
    /// Gives a command of the bytes `out` to the device, with room for a reply of `reply_len` bytes
    /// (the ack included), and kicks. A queue that is found broken then is so for good. Process
    /// context.
    ///
    /// # Errors
    ///
    /// With the command: `EINVAL` for a reply larger than [`Command::room`] or none, `ENOSPC` if the
    /// ring is full, `EIO` if it is broken, `ENOMEM`.
    pub(crate) fn submit(
        &mut self,
        mut cmd: KBox<Command>,
        out: KVec<u8>,
        reply_len: usize,
    ) -> Result<(), (Error, KBox<Command>)> {
        if let Err(e) = cmd.load(out, reply_len) {
            return Err((e, cmd));
        }
        let (Ok(out_len), Ok(reply_len)) =
            (u32::try_from(cmd.out.len()), u32::try_from(cmd.reply_len))
        else {
            return Err((EINVAL, cmd));
        };
        // The answer's byte in a descriptor of its own, as in the specification's legacy framing,
        // then the result if there is one.
        let (ack_len, result_len) = (reply_len.min(1), reply_len.saturating_sub(1));
        let lists: u32 = if result_len > 0 { 2 } else { 1 };
        let mut sg = [bindings::scatterlist::default(); 3];
        let [out, ack, result] = &mut sg;
        // SAFETY: All ranges are heap memory (kmalloc) that the token owns, `result` begins where
        // `ack` ends; each list has one entry. The last is only used if it has a length.
        unsafe {
            bindings::sg_table_init(out, 1);
            bindings::sg_set_buf(out, cmd.out.as_ptr().cast(), out_len);
            let reply = cmd.reply.as_mut_ptr();
            bindings::sg_table_init(ack, 1);
            bindings::sg_set_buf(ack, reply.cast(), ack_len);
            bindings::sg_table_init(result, 1);
            if result_len > 0 {
                bindings::sg_set_buf(result, reply.add(1).cast(), result_len);
            }
        }
        let mut sgs = [out, ack, result].map(core::ptr::from_mut);
        let token = cmd.into_raw();
        // SAFETY: One readable list, then the writable ones; the token is given away.
        let err = unsafe {
            bindings::virtqueue_add_sgs(
                self.as_raw(),
                sgs.as_mut_ptr(),
                1,
                lists,
                token.as_ptr(),
                bindings::GFP_KERNEL,
            )
        };
        if err != 0 {
            // SAFETY: Refused: the token is still ours.
            let cmd = unsafe { KBox::<Command>::from_raw(token.as_ptr().cast()) };
            return Err((Error::from_errno(err), cmd));
        }
        // SAFETY: The queue is valid and ours. False is a broken queue, which `is_broken` tells.
        unsafe { bindings::virtqueue_kick(self.as_raw()) };
        Ok(())
    }
}
