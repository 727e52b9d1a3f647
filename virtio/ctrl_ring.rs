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
pub(crate) struct Command {
    out: KVec<u8>,
    reply: KVec<u8>,
}

impl Command {
    /// A command of the bytes `out`, with room for a reply of `reply_len` bytes (the ack
    /// included).
    pub(crate) fn new(out: KVec<u8>, reply_len: usize) -> Result<KBox<Self>> {
        let mut reply = KVec::with_capacity(reply_len, GFP_KERNEL)?;
        reply.resize(reply_len, 0xff, GFP_KERNEL)?;
        Ok(KBox::new(Self { out, reply }, GFP_KERNEL)?)
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
    /// Gives a command to the device and kicks. Process context.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the ring is full, `EIO` if it is broken.
    pub(crate) fn submit(&mut self, mut cmd: KBox<Command>) -> Result {
        let len = |v: &KVec<u8>| u32::try_from(v.len());
        let out_len = len(&cmd.out)?;
        let reply_len = len(&cmd.reply)?;
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
            drop(unsafe { KBox::<Command>::from_raw(token.as_ptr().cast()) });
            return Err(Error::from_errno(err));
        }
        // SAFETY: The queue is valid and ours.
        if !unsafe { bindings::virtqueue_kick(self.as_raw()) } {
            return Err(EIO);
        }
        Ok(())
    }
}
