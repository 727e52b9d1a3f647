// SPDX-License-Identifier: GPL-2.0

//! Queue pairs come into use and go out of it, when they get buffers and run NAPI: up and down.
//!
//! Context: process, RTNL held.

#![forbid(unsafe_code)]

use crate::{
    device::{
        Net,
        VirtnetInfo, //
    },
    net::{
        queue::{
            PairIrqs,
            QueuePair, //
        },
        Rtnl, //
    },
    notify,
    pure::{
        config::{
            rx_vq,
            tx_vq, //
        },
        features::bit,
        rx::short_above_single, //
    },
    refill,
    rss,
    tx,
    virtio::VirtqueueSet, //
};
use core::ops::Range;
use kernel::{
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// Brings the interface up (`ndo_open`).
///
/// While the device is being reset its queues come into use with the end of that, as those of an
/// interface that was up.
///
/// # Errors
///
/// Returns those of [`enable_pairs`].
pub(crate) fn open(dev: &Net, rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    if info.vqs().is_none() {
        dev.detach(rtnl);
        return Ok(());
    }
    let n = info.pairs();
    enable_pairs(dev, 0, n, rtnl)?;
    // What they had to send when the interface went down.
    if (n..info.max_pairs).any(|i| dev.pair(i).is_some_and(|p| !tx_idle(p))) {
        retire_pairs(dev, n, info.max_pairs, rtnl);
    }
    // An announcement may have been asked for meanwhile.
    dev.schedule_config_work();
    Ok(())
}

/// Takes the interface down (`ndo_stop`).
pub(crate) fn stop(dev: &Net, rtnl: &mut Rtnl) {
    let info = dev.data();
    drain_tx(dev, 0..info.pairs());
    // All of them: a pair that was taken away may be sending its last packets.
    disable_pairs(dev, 0, info.max_pairs, rtnl);
}

/// Gives pairs `from..to` receive buffers and lets NAPI run on them.
///
/// # Errors
///
/// Returns `ENOMEM` without memory for a single buffer, and `ENODEV` without a device; nothing is
/// enabled then.
pub(crate) fn enable_pairs(dev: &Net, from: u16, to: u16, rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    let vqs = info.vqs().ok_or(ENODEV)?;
    for i in from..to {
        if let Err(e) = enable_pair(dev, &vqs, i, rtnl) {
            disable_pairs(dev, from, i, rtnl);
            return Err(e);
        }
    }
    if rss::is_enabled(info) {
        notify::rx_queues(&vqs, info.pairs().max(to));
    }
    Ok(())
}

fn enable_pair(dev: &Net, vqs: &Arc<VirtqueueSet>, i: u16, rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    let pair = dev.pair(i).ok_or(EINVAL)?;
    fill(info, pair, rtnl)?;
    let irqs = PairIrqs {
        rx: vqs.irq(rx_vq(i)),
        tx: vqs.irq(tx_vq(i)),
    };
    pair.napi_enable(irqs, rtnl);
    Ok(())
}

/// Fills a receive ring at rest.
fn fill(info: &VirtnetInfo, pair: &QueuePair<VirtnetInfo>, rtnl: &mut Rtnl) -> Result {
    let (rq, mut napi) = pair.rx.stopped_state(rtnl).ok_or(EBUSY)?;
    refill::prepare(info, rq, &mut napi)?;
    // What is missing comes from NAPI, which is polled once when it is enabled.
    let short = refill::refill(info, rq, &mut napi, pair.rx.shared());
    let vq = rq.vq.as_ref().filter(|_| short);
    if vq.is_some_and(|vq| vq.num_free() > short_above_single(vq.size())) {
        return Err(ENOMEM);
    }
    Ok(())
}

/// Stops NAPI and interrupts of pairs `from..to`, whose buffers stay with the device.
pub(crate) fn disable_pairs(dev: &Net, from: u16, to: u16, rtnl: &mut Rtnl) {
    for i in from..to {
        if let Some(pair) = dev.pair(i) {
            pair.napi_disable(rtnl);
        }
    }
    disable_callbacks(dev, from, to, rtnl);
}

/// Returns whether the device has nothing to send on this pair.
pub(crate) fn tx_idle(pair: &QueuePair<VirtnetInfo>) -> bool {
    let mut tx = pair.tx.lock_bh();
    tx.state().vq.as_ref().is_none_or(|vq| vq.is_idle())
}

/// Stops NAPI and interrupts of pairs that the stack sends on no more while others stay.
///
/// A transmit ring that isn't empty yet is still looked after, where the device can't reset it,
/// until the pair comes into use again or all are disabled: else senders would wait for their
/// packets' memory for ever.
pub(crate) fn retire_pairs(dev: &Net, from: u16, to: u16, rtnl: &mut Rtnl) {
    let can_reset = dev.data().f.has(bit::RING_RESET);
    let drains = |i| (dev.pair(i)).filter(|pair| !can_reset && !tx_idle(pair));
    for i in from..to {
        match (dev.pair(i), drains(i)) {
            (_, Some(pair)) => pair.napi_disable_rx(rtnl),
            (Some(pair), None) => pair.napi_disable(rtnl),
            (None, None) => {}
        }
    }
    disable_callbacks(dev, from, to, rtnl);
    let Some(vqs) = dev.data().vqs() else {
        return;
    };
    for i in from..to {
        if let Some(pair) = drains(i) {
            pair.napi_enable_tx(vqs.irq(tx_vq(i)), rtnl);
            // Reaps, and asks for the interrupt: who drained the ring may have reaped what that was to
            // come for, also where NAPI was on all the time.
            pair.tx.schedule_now();
        }
    }
}

/// Turns the interrupts off of queues whose NAPI was disabled.
fn disable_callbacks(dev: &Net, from: u16, to: u16, rtnl: &mut Rtnl) {
    dev.synchronize_napi(rtnl);
    for pair in (from..to).filter_map(|i| dev.pair(i)) {
        let rq = pair.rx.stopped_state(rtnl).map(|(rq, _)| rq);
        if let Some(vq) = rq.and_then(|rq| rq.vq.as_mut()) {
            vq.disable_cb();
        }
        if pair.tx_drains(rtnl) {
            continue;
        }
        if let Some(vq) = pair.tx.lock_bh().state().vq.as_mut() {
            vq.disable_cb();
        }
    }
}

/// Waits until the device has sent what is in these TX rings, 100 ms in all, and less if it is
/// dead.
///
/// The stack must not send on them any more.
pub(crate) fn drain_tx(dev: &Net, pairs: Range<u16>) {
    for turn in 0..100 {
        let mut drained = true;
        for pair in pairs.clone().filter_map(|i| dev.pair(i)) {
            // The last packets may not have been kicked (xmit_more).
            drained &= reap_is_drained(pair, turn == 0);
        }
        if drained {
            return;
        }
        fsleep(Delta::from_millis(1));
    }
}

/// Reaps a TX ring and returns whether nothing is left in it that the device will send.
///
/// If something is, and `kick` asks for it, the device is notified.
fn reap_is_drained(pair: &QueuePair<VirtnetInfo>, kick: bool) -> bool {
    let mut tx = pair.tx.lock_bh();
    tx::reap(&mut tx);
    let Some(vq) = tx.state().vq.as_mut() else {
        return true;
    };
    if vq.num_free() >= vq.size() || vq.is_broken() {
        return true;
    }
    if kick {
        vq.kick();
    }
    false
}

/// Polls these RX rings until they are dry, 100 ms in all.
///
/// NAPI runs on them, and the device doesn't fill them any more.
pub(crate) fn drain_rx(dev: &Net, pairs: Range<u16>) {
    let received = || {
        pairs
            .clone()
            .filter_map(|i| dev.pair(i))
            .fold(0u64, |n, p| n.wrapping_add(p.rx.shared().packets.get()))
    };
    let mut last = received();
    for _ in 0..50 {
        for pair in pairs.clone().filter_map(|i| dev.pair(i)) {
            pair.rx.schedule_now();
        }
        fsleep(Delta::from_millis(2));
        let now = received();
        if now == last {
            return;
        }
        last = now;
    }
}
