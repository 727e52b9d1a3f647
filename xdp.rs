// SPDX-License-Identifier: GPL-2.0

//! XDP: programs come and go, and frames of other devices are sent.
//!
//! Buffers have room for a program's changes in any case, so that one that comes, is exchanged or
//! goes, is a pointer: queues go on, and nothing is lost. Frames are sent on the queues that there
//! are.
//!
//! Context: process, RTNL held.

#![forbid(unsafe_code)]

use crate::{
    device::{
        Net,
        VirtnetInfo, //
    },
    filter,
    net::{
        page_pool::{
            PAGE_SIZE,
            SHINFO, //
        },
        xdp::{
            Extack,
            NewProg,
            XdpFeatures,
            XmitBatch,
            XDP_HEADROOM, //
        },
        Rtnl, //
    },
    pure::eth::{
        frame_len,
        ETH_HLEN, //
    },
    receive_queue::Mode,
    renegotiate,
    sync::errno::eopnotsupp,
    tx,
    xsk, //
};
use core::sync::atomic::Ordering;
use kernel::prelude::*;

/// The largest MTU with a program for packets in one piece, which have a page, with room before and
/// behind.
// CAST: 14.
const MAX_MTU: u32 = PAGE_SIZE - XDP_HEADROOM - SHINFO - ETH_HLEN as u32;

/// Returns what of XDP there is in this mode.
pub(crate) fn features(mode: Mode) -> XdpFeatures {
    match mode {
        Mode::Mergeable => XdpFeatures::BASIC
            .or(XdpFeatures::RX_SG)
            .or(XdpFeatures::NDO_XMIT),
        Mode::Small => XdpFeatures::BASIC.or(XdpFeatures::NDO_XMIT),
        Mode::Big { .. } => XdpFeatures::NDO_XMIT,
    }
}

/// Prepares the device for a program (`ndo_bpf`).
///
/// # Errors
///
/// Returns `EOPNOTSUPP` if packets may arrive that no program could judge, `EINVAL` if the MTU is
/// too large, and the error by which the device goes on merging packets.
pub(crate) fn attach(
    dev: &Net,
    prog: &NewProg<'_>,
    extack: &Extack<'_>,
    rtnl: &mut Rtnl,
) -> Result {
    let info = dev.data();
    if matches!(info.mode, Mode::Big { .. }) {
        extack.set(fmt!("packets arrive in lists of pages (no MRG_RXBUF)"));
        return Err(eopnotsupp());
    }
    if renegotiate::merges_for_good(info) && renegotiate::plain(info).is_none() {
        extack.set(fmt!("the device merges packets and can't be told not to"));
        return Err(eopnotsupp());
    }
    let mtu = dev.mtu();
    if !prog.has_frags() && mtu > MAX_MTU {
        extack.set(fmt!(
            "MTU {mtu} is above {MAX_MTU}, for packets in one piece"
        ));
        return Err(EINVAL);
    }
    if prog.is_first() {
        xsk::say_why_not(dev);
        if let Err(e) = filter::suspend_offloads(dev, rtnl) {
            extack.set(fmt!("the device goes on merging packets"));
            return Err(e);
        }
        info.settings.lock().xdp_max_mtu = Some(dev.max_mtu(rtnl));
        dev.update_features(rtnl);
        set_len(info, mtu);
        renegotiate::prog_changed(dev);
    }
    let max = info.settings.lock().xdp_max_mtu.unwrap_or(mtu);
    let limit = if prog.has_frags() {
        max
    } else {
        max.min(MAX_MTU)
    };
    dev.set_max_mtu(limit, rtnl);
    Ok(())
}

/// Switches on again what the last program didn't allow, which is gone.
pub(crate) fn detached(dev: &Net, rtnl: &mut Rtnl) {
    let info = dev.data();
    let max = info.settings.lock().xdp_max_mtu.take();
    info.xdp_len.store(0, Ordering::Relaxed);
    renegotiate::prog_changed(dev);
    if let Some(max) = max {
        dev.set_max_mtu(max, rtnl);
    }
    filter::resume_offloads(dev, rtnl);
}

fn set_len(info: &VirtnetInfo, mtu: u32) {
    info.xdp_len.store(frame_len(mtu), Ordering::Relaxed);
}

/// Takes note of a new MTU (`ndo_change_mtu`).
///
/// What is above the program's limit was refused already. What is above that of a pool of AF_XDP's
/// isn't, because the pool is in use for some time after its last socket: packets that are too long
/// for it are dropped and counted (`xdp_drop_size`).
///
/// # Errors
///
/// Returns none so far.
pub(crate) fn change_mtu(dev: &Net, mtu: u32) -> Result {
    let info = dev.data();
    if info.settings.lock().xdp_max_mtu.is_some() {
        set_len(info, mtu);
    }
    Ok(())
}

/// Sends frames of other devices (`ndo_xdp_xmit`).
///
/// Context: softirq.
///
/// # Errors
///
/// Returns `ENXIO` if the device is being reset.
pub(crate) fn xmit(dev: &Net, frames: &mut XmitBatch<'_>, flush: bool) -> Result {
    let queues = dev.real_num_tx_queues().max(1);
    let index = u16::try_from(frames.cpu().checked_rem(queues).unwrap_or(0))?;
    let pair = dev.pair(index).ok_or(ENXIO)?;
    let mut tx = pair.tx.lock_for(frames);
    if tx.state().vq.is_none() {
        return Err(ENXIO);
    }
    let frames = frames.frames();
    tx::add_frames(dev, &mut tx, frames);
    if flush {
        tx::notify_frames(&mut tx);
    }
    let stats = tx.queue().shared();
    let n = frames.len();
    stats.xdp_tx.add(u64::from(n));
    stats
        .xdp_tx_drops
        .add(u64::from(n.saturating_sub(frames.taken())));
    Ok(())
}
