// SPDX-License-Identifier: GPL-2.0

//! The functions of `struct ethtool_ops` for receive flow hashing over a trait.
//!
//! C header: [`include/linux/ethtool.h`](srctree/include/linux/ethtool.h)

use super::{
    device::NetDevice,
    driver::Driver,
    ops::op,
    rtnl::Rtnl, //
};
use crate::{
    bindings,
    pure::rss::{
        Fields,
        Flow,
        Proto, //
    },
    sync::errno::eopnotsupp, //
};
use core::{
    ffi::c_int,
    marker::PhantomData,
    sync::atomic::{
        AtomicBool,
        Ordering, //
    }, //
};
use kernel::{
    build_error,
    error::{
        from_result,
        VTABLE_DEFAULT_ERROR, //
    },
    prelude::*, //
};

/// Sizes of what can be set, which are 0 for what can't.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sizes {
    /// Bytes of the key.
    pub(crate) key: u32,
    /// Entries of the indirection table.
    pub(crate) table: u32,
}

/// What can be set of a device.
///
/// The ethtool core asks for the sizes, makes arrays by them, and hands these out without their
/// lengths. So the sizes don't depend on what the driver answers: they are fixed before the device
/// is registered, and can only become none.
pub(super) struct Settable {
    sizes: Sizes,
    withdrawn: AtomicBool,
}

impl Settable {
    pub(super) const fn new(sizes: Sizes) -> Self {
        Self {
            sizes,
            withdrawn: AtomicBool::new(false),
        }
    }

    fn sizes(&self) -> Sizes {
        if self.withdrawn.load(Ordering::Relaxed) {
            Sizes::default()
        } else {
            self.sizes
        }
    }
}

