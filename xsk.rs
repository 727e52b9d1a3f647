// SPDX-License-Identifier: GPL-2.0

//! AF_XDP without copies: sockets' buffers come into use on a queue pair and go again, and user
//! space wakes the driver.
//!
//! Only the receive ring is reset for that, where the device can do that, else the device: the
//! reset work sets it up again, soon after the request. The transmit ring takes packets of sockets
//! beside others. A pool that goes leaves when neither ring has anything of it, whatever that
//! takes: at last the device is reset. A pool that is in use stays over everything else, as it is
//! with the queues' state.
//!
//! Context: process, RTNL held.

#![forbid(unsafe_code)]

use crate::{
    device::{
        features::Negotiated,
        Net,
        VirtnetInfo, //
    },
    net::{
        net_info,
        net_warn,
        queue::QueuePair,
        xdp::XdpFeatures,
        xsk::{
            XskNew,
            MAX_SEGS, //
        },
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
    receive_queue::Mode,
    rings::{
        self,
        Pending, //
    },
    sync::errno::eopnotsupp,
    virtio::Device,
    vqs,
    xsk_tx, //
};
use kernel::{
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// Returns why sockets can't have buffers of their own, if they can't.
fn missing(vdev: &Device, f: &Negotiated, mode: Mode) -> Option<&'static str> {
    if matches!(mode, Mode::Big { .. }) {
        Some("packets arrive in lists of pages (no MRG_RXBUF)")
    } else if !f.has(bit::ACCESS_PLATFORM) {
        Some("the device has no ACCESS_PLATFORM")
    } else if vdev.maps_by_itself() {
        Some("the device's memory isn't mapped by the DMA API (vDPA)")
    } else {
        None
    }
}

/// Returns what of AF_XDP without copies there is.
pub(crate) fn features(vdev: &Device, f: &Negotiated, mode: Mode) -> XdpFeatures {
    if missing(vdev, f, mode).is_none() {
        XdpFeatures::XSK_ZEROCOPY
    } else {
        XdpFeatures::NONE
    }
}

/// Logs once why there is none, for whoever attaches a program, which is for a socket perhaps.
pub(crate) fn say_why_not(dev: &Net) {
    let info = dev.data();
    let Some(why) = missing(&info.vdev, &info.f, info.mode) else {
        return;
    };
    if !core::mem::replace(&mut info.settings.lock().xsk_told, true) {
        net_info!(dev, "AF_XDP without zero copy: {why}\n");
    }
}

/// Returns how many buffers a packet may have.
pub(crate) fn max_segs(mode: Mode) -> u32 {
    match mode {
        Mode::Mergeable => MAX_SEGS,
        _ => 1,
    }
}

/// Takes a pool of buffers into use on a queue pair (`ndo_bpf`).
///
/// # Errors
///
/// Returns `EOPNOTSUPP` if the device can't do that, `EINVAL` for a pair that isn't in use, and the
/// errors of the stack and the ring.
pub(crate) fn enable(dev: &Net, index: u16, pool: &XskNew<'_>, rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    if let Some(why) = missing(&info.vdev, &info.f, info.mode) {
        net_warn!(dev, "AF_XDP without zero copy: {why}\n");
        return Err(eopnotsupp());
    }
    if index >= info.pairs() {
        return Err(EINVAL);
    }
    let pair = dev.pair(index).ok_or(EINVAL)?;
    let dma = info.vdev.transport().ok_or_else(eopnotsupp)?;
    // As many as there can be, of a device that is being reset.
    let mut slots = u32::MAX;
    if let Some(vqs) = info.vqs() {
        if !vqs.is_mapped_for(rx_vq(index), dma) || !vqs.is_mapped_for(tx_vq(index), dma) {
            net_warn!(
                dev,
                "pair {index}: AF_XDP without zero copy: the rings are mapped for another device\n"
            );
            return Err(eopnotsupp());
        }
        slots = vqs.size_max(tx_vq(index));
    }
    let pool = pool.map(dma, info.f.hdr_len, slots, info.f.has(bit::CSUM))?;
    let mut broken = false;
    let done = if info.f.has(bit::RING_RESET) && info.vqs().is_some() {
        rings::with_pair_paused(dev, index, Pending::Lose, rtnl, |rtnl| {
            let (rq, _) = pair.rx.stopped_state(rtnl).ok_or(EBUSY)?;
            let vq = rq.vq.as_mut().ok_or(ENODEV)?;
            let reset = vq.reset();
            vq.disable_cb();
            reset.inspect_err(|_| broken = true)?;
            pair.xsk_install(pool, rtnl)
        })
    } else {
        lose_device(dev, pair, rtnl).and_then(|()| pair.xsk_install(pool, rtnl))
    };
    if let Err(e) = done {
        net_warn!(dev, "pair {index}: AF_XDP without zero copy: {e:?}\n");
        if broken || e == EBUSY {
            dev.schedule_reset_work();
        }
    }
    done
}

