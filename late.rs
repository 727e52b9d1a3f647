// SPDX-License-Identifier: GPL-2.0

//! What is done about a device that owes an answer.
//!
//! Each command fails until the answer has come. Whoever sent them has given up by then, so all
//! settings are sent once more.
//!
//! Context: process.

#![forbid(unsafe_code)]

use crate::{
    channels,
    coalesce,
    ctrl_vq::{
        Owed,
        LOOK_MS, //
    },
    device::{
        watch_late,
        Net, //
    },
    filter,
    hw_stats,
    net::{
        net_info,
        net_warn,
        rtnl::RtnlGuard,
        Rtnl, //
    }, //
};

/// Looks whether the answer has come.
///
/// It ends with that, with the queue, or with a reset of the device, after which everything is sent
/// anyway.
///
/// Context: process, RTNL not held.
pub(crate) fn work(dev: &Net) {
    let info = dev.data();
    match info.ctrl.collect() {
        Owed::Answer => dev.schedule_late_work(LOOK_MS),
        Owed::Nothing => {
            let mut rtnl = RtnlGuard::new();
            // Not if another work was quicker: a reset.
            if info.ctrl.begin_resend() {
                resend_all(dev, &mut rtnl);
            }
        }
        Owed::NoQueue => {}
    }
}

/// Sends all settings, because what was sent in vain isn't known one by one, nor what the device
/// has done late.
fn resend_all(dev: &Net, rtnl: &mut Rtnl) {
    let info = dev.data();
    net_info!(dev, "the device answers again: it is told all settings\n");
    let pairs = info.pairs();
    if let Err(e) = channels::send_pairs(dev, pairs, rtnl) {
        net_warn!(dev, "{pairs} queue pairs refused: {e:?}\n");
    }
    filter::replay(dev);
    // What the stack has asked for in vain.
    dev.update_features(rtnl);
    coalesce::resend(dev, rtnl);
    hw_stats::query(dev);
    dev.refresh_rx_mode(rtnl);
    // An announcement that couldn't be acknowledged is asked for still.
    dev.schedule_config_work();
    info.ctrl.end_resend();
    // It may not have answered the last of these.
    watch_late(dev);
}
