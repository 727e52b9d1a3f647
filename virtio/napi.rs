// SPDX-License-Identifier: GPL-2.0

//! The end of a NAPI poll on a virtqueue.
//!
//! The order matters: the interrupt is asked for *before* NAPI gives the queue up, and the ring is
//! looked at *after* it, so that a buffer that came in between is either seen here or interrupts.
//! Nothing is written to the ring after it: it may be somebody else's by then, who has asked for
//! the interrupt, has gone, and relies on it.
//!
//! Context: softirq, in the queue's poll.

use super::virtqueue::{
    Virtqueue,
    VqBuffer, //
};
use crate::{
    net::{
        queue::{
            PollResult,
            RxPoll,
            TxPoll, //
        },
        Driver, //
    },
    sync::fail, //
};

/// Ends a poll of an RX queue that received less than its budget, or lets it go on.
///
/// `vq` picks the queue out of the exclusive state.
#[inline]
pub(crate) fn rx_complete<T, K>(
    mut poll: RxPoll<'_, T>,
    work: i32,
    vq: impl Fn(&mut T::Rx) -> Option<&mut Virtqueue<K>>,
) -> PollResult
where
    T: Driver,
    K: VqBuffer,
{
    if work >= poll.budget() {
        // NAPI then is the core's to go on with, and must not be completed.
        return poll.again();
    }
    let q = poll.queue();
    // Who polls in a loop, or on a timer, wants no interrupt in between.
    let deferred = poll.is_deferred(work);
    let armed = if deferred {
        fail::delay_before_complete();
        None
    } else {
        poll.state()
            .and_then(|(rq, _)| vq(rq))
            .map(|vq| vq.enable_cb_prepare())
    };
    // SAFETY: The interrupt is armed unless there is no queue, or the poll is deferred.
    let gone = unsafe { poll.napi_complete_done(work) };
    // SAFETY: This is a softirq, and the queue was there when it began.
    if gone && armed.map_or(deferred, |armed| unsafe { armed.more() }) {
        q.schedule(|rq| {
            if let Some(vq) = vq(rq) {
                vq.disable_cb();
            }
        });
    }
    // SAFETY: Completed above.
    unsafe { PollResult::new(work) }
}

/// Ends a poll of a TX queue that found everything reaped.
///
/// Where the device has nothing left there is nothing to be interrupted for: who adds the next
/// packet asks for it.
#[inline]
pub(crate) fn tx_complete<T, K>(
    mut poll: TxPoll<'_, T>,
    vq: impl Fn(&mut T::Tx) -> Option<&mut Virtqueue<K>>,
) -> PollResult
where
    T: Driver,
    K: VqBuffer,
{
    let q = poll.locked().queue();
    let armed = vq(poll.locked().state())
        .filter(|vq| !vq.is_idle())
        .map(|vq| vq.enable_cb_prepare());
    // SAFETY: The interrupt is armed if one is to come, or disabled again below.
    let gone = unsafe { poll.napi_complete() };
    if !gone {
        // Whoever polls next, the lock is still ours.
        if let Some(vq) = vq(poll.locked().state()) {
            vq.disable_cb();
        }
    }
    // With the lock, without which somebody could take the ring away.
    let more = match (armed, vq(poll.locked().state())) {
        (Some(armed), Some(vq)) => gone && vq.was_used_since(armed),
        _ => false,
    };
    drop(poll);
    if more {
        // The poll turns the interrupt off itself, under the lock.
        q.schedule(|| {});
    }
    // SAFETY: Completed above.
    unsafe { PollResult::new(0) }
}
