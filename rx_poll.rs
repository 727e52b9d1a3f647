// SPDX-License-Identifier: GPL-2.0

//! NAPI poll of a receive queue: packets go to the stack, or to an XDP program first.
//!
//! Context: softirq.

#![forbid(unsafe_code)]

use crate::{
    device::{
        Net,
        VirtnetInfo, //
    },
    net::queue::{
        InPoll,
        PollResult,
        RxNapi,
        RxPoll,
        RxQueue, //
    },
    notify,
    pure::features::bit,
    receive_queue::ReceiveQueue,
    refill,
    rx::{
        deliver,
        receive_buf,
        Received, //
    },
    stats::RxStats,
    tx,
    virtio::napi,
    xdp_rx,
    xsk_rx,
    xsk_tx, //
};

/// Receives packets in the NAPI poll of an RX queue.
pub(crate) fn poll(dev: &Net, mut poll: RxPoll<'_, VirtnetInfo>) -> PollResult {
    let q = poll.queue();
    let budget = poll.budget();
    let Some(pair) = dev.pair(q.index()) else {
        return complete(poll, 0);
    };
    // The paired TX queue is on the same CPU as a rule: reap it here and save its interrupt.
    if let Some(mut tx) = pair.tx.trylock(&poll) {
        tx::reap_from_rx(&mut tx);
    }
    if budget <= 0 {
        return poll.again();
    }

    let info = dev.data();
    let stats = q.shared();
    let prog = dev.xdp_prog(&poll);
    // What the stack sends in answer to packets is notified together.
    let deferral = pair.tx.defer_kicks(&poll);
    let Some((rq, mut napi)) = poll.state() else {
        return poll.again();
    };
    if let Some(vq) = rq.vq.as_mut() {
        // Polls that began without an interrupt find it on, and it would come for each buffer.
        vq.disable_cb();
    }
    let mut work = 0i32;
    let mut bytes = 0u64;
    // Bounded: at most `budget` packets, dropped ones included, and a turn without any is the last.
    loop {
        let left = budget.wrapping_sub(work);
        let got = if napi.has_xsk() {
            xsk_rx::receive(dev, rq, &mut napi, q, &deferral, prog, left)
        } else {
            match prog {
                Some(prog) => xdp_rx::receive(dev, rq, &mut napi, q, &deferral, prog, left),
                None => receive(dev, rq, &mut napi, q, left),
            }
        };
        work = work.wrapping_add(got.packets);
        bytes = bytes.wrapping_add(got.bytes);
        // GRO goes first: completing NAPI would flush it with the interrupt on already, and a device
        // that answers quickly to what the stack sends then would interrupt for it.
        if work >= budget || !napi.gro_flush() {
            break;
        }
        if let Some(mut tx) = deferral.take_pending() {
            tx::reap_from_rx(&mut tx);
        }
    }
    if napi.has_xsk() {
        // A socket that polls busily relies on it.
        xsk_tx::from_rx(dev, &mut deferral.lock());
    }
    if let Some(mut tx) = deferral.end() {
        tx::reap_from_rx(&mut tx);
    }
    if work > 0 {
        stats.bytes.add(bytes);
    }
    let starved = if info.f.has(bit::RSS) {
        refill_steered(dev, rq, &mut napi, stats, work >= budget)
    } else {
        refill::refill(info, rq, &mut napi, stats)
    };
    if work >= budget || starved {
        // A device that waits for buffers doesn't interrupt: poll again.
        return poll.again();
    }
    if work > 0 && q.is_adaptive() {
        poll.sample(
            stats.callbacks.get(),
            stats.packets.get(),
            stats.bytes.get(),
        );
    }
    complete(poll, work)
}

/// Refills the ring of a device that steers by hash, which has to be notified once more if it ran
/// short of buffers (see [`notify::maybe_dry`]).
#[inline(never)]
fn refill_steered(
    dev: &Net,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    stats: &RxStats,
    more: bool,
) -> bool {
    let index = rq.vq.as_ref().and_then(|vq| vq.avail_index());
    let emptied = rq.vq.as_ref().is_some_and(|vq| vq.num_free() >= vq.size());
    let starved = refill::refill(dev.data(), rq, napi, stats);
    let short = match (rq.vq.as_ref(), index) {
        // Only new buffers end a shortage, so whoever looks right after that has missed none.
        (Some(vq), Some(index)) => {
            let least = vq.size().saturating_sub(rq.short_above);
            vq.avail_index() != Some(index)
                && i32::from(vq.unused_before(index)) < least.cast_signed()
        }
        // All that it had was used; or there is more, and what was given back lately may hide that.
        (Some(_), None) => emptied || more,
        (None, _) => false,
    };
    if short {
        notify::maybe_dry(dev);
    }
    starved
}

/// Takes packets off the ring, at most `budget`, and hands them to the stack.
#[inline(always)]
fn receive(
    dev: &Net,
    rq: &mut ReceiveQueue,
    napi: &mut RxNapi<'_, InPoll>,
    q: &RxQueue<VirtnetInfo>,
    budget: i32,
) -> Received {
    let stats = q.shared();
    let mut got = Received {
        packets: 0,
        bytes: 0,
    };
    while got.packets < budget {
        // A packet takes one buffer at least, so those of the rest of the budget are all asked for.
        let left = budget.wrapping_sub(got.packets).cast_unsigned();
        let Some(used) = rq.next_used(left) else {
            break;
        };
        got.packets = got.packets.wrapping_add(1);
        if let Some((len, skb)) = receive_buf(dev.data(), rq, napi, stats, used) {
            if deliver(dev, napi, q.index(), stats, skb) {
                got.bytes = got.bytes.wrapping_add(u64::from(len));
            }
        }
    }
    got
}

/// Ends a poll that received `work` packets, less than its budget.
#[inline(always)]
fn complete(poll: RxPoll<'_, VirtnetInfo>, work: i32) -> PollResult {
    napi::rx_complete(poll, work, |rq: &mut ReceiveQueue| rq.vq.as_mut())
}