/// The callbacks, all of them optional.
///
/// Context: process, RTNL held.
///
/// # Errors
///
/// The core gives errors to the user.
#[vtable]
pub(crate) trait Ops<T: Driver> {
    /// Returns the number of receive queues in use (`get_rx_ring_count`).
    fn rings(_dev: &NetDevice<T>) -> u32 {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Fills what is asked for, each as long as [`Setup::rxfh`] says (`get_rxfh`).
    ///
    /// [`Setup::rxfh`]: super::device::Setup::rxfh
    fn get(_dev: &NetDevice<T>, _table: Option<&mut [u32]>, _key: Option<&mut [u8]>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets what is there, each as long as [`Setup::rxfh`] says (`set_rxfh`).
    ///
    /// The core has checked the table's queues against [`Ops::rings`].
    ///
    /// [`Setup::rxfh`]: super::device::Setup::rxfh
    fn set(
        _dev: &NetDevice<T>,
        _table: Option<&[u32]>,
        _key: Option<&[u8]>,
        _rtnl: &mut Rtnl,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Returns what packets of a kind are hashed over (`get_rxfh_fields`).
    fn fields(_dev: &NetDevice<T>, _flow: Flow) -> Result<Fields> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Sets what packets of a kind are hashed over (`set_rxfh_fields`).
    fn set_fields(_dev: &NetDevice<T>, _flow: Flow, _fields: Fields, _rtnl: &mut Rtnl) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

#[vtable]
impl<T: Driver> Ops<T> for () {}

impl<T: Driver> NetDevice<T> {
    /// Returns whether the user has set an indirection table that is in force.
    ///
    /// Context: process, RTNL held.
    pub(crate) fn is_rxfh_configured(&self, _rtnl: &mut Rtnl) -> bool {
        // SAFETY: By the type invariants the device is valid; what is looked at changes under RTNL.
        unsafe { bindings::netif_is_rxfh_configured(self.as_raw()) }
    }

    /// Lets neither key nor table be set or seen from here on.
    ///
    /// Context: process, RTNL held.
    pub(crate) fn withdraw_rxfh(&self, _rtnl: &mut Rtnl) {
        self.private().rxfh.withdrawn.store(true, Ordering::Relaxed);
    }

    /// Notifies the user that the table is not theirs any more.
    ///
    /// Context: process, RTNL held.
    pub(crate) fn rxfh_lost(&self, _rtnl: &mut Rtnl) {
        // SAFETY: By the type invariants the device is valid, RTNL is held. It calls `Ops::get` and
        // the like.
        unsafe { bindings::ethtool_rxfh_indir_lost(self.as_raw()) };
    }
}

/// Fills `key` with the key that the machine's devices share, at random since its boot.
///
/// Context: process.
pub(crate) fn fill_key<const N: usize>(key: &mut [u8; N]) {
    // CAST: A u32 fits.
    const { assert!(N <= bindings::NETDEV_RSS_KEY_LEN as usize) };
    // SAFETY: The range is `key`, and not longer than what the function has.
    unsafe { bindings::netdev_rss_key_fill(key.as_mut_ptr().cast(), N) };
}

/// The bits `RXH_IP_SRC` and `RXH_IP_DST`.
const ADDRS: u32 = bindings::RXH_IP_SRC | bindings::RXH_IP_DST;
/// The same with `RXH_L4_B_0_1` and `RXH_L4_B_2_3`, the ports.
const ADDRS_PORTS: u32 = ADDRS | bindings::RXH_L4_B_0_1 | bindings::RXH_L4_B_2_3;
/// The bit `RXH_DISCARD` (a shift into the sign bit, which bindgen can't know), which for drivers
/// without a way to discard is no hash.
const DISCARD: u32 = 1 << 31;

/// Returns which packets the core speaks of.
fn flow(flow_type: u32) -> Result<Flow> {
    let (v6, proto) = match flow_type {
        bindings::TCP_V4_FLOW => (false, Proto::Tcp),
        bindings::UDP_V4_FLOW => (false, Proto::Udp),
        bindings::SCTP_V4_FLOW
        | bindings::AH_ESP_V4_FLOW
        | bindings::AH_V4_FLOW
        | bindings::ESP_V4_FLOW => (false, Proto::Other),
        bindings::IPV4_FLOW => (false, Proto::Any),
        bindings::TCP_V6_FLOW => (true, Proto::Tcp),
        bindings::UDP_V6_FLOW => (true, Proto::Udp),
        bindings::SCTP_V6_FLOW
        | bindings::AH_ESP_V6_FLOW
        | bindings::AH_V6_FLOW
        | bindings::ESP_V6_FLOW => (true, Proto::Other),
        bindings::IPV6_FLOW => (true, Proto::Any),
        _ => return Err(eopnotsupp()),
    };
    Ok(Flow { v6, proto })
}

/// The C functions for `E`.
pub(super) struct Table<T, E>(PhantomData<(T, E)>);

impl<T: Driver, E: Ops<T>> Table<T, E> {
    /// The part of the table of [`super::ethtool`] that is about hashing.
    pub(super) const OPS: bindings::ethtool_ops = bindings::ethtool_ops {
        get_rx_ring_count: op!(E::HAS_RINGS, Self::get_rx_ring_count),
        get_rxfh_key_size: op!(E::HAS_GET, Self::get_rxfh_key_size),
        get_rxfh_indir_size: op!(E::HAS_GET, Self::get_rxfh_indir_size),
        get_rxfh: op!(E::HAS_GET, Self::get_rxfh),
        set_rxfh: op!(E::HAS_SET, Self::set_rxfh),
        get_rxfh_fields: op!(E::HAS_FIELDS, Self::get_rxfh_fields),
        set_rxfh_fields: op!(E::HAS_SET_FIELDS, Self::set_rxfh_fields),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `dev` is a device made for `T`, valid for the callback.
    unsafe fn dev<'a>(dev: *mut bindings::net_device) -> &'a NetDevice<T> {
        // SAFETY: By this function's contract.
        unsafe { NetDevice::from_raw(dev) }
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `get_rx_ring_count` of a device of this driver, under
    /// RTNL.
    unsafe extern "C" fn get_rx_ring_count(dev: *mut bindings::net_device) -> u32 {
        // SAFETY: Called by the core for our device.
        E::rings(unsafe { Self::dev(dev) })
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `get_rxfh_key_size` of a device of this driver, under
    /// RTNL.
    unsafe extern "C" fn get_rxfh_key_size(dev: *mut bindings::net_device) -> u32 {
        // SAFETY: Called by the core for our device.
        unsafe { Self::dev(dev) }.private().rxfh.sizes().key
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `get_rxfh_indir_size` of a device of this driver, under
    /// RTNL.
    unsafe extern "C" fn get_rxfh_indir_size(dev: *mut bindings::net_device) -> u32 {
        // SAFETY: Called by the core for our device.
        unsafe { Self::dev(dev) }.private().rxfh.sizes().table
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `get_rxfh` of a device of this driver, under RTNL.
    unsafe extern "C" fn get_rxfh(
        dev: *mut bindings::net_device,
        param: *mut bindings::ethtool_rxfh_param,
    ) -> c_int {
        // SAFETY: Called by the core for our device with a structure of its own.
        let (dev, param) = unsafe { (Self::dev(dev), &mut *param) };
        let sizes = dev.private().rxfh.sizes();
        // Not every caller fills in the lengths.
        // CAST: u32 fits.
        let (table_len, key_len) = (sizes.table as usize, sizes.key as usize);
        // SAFETY: Where there is an array, the core made it as long as the functions for the sizes
        // said, which is as long as they say now or longer (`Settable`), and zeroed it.
        let (table, key) = unsafe {
            (
                (!param.indir.is_null() && table_len != 0)
                    .then(|| core::slice::from_raw_parts_mut(param.indir, table_len)),
                (!param.key.is_null() && key_len != 0)
                    .then(|| core::slice::from_raw_parts_mut(param.key, key_len)),
            )
        };
        E::get(dev, table, key);
        // Also where nothing is hashed: there is no other that could be asked for.
        param.hfunc = TOEPLITZ;
        0
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `set_rxfh` of a device of this driver, under RTNL.
    unsafe extern "C" fn set_rxfh(
        dev: *mut bindings::net_device,
        param: *mut bindings::ethtool_rxfh_param,
        _: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device, under RTNL.
            let (dev, param, mut rtnl) = unsafe { (Self::dev(dev), &*param, Rtnl::assume_held()) };
            let sizes = dev.private().rxfh.sizes();
            // 0: as it is. The core asks for no transformation of the input that we don't announce.
            if param.hfunc != 0 && param.hfunc != TOEPLITZ {
                return Err(eopnotsupp());
            }
            // CAST: u32 fits.
            let (table_len, key_len) = (sizes.table as usize, sizes.key as usize);
            if (!param.indir.is_null() && table_len == 0) || (!param.key.is_null() && key_len == 0)
            {
                return Err(eopnotsupp());
            }
            if param.indir.is_null() && param.key.is_null() {
                return Ok(0);
            }
            // SAFETY: Where there is an array, the core made it as long as the functions for the
            // sizes said, which is as long as they say now or longer (`Settable`), and filled it.
            let (table, key) = unsafe {
                (
                    (!param.indir.is_null())
                        .then(|| core::slice::from_raw_parts(param.indir, table_len)),
                    (!param.key.is_null()).then(|| core::slice::from_raw_parts(param.key, key_len)),
                )
            };
            E::set(dev, table, key, &mut rtnl)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `get_rxfh_fields` of a device of this driver, under
    /// RTNL.
    unsafe extern "C" fn get_rxfh_fields(
        dev: *mut bindings::net_device,
        out: *mut bindings::ethtool_rxfh_fields,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device with a structure of its own.
            let (dev, out) = unsafe { (Self::dev(dev), &mut *out) };
            out.data = match E::fields(dev, flow(out.flow_type)?)? {
                Fields::None => 0,
                Fields::Addrs => ADDRS,
                Fields::AddrsPorts => ADDRS_PORTS,
            };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the ethtool core as the callback `set_rxfh_fields` of a device of this driver, under
    /// RTNL.
    unsafe extern "C" fn set_rxfh_fields(
        dev: *mut bindings::net_device,
        want: *const bindings::ethtool_rxfh_fields,
        _: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        from_result(|| {
            // SAFETY: Called by the core for our device, under RTNL.
            let (dev, want, mut rtnl) = unsafe { (Self::dev(dev), &*want, Rtnl::assume_held()) };
            let fields = match want.data {
                0 | DISCARD => Fields::None,
                ADDRS => Fields::Addrs,
                ADDRS_PORTS => Fields::AddrsPorts,
                _ => return Err(EINVAL),
            };
            E::set_fields(dev, flow(want.flow_type)?, fields, &mut rtnl)?;
            Ok(0)
        })
    }
}

/// The bit `ETH_RSS_HASH_TOP`, for the only function.
const TOEPLITZ: u8 = 1 << bindings::ETH_RSS_HASH_TOP_BIT;
