// SPDX-License-Identifier: GPL-2.0

//! Suspend and resume, and recovery: the device is reset and everything set is set again.
//!
//! Context: process.

#![forbid(unsafe_code)]

use crate::{
    affinity,
    channels,
    coalesce,
    device::{
        Net,
        VirtnetInfo, //
    },
    ethtool,
    filter,
    hw_stats,
    link,
    net::{
        net_err,
        net_info,
        net_warn,
        queue::QueuePair,
        Rtnl, //
    },
    pure::{
        features::bit,
        recovery::{
            self,
            Cure,
            Sent,
            Verdict, //
        }, //
    },
    queue_pairs,
    renegotiate,
    rings,
    sync::{
        errno::eshutdown,
        fail,
        ktime_get_seconds, //
    },
    virtio::Device,
    vqs, //
};
use core::mem::replace;
use kernel::{
    device::Core,
    prelude::*, //
};

/// Why a device is frozen and restored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FreezeReason {
    /// The system is suspended.
    Suspend,
    /// The driver's own reset work resets the device.
    OwnReset,
    /// The transport resets the device (PCI function level reset and the like).
    TransportReset,
}

impl FreezeReason {
    /// Returns the reason of a reset, which is our own if the reset work calls this.
    pub(crate) fn of_reset(dev: &Net) -> Self {
        if dev.in_reset_work() {
            Self::OwnReset
        } else {
            Self::TransportReset
        }
    }
}

/// Takes the interface out of the stack's sight, if it is up, and lets go of the device.
///
/// # Errors
///
/// Returns `ESHUTDOWN` if the machine ends, and the reset work is to touch nothing any more.
pub(crate) fn freeze(vdev: &Device<Core<'_>>, dev: &Net, reason: FreezeReason) -> Result {
    let info = dev.data();
    info.settings.lock().freezing = true;
    // First the reset work: it is the only other one that freezes and restores. Each work is disabled
    // once, though `restore` may not have come since the last time (the device didn't take its features).
    if reason != FreezeReason::OwnReset && !replace(&mut info.settings.lock().no_reset_work, true) {
        dev.disable_reset_work();
    }
    dev.hotplug_remove();
    if !replace(&mut info.settings.lock().frozen, true) {
        dev.wait_for(|| dev.disable_config_work())
            .ok_or_else(eshutdown)?;
    }
    let parked = {
        let mut guard = dev.lock_rtnl().ok_or_else(eshutdown)?;
        let rtnl = &mut *guard;
        // Before the queues are stopped: a poll wakes one that has room.
        queue_pairs::disable_pairs(dev, 0, info.max_pairs, rtnl);
        // Our own reset of an interface that is down isn't seen by who brings it up: that waits for nothing then.
        if reason != FreezeReason::OwnReset || dev.is_running() {
            dev.detach(rtnl);
        }
        vqs::park(dev, rtnl)
    };
    // Whoever has asked for a reset gets one now.
    dev.take_reset_asked();
    if let Some(parked) = parked {
        vqs::release(dev, parked);
    }
    renegotiate::choose(vdev, dev);
    Ok(())
}

/// Leaves the device for good: nobody sets it up any more, and who may have been about to has come
/// to an end.
pub(crate) fn leave(dev: &Net) {
    dev.data().settings.lock().freezing = true;
}

/// Undoes [`freeze`], on a device that was reset and has its features again.
///
/// # Errors
///
/// Returns the error of the queues, without which the interface stays invisible; it is tried again,
/// and can still be removed. Returns `EBUSY` if it wasn't frozen, and `ESHUTDOWN` as [`freeze`]
/// does.
pub(crate) fn restore(vdev: &Device<Core<'_>>, dev: &Net, reason: FreezeReason) -> Result {
    let info = dev.data();
    info.settings.lock().freezing = false;
    if !replace(&mut info.settings.lock().frozen, false) {
        return Err(EBUSY);
    }
    let up = bring_up(vdev, dev);
    dev.enable_config_work();
    if dev.is_running() {
        // The link may have changed while nobody looked.
        dev.schedule_config_work();
    }
    let up = up.and_then(|again| dev.hotplug_add().map(|()| again));
    if up.is_ok() {
        info.settings.lock().failed_resets = 0;
        if link::revive(dev) {
            net_info!(dev, "the device works again\n");
        }
    }
    // Last, as that work freezes and restores too.
    if reason != FreezeReason::OwnReset && replace(&mut info.settings.lock().no_reset_work, false) {
        dev.enable_reset_work();
    }
    // Later: the virtio core isn't done with the device when this returns.
    let ms = recovery::retry(0).after_ms;
    match up {
        Ok(false) => {}
        Ok(true) => dev.schedule_reset_work_after(ms),
        Err(e) => {
            if reason != FreezeReason::OwnReset {
                info.settings.lock().failed_resets = 1;
                dev.schedule_reset_work_after(ms);
            }
            return Err(e);
        }
    }
    fail::delay_after_restore();
    Ok(())
}