/// Takes the pool of a queue pair out of use (`ndo_bpf` without one).
pub(crate) fn disable(dev: &Net, index: u16, rtnl: &mut Rtnl) {
    let Some(pair) = dev.pair(index) else {
        return;
    };
    if take_back(dev, pair, index, rtnl).is_ok() {
        return;
    }
    if !pair.has_xsk(rtnl) {
        // The pair doesn't come back.
        dev.schedule_reset_work();
        return;
    }
    if let Err(e) = lose_device(dev, pair, rtnl).and_then(|()| pair.xsk_remove(rtnl)) {
        net_warn!(
            dev,
            "pair {index}: buffers of AF_XDP's don't come back: {e:?}\n"
        );
    }
}

/// Takes back what the rings of a pair have, by resetting them alone.
fn take_back(dev: &Net, pair: &QueuePair<VirtnetInfo>, index: u16, rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    if !info.f.has(bit::RING_RESET) || info.vqs().is_none() {
        return Err(ENODEV);
    }
    rings::with_pair_paused(dev, index, Pending::Drain, rtnl, |rtnl| {
        let (rq, _) = pair.rx.stopped_state(rtnl).ok_or(EBUSY)?;
        let vq = rq.vq.as_mut().ok_or(ENODEV)?;
        let reset = vq.reset();
        vq.disable_cb();
        reset?;
        if pair.xsk_remove(rtnl).is_ok() {
            return Ok(());
        }
        // The device hasn't sent all of it.
        rings::reset_tx_ring(pair)?;
        pair.xsk_remove(rtnl)
    })
}

/// Milliseconds that the reset of a device is waited for, and the virtio core after the driver's
/// part of it.
///
/// RTNL is held meanwhile, and a pool that goes tries again.
const RESET_MS: u32 = 1000;

/// Waits until the device may be reset by who holds RTNL, which is not while somebody else is about
/// to be through with setting it up.
///
/// Before that, somebody who resets it waits for RTNL to take the rings away, and takes it as it
/// is.
///
/// # Errors
///
/// Returns `EBUSY` if that has no end.
fn settled(info: &VirtnetInfo) -> Result {
    for _ in 0..RESET_MS {
        if info.vdev.is_set_up() || info.settings.lock().freezing {
            return Ok(());
        }
        fsleep(Delta::from_millis(1));
    }
    Err(EBUSY)
}

/// Takes the rings of the device away with what is in them, by a reset or because it is gone.
///
/// The reset work sets it up again.
///
/// # Errors
///
/// Returns `EBUSY` if somebody else doesn't get through with setting it up.
fn lose_device(dev: &Net, pair: &QueuePair<VirtnetInfo>, rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    if info.vqs().is_some() {
        settled(info)?;
    }
    queue_pairs::disable_pairs(dev, 0, info.max_pairs, rtnl);
    if info.vqs().is_some() {
        net_info!(dev, "a queue can't be reset alone; resetting the device\n");
        dev.detach(rtnl);
        if let Some(parked) = vqs::park(dev, rtnl) {
            vqs::release_locked(dev, parked, rtnl);
        }
        let mut s = info.settings.lock();
        s.failed_resets = s.failed_resets.max(1);
        drop(s);
        dev.schedule_reset_work();
        return Ok(());
    }
    // Somebody resets the device, and waits for RTNL to let go of the rings; or has done so.
    dev.synchronize_napi(rtnl);
    for _ in 0..RESET_MS {
        if let Some((rq, _)) = pair.rx.stopped_state(rtnl) {
            if rq.vq.as_ref().is_none_or(|vq| vq.is_reset()) {
                drop(rq.vq.take());
                let vq = pair.tx.lock_bh().state().take_parked();
                if let Some(vq) = vq {
                    vq.discard(dev);
                }
                return Ok(());
            }
        }
        fsleep(Delta::from_millis(1));
    }
    Ok(())
}

/// Looks at what user space has to send, or at its new buffers (`ndo_xsk_wakeup`).
///
/// Context: process.
///
/// # Errors
///
/// Returns `EINVAL` for a pair that isn't in use.
pub(crate) fn wakeup(dev: &Net, index: u16, rx: bool, tx: bool) -> Result {
    let pair = dev.pair(index).ok_or(EINVAL)?;
    // The device looks at no other, and what is left in user space's rings is sent later.
    if u32::from(index) >= dev.real_num_tx_queues() {
        return Err(EINVAL);
    }
    if tx {
        xsk_tx::wakeup(dev, pair);
    }
    if rx {
        pair.rx.schedule_now();
    }
    Ok(())
}
