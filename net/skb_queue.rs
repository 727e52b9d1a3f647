// SPDX-License-Identifier: GPL-2.0

//! Received packets that wait, first in, first out.

use super::skb::{
    DropReason,
    ReceivedSkb, //
};
use crate::bindings;
use core::{
    marker::PhantomPinned,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// The C object, a `struct sk_buff_head`.
#[pin_data]
struct Head {
    #[pin]
    head: Opaque<bindings::sk_buff_head>,
    #[pin]
    _pin: PhantomPinned,
}

/// A queue of received packets, with a lock of its own.
///
/// # Invariants
///
/// The head is initialised. Each packet in it is what [`ReceivedSkb`] is, and its reference the queue's.
///
/// C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)
pub(crate) struct SkbQueue {
    head: Pin<KBox<Head>>,
    limit: u32,
}

// SAFETY: The packets may be passed between CPUs, and the lock serialises those that use the queue.
unsafe impl Send for SkbQueue {}
// SAFETY: As above.
unsafe impl Sync for SkbQueue {}

impl SkbQueue {
    /// Makes an empty queue for `limit` packets.
    ///
    /// Context: process.
    ///
    /// # Errors
    ///
    /// Returns `ENOMEM`.
    pub(crate) fn new(limit: u32) -> Result<Self> {
        let head = KBox::pin_init(
            pin_init!(Head {
                // SAFETY: `ffi_init` gives a place that is valid for writes, and pinned.
                head <- Opaque::ffi_init(|p| unsafe { bindings::skb_queue_head_init(p) }),
                _pin: PhantomPinned,
            }),
            GFP_KERNEL,
        )?;
        // INVARIANT: Initialised, and without packets.
        Ok(Self { head, limit })
    }

    /// Adds a packet.
    ///
    /// Senders that do so at once may exceed the limit by one each.
    ///
    /// Context: any.
    ///
    /// # Errors
    ///
    /// Returns the packet if as many wait as may.
    pub(crate) fn push(&self, skb: ReceivedSkb) -> Result<(), ReceivedSkb> {
        let head = self.head.head.get();
        // SAFETY: Initialised by the type invariants; a look without the lock, as C has it.
        if unsafe { bindings::skb_queue_len_lockless(head) } >= self.limit {
            return Err(skb);
        }
        // INVARIANT: The reference goes over.
        // SAFETY: Initialised by the type invariants. The packet is nobody else's, so its links are free.
        unsafe { bindings::skb_queue_tail(head, skb.into_raw().as_ptr()) };
        Ok(())
    }

    /// Takes the packet that has waited longest.
    ///
    /// Context: any.
    pub(crate) fn pop(&self) -> Option<ReceivedSkb> {
        // SAFETY: Initialised by the type invariants.
        let skb = NonNull::new(unsafe { bindings::skb_dequeue(self.head.head.get()) })?;
        // INVARIANT: As in the queue.
        // SAFETY: The reference was the queue's.
        Some(unsafe { ReceivedSkb::from_raw(skb) })
    }

    /// Drops all packets.
    ///
    /// Context: any.
    pub(crate) fn clear(&self, reason: DropReason) {
        while let Some(skb) = self.pop() {
            skb.drop_with(reason);
        }
    }
}

impl Drop for SkbQueue {
    fn drop(&mut self) {
        self.clear(DropReason::DevReady);
    }
}
