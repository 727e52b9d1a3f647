// SPDX-License-Identifier: GPL-2.0

//! The device table.
//!
//! Kernel 7.3 changes `IdArray::new_without_index`; that concerns this file only.

use crate::bindings;
use kernel::device_id::{
    IdArray,
    RawDeviceId, //
};

/// One entry of the table: `struct virtio_device_id`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct DeviceId(bindings::virtio_device_id);

// SAFETY: A transparent wrapper.
unsafe impl RawDeviceId for DeviceId {
    type RawType = bindings::virtio_device_id;
}

impl DeviceId {
    /// Matches every device of one virtio device type (specification section 5).
    pub(crate) const fn any_vendor(device: u32) -> Self {
        Self(bindings::virtio_device_id {
            device,
            vendor: bindings::VIRTIO_DEV_ANY_ID,
        })
    }
}

/// A table of any length.
pub(crate) type IdTable = dyn kernel::device_id::IdTable<DeviceId, ()> + Sync;

/// The table's type.
pub(crate) type Table<const N: usize> = IdArray<DeviceId, (), N>;

/// Builds a table.
pub(crate) const fn table<const N: usize>(ids: [(DeviceId, ()); N]) -> Table<N> {
    IdArray::new_without_index(ids)
}
