// SPDX-License-Identifier: GPL-2.0

//! What the device is asked to receive: address, promiscuous modes, address tables, VLANs, and
//! receive offloads.
//!
//! Context: process, RTNL held.

#![forbid(unsafe_code)]

use crate::{
    ctrl_vq::{
        GuestOffloadsSet,
        MacAddrSet,
        MacTableSet,
        RxAllmulti,
        RxPromisc,
        VlanAdd,
        VlanDel, //
    },
    device::{
        control::Control,
        features::Negotiated,
        filter::Tables,
        resync,
        watch_late,
        Net,
        VirtnetInfo, //
    },
    net::{
        addr::AddrList,
        device::{
            Features as NetFeatures,
            RxFlags, //
        },
        net_warn,
        Rtnl, //
    },
    pure::{
        config::offset,
        ctrl::{
            rx_steps,
            RxMode,
            RxStep, //
        },
        features::{
            bit,
            offload_bit, //
        }, //
    },
    sync::errno::eopnotsupp, //
};
use kernel::prelude::*;

/// Makes one table of addresses: a count, then the addresses (5.1.6.5.2).
fn table(list: AddrList<'_>) -> Result<KVec<u8>> {
    let n = u32::try_from(list.iter().count())?;
    let mut out = KVec::new();
    out.extend_from_slice(&n.to_le_bytes(), GFP_KERNEL)?;
    for mac in list.iter() {
        out.extend_from_slice(&mac, GFP_KERNEL)?;
    }
    Ok(out)
}

/// Sends the receive filter (`ndo_set_rx_mode_async`).
///
/// # Errors
///
/// Returns `ENOMEM` and the errors of the control queue, after which the core tries again later,
/// for some seconds.
pub(crate) fn set_rx_mode(
    dev: &Net,
    uc: AddrList<'_>,
    mc: AddrList<'_>,
    _rtnl: &mut Rtnl,
) -> Result {
    send_rx_mode(dev, uc, mc).inspect_err(|_| watch_late(dev))
}

fn send_rx_mode(dev: &Net, uc: AddrList<'_>, mc: AddrList<'_>) -> Result {
    let info = dev.data();
    if !info.f.has(bit::CTRL_RX) {
        // Such a device receives everything (5.1.6.5.1).
        return Ok(());
    }
    let RxFlags { promisc, allmulti } = dev.rx_flags();
    let want = RxMode { promisc, allmulti };
    let tables = Tables {
        uc: table(uc)?,
        mc: table(mc)?,
    };

    let (was, same) = {
        let s = info.settings.lock();
        let f = &s.filter;
        (f.mode, f.tables.as_ref().is_some_and(|t| *t == tables))
    };
    // What isn't answered may be done later all the same, so it isn't known until it is.
    let mut tables = Some(tables);
    for step in rx_steps(was, want, !same) {
        match step {
            RxStep::Promisc(on) => {
                info.settings.lock().filter.mode.promisc = None;
                info.control().exec(&RxPromisc(on))?;
                info.settings.lock().filter.mode.promisc = Some(on);
            }
            RxStep::Allmulti(on) => {
                info.settings.lock().filter.mode.allmulti = None;
                info.control().exec(&RxAllmulti(on))?;
                info.settings.lock().filter.mode.allmulti = Some(on);
            }
            RxStep::Table => {
                info.settings.lock().filter.tables = None;
                if let Some(Tables { uc, mc }) = &tables {
                    info.control().exec(&MacTableSet(uc, mc))?;
                }
                info.settings.lock().filter.tables = tables.take();
            }
        }
    }
    Ok(())
}

/// Sends a new address of the interface (`ndo_set_mac_address`).
///
/// # Errors
///
/// Returns `EOPNOTSUPP` for a standby device, whose address is its primary's, and the errors of the
/// control queue.
pub(crate) fn set_mac_address(dev: &Net, mac: [u8; 6], _rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    if info.f.has(bit::STANDBY) {
        // The address is what makes it and its primary one.
        return Err(eopnotsupp());
    }
    send_mac(info.control(), mac).inspect_err(|e| resync(dev, *e))?;
    info.settings.lock().mac_set = true;
    Ok(())
}

