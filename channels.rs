// SPDX-License-Identifier: GPL-2.0

//! The number of queue pairs in use: `ethtool -L`, and the command that sets it in the device.
//!
//! Context: process.

#![forbid(unsafe_code)]

use crate::{
    affinity,
    coalesce,
    ctrl_vq::VqPairsSet,
    device::{
        resync,
        Net,
        VirtnetInfo, //
    },
    net::{
        net_warn,
        queue::QueuePair,
        Rtnl, //
    },
    pure::features::bit,
    queue_pairs,
    refill,
    rings,
    rss,
    sync::fail, //
};
use core::ops::Range;
use kernel::{
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// Sends the number of pairs to use to the device (specification 5.1.6.5.6, with RSS 5.1.6.5.7).
///
/// A device without RSS that has one pair only is sent nothing.
///
/// # Errors
///
/// Returns the errors of the control queue, and `EINVAL` for more than one pair of a device that
/// can't be sent a number.
pub(crate) fn send_pairs(dev: &Net, pairs: u16, rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    if rss::is_enabled(info) {
        return rss::set_pairs(dev, pairs, rtnl);
    }
    if info.f.has(bit::MQ) && info.device_pairs > 1 {
        info.control().exec(&VqPairsSet(pairs))?;
    } else if pairs != 1 {
        return Err(EINVAL);
    }
    rss::report_hashes(dev)
}

/// Uses one pair from now on, whatever the device says to that, because it refused more.
///
/// Whoever listens is notified later, by `ethtool::notify_changes`.
///
/// # Errors
///
/// Returns those of the stack.
pub(crate) fn use_one_pair(dev: &Net, rtnl: &mut Rtnl) -> Result {
    {
        let mut s = dev.data().settings.lock();
        s.pairs = 1;
        s.changed.channels = true;
    }
    rss::reset_table(dev, 1, rtnl);
    dev.set_real_num_queues(1, rtnl)
}

/// Uses `want` pairs from now on (`ethtool -L`).
///
/// # Errors
///
/// Returns `EINVAL` for 0 or more than there are, the error by which the device refuses, or
/// `ENOMEM`; then everything is as before. After `ETIMEDOUT` the device is reset, to the old count
/// or, if it still doesn't answer, to 1.
pub(crate) fn set_pairs(dev: &Net, want: u16, rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    let now = info.pairs();
    if want == 0 || want > info.max_pairs {
        return Err(EINVAL);
    }
    if want == now {
        return Ok(());
    }
    if want > now {
        grow(dev, now, want, rtnl)?;
        coalesce::refresh(dev, now..want, rtnl);
    } else {
        shrink(dev, now, want, rtnl)?;
    }
    affinity::set_pairs(dev, want);
    Ok(())
}

/// Adds pairs, whose queues work before anybody uses them.
fn grow(dev: &Net, now: u16, want: u16, rtnl: &mut Rtnl) -> Result {
    let enabled = if dev.is_running() {
        queue_pairs::enable_pairs(dev, now, want, rtnl)
    } else {
        Ok(())
    };
    let sent = enabled.and_then(|()| start_queues(dev, now, want, rtnl));
    if let Err(e) = sent {
        leave(dev, now..want, e != ETIMEDOUT, rtnl);
        let _ = dev.set_real_num_rx_queues(now, rtnl);
        resync(dev, e);
    }
    sent
}

/// Raises the counts of the stack and the device.
///
/// The stack is ready for what the device receives on more queues before the device is, and the
/// device for what the stack sends before the stack is.
fn start_queues(dev: &Net, now: u16, want: u16, rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    fail::point()?;
    dev.set_real_num_rx_queues(want, rtnl)?;
    send_pairs(dev, want, rtnl)?;
    info.settings.lock().pairs = want;
    dev.set_real_num_tx_queues(want, rtnl).inspect_err(|_| {
        info.settings.lock().pairs = now;
        // It had `now` before, so it takes that.
        let _ = send_pairs(dev, now, rtnl);
        queue_pairs::drain_rx(dev, now..want);
    })
}

/// Takes pairs out of use.
///
/// The stack stops to send first, so that nothing is in the leaving queues when the device stops to
/// serve them, and expects packets from there until the end.
fn shrink(dev: &Net, now: u16, want: u16, rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    let up = dev.is_running();
    if up {
        settle_backlog(dev, now, want);
    }
    dev.set_real_num_tx_queues(want, rtnl)?;
    if up {
        queue_pairs::drain_tx(dev, want..now);
    }
    if let Err(e) = send_pairs(dev, want, rtnl) {
        // The old count stays in force on both sides.
        resync(dev, e);
        dev.set_real_num_tx_queues(now, rtnl)?;
        // Who has drained them asked for no interrupt for what is left.
        for pair in (want..now).filter_map(|i| dev.pair(i)) {
            pair.tx.schedule_now();
        }
        // Lowering it took the leaving queues' CPUs away.
        affinity::set_pairs(dev, now);
        return Err(e);
    }
    info.settings.lock().pairs = want;
    if up {
        queue_pairs::drain_rx(dev, want..now);
    }
    leave(dev, want..now, true, rtnl);
    // Nothing arrives there any more. (Too many would do no harm.)
    let _ = dev.set_real_num_rx_queues(want, rtnl);
    Ok(())
}

/// Gives what waits in the leaving queues' qdiscs up to 50 ms to go out.
///
/// Lowering the stack's count throws away what is left there.
fn settle_backlog(dev: &Net, now: u16, want: u16) {
    for _ in 0..50 {
        let waiting = (want..now).any(|i| dev.pair(i).is_some_and(|p| p.tx.backlog() > 0));
        if !waiting {
            return;
        }
        fsleep(Delta::from_millis(1));
    }
}

/// Stops `pairs`, which nobody uses any more, or yet, if the interface is up, and takes back what
/// their rings hold, where the device can reset a single queue.
///
/// Elsewhere receive buffers stay with the device until it is reset, and packets stay until they
/// are sent; the device is reset if they won't be. Without `reclaim` nothing is taken back, because
/// a reset of the device is going to free it in any case.
pub(crate) fn leave(dev: &Net, pairs: Range<u16>, reclaim: bool, rtnl: &mut Rtnl) {
    if dev.is_running() {
        queue_pairs::retire_pairs(dev, pairs.start, pairs.end, rtnl);
    }
    let info = dev.data();
    // The virtio core would wait for one that is gone for ever.
    if !reclaim || info.vdev.is_gone() {
        return;
    }
    if !info.f.has(bit::RING_RESET) {
        // The stack's watchdog would complain of it as long as it is stopped.
        let mut left = pairs.filter_map(|i| dev.pair(i));
        if let Some(pair) = left.find(|pair| is_left_unserved(pair)) {
            let i = pair.tx.index();
            net_warn!(
                dev,
                "output.{i}: left with what nobody sends; resetting the device\n"
            );
            dev.schedule_reset_work();
        }
        return;
    }
    for pair in pairs.filter_map(|i| dev.pair(i)) {
        let done = reclaim_rx(pair, rtnl).and_then(|()| reclaim_tx(dev, pair, rtnl));
        if let Err(e) = done {
            // The queue may be left disabled, which only a reset of the device mends.
            let i = pair.rx.index();
            net_warn!(dev, "pair {i}: reset failed: {e:?}; resetting the device\n");
            dev.schedule_reset_work();
            return;
        }
    }
}

/// Returns whether there are packets that never will be sent, because nobody serves this queue.
fn is_left_unserved(pair: &QueuePair<VirtnetInfo>) -> bool {
    !queue_pairs::tx_idle(pair) && pair.tx.lock_bh().state().stuck.is_unserved()
}

/// Takes back the receive buffers of a pair at rest, and its pool.
fn reclaim_rx(pair: &QueuePair<VirtnetInfo>, rtnl: &mut Rtnl) -> Result {
    let Some((rq, mut napi)) = pair.rx.stopped_state(rtnl) else {
        return Ok(());
    };
    if let Some(vq) = rq.vq.as_mut().filter(|vq| !vq.is_clean()) {
        vq.reset()?;
        vq.disable_cb();
    }
    refill::release(rq, &mut napi);
    Ok(())
}

/// Drops the packets that a pair at rest has given to the device and the device hasn't sent.
fn reclaim_tx(dev: &Net, pair: &QueuePair<VirtnetInfo>, rtnl: &mut Rtnl) -> Result {
    if queue_pairs::tx_idle(pair) {
        return Ok(());
    }
    rings::reset_tx(dev, pair.tx.index(), rtnl)
}
