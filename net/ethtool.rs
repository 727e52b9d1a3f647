// SPDX-License-Identifier: GPL-2.0

//! The callbacks of `struct ethtool_ops` over a trait.
//!
//! C header: [`include/linux/ethtool.h`](srctree/include/linux/ethtool.h)

use super::{
    device::NetDevice,
    driver::Driver,
    ops::op,
    rtnl::Rtnl,
    rxfh, //
};
use crate::{
    bindings,
    pure::{
        coalesce::{
            Moderation,
            Params, //
        },
        config::link_settings, //
    }, //
};
use core::{
    ffi::c_int,
    marker::PhantomData,
    sync::atomic::Ordering, //
};
use kernel::{
    build_error,
    error::{
        from_result,
        VTABLE_DEFAULT_ERROR, //
    },
    prelude::*, //
};

/// A number that can be set: the largest one, and the present one.
#[derive(Clone, Copy, Default)]
pub(crate) struct MaxCur {
    /// The largest number possible.
    pub(crate) max: u32,
    /// The number in force, or requested.
    pub(crate) cur: u32,
}

/// What `ethtool -l` shows and `-L` sets (`struct ethtool_channels`).
#[derive(Clone, Copy, Default)]
pub(crate) struct Channels {
    /// Channels that only receive.
    pub(crate) rx: MaxCur,
    /// Channels that only send.
    pub(crate) tx: MaxCur,
    /// Channels for anything else.
    pub(crate) other: MaxCur,
    /// Channels that do both.
    pub(crate) combined: MaxCur,
}

/// What `ethtool -g` shows, in descriptors (`struct ethtool_ringparam`).
#[derive(Clone, Copy, Default)]
pub(crate) struct Rings {
    /// Size of receive rings.
    pub(crate) rx: MaxCur,
    /// Size of transmit rings.
    pub(crate) tx: MaxCur,
}

/// What `ethtool -i` shows.
pub(crate) struct Drvinfo<'a> {
    /// Name of the driver.
    pub(crate) driver: &'a [u8],
    /// Version of the driver.
    pub(crate) version: &'a [u8],
    /// Where the device sits.
    pub(crate) bus_info: &'a [u8],
}

pub(crate) use crate::pure::config::LinkSettings;

/// Takes the names of statistics, one after the other.
///
/// Context: any.
pub(crate) struct Strings<'a> {
    at: *mut u8,
    left: usize,
    _a: PhantomData<&'a ()>,
}

impl Strings<'_> {
    /// Bytes of one name (`ETH_GSTRING_LEN`).
    const LEN: usize = 32;

    /// Writes the next name, which is cut if it is longer, and ignored if there is no room.
    pub(crate) fn push(&mut self, name: core::fmt::Arguments<'_>) {
        if self.left == 0 {
            return;
        }
        let mut cell = NameCell {
            buf: [0; Self::LEN],
            at: 0,
        };
        let _ = core::fmt::write(&mut cell, name);
        // SAFETY: The core's buffer has room for `left` more names.
        unsafe {
            core::ptr::copy_nonoverlapping(cell.buf.as_ptr(), self.at, Self::LEN);
            self.at = self.at.add(Self::LEN);
        }
        self.left -= 1;
    }
}

/// A name that is being written, always with a terminating zero.
struct NameCell {
    buf: [u8; Strings::LEN],
    at: usize,
}

impl core::fmt::Write for NameCell {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        for b in s.bytes() {
            // The last byte stays zero.
            let next = self.at.saturating_add(1);
            if next < Strings::LEN {
                if let Some(cell) = self.buf.get_mut(self.at) {
                    *cell = b;
                    self.at = next;
                }
            }
        }
        Ok(())
    }
}

/// The callbacks, all of them optional.
///
/// `()` has none: `ethtool` shows whether there is a link.
///
/// Context: process, RTNL held.
///
/// # Errors
///
/// The core gives errors to the user.
#[vtable]
pub(crate) trait Ops<T: Driver> {
    /// The callbacks for receive flow hashing, or `()` for none.
    type Rxfh: rxfh::Ops<T>;