/// Sets the device up, and returns whether it has to be reset once more.
fn bring_up(vdev: &Device<Core<'_>>, dev: &Net) -> Result<bool> {
    let up = vqs::find(vdev, dev.data()).and_then(|found| {
        let mut guard = dev.lock_rtnl().ok_or_else(eshutdown)?;
        bring_up_locked(vdev, dev, found, &mut guard)
    });
    up.inspect_err(|_| vqs::detach(dev))
}

fn bring_up_locked(
    vdev: &Device<Core<'_>>,
    dev: &Net,
    found: vqs::Found,
    rtnl: &mut Rtnl,
) -> Result<bool> {
    let info = dev.data();
    vqs::attach(dev, found, rtnl)?;
    vdev.ready();
    let mut pairs = info.pairs();
    if let Err(e) = channels::send_pairs(dev, pairs, rtnl) {
        net_warn!(dev, "{pairs} queue pairs refused: {e:?}\n");
        channels::use_one_pair(dev, rtnl)?;
        pairs = info.pairs();
    }
    let again = rings::replay(dev, rtnl);
    filter::replay(dev);
    coalesce::replay(dev, rtnl);
    hw_stats::query(dev);
    if dev.is_running() {
        queue_pairs::enable_pairs(dev, 0, pairs, rtnl)?;
    }
    // All of them, as all were stopped: those that aren't in use have no poll that would, and where the interface was down
    // nor does `attach`.
    for pair in dev.pairs() {
        pair.tx.lock_bh().wake();
    }
    dev.attach(rtnl);
    ethtool::notify_changes(dev, rtnl);
    dev.refresh_rx_mode(rtnl);
    // What the stack has asked for in vain: a reset may have been for that.
    dev.update_features(rtnl);
    affinity::set_pairs(dev, pairs);
    // A program may have come or gone meanwhile.
    Ok(again || renegotiate::is_due(info))
}

/// Has stuck queues looked at, because one has been stopped for long (`ndo_tx_timeout`).
///
/// It may be one that is out of use (`ethtool -L`): the stack's watchdog looks at it as long as it
/// is stopped.
///
/// Context: softirq (timer), the stack's `tx_global_lock` held.
pub(crate) fn tx_timeout(dev: &Net, txqueue: u32) {
    let index = u16::try_from(txqueue).unwrap_or(u16::MAX);
    if let Some(pair) = dev.pair(index) {
        pair.tx.shared().tx_timeouts.inc();
        dev.schedule_reset_check();
    }
}

/// Resets those transmit queues alone that have been stopped for long and may be, and returns
/// whether the device has to be reset.
///
/// All are looked at, because the watchdog names the first one only.
fn unstick(dev: &Net) -> bool {
    let info = dev.data();
    if !dev.is_running() || !dev.has_carrier() {
        return false;
    }
    let now = ktime_get_seconds();
    let all = dev
        .pairs()
        .fold(0u64, |n, p| n.wrapping_add(p.tx.shared().packets.get()));
    let mut pace = info.settings.lock().pace;
    let mut device = false;
    for pair in dev.pairs().filter(|p| p.tx.is_stuck()) {
        let sent = sent_by(pair, all);
        let alone = info.f.has(bit::RING_RESET);
        let i = pair.tx.index();
        let cure = pair
            .tx
            .lock_bh()
            .state()
            .stuck
            .cure(now, sent, alone, &mut pace);
        match cure {
            Cure::Queue => device |= !reset_tx(dev, i),
            Cure::Device => {
                net_err!(
                    dev,
                    "output.{i}: stuck; resetting the device\n"
                );
                device = true;
            }
            Cure::Unserved => net_err!(
                dev,
                "output.{i}: stuck, a reset didn't help, other queues work: not served by the host? \
                 (ethtool -L with fewer queue pairs does without it)\n"
            ),
            Cure::Wait | Cure::UnservedAgain => {}
        }
    }
    info.settings.lock().pace = pace;
    if device {
        for pair in dev.pairs() {
            let sent = sent_by(pair, all);
            pair.tx.lock_bh().state().stuck.was_reset(sent);
        }
    }
    device
}

/// Returns what the queue of `pair` has sent, and the others of `all` that was.
fn sent_by(pair: &QueuePair<VirtnetInfo>, all: u64) -> Sent {
    let queue = pair.tx.shared().packets.get();
    Sent {
        queue,
        others: all.wrapping_sub(queue),
    }
}

