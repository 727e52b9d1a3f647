// SPDX-License-Identifier: GPL-2.0

//! Link state, link settings and announcements, as the device's configuration has them.
//!
//! Context: process.

#![forbid(unsafe_code)]

use crate::{
    ctrl_vq::AnnounceAck,
    device::{
        watch_late,
        Net,
        VirtnetInfo, //
    },
    net::{
        ethtool::LinkSettings,
        net_warn,
        ratelimit, //
    },
    notify,
    pure::{
        config::{
            link_settings,
            offset, //
        },
        features::bit, //
    }, //
};
use core::mem::replace;

/// The bit `VIRTIO_NET_S_LINK_UP` of the status.
const S_LINK_UP: u16 = 1;
/// The bit `VIRTIO_NET_S_ANNOUNCE` of the status.
const S_ANNOUNCE: u16 = 2;

/// Returns the device's status, which for a device without one is always up.
fn status(info: &VirtnetInfo) -> u16 {
    if info.f.has(bit::STATUS) {
        info.vdev.cread16(offset::STATUS)
    } else {
        S_LINK_UP
    }
}

/// Takes the link's state and settings over from the device, and returns its status.
pub(crate) fn update(dev: &Net) -> u16 {
    let info = dev.data();
    let status = status(info);
    if info.f.has(bit::SPEED_DUPLEX) {
        let speed = info.vdev.cread32(offset::SPEED);
        let [duplex] = info.vdev.cread_bytes(offset::DUPLEX);
        let got = link_settings(speed, duplex);
        let mut s = info.settings.lock();
        s.link = LinkSettings {
            speed: got.speed.or(s.link.speed),
            duplex: got.duplex.or(s.link.duplex),
        };
    }
    // With the lock held, so that who gives up isn't overtaken.
    let s = info.settings.lock();
    dev.set_carrier(status & S_LINK_UP != 0 && !s.gave_up);
    drop(s);
    status
}

/// Gives the device up for now, so that whoever has another way to the network takes that, and
/// returns whether that is new.
///
/// Context: process, RTNL not held.
pub(crate) fn give_up(dev: &Net) -> bool {
    let mut s = dev.data().settings.lock();
    let new = !replace(&mut s.gave_up, true);
    dev.set_carrier(false);
    drop(s);
    if new {
        if let Some(mut rtnl) = dev.lock_rtnl() {
            dev.sync_carrier(&mut rtnl);
        }
    }
    new
}

/// Takes the carrier from the device again, which works, and returns whether it had been given up.
pub(crate) fn revive(dev: &Net) -> bool {
    let had = replace(&mut dev.data().settings.lock().gave_up, false);
    update(dev);
    had
}

/// Handles a change of the device's configuration.
///
/// Context: process, RTNL not held.
pub(crate) fn config_work(dev: &Net) {
    let info = dev.data();
    // Reset: the device has nothing to say.
    if info.vqs().is_none() {
        return;
    }
    if info.vdev.is_out_of_order() {
        dev.schedule_reset_check();
        return;
    }
    let status = update(dev);
    // The link may have been down since, and be back before anybody looked.
    if dev.has_carrier() {
        notify::catch_up(dev);
    }
    // Only a device that negotiated it may ask for it, whatever its status says. An interface that is
    // down could announce nothing: with its opening this is called again.
    if status & S_ANNOUNCE != 0 && info.f.has(bit::GUEST_ANNOUNCE) && dev.is_running() {
        dev.notify_peers();
        if let Err(e) = info.control().exec(&AnnounceAck(())) {
            if ratelimit() {
                net_warn!(dev, "announcement not acknowledged: {e:?}\n");
            }
            watch_late(dev);
        }
    }
}
