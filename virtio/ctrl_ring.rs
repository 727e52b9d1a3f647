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
/// # Invariants
///
/// `reply` is never longer than its first capacity, so it stays where it is.
pub(crate) struct Command {
    out: KVec<u8>,
    reply: KVec<u8>,
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
                // INVARIANT: `load` keeps within this.
                reply: KVec::with_capacity(room, GFP_KERNEL)?,
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
        self.reply.clear();
        // INVARIANT: Within the capacity, so nothing moves.
        Ok(self.reply.resize(reply_len, 0xff, GFP_KERNEL)?)
    }

    /// The reply's bytes, whatever the device made of them.
    pub(crate) fn reply(&self) -> &[u8] {
        &self.reply
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
        let len = |v: &KVec<u8>| u32::try_from(v.len());
        let (Ok(out_len), Ok(reply_len)) = (len(&cmd.out), len(&cmd.reply)) else {
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
