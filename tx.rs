// SPDX-License-Identifier: GPL-2.0

//! Transmission (specification 5.1.6.2): packets go into the ring, the device is notified, and what
//! it has sent is reaped.
//!
//! Context: softirq, with the queue's TX lock held.

#![forbid(unsafe_code)]

use crate::{
    device::{
        Net,
        VirtnetInfo, //
    },
    net::{
        net_warn,
        queue::{
            Backend,
            ByCore,
            PollResult,
            Process,
            Softirq,
            TxGuard,
            TxPoll, //
        },
        ratelimit,
        xdp::{
            FrameList,
            SentFrames, //
        },
        DropReason,
        TxSkb,
        Xmit, //
    },
    pure::{
        recovery::Stuck,
        tx::{
            should_stop,
            should_wake, //
        }, //
    },
    virtio::{
        napi,
        tx_ring::{
            InFlight,
            SentPacket,
            TxSg,
            MAX_SG, //
        },
        Virtqueue, //
    }, //
};
use kernel::prelude::*;

/// Ring slots that the largest packet takes.
// CAST: 19.
pub(crate) const MAX_DESCS_PER_SKB: u32 = MAX_SG as u32;

/// Exclusive state of a TX queue, which its TX lock guards.
pub(crate) struct SendQueue {
    /// The ring, or `None` while the device is reset.
    pub(crate) vq: Option<Virtqueue<InFlight>>,
    sg: TxSg,
    /// Free slots below which the queue is stopped: what the largest packet takes, or the whole
    /// ring if that is smaller.
    stop_threshold: u32,
    /// Batches that were added to the ring without a notification, for all of which the scheduled
    /// poll sends one.
    deferred_kicks: u32,
    /// Batches since the device last wanted a notification.
    unnotified: u32,
    /// Free slots below which a sender in process context reaps, whether it kicked or not.
    reap_below: u32,
    /// Whether the ring is being replaced, so that whoever reaps must not wake the queue.
    pub(crate) paused: bool,
    /// Whether it has been logged that the ring is broken, which it stays.
    broken_logged: bool,
    /// The ring of a device that is going to be reset.
    parked: Option<Virtqueue<InFlight>>,
    /// What is known of times at which the queue was stuck.
    pub(crate) stuck: Stuck,
    /// Frames that netpoll has reaped.
    sent_frames: SentFrames,
}

impl SendQueue {
    /// Makes the state of a queue without a ring.
    pub(crate) fn new() -> Self {
        Self {
            vq: None,
            sg: TxSg::new(),
            stop_threshold: MAX_DESCS_PER_SKB,
            deferred_kicks: 0,
            unnotified: 0,
            reap_below: 0,
            paused: false,
            broken_logged: false,
            parked: None,
            stuck: Stuck::new(),
            sent_frames: SentFrames::new(),
        }
    }

    /// Starts to use a ring.
    pub(crate) fn attach(&mut self, vq: Virtqueue<InFlight>) {
        self.stop_threshold = MAX_DESCS_PER_SKB.min(vq.size());
        self.deferred_kicks = 0;
        self.unnotified = 0;
        self.reap_below = reap_below(vq.num_free());
        self.broken_logged = false;
        self.vq = Some(vq);
    }

    /// Returns how many slots stay for the stack.
    pub(crate) fn xdp_reserve(&self) -> u32 {
        let half = self.vq.as_ref().map_or(0, |vq| vq.size() / 2);
        self.stop_threshold.min(half)
    }

    /// Stops to use the ring, which stays as it is until [`SendQueue::take_parked`].
    pub(crate) fn park(&mut self) {
        self.parked = self.vq.take();
    }

    /// Takes the ring that was parked.
    pub(crate) fn take_parked(&mut self) -> Option<Virtqueue<InFlight>> {
        self.parked.take()
    }
}

/// Sends a packet (`ndo_start_xmit`).
///
/// Completed packets are reaped by the TX NAPI, by the RX NAPI of the same pair, and after each
/// notification (see [`kick`]). The interrupt is off while packets come and asked for again with
/// the kick, if something is left to wait for.
#[inline]
pub(crate) fn start_xmit<'x>(
    dev: &Net,
    skb: TxSkb<'x>,
    mut tx: TxGuard<'_, VirtnetInfo, ByCore>,
) -> Xmit<'x> {
    let stats = tx.queue().shared();
    let layout = dev.data().f.layout;
    let sq = tx.state();
    let Some(vq) = sq.vq.as_mut() else {
        stats.drops.inc();
        skb.drop_with(DropReason::DevReady);
        return Xmit::Ok;
    };
    vq.disable_cb();
    let len = skb.len();
    match vq.add_skb(&mut sq.sg, skb, layout) {
        Ok(0) => {}
        Ok(segs) => {
            stats.gso_packets.inc();
            stats.gso_bytes.add(u64::from(len));
            stats.gso_wire_packets.add(u64::from(segs));
        }
        Err((e, skb)) => return xmit_refused(dev, e, skb, tx),
    }
    if should_stop(vq.num_free(), sq.stop_threshold) {
        stop_queue(&mut tx);
    }
    if tx.sent(len) {
        kick(&mut tx);
    }
    Xmit::Ok
}

