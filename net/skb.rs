// SPDX-License-Identifier: GPL-2.0

//! Owned socket buffers.
//!
//! An [`SkBuff`] has one owner. It ends by one of these verbs, each of which takes it by value:
//! [`SkBuff::consume`] (sent), [`SkBuff::drop_with`] (given up, with a reason),
//! [`super::queue::NapiRef::gro_receive`] (received), or as the token of a virtqueue buffer.
//! Letting one go out of scope is a bug of the driver: it is freed, with a warning.

use crate::{
    bindings,
    pure::{
        hdr::{
            RawHdr,
            LEN,
            TUNNEL_LEN, //
        },
        rss::RxHash, //
    },
    virtio::virtqueue::Token, //
};
use core::{
    ffi::c_void,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    warn_on, //
};

/// Why a packet is given up (`enum skb_drop_reason`), seen by `drop_monitor` and tracing.
#[derive(Clone, Copy)]
pub(crate) enum DropReason {
    /// The device's header makes no sense.
    DevHdr,
    /// The ring took no more.
    FullRing,
    /// No memory.
    NoMem,
    /// The device is going down or broken.
    DevReady,
    /// Nothing fits.
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

/// What became of a packet given to `start_xmit`.
pub(crate) enum Xmit {
    /// The driver took it (sent or dropped and counted).
    Ok,
    /// The driver can't take it now and gives it back; its queue is stopped.
    Busy(SkBuff),
}

/// An owned `struct sk_buff`.
///
/// # Invariants
///
/// The pointer is to a valid skb that this value owns one reference to.
#[repr(transparent)]
pub(crate) struct SkBuff(NonNull<bindings::sk_buff>);

// SAFETY: An skb may be passed between CPUs; the owner is unique.
unsafe impl Send for SkBuff {}

impl SkBuff {
    /// # Safety
    ///
    /// The caller owns a reference to a valid skb and gives it away.
    #[inline(always)]
    pub(super) unsafe fn from_raw(skb: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: By this function's contract.
        Self(skb)
    }

    /// The C object; ownership stays here.
    #[inline(always)]
    pub(crate) fn as_raw(&self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    /// Gives the reference away.
    #[inline(always)]
    pub(super) fn into_ptr(self) -> NonNull<bindings::sk_buff> {
        ManuallyDrop::new(self).0
    }

    /// Length in bytes, all fragments.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        // SAFETY: The skb is valid.
        unsafe { (*self.as_raw()).len }
    }

    /// The TX queue that the stack chose.
    #[inline(always)]
    pub(super) fn queue_mapping(&self) -> u16 {
        // SAFETY: The skb is valid.
        unsafe { (*self.as_raw()).queue_mapping }
    }

    /// Number of page fragments.
    pub(crate) fn nr_frags(&self) -> u32 {
        // SAFETY: The skb is valid.
        unsafe { bindings::skb_nr_frags(self.as_raw()) }
    }

    /// Takes the software transmit timestamp, if the socket asked for one.
    #[inline(always)]
    pub(crate) fn tx_timestamp(&mut self) {
        // SAFETY: The skb is valid.
        unsafe { bindings::skb_tx_timestamp(self.as_raw()) };
    }

    /// Frees a packet that was sent. `budget` is the NAPI budget of the calling poll, or anything but 0
    /// where softirqs are off and interrupts on: then the CPU's cache of skbs is used.
    #[inline(always)]
    pub(crate) fn consume(self, budget: i32) {
        // SAFETY: The reference is ours and goes.
        unsafe { bindings::napi_consume_skb(self.into_ptr().as_ptr(), budget) };
    }

    /// Frees a packet that was not delivered. Any context.
    pub(crate) fn drop_with(self, reason: DropReason) {
        // SAFETY: The reference is ours and goes.
        unsafe { bindings::dev_kfree_skb_any_reason(self.into_ptr().as_ptr(), reason.as_raw()) };
    }

    /// Gives a received frame its metadata: device, queue, checksum and GSO state from the
    /// virtio-net header `hdr` (a copy that the device can't change), protocol. Softirq.
    ///
    /// # Errors
    ///
    /// The packet back if its headers contradict `hdr`.
    #[inline(always)]
    pub(crate) fn rx_prepare<T: super::Driver>(
        self,
        dev: &super::NetDevice<T>,
        hdr: RawHdr,
        queue: u16,
    ) -> Result<Self, Self> {
        /// Aligned as a `struct virtio_net_hdr` is.
        #[repr(align(8))]
        struct Aligned([u8; LEN + TUNNEL_LEN]);
        let mut raw = Aligned(hdr.to_bytes());
        // SAFETY: The skb is ours; the header is aligned, and the tunnel fields are behind it.
        let err = unsafe {
            bindings::skb_rx_prepare(
                self.as_raw(),
                dev.as_raw(),
                raw.0.as_mut_ptr().cast(),
                queue,
            )
        };
        if err == 0 {
            Ok(self)
        } else {
            Err(self)
        }
    }

    /// Sets the hash of a received packet.
    #[inline]
    pub(crate) fn set_rx_hash(&mut self, hash: RxHash) {
        // SAFETY: The skb is valid and ours.
        unsafe { bindings::skb_set_rx_hash(self.as_raw(), hash.value, hash.ports) };
    }
}

impl Drop for SkBuff {
    fn drop(&mut self) {
        warn_on!(true);
        // SAFETY: The reference is ours and goes.
        unsafe {
            bindings::dev_kfree_skb_any_reason(self.as_raw(), DropReason::NotSpecified.as_raw())
        };
    }
}

/// An skb while the TX ring has it. Dropped (queue torn down), it gives the packet up without
/// the warning of [`SkBuff`].
///
/// # Invariants
///
/// As for [`SkBuff`].
pub(crate) struct TxToken(NonNull<bindings::sk_buff>);

// SAFETY: As for `SkBuff`.
unsafe impl Send for TxToken {}

// SAFETY: The pointer goes and comes back; an skb owns the memory that its scatterlist names.
unsafe impl Token for TxToken {
    #[inline(always)]
    fn into_raw(self) -> NonNull<c_void> {
        ManuallyDrop::new(self).0.cast()
    }

    #[inline(always)]
    unsafe fn from_raw(p: NonNull<c_void>) -> Self {
        // INVARIANT: `into_raw` gave the reference away.
        Self(p.cast())
    }

    fn give_up(self) {
        // SAFETY: The skb is ours. Its device is the one that was to send it, whose queue is reset on its
        // own behalf: it is there. The counter is this CPU's.
        unsafe { bindings::skb_tx_dropped_inc(self.0.as_ptr()) };
    }
}

impl TxToken {
    /// Wraps a packet.
    #[inline(always)]
    pub(crate) fn new(skb: SkBuff) -> Self {
        // INVARIANT: The reference goes over.
        Self(skb.into_ptr())
    }

    /// The packet.
    #[inline(always)]
    pub(crate) fn into_skb(self) -> SkBuff {
        // SAFETY: The reference is ours and goes over.
        unsafe { SkBuff::from_raw(ManuallyDrop::new(self).0) }
    }
}

impl Drop for TxToken {
    fn drop(&mut self) {
        // SAFETY: The reference is ours and goes.
        unsafe { SkBuff::from_raw(self.0) }.drop_with(DropReason::DevReady);
    }
}
