// SPDX-License-Identifier: GPL-2.0

//! Address lists as the receive filter gets them.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use crate::bindings;
use core::marker::PhantomData;

/// A list of hardware addresses (`struct netdev_hw_addr_list`), which holds still for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct AddrList<'a> {
    list: *const bindings::netdev_hw_addr_list,
    _a: PhantomData<&'a ()>,
}

impl<'a> AddrList<'a> {
    /// # Safety
    ///
    /// The list is valid and doesn't change for `'a`.
    pub(super) unsafe fn from_raw(list: *const bindings::netdev_hw_addr_list) -> Self {
        Self {
            list,
            _a: PhantomData,
        }
    }

    /// Returns the addresses of the list.
    ///
    /// Context: any.
    pub(crate) fn iter(self) -> impl Iterator<Item = [u8; 6]> + 'a {
        let mut at: *const bindings::netdev_hw_addr = core::ptr::null();
        core::iter::from_fn(move || {
            // SAFETY: The list holds still for `'a`; `at` is null or on it.
            at = unsafe { bindings::netdev_hw_addr_next(self.list, at) };
            if at.is_null() {
                return None;
            }
            let mut mac = [0; 6];
            // SAFETY: On the list, and longer than six bytes.
            mac.copy_from_slice(unsafe { (*at).addr.get(..6)? });
            Some(mac)
        })
    }
}
