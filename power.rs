// SPDX-License-Identifier: GPL-2.0

//! Suspend and resume, and recovery: the device is reset and everything set is set again.

#![forbid(unsafe_code)]

use crate::{
    affinity,
    channels,
    coalesce,
    device::Net,
    device_stats,
    filter,
    link,
    net::{
        rtnl::RtnlGuard,
        Rtnl, //
    },
    open,
    pure::recovery::Verdict,
    rings,
    rss,
    sync::{
        cpus::CpusReadGuard,
        ktime_get_seconds, //
    },
    virtio::{
        driver::Cause,
        Device, //
    }, //
};
use core::mem::replace;
use kernel::prelude::*;

/// Takes the interface out of the stack's sight and lets go of the device. Process context.
pub(crate) fn freeze(dev: &Net, cause: Cause) -> Result {
    let info = dev.data();
    // First the reset work: it is the only other one that freezes and restores. Each work is disabled
    // once, though `restore` may not have come since the last time (the device didn't take its features).
    if cause != Cause::OwnReset && !replace(&mut info.settings.lock().no_reset_work, true) {
        dev.disable_reset_work();
    }
    dev.hotplug_remove();
    if !replace(&mut info.settings.lock().frozen, true) {
        dev.disable_config_work();
    }
    let mut guard = RtnlGuard::new();
    let rtnl = &mut *guard;
    let pairs = info.pairs();
    dev.detach(rtnl);
    if dev.is_running() {
        open::disable_pairs(dev, 0, pairs, rtnl);
    }
    channels::detach_queues(dev, rtnl);
    Ok(())
}

/// Undoes [`freeze`], on a device that was reset and has its features again.
///
/// # Errors
///
/// Without queues the interface stays invisible; it can still be removed, or another reset, the
/// transport's or ours, or a suspend and resume may bring it back. `EBUSY` if it wasn't frozen.
pub(crate) fn restore(vdev: &Device, dev: &Net, cause: Cause) -> Result {
    let info = dev.data();
    if !replace(&mut info.settings.lock().frozen, false) {
        return Err(EBUSY);
    }
    let up = bring_up(vdev, dev);
    dev.enable_config_work();
    let up = up.and_then(|again| crate::hotplug_add(dev).map(|()| again));
    if up.is_ok() {
        link::update(dev);
        info.settings.lock().failed_resets = 0;
    }
    // Last, as that work freezes and restores too.
    if cause != Cause::OwnReset && replace(&mut info.settings.lock().no_reset_work, false) {
        dev.enable_reset_work();
    }
    if up? {
        // Later: the virtio core isn't done with the device when this returns.
        dev.schedule_reset_work_after(RETRY_MS);
    }
    Ok(())
}

/// Says whether the device has to be reset once more.
fn bring_up(vdev: &Device, dev: &Net) -> Result<bool> {
    let mut guard = RtnlGuard::new();
    let rtnl = &mut *guard;
    bring_up_locked(vdev, dev, rtnl).inspect_err(|_| channels::detach_queues(dev, rtnl))
}

fn bring_up_locked(vdev: &Device, dev: &Net, rtnl: &mut Rtnl) -> Result<bool> {
    let info = dev.data();
    channels::find_queues(dev, rtnl)?;
    vdev.ready();
    let mut pairs = info.pairs();
    if let Err(e) = channels::tell_device(dev, pairs, rtnl) {
        dev_warn!(info.vdev.dev(), "{pairs} queue pairs refused: {e:?}\n");
        pairs = 1;
        info.settings.lock().pairs = pairs;
        rss::fall_back(dev, pairs, rtnl);
        dev.set_real_num_queues(pairs, rtnl)?;
    }
    let again = rings::replay(dev, rtnl);
    filter::replay(dev);
    coalesce::replay(dev, rtnl);
    device_stats::query(info);
    if dev.is_running() {
        open::enable_pairs(dev, 0, pairs, rtnl)?;
    }
    // All of them: others may come into use while none is stopped any more by `detach`.
    for pair in dev.pairs() {
        pair.tx.lock_bh().start();
    }
    dev.attach(rtnl);
    dev.refresh_rx_mode(rtnl);
    let held = CpusReadGuard::new();
    affinity::set_pairs(info, pairs);
    affinity::apply(dev, &held, None);
    Ok(again)
}

/// `ndo_tx_timeout`: a queue has been stopped for long. Counts it and has the device reset, also for a
/// queue that is out of use (`ethtool -L`): the stack's watchdog looks at it as long as it is stopped.
/// Softirq (timer), the stack's `tx_global_lock` held: nothing here may sleep.
pub(crate) fn tx_timeout(dev: &Net, txqueue: u32) {
    let index = u16::try_from(txqueue).unwrap_or(u16::MAX);
    let Some(pair) = dev.pair(index) else {
        return;
    };
    pair.tx.shared().tx_timeouts.inc();
    dev_err!(
        dev.data().vdev.dev(),
        "output.{txqueue}: stuck; resetting the device\n"
    );
    dev.schedule_reset_work();
}

/// The device has given up and asks for a reset (specification 2.1.2). It gets it, unless it asks too
/// often: then it stays as it is until it asks again later. Process context.
pub(crate) fn needs_reset(dev: &Net) {
    let info = dev.data();
    let verdict = info.settings.lock().resets.ask(ktime_get_seconds());
    match verdict {
        Verdict::Reset => {
            dev_err!(
                info.vdev.dev(),
                "the device asks for a reset; resetting it\n"
            );
            dev.schedule_reset_work();
        }
        Verdict::Refused => dev_err!(
            info.vdev.dev(),
            "the device asks for a reset again and again: ignored\n"
        ),
        Verdict::RefusedAgain => {}
    }
}

/// Resets the device and sets it up again. Process context.
pub(crate) fn reset_work(dev: &Net) {
    let info = dev.data();
    let failed = info.settings.lock().failed_resets;
    if info.set().is_none() {
        if failed == 0 {
            return;
        }
        // The status says FAILED since the last time, which the virtio core would carry over.
        info.vdev.reset();
    }
    if let Err(e) = info.vdev.reset_and_restore() {
        info.settings.lock().failed_resets = failed.saturating_add(1);
        dev_err!(info.vdev.dev(), "reset failed: {e:?}\n");
        if failed < RETRIES {
            // Memory may have been short.
            dev.schedule_reset_work_after(RETRY_MS.wrapping_shl(failed));
        }
    }
}

/// How often a reset that failed is tried again, the first time after how many milliseconds; each time
/// it is twice as long.
const RETRIES: u32 = 4;
const RETRY_MS: u32 = 500;
