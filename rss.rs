// SPDX-License-Identifier: GPL-2.0

//! Receive-side scaling (specification 5.1.6.5.7) and hash reports (5.1.6.5.6.4).
//!
//! With `RSS` each packet goes to the queue that its hash selects in a table, and the command that
//! sets the table also sets the number of queue pairs. With `HASH_REPORT` the hash comes with the
//! packet. A device may have either without the other.
//!
//! Context: process.

#![forbid(unsafe_code)]

use crate::{
    device::{
        resync,
        rss::{
            send,
            State, //
        },
        Net,
        VirtnetInfo, //
    },
    net::{
        device::Features as NetFeatures,
        net_warn,
        rxfh,
        Rtnl, //
    },
    pure::{
        config::offset,
        features::{
            bit,
            Features, //
        },
        rss::{
            self,
            Caps,
            Fields,
            Flow,
            Limits,
            Unusable,
            KEY_LEN, //
        }, //
    },
    sync::errno::eopnotsupp,
    virtio::Device, //
};
use core::sync::atomic::Ordering;
use kernel::{
    device::Bound,
    prelude::*, //
};

/// Reads what the device can do, as far as it has the features `f`.
fn limits(dev: &Device<Bound>, f: Features) -> Limits {
    let [key] = dev.cread_bytes(offset::RSS_KEY_SIZE);
    Limits {
        key,
        table: if f.has(bit::RSS) {
            dev.cread16(offset::RSS_TABLE_LENGTH)
        } else {
            0
        },
        types: dev.cread32(offset::HASH_TYPES),
    }
}

/// Takes out of `f` what the device's configuration makes useless.
pub(crate) fn validate(dev: &Device<Bound>, f: Features) -> Features {
    if !f.has(bit::RSS) && !f.has(bit::HASH_REPORT) {
        return f;
    }
    let (f, why) = rss::usable(f, limits(dev, f));
    match why {
        Some(Unusable::Key) => dev_warn!(dev.dev(), "RSS key below 40 bytes: no RSS, no hashes\n"),
        Some(Unusable::Types) => dev_warn!(dev.dev(), "no usable hash type: no RSS, no hashes\n"),
        Some(Unusable::Table) => dev_warn!(dev.dev(), "RSS without a table: no RSS\n"),
        None => {}
    }
    f
}

/// Returns what can be done with the negotiated features.
///
/// # Errors
///
/// Returns `EINVAL` if the configuration isn't what `validate` saw.
pub(crate) fn caps(dev: &Device<Bound>, f: Features) -> Result<Option<Caps>> {
    if !f.has(bit::RSS) && !f.has(bit::HASH_REPORT) {
        return Ok(None);
    }
    Ok(Some(rss::caps(f, limits(dev, f)).ok_or(EINVAL)?))
}

/// Returns the sizes of what the user can set of `caps`.
pub(crate) fn sizes(caps: Option<Caps>) -> rxfh::Sizes {
    caps.map_or(rxfh::Sizes::default(), |caps| rxfh::Sizes {
        // CAST: 40.
        key: KEY_LEN as u32,
        table: u32::from(caps.table),
    })
}

/// Sends `new`, which is in force from then on if the device takes it; else what was stays.
fn commit(dev: &Net, caps: Caps, mut new: State, pairs: u16, rxhash: bool) -> Result {
    let info = dev.data();
    let sent = send(info.control(), caps, &new, pairs, rxhash);
    match sent {
        Ok(()) => {
            new.accepted = true;
            *info.rss.state.lock() = new;
            info.rss
                .rxhash
                .store(rxhash && caps.report, Ordering::Relaxed);
        }
        // A device may stop hashing altogether when it refuses a command (QEMU's does).
        Err(e) if e == EINVAL => restore(dev, caps),
        Err(_) => {}
    }
    sent
}