/// Batches that [`SendQueue::deferred_kicks`] may keep from the device (mostly of one packet each),
/// so that it starts to work on many before the last has come.
const MAX_DEFERRED_KICKS: u32 = 32;

/// Slots that a sender in process context fills before it looks again what the device has sent.
///
/// A look that comes too early costs a cache line that the device writes to, one that comes too
/// late an interrupt.
const REAP_EVERY: u32 = 32;

/// Nanoseconds after which packets are reaped, at the latest, that a device has taken without a
/// notification.
const REAP_WITHIN_NS: i64 = 50_000;

/// Batches after which a device that wanted no notification of any of them is taken for one that
/// polls.
///
/// One that is only now and then still at work as the next packet comes interrupts for few of them,
/// and the timer would come on top.
const POLLS_AFTER: u32 = 64;

/// Slots filled since the last look below which packets are taken to come one at a time.
const FEW_SLOTS: u32 = 8;

/// How often a sender looks once more, because most packets were sent before it could ask for an
/// interrupt, until it leaves the rest to a softirq.
const REARM_TRIES: u32 = 2;

/// Returns what [`SendQueue::reap_below`] is once `num_free` slots are free.
fn reap_below(num_free: u32) -> u32 {
    num_free.saturating_sub(REAP_EVERY)
}

/// Ends a batch of packets: notifies the device, and asks for an interrupt once most of them are
/// sent, if no poll is going to see to that.
///
/// A notification takes so long that a device on another CPU, and one that works inside of it, has
/// often sent the packet by then. A sender in process context reaps it at once, which saves the
/// interrupt or the softirq that would do it else. It also reaps now and then where the device
/// polls the ring and wants no notification: as long as packets come, the interrupt's threshold
/// moves on before the device. Packets that come one at a time are different, because such a device
/// has sent each before the next one comes: a timer sees to them, as long as the queue isn't
/// stopped. In a softirq (packets forwarded, acknowledged) the poll that follows is cheaper,
/// because it reaps many at a time; once it is scheduled, packets wait for it to notify the device
/// of all of them.
#[inline(always)]
fn kick(tx: &mut TxGuard<'_, VirtnetInfo, ByCore>) {
    let follows = tx.poll_follows();
    let sq = tx.state();
    if follows && sq.deferred_kicks < MAX_DEFERRED_KICKS {
        sq.deferred_kicks = sq.deferred_kicks.wrapping_add(1);
        return;
    }
    // The line may be another CPU's, whose interrupt schedules the poll.
    if sq.deferred_kicks != 0 {
        sq.deferred_kicks = 0;
    }
    let Some(vq) = sq.vq.as_mut() else {
        return;
    };
    let kicked = vq.kick();
    let reap = kicked || vq.num_free() < sq.reap_below;
    sq.unnotified = if kicked {
        0
    } else {
        sq.unnotified.saturating_add(1)
    };
    let polls = sq.unnotified >= POLLS_AFTER;
    let few = vq.num_free() > sq.reap_below.saturating_add(REAP_EVERY - FEW_SLOTS);
    if kicked {
        tx.queue().shared().kicks.inc();
    }
    if reap
        && tx
            .in_process()
            .is_some_and(|mut tx| reap_in_process(&mut tx))
    {
        return;
    }
    if follows {
        return;
    }
    if polls
        && tx.in_process().is_some_and(|mut tx| match few {
            true => tx.poll_in(REAP_WITHIN_NS),
            false => tx.poll_is_timed(),
        })
    {
        return;
    }
    for _ in 0..REARM_TRIES {
        if enable_cb_delayed(tx) {
            return;
        }
        // Most of what was left is sent meanwhile. A softirq costs more than to see to it here.
        let Some(mut tx) = tx.in_process() else {
            break;
        };
        if reap_in_process(&mut tx) {
            return;
        }
    }
    tx.schedule_poll();
}

/// Reaps in process context, and returns whether the device has nothing left.
#[inline]
fn reap_in_process(tx: &mut TxGuard<'_, VirtnetInfo, Process>) -> bool {
    reap(tx);
    tx.state().vq.as_ref().is_some_and(|vq| vq.is_idle())
}

