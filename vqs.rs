// SPDX-License-Identifier: GPL-2.0

//! The set of virtqueues: found, given to the queues that use them, taken away again.
//!
//! Context: process.

#![forbid(unsafe_code)]

use crate::{
    ctrl_vq::CtrlRing,
    device::{
        Net,
        VirtnetInfo, //
    },
    net::Rtnl,
    pure::features::bit,
    receive_queue::Mode,
    refill,
    virtio::{
        virtqueue::{
            QueueInfo,
            UnusedVirtqueue, //
        },
        Device,
        VirtqueueSet, //
    }, //
};
use kernel::{
    device::Core,
    prelude::*,
    sync::Arc, //
};

/// Virtqueues that were found and belong to nobody yet.
#[must_use]
pub(crate) struct Found {
    vqs: Arc<VirtqueueSet>,
    /// Handles of the queues, in the order of their numbers.
    unused: KVVec<UnusedVirtqueue>,
}

/// Finds all virtqueues in the specification's order (5.1.2): rx0, tx0, rx1, tx1, …, control.
///
/// Every pair up to the device's most is set up, because the control queue comes last and the
/// virtio core numbers those that it is given without a gap. Pairs that can't be used get no
/// interrupt, so no vector either.
///
/// Context: process, RTNL not needed, because the virtio core may take its time.
///
/// # Errors
///
/// Returns `ENOMEM` and the errors of the virtio core.
pub(crate) fn find(vdev: &Device<Core<'_>>, info: &VirtnetInfo) -> Result<Found> {
    let has_ctrl = info.f.has(bit::CTRL_VQ);
    let mut infos = KVVec::new();
    // Big buffers are lists of pages, which want indirect descriptors; a context word excludes
    // those.
    let ctx = !matches!(info.mode, Mode::Big { .. });
    for i in 0..info.device_pairs {
        let interrupt = i < info.max_pairs;
        infos.push(
            QueueInfo {
                interrupt,
                ctx,
                ..QueueInfo::new(fmt!("input.{i}"))?
            },
            GFP_KERNEL,
        )?;
        infos.push(
            QueueInfo {
                interrupt,
                ..QueueInfo::new(fmt!("output.{i}"))?
            },
            GFP_KERNEL,
        )?;
    }
    if has_ctrl {
        infos.push(
            QueueInfo {
                // It is polled with sleeps: a vector of its own is better spent on data.
                interrupt: false,
                ..QueueInfo::new(fmt!("control"))?
            },
            GFP_KERNEL,
        )?;
    }
    let (vqs, unused) = VirtqueueSet::find(vdev, infos)?;
    Ok(Found { vqs, unused })
}

/// Gives each queue that was found to whom it belongs.
///
/// # Errors
///
/// Returns `EINVAL` if there are too few queues, and `EBUSY` if a queue is in use; what was given
/// stays there until [`detach`].
pub(crate) fn attach(dev: &Net, found: Found, rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    let Found { vqs, unused } = found;
    let mut unused = unused.into_iter();
    // First, so that `detach` finds it whatever fails below.
    *info.vqs.lock() = Some(vqs.clone());
    for i in 0..info.max_pairs {
        let (rx, tx) = unused.next().zip(unused.next()).ok_or(EINVAL)?;
        let pair = dev.pair(i).ok_or(EINVAL)?;
        let (rq, _) = pair.rx.stopped_state(rtnl).ok_or(EBUSY)?;
        rq.vq = Some(rx.with_buffers());
        pair.tx.lock_bh().state().attach(tx.with_buffers());
    }
    if info.f.has(bit::CTRL_VQ) {
        // Before it are those of the pairs that can't be used.
        let ctrl = unused.last().ok_or(EINVAL)?;
        info.ctrl.attach(ctrl.with_buffers());
    }
    info.affinity.lock().set_vqs(Some(vqs));
    Ok(())
}

/// Virtqueues that nobody uses any more, of a device that isn't reset yet.
#[must_use]
pub(crate) struct Parked {
    vqs: Arc<VirtqueueSet>,
    ctrl: Option<CtrlRing>,
}

/// Takes all virtqueues out of everybody's sight, if there are any.
///
/// Whoever holds RTNL after this finds none, and nobody notifies the device. NAPI is disabled on
/// all pairs.
pub(crate) fn park(dev: &Net, rtnl: &mut Rtnl) -> Option<Parked> {
    let info = dev.data();
    info.affinity.lock().set_vqs(None);
    let vqs = info.vqs.lock().take()?;
    for pair in dev.pairs() {
        // One that was left on to send its last packets.
        pair.napi_disable(rtnl);
        let mut tx = pair.tx.lock_bh();
        tx.state().park();
        // Somebody whom a detached interface doesn't keep out (XDP's frames, sockets of AF_XDP's) may have found room
        // and woken it: what the stack sends is to wait.
        tx.stop();
    }
    Some(Parked {
        vqs,
        ctrl: info.ctrl.detach(),
    })
}

/// Resets the device and lets go of its virtqueues, with which the buffers are freed that it had.
///
/// At the end of the machine ([`Net::wait_for`]) the handles stay where they are.
///
/// Context: process, RTNL not held: the virtio core waits for the end of a reset without a limit,
/// and frees interrupts.
pub(crate) fn release(dev: &Net, parked: Parked) {
    parked.vqs.reset_device();
    if let Some(mut guard) = dev.lock_rtnl() {
        drop_rings(dev, &mut guard);
    }
    // The last handle, which deletes the virtqueues, goes without RTNL.
    drop(parked.ctrl);
    drop(parked.vqs);
}

/// Resets the device and lets go of its virtqueues where that can't wait for RTNL to be released.
///
/// A device that is gone isn't waited for.
pub(crate) fn release_locked(dev: &Net, parked: Parked, rtnl: &mut Rtnl) {
    if !parked.vqs.is_gone() {
        parked.vqs.reset_device();
    }
    drop_rings(dev, rtnl);
    drop(parked.ctrl);
    drop(parked.vqs);
}

/// Frees what the rings of a device that was reset had.
fn drop_rings(dev: &Net, rtnl: &mut Rtnl) {
    // Polls that have completed may still look at their ring.
    dev.synchronize_napi(rtnl);
    for pair in dev.pairs() {
        if let Some((rq, mut napi)) = pair.rx.stopped_state(rtnl) {
            drop(rq.vq.take());
            if pair.rx.index() >= dev.data().pairs() {
                refill::release(rq, &mut napi);
            }
        }
        let mut tx = pair.tx.lock_bh();
        let vq = tx.state().take_parked();
        tx.reset_bql();
        drop(tx);
        // Frees packets: outside of the lock.
        if let Some(vq) = vq {
            vq.discard(dev);
        }
        // Sockets get their completions now: it may take long until the next look.
        pair.tx.lock_bh().xsk_complete();
    }
}

/// Takes the virtqueues away, if there are any, and lets go of them.
///
/// Context: process, RTNL not held.
pub(crate) fn detach(dev: &Net) {
    let parked = dev.lock_rtnl().and_then(|mut guard| park(dev, &mut guard));
    if let Some(parked) = parked {
        release(dev, parked);
    }
}
