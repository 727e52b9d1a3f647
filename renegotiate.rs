// SPDX-License-Identifier: GPL-2.0

//! Devices that merge received packets and can't be told not to (no CTRL_GUEST_OFFLOADS).
//!
//! For an XDP program they are reset, and the receive offloads aren't negotiated; when it has gone,
//! they are again.
//!
//! It is the reset work that does it, soon after the program came or went, because a reset is not
//! waited for under RTNL. The program stays, as through any other reset, and what the device merges
//! before is dropped.
//!
//! Context: process.

#![forbid(unsafe_code)]

use crate::{
    device::{
        Net,
        Settings,
        VirtnetInfo, //
    },
    net::{
        net_err,
        net_info, //
    },
    pure::features::{
        bit,
        without_receive_offloads,
        Features, //
    },
    virtio::Device, //
};
use kernel::device::Core;

/// Returns whether the device merges packets, and can't be told not to.
pub(crate) fn merges_for_good(info: &VirtnetInfo) -> bool {
    let rx = &info.f.rx;
    (rx.tso4 || rx.tso6 || rx.ufo || rx.uso4 || rx.uso6) && !info.f.has(bit::CTRL_GUEST_OFFLOADS)
}

/// Returns the features of such a device without its receive offloads, or `None` if all else would
/// be different, too.
pub(crate) fn plain(info: &VirtnetInfo) -> Option<Features> {
    without_receive_offloads(info.f.all).filter(|_| merges_for_good(info))
}

/// Returns whether those features are to be negotiated.
fn wanted(s: &Settings) -> bool {
    s.xdp_max_mtu.is_some() && !s.insists
}

/// Returns whether the device is to be reset for that, because a program has come or gone.
pub(crate) fn is_due(info: &VirtnetInfo) -> bool {
    plain(info).is_some() && {
        let s = info.settings.lock();
        wanted(&s) != s.plain
    }
}

/// Has the device reset soon if that is called for, because a program has come or gone.
pub(crate) fn prog_changed(dev: &Net) {
    let info = dev.data();
    info.settings.lock().insists = false;
    if is_due(info) {
        dev.schedule_reset_check();
    }
}

/// Returns the same as [`is_due`] to the reset work, which resets the device then, and logs why.
pub(crate) fn due_now(dev: &Net) -> bool {
    let info = dev.data();
    let due = is_due(info);
    if due && info.settings.lock().plain {
        net_info!(
            dev,
            "resetting the device, so that it merges packets again\n"
        );
    } else if due {
        net_info!(
            dev,
            "resetting the device, which can't be told otherwise to merge no packets\n"
        );
    }
    due
}

/// Chooses what is negotiated with a device that is reset and has no virtqueues.
pub(crate) fn choose(vdev: &Device<Core<'_>>, dev: &Net) {
    let info = dev.data();
    let Some(plain) = plain(info) else {
        return;
    };
    let mut s = info.settings.lock();
    let wanted = wanted(&s);
    let features = if wanted { plain } else { info.f.all };
    // With queues left it isn't set up again either.
    if vdev.renegotiate(features).is_ok() {
        s.plain = wanted;
    }
}

/// Takes note that the device wasn't set up again.
///
/// If it was asked to do without receive offloads, that may be why, and it isn't asked again for
/// this program.
pub(crate) fn failed(dev: &Net) {
    let mut s = dev.data().settings.lock();
    if !s.plain || s.insists {
        return;
    }
    s.insists = true;
    drop(s);
    net_err!(
        dev,
        "the device merges packets for good: those are dropped as long as there is a program\n"
    );
}
