// SPDX-License-Identifier: GPL-2.0

//! Ring sizes: `ethtool -G`, by resetting single queues (VIRTIO_F_RING_RESET, specification 2.6.1).
//!
//! Context: process, RTNL held.

#![forbid(unsafe_code)]

use crate::{
    coalesce,
    device::{
        Net,
        RingSizes,
        VirtnetInfo, //
    },
    net::{
        ethtool::Rings,
        net_warn,
        queue::QueuePair,
        Rtnl, //
    },
    pure::{
        config::{
            rx_vq,
            tx_vq, //
        },
        features::bit, //
    },
    queue_pairs,
    sync::errno::eopnotsupp,
    tx, //
};
use kernel::prelude::*;

/// Gives every queue rings of `requested.rx.cur` and `requested.tx.cur` descriptors, one pair after
/// the other, the rest going on meanwhile.
///
/// # Errors
///
/// Returns `EOPNOTSUPP` if the device can't reset single queues, `EINVAL` if a size is no power of
/// two or too small for the largest packet, and the ring's error, after which that pair and those
/// behind it keep their size.
pub(crate) fn set(dev: &Net, requested: Rings, rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    let sizes = RingSizes {
        rx: requested.rx.cur,
        tx: requested.tx.cur,
    };
    if !info.f.has(bit::RING_RESET) {
        return Err(eopnotsupp());
    }
    let usable = |size: u32| size.is_power_of_two() && size >= tx::MAX_DESCS_PER_SKB;
    if !usable(sizes.rx) || !usable(sizes.tx) {
        return Err(EINVAL);
    }
    apply(dev, sizes, rtnl).inspect_err(|e| {
        if *e == EBUSY {
            dev.schedule_reset_work();
        }
    })?;
    info.settings.lock().rings = Some(sizes);
    Ok(())
}

/// Restores the sizes that were set, after a reset, and returns whether another reset is needed to
/// have all queues back.
///
/// Sizes that can't be restored are logged and dropped, so that another reset doesn't end here
/// again.
pub(crate) fn replay(dev: &Net, rtnl: &mut Rtnl) -> bool {
    let info = dev.data();
    let Some(sizes) = info.settings.lock().rings else {
        return false;
    };
    let Err(e) = apply(dev, sizes, rtnl) else {
        return false;
    };
    net_warn!(dev, "ring sizes not restored: {e:?}\n");
    let mut s = info.settings.lock();
    s.rings = None;
    s.changed.rings = true;
    e == EBUSY
}

/// Gives all pairs these sizes.
///
/// `EBUSY` is a queue that doesn't come back, which only a reset of the device mends.
fn apply(dev: &Net, sizes: RingSizes, rtnl: &mut Rtnl) -> Result {
    for i in 0..dev.data().max_pairs {
        apply_to_pair(dev, i, sizes, rtnl)?;
    }
    Ok(())
}

fn apply_to_pair(dev: &Net, i: u16, sizes: RingSizes, rtnl: &mut Rtnl) -> Result {
    let vqs = dev.data().vqs().ok_or(ENODEV)?;
    if vqs.size(rx_vq(i)) == sizes.rx && vqs.size(tx_vq(i)) == sizes.tx {
        return Ok(());
    }
    // What the device has is sent first, so that nothing is lost.
    with_pair_paused(dev, i, Pending::Drain, rtnl, |rtnl| {
        resize(dev, i, sizes, rtnl)
    })
}

/// What becomes of packets in a ring that is to be changed.
pub(crate) enum Pending {
    /// The packets are sent first.
    Drain,
    /// The packets are lost.
    Lose,
}

/// Calls `change` with both rings of a pair at rest.
///
/// # Errors
///
/// Returns what `change` returns, or `EBUSY` if the pair doesn't come back.
pub(crate) fn with_pair_paused(
    dev: &Net,
    i: u16,
    pending: Pending,
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
        queue_pairs::disable_pairs(dev, i, i.saturating_add(1), rtnl);
    }
    let active = pair.napi_is_on(rtnl);
    if active {
        let mut tx = pair.tx.lock_bh();
        tx.state().paused = true;
        tx.stop();
        drop(tx);
        if matches!(pending, Pending::Drain) {
            queue_pairs::drain_tx(dev, i..i.saturating_add(1));
        }
        queue_pairs::disable_pairs(dev, i, i.saturating_add(1), rtnl);
    }
    let changed = change(rtnl);
    // What the ring had of sockets is done with, and nobody may look at it for long.
    pair.tx.lock_bh().xsk_complete();
    if active {
        // Also after an error: the ring works, with one size or the other.
        let enabled = queue_pairs::enable_pairs(dev, i, i.saturating_add(1), rtnl);
        let mut tx = pair.tx.lock_bh();
        tx.state().paused = false;
        tx.wake();
        drop(tx);
        // What sockets of AF_XDP's wanted to send meanwhile: the poll of `enable_pairs` has left it.
        if pair.has_xsk(rtnl) {
            pair.tx.schedule_now();
        }
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

/// Resets the transmit queue of a pair alone, which the device doesn't serve.
///
/// What is in it is lost, and the others go on meanwhile.
///
/// # Errors
///
/// Returns `EOPNOTSUPP` if the device can't do that; after any other error the device has to be
/// reset.
pub(crate) fn reset_tx(dev: &Net, i: u16, rtnl: &mut Rtnl) -> Result {
    if !dev.data().f.has(bit::RING_RESET) {
        return Err(eopnotsupp());
    }
    let pair = dev.pair(i).ok_or(EINVAL)?;
    with_pair_paused(dev, i, Pending::Lose, rtnl, |_| reset_tx_ring(pair))
}

/// Resets the transmit queue of a pair that is paused.
///
/// # Errors
///
/// Returns the ring's error, after which the device has to be reset.
pub(crate) fn reset_tx_ring(pair: &QueuePair<VirtnetInfo>) -> Result {
    // The ring is ours alone while it is not in the queue's state.
    let taken = pair.tx.lock_bh().state().vq.take();
    let mut vq = taken.ok_or(ENODEV)?;
    let done = vq.reset();
    vq.disable_cb();
    let mut locked = pair.tx.lock_bh();
    locked.state().attach(vq);
    locked.reset_bql();
    // Its ring is empty. One that is paused is woken by who has paused it, one out of use by nobody else.
    if !locked.state().paused {
        locked.wake();
    }
    done
}

/// Resizes both rings of a pair at rest, whose buffers are freed.
fn resize(dev: &Net, i: u16, sizes: RingSizes, rtnl: &mut Rtnl) -> Result {
    let pair = dev.pair(i).ok_or(EINVAL)?;
    let (rq, _) = pair.rx.stopped_state(rtnl).ok_or(EBUSY)?;
    let vq = rq.vq.as_mut().ok_or(ENODEV)?;
    if vq.size() != sizes.rx {
        vq.resize(sizes.rx)?;
        vq.disable_cb();
    }
    // The ring is ours alone while it is not in the queue's state.
    let taken = pair.tx.lock_bh().state().vq.take();
    let mut vq = taken.ok_or(ENODEV)?;
    let same = vq.size() == sizes.tx;
    let resized = if same { Ok(()) } else { vq.resize(sizes.tx) };
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
