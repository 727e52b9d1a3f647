// SPDX-License-Identifier: GPL-2.0

//! The table of the devices that a driver is for.
//!
//! Kernel 7.3 makes tables without data for each entry another way; that concerns this file only.
//!
//! C header: [`include/linux/mod_devicetable.h`](srctree/include/linux/mod_devicetable.h)

use crate::bindings;
use kernel::device_id::RawDeviceId;

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
    ///
    /// Context: any.
    pub(crate) const fn any_vendor(device: u32) -> Self {
        Self(bindings::virtio_device_id {
            device,
            vendor: bindings::VIRTIO_DEV_ANY_ID,
        })
    }
}

/// A table of any length.
pub(crate) type IdTable = dyn kernel::device_id::IdTable<DeviceId, ()> + Sync;

/// Makes the table and the alias that modprobe goes by, in the crate's root, whose name the alias
/// is filed under.
#[cfg(not(kernel_7_3))]
macro_rules! device_table {
    ($table:ident, [$($id:expr),*]) => {
        const IDS: $crate::virtio::id_table::Table<{ [$($id),*].len() }> =
            $crate::virtio::id_table::Table::new_without_index([$(($id, ())),*]);
        kernel::module_device_table!("virtio", MODULE_VIRTIO_TABLE, IDS);
        static $table: $crate::virtio::id_table::Table<{ [$($id),*].len() }> = IDS;
    };
}

/// Makes the table and the alias in the same way.
#[cfg(kernel_7_3)]
macro_rules! device_table {
    ($table:ident, [$($id:expr),*]) => {
        kernel::module_device_table!(
            "virtio",
            $crate::virtio::id_table::DeviceId,
            $table,
            @none,
            [$($id),*]
        );
    };
}
pub(crate) use device_table;

/// The type of the table.
#[cfg(not(kernel_7_3))]
pub(crate) type Table<const N: usize> = kernel::device_id::IdArray<DeviceId, (), N>;