/// Sends the device its address, by whatever way it has.
///
/// A device that has none filters nothing by its address.
///
/// # Errors
///
/// Returns those of the control queue.
pub(crate) fn send_mac(control: Control<'_>, mac: [u8; 6]) -> Result {
    if control.has(bit::CTRL_MAC_ADDR) {
        return control.exec(&MacAddrSet(mac));
    }
    // Legacy devices have a writable field (5.1.4.3); others must not be written to.
    if control.has(bit::MAC) && !control.has(bit::VERSION_1) {
        control.vdev.cwrite_bytes(offset::MAC, &mac);
    }
    Ok(())
}

/// Adds a VLAN to the filter or removes it (`ndo_vlan_rx_add_vid`, `ndo_vlan_rx_kill_vid`).
///
/// # Errors
///
/// Returns those of the control queue.
pub(crate) fn vlan_filter(dev: &Net, vid: u16, add: bool, _rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    if !info.f.has(bit::CTRL_VLAN) {
        return Ok(());
    }
    let sent = if info.vqs().is_none() {
        // The device is reset: `replay` sends what is written down by then.
        Ok(())
    } else if add {
        info.control().exec(&VlanAdd(vid))
    } else {
        info.control().exec(&VlanDel(vid))
    };
    // The stack forgets a VLAN that goes whatever becomes of the command. A device that still lets its
    // packets through does no harm, one that was sent it again would go on doing so.
    if sent.is_ok() || !add {
        info.settings.lock().filter.vlan(vid, add);
    }
    sent.inspect_err(|_| watch_late(dev))
}

/// Returns the receive offloads that GRO_HW stands for, as the device's command names them.
fn gro_hw_bits(info: &VirtnetInfo) -> u64 {
    let bits = [
        bit::GUEST_TSO4,
        bit::GUEST_TSO6,
        bit::GUEST_ECN,
        bit::GUEST_UFO,
        bit::GUEST_USO4,
        bit::GUEST_USO6,
        bit::GUEST_UDP_TUNNEL_GSO,
        bit::GUEST_UDP_TUNNEL_GSO_CSUM,
    ];
    bits.into_iter()
        .filter(|b| info.f.has(*b))
        .fold(0, |all, b| all | offload_bit(b))
}

/// Returns the receive offload that is about checksums.
fn csum_bits(info: &VirtnetInfo) -> u64 {
    if info.f.has(bit::GUEST_CSUM) {
        offload_bit(bit::GUEST_CSUM)
    } else {
        0
    }
}

/// Returns what the user wishes, as the command names it: checksums always, merged packets with
/// GRO_HW, or where that isn't the user's to switch.
fn wished_bits(info: &VirtnetInfo, gro_hw: bool) -> u64 {
    let merged = if gro_hw || !has_gro_hw(&info.f) {
        gro_hw_bits(info)
    } else {
        0
    };
    csum_bits(info) | merged
}

/// Returns whether the stack has a feature that stands for merged packets (`rx-gro-hw`), which other
/// devices than those with TSO haven't: what they merge isn't the user's to switch.
pub(crate) fn has_gro_hw(f: &Negotiated) -> bool {
    (f.rx.tso4 || f.rx.tso6) && f.has(bit::CTRL_GUEST_OFFLOADS)
}

/// Returns whether the device has receive offloads that a command can change.
///
/// A device without any may refuse all such commands, as QEMU's does where its backend knows no
/// headers.
fn has_offloads(info: &VirtnetInfo) -> bool {
    info.f.has(bit::CTRL_GUEST_OFFLOADS) && wished_bits(info, true) != 0
}

/// Sends which receive offloads there are (5.1.6.5.8).
///
/// Nothing is sent to a device that has none or takes no such command, nor while it is reset,
/// because [`replay`] sends them afterwards.
///
/// # Errors
///
/// Returns those of the control queue.
fn send_offloads(dev: &Net, bits: u64) -> Result {
    let info = dev.data();
    if !has_offloads(info) || info.vqs().is_none() {
        return Ok(());
    }
    info.control()
        .exec(&GuestOffloadsSet(bits))
        .inspect_err(|_| watch_late(dev))
}

/// Switches all receive offloads off for an XDP program.
///
/// # Errors
///
/// Returns those of the control queue.
pub(crate) fn suspend_offloads(dev: &Net, _rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    if has_offloads(info) {
        // A device that answers late does it nevertheless, and is told these then.
        let bits = wished_bits(info, dev.features().has(NetFeatures::GRO_HW));
        let _ = info.settings.lock().guest_offloads.get_or_insert(bits);
    }
    send_offloads(dev, 0)
}