/// Sends `new` on behalf of the user, without a change of the number of pairs.
fn change(dev: &Net, caps: Caps, new: State, rxhash: bool) -> Result {
    let info = dev.data();
    commit(dev, caps, new, info.pairs(), rxhash).inspect_err(|e| resync(dev, *e))
}

/// Sends what is in force once more.
fn restore(dev: &Net, caps: Caps) {
    let info = dev.data();
    if !info.rss.state.lock().accepted {
        return;
    }
    let old = info.rss.state.lock().copy();
    let rxhash = info.rss.rxhash.load(Ordering::Relaxed);
    let sent = old.and_then(|old| send(info.control(), caps, &old, info.pairs(), rxhash));
    if let Err(e) = sent {
        net_warn!(dev, "RSS not restored: {e:?}\n");
    }
}

/// Returns whether the number of queue pairs is set together with the table, by [`set_pairs`].
pub(crate) fn is_enabled(info: &VirtnetInfo) -> bool {
    info.rss.caps().is_some_and(|c| c.table != 0)
}

/// Sets the number of queue pairs of a device with RSS.
///
/// The user's table stays as long as its queues exist; else hashes are spread evenly.
///
/// # Errors
///
/// Returns `EINVAL` without RSS, `ENOMEM`, and the errors of the control queue.
pub(crate) fn set_pairs(dev: &Net, pairs: u16, rtnl: &mut Rtnl) -> Result {
    let info = dev.data();
    let caps = info.rss.caps().ok_or(EINVAL)?;
    let mut new = info.rss.state.lock().copy()?;
    let configured = dev.is_rxfh_configured(rtnl);
    // The core lets no -L through that a table of the user forbids; what is left is a fallback.
    let lost = configured && !new.fits(pairs);
    if !configured || lost {
        new.set_default_table(pairs);
    }
    let rxhash = info.rss.rxhash.load(Ordering::Relaxed);
    commit(dev, caps, new, pairs, rxhash)?;
    if lost {
        dev.rxfh_lost(rtnl);
    }
    Ok(())
}

/// Sends which hashes the device is to report, if it does, after the number of queue pairs was set
/// without RSS.
///
/// Setting the number may have made it forget that.
///
/// # Errors
///
/// Returns `ETIMEDOUT`. The number is set in any case, and packets without hashes are no reason to
/// fail.
pub(crate) fn report_hashes(dev: &Net) -> Result {
    let info = dev.data();
    let Some(caps) = info.rss.caps() else {
        return Ok(());
    };
    let state = info.rss.state.lock().copy();
    let rxhash = info.rss.rxhash.load(Ordering::Relaxed);
    match state.and_then(|state| send(info.control(), caps, &state, info.pairs(), rxhash)) {
        Ok(()) => info.rss.state.lock().accepted = true,
        Err(ETIMEDOUT) => return Err(ETIMEDOUT),
        Err(e) => net_warn!(dev, "packets come without hashes: {e:?}\n"),
    }
    Ok(())
}

/// Does without RSS, which the device refuses at probe, or returns false if it wasn't RSS that it
/// refused.
pub(crate) fn disable(dev: &Net, rtnl: &mut Rtnl) -> bool {
    let info = dev.data();
    if !is_enabled(info) {
        return false;
    }
    net_warn!(dev, "RSS refused by the device: not used\n");
    withdraw(dev, rtnl);
    true
}

/// Does without hashes if the device refused to report them when it was sent its settings at probe.
pub(crate) fn withdraw_if_refused(dev: &Net, rtnl: &mut Rtnl) {
    let info = dev.data();
    let refused = !is_enabled(info) && !info.rss.state.lock().accepted;
    if refused && info.rss.caps().is_some() {
        withdraw(dev, rtnl);
    }
}

/// Hashes nothing any more, and lets nobody ask for it.
fn withdraw(dev: &Net, rtnl: &mut Rtnl) {
    let rss = &dev.data().rss;
    rss.state.lock().refused = true;
    dev.withdraw_rxfh(rtnl);
    rss.rxhash.store(false, Ordering::Relaxed);
    dev.withdraw_features(NetFeatures::RXHASH, rtnl);
}