    /// Returns what `ethtool -i` shows (`get_drvinfo`).
    fn drvinfo(_dev: &NetDevice<T>) -> Drvinfo<'_> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the numbers of channels (`get_channels`).
    fn channels(_dev: &NetDevice<T>) -> Channels {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets the present counts, which the core has checked against the most (`set_channels`).
    fn set_channels(_dev: &NetDevice<T>, _requested: Channels, _rtnl: &mut Rtnl) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the ring sizes (`get_ringparam`).
    fn rings(_dev: &NetDevice<T>) -> Rings {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets the present ring sizes, which the core has checked against the most (`set_ringparam`).
    fn set_rings(_dev: &NetDevice<T>, _requested: Rings, _rtnl: &mut Rtnl) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the interrupt moderation of the interface (`get_coalesce`).
    fn coalesce(_dev: &NetDevice<T>) -> Params {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets the interrupt moderation of the whole interface (`set_coalesce`).
    fn set_coalesce(_dev: &NetDevice<T>, _requested: Params, _rtnl: &mut Rtnl) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the interrupt moderation of a queue, of any number (`get_per_queue_coalesce`).
    fn queue_coalesce(_dev: &NetDevice<T>, _queue: u32) -> Result<Params> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets the interrupt moderation of a queue, of any number (`set_per_queue_coalesce`).
    fn set_queue_coalesce(
        _dev: &NetDevice<T>,
        _queue: u32,
        _requested: Params,
        _rtnl: &mut Rtnl,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns the number of statistics, for as many of which the core makes room (`get_sset_count`
    /// of `ETH_SS_STATS`).
    ///
    /// This and the next two go together.
    fn stats_count(_dev: &NetDevice<T>) -> u32 {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Writes the names of the statistics; those that there is no room for are ignored.
    fn stats_names(_dev: &NetDevice<T>, _out: &mut Strings<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Writes the values of the statistics in the same order, as many as there is room for.
    fn stats_values(_dev: &NetDevice<T>, _out: &mut [u64]) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns speed and duplex of the link (`get_link_ksettings`).
    fn link(_dev: &NetDevice<T>) -> LinkSettings {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets speed and duplex of the link (`set_link_ksettings`).
    fn set_link(_dev: &NetDevice<T>, _link: LinkSettings, _rtnl: &mut Rtnl) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

#[vtable]
impl<T: Driver> Ops<T> for () {
    type Rxfh = ();
}

/// Settings that the driver has changed by itself.
#[derive(Clone, Copy, Default)]
pub(crate) struct Changed {
    /// Whether the number of channels has changed ([`Ops::channels`]).
    pub(crate) channels: bool,
    /// Whether ring sizes have changed ([`Ops::rings`]).
    pub(crate) rings: bool,
    /// Whether interrupt moderation has changed ([`Ops::coalesce`]).
    pub(crate) coalesce: bool,
    /// Whether indirection table or key have changed ([`rxfh::Ops::get`]).
    pub(crate) rss: bool,
}

impl<T: Driver> NetDevice<T> {
    /// Notifies those who listen (`ethtool --monitor`) of `changed`.
    ///
    /// It calls back into [`Ops`], so no lock may be held that the callbacks take; the core says
    /// nothing of a device that is detached.
    ///
    /// Context: process, RTNL held, not from within a callback of [`rxfh::Ops`].
    pub(crate) fn ethtool_notify(&self, changed: Changed, _rtnl: &mut Rtnl) {
        let Changed {
            channels,
            rings,
            coalesce,
            rss,
        } = changed;
        for (yes, what) in [
            (channels, bindings::ETHTOOL_MSG_CHANNELS_NTF),
            (rings, bindings::ETHTOOL_MSG_RINGS_NTF),
            (coalesce, bindings::ETHTOOL_MSG_COALESCE_NTF),
            (rss, bindings::ETHTOOL_MSG_RSS_NTF),
        ] {
            if yes {
                // SAFETY: By the type invariants the device is valid and RTNL is held, which the
                // core asserts. It reads by our callbacks.
                unsafe { bindings::ethtool_notify(self.as_raw(), what) };
            }
        }
    }
}

struct Table<T, E>(PhantomData<(T, E)>);

/// Returns the function table for driver `T`.
pub(super) fn table<T: Driver>() -> *const bindings::ethtool_ops {
    const { &Table::<T, T::Ethtool>::OPS }
}

impl<T: Driver, E: Ops<T>> Table<T, E> {
    /// The parameters of interrupt moderation that can be set, if any can.
    const COALESCE_PARAMS: u32 = if E::HAS_SET_COALESCE {
        coalesce_bit(bindings::ETHTOOL_A_COALESCE_RX_USECS)
            | coalesce_bit(bindings::ETHTOOL_A_COALESCE_RX_MAX_FRAMES)
            | coalesce_bit(bindings::ETHTOOL_A_COALESCE_TX_USECS)
            | coalesce_bit(bindings::ETHTOOL_A_COALESCE_TX_MAX_FRAMES)
            | coalesce_bit(bindings::ETHTOOL_A_COALESCE_USE_ADAPTIVE_RX)
    } else {
        0
    };

    const HAS_STATS: bool = E::HAS_STATS_COUNT && E::HAS_STATS_NAMES && E::HAS_STATS_VALUES;

    const OPS: bindings::ethtool_ops = bindings::ethtool_ops {
        supported_coalesce_params: Self::COALESCE_PARAMS,
        get_drvinfo: op!(E::HAS_DRVINFO, Self::get_drvinfo),
        get_coalesce: op!(E::HAS_COALESCE, Self::get_coalesce),
        set_coalesce: op!(E::HAS_SET_COALESCE, Self::set_coalesce),
        get_per_queue_coalesce: op!(E::HAS_QUEUE_COALESCE, Self::get_per_queue_coalesce),
        set_per_queue_coalesce: op!(E::HAS_SET_QUEUE_COALESCE, Self::set_per_queue_coalesce),
        get_link: Some(bindings::ethtool_op_get_link),
        get_ringparam: op!(E::HAS_RINGS, Self::get_ringparam),
        set_ringparam: op!(E::HAS_SET_RINGS, Self::set_ringparam),
        get_strings: op!(Self::HAS_STATS, Self::get_strings),
        get_sset_count: op!(Self::HAS_STATS, Self::get_sset_count),
        get_ethtool_stats: op!(Self::HAS_STATS, Self::get_ethtool_stats),
        get_rx_ring_count: Self::RXFH.get_rx_ring_count,
        get_rxfh_key_size: Self::RXFH.get_rxfh_key_size,
        get_rxfh_indir_size: Self::RXFH.get_rxfh_indir_size,
        get_rxfh: Self::RXFH.get_rxfh,
        set_rxfh: Self::RXFH.set_rxfh,
        get_rxfh_fields: Self::RXFH.get_rxfh_fields,
        set_rxfh_fields: Self::RXFH.set_rxfh_fields,
        get_channels: op!(E::HAS_CHANNELS, Self::get_channels),
        set_channels: op!(E::HAS_SET_CHANNELS, Self::set_channels),
        get_ts_info: Some(bindings::ethtool_op_get_ts_info),
        get_link_ksettings: op!(E::HAS_LINK, Self::get_link_ksettings),
        set_link_ksettings: op!(E::HAS_SET_LINK, Self::set_link_ksettings),
        ..pin_init::zeroed()
    };

    /// What the driver has of receive flow hashing.
    const RXFH: bindings::ethtool_ops = rxfh::Table::<T, E::Rxfh>::OPS;

    /// # Safety
    ///
    /// `dev` is a device made for `T`, valid for the callback.
    unsafe fn dev<'a>(dev: *mut bindings::net_device) -> &'a NetDevice<T> {
        // SAFETY: By this function's contract.
        unsafe { NetDevice::from_raw(dev) }
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `get_drvinfo` of a device of this driver, under RTNL.
    unsafe extern "C" fn get_drvinfo(
        dev: *mut bindings::net_device,
        out: *mut bindings::ethtool_drvinfo,
    ) {
        // SAFETY: Called by the core for our device with a zeroed structure.
        let (dev, out) = unsafe { (Self::dev(dev), &mut *out) };
        let info = E::drvinfo(dev);
        copy_name(&mut out.driver, info.driver);
        copy_name(&mut out.version, info.version);
        copy_name(&mut out.bus_info, info.bus_info);
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `get_ringparam` of a device of this driver, under RTNL.
    unsafe extern "C" fn get_ringparam(
        dev: *mut bindings::net_device,
        out: *mut bindings::ethtool_ringparam,
        _: *mut bindings::kernel_ethtool_ringparam,
        _: *mut bindings::netlink_ext_ack,
    ) {
        // SAFETY: Called by the core for our device with a zeroed structure.
        let (dev, out) = unsafe { (Self::dev(dev), &mut *out) };
        let rings = E::rings(dev);
        (out.rx_max_pending, out.rx_pending) = (rings.rx.max, rings.rx.cur);
        (out.tx_max_pending, out.tx_pending) = (rings.tx.max, rings.tx.cur);
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `set_ringparam` of a device of this driver, under RTNL.
    unsafe extern "C" fn set_ringparam(
        dev: *mut bindings::net_device,
        want: *mut bindings::ethtool_ringparam,
        _: *mut bindings::kernel_ethtool_ringparam,
        _: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device, under RTNL.
            let (dev, want, mut rtnl) = unsafe { (Self::dev(dev), &*want, Rtnl::assume_held()) };
            let want = Rings {
                rx: max_cur(want.rx_max_pending, want.rx_pending),
                tx: max_cur(want.tx_max_pending, want.tx_pending),
            };
            E::set_rings(dev, want, &mut rtnl)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `get_coalesce` of a device of this driver, under RTNL.
    unsafe extern "C" fn get_coalesce(
        dev: *mut bindings::net_device,
        out: *mut bindings::ethtool_coalesce,
        _: *mut bindings::kernel_ethtool_coalesce,
        _: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: Called by the core for our device with a zeroed structure.
        let (dev, out) = unsafe { (Self::dev(dev), &mut *out) };
        show_coalesce(E::coalesce(dev), out);
        0
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `set_coalesce` of a device of this driver, under RTNL.
    unsafe extern "C" fn set_coalesce(
        dev: *mut bindings::net_device,
        want: *mut bindings::ethtool_coalesce,
        _: *mut bindings::kernel_ethtool_coalesce,
        _: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device, under RTNL.
            let (dev, want, mut rtnl) = unsafe { (Self::dev(dev), &*want, Rtnl::assume_held()) };
            E::set_coalesce(dev, read_coalesce(want), &mut rtnl)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `get_per_queue_coalesce` of a device of this driver, under RTNL.
    unsafe extern "C" fn get_per_queue_coalesce(
        dev: *mut bindings::net_device,
        queue: u32,
        out: *mut bindings::ethtool_coalesce,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device with a structure that is ours to fill; it isn't
            // initialised, and any bytes are one.
            let (dev, out) = unsafe {
                out.write_bytes(0, 1);
                (Self::dev(dev), &mut *out)
            };
            // It goes to the user as it is.
            out.cmd = bindings::ETHTOOL_GCOALESCE;
            show_coalesce(E::queue_coalesce(dev, queue)?, out);
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `set_per_queue_coalesce` of a device of this driver, under RTNL.
    unsafe extern "C" fn set_per_queue_coalesce(
        dev: *mut bindings::net_device,
        queue: u32,
        want: *mut bindings::ethtool_coalesce,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device, under RTNL.
            let (dev, want, mut rtnl) = unsafe { (Self::dev(dev), &*want, Rtnl::assume_held()) };
            E::set_queue_coalesce(dev, queue, read_coalesce(want), &mut rtnl)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `get_channels` of a device of this driver, under RTNL.
    unsafe extern "C" fn get_channels(
        dev: *mut bindings::net_device,
        out: *mut bindings::ethtool_channels,
    ) {
        // SAFETY: Called by the core for our device with a zeroed structure.
        let (dev, out) = unsafe { (Self::dev(dev), &mut *out) };
        let c = E::channels(dev);
        (out.max_rx, out.rx_count) = (c.rx.max, c.rx.cur);
        (out.max_tx, out.tx_count) = (c.tx.max, c.tx.cur);
        (out.max_other, out.other_count) = (c.other.max, c.other.cur);
        (out.max_combined, out.combined_count) = (c.combined.max, c.combined.cur);
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `set_channels` of a device of this driver, under RTNL.
    unsafe extern "C" fn set_channels(
        dev: *mut bindings::net_device,
        want: *mut bindings::ethtool_channels,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device, under RTNL.
            let (dev, want, mut rtnl) = unsafe { (Self::dev(dev), &*want, Rtnl::assume_held()) };
            let want = Channels {
                rx: max_cur(want.max_rx, want.rx_count),
                tx: max_cur(want.max_tx, want.tx_count),
                other: max_cur(want.max_other, want.other_count),
                combined: max_cur(want.max_combined, want.combined_count),
            };
            E::set_channels(dev, want, &mut rtnl)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `get_sset_count` of a device of this driver, under RTNL.
    unsafe extern "C" fn get_sset_count(dev: *mut bindings::net_device, set: c_int) -> c_int {
        from_result(|| {
            if u32::try_from(set)? != bindings::ethtool_stringset_ETH_SS_STATS {
                return Err(crate::sync::errno::eopnotsupp());
            }
            // SAFETY: Called by the core for our device.
            let dev = unsafe { Self::dev(dev) };
            let n = E::stats_count(dev);
            let answer = i32::try_from(n)?;
            dev.private().stats_count.store(n, Ordering::Relaxed);
            Ok(answer)
        })
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `get_strings` of a device of this driver, under RTNL.
    unsafe extern "C" fn get_strings(dev: *mut bindings::net_device, set: u32, out: *mut u8) {
        if set != bindings::ethtool_stringset_ETH_SS_STATS {
            return;
        }
        // SAFETY: Called by the core for our device.
        let dev = unsafe { Self::dev(dev) };
        // The core has asked for the number in the same section under RTNL, and made that much room. The driver isn't
        // asked again: it could say something else.
        let mut strings = Strings {
            at: out,
            // CAST: u32 fits.
            left: dev.private().stats_count.load(Ordering::Relaxed) as usize,
            _a: PhantomData,
        };
        E::stats_names(dev, &mut strings);
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `get_ethtool_stats` of a device of this driver, under RTNL.
    unsafe extern "C" fn get_ethtool_stats(
        dev: *mut bindings::net_device,
        stats: *mut bindings::ethtool_stats,
        out: *mut u64,
    ) {
        // SAFETY: Called by the core for our device, with room for as many values as
        // `get_sset_count` said, which is in `n_stats`; with none the pointer isn't null either (ZERO_SIZE_PTR).
        let (dev, out) = unsafe {
            (
                Self::dev(dev),
                // CAST: u32 fits.
                core::slice::from_raw_parts_mut(out, (*stats).n_stats as usize),
            )
        };
        E::stats_values(dev, out);
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `get_link_ksettings` of a device of this driver, under RTNL.
    unsafe extern "C" fn get_link_ksettings(
        dev: *mut bindings::net_device,
        out: *mut bindings::ethtool_link_ksettings,
    ) -> c_int {
        // SAFETY: Called by the core for our device with a zeroed structure.
        let (dev, out) = unsafe { (Self::dev(dev), &mut *out) };
        let link = E::link(dev);
        out.base.speed = link.speed.unwrap_or(u32::MAX);
        out.base.duplex = match link.duplex {
            Some(true) => 1,
            Some(false) => 0,
            None => 0xff,
        };
        // Port "other", as virtual devices have none.
        out.base.port = 0xff;
        0
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `set_link_ksettings` of a device of this driver, under RTNL.
    unsafe extern "C" fn set_link_ksettings(
        dev: *mut bindings::net_device,
        want: *const bindings::ethtool_link_ksettings,
    ) -> c_int {
        from_result(|| {
            let (mut speed, mut duplex) = (0, 0);
            // SAFETY: Called by the core for our device, under RTNL. The C function checks that
            // nothing but speed and duplex changes.
            let (net, mut rtnl) = unsafe {
                kernel::error::to_result(bindings::ethtool_virtdev_set_link_ksettings(
                    dev,
                    want,
                    &mut speed,
                    &mut duplex,
                ))?;
                (Self::dev(dev), Rtnl::assume_held())
            };
            E::set_link(net, link_settings(speed, duplex), &mut rtnl)?;
            Ok(0)
        })
    }
}

fn max_cur(max: u32, cur: u32) -> MaxCur {
    MaxCur { max, cur }
}

/// Returns the bit of a netlink attribute in `supported_coalesce_params`.
///
/// C has these as macros that bindgen doesn't evaluate (`net/ethtool/coalesce.c` asserts that they
/// are these).
const fn coalesce_bit(attribute: u32) -> u32 {
    1 << (attribute - bindings::ETHTOOL_A_COALESCE_RX_USECS)
}

/// Writes what ethtool shows of interrupt moderation.
fn show_coalesce(p: Params, out: &mut bindings::ethtool_coalesce) {
    out.rx_coalesce_usecs = p.rx.usecs;
    out.rx_max_coalesced_frames = p.rx.frames;
    out.tx_coalesce_usecs = p.tx.usecs;
    out.tx_max_coalesced_frames = p.tx.frames;
    out.use_adaptive_rx_coalesce = u32::from(p.adaptive_rx);
}

/// Reads what ethtool wants; the core lets nothing else through (`supported_coalesce_params`).
fn read_coalesce(want: &bindings::ethtool_coalesce) -> Params {
    Params {
        rx: Moderation {
            usecs: want.rx_coalesce_usecs,
            frames: want.rx_max_coalesced_frames,
        },
        tx: Moderation {
            usecs: want.tx_coalesce_usecs,
            frames: want.tx_max_coalesced_frames,
        },
        adaptive_rx: want.use_adaptive_rx_coalesce != 0,
    }
}

/// Copies a name into a fixed field, cut to leave a terminating zero.
///
/// The rest is zeroed, because the core may have put a name of its own there.
fn copy_name(field: &mut [u8], name: &[u8]) {
    let room = field.len().saturating_sub(1);
    field.fill(0);
    for (to, from) in field.iter_mut().take(room).zip(name) {
        *to = *from;
    }
}