/// Ends the batch of the previous packet, though the stack said then that more come.
pub(crate) fn end_batch(mut tx: TxGuard<'_, VirtnetInfo, ByCore>) {
    kick(&mut tx);
}

/// Notifies the device of the packets that were left to a poll.
#[inline]
pub(crate) fn flush_kicks(tx: &mut TxGuard<'_, VirtnetInfo, Softirq>) {
    let sq = tx.state();
    if core::mem::take(&mut sq.deferred_kicks) == 0 {
        return;
    }
    if sq.vq.as_mut().is_some_and(|vq| vq.kick()) {
        tx.queue().shared().kicks.inc();
    }
}

/// Asks for an interrupt once most of the packets are sent, or returns false if they are.
#[inline]
fn enable_cb_delayed<L: Backend>(tx: &mut TxGuard<'_, VirtnetInfo, L>) -> bool {
    match tx.state().vq.as_mut() {
        Some(vq) => vq.enable_cb_delayed(),
        None => true,
    }
}

/// Stops the queue because the next packet may not fit.
///
/// Whoever reaps wakes it; if that has happened between the look at the ring and the stop, the ring
/// is looked at again here.
#[cold]
fn stop_queue(tx: &mut TxGuard<'_, VirtnetInfo, ByCore>) {
    let stats = tx.queue().shared();
    tx.stop();
    stats.stop.inc();
    if !enable_cb_delayed(tx) {
        // Used buffers are there already. The poll runs after this, reaps them and wakes.
        tx.schedule_poll();
    }
}

/// Handles a packet that the ring did not take.
///
/// A full ring is the stack's to wait for; anything else can't be helped by trying again.
#[cold]
fn xmit_refused<'x>(
    dev: &Net,
    e: Error,
    skb: TxSkb<'x>,
    mut tx: TxGuard<'_, VirtnetInfo, ByCore>,
) -> Xmit<'x> {
    let stats = tx.queue().shared();
    // A packet that doesn't fit into an empty ring never will.
    let (broken, empty) = match tx.state().vq.as_ref() {
        Some(vq) => (vq.is_broken(), vq.num_free() >= vq.size()),
        None => (true, true),
    };
    let hopeless = broken || empty;
    if e == ENOSPC && !hopeless {
        stop_queue(&mut tx);
        kick(&mut tx);
        return Xmit::Busy(skb);
    }
    stats.drops.inc();
    if e == EINVAL {
        stats.drop_header.inc();
        skb.drop_with(DropReason::DevHdr);
    } else {
        stats.drop_ring.inc();
        skb.drop_with(DropReason::FullRing);
        let logged = core::mem::replace(&mut tx.state().broken_logged, broken);
        if !logged && ratelimit() {
            net_warn!(
                dev,
                "output.{}: packet refused by the ring: {:?}\n",
                tx.queue().index(),
                e
            );
        }
    }
    // Packets before this one may wait for a kick that this one was to bring.
    if !tx.xmit_more() {
        kick(&mut tx);
    }
    Xmit::Ok
}

/// Frees what the device has sent and wakes the queue if there is room again.
#[inline]
pub(crate) fn reap<L: Backend>(tx: &mut TxGuard<'_, VirtnetInfo, L>) {
    let stats = tx.queue().shared();
    let (sq, context) = tx.state_to_reap();
    let (stop_threshold, paused) = (sq.stop_threshold, sq.paused);
    let Some(vq) = sq.vq.as_mut() else {
        return;
    };
    let (mut packets, mut bytes, mut sockets) = (0u32, 0u32, false);
    let (mut frames, mut frame_bytes) = (0u32, 0u32);
    // Bounded by the ring: nothing is added while the lock is held. A broken ring gives none.
    let mut next = vq.get_buf().map(|used| used.buf);
    while let Some(buf) = next {
        match buf.into_packet() {
            SentPacket::Skb(skb) => {
                packets = packets.wrapping_add(1);
                bytes = bytes.wrapping_add(skb.len());
                skb.napi_consume(&context);
            }
            // The stack's limit of bytes in the ring (BQL) knows nothing of these.
            SentPacket::Frame(frame) if SentFrames::can_free(&context) => {
                let (n, len);
                (next, n, len) = vq.put_frames(frame);
                frames = frames.wrapping_add(n);
                frame_bytes = frame_bytes.wrapping_add(len);
                continue;
            }
            SentPacket::Frame(frame) => {
                frames = frames.wrapping_add(1);
                frame_bytes = frame_bytes.wrapping_add(frame.len());
                sq.sent_frames.keep(frame);
            }
            SentPacket::Xsk(sent) => {
                stats.packets.inc();
                stats.bytes.add(u64::from(sent.len()));
                sockets = true;
            }
        }
        next = vq.get_buf().map(|used| used.buf);
    }
    sq.sent_frames.flush(&context);
    if frames != 0 {
        stats.packets.add(u64::from(frames));
        stats.bytes.add(u64::from(frame_bytes));
    }
    sq.reap_below = reap_below(vq.num_free());
    let room = !paused && should_wake(vq.num_free(), stop_threshold);
    let stopped = if packets != 0 {
        stats.packets.add(u64::from(packets));
        stats.bytes.add(u64::from(bytes));
        tx.completed(packets, bytes)
    } else {
        // The ring may have been emptied otherwise while nobody polled.
        tx.queue().is_stopped()
    };
    if room && stopped {
        stats.wake.inc();
        tx.wake();
    }
    if sockets {
        tx.xsk_complete();
    }
}

