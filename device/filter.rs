// SPDX-License-Identifier: GPL-2.0

//! The receive filter as the device has it.
//!
//! Context: any.

#![forbid(unsafe_code)]

use crate::pure::ctrl::RxMode;
use kernel::prelude::*;

/// The tables of addresses as the device takes them.
#[derive(PartialEq)]
pub(crate) struct Tables {
    /// Table of unicast addresses.
    pub(crate) uc: KVec<u8>,
    /// Table of multicast addresses.
    pub(crate) mc: KVec<u8>,
}

/// The receive filter as the device has it, for replay after a reset.
pub(crate) struct RxFilter {
    /// Receive mode as the device was sent it, or `None` if nothing was sent since the device's
    /// reset.
    ///
    /// What the device does then is its own choice (QEMU's starts promiscuous).
    pub(crate) mode: RxMode<Option<bool>>,
    /// What the last MAC_TABLE_SET held.
    pub(crate) tables: Option<Tables>,
    /// One bit for each VLAN.
    vlans: [u64; 64],
}

impl RxFilter {
    /// Makes the filter that a device has after a reset.
    pub(crate) const fn new() -> Self {
        Self {
            mode: RxMode {
                promisc: None,
                allmulti: None,
            },
            tables: None,
            vlans: [0; 64],
        }
    }

    /// Forgets all but the VLANs, which are sent again.
    pub(crate) fn forget(&mut self) {
        self.mode = Self::new().mode;
        self.tables = None;
    }

    fn has_vlan(&self, vid: u16) -> bool {
        self.vlans
            .get(usize::from(vid >> 6))
            .is_some_and(|w| w & (1u64 << (vid & 63)) != 0)
    }

    /// Returns how many VLANs there are from `vid` on.
    pub(crate) fn vlans_from(&self, vid: u16) -> usize {
        (vid..4096)
            .filter(|vid| self.has_vlan(*vid))
            .fold(0, |n, _| n.saturating_add(1))
    }

    /// Writes down that VLAN `vid` is received, or not any more.
    pub(crate) fn vlan(&mut self, vid: u16, add: bool) {
        if let Some(word) = self.vlans.get_mut(usize::from(vid >> 6)) {
            let mask = 1u64 << (vid & 63);
            *word = if add { *word | mask } else { *word & !mask };
        }
    }

    /// Returns the first VLAN from `vid` on.
    pub(crate) fn next_vid(&self, vid: u16) -> Option<u16> {
        (vid..4096).find(|vid| self.has_vlan(*vid))
    }
}