/// Resets a transmit queue alone, and returns false if only a reset of the device helps.
fn reset_tx(dev: &Net, i: u16) -> bool {
    net_err!(dev, "output.{i}: stuck; resetting the queue\n");
    let Some(mut guard) = dev.lock_rtnl() else {
        return true;
    };
    match rings::reset_tx(dev, i, &mut guard) {
        Ok(()) => true,
        Err(e) => {
            net_warn!(
                dev,
                "output.{i}: reset failed: {e:?}; resetting the device\n"
            );
            false
        }
    }
}

/// Returns whether a device that has given up and asks for a reset (specification 2.1.2) gets it.
///
/// If it asks too often it has to wait, and does without a carrier until then.
fn may_reset(dev: &Net) -> bool {
    let info = dev.data();
    let now = ktime_get_seconds();
    let mut s = info.settings.lock();
    let (verdict, rest) = (s.resets.ask(now), s.resets.rest(now));
    drop(s);
    match verdict {
        Verdict::Reset => {
            net_err!(dev, "the device asks for a reset; resetting it\n");
            return true;
        }
        Verdict::Refused => net_err!(
            dev,
            "the device asks for a reset again and again: no carrier, the next one in {rest} s\n"
        ),
        Verdict::RefusedAgain => {}
    }
    link::give_up(dev);
    // It won't say it again.
    let ms = u32::try_from(rest.saturating_mul(1000)).unwrap_or(u32::MAX);
    dev.schedule_reset_check_after(ms.max(1));
    false
}

/// Milliseconds until a device that is gone is looked for again.
const GONE_MS: u32 = 5000;

/// Milliseconds that the end of probe may take, and that of a reset which isn't this work's.
const PROBE_MS: u32 = 100;

/// Returns whether somebody else sets the device up: a transport, or the system as it is resumed.
///
/// The virtio core looks at the status after [`restore`], and sets DRIVER_OK if a reset has taken that away meanwhile; two would
/// call the driver at the same time, too. After a failure the core leaves the device as it is, which is waited for no longer.
fn is_being_set_up(info: &VirtnetInfo, failed: u32) -> bool {
    failed == 0 && info.vqs().is_some() && !info.vdev.is_set_up()
}

/// Has the work look once more when the virtio core may be through with the device, and at a reset that was `asked` for then.
fn look_again(dev: &Net, asked: bool) {
    if asked {
        dev.ask_for_reset();
    }
    dev.schedule_reset_check_after(PROBE_MS);
}

/// Resets the device and sets it up again, if it needs that.
pub(crate) fn work(dev: &Net) {
    let info = dev.data();
    let asked = dev.take_reset_asked();
    if !info.vdev.is_bound() {
        // The virtio core would find no driver to call.
        look_again(dev, asked);
        return;
    }
    if info.vdev.is_gone() {
        if link::give_up(dev) {
            net_err!(
                dev,
                "the device is gone (its status reads 0xff): no carrier\n"
            );
        }
        // Ends commands, and what would be sent.
        info.vdev.break_queues();
        dev.schedule_reset_work_after(GONE_MS);
        return;
    }
    let failed = info.settings.lock().failed_resets;
    if is_being_set_up(info, failed) {
        look_again(dev, asked);
        return;
    }
    if info.vqs().is_none() {
        if failed == 0 {
            return;
        }
        // The status says FAILED since the last time, which the virtio core would carry over.
        info.vdev.reset();
    } else if info.vdev.is_out_of_order() {
        if !may_reset(dev) {
            return;
        }
    } else if !renegotiate::due_now(dev) && !asked && !unstick(dev) {
        return;
    }
    match info.vdev.reset_and_restore() {
        Ok(()) => {}
        Err(e) if e == eshutdown() => {}
        Err(e) => reset_failed(dev, e, failed.saturating_add(1)),
    }
}

/// Has a reset that failed, for the `failed`th time, tried again.
fn reset_failed(dev: &Net, e: Error, failed: u32) {
    let info = dev.data();
    if info.vqs().is_none() {
        // One that was down as well: it can't be brought up.
        if let Some(mut guard) = dev.lock_rtnl() {
            dev.detach(&mut guard);
        }
    }
    renegotiate::failed(dev);
    info.settings.lock().failed_resets = failed;
    let recovery::Retry { after_ms, hopeless } = recovery::retry(failed);
    if !hopeless {
        net_err!(dev, "reset failed: {e:?}\n");
    } else if link::give_up(dev) {
        net_err!(
            dev,
            "reset failed: {e:?}, for the {failed}th time: no carrier; trying again every {} s\n",
            after_ms / 1000
        );
    }
    dev.schedule_reset_work_after(after_ms);
}
