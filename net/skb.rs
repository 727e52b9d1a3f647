// SPDX-License-Identifier: GPL-2.0

//! Owned socket buffers.
//!
//! An [`SkBuff`] has one owner. Its parameter says where it comes from, and with that what may be done with
//! it:
//!
//! - [`TxSkb`]: given to `ndo_start_xmit`, in this very call; it alone can be given back;
//! - [`SentSkb`]: taken out of a transmit ring; others may have clones of it or references to it;
//! - [`RxSkb`]: made by this layer around what was received, nobody else has it;
//! - [`ReceivedSkb`]: the same with its device, protocol and checksum state, for the stack.
//!
//! It ends by one of these verbs, each of which takes it by value: [`SkBuff::consume`] and
//! [`SkBuff::napi_consume`] (sent), [`SkBuff::drop_with`] (given up, with a reason),
//! [`super::napi::NapiRef::gro_receive`] (received), or as the token of a virtqueue buffer. One that goes
//! out of scope is given up without a reason, which is said once.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use crate::{
    bindings,
    pure::rss::RxHash, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::pr_warn_once;

/// Why a packet is given up (`enum skb_drop_reason`), as `drop_monitor` and tracing see it.
#[derive(Clone, Copy)]
pub(crate) enum DropReason {
    /// The device's header makes no sense.
    DevHdr,
    /// The ring took no more packets.
    FullRing,
    /// There is no memory.
    NoMem,
    /// The device is going down or broken.
    DevReady,
    /// None of the other reasons fits.
    NotSpecified,
}

impl DropReason {
    fn as_raw(self) -> bindings::skb_drop_reason {
        match self {
            Self::DevHdr => bindings::skb_drop_reason_SKB_DROP_REASON_DEV_HDR,
            Self::FullRing => bindings::skb_drop_reason_SKB_DROP_REASON_FULL_RING,
            Self::NoMem => bindings::skb_drop_reason_SKB_DROP_REASON_NOMEM,
            Self::DevReady => bindings::skb_drop_reason_SKB_DROP_REASON_DEV_READY,
            Self::NotSpecified => bindings::skb_drop_reason_SKB_DROP_REASON_NOT_SPECIFIED,
        }
    }
}

/// Up to this many bytes are rather copied than left where they are.
///
/// They are copied of a received packet, so that its buffer is free again at once, and of one to be
/// sent that is in pieces, because a table of more than one descriptor costs more.
pub(crate) const COPYBREAK: u32 = 128;

/// In which context packets are freed that were sent (`napi_consume_skb`).
///
/// It is inside of a poll, or where softirqs are off and interrupts on, for as long as `'a`; or
/// anywhere.
pub(crate) struct ConsumeContext<'a> {
    budget: i32,
    _a: PhantomData<(&'a (), *mut ())>,
}

impl ConsumeContext<'_> {
    /// # Safety
    ///
    /// If `budget` isn't 0 softirqs are off and interrupts on, for as long as this exists.
    #[inline(always)]
    pub(super) unsafe fn new(budget: i32) -> Self {
        Self {
            budget,
            _a: PhantomData,
        }
    }

    #[inline(always)]
    pub(super) fn budget(&self) -> i32 {
        self.budget
    }
}

/// What became of a packet given to `start_xmit`.
pub(crate) enum Xmit<'x> {
    /// The driver took it, which means that it is sent, or dropped and counted.
    Ok,
    /// The driver can't take it now and gives it back, and its queue is stopped.
    Busy(TxSkb<'x>),
}

/// Marks a packet given to `ndo_start_xmit`.
///
/// The lifetime is that call's and no other's: it is invariant, and a driver's function takes any.
pub(crate) struct Outgoing<'x>(PhantomData<fn(&'x ()) -> &'x ()>);

/// Marks a packet that was in a transmit ring.
pub(crate) struct Sent(());

/// Marks a packet that was made for reception.
pub(crate) struct Incoming(());

/// Marks a packet that the stack may have.
pub(crate) struct Received(());

/// A packet to be sent.
pub(crate) type TxSkb<'x> = SkBuff<Outgoing<'x>>;
/// A packet that was sent, or never will be.
pub(crate) type SentSkb = SkBuff<Sent>;
/// A packet that was received.
pub(crate) type RxSkb = SkBuff<Incoming>;
/// A packet that was received, with all that the stack wants to know.
pub(crate) type ReceivedSkb = SkBuff<Received>;

/// An owned `struct sk_buff`.
///
/// Context: any, unless a function says otherwise.
///
/// # Invariants
///
/// The pointer is to a valid skb that this value owns one reference to.
///
/// - `Outgoing<'x>`: it was given to the `ndo_start_xmit` that `'x` stands for.
/// - `Incoming`: nobody else has a reference or a clone. It is marked for recycling (`pp_recycle`), and its
///   head, which was allocated by NAPI or built around a fragment, has an Ethernet header.
/// - `Received`: its device, protocol and MAC header are set as `eth_type_trans` does, and the packet
///   agrees with its checksum and GSO state.
#[repr(transparent)]
pub(crate) struct SkBuff<S>(NonNull<bindings::sk_buff>, PhantomData<S>);

