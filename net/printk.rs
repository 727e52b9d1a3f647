// SPDX-License-Identifier: GPL-2.0

//! Messages about an interface.
//!
//! They begin with the driver, the device and the interface's name, as those of `netdev_err` and so
//! on do; what there is to say before there is an interface goes by `dev_err!`.
//!
//! C header: [`include/net/net_debug.h`](srctree/include/net/net_debug.h)
//!
//! Context: any.

use super::{
    device::NetDevice,
    driver::Driver, //
};
use crate::bindings;
use kernel::{
    fmt,
    prelude::*, //
};

macro_rules! levels {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        impl<T: Driver> NetDevice<T> {
            $(
                $(#[$doc])*
                pub(crate) fn $name(&self, message: fmt::Arguments<'_>) {
                    // SAFETY: By the type invariants the device is valid, its name ends within the
                    // structure. `%pA` takes a pointer to `Arguments`, which are there for the
                    // call.
                    unsafe {
                        bindings::$name(
                            self.as_raw(),
                            c"%pA".as_char_ptr(),
                            core::ptr::from_ref(&message).cast::<core::ffi::c_void>(),
                        );
                    }
                }
            )*
        }
    };
}

levels! {
    /// Prints an error for [`net_err!`].
    netdev_err;
    /// Prints a warning for [`net_warn!`].
    netdev_warn;
    /// Prints a message for [`net_info!`].
    netdev_info;
}

/// Prints an error of an interface: `net_err!(dev, "…\n", …)`, as `netdev_err` in C.
macro_rules! net_err {
    ($dev:expr, $($f:tt)*) => {
        $crate::net::NetDevice::netdev_err($dev, kernel::prelude::fmt!($($f)*))
    };
}

/// Prints a warning in the same way.
macro_rules! net_warn {
    ($dev:expr, $($f:tt)*) => {
        $crate::net::NetDevice::netdev_warn($dev, kernel::prelude::fmt!($($f)*))
    };
}

/// Prints what is worth to know in the same way.
macro_rules! net_info {
    ($dev:expr, $($f:tt)*) => {
        $crate::net::NetDevice::netdev_info($dev, kernel::prelude::fmt!($($f)*))
    };
}

pub(crate) use {
    net_err,
    net_info,
    net_warn, //
};
