// SPDX-License-Identifier: GPL-2.0

//! Ring sizes: `ethtool -G`, by resetting single queues (VIRTIO_F_RING_RESET, specification
//! 2.6.1).

#![forbid(unsafe_code)]

use crate::{
    coalesce,
    device::Net,
    net::{
        ethtool::Rings,
        net_warn,
        Rtnl, //
    },
    open,
    pure::{
        config::{
            rx_vq,
            tx_vq, //
        },
        features::bit, //
    },
    sync::errno::eopnotsupp,
    tx, //
};
use kernel::prelude::*;

/// Gives every queue rings of `requested.rx.cur` and `requested.tx.cur` descriptors, one pair after the other,
/// the rest going on meanwhile. Process context.
///
/// # Errors
///
/// `EOPNOTSUPP` if the device can't reset single queues; `EINVAL` if a size is no power of two or
/// too small for the largest packet; what the ring reports: pairs after that one keep their size.
pub(crate) fn set(dev: &Net, requested: Rings, rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    let (rx, tx) = (requested.rx.cur, requested.tx.cur);
    if !info.f.has(bit::RING_RESET) {
        return Err(eopnotsupp());
    }
    if !rx.is_power_of_two()
        || !tx.is_power_of_two()
        || rx < tx::MAX_DESCS_PER_SKB
        || tx < tx::MAX_DESCS_PER_SKB
    {
        return Err(EINVAL);
    }
    apply(dev, rx, tx, rtnl).inspect_err(|e| {
        if *e == EBUSY {
            dev.schedule_reset_work();
        }
    })?;
    info.settings.lock().rings = Some((rx, tx));
    Ok(())
}

/// After a reset: the sizes that were set. What can't be had now is reported, not fatal, and forgotten, so
/// that another reset doesn't end here again. Says whether it takes one to have all queues back.
pub(crate) fn replay(dev: &Net, rtnl: &mut Rtnl) -> bool {
    let info = dev.data();
    let Some((rx, tx)) = info.settings.lock().rings else {
        return false;
    };
    let Err(e) = apply(dev, rx, tx, rtnl) else {
        return false;
    };
    net_warn!(dev, "ring sizes not restored: {e:?}\n");
    let mut s = info.settings.lock();
    s.rings = None;
    s.changed.rings = true;
    e == EBUSY
}

/// `EBUSY` is a queue that doesn't come back: only a reset of the device mends that.
fn apply(dev: &Net, rx: u32, tx: u32, rtnl: &mut Rtnl) -> Result {
    for i in 0..dev.data().max_pairs {
        one_pair(dev, i, rx, tx, rtnl)?;
    }
    Ok(())
}

fn one_pair(dev: &Net, i: u16, rx: u32, tx: u32, rtnl: &mut Rtnl) -> Result {
    let vqs = dev.data().vqs().ok_or(ENODEV)?;
    if vqs.size(rx_vq(i)) == rx && vqs.size(tx_vq(i)) == tx {
        return Ok(());
    }
    // What the device has is sent first, so that nothing is lost.
    paused(dev, i, true, rtnl, |rtnl| resize(dev, i, rx, tx, rtnl))
}

/// Calls `change` with both rings of a pair at rest, after sending what is in them if they are to `drain`.
///
/// # Errors
///
/// What `change` says, or `EBUSY`: the pair doesn't come back.
fn paused(
    dev: &Net,
    i: u16,
    drain: bool,
    rtnl: &mut Rtnl,
    change: impl FnOnce(&mut Rtnl) -> Result,
) -> Result {
    let info = dev.data();
    let pair = dev.pair(i).ok_or(EINVAL)?;
    // The virtio core would wait for one that is gone for ever.
    if info.vdev.is_gone() {
        return Err(ENODEV);
    }
    if pair.tx_drains(rtnl) {
        // Its last packets aren't waited for any longer.
        open::disable_pairs(dev, i, i.saturating_add(1), rtnl);
    }
    let active = pair.napi_is_on(rtnl);
    if active {
        let mut tx = pair.tx.lock_bh();
        tx.state().paused = true;
        tx.stop();
        drop(tx);
        if drain {
            open::drain_tx(dev, i..i.saturating_add(1));
        }
        open::disable_pairs(dev, i, i.saturating_add(1), rtnl);
    }
    let changed = change(rtnl);
    if active {
        // Also after an error: the ring works, with one size or the other.
        let enabled = open::enable_pairs(dev, i, i.saturating_add(1), rtnl);
        let mut tx = pair.tx.lock_bh();
        tx.state().paused = false;
        tx.wake();
        drop(tx);
        if let Err(e) = enabled {
            // Nobody polls the pair: it needs what a reset does.
            net_warn!(dev, "pair {i} doesn't come back: {e:?}\n");
            return Err(EBUSY);
        }
    }
    if i < info.pairs() {
        coalesce::refresh(dev, i..i.saturating_add(1), rtnl);
    }
    changed
}

/// Resets the transmit queue of a pair alone, which the device doesn't serve. What is in it is lost; the others
/// go on meanwhile. Process context.
///
/// # Errors
///
/// `EOPNOTSUPP` if the device can't do that; others: the device has to be reset.
pub(crate) fn reset_tx(dev: &Net, i: u16, rtnl: &mut Rtnl) -> Result {
    if !dev.data().f.has(bit::RING_RESET) {
        return Err(eopnotsupp());
    }
    let pair = dev.pair(i).ok_or(EINVAL)?;
    paused(dev, i, false, rtnl, |_| {
        // The ring is ours alone while it is not in the queue's state.
        let taken = pair.tx.lock_bh().state().vq.take();
        let mut vq = taken.ok_or(ENODEV)?;
        let done = vq.reset();
        vq.disable_cb();
        let mut locked = pair.tx.lock_bh();
        locked.state().attach(vq);
        locked.reset_bql();
        // For a queue out of use, which nobody wakes: its ring is empty.
        locked.start();
        done
    })
}

/// Both rings of a pair at rest; their buffers are freed.
fn resize(dev: &Net, i: u16, rx: u32, tx: u32, rtnl: &mut Rtnl) -> Result {
    let pair = dev.pair(i).ok_or(EINVAL)?;
    let (rq, _) = pair.rx.idle(rtnl).ok_or(EBUSY)?;
    let vq = rq.vq.as_mut().ok_or(ENODEV)?;
    if vq.size() != rx {
        vq.resize(rx)?;
        vq.disable_cb();
    }
    // The ring is ours alone while it is not in the queue's state.
    let taken = pair.tx.lock_bh().state().vq.take();
    let mut vq = taken.ok_or(ENODEV)?;
    let same = vq.size() == tx;
    let resized = if same { Ok(()) } else { vq.resize(tx) };
    // Unless it was refused outright, what was in the ring is gone and will never complete.
    let freed = match resized {
        Ok(()) => !same,
        Err(e) => e == ENOMEM || e == EBUSY,
    };
    vq.disable_cb();
    let mut locked = pair.tx.lock_bh();
    locked.state().attach(vq);
    if freed {
        locked.reset_bql();
    }
    resized
}