/// Makes a table for `pairs` queue pairs, which are left, whatever the device has.
pub(crate) fn reset_table(dev: &Net, pairs: u16, rtnl: &mut Rtnl) {
    let configured = dev.is_rxfh_configured(rtnl);
    {
        let mut state = dev.data().rss.state.lock();
        if state.fits(pairs) {
            return;
        }
        state.set_default_table(pairs);
    }
    if configured {
        dev.rxfh_lost(rtnl);
    }
    // Those who listen: the core has told them only if the interface isn't detached.
    dev.data().settings.lock().changed.rss = true;
}

/// Switches `rxhash` for `ndo_set_features`.
///
/// With RSS the device hashes all the same.
///
/// # Errors
///
/// Returns `ENOMEM` and the errors of the control queue.
pub(crate) fn set_features(dev: &Net, wanted: NetFeatures) -> Result {
    let info = dev.data();
    let on = wanted.has(NetFeatures::RXHASH);
    if on == info.rss.rxhash.load(Ordering::Relaxed) {
        return Ok(());
    }
    match info.rss.caps() {
        Some(caps) if caps.table == 0 => {
            let state = info.rss.state.lock().copy()?;
            change(dev, caps, state, on)
        }
        _ => {
            info.rss.rxhash.store(on, Ordering::Relaxed);
            Ok(())
        }
    }
}

/// The callbacks of ethtool for hashing.
pub(crate) struct Rxfh;

#[vtable]
impl rxfh::Ops<VirtnetInfo> for Rxfh {
    fn rings(dev: &Net) -> u32 {
        u32::from(dev.data().pairs())
    }

    fn get(dev: &Net, table: Option<&mut [u32]>, key: Option<&mut [u8]>) {
        let state = dev.data().rss.state.lock();
        for (to, from) in table.into_iter().flatten().zip(&state.table) {
            *to = u32::from(*from);
        }
        for (to, from) in key.into_iter().flatten().zip(&state.key) {
            *to = *from;
        }
    }

    fn set(dev: &Net, table: Option<&[u32]>, key: Option<&[u8]>, _rtnl: &mut Rtnl) -> Result {
        let info = dev.data();
        let caps = info.rss.caps().ok_or_else(eopnotsupp)?;
        let mut new = info.rss.state.lock().copy()?;
        if let Some(table) = table {
            if table.len() != new.table.len() {
                return Err(EINVAL);
            }
            for (to, from) in new.table.iter_mut().zip(table) {
                *to = u16::try_from(*from)?;
            }
            if !new.fits(info.pairs()) {
                return Err(EINVAL);
            }
        }
        if let Some(key) = key {
            new.key = key.try_into().map_err(|_| EINVAL)?;
        }
        let rxhash = info.rss.rxhash.load(Ordering::Relaxed);
        change(dev, caps, new, rxhash)
    }

    fn fields(dev: &Net, flow: Flow) -> Result<Fields> {
        let rss = &dev.data().rss;
        if rss.caps().is_none() {
            return Ok(Fields::None);
        }
        let types = rss.state.lock().types;
        Ok(rss::fields(types, flow))
    }

    fn set_fields(dev: &Net, flow: Flow, fields: Fields, _rtnl: &mut Rtnl) -> Result {
        let info = dev.data();
        let caps = info.rss.caps().ok_or_else(eopnotsupp)?;
        let mut new = info.rss.state.lock().copy()?;
        let types = rss::set_fields(new.types, caps.types, flow, fields).ok_or(EINVAL)?;
        if types == new.types {
            return Ok(());
        }
        new.types = types;
        let rxhash = info.rss.rxhash.load(Ordering::Relaxed);
        change(dev, caps, new, rxhash)
    }
}