/// Switches on what the user wants, because there is no program any more.
pub(crate) fn resume_offloads(dev: &Net, rtnl: &mut Rtnl) {
    let info = dev.data();
    if !has_offloads(info) {
        return;
    }
    // With GRO_HW it is `set_features` that sends them.
    if !dev.wanted_features(rtnl).has(NetFeatures::GRO_HW) {
        let bits = wished_bits(info, false);
        info.settings.lock().guest_offloads = Some(bits);
        if let Err(e) = send_offloads(dev, bits) {
            net_warn!(
                dev,
                "the device goes on without checksums of received packets: {e:?}\n"
            );
            resync(dev, e);
        }
    }
    dev.update_features(rtnl);
}

/// Returns those of `wanted` that there can be for now (`ndo_fix_features`): with an XDP program
/// the device merges no packets.
///
/// What the user wants comes back afterwards.
pub(crate) fn fix_features(dev: &Net, wanted: NetFeatures) -> NetFeatures {
    if dev.data().settings.lock().xdp_max_mtu.is_some() {
        wanted.without(NetFeatures::GRO_HW)
    } else {
        wanted
    }
}

/// Switches `rx-gro-hw`, the only feature that needs a command here (5.1.6.5.8), for
/// `ndo_set_features`.
///
/// # Errors
///
/// Returns the error by which the device refuses to merge packets. That it goes on merging them is
/// none: they are received as before, and the stack, which switches this off for generic XDP, can
/// do with them.
pub(crate) fn set_features(dev: &Net, wanted: NetFeatures, _rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    let on = wanted.has(NetFeatures::GRO_HW);
    if on == dev.features().has(NetFeatures::GRO_HW) {
        return Ok(());
    }
    if !info.f.has(bit::CTRL_GUEST_OFFLOADS) {
        return Err(EINVAL);
    }
    if info.settings.lock().xdp_max_mtu.is_some() {
        // They were switched off for the program.
        return Ok(());
    }
    let bits = wished_bits(info, on);
    let done = info.control().exec(&GuestOffloadsSet(bits));
    if done.is_err() {
        watch_late(dev);
    }
    if on {
        done.inspect_err(|e| resync(dev, *e))?;
    }
    let mut s = info.settings.lock();
    // Also if the device refused: it is asked again after a reset.
    s.guest_offloads = Some(bits);
    let logged = core::mem::replace(&mut s.offloads_stay, done.is_err());
    drop(s);
    if let (Err(e), false) = (done, logged) {
        net_warn!(dev, "the device goes on merging received packets: {e:?}\n");
    }
    Ok(())
}

/// Sends what the stack won't send again by itself, after a reset, or if the device may have missed
/// it.
///
/// What the device refuses now is reported, not fatal.
pub(crate) fn replay(dev: &Net) {
    let info = dev.data();
    let report = |what: &str, r: Result| {
        if let Err(e) = r {
            net_warn!(dev, "{what} not restored: {e:?}\n");
        }
    };
    let (mac_set, offloads, stay) = {
        let mut s = info.settings.lock();
        // The stack knows the rest and sends it again: `refresh_rx_mode`, or the next open.
        s.filter.forget();
        let offloads = match s.xdp_max_mtu {
            Some(_) if has_offloads(info) => Some(0),
            _ => s.guest_offloads,
        };
        (s.mac_set, offloads, s.offloads_stay)
    };
    if mac_set {
        report("address", send_mac(info.control(), dev.mac()));
    }
    replay_vlans(dev);
    if let Some(bits) = offloads {
        let done = info.control().exec(&GuestOffloadsSet(bits));
        // Once is enough of a device that never does it.
        if !stay {
            report("offloads", done);
        }
    }
    watch_late(dev);
}

/// Sends the VLANs among that.
///
/// There may be thousands: the log has one line for all that the device doesn't take, and none is
/// tried any more once it doesn't answer.
fn replay_vlans(dev: &Net) {
    let info = dev.data();
    let (mut missing, mut why, mut from) = (0usize, None, 0);
    loop {
        let next = info.settings.lock().filter.next_vid(from);
        let Some(vid) = next else { break };
        if let Err(e) = info.control().exec(&VlanAdd(vid)) {
            why = Some(e);
            if e != EINVAL {
                let rest = info.settings.lock().filter.vlans_from(vid);
                missing = missing.saturating_add(rest);
                break;
            }
            missing = missing.saturating_add(1);
        }
        from = vid.saturating_add(1);
    }
    if let Some(e) = why {
        net_warn!(dev, "{missing} VLANs not restored: {e:?}\n");
    }
}