// SAFETY: An skb may be passed between CPUs; the owner of a reference is unique.
unsafe impl<S> Send for SkBuff<S> {}

impl<S> SkBuff<S> {
    /// Takes a reference for a packet that this owns.
    ///
    /// # Safety
    ///
    /// The caller owns a reference to a valid skb and gives it away; the type's invariants for `S` hold.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(skb: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: By this function's contract.
        Self(skb, PhantomData)
    }

    /// Returns the C object, whose ownership stays here.
    #[inline(always)]
    pub(crate) fn as_raw(&self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    /// Gives the reference away.
    #[inline(always)]
    pub(crate) fn into_raw(self) -> NonNull<bindings::sk_buff> {
        ManuallyDrop::new(self).0
    }

    /// Returns the length in bytes, all fragments.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        // SAFETY: By the type invariants the skb is valid; whoever else has a reference doesn't
        // change it.
        unsafe { (*self.as_raw()).len }
    }

    /// Frees a packet that did what it was there for.
    #[allow(dead_code)] // Drivers with rings don't.
    pub(crate) fn consume(self) {
        // SAFETY: By the type invariant the reference is ours, and goes.
        unsafe {
            bindings::dev_kfree_skb_any_reason(
                self.into_raw().as_ptr(),
                bindings::skb_drop_reason_SKB_CONSUMED,
            );
        }
    }

    /// Frees a packet that was not delivered.
    pub(crate) fn drop_with(self, reason: DropReason) {
        // SAFETY: By the type invariant the reference is ours, and goes.
        unsafe { bindings::dev_kfree_skb_any_reason(self.into_raw().as_ptr(), reason.as_raw()) };
    }
}

impl TxSkb<'_> {
    /// Returns the TX queue that the stack chose.
    #[inline(always)]
    pub(super) fn queue_mapping(&self) -> u16 {
        // SAFETY: By the type invariants the skb is valid.
        unsafe { (*self.as_raw()).queue_mapping }
    }

    /// Returns whether the packet is in pieces.
    ///
    /// Context: any.
    #[inline(always)]
    pub(crate) fn is_nonlinear(&self) -> bool {
        // SAFETY: By the type invariants the skb is valid; whoever else has a reference doesn't
        // change it.
        unsafe { (*self.as_raw()).data_len != 0 }
    }

    /// Takes the software transmit timestamp, if the socket asked for one.
    #[inline(always)]
    pub(super) fn tx_timestamp(&mut self) {
        // SAFETY: By the type invariants the skb is valid, and this is `ndo_start_xmit`.
        unsafe { bindings::skb_tx_timestamp(self.as_raw()) };
    }
}

impl SentSkb {
    /// Frees a packet that was sent, by the CPU's cache of skbs where there is one.
    ///
    /// Context: softirq, or any if `context` says so.
    #[inline(always)]
    pub(crate) fn napi_consume(self, context: &ConsumeContext<'_>) {
        // SAFETY: By the type invariant the reference is ours, and goes; the context is one in which the
        // budget says the truth.
        unsafe { bindings::napi_consume_skb(self.into_raw().as_ptr(), context.budget()) };
    }
}

impl RxSkb {
    /// Returns the number of page fragments.
    pub(super) fn nr_frags(&self) -> u32 {
        // SAFETY: By the type invariants the skb is valid.
        unsafe { bindings::skb_nr_frags(self.as_raw()) }
    }

    /// Sets the hash of a received packet.
    ///
    /// Context: any.
    #[inline]
    pub(crate) fn set_rx_hash(&mut self, hash: RxHash) {
        // SAFETY: By the type invariants the skb is valid, and nobody else's.
        unsafe { bindings::skb_set_rx_hash(self.as_raw(), hash.value, hash.ports()) };
    }
}

impl ReceivedSkb {
    /// Returns the length with the Ethernet header, which is taken off already.
    ///
    /// Context: any.
    #[allow(dead_code)] // Not each driver asks then.
    pub(crate) fn frame_len(&self) -> u32 {
        self.len().saturating_add(bindings::ETH_HLEN)
    }
}

impl<S> Drop for SkBuff<S> {
    #[cold]
    fn drop(&mut self) {
        pr_warn_once!("a packet was given up without a reason\n");
        // SAFETY: By the type invariant the reference is ours, and goes.
        unsafe {
            bindings::dev_kfree_skb_any_reason(self.as_raw(), DropReason::NotSpecified.as_raw())
        };
    }
}