/// Adds frames, until there are none left or one can't be added.
///
/// Some of the ring stays for the stack. [`notify_frames`] notifies the device.
#[inline]
pub(crate) fn add_frames(
    dev: &Net,
    tx: &mut TxGuard<'_, VirtnetInfo, Softirq>,
    frames: &mut FrameList<'_>,
) {
    let layout = dev.data().f.layout;
    let sq = tx.state();
    let reserved = sq.xdp_reserve();
    let (Some(vq), false) = (sq.vq.as_ref(), sq.paused) else {
        return;
    };
    if vq.num_free() < reserved.saturating_add(frames.len()) {
        reap(tx);
    }
    let sq = tx.state();
    let Some(vq) = sq.vq.as_mut() else {
        return;
    };
    vq.add_frames(&mut sq.sg, frames, layout, reserved);
    if frames.taken() != frames.len() {
        add_more(dev, tx, frames);
    }
    if frames.taken() > 0 {
        let sq = tx.state();
        sq.deferred_kicks = sq.deferred_kicks.saturating_add(1);
        tx.touch();
    }
}

/// Adds frames that there was no room for, after what is sent was taken off the ring, because a
/// frame may take more than the one slot that is counted for it.
#[cold]
fn add_more(dev: &Net, tx: &mut TxGuard<'_, VirtnetInfo, Softirq>, frames: &mut FrameList<'_>) {
    reap(tx);
    let layout = dev.data().f.layout;
    let sq = tx.state();
    let reserved = sq.xdp_reserve();
    if let Some(vq) = sq.vq.as_mut() {
        vq.add_frames(&mut sq.sg, frames, layout, reserved);
    }
}

/// Notifies the device of frames that were added, and asks for an interrupt once most of them are
/// sent.
#[inline]
pub(crate) fn notify_frames(tx: &mut TxGuard<'_, VirtnetInfo, Softirq>) {
    flush_kicks(tx);
    if !enable_cb_delayed(tx) {
        tx.schedule_poll();
    }
}

/// Reaps from the RX NAPI of the same pair, which notifies the device of packets that were left to
/// it, and moves the interrupt's threshold on.
#[inline]
pub(crate) fn reap_from_rx(tx: &mut TxGuard<'_, VirtnetInfo, Softirq>) {
    match tx.state().vq.as_mut() {
        Some(vq) if !vq.is_idle() => vq.disable_cb(),
        _ => return,
    }
    flush_kicks(tx);
    reap(tx);
    if tx.state().vq.as_ref().is_some_and(|vq| !vq.is_idle()) && !enable_cb_delayed(tx) {
        tx.schedule_poll();
    }
}

/// Reaps, and sends for sockets, in the NAPI poll of a TX queue.
///
/// `send` has sockets send at most as many packets as its argument says, and returns whether they
/// have more.
#[inline(always)]
pub(crate) fn poll(
    mut poll: TxPoll<'_, VirtnetInfo>,
    send: impl FnOnce(&mut TxGuard<'_, VirtnetInfo, Softirq>, u32) -> bool,
) -> PollResult {
    let budget = poll.budget();
    let tx = poll.locked();
    if let Some(vq) = tx.state().vq.as_mut() {
        vq.disable_cb();
    }
    flush_kicks(tx);
    reap(tx);
    if budget == 0 {
        // netpoll: not in NAPI context, nothing to complete. If more was sent meanwhile, a poll
        // of our own sees to it.
        if !enable_cb_delayed(tx) {
            tx.schedule_poll();
        }
        return poll.again();
    }
    if tx.has_xsk() && send(tx, budget.cast_unsigned()) {
        return poll.again();
    }
    napi::tx_complete(poll, |sq: &mut SendQueue| sq.vq.as_mut())
}
